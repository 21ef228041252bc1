#include "runtime/controller.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "controller/brokers.h"
#include "controller/eligible_leaders.h"
#include "controller/leadership.h"
#include "metadata/features.h"
#include "metadata/record.h"
#include "metadata/snapshot.h"
#include "runtime/controller_state.h"
#include "wire/add_raft_voter.h"
#include "wire/describe_quorum.h"
#include "wire/remove_raft_voter.h"

namespace pabal::runtime {
namespace {

using metadata::ClusterDelta;
using metadata::ClusterImage;
using metadata::Record;

constexpr std::uint64_t bootstrap_limit_bytes = 1 << 20;

Record feature_level(std::string name, std::int16_t level) {
    wire::FeatureLevelRecord record;
    record.name = std::move(name);
    record.feature_level = level;
    return record;
}

// What a fresh cluster finalises, in the order in which Kafka's formatting writes it.
std::vector<Record> first_records() {
    return {feature_level("metadata.version", metadata::metadata_version_4_3),
            feature_level(std::string(metadata::eligible_leaders_feature),
                          metadata::eligible_leaders_version),
            feature_level("group.version", metadata::group_version),
            feature_level("transaction.version", metadata::transaction_version)};
}

std::int16_t level_of(const ClusterImage& image) {
    return image.metadata_version() > 0 ? image.metadata_version() : metadata::metadata_version_4_3;
}

}  // namespace

wire::BrokerRegistrationRequest registration_of(const metadata::BrokerConfig& config,
                                                const std::string& cluster_id, Uuid incarnation,
                                                const std::vector<metadata::Endpoint>& endpoints,
                                                const std::vector<DirectoryId>& directories,
                                                const ClusterImage& image) {
    wire::BrokerRegistrationRequest request;
    request.broker_id = config.node_id();
    request.cluster_id = cluster_id;
    request.incarnation_id = incarnation;
    for (const metadata::Endpoint& endpoint : endpoints)
        request.listeners.push_back(
            {endpoint.name, endpoint.host, endpoint.port, endpoint.security_protocol});
    // Levels that another implementation finalised in this log do no harm where nothing of them is
    // served.
    std::map<std::string, metadata::VersionRange> features;
    for (const metadata::SupportedFeature& feature : metadata::supported_features())
        features[std::string(feature.name)] = feature.versions;
    for (const auto& [name, level] : image.features())
        if (name != "metadata.version") features[name].max = std::max(features[name].max, level);
    for (const auto& [name, range] : features)
        request.features.push_back({name, range.min, range.max});
    request.rack = config.value("broker.rack");
    request.log_dirs = directories;
    return request;
}

Controller::Controller(io::Ports ports, const metadata::BrokerConfig& config, Quorum* quorum,
                       MetadataPublisher* publisher, ControllerOptions options)
    : ports_(std::move(ports)),
      config_(config),
      options_(std::move(options)),
      quorum_(quorum),
      publisher_(publisher),
      state_(std::make_unique<State>(config, ports_.random.fork("controller"))) {
    quorum_->on_leader_change([this](BrokerId leader, LeaderEpoch) { leader_changed(leader); });
    publisher_->on_publish([this] {
        wake_waiters();
        look_for_bootstrap();
        if (!state_->bootstrap_path.empty() && !state_->writing_bootstrap && !state_->stopping)
            io::detach(write_bootstrap());
    });
}

Controller::~Controller() = default;

void Controller::leader_changed(BrokerId leader) {
    if (active_) resign();
    if (leader != config_.node_id() || state_->stopping) return;
    auto status = activate();
    if (status.ok()) return;
    state_->refusal = status.error();
    if (options_.log)
        options_.log->error("this node cannot be the active controller",
                            {{"reason", status.error().message}});
}

// The head image holds all that the log holds: with this epoch's first record all of it commits.
Status Controller::activate() {
    state_->refusal.reset();
    PABAL_TRY_ASSIGN(MetadataPublisher::Head head, publisher_->head());
    state_->head = std::move(head.image);
    publisher_->proposed(quorum_->log_end_offset() - 1, state_->head, std::move(head.delta));
    active_ = true;
    if (head.abandoned_transaction) {
        Record record;
        record.content = wire::AbortTransactionRecord();
        PABAL_TRY(propose({record}, state_->head, ClusterDelta()));
    }
    PABAL_TRY(bootstrap());
    PABAL_TRY(register_controller());
    const Instant now = ports_.clock.now();
    state_->sessions.begin(state_->head, now);
    state_->next_balance =
        now + Duration::seconds(config_.integer("leader.imbalance.check.interval.seconds"));
    state_->next_unclean_election =
        now + Duration::milliseconds(config_.integer("unclean.leader.election.interval.ms"));
    // Whoever died with the former controller, or before, is found out at once.
    for (const auto& [id, broker] : state_->head.brokers())
        if (!broker.fenced && id != config_.node_id()) suspect(id);
    arm_tick();
    return {};
}

void Controller::resign() {
    active_ = false;
    ports_.clock.cancel(state_->tick_timer);
    state_->tick_timer = 0;
    for (auto& [broker, gate] : state_->probing) gate->open();
    publisher_->forget_proposed();
    wake_waiters();
}

io::Task<Status> Controller::start(std::vector<metadata::Endpoint> endpoints,
                                   std::vector<DirectoryId> directories,
                                   BrokerEpoch previous_epoch) {
    if (state_->refusal) co_return *state_->refusal;
    auto status = register_local_broker(endpoints, directories, previous_epoch);
    if (!status.ok()) co_return status;
    const Instant never = Instant::never();
    auto published = co_await settled(never);
    co_return published;
}

// The first records of a cluster: those that the directory was formatted with, or our own.
Status Controller::bootstrap() {
    if (state_->head.metadata_version() > 0) return {};
    auto wrong = [](const IoError& error) {
        return Error{ErrorCode::kafka_storage_error, error.message};
    };
    const std::string path =
        config_.metadata_log_directory() + "/" + std::string(metadata::bootstrap_file);
    std::vector<Record> records;
    auto exists = ports_.disk.exists(path);
    if (!exists.ok()) return wrong(exists.error());
    if (*exists) {
        auto content = io::read_file(ports_.disk, path, bootstrap_limit_bytes);
        if (!content.ok()) return wrong(content.error());
        auto read = metadata::read_snapshot(Bytes::copy_of(*content), [&](Bytes value) -> Status {
            PABAL_TRY_ASSIGN(Record record, metadata::decode(value));
            records.push_back(std::move(record));
            return {};
        });
        if (!read.ok()) return Error{read.error().code, path + ": " + read.error().message};
    } else {
        records = first_records();
    }
    const bool keeps_eligible_leaders =
        std::any_of(records.begin(), records.end(), [](const Record& record) {
            const auto* feature = std::get_if<wire::FeatureLevelRecord>(&record.content);
            return feature && feature->name == metadata::eligible_leaders_feature &&
                   feature->feature_level > 0;
        });
    if (keeps_eligible_leaders) controller::agree_on_min_in_sync(config_, state_->head, records);
    return submit(records);
}

// Nothing of it changes while this process runs.
Status Controller::register_controller() {
    const metadata::ControllerImage* known = state_->head.controllers().find(config_.node_id());
    if (known && known->incarnation == options_.incarnation) return {};
    wire::RegisterControllerRecord record;
    record.controller_id = config_.node_id();
    record.incarnation_id = options_.incarnation;
    for (const metadata::Endpoint& endpoint : options_.controller_endpoints)
        record.end_points.push_back(
            {endpoint.name, endpoint.host, endpoint.port, endpoint.security_protocol});
    for (const metadata::SupportedFeature& feature : metadata::supported_features())
        record.features.push_back(
            {std::string(feature.name), feature.versions.min, feature.versions.max});
    return submit({record});
}

Status Controller::register_local_broker(const std::vector<metadata::Endpoint>& endpoints,
                                         const std::vector<DirectoryId>& directories,
                                         BrokerEpoch previous_epoch) {
    wire::BrokerRegistrationRequest request = registration_of(
        config_, options_.cluster_id, options_.incarnation, endpoints, directories, state_->head);
    request.previous_broker_epoch = previous_epoch;
    const bool lost_its_end = controller::lost_its_end(request, state_->head);
    auto outcome = controller::register_broker(request, controller::Predecessor::is_replaced,
                                               options_.cluster_id, quorum_->log_end_offset(),
                                               config_, state_->head);
    if (outcome.response.error_code != ErrorCode::none)
        return Error{outcome.response.error_code,
                     "the broker of this node could not register with its controller"};
    broker_epoch_ = outcome.response.broker_epoch;
    metadata::BrokerImage self;
    self.id = request.broker_id;
    self.epoch = broker_epoch_;
    outcome.records.push_back(controller::registration_change(self, -1, 0));
    controller::broker_restarted(state_->head, config_, self.id, lost_its_end, outcome.records);
    return submit(outcome.records);
}

Status Controller::submit(const std::vector<Record>& records) {
    if (records.empty()) return {};
    ClusterImage next = state_->head;
    ClusterDelta delta;
    for (const Record& record : records) {
        auto replayed = next.replay(record, &delta);
        ASSERT(replayed.ok(), "what the controller decides can be replayed");
    }
    return propose(records, std::move(next), std::move(delta));
}

Status Controller::submit_in_parts(const std::vector<Record>& records) {
    for (std::size_t from = 0; from < records.size(); from += controller::max_records_per_request) {
        const std::size_t to = std::min(records.size(), from + controller::max_records_per_request);
        const std::vector<Record> part(records.begin() + static_cast<std::ptrdiff_t>(from),
                                       records.begin() + static_cast<std::ptrdiff_t>(to));
        PABAL_TRY(submit(part));
    }
    return {};
}

Status Controller::propose(const std::vector<Record>& records, ClusterImage next,
                           ClusterDelta delta) {
    const std::int16_t level = level_of(next);
    std::vector<Bytes> frames;
    frames.reserve(records.size());
    for (const Record& record : records) frames.push_back(metadata::encode(record, level));
    PABAL_TRY_ASSIGN(const Offset last, quorum_->propose(frames));
    next.advance(last, quorum_->epoch(), ports_.clock.wall_now());
    state_->head = next;
    publisher_->proposed(last, std::move(next), std::move(delta));
    return {};
}

void Controller::wake_waiters() {
    for (Waiter* waiter : state_->waiters)
        if (quorum_->failure() || state_->stopping || !active_ ||
            waiter->offset <= image()->offset())
            waiter->gate.open();
}

io::Task<Status> Controller::settled(Instant deadline) {
    const Offset wanted = state_->head.offset();
    if (wanted <= image()->offset()) co_return Status();
    Waiter waiter(ports_.clock, wanted);
    state_->waiters.push_back(&waiter);
    auto opened = co_await waiter.gate.opened(deadline);
    std::erase(state_->waiters, &waiter);
    if (wanted <= image()->offset()) co_return Status();
    if (const auto& failure = quorum_->failure())
        co_return Error{ErrorCode::kafka_storage_error,
                        "the metadata log failed: " + failure->message};
    if (opened)
        co_return Error{ErrorCode::not_controller, "this node stops being the active controller"};
    co_return Error{ErrorCode::request_timed_out,
                    "the change was not committed in time; it may still take effect"};
}

wire::DescribeQuorumResponse Controller::describe_quorum(const wire::DescribeQuorumRequest& request,
                                                         int) const {
    wire::DescribeQuorumResponse response = quorum_->describe(request);
    // Where nothing was described, Kafka names no node either.
    const auto described = [](const auto& topic) {
        return std::any_of(topic.partitions.begin(), topic.partitions.end(),
                           [](const auto& each) { return each.error_code == ErrorCode::none; });
    };
    if (std::none_of(response.topics.begin(), response.topics.end(), described)) return response;
    for (const auto& [id, registered] : image()->controllers()) {
        auto& node = response.nodes.emplace_back();
        node.node_id = id;
        for (const metadata::Endpoint& endpoint : registered.endpoints)
            node.listeners.push_back({endpoint.name, endpoint.host, endpoint.port});
    }
    return response;
}

io::Task<wire::DescribeQuorumResponse> Controller::answer(wire::DescribeQuorumRequest request,
                                                          int version, CallContext) {
    co_return describe_quorum(request, version);
}

io::Task<wire::AddRaftVoterResponse> Controller::answer(wire::AddRaftVoterRequest request, int,
                                                        CallContext context) {
    auto response = co_await quorum_->add_voter(std::move(request), context.deadline);
    if (response.error_code == ErrorCode::not_leader_or_follower)
        response.error_code = ErrorCode::not_controller;
    co_return response;
}

io::Task<wire::RemoveRaftVoterResponse> Controller::answer(wire::RemoveRaftVoterRequest request,
                                                           int, CallContext context) {
    auto response = co_await quorum_->remove_voter(std::move(request), context.deadline);
    if (response.error_code == ErrorCode::not_leader_or_follower)
        response.error_code = ErrorCode::not_controller;
    co_return response;
}

// Every node has the file, whoever led when the cluster began.
void Controller::look_for_bootstrap() {
    if (std::exchange(state_->looked_for_bootstrap, true)) return;
    const std::string path =
        config_.metadata_log_directory() + "/" + std::string(metadata::bootstrap_file);
    auto exists = ports_.disk.exists(path);
    if (exists.ok() && !*exists) state_->bootstrap_path = path;
}

// Kafka looks into this file to know how a directory was formatted. What it says is in the log as
// well, so nobody waits for it.
io::Task<void> Controller::write_bootstrap() {
    state_->writing_bootstrap = true;
    std::vector<Bytes> frames;
    for (const Record& record : first_records())
        frames.push_back(metadata::encode(record, metadata::metadata_version_4_3));
    const WallTime now = ports_.clock.wall_now();
    std::string content;
    for (const Bytes& batch : metadata::snapshot_batches(frames, LeaderEpoch(0), WallTime{0}, now))
        content.append(batch.text());
    const std::string path = std::exchange(state_->bootstrap_path, "");
    io::Disk* disk = &ports_.disk;
    IoStatus outcome;
    IoStatus* result = &outcome;
    std::function<void()> work = [=] { *result = io::replace_file(*disk, path, content); };
    co_await ports_.disk.run(work);
    if (options_.log && !outcome.ok())
        options_.log->warning("bootstrap snapshot not written",
                              {{"reason", outcome.error().message}});
    state_->writing_bootstrap = false;
    if (state_->idle_gate) state_->idle_gate->open();
}

// Until nothing of this object runs any more.
io::Task<void> Controller::drain() {
    ports_.clock.cancel(state_->tick_timer);
    for (auto& [broker, gate] : state_->probing) gate->open();
    while (state_->writing_bootstrap || !state_->probing.empty()) {
        io::Gate idle(ports_.clock);
        state_->idle_gate = &idle;
        const Instant never = Instant::never();
        auto opened = co_await idle.opened(never);
        static_cast<void>(opened);
        state_->idle_gate = nullptr;
    }
}

// The local broker is the last one that serves, or was shut down before: nothing is handed over.
io::Task<void> Controller::stop() {
    const metadata::BrokerImage* self = state_->head.broker(config_.node_id());
    if (active_ && self && !self->fenced && !self->in_controlled_shutdown) {
        std::vector<Record> records{controller::registration_change(*self, 0, 1)};
        controller::broker_leaves(state_->head, config_, self->id, records);
        auto submitted = submit(records);
        if (submitted.ok()) {
            const Instant patience = ports_.clock.now() + Duration::milliseconds(500);
            auto done = co_await settled(patience);
            static_cast<void>(done);
        }
    }
    state_->stopping = true;
    wake_waiters();
    co_await drain();
}

io::Task<void> Controller::kill() {
    state_->stopping = true;
    wake_waiters();
    co_await drain();
}

}  // namespace pabal::runtime
