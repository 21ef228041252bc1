#include "node/node.h"

#include "base/probe.h"
#include "broker/connections.h"
#include "broker/context.h"
#include "broker/dispatch.h"
#include "broker/fetch_sessions.h"
#include "broker/metrics_endpoint.h"
#include "broker/producer_ids.h"
#include "broker/successions.h"
#include "broker/topic_creation.h"
#include "io/gate.h"
#include "metadata/broker_config.h"
#include "metadata/cluster_delta.h"
#include "node/log_directories.h"
#include "runtime/broker_lifecycle.h"
#include "runtime/broker_store.h"
#include "runtime/controller.h"
#include "runtime/controller_link.h"
#include "runtime/controller_registration.h"
#include "runtime/directory_assignments.h"
#include "runtime/fetchers.h"
#include "runtime/group_coordinator.h"
#include "runtime/isr_changes.h"
#include "runtime/partitions.h"
#include "runtime/transaction_coordinator.h"

namespace pabal::node {
namespace {

// What stop() grants the replies that are under way.
constexpr Duration farewell = Duration::seconds(5);
// And what it grants the controller for moving leaderships away.
constexpr Duration handover = Duration::seconds(5);

// Kafka skips the metadata log's directory when it looks for partitions, and looks for files alone
// in it: here the store is in nobody's way.
constexpr std::string_view store_directory = "/__cluster_metadata-0/pabal-store";

struct Bound {
    metadata::ListenerConfig config;
    std::unique_ptr<io::Listener> listener;
    metadata::Endpoint advertised;  // With the port that was chosen.
};

// HOST:PORT, [IPV6]:PORT or :PORT.
Result<io::Address> parse_address(const std::string& setting, const std::string& text) {
    std::size_t colon = text.rfind(':');
    io::Address address;
    std::int64_t port = -1;
    if (colon != std::string::npos && colon + 1 < text.size()) {
        port = 0;
        for (char c : text.substr(colon + 1)) {
            port = c >= '0' && c <= '9' && port <= 65535 ? port * 10 + (c - '0') : 65536;
        }
        address.host = text.substr(0, colon);
        if (address.host.starts_with('[') && address.host.ends_with(']'))
            address.host = address.host.substr(1, address.host.size() - 2);
    }
    if (port < 0 || port > 65535)
        return Error{ErrorCode::invalid_config, setting + " is '" + text + "'; write HOST:PORT"};
    address.port = static_cast<std::uint16_t>(port);
    return address;
}

}  // namespace

struct Node::Parts {
    Parts(io::Ports node_ports, metadata::BrokerConfig node_config, NodeOptions node_options,
          Logger node_log)
        : ports(std::move(node_ports)),
          config(std::move(node_config)),
          options(std::move(node_options)),
          log(node_log.with({{"node", config.node_id()}})) {}

    Status bind();
    io::Task<Status> start();
    // Ends whatever start() has begun; the order of an orderly end.
    io::Task<void> stop();
    io::Task<void> kill();
    io::Task<void> end_start();
    io::Task<void> tell_partitions(std::shared_ptr<const metadata::ClusterDelta> delta,
                                   runtime::ImagePointer image);
    io::Task<void> tell_groups(std::shared_ptr<const metadata::ClusterDelta> delta,
                               runtime::ImagePointer image);
    bool is_member(const metadata::ClusterImage& image) const;
    void make_broker(runtime::ControllerOptions controller_options,
                     std::vector<metadata::Endpoint> endpoints);
    void serve(bool controllers);
    io::Task<void> end_control();
    void release();
    void failed(const std::string& why);
    void refresh_metrics();

    io::Ports ports;
    metadata::BrokerConfig config;
    NodeOptions options;
    Logger log;
    Metrics metrics;
    LogDirectories directories;
    std::vector<Bound> bound;
    std::unique_ptr<io::Listener> metrics_listener;
    std::vector<Endpoint> listeners;

