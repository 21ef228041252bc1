// What other members of the quorum ask of this one: the wire's side of it. Nothing is answered
// before what the answer promises is durable.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "log/partition_log.h"
#include "runtime/quorum.h"
#include "runtime/quorum_wire.h"
#include "wire/begin_quorum_epoch.h"
#include "wire/describe_quorum.h"
#include "wire/end_quorum_epoch.h"
#include "wire/fetch.h"
#include "wire/fetch_snapshot.h"
#include "wire/vote.h"

namespace pabal::runtime {
namespace {

constexpr std::int32_t most_fetched_bytes = 8 << 20;

template <class Response>
auto* answer_to_only_partition(Response* response) {
    auto& topic = response->topics.emplace_back();
    if constexpr (requires { topic.topic_name; }) {
        topic.topic_name = metadata_topic;
    } else {
        topic.name = metadata_topic;
    }
    return &topic.partitions.emplace_back();
}

// Null where there is nothing to answer; the response says why.
template <class Request, class Response>
const auto* asked_of(const Request& request, Response* response) {
    const auto* asked = only_partition(request);
    if (!asked && response->error_code == ErrorCode::none)
        response->error_code = ErrorCode::invalid_request;
    return response->error_code == ErrorCode::none ? asked : nullptr;
}

}  // namespace

// A fetch that waits until there is something new for its replica.
struct Quorum::Parked {
    Parked(io::Clock& clock, raft::FetchAsk asked) : gate(clock), ask(std::move(asked)) {}
    io::Gate gate;
    raft::FetchAsk ask;
};

ErrorCode Quorum::refuse_cluster(const std::optional<std::string>& cluster_id) const {
    if (!started_ || stopped_) return ErrorCode::broker_not_available;
    const bool strange =
        cluster_id && !options_.cluster_id.empty() && *cluster_id != options_.cluster_id;
    return strange ? ErrorCode::inconsistent_cluster_id : ErrorCode::none;
}

// So that whoever asked the wrong node finds the right one.
template <class Response>
void Quorum::tell_leader(Response* response, BrokerId leader) const {
    const auto address = leader == no_broker ? std::nullopt : address_of(leader);
    if (!address) return;
    auto& node = response->node_endpoints.emplace_back();
    node.node_id = leader;
    node.host = address->host;
    node.port = address->port;
}

template <class Response>
auto* Quorum::tell(Response* response, const raft::Reply& reply, int version) const {
    auto* told = answer_to_only_partition(response);
    told->error_code = reply.error;
    told->leader_id = reply.leader;
    told->leader_epoch = reply.epoch;
    if (version >= 1) tell_leader(response, reply.leader);
    return told;
}

// Not for another node, which had this address once, nor for another disk of this one (KIP-853).
bool Quorum::is_meant(BrokerId id, DirectoryId directory) const {
    const bool any_disk = directory.value().is_zero() || options_.directory_id.value().is_zero();
    return (id == no_broker || id == options_.node_id) &&
           (any_disk || directory == options_.directory_id);
}

io::Task<wire::VoteResponse> Quorum::vote(wire::VoteRequest request, int version) {
    wire::VoteResponse response;
    response.error_code = refuse_cluster(request.cluster_id);
    const auto* asked = asked_of(request, &response);
    if (!asked) co_return response;
    raft::Reply reply;
    if (!is_meant(request.voter_id, asked->voter_directory_id)) {
        reply = {ErrorCode::invalid_voter_key, machine_.leader(), machine_.epoch(), false};
    } else {
        raft::VoteAsk ask;
        ask.candidate = asked->replica_id;
        ask.directory = asked->replica_directory_id;
        ask.epoch = asked->replica_epoch;
        ask.log_end = {asked->last_offset, asked->last_offset_epoch};
        ask.pre_vote = asked->pre_vote;
        reply = machine_.vote(ask, now());
        carry_out();
        co_await saved();
        if (failed_ || stopped_) {
            response.error_code = ErrorCode::broker_not_available;
            co_return response;
        }
    }
    tell(&response, reply, version)->vote_granted = reply.granted;
    co_return response;
}

io::Task<wire::BeginQuorumEpochResponse> Quorum::begin_epoch(wire::BeginQuorumEpochRequest request,
                                                             int version) {
    wire::BeginQuorumEpochResponse response;
    response.error_code = refuse_cluster(request.cluster_id);
    const auto* asked = asked_of(request, &response);
    if (!asked) co_return response;
    raft::Reply reply;
    if (!is_meant(request.voter_id, asked->voter_directory_id)) {
        reply = {ErrorCode::invalid_voter_key, machine_.leader(), machine_.epoch(), false};
    } else {
        for (const auto& endpoint : request.leader_endpoints)
            if (endpoint.name == options_.listener)
                learn_address(asked->leader_id, endpoint.host, endpoint.port);
        reply = machine_.begin_epoch(asked->leader_id, asked->leader_epoch, now());
        carry_out();
        co_await saved();
    }
    if (failed_ || stopped_) reply.error = ErrorCode::broker_not_available;
    tell(&response, reply, version);
    co_return response;
}

io::Task<wire::EndQuorumEpochResponse> Quorum::end_epoch(wire::EndQuorumEpochRequest request,
                                                         int version) {
    wire::EndQuorumEpochResponse response;
    response.error_code = refuse_cluster(request.cluster_id);
    const auto* asked = asked_of(request, &response);
    if (!asked) co_return response;
    std::vector<BrokerId> preferred;
    for (const auto& candidate : asked->preferred_candidates)
        if (is_meant(candidate.candidate_id, candidate.candidate_directory_id) ||
            candidate.candidate_id != options_.node_id)
            preferred.push_back(candidate.candidate_id);
    if (version == 0)
        for (std::int32_t id : asked->preferred_successors) preferred.push_back(BrokerId(id));
    const raft::Reply reply =
        machine_.end_epoch(asked->leader_id, asked->leader_epoch, preferred, now());
    carry_out();
    tell(&response, reply, version);
    co_return response;
}

// ------------------------------------------------------------------------------------------ fetch

bool Quorum::is_news(const raft::FetchAsk& ask, const raft::FetchReply& reply) const {
    return reply.error != ErrorCode::none || reply.diverging || reply.snapshot ||
           machine_.log_end() > ask.from.offset || reply.high_watermark > ask.high_watermark;
}

void Quorum::wake_parked() {
    for (Parked* parked : parked_)
        if (!parked->gate.is_open() && is_news(parked->ask, machine_.answer(parked->ask)))
            parked->gate.open();
}

io::Task<wire::FetchResponse> Quorum::fetch(wire::FetchRequest request, int version) {
    wire::FetchResponse response;
    response.error_code = refuse_cluster(request.cluster_id);
    const bool whole = request.topics.size() == 1 && request.topics[0].partitions.size() == 1;
    if (response.error_code == ErrorCode::none && !whole)
        response.error_code = ErrorCode::invalid_request;
    if (response.error_code != ErrorCode::none) co_return response;
    const TopicId id(*Uuid::parse(metadata_topic_id));
    auto& topic = response.responses.emplace_back();
    topic.topic = request.topics[0].topic;
    topic.topic_id = request.topics[0].topic_id;
    auto& partition = topic.partitions.emplace_back();
    const auto& asked = request.topics[0].partitions[0];
    partition.partition_index = asked.partition;
    const bool known = version >= 13 ? topic.topic_id == id : topic.topic == metadata_topic;
    if (!known || asked.partition != PartitionIndex(0)) {
        partition.error_code =
            version >= 13 ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition;
        co_return response;
    }

    raft::FetchAsk ask;
    ask.replica = version >= 15 ? request.replica_state.replica_id : request.replica_id;
    ask.directory = asked.replica_directory_id;
    ask.epoch = asked.current_leader_epoch;
    ask.from = {asked.fetch_offset, std::max(asked.last_fetched_epoch, LeaderEpoch(0))};
    // Others than pabal and Kafka 4.1 do not say what they know: a new high watermark alone is no
    // news for them.
    ask.high_watermark = asked.high_watermark;
    raft::FetchReply reply = machine_.fetch(ask, now());
    carry_out();
    if (request.max_wait_ms > 0 && !is_news(ask, reply)) {
        const Instant deadline =
            ports_.clock.now() + Duration::milliseconds(std::min(request.max_wait_ms, 60'000));
        Parked parked(ports_.clock, ask);
        parked_.push_back(&parked);
        auto woken = co_await parked.gate.opened(deadline);
        static_cast<void>(woken);
        std::erase(parked_, &parked);
        reply = machine_.answer(ask);
    }
    co_await saved();

    partition.error_code = reply.error;
    partition.high_watermark = reply.high_watermark;
    partition.log_start_offset = reply.log_start;
    partition.current_leader = {reply.leader, reply.epoch};
    if (reply.diverging)
        partition.diverging_epoch = {reply.diverging->epoch, reply.diverging->offset};
    if (reply.snapshot) partition.snapshot_id = {reply.snapshot->offset, reply.snapshot->epoch};
    if (version >= 16) tell_leader(&response, reply.leader);
    partition.records = Rope();
    const bool has_records = reply.error == ErrorCode::none && !reply.diverging && !reply.snapshot;
    if (!has_records || failed_ || machine_.log_end() <= ask.from.offset) co_return response;
    const std::int32_t limit =
        std::min({most_fetched_bytes, request.max_bytes, asked.partition_max_bytes});
    auto read = log_->read(ask.from.offset, machine_.log_end(), limit, true);
    if (read.ok()) {
        partition.records = std::move(read->records);
    } else {
        partition.error_code = read.error().code;
    }
    co_return response;
}

io::Task<wire::FetchSnapshotResponse> Quorum::fetch_snapshot(wire::FetchSnapshotRequest request,
                                                             int version) {
    wire::FetchSnapshotResponse response;
    response.error_code = refuse_cluster(request.cluster_id);
    const auto* asked = asked_of(request, &response);
    if (!asked) co_return response;
    auto* told = answer_to_only_partition(&response);
    told->snapshot_id = {asked->snapshot_id.end_offset, asked->snapshot_id.epoch};
    told->current_leader = {machine_.leader(), machine_.epoch()};
    told->unaligned_records = Rope();
    if (version >= 1) tell_leader(&response, machine_.leader());
    if (asked->current_leader_epoch < epoch()) {
        told->error_code = ErrorCode::fenced_leader_epoch;
    } else if (asked->current_leader_epoch > epoch()) {
        told->error_code = ErrorCode::unknown_leader_epoch;
    } else if (!is_leader()) {
        told->error_code = ErrorCode::not_leader_or_follower;
    }
    if (told->error_code != ErrorCode::none) co_return response;

    const metadata::SnapshotId id{asked->snapshot_id.end_offset, asked->snapshot_id.epoch};
    const std::string path = directory_ + "/" + id.file_name();
    const std::int64_t position = asked->position;
    const std::int64_t limit = std::clamp(request.max_bytes, 1, most_fetched_bytes);
    io::Disk* disk = &ports_.disk;
    ErrorCode error = ErrorCode::none;
    std::int64_t size = 0;
    Bytes piece;
    std::function<void()> work = [&, disk, path, position, limit] {
        auto file = disk->open(path, io::OpenMode::read_only);
        const auto length = file.ok() ? (*file)->size() : IoResult<std::uint64_t>(file.error());
        if (!length.ok()) {
            error = ErrorCode::snapshot_not_found;
            return;
        }
        size = static_cast<std::int64_t>(*length);
        if (position < 0 || position >= size) {
            error = ErrorCode::position_out_of_range;
            return;
        }
        Buffer buffer(static_cast<std::size_t>(std::min(limit, size - position)));
        if ((*file)->read_exactly(static_cast<std::uint64_t>(position), buffer.view())) {
            piece = Bytes(std::move(buffer));
        } else {
            error = ErrorCode::kafka_storage_error;
        }
    };
    co_await ports_.disk.run(work);
    // The machine's heartbeat of a voter that fetches a long snapshot.
    raft::FetchAsk contact;
    contact.replica = request.replica_id;
    contact.directory = asked->replica_directory_id;
    contact.epoch = asked->current_leader_epoch;
    static_cast<void>(machine_.fetch(contact, now()));
    told->error_code = error;
    told->size = size;
    told->position = position;
    if (error == ErrorCode::none) told->unaligned_records = Rope(piece);
    co_return response;
}

// --------------------------------------------------------------------------------------- describe

wire::DescribeQuorumResponse Quorum::describe(const wire::DescribeQuorumRequest& request) const {
    wire::DescribeQuorumResponse response;
    for (const auto& asked : request.topics) {
        auto& topic = response.topics.emplace_back();
        topic.topic_name = asked.topic_name;
        for (const auto& asked_partition : asked.partitions) {
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = asked_partition.partition_index;
            if (asked.topic_name != metadata_topic ||
                asked_partition.partition_index != PartitionIndex(0)) {
                partition.error_code = ErrorCode::unknown_topic_or_partition;
                partition.error_message = "The only quorum is that of partition 0 of " +
                                          std::string(metadata_topic) + ".";
                continue;
            }
            if (!is_leader()) {
                partition.error_code = ErrorCode::not_leader_or_follower;
                partition.error_message = "This node does not lead the metadata quorum.";
                continue;
            }
            partition.leader_id = leader();
            partition.leader_epoch = epoch();
            partition.high_watermark = high_watermark();
            for (const raft::Replica& replica : machine_.replicas(now())) {
                auto& list = machine_.is_voter(replica.id, replica.directory)
                                 ? partition.current_voters
                                 : partition.observers;
                auto& shown = list.emplace_back();
                shown.replica_id = replica.id;
                shown.replica_directory_id = replica.directory;
                shown.log_end_offset = replica.log_end;
                shown.last_fetch_timestamp = replica.last_fetch_wall.milliseconds;
                shown.last_caught_up_timestamp = replica.last_caught_up.milliseconds;
            }
        }
    }
    return response;
}

}  // namespace pabal::runtime
