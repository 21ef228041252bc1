// A DataWorld with what the handlers of the data path reach, and calls that answer at once.
#pragma once

#include "base/metrics.h"
#include "broker/context.h"
#include "broker/dispatch.h"
#include "broker/fetch_sessions.h"
#include "broker/producer_ids.h"
#include "broker/topic_creation.h"
#include "runtime/controller_link.h"
#include "runtime/group_coordinator.h"
#include "tests/unit/runtime/data_world.h"
#include "wire/delete_records.h"
#include "wire/describe_log_dirs.h"
#include "wire/fetch.h"
#include "wire/list_offsets.h"
#include "wire/offset_for_leader_epoch.h"
#include "wire/produce.h"
#include "wire/writer.h"

namespace pabal::broker {

class HandlerWorld : public runtime::DataWorld {
public:
    explicit HandlerWorld(std::size_t max_sessions = 10,
                          std::map<std::string, std::string> properties = {})
        : DataWorld(1, std::move(properties)), sessions(max_sessions, Prng(5)) {
        EXPECT_TRUE(start().ok());
        quorum.emplace(*ports, runtime::QuorumOptions::of(config));
        publisher.emplace(*ports, config, &*quorum, &log);
        controller.emplace(*ports, config, &*quorum, &*publisher, runtime::ControllerOptions());
        peers.emplace(&ports->clock, &ports->network, "test");
        link.emplace(&ports->clock, &*controller, &*quorum, &*publisher, &*peers);
        producer_ids.emplace(&ports->clock, &*link, BrokerId(0), [] { return BrokerEpoch(-1); });
        topic_creation.emplace(&ports->clock, &*link, &config, &log);
        groups.emplace(&*ports, &config, &*partitions, &log);
        context.reset(new Context{config, ports->clock, Prng(1), *controller, *partitions, sessions,
                                  *producer_ids, *topic_creation, *groups, metrics, log,
                                  BrokerId(0), "cluster"});
        peer.listener_name = "PLAINTEXT";
    }
    ~HandlerWorld() {
        context.reset();
        run(groups->stop());
        groups.reset();
        topic_creation.reset();
        producer_ids.reset();
        link.reset();
        peers.reset();
        controller.reset();
        publisher.reset();
        quorum.reset();
    }

    RequestContext request(int version) {
        RequestContext made;
        made.peer = &peer;
        made.version = version;
        made.received = ports->clock.now();
        return made;
    }

    // --- Produce
    static wire::ProduceRequest produce_request(std::int16_t acks = -1) {
        wire::ProduceRequest request;
        request.acks = acks;
        request.timeout_ms = 1000;
        return request;
    }
    static void add(wire::ProduceRequest* request, std::string topic, std::int32_t index,
                    std::optional<Bytes> records, TopicId id = {}) {
        auto& data = request->topic_data.emplace_back();
        data.name = std::move(topic);
        data.topic_id = id;
        auto& partition = data.partition_data.emplace_back();
        partition.index = PartitionIndex(index);
        if (records) partition.records = Rope(*records);
    }
    wire::ProduceResponse call(wire::ProduceRequest message, int version,
                               RequestContext* outcome = nullptr) {
        auto made = request(version);
        auto* used = outcome ? outcome : &made;
        used->peer = &peer;
        used->version = version;
        return run(handle_produce(&*context, used, std::move(message)));
    }

    // --- Fetch
    struct Wish {
        std::string topic;
        std::int32_t index = 0;
        std::int64_t offset = 0;
        std::int32_t max_bytes = 1 << 20;
        std::int32_t epoch = -1;
        TopicId id = {};
        std::int32_t last_epoch = -1;
    };
    static wire::FetchRequest fetch_request(std::vector<Wish> wishes, std::int32_t max_wait = 0) {
        wire::FetchRequest request;
        request.min_bytes = 1;
        request.max_wait_ms = max_wait;
        for (const auto& wish : wishes) {
            auto& topic = request.topics.emplace_back();
            topic.topic = wish.topic;
            topic.topic_id = wish.id;
            auto& partition = topic.partitions.emplace_back();
            partition.partition = PartitionIndex(wish.index);
            partition.fetch_offset = Offset(wish.offset);
            partition.partition_max_bytes = wish.max_bytes;
            partition.current_leader_epoch = LeaderEpoch(wish.epoch);
            partition.last_fetched_epoch = LeaderEpoch(wish.last_epoch);
        }
        return request;
    }
    wire::FetchResponse call(wire::FetchRequest message, int version) {
        auto made = request(version);
        return run(handle_fetch(&*context, &made, std::move(message)));
    }
    // A fetch that goes on while the test does something else.
    struct Pending {
        RequestContext request;
        std::optional<wire::FetchResponse> response;
    };
    std::unique_ptr<Pending> begin(wire::FetchRequest message, int version) {
        auto pending = std::make_unique<Pending>();
        pending->request = request(version);
        io::detach(finish(&*context, pending.get(), std::move(message)));
        return pending;
    }
    wire::FetchResponse end(Pending* pending) {
        wait([&] { return pending->response.has_value(); });
        return std::move(*pending->response);
    }

    FetchSessions sessions;
    Metrics metrics;
    Peer peer;
    std::optional<runtime::Quorum> quorum;
    std::optional<runtime::MetadataPublisher> publisher;
    std::optional<runtime::Controller> controller;
    std::optional<runtime::Peers> peers;
    std::optional<runtime::ControllerLink> link;
    std::optional<ProducerIds> producer_ids;
    std::optional<TopicCreation> topic_creation;
    std::optional<runtime::GroupCoordinator> groups;
    std::unique_ptr<Context> context;

private:
    static io::Task<void> finish(Context* context, Pending* pending, wire::FetchRequest message) {
        auto response = co_await handle_fetch(context, &pending->request, std::move(message));
        pending->response.emplace(std::move(response));
    }
};

}  // namespace pabal::broker
