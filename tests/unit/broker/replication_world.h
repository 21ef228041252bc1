// Brokers with the whole data path (partitions, fetchers, connections, handlers) on machines of a
// simulated network, metadata that the test writes for all of them, and a controller of a few lines
// that decides about in-sync replicas as it is told.
#pragma once

#include <algorithm>

#include "broker/connections.h"
#include "broker/dispatch.h"
#include "broker/fetch_sessions.h"
#include "broker/producer_ids.h"
#include "broker/topic_creation.h"
#include "runtime/controller_link.h"
#include "runtime/fetchers.h"
#include "runtime/group_coordinator.h"
#include "runtime/isr_changes.h"
#include "tests/unit/runtime/data_world.h"
#include "wire/delete_records.h"
#include "wire/fetch.h"
#include "wire/list_offsets.h"
#include "wire/produce.h"

namespace pabal::broker {

using Values = std::vector<std::string>;

class ReplicationWorld {
public:
    using Properties = std::map<std::string, std::string>;

    explicit ReplicationWorld(std::uint64_t seed = 1, int count = 3, Properties properties = {})
        : scheduler(seed), network(scheduler), image(std::make_shared<metadata::ClusterImage>()) {
        for (int id = 0; id < count; ++id) {
            nodes.push_back(std::make_unique<Node>(this, id, properties));
            start(id);
        }
    }
    ~ReplicationWorld() {
        for (auto& node : nodes) kill(node->id.value());
    }

    struct Node {
        Node(ReplicationWorld* owner, int number, Properties properties)
            : world(owner),
              id(number),
              name("b" + std::to_string(number)),
              machine(owner->scheduler, owner->network, name, 1u << 30, sim::Skew()),
              config(parse(number, std::move(properties))) {}

        static metadata::BrokerConfig parse(int number, Properties properties) {
            properties["node.id"] = std::to_string(number);
            properties["listeners"] = "PLAINTEXT://:9092,CONTROLLER://:9093";
            return runtime::DataWorld::parse(std::move(properties));
        }
        bool alive() const { return process != nullptr; }

        ReplicationWorld* world;
        BrokerId id;
        std::string name;
        sim::Machine machine;
        metadata::BrokerConfig config;
        KeptLogSink sink;
        Logger log{sink};
        std::unique_ptr<sim::Process> process;
        std::optional<io::Ports> ports;
        std::unique_ptr<runtime::BrokerStore> store;
        std::unique_ptr<runtime::Partitions> partitions;
        std::unique_ptr<runtime::Fetchers> fetchers;
        std::unique_ptr<runtime::IsrChanges> isr_changes;
        std::optional<FetchSessions> sessions;
        Metrics metrics;
        std::optional<runtime::Quorum> quorum;
        std::optional<runtime::MetadataPublisher> publisher;
        std::optional<runtime::Controller> controller;
        std::optional<runtime::Peers> peers;
        std::optional<runtime::ControllerLink> link;
        std::optional<ProducerIds> producer_ids;
        std::optional<TopicCreation> topic_creation;
        std::optional<runtime::GroupCoordinator> groups;
        std::unique_ptr<Context> context;
        std::unique_ptr<Dispatch> dispatch;
        std::unique_ptr<Connections> connections;
        std::int64_t broker_epoch = 0;
        Peer peer;
    };

    Node& node(int id) { return *nodes[static_cast<std::size_t>(id)]; }
    runtime::Partition* partition(int id, std::string_view topic, std::int32_t index = 0) {
        if (!node(id).partitions) return nullptr;
        const auto* found = node(id).partitions->topic(topic);
        return found ? found->partition(PartitionIndex(index)) : nullptr;
    }
    const metadata::PartitionImage& state(std::string_view topic, std::int32_t index = 0) {
        return *image->topic(topic)->partition(PartitionIndex(index));
    }