    // In the order in which they are made; freed the other way round.
    std::unique_ptr<runtime::BrokerStore> store;
    std::unique_ptr<runtime::Partitions> partitions;
    std::unique_ptr<runtime::Fetchers> fetchers;
    std::unique_ptr<runtime::GroupCoordinator> groups;
    std::unique_ptr<runtime::Quorum> quorum;
    std::unique_ptr<runtime::MetadataPublisher> publisher;
    std::unique_ptr<runtime::Controller> controller;
    std::unique_ptr<runtime::Peers> peers;
    std::unique_ptr<runtime::ControllerLink> link;
    std::unique_ptr<runtime::IsrChanges> isr_changes;
    std::unique_ptr<runtime::ControllerRegistration> controller_registration;
    std::unique_ptr<runtime::BrokerLifecycle> lifecycle;
    std::unique_ptr<runtime::DirectoryAssignments> assignments;
    std::unique_ptr<broker::FetchSessions> fetch_sessions;
    std::unique_ptr<broker::ProducerIds> producer_ids;
    std::unique_ptr<runtime::TransactionCoordinator> transactions;
    std::unique_ptr<broker::TopicCreation> topic_creation;
    std::unique_ptr<broker::Successions> successions;
    std::unique_ptr<broker::Context> context;
    std::unique_ptr<broker::Dispatch> dispatch;
    std::unique_ptr<broker::Connections> connections;
    std::unique_ptr<broker::MetricsEndpoint> metrics_endpoint;
    bool partitions_started = false;
    bool controller_started = false;
    bool failure_told = false;
    Uuid incarnation;  // Of this run.
    bool knows_partitions = false;
    bool knows_groups = false;
    bool starting = false;
    bool killed = false;
    io::Gate* start_awaited = nullptr;
};

Node::Node(io::Ports ports, metadata::BrokerConfig config, NodeOptions options, Logger log)
    : parts_(std::make_unique<Parts>(std::move(ports), std::move(config), std::move(options),
                                     std::move(log))) {}

Node::~Node() = default;

const std::vector<Endpoint>& Node::listeners() const {
    return parts_->listeners;
}

const std::string& Node::cluster_id() const {
    return parts_->directories.cluster_id;
}

Metrics& Node::metrics() {
    parts_->refresh_metrics();
    return parts_->metrics;
}

std::shared_ptr<const metadata::ClusterImage> Node::image() const {
    return parts_->controller ? parts_->controller->image() : nullptr;
}

io::Task<Status> Node::start() {
    Parts* parts = parts_.get();
    parts->starting = true;
    Status status = co_await parts->start();
    if (!status.ok() && !parts->killed) co_await parts->stop();
    parts->starting = false;
    if (parts->start_awaited) parts->start_awaited->open();
    co_return status;
}

io::Task<void> Node::stop() {
    return parts_->stop();
}

io::Task<void> Node::kill() {
    return parts_->kill();
}

Status Node::Parts::bind() {
    for (const metadata::ListenerConfig& listener : config.listeners()) {
        if (listener.bind.security_protocol != 0) {
            return Error{ErrorCode::invalid_config,
                         "listener " + listener.bind.name +
                             " asks for TLS or SASL, which this version does not serve; use "
                             "PLAINTEXT"};
        }
        Bound made;
        made.config = listener;
        io::Address address{listener.bind.host, listener.bind.port};
        auto listening = ports.network.listen(address);
        if (!listening.ok()) {
            return Error{ErrorCode::invalid_config,
                         "listener " + listener.bind.name +
                             " cannot be opened: " + listening.error().message +
                             "; end what uses that port, or set another in listeners"};
        }
        made.listener = std::move(*listening);
        made.advertised = listener.advertised;
        if (made.advertised.name.empty()) made.advertised.name = listener.bind.name;
        if (made.advertised.host.empty()) made.advertised.host = listener.bind.host;
        if (made.advertised.host.empty()) made.advertised.host = options.host_name;
        if (made.advertised.port == 0) made.advertised.port = made.listener->local().port;
        bound.push_back(std::move(made));
    }
    std::string metrics_address = config.text("pabal.metrics.listener");
    if (!metrics_address.empty()) {
        PABAL_TRY_ASSIGN(io::Address address,
                         parse_address("pabal.metrics.listener", metrics_address));
        auto listening = ports.network.listen(address);
        if (!listening.ok()) {
            return Error{ErrorCode::invalid_config,
                         "pabal.metrics.listener cannot be opened: " + listening.error().message};
        }
        metrics_listener = std::move(*listening);
    }
    return Status();
}

io::Task<Status> Node::Parts::start() {
    std::optional<Result<LogDirectories>> claimed;
    Prng random = ports.random.fork("log directories");
    const WallTime now = ports.clock.wall_now();
    std::function<void()> claim = [this, &claimed, random, now] {
        claimed.emplace(claim_log_directories(ports.disk, config, options, random, now));
    };
    co_await ports.disk.run(claim);
    if (!claimed->ok()) co_return claimed->error();
    directories = std::move(**claimed);
    Status bound_all = bind();
    if (!bound_all.ok()) co_return bound_all;

    store = std::make_unique<runtime::BrokerStore>(
        &ports, config.metadata_log_directory() + std::string(store_directory));
    runtime::Partitions::Options partition_options;
    partition_options.log_directories = directories.directories;
    partition_options.directory_failed = [this](DirectoryId directory, const std::string& why) {
        // Without the metadata log a node knows nothing.
        if (directory == directories.metadata_directory) return failed(why);
        if (lifecycle) lifecycle->directory_failed(directory);
    };
    partition_options.placed = [this](TopicPartition partition, DirectoryId directory) {
        assignments->tell(partition, directory);
    };
    partition_options.all_directories_failed = [this](std::string why) { failed(why); };
    partitions = std::make_unique<runtime::Partitions>(&ports, &config, store.get(), &log,
                                                       std::move(partition_options));
    successions = std::make_unique<broker::Successions>(&ports.clock);
    fetchers = std::make_unique<runtime::Fetchers>(&ports, &config, partitions.get(), &log);
    groups = std::make_unique<runtime::GroupCoordinator>(&ports, &config, partitions.get(), &log);

    runtime::ControllerOptions controller_options;
    controller_options.cluster_id = directories.cluster_id;
    Prng incarnation_random = ports.random.fork("incarnation");
    controller_options.incarnation = incarnation = Uuid::random(incarnation_random);
    controller_options.metadata_directory = directories.metadata_directory;
    controller_options.log = &log;
    std::vector<metadata::Endpoint> broker_endpoints;
    for (const Bound& each : bound) {
        if (each.config.controller) {
            controller_options.controller_endpoints.push_back(each.advertised);
        } else {
            broker_endpoints.push_back(each.advertised);
            listeners.push_back({each.advertised.name, each.advertised.host, each.advertised.port});
        }
    }
    runtime::QuorumOptions quorum_options = runtime::QuorumOptions::of(config);
    quorum_options.cluster_id = directories.cluster_id;
    quorum_options.directory_id = directories.metadata_directory;
    quorum_options.joins = config.asks_other_controllers() ||
                           options.first_voters == NodeOptions::FirstVoters::nobody_yet;
    for (const metadata::Endpoint& each : controller_options.controller_endpoints)
        quorum_options.settings.endpoints.push_back({each.name, each.host, each.port});
    quorum_options.log = &log;
    quorum = std::make_unique<runtime::Quorum>(ports, std::move(quorum_options));
    publisher = std::make_unique<runtime::MetadataPublisher>(ports, config, quorum.get(), &log);
    controller = std::make_unique<runtime::Controller>(ports, config, quorum.get(), publisher.get(),
                                                       controller_options);
    if (config.is_broker()) {
        publisher->subscribe([this](std::shared_ptr<const metadata::ClusterDelta> delta,
                                    runtime::ImagePointer image) {
            return tell_partitions(std::move(delta), std::move(image));
        });
        publisher->subscribe([this](std::shared_ptr<const metadata::ClusterDelta> delta,
                                    runtime::ImagePointer image) {
            return tell_groups(std::move(delta), std::move(image));
        });
    }
    publisher->on_failure([this](IoError error) { failed(error.message); });

    // A controller alone holds no partitions, and is no member of the cluster's brokers.
    if (config.is_broker()) {
        partitions_started = true;
        Status partitions_status = co_await partitions->start();
        if (!partitions_status.ok()) co_return partitions_status;
    }
    make_broker(controller_options, std::move(broker_endpoints));
    controller_started = true;
    Status opened = publisher->open();
    serve(true);
    if (opened.ok()) opened = quorum->start();
    if (!opened.ok()) co_return opened;
    if (config.is_controller()) controller_registration->start();
    if (config.is_broker()) {
        Status joined = co_await lifecycle->start();
        if (!joined.ok()) co_return joined;
    }
    serve(false);
    if (metrics_listener) {
        std::string address = io::text(metrics_listener->local());
        metrics_endpoint = std::make_unique<broker::MetricsEndpoint>(&ports.clock, &log, [this] {
            refresh_metrics();
            return metrics.render();
        });
        metrics_endpoint->serve(std::move(metrics_listener));
        log.info("metrics", {{"address", address}});
    }
    log.info("serving", {{"cluster", directories.cluster_id},
                         {"topics", controller->image()->topic_count()},
                         {"partitions", controller->image()->partition_count()},
                         {"formatted", directories.formatted}});
    co_return Status();
}

// What needs the network to know the cluster, and what clients reach of it.
void Node::Parts::make_broker(runtime::ControllerOptions controller_options,
                              std::vector<metadata::Endpoint> endpoints) {
    peers = std::make_unique<runtime::Peers>(
        &ports.clock, &ports.network, "pabal-node-" + std::to_string(config.node_id().value()));
    link = std::make_unique<runtime::ControllerLink>(&ports.clock, controller.get(), quorum.get(),
                                                     publisher.get(), peers.get());
    isr_changes = std::make_unique<runtime::IsrChanges>(
        &ports, partitions.get(), config.node_id(), &log,
        [this](wire::AlterPartitionRequest request, Instant deadline) {
            return link->call<wire::AlterPartitionResponse>(std::move(request), deadline);
        });
    partitions->on_isr_change([this](std::shared_ptr<runtime::Partition> partition) {
        isr_changes->want(std::move(partition));
    });
    controller_registration = std::make_unique<runtime::ControllerRegistration>(
        &ports.clock, config.node_id(), controller.get(), link.get(), publisher.get(),
        controller_options);
    runtime::BrokerLifecycle::Options broker_options;
    broker_options.cluster_id = directories.cluster_id;
    broker_options.incarnation = controller_options.incarnation;
    broker_options.endpoints = std::move(endpoints);
    for (const auto& directory : partitions->log_directories())
        if (directory->online()) broker_options.directories.push_back(directory->id);
    broker_options.previous_epoch = partitions->previous_broker_epoch();
    lifecycle = std::make_unique<runtime::BrokerLifecycle>(&ports.clock, &config, controller.get(),
                                                           link.get(), publisher.get(), &log,
                                                           std::move(broker_options));
    assignments = std::make_unique<runtime::DirectoryAssignments>(
        &ports.clock, config.node_id(), link.get(), &log, [this] { return lifecycle->epoch(); });
    fetch_sessions = std::make_unique<broker::FetchSessions>(
        static_cast<std::size_t>(config.integer("max.incremental.fetch.session.cache.slots")),
        ports.random.fork("fetch sessions"));
    producer_ids = std::make_unique<broker::ProducerIds>(&ports.clock, link.get(), config.node_id(),
                                                         [this] { return lifecycle->epoch(); });
    transactions = std::make_unique<runtime::TransactionCoordinator>(
        &ports, &config, partitions.get(), groups.get(), peers.get(),
        [this](Instant deadline) { return producer_ids->next(deadline); }, &log);
    topic_creation =
        std::make_unique<broker::TopicCreation>(&ports.clock, link.get(), &config, &log);
    context = std::unique_ptr<broker::Context>(new broker::Context{
        config, ports.clock, ports.random.fork("handlers"), *controller, *partitions,
        *fetch_sessions, *producer_ids, *topic_creation, *groups, metrics, log, config.node_id(),
        directories.cluster_id, link.get(), nullptr, quorum.get()});
    dispatch = std::make_unique<broker::Dispatch>(context.get());
    context->dispatch = dispatch.get();
    context->fetchers = fetchers.get();
    context->transactions = transactions.get();
    context->successions = successions.get();
    connections = std::make_unique<broker::Connections>(context.get(), dispatch.get());
    // Once it is known what this broker holds clients can be answered; whoever hears that it serves
    // must find it serving.
    publisher->on_publish([this] {
        if (knows_partitions) serve(false);
    });
}

// Accepts the connections of other nodes, or those of clients.
void Node::Parts::serve(bool controllers) {
    for (Bound& each : bound) {
        if (each.config.controller != controllers || !each.listener) continue;
        connections->serve(
            std::move(each.listener), each.config.bind.name,
            controllers ? broker::ListenerRole::controller : broker::ListenerRole::broker);
        log.info("listening", {{"listener", each.advertised.name},
                               {"host", each.advertised.host},
                               {"port", each.advertised.port}});
    }
}

// A start that waits for other nodes waits in vain from here on, and ends before anything is freed.
io::Task<void> Node::Parts::end_start() {
    if (!starting) co_return;
    io::Gate gate(ports.clock);
    start_awaited = &gate;
    if (link) link->stop();
    if (lifecycle) co_await lifecycle->stop();
    const Instant never = Instant::never();
    auto ended = gate.opened(never);
    if (starting) co_await ended;
    start_awaited = nullptr;
}

// What speaks to the active controller ends before what it speaks through.
io::Task<void> Node::Parts::end_control() {
    if (!lifecycle) co_return;
    link->stop();
    co_await assignments->stop();
    co_await lifecycle->stop();
    co_await controller_registration->stop();
}

io::Task<void> Node::Parts::stop() {
    if (lifecycle) {
        const Instant deadline = ports.clock.now() + handover;
        co_await lifecycle->shut_down(deadline);
    }
    if (connections) {
        log.info("stopping", {{"connections", connections->count()}});
        connections->stop_clients();
    }
    if (metrics_endpoint) co_await metrics_endpoint->stop();
    // Ends the waits of members, fetches and acknowledgements, so that their replies can leave.
    if (transactions) transactions->stop();
    if (groups) co_await groups->stop();
    // What follows other brokers and asks the controller ends before the partitions do.
    if (link) link->stop();
    if (fetchers) co_await fetchers->stop();
    if (isr_changes) co_await isr_changes->stop();
    if (partitions_started) {
        BrokerEpoch epoch = lifecycle ? lifecycle->epoch() : BrokerEpoch(-1);
        co_await partitions->stop(epoch);
    }
    co_await end_control();
    if (controller_started) {
        co_await controller->stop();
        co_await publisher->stop();
        co_await quorum->stop();
    }
    if (peers) co_await peers->stop();
    if (transactions) co_await transactions->ended();
    if (connections) {
        connections->stop();
        Instant deadline = ports.clock.now() + farewell;
        bool ended = co_await connections->ended(deadline);
        if (!ended) {
            log.warning("some clients did not take their replies in time",
                        {{"connections", connections->count()}});
            connections->reset();
            co_await connections->ended(Instant::never());
        }
    }
    if (topic_creation) co_await topic_creation->idle();
    if (store) co_await store->close();
    release();
    log.info("stopped");
}

io::Task<void> Node::Parts::kill() {
    killed = true;
    co_await end_start();
    if (connections) connections->reset();
    if (metrics_endpoint) co_await metrics_endpoint->stop();
    if (transactions) transactions->stop();
    if (groups) co_await groups->stop();
    if (link) link->stop();
    if (peers) co_await peers->kill();
    if (fetchers) co_await fetchers->kill();
    if (isr_changes) co_await isr_changes->stop();
    if (partitions_started) co_await partitions->kill();
    co_await end_control();
    if (controller_started) {
        co_await controller->kill();
        co_await quorum->kill();
        co_await publisher->stop();
    }
    if (transactions) co_await transactions->ended();
    if (connections) co_await connections->ended(Instant::never());
    if (topic_creation) co_await topic_creation->idle();
    if (store) co_await store->close();
    release();
}

// The metadata log of a node that was away still says that it leads. It holds no partition and no
// group before the log says that this run of it is registered, and what others did meanwhile.
// Invariant: acked-never-lost.
bool Node::Parts::is_member(const metadata::ClusterImage& image) const {
    const auto* self = image.broker(config.node_id());
    return self && self->incarnation == incarnation;
}

io::Task<void> Node::Parts::tell_partitions(std::shared_ptr<const metadata::ClusterDelta> delta,
                                            runtime::ImagePointer image) {
    if (!knows_partitions) {
        if (!is_member(*image) && !SABOTAGED("leads-before-it-is-registered")) co_return;
        knows_partitions = true;
        delta =
            std::make_shared<const metadata::ClusterDelta>(metadata::ClusterDelta::all_of(*image));
    }
    successions->apply(*delta, *image);
    co_await partitions->apply(delta, std::move(image));
    fetchers->apply(*delta);
}

io::Task<void> Node::Parts::tell_groups(std::shared_ptr<const metadata::ClusterDelta> delta,
                                        runtime::ImagePointer image) {
    if (!knows_groups) {
        if (!knows_partitions) co_return;
        knows_groups = true;
        delta =
            std::make_shared<const metadata::ClusterDelta>(metadata::ClusterDelta::all_of(*image));
    }
    groups->apply(*delta, image);
    transactions->apply(std::move(image));
    co_return;
}

void Node::Parts::release() {
    metrics_endpoint.reset();
    connections.reset();
    dispatch.reset();
    context.reset();
    successions.reset();
    topic_creation.reset();
    transactions.reset();
    producer_ids.reset();
    fetch_sessions.reset();
    assignments.reset();
    lifecycle.reset();
    controller_registration.reset();
    isr_changes.reset();
    link.reset();
    peers.reset();
    controller.reset();
    publisher.reset();
    quorum.reset();
    groups.reset();
    fetchers.reset();
    partitions.reset();
    store.reset();
    bound.clear();
    metrics_listener.reset();
    directories.locks.clear();
    partitions_started = false;
    controller_started = false;
}

void Node::Parts::failed(const std::string& why) {
    if (failure_told) return;
    failure_told = true;
    log.error("this node can serve no more", {{"reason", why}});
    if (lifecycle) lifecycle->give_up();
    if (options.on_failure) options.on_failure(why);
}

void Node::Parts::refresh_metrics() {
    if (!connections) return;
    auto gauge = [&](std::string_view name, std::string_view help, std::size_t value) {
        metrics.gauge(name, help).set(static_cast<std::int64_t>(value));
    };
    auto total = [&](std::string_view name, std::string_view help, std::uint64_t value) {
        Counter& counter = metrics.counter(name, help);
        counter.add(value - counter.value());
    };
    auto image = controller->image();
    gauge("pabal_topics", "Topics of the cluster.", image->topic_count());
    gauge("pabal_partitions", "Partitions that this broker holds.", partitions->partition_count());
    gauge("pabal_metadata_offset", "Last offset of the metadata log that this broker knows.",
          static_cast<std::size_t>(image->offset().value()));
    gauge("pabal_fetch_sessions", "Fetch sessions that are remembered.", fetch_sessions->size());
    gauge("pabal_request_memory_bytes", "Bytes of requests that are in memory.",
          connections->budget().reserved_bytes());
    gauge("pabal_groups", "Groups that this broker coordinates.", groups->group_count());
    gauge("pabal_transactional_ids", "Transactional ids that this broker coordinates.",
          transactions->transactional_id_count());
    const runtime::Traffic& traffic = partitions->traffic();
    total("pabal_log_appended_bytes_total", "Bytes of record batches appended.", traffic.bytes_in);
    total("pabal_log_appended_records_total", "Records appended.", traffic.records_in);
    total("pabal_log_appended_batches_total", "Record batches appended.", traffic.batches_in);
    total("pabal_log_rejected_batches_total", "Record batches refused.", traffic.batches_rejected);
    total("pabal_log_duplicate_batches_total", "Record batches that had been appended before.",
          traffic.duplicate_batches);
    total("pabal_log_read_bytes_total", "Bytes of record batches handed to readers.",
          traffic.bytes_out);
    total("pabal_log_flushes_total", "Flushes of partitions.", traffic.flushes);
    total("pabal_log_file_syncs_total", "Syncs of files by flushes.", traffic.file_syncs);
    total("pabal_journal_syncs_total", "Syncs of commit journals.", traffic.journal_syncs);
    total("pabal_journal_bytes_total", "Bytes written to commit journals.", traffic.journal_bytes);
    total("pabal_durable_acknowledgements_total", "Acknowledgements that waited for the disk.",
          traffic.durable_acknowledgements);
    total("pabal_log_storage_errors_total", "Refusals of the disk.", traffic.storage_errors);
}

}  // namespace pabal::node
