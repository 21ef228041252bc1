// What metadata_files_test.py compares with Kafka: lets a controller live in a directory (`write
// DIRECTORY`), prints what a metadata log directory holds (`read DIRECTORY NODE_ID`).
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <string>

#include "metadata/broker_config.h"
#include "metadata/image_loader.h"
#include "metadata/record.h"
#include "os/node_ports.h"
#include "os/policy_time.h"
#include "runtime/controller.h"
#include "wire/allocate_producer_ids.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/incremental_alter_configs.h"

namespace {

using namespace pabal;

[[noreturn]] void fail(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::exit(1);
}

metadata::BrokerConfig config_for(const std::string& directory) {
    auto config = metadata::BrokerConfig::parse(
        {{"node.id", "0"},
         {"process.roles", "broker,controller"},
         {"listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"},
         {"controller.listener.names", "CONTROLLER"},
         {"metadata.log.max.record.bytes.between.snapshots", "3000"},
         {"log.dirs", directory}});
    if (!config.ok()) fail(config.error().message);
    return *config;
}

void check(ErrorCode code) {
    if (code != ErrorCode::none) fail("refused: " + std::string(error_name(code)));
}

io::Task<void> live(runtime::Quorum* quorum, runtime::MetadataPublisher* publisher,
                    runtime::Controller* controller, std::string prefix,
                    std::promise<void>* ended) {
    auto opened = publisher->open();
    if (opened.ok()) opened = quorum->start();
    if (!opened.ok()) fail(opened.error().message);
    const std::vector<metadata::Endpoint> endpoints{{"PLAINTEXT", "localhost", 9092, 0}};
    const std::vector<DirectoryId> directories{DirectoryId(*Uuid::parse("EIXF5NxCWBtx-Zq7OuYNnA"))};
    auto started = co_await controller->start(endpoints, directories);
    if (!started.ok()) fail(started.error().message);
    const runtime::CallContext call;

    for (int i = 0; i < 12; ++i) {
        wire::CreateTopicsRequest create;
        auto& topic = create.topics.emplace_back();
        topic.name = prefix + std::to_string(i);
        topic.num_partitions = 1 + i % 3;
        topic.replication_factor = 1;
        if (i % 2 == 0) topic.configs.push_back({"retention.ms", "60000"});
        auto created = co_await controller->answer(create, 7, call);
        check(created.topics.at(0).error_code);
    }
    wire::DeleteTopicsRequest remove;
    remove.topics.emplace_back().name = prefix + "3";
    auto removed = co_await controller->answer(remove, 6, call);
    check(removed.responses.at(0).error_code);
    wire::IncrementalAlterConfigsRequest alter;
    auto& resource = alter.resources.emplace_back();
    resource.resource_type = 4;
    resource.configs.push_back({"log.retention.ms", 0, "7200000"});
    auto altered = co_await controller->answer(alter, 1, call);
    check(altered.responses.at(0).error_code);
    wire::AllocateProducerIdsRequest ids;
    ids.broker_id = BrokerId(0);
    ids.broker_epoch = controller->broker_epoch();
    auto allocated = co_await controller->answer(ids, 0, call);
    check(allocated.error_code);

    co_await controller->stop();
    co_await publisher->stop();
    co_await quorum->stop();
    ended->set_value();
}

void write(const std::string& directory) {
    const metadata::BrokerConfig config = config_for(directory);
    for (const char* prefix : {"first-", "second-"}) {
        os::NodePorts ports("samples", std::make_shared<os::PolicyTime>(), {});
        std::unique_ptr<runtime::Quorum> quorum;
        std::unique_ptr<runtime::MetadataPublisher> publisher;
        std::unique_ptr<runtime::Controller> controller;
        std::promise<void> ended;
        ports.shard().run([&] {
            runtime::ControllerOptions options;
            options.cluster_id = "EP8WngEXDoF8-VjB0OyKHA";
            Prng random = ports.ports().random.fork("incarnation");
            options.incarnation = Uuid::random(random);
            options.controller_endpoints = {{"CONTROLLER", "localhost", 9093, 0}};
            quorum = std::make_unique<runtime::Quorum>(ports.ports(),
                                                       runtime::QuorumOptions::of(config));
            publisher = std::make_unique<runtime::MetadataPublisher>(ports.ports(), config,
                                                                     quorum.get(), nullptr);
            controller = std::make_unique<runtime::Controller>(ports.ports(), config, quorum.get(),
                                                               publisher.get(), options);
            io::detach(live(quorum.get(), publisher.get(), controller.get(), prefix, &ended));
        });
        ended.get_future().wait();
        ports.shard().run([&] {
            controller.reset();
            publisher.reset();
            quorum.reset();
        });
    }
}

void read(const std::string& directory, int node) {
    os::NodePorts ports("samples", std::make_shared<os::PolicyTime>(), {});
    runtime::QuorumOptions options;
    options.directory = directory;
    options.node_id = BrokerId(node);
    metadata::ImageLoader loader;
    ports.shard().run([&] {
        runtime::Quorum quorum(ports.ports(), options);
        auto replay = [&](const runtime::MetadataEntry& entry) -> Status {
            if (entry.control) {
                loader.skip(entry.offset, entry.epoch, entry.timestamp);
                return {};
            }
            PABAL_TRY_ASSIGN(const metadata::Record record, metadata::decode(entry.value));
            return loader.replay(record, entry.offset, entry.epoch, entry.timestamp);
        };
        auto opened = quorum.open();
        if (opened.ok()) opened = quorum.read_snapshot(replay);
        const auto snapshot = quorum.latest_snapshot();
        const Offset from = snapshot ? snapshot->end_offset : Offset(0);
        if (opened.ok()) opened = quorum.read(from, quorum.log_end_offset(), replay);
        if (!opened.ok()) fail(opened.error().message);
    });
    const metadata::ClusterImage& image = loader.image();
    for (const auto& [name, level] : image.features())
        std::printf("feature %s %d\n", name.c_str(), level);
    for (const auto& [id, broker] : image.brokers())
        std::printf("broker %d %s\n", id.value(), broker.fenced ? "fenced" : "unfenced");
    for (const auto& topic : image.topics())
        std::printf("topic %s %s %zu\n", topic->name.c_str(), topic->id.value().text().c_str(),
                    topic->partitions.size());
    for (const auto& [resource, settings] : image.configs())
        for (const auto& [name, value] : settings)
            std::printf("config %d %s %s=%s\n", static_cast<int>(resource.type),
                        resource.name.c_str(), name.c_str(), value.c_str());
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 3 && std::string(arguments[1]) == "write") {
        write(arguments[2]);
    } else if (count == 4 && std::string(arguments[1]) == "read") {
        read(arguments[2], std::atoi(arguments[3]));
    } else {
        fail("usage: metadata_samples write DIRECTORY | read DIRECTORY NODE_ID");
    }
    return 0;
}