    // Boots, serves, registers with a new epoch, and joins the metadata.
    void start(int id) {
        auto& n = node(id);
        n.process = n.machine.boot();
        n.ports.emplace(n.process->ports());
        EXPECT_TRUE(n.ports->disk.make_directories("/data").ok());
        EXPECT_TRUE(n.ports->disk.sync_directory("/").ok());
        n.store = std::make_unique<runtime::BrokerStore>(&*n.ports, "/data/store");
        runtime::Partitions::Options options;
        runtime::LogDirectory directory;
        directory.path = "/data";
        options.log_directories.push_back(std::move(directory));
        options.incarnation = Uuid::random(ids);
        const Uuid incarnation = options.incarnation;
        n.partitions = std::make_unique<runtime::Partitions>(&*n.ports, &n.config, n.store.get(),
                                                             &n.log, std::move(options));
        n.fetchers =
            std::make_unique<runtime::Fetchers>(&*n.ports, &n.config, n.partitions.get(), &n.log);
        n.isr_changes = std::make_unique<runtime::IsrChanges>(
            &*n.ports, n.partitions.get(), n.id, &n.log,
            [this](wire::AlterPartitionRequest request, Instant) {
                return decide(this, std::move(request));
            });
        n.partitions->on_isr_change([&n](std::shared_ptr<runtime::Partition> partition) {
            n.isr_changes->want(std::move(partition));
        });
        n.sessions.emplace(10, Prng(5));
        n.quorum.emplace(*n.ports, runtime::QuorumOptions::of(n.config));
        n.publisher.emplace(*n.ports, n.config, &*n.quorum, &n.log);
        n.controller.emplace(*n.ports, n.config, &*n.quorum, &*n.publisher,
                             runtime::ControllerOptions());
        n.peers.emplace(&n.ports->clock, &n.ports->network, "test");
        n.link.emplace(&n.ports->clock, &*n.controller, &*n.quorum, &*n.publisher, &*n.peers);
        n.producer_ids.emplace(&n.ports->clock, &*n.link, n.id, [] { return BrokerEpoch(-1); });
        n.topic_creation.emplace(&n.ports->clock, &*n.link, &n.config, &n.log);
        n.groups.emplace(&*n.ports, &n.config, &*n.partitions, &n.log);
        n.context.reset(new Context{n.config, n.ports->clock, Prng(1), *n.controller, *n.partitions,
                                    *n.sessions, *n.producer_ids, *n.topic_creation, *n.groups,
                                    n.metrics, n.log, n.id, "cluster"});
        n.dispatch = std::make_unique<Dispatch>(n.context.get());
        n.connections = std::make_unique<Connections>(n.context.get(), n.dispatch.get());
        n.peer.listener_name = "PLAINTEXT";
        auto listener = n.ports->network.listen({"", 9092});
        EXPECT_TRUE(listener.ok());
        n.connections->serve(std::move(*listener), "PLAINTEXT", ListenerRole::broker);

        EXPECT_TRUE(run(n.partitions->start()).ok());
        // Everything that is known before this broker is in sync with it.
        tell(&n, std::make_shared<metadata::ClusterDelta>(metadata::ClusterDelta::all_of(*image)));
        wire::RegisterBrokerRecord registration;
        registration.broker_id = n.id;
        n.broker_epoch = ++last_epoch;
        registration.broker_epoch = BrokerEpoch(n.broker_epoch);
        registration.incarnation_id = incarnation;
        registration.fenced = false;
        registration.rack = "rack-" + std::to_string(id);
        registration.end_points.push_back({"PLAINTEXT", n.name, 9092, 0});
        apply({metadata::Record(registration)});
    }
    // A clean end, as of a controlled shutdown without the hand-over.
    void stop(int id) {
        auto& n = node(id);
        n.connections->stop();
        run(n.fetchers->stop());
        run(n.isr_changes->stop());
        run(n.partitions->stop(BrokerEpoch(n.broker_epoch)));
        n.connections->reset();
        end(&n);
    }
    void kill(int id, sim::Death death = sim::Death::killed) {
        auto& n = node(id);
        if (!n.alive()) return;
        n.process->die(death);
        n.connections->reset();
        run(n.fetchers->kill());
        run(n.isr_changes->stop());
        run(n.partitions->kill());
        end(&n);
        if (death == sim::Death::power_lost) n.machine.lose_power();
    }

