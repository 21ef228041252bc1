// One simulated machine with the partitions of one broker on it, and metadata that the test writes.
// The machine survives a crash; `start` boots it anew.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "io/task.h"
#include "metadata/broker_config.h"
#include "metadata/cluster_delta.h"
#include "metadata/cluster_image.h"
#include "metadata/record.h"
#include "record/batch_builder.h"
#include "runtime/broker_store.h"
#include "runtime/partitions.h"
#include "sim/machine.h"

namespace pabal::runtime {

class DataWorld {
public:
    explicit DataWorld(std::uint64_t seed = 1, std::map<std::string, std::string> properties = {},
                       std::uint64_t capacity_bytes = 1u << 30)
        : scheduler(seed),
          network(scheduler),
          machine(scheduler, network, "alpha", capacity_bytes, sim::Skew()),
          config(parse(std::move(properties))),
          image(std::make_shared<metadata::ClusterImage>()) {}
    ~DataWorld() { crash(sim::Death::killed); }

    static metadata::BrokerConfig parse(std::map<std::string, std::string> properties) {
        properties.emplace("process.roles", "broker,controller");
        properties.emplace("node.id", "0");
        properties.emplace("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0");
        properties.emplace("controller.listener.names", "CONTROLLER");
        properties.emplace("log.dirs", "/data");
        auto parsed = metadata::BrokerConfig::parse(properties);
        EXPECT_TRUE(parsed.ok()) << parsed.error().message;
        return std::move(parsed).value();
    }

    Status start() {
        process = machine.boot();
        ports.emplace(process->ports());
        EXPECT_TRUE(ports->disk.make_directories("/data").ok());
        EXPECT_TRUE(ports->disk.sync_directory("/").ok());
        store = std::make_unique<BrokerStore>(&*ports, "/data/store");
        Partitions::Options options = limits;
        LogDirectory directory;
        directory.path = "/data";
        directory.id = data_id;
        options.log_directories.push_back(std::move(directory));
        for (const LogDirectory& another : more_directories) {
            if (another.online()) {
                EXPECT_TRUE(ports->disk.make_directories(another.path).ok());
            }
            options.log_directories.push_back(another);
        }
        options.directory_failed = [this](DirectoryId id, const std::string&) {
            failed.push_back(id);
        };
        options.placed = [this](TopicPartition partition, DirectoryId id) {
            placed[partition] = id;
        };
        options.all_directories_failed = [this](std::string why) { fatal = std::move(why); };
        partitions = std::make_unique<Partitions>(&*ports, &config, store.get(), &log, options);
        auto status = run(partitions->start());
        if (status.ok()) {
            auto all =
                std::make_shared<metadata::ClusterDelta>(metadata::ClusterDelta::all_of(*image));
            run(partitions->apply(all, image));
        }
        return status;
    }
    void stop() {
        run(partitions->stop(BrokerEpoch(11)));
        run(store->close());
        leave();
    }
    void crash(sim::Death death) {
        if (!process) return;
        process->die(death);
        run(partitions->kill());
        leave();
    }

    // Applies records as one delta.
    void apply(std::vector<metadata::Record> records) {
        auto next = std::make_shared<metadata::ClusterImage>(*image);
        auto delta = std::make_shared<metadata::ClusterDelta>();
        for (const auto& record : records) {
            const auto replayed = next->replay(record, delta.get());
            ASSERT_TRUE(replayed.ok()) << replayed.error().message;
        }
        image = next;
        if (partitions) run(partitions->apply(delta, image));
    }
    TopicId create_topic(std::string name, std::int32_t count = 1,
                         std::map<std::string, std::string> settings = {}) {
        std::vector<metadata::Record> records;
        wire::TopicRecord topic;
        topic.name = name;
        topic.topic_id = TopicId(Uuid::random(ids));
        records.emplace_back(topic);
        for (std::int32_t index = 0; index < count; ++index)
            records.emplace_back(partition_record(topic.topic_id, index));
        for (const auto& [key, value] : settings) records.emplace_back(setting(name, key, value));
        apply(std::move(records));
        return topic.topic_id;
    }
    void delete_topic(TopicId id) {
        wire::RemoveTopicRecord removal;
        removal.topic_id = id;
        apply({metadata::Record(removal)});
    }
    static wire::PartitionRecord partition_record(TopicId topic, std::int32_t index) {
        wire::PartitionRecord partition;
        partition.topic_id = topic;
        partition.partition_id = PartitionIndex(index);
        partition.replicas = {BrokerId(0)};
        partition.isr = {BrokerId(0)};
        partition.leader = BrokerId(0);
        partition.leader_epoch = LeaderEpoch(0);
        partition.partition_epoch = PartitionEpoch(0);
        partition.directories = {DirectoryId()};
        return partition;
    }
    static wire::ConfigRecord setting(std::string topic, std::string name, std::string value) {
        wire::ConfigRecord record;
        record.resource_type = 2;
        record.resource_name = std::move(topic);
        record.name = std::move(name);
        record.value = std::move(value);
        return record;
    }

