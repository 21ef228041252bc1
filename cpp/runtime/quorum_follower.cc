// How a follower, voter or observer, fetches the leader's log and snapshots, and how it knows that
// a leader's process is dead: its connection ended, and its port refuses another.
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "base/probe.h"
#include "log/partition_log.h"
#include "runtime/quorum.h"
#include "runtime/quorum_wire.h"
#include "wire/fetch.h"
#include "wire/fetch_snapshot.h"

namespace pabal::runtime {
namespace {

constexpr std::int32_t fetch_bytes = 8 << 20;
// A snapshot holds what one image holds; beyond this something else is being sent.
constexpr std::int64_t snapshot_limit_bytes = std::int64_t{1} << 31;
constexpr Duration most_wait = Duration::milliseconds(500);
constexpr Duration probe_wait = Duration::milliseconds(200);

}  // namespace

std::optional<io::Address> Quorum::fetch_address() {
    const BrokerId to = leader();
    if (to != no_broker) return address_of(to);
    // An observer that knows nobody asks around.
    std::vector<io::Address> all = options_.bootstrap;
    for (const raft::Voter& voter : machine_.voters())
        if (const auto address = address_of(voter.id)) all.push_back(*address);
    if (all.empty()) return std::nullopt;
    return all[random_.below(all.size())];
}

// The answer that is awaited comes from a leader of yesterday.
void Quorum::abandon_fetch() {
    fetch_outlived_ = true;
    if (fetch_connection_) fetch_connection_->close();
    if (pause_gate_) pause_gate_->open();
    if (fetch_gate_) fetch_gate_->open();
}

io::Task<void> Quorum::pause(Duration duration) {
    if (stopped_) co_return;
    io::Gate gate(ports_.clock);
    pause_gate_ = &gate;
    const Instant deadline = ports_.clock.now() + duration;
    auto opened = co_await gate.opened(deadline);
    static_cast<void>(opened);
    pause_gate_ = nullptr;
}

io::Task<void> Quorum::follow() {
    while (!stopped_ && !failed_) {
        co_await saved();
        // Whoever ended meanwhile has opened the gates that were there, and will open no other.
        if (stopped_ || failed_) break;
        const std::optional<raft::FetchAsk> ask = machine_.next_fetch();
        if (!ask) {
            io::Gate gate(ports_.clock);
            fetch_gate_ = &gate;
            const Instant never = Instant::never();
            auto opened = co_await gate.opened(never);
            static_cast<void>(opened);
            fetch_gate_ = nullptr;
            continue;
        }
        const std::optional<io::Address> address = fetch_address();
        if (!address) {
            co_await pause(options_.settings.retry_backoff);
            continue;
        }
        fetching_from_ = leader();
        fetching_in_ = epoch();
        fetch_outlived_ = false;
        raft::FetchAsk asked = *ask;
        io::Address to = *address;
        auto connected = co_await connect(asked, to);
        if (connected && !fetch_outlived_) co_await fetch_once(asked);
        if (fetch_connection_ && !fetch_outlived_) co_await tell_of_itself();
        fetching_from_ = no_broker;
        if (fetch_outlived_) fetch_connection_.reset();
    }
    fetch_connection_.reset();
    following_ = false;
    if (tasks_gate_) tasks_gate_->open();
}

// True with a connection to `address`. Else the next try waits a moment, unless the leader is known
// to be dead.
io::Task<bool> Quorum::connect(raft::FetchAsk ask, io::Address address) {
    if (fetch_connection_ && fetch_connection_->address() == address) co_return true;
    fetch_connection_.reset();
    // Of several that may know the leader, one that is silent is not waited for.
    const Duration patience = fetching_from_ == no_broker ? options_.settings.election_timeout
                                                          : options_.settings.fetch_timeout;
    const Instant deadline = ports_.clock.now() + patience;
    std::string client_id = "pabal-quorum-" + std::to_string(options_.node_id.value());
    io::Address target = address;
    auto opened = co_await rpc::Connection::open(&ports_.network, std::move(target),
                                                 std::move(client_id), deadline);
    if (opened.ok()) {
        fetch_connection_ = std::move(*opened);
        co_return true;
    }
    if (stopped_ || fetch_outlived_) co_return false;
    const bool of_leader = fetching_from_ != no_broker && leader() == fetching_from_;
    if (of_leader && opened.error().code == ErrorCode::broker_not_available) {
        // Whether it was refused, or only does not answer.
        const Instant until = ports_.clock.now() + probe_wait;
        auto probe = co_await ports_.network.connect(address, until);
        if (!probe.ok() && probe.error().errno_value == ECONNREFUSED && !stopped_) {
            if (options_.log)
                options_.log->warning(
                    "the leader of the metadata quorum is gone",
                    {{"leader", fetching_from_.value()}, {"reason", probe.error().message}});
            machine_.leader_died(ask.epoch, now());
            carry_out();
        }
    }
    if (!fetch_outlived_) co_await pause(options_.settings.retry_backoff);
    co_return false;
}

io::Task<void> Quorum::fetch_once(raft::FetchAsk ask) {
    wire::FetchRequest request;
    if (!options_.cluster_id.empty()) request.cluster_id = options_.cluster_id;
    request.replica_state.replica_id = options_.node_id;
    // Often enough for the leader to know that this node lives, and the other way round.
    const Duration wait = std::min(
        most_wait, Duration::milliseconds(options_.settings.fetch_timeout.to_milliseconds() / 3));
    const bool searches = fetching_from_ == no_broker;
    request.max_wait_ms = searches ? 0 : static_cast<std::int32_t>(wait.to_milliseconds());
    request.max_bytes = fetch_bytes;
    auto& topic = request.topics.emplace_back();
    topic.topic_id = TopicId(*Uuid::parse(metadata_topic_id));
    auto& partition = topic.partitions.emplace_back();
    partition.current_leader_epoch = ask.epoch;
    partition.fetch_offset = ask.from.offset;
    partition.last_fetched_epoch = ask.from.epoch;
    partition.partition_max_bytes = fetch_bytes;
    partition.replica_directory_id = options_.directory_id;
    partition.high_watermark = ask.high_watermark;
    const Instant deadline = ports_.clock.now() + (searches ? options_.settings.election_timeout
                                                            : wait + options_.request_timeout);
    rpc::Connection* connection = fetch_connection_.get();
    auto response = co_await connection->call<wire::FetchResponse>(std::move(request), deadline);
    if (stopped_ || failed_) co_return;
    if (!response.ok()) {
        fetch_connection_.reset();
        if (response.error().code == ErrorCode::unsupported_version) {
            if (options_.log)
                options_.log->error("cannot follow the metadata quorum",
                                    {{"reason", response.error().message}});
            co_await pause(options_.settings.fetch_timeout);
        }
        co_return;
    }
    for (const auto& node : response->node_endpoints)
        learn_address(node.node_id, node.host, node.port);
    raft::FetchReply reply;
    if (response->responses.size() == 1 && response->responses[0].partitions.size() == 1) {
        auto& told = response->responses[0].partitions[0];
        reply.error = told.error_code;
        reply.leader = told.current_leader.leader_id;
        reply.epoch = told.current_leader.leader_epoch;
        reply.high_watermark = told.high_watermark;
        reply.log_start = told.log_start_offset;
        if (told.diverging_epoch.end_offset >= Offset(0))
            reply.diverging =
                raft::OffsetAndEpoch{told.diverging_epoch.end_offset, told.diverging_epoch.epoch};
        if (told.snapshot_id.end_offset >= Offset(0))
            reply.snapshot =
                raft::OffsetAndEpoch{told.snapshot_id.end_offset, told.snapshot_id.epoch};
        if (told.records) reply.records = told.records->flatten().value_or(Bytes());
    } else {
        reply.error = ErrorCode::invalid_request;
    }
    if (response->error_code != ErrorCode::none) reply.error = response->error_code;
    // The log may be cut off only when nothing of it is on its way to the disk.
    if (reply.diverging) co_await synced();
    if (stopped_ || failed_) co_return;
    auto taken = machine_.fetched(ask, reply, now());
    if (reply.error == ErrorCode::none && reply.epoch == epoch() &&
        machine_.log_end() >= reply.high_watermark && reply.high_watermark >= Offset(0) &&
        !reply.diverging && !reply.snapshot)
        caught_up_ = true;
    carry_out();
    if (!taken.ok()) {
        fail(IoError{0, directory_ + ": " + taken.error().message});
        co_return;
    }
    if (reply.error != ErrorCode::none) {
        if (reply.error == ErrorCode::inconsistent_cluster_id && options_.log)
            options_.log->error(
                "the metadata quorum belongs to another cluster",
                {{"peer", io::text(connection->address())}, {"cluster", options_.cluster_id}});
        if (leader() == fetching_from_ && epoch() == fetching_in_)
            co_await pause(options_.settings.retry_backoff);
    } else if (reply.snapshot && leader() == fetching_from_ && epoch() == ask.epoch) {
        const raft::OffsetAndEpoch id = *reply.snapshot;
        co_await load_snapshot(ask, id);
    } else if (!reply.records.empty() && machine_.log_end() == ask.from.offset && !failed_) {
        // They are damaged, or the disk is full; the same is fetched again.
        co_await pause(options_.settings.retry_backoff);
    }
}

// Reads the leader's snapshot piece by piece, and begins the log anew behind it.
io::Task<void> Quorum::load_snapshot(raft::FetchAsk ask, raft::OffsetAndEpoch id) {
    std::string content;
    std::int64_t size = 1;
    while (static_cast<std::int64_t>(content.size()) < size) {
        wire::FetchSnapshotRequest request;
        if (!options_.cluster_id.empty()) request.cluster_id = options_.cluster_id;
        request.replica_id = options_.node_id;
        request.max_bytes = fetch_bytes;
        auto& topic = request.topics.emplace_back();
        topic.name = metadata_topic;
        auto& partition = topic.partitions.emplace_back();
        partition.current_leader_epoch = ask.epoch;
        partition.snapshot_id = {id.offset, id.epoch};
        partition.position = static_cast<std::int64_t>(content.size());
        partition.replica_directory_id = options_.directory_id;
        const Instant deadline = ports_.clock.now() + options_.request_timeout;
        rpc::Connection* connection = fetch_connection_.get();
        auto response =
            co_await connection->call<wire::FetchSnapshotResponse>(std::move(request), deadline);
        if (stopped_ || failed_ || fetch_outlived_) co_return;
        const auto* told = response.ok() ? only_partition(*response) : nullptr;
        std::string problem;
        if (!response.ok()) problem = response.error().message;
        if (response.ok() && (!told || told->error_code != ErrorCode::none ||
                              response->error_code != ErrorCode::none))
            problem = error_name(told ? told->error_code : response->error_code);
        const auto piece = problem.empty() && told->unaligned_records
                               ? told->unaligned_records->flatten()
                               : std::nullopt;
        if (problem.empty() && (!piece || piece->empty() || told->size > snapshot_limit_bytes))
            problem = "an empty or an endless answer";
        if (!problem.empty()) {
            if (options_.log)
                options_.log->warning("metadata snapshot not fetched", {{"reason", problem}});
            if (!response.ok()) fetch_connection_.reset();
            co_await pause(options_.settings.retry_backoff);
            co_return;
        }
        // Each piece shows that the leader lives.
        machine_.heard_of_leader(ask.epoch, now());
        arm();
        size = told->size;
        content.append(piece->text());
    }
    const metadata::SnapshotId snapshot{id.offset, id.epoch};
    const std::string path = directory_ + "/" + snapshot.file_name();
    const std::string directory = directory_;
    io::Disk* disk = &ports_.disk;
    IoStatus written;
    Status valid;
    raft::VoterHistory voters;
    std::function<void()> work = [&, disk, path] {
        auto history = voters_of(content, id.offset - 1);
        if (history.ok()) {
            voters = std::move(*history);
        } else {
            valid = history.error();
        }
        if (valid.ok()) written = io::replace_file(*disk, path, content);
    };
    co_await ports_.disk.run(work);
    co_await synced();
    if (stopped_ || failed_) co_return;
    if (!valid.ok()) {
        if (options_.log)
            options_.log->error(
                "the fetched metadata snapshot is damaged",
                {{"snapshot", snapshot.file_name()}, {"reason", valid.error().message}});
        co_await pause(options_.settings.fetch_timeout);
        co_return;
    }
    // Meanwhile another may lead, and this log be another one.
    const auto expected = machine_.next_fetch();
    if (written.ok() && (!expected || expected->from != ask.from || expected->epoch != ask.epoch))
        co_return;
    if (written.ok()) written = mark_.lower(log_->log_start_offset());
    if (written.ok()) written = log_->truncate_fully_and_start_at(id.offset);
    if (!written.ok()) {
        fail(written.error());
        co_return;
    }
    latest_snapshot_ = snapshot;
    bytes_since_snapshot_ = 0;
    durable_end_ = id.offset;
    machine_.snapshot_loaded(id, std::move(voters), now());
    if (options_.log)
        options_.log->info("metadata snapshot fetched", {{"end_offset", id.offset.value()}});
    carry_out();
}

}  // namespace pabal::runtime