    // --- metadata
    void apply(std::vector<metadata::Record> records) {
        auto next = std::make_shared<metadata::ClusterImage>(*image);
        auto delta = std::make_shared<metadata::ClusterDelta>();
        for (const auto& record : records) {
            const auto replayed = next->replay(record, delta.get());
            ASSERT_TRUE(replayed.ok()) << replayed.error().message;
        }
        image = next;
        for (auto& node : nodes) {
            if (node->alive()) tell(node.get(), delta);
        }
    }
    TopicId create_topic(std::string name, std::vector<int> replicas, Properties settings = {},
                         std::int32_t count = 1) {
        std::vector<metadata::Record> records;
        wire::TopicRecord topic;
        topic.name = name;
        topic.topic_id = TopicId(Uuid::random(ids));
        records.emplace_back(topic);
        for (std::int32_t index = 0; index < count; ++index) {
            auto record = runtime::DataWorld::partition_record(topic.topic_id, index);
            record.replicas.clear();
            record.directories.clear();
            for (const int id : replicas) {
                record.replicas.push_back(BrokerId(id));
                record.directories.push_back(DirectoryId());
            }
            record.isr = record.replicas;
            record.leader = record.replicas.front();
            records.emplace_back(record);
        }
        for (const auto& [key, value] : settings)
            records.emplace_back(runtime::DataWorld::setting(name, key, value));
        apply(std::move(records));
        return topic.topic_id;
    }
    wire::PartitionChangeRecord change_of(std::string_view topic, std::int32_t index = 0) {
        wire::PartitionChangeRecord change;
        change.topic_id = image->topic(topic)->id;
        change.partition_id = PartitionIndex(index);
        return change;
    }
    // What the controller does when it finds a broker dead: fences it, takes it out of the ISR, and
    // lets another member lead.
    void fail_over(int dead, std::string_view topic) {
        const auto& now = state(topic);
        auto change = change_of(topic);
        auto isr = now.isr;
        std::erase(isr, BrokerId(dead));
        if (isr.empty()) return;
        change.isr = isr;
        if (now.leader == BrokerId(dead)) change.leader = isr.front();
        wire::BrokerRegistrationChangeRecord fencing;
        fencing.broker_id = BrokerId(dead);
        fencing.broker_epoch = image->broker(BrokerId(dead))->epoch;
        fencing.fenced = 1;
        apply({metadata::Record(change), metadata::Record(fencing)});
    }

    // --- clients
    struct Produced {
        bool done = false;
        ErrorCode error = ErrorCode::none;
    };
    // Of any broker that lives; old records would not be retained.
    WallTime wall_now() {
        for (auto& node : nodes)
            if (node->alive()) return node->ports->clock.wall_now();
        return WallTime();
    }
    Bytes batch(const Values& values) {
        record::RecordBatchBuilder builder;
        for (const auto& value : values)
            builder.append(wall_now(), as_bytes("key"), as_bytes(value));
        return builder.build();
    }
    std::shared_ptr<Produced> begin_produce(int id, std::string_view topic, Values values,
                                            Duration patience = Duration::seconds(30)) {
        auto produced = std::make_shared<Produced>();
        auto* leader = partition(id, topic);
        if (!leader) {
            produced->done = true;
            produced->error = ErrorCode::unknown_topic_or_partition;
            return produced;
        }
        auto outcome = leader->append(batch(values), replication::RequiredAcks::all, true);
        if (outcome.error != ErrorCode::none ||
            !leader->must_wait(outcome, replication::RequiredAcks::all)) {
            produced->done = true;
            produced->error = outcome.error;
            return produced;
        }
        const auto deadline = node(id).ports->clock.now() + patience;
        io::detach(await(leader->shared_from_this(), outcome.end_offset, outcome.awaits_flush,
                         outcome.reign, deadline, produced));
        return produced;
    }
    ErrorCode produce(int id, std::string_view topic, Values values) {
        const auto produced = begin_produce(id, topic, std::move(values));
        wait([&] { return produced->done; });
        return produced->error;
    }
    // All of the log, committed or not.
    Values values_on(int id, std::string_view topic) {
        Values all;
        const auto* log = partition(id, topic)->log();
        Offset next = log->log_start_offset();
        while (next < log->log_end_offset()) {
            auto found = log->read(next, log->log_end_offset(), 1 << 20, true);
            EXPECT_TRUE(found.ok());
            const auto bytes = found.ok() ? found->records.flatten() : std::nullopt;
            if (!bytes || bytes->empty()) break;
            record::BatchWalker walker(*bytes);
            while (true) {
                auto batch = walker.next();
                if (!batch.ok() || !*batch) break;
                record::RecordReader reader(**batch, (*batch)->records());
                for (auto record = reader.next(); record.ok() && *record; record = reader.next())
                    if ((*record)->offset >= next) all.emplace_back(as_text(*(*record)->value));
                next = (*batch)->next_offset();
            }
        }
        return all;
    }
    bool in_sync(std::string_view topic) {
        const auto& now = state(topic);
        return now.isr.size() == now.replicas.size();
    }
    // All replicas hold what the leader holds, and know it to be committed.
    bool converged(std::string_view topic) {
        const auto leader = state(topic).leader;
        if (leader == no_broker || !in_sync(topic)) return false;
        const auto* led = partition(leader.value(), topic);
        if (!led || !led->log()) return false;
        for (const auto id : state(topic).replicas) {
            const auto* each = partition(id.value(), topic);
            if (!each || !each->log()) return false;
            if (each->log()->log_end_offset() != led->log()->log_end_offset()) return false;
            if (each->high_watermark() != led->log()->log_end_offset()) return false;
        }
        return true;
    }

