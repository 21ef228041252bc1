// How the machine's messages travel to the other voters: Vote, BeginQuorumEpoch, EndQuorumEpoch.
#include <utility>

#include "base/probe.h"
#include "metadata/snapshot.h"
#include "runtime/quorum.h"
#include "runtime/quorum_wire.h"
#include "wire/begin_quorum_epoch.h"
#include "wire/end_quorum_epoch.h"
#include "wire/vote.h"

namespace pabal::runtime {
namespace {

// A leader that stops waits no longer for those whom it tells.
constexpr Duration farewell = Duration::milliseconds(300);

}  // namespace

std::optional<io::Address> Quorum::address_of(BrokerId id) const {
    const auto found = addresses_.find(id);
    if (found == addresses_.end()) return std::nullopt;
    return found->second;
}

// Static voters stand where the configuration says, others where they said themselves.
void Quorum::learn_address(BrokerId id, std::string host, std::int64_t port) {
    if (id < BrokerId(0) || id == options_.node_id || host.empty() || port <= 0 || port > 65535)
        return;
    for (const QuorumOptions::Member& voter : options_.voters)
        if (voter.id == id && kraft_version() == raft::static_voters) return;
    addresses_[id] = {std::move(host), static_cast<std::uint16_t>(port)};
}

io::Task<void> Quorum::deliver(raft::Message message) {
    ++tasks_;
    const bool ends = message.kind == raft::Message::Kind::end_epoch;
    if (ends) ++farewells_;
    // A voter may have been written down without a listener of our kind.
    const std::optional<io::Address> address = address_of(message.to);
    io::Address to = address.value_or(io::Address());
    if (!address) {
        machine_.unanswered(message, now());
    } else if (message.kind == raft::Message::Kind::vote) {
        raft::Message sent = message;
        co_await deliver_vote(std::move(sent), std::move(to));
    } else if (message.kind == raft::Message::Kind::begin_epoch) {
        raft::Message sent = message;
        co_await deliver_begin(std::move(sent), std::move(to));
    } else {
        raft::Message sent = message;
        co_await deliver_end(std::move(sent), std::move(to));
    }
    if (!stopped_) carry_out();
    if (ends) --farewells_;
    --tasks_;
    if (ends && farewells_ == 0 && farewell_gate_) farewell_gate_->open();
    if (tasks_ == 0 && tasks_gate_) tasks_gate_->open();
}

io::Task<void> Quorum::told_successors() {
    if (farewells_ == 0) co_return;
    io::Gate told(ports_.clock);
    farewell_gate_ = &told;
    const Instant deadline = ports_.clock.now() + farewell;
    auto opened = co_await told.opened(deadline);
    static_cast<void>(opened);
    farewell_gate_ = nullptr;
}

io::Task<void> Quorum::deliver_vote(raft::Message message, io::Address address) {
    const raft::VoteAsk& vote = message.vote;
    wire::VoteRequest request;
    if (!options_.cluster_id.empty()) request.cluster_id = options_.cluster_id;
    request.voter_id = message.to;
    auto& topic = request.topics.emplace_back();
    topic.topic_name = metadata_topic;
    auto& partition = topic.partitions.emplace_back();
    partition.replica_epoch = vote.epoch;
    partition.replica_id = vote.candidate;
    partition.replica_directory_id = vote.directory;
    partition.voter_directory_id = message.to_directory;
    partition.last_offset_epoch = vote.log_end.epoch;
    partition.last_offset = vote.log_end.offset;
    partition.pre_vote = vote.pre_vote;
    // Who does not answer soon is asked again.
    const Instant deadline =
        ports_.clock.now() + std::min(options_.request_timeout, options_.settings.election_timeout);
    auto response = co_await peers_.call<wire::VoteResponse>(std::move(address), Purpose::quorum,
                                                             std::move(request), deadline);
    const auto* told = response.ok() ? only_partition(*response) : nullptr;
    if (!told) {
        machine_.unanswered(message, now());
        co_return;
    }
    for (const auto& node : response->node_endpoints)
        learn_address(node.node_id, node.host, node.port);
    raft::Reply reply{told->error_code, told->leader_id, told->leader_epoch, told->vote_granted};
    if (response->error_code != ErrorCode::none) reply.error = response->error_code;
    machine_.replied(message, reply, now());
}

io::Task<void> Quorum::deliver_begin(raft::Message message, io::Address address) {
    wire::BeginQuorumEpochRequest request;
    if (!options_.cluster_id.empty()) request.cluster_id = options_.cluster_id;
    request.voter_id = message.to;
    auto& topic = request.topics.emplace_back();
    topic.topic_name = metadata_topic;
    auto& partition = topic.partitions.emplace_back();
    partition.voter_directory_id = message.to_directory;
    partition.leader_id = options_.node_id;
    partition.leader_epoch = message.epoch;
    if (const auto self = address_of(options_.node_id))
        request.leader_endpoints.push_back({options_.listener, self->host, self->port});
    const Instant deadline =
        ports_.clock.now() + std::min(options_.request_timeout, options_.settings.fetch_timeout);
    auto response = co_await peers_.call<wire::BeginQuorumEpochResponse>(
        std::move(address), Purpose::quorum, std::move(request), deadline);
    const auto* told = response.ok() ? only_partition(*response) : nullptr;
    if (!told) {
        machine_.unanswered(message, now());
        co_return;
    }
    for (const auto& node : response->node_endpoints)
        learn_address(node.node_id, node.host, node.port);
    raft::Reply reply{told->error_code, told->leader_id, told->leader_epoch, false};
    if (response->error_code != ErrorCode::none) reply.error = response->error_code;
    machine_.replied(message, reply, now());
}

io::Task<void> Quorum::deliver_end(raft::Message message, io::Address address) {
    wire::EndQuorumEpochRequest request;
    if (!options_.cluster_id.empty()) request.cluster_id = options_.cluster_id;
    auto& topic = request.topics.emplace_back();
    topic.topic_name = metadata_topic;
    auto& partition = topic.partitions.emplace_back();
    partition.leader_id = options_.node_id;
    partition.leader_epoch = message.epoch;
    for (BrokerId id : message.preferred) {
        const raft::Voter* voter = raft::find(machine_.voters(), id);
        partition.preferred_successors.push_back(id.value());
        partition.preferred_candidates.push_back({id, voter ? voter->directory : DirectoryId()});
    }
    if (const auto self = address_of(options_.node_id))
        request.leader_endpoints.push_back({options_.listener, self->host, self->port});
    const Instant deadline = ports_.clock.now() + farewell;
    auto response = co_await peers_.call<wire::EndQuorumEpochResponse>(
        std::move(address), Purpose::quorum, std::move(request), deadline);
    const auto* told = response.ok() ? only_partition(*response) : nullptr;
    if (!told) co_return;
    raft::Reply reply{told->error_code, told->leader_id, told->leader_epoch, false};
    machine_.replied(message, reply, now());
}

}  // namespace pabal::runtime
