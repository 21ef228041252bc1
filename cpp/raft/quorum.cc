#include "raft/quorum.h"

#include <algorithm>

#include "base/assert.h"
#include "record/batch_builder.h"
#include "record/control_record.h"
#include "wire/records/leader_change_message.h"
#include "wire/writer.h"

namespace pabal::raft {
namespace {

constexpr int leader_change_version = 0;

Bytes leader_change(BrokerId leader, const std::vector<BrokerId>& voters) {
    wire::LeaderChangeMessage message;
    message.version = leader_change_version;
    message.leader_id = leader;
    for (BrokerId voter : voters) {
        message.voters.emplace_back();
        message.voters.back().voter_id = voter;
        message.granting_voters.emplace_back();
        message.granting_voters.back().voter_id = voter;
    }
    wire::Writer writer;
    encode(writer, message, leader_change_version);
    return *writer.take().flatten();
}

}  // namespace

std::string_view name(Role role) {
    switch (role) {
        case Role::unattached: return "unattached";
        case Role::candidate: return "candidate";
        case Role::leader: return "leader";
        case Role::resigned: return "resigned";
    }
    return "unknown";
}

Status Quorum::start(std::optional<QuorumState> saved, Offset log_end, LeaderEpoch last_epoch) {
    const std::vector<BrokerId> alone{self_};
    if (saved) {
        if (!saved->voters.empty() && saved->voters != alone) {
            std::string voters;
            for (BrokerId voter : saved->voters) {
                if (!voters.empty()) voters += ", ";
                voters += std::to_string(voter.value());
            }
            return Error{ErrorCode::inconsistent_voter_set,
                         "the metadata quorum of this directory has the voters " + voters +
                             ", but this node is " + std::to_string(self_.value()) +
                             " and serves a quorum of itself alone"};
        }
        state_ = *saved;
    }
    state_.voters = alone;
    // A log whose epoch is ahead of quorum-state lost that file; its epoch was voted for once.
    if (last_epoch > state_.epoch) {
        state_.epoch = last_epoch;
        state_.leader = no_broker;
        state_.voted = no_broker;
    }
    log_end_ = log_end;
    role_ = Role::unattached;
    return {};
}

Status Quorum::stand(WallTime now) {
    ASSERT(role_ == Role::unattached, "one-leader-per-epoch");
    if (state_.epoch.value() == INT32_MAX)
        return Error{ErrorCode::unknown_server_error, "the quorum has used up its epochs"};
    // The only voter grants itself its vote in the very step in which it asks for it; nothing
    // leaves this node before the state is durable, so one write stands for vote and election.
    role_ = Role::candidate;
    ++state_.epoch;
    state_.voted = no_broker;
    state_.leader = self_;
    state_unsaved_ = true;
    role_ = Role::leader;
    epoch_start_ = log_end_;
    Bytes batch = record::quorum_control_batch(record::ControlRecordType::leader_change,
                                               leader_change(self_, state_.voters), log_end_,
                                               state_.epoch, now);
    batches_.push_back({log_end_, log_end_, std::move(batch)});
    ++log_end_;
    return {};
}

Result<Offset> Quorum::propose(const std::vector<Bytes>& records, WallTime now) {
    ASSERT(!records.empty(), "a proposal holds records");
    if (role_ != Role::leader)
        return Error{ErrorCode::not_leader_or_follower,
                     "this node does not lead the metadata quorum"};
    record::BatchOptions options;
    options.base_offset = log_end_;
    options.leader_epoch = state_.epoch;
    record::RecordBatchBuilder builder(options);
    for (const Bytes& value : records) builder.append(now, std::nullopt, value.view());
    const Offset base = log_end_;
    log_end_ += static_cast<std::int64_t>(records.size());
    batches_.push_back({base, log_end_ - 1, builder.build()});
    return log_end_ - 1;
}

void Quorum::durable(LeaderEpoch epoch, Offset log_end) {
    if (role_ != Role::leader || epoch != state_.epoch) return;
    ASSERT(log_end <= log_end_, "the log ends where the leader appended last");
    // An epoch commits what came before it with its own first record, not earlier.
    if (log_end > epoch_start_) high_watermark_ = std::max(high_watermark_, log_end);
}

void Quorum::refused(Offset log_end) {
    ASSERT(batches_.empty() && log_end >= high_watermark_ && log_end <= log_end_,
           "what was committed is never refused");
    log_end_ = log_end;
}

void Quorum::resign() {
    role_ = Role::resigned;
    batches_.clear();
}

Ready Quorum::take_ready() {
    Ready ready;
    if (state_unsaved_) ready.state = state_;
    state_unsaved_ = false;
    ready.batches = std::move(batches_);
    batches_.clear();
    ready.high_watermark = high_watermark_;
    return ready;
}

}  // namespace pabal::raft