    // --- time
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
    bool within(Duration duration, const std::function<bool()>& done) {
        return scheduler.run_until(done, scheduler.now() + duration);
    }

    sim::Scheduler scheduler;
    sim::Network network;
    std::shared_ptr<const metadata::ClusterImage> image;
    std::vector<std::unique_ptr<Node>> nodes;
    Prng ids{99};
    std::int64_t last_epoch = 100;
    bool controller_answers = true;
    int isr_requests = 0;

private:
    void tell(Node* n, std::shared_ptr<const metadata::ClusterDelta> delta) {
        run(n->partitions->apply(delta, image));
        n->fetchers->apply(*delta);
    }
    void end(Node* n) {
        run(n->connections->ended(Instant::never()));
        run(n->groups->stop());
        run(n->store->close());
        n->connections.reset();
        n->dispatch.reset();
        n->context.reset();
        n->groups.reset();
        n->topic_creation.reset();
        n->producer_ids.reset();
        n->link.reset();
        n->peers.reset();
        n->controller.reset();
        n->publisher.reset();
        n->quorum.reset();
        n->sessions.reset();
        n->isr_changes.reset();
        n->fetchers.reset();
        n->partitions.reset();
        n->store.reset();
        n->ports.reset();
        n->process.reset();
    }
    static io::Task<Result<wire::AlterPartitionResponse>> decide(
        ReplicationWorld* world, wire::AlterPartitionRequest request) {
        ++world->isr_requests;
        if (!world->controller_answers)
            co_return Error{ErrorCode::request_timed_out, "there is no controller"};
        wire::AlterPartitionResponse response;
        for (const auto& topic : request.topics) {
            auto& told_topic = response.topics.emplace_back();
            told_topic.topic_id = topic.topic_id;
            for (const auto& data : topic.partitions) {
                auto& told = told_topic.partitions.emplace_back();
                told.partition_index = data.partition_index;
                const auto* now = world->image->partition({topic.topic_id, data.partition_index});
                if (!now) {
                    told.error_code = ErrorCode::unknown_topic_id;
                    continue;
                }
                if (data.leader_epoch != now->leader_epoch) {
                    told.error_code = ErrorCode::fenced_leader_epoch;
                } else if (data.partition_epoch != now->partition_epoch) {
                    told.error_code = ErrorCode::invalid_update_version;
                }
                std::vector<BrokerId> isr;
                for (const auto& member : data.new_isr_with_epochs) {
                    isr.push_back(member.broker_id);
                    const auto* broker = world->image->broker(member.broker_id);
                    if (!broker || broker->fenced || broker->epoch != member.broker_epoch)
                        told.error_code = ErrorCode::ineligible_replica;
                }
                if (told.error_code == ErrorCode::none)
                    world->commit(topic.topic_id, data.partition_index, isr);
                const auto* then = world->image->partition({topic.topic_id, data.partition_index});
                told.leader_id = then->leader;
                told.leader_epoch = then->leader_epoch;
                told.partition_epoch = then->partition_epoch;
                told.isr = then->isr;
            }
        }
        co_return response;
    }
    // Into the image at once, to the brokers a little later.
    void commit(TopicId topic, PartitionIndex index, std::vector<BrokerId> isr) {
        wire::PartitionChangeRecord change;
        change.topic_id = topic;
        change.partition_id = index;
        change.isr = std::move(isr);
        auto next = std::make_shared<metadata::ClusterImage>(*image);
        auto delta = std::make_shared<metadata::ClusterDelta>();
        EXPECT_TRUE(next->replay(metadata::Record(change), delta.get()).ok());
        image = next;
        for (auto& node : nodes) {
            if (node->alive()) io::detach(tell_later(node.get(), delta, image));
        }
    }
    static io::Task<void> tell_later(Node* n, std::shared_ptr<const metadata::ClusterDelta> delta,
                                     std::shared_ptr<const metadata::ClusterImage> then) {
        co_await n->partitions->apply(delta, then);
        if (n->fetchers) n->fetchers->apply(*delta);
    }
    static io::Task<void> await(std::shared_ptr<runtime::Partition> partition, Offset end,
                                bool awaits_flush, std::uint32_t reign, Instant deadline,
                                std::shared_ptr<Produced> produced) {
        const auto error = co_await partition->acknowledged(
            end, awaits_flush, reign, replication::RequiredAcks::all, deadline);
        produced->error = error;
        produced->done = true;
    }
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
};

}  // namespace pabal::broker