    Partition* partition(std::string_view topic, std::int32_t index = 0) {
        const auto* found = partitions->topic(topic);
        return found ? found->partition(PartitionIndex(index)) : nullptr;
    }
    // One record a value.
    Bytes batch(std::vector<std::string> values, std::int64_t timestamp = -1) {
        if (timestamp < 0) timestamp = ports->clock.wall_now().milliseconds;
        record::RecordBatchBuilder builder;
        for (const auto& value : values)
            builder.append(WallTime{timestamp}, as_bytes("key"), as_bytes(value));
        return builder.build();
    }
    // Appends and waits for the acknowledgement.
    ErrorCode produce(Partition* partition, std::vector<std::string> values,
                      replication::RequiredAcks acks = replication::RequiredAcks::all) {
        const auto outcome = partition->append(batch(std::move(values)), acks, true);
        if (!partition->must_wait(outcome, acks)) return outcome.error;
        const auto deadline = ports->clock.now() + Duration::seconds(30);
        return run(partition->acknowledged(outcome.end_offset, outcome.awaits_flush, outcome.reign,
                                           acks, deadline));
    }
    // Everything that a consumer reads from `from` on, as values.
    std::vector<std::string> values(const Partition* partition, std::int64_t from = 0) {
        std::vector<std::string> all;
        Offset next(from);
        while (true) {
            auto found =
                partition->read({next}, replication::Isolation::read_uncommitted, 1 << 20, true);
            EXPECT_EQ(found.error, ErrorCode::none);
            if (found.records.empty()) return all;
            const auto bytes = found.records.flatten();
            if (!bytes) return all;
            record::BatchWalker walker(*bytes);
            while (true) {
                auto batch = walker.next();
                EXPECT_TRUE(batch.ok());
                if (!batch.ok() || !*batch) break;
                record::RecordReader reader(**batch, (*batch)->records());
                for (auto record = reader.next(); record.ok() && *record; record = reader.next()) {
                    if ((*record)->offset >= next) all.emplace_back(as_text(*(*record)->value));
                }
                next = (*batch)->next_offset();
            }
        }
    }

    template <class T>
    T run(io::Task<T> task) {
        std::optional<T> result;
        bool done = false;
        io::detach(finish(std::move(task), &result, &done));
        wait([&] { return done; });
        return std::move(*result);
    }
    void run(io::Task<void> task) {
        bool done = false;
        io::detach(finish(std::move(task), &done));
        wait([&] { return done; });
    }
    void wait(const std::function<bool()>& done) {
        ASSERT_TRUE(scheduler.run_until(done, scheduler.now() + Duration::seconds(600)))
            << "nothing happens any more";
    }
    bool exists(const std::string& path) { return *ports->disk.exists(path); }
    std::vector<std::string> names_in(const std::string& directory) {
        std::vector<std::string> names;
        const auto entries = ports->disk.list(directory);
        if (entries.ok()) {
            for (const auto& entry : *entries) names.push_back(entry.name);
        }
        return names;
    }

    sim::Scheduler scheduler;
    sim::Network network;
    sim::Machine machine;
    std::unique_ptr<sim::Process> process;
    std::optional<io::Ports> ports;
    metadata::BrokerConfig config;
    KeptLogSink sink;
    Logger log{sink};
    Partitions::Options limits;
    DirectoryId data_id{};                       // Of /data.
    std::vector<LogDirectory> more_directories;  // Beside it.
    std::vector<DirectoryId> failed;
    std::map<TopicPartition, DirectoryId> placed;
    std::unique_ptr<BrokerStore> store;
    std::unique_ptr<Partitions> partitions;
    std::shared_ptr<const metadata::ClusterImage> image;
    Prng ids{99};
    std::string fatal;

private:
    template <class T>
    static io::Task<void> finish(io::Task<T> task, std::optional<T>* result, bool* done) {
        auto value = co_await task;
        result->emplace(std::move(value));
        *done = true;
    }
    static io::Task<void> finish(io::Task<void> task, bool* done) {
        co_await task;
        *done = true;
    }
    void leave() {
        partitions.reset();
        store.reset();
        ports.reset();
        process.reset();
    }
};

}  // namespace pabal::runtime
