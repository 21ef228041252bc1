// Who votes, as this node knows it, and how the leader changes that (KIP-853).
#include <algorithm>
#include <string>

#include "base/assert.h"
#include "base/probe.h"
#include "raft/quorum.h"
#include "record/control_record.h"

namespace pabal::raft {
namespace {

// A replica that was caught up so recently can be made a voter without delaying what is committed.
constexpr std::int64_t caught_up_milliseconds = 3'600'000;

std::string text(BrokerId id, DirectoryId directory) {
    return std::to_string(id.value()) + '-' + directory.value().text();
}

bool same_ids(const Voters& a, const Voters& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Voter& one, const Voter& other) { return one.id == other.id; });
}

}  // namespace

const Voters& Quorum::voters() const {
    const Voters* written = history_.voters();
    return !has_static_voters() && written ? *written : static_voters_;
}

bool Quorum::is_voter(BrokerId id, DirectoryId directory) const {
    const Voter* voter = find(voters(), id);
    return voter && voter->is(id, directory);
}

bool Quorum::stands() const {
    if (votes()) return true;
    const Offset last = history_.voters_offset();
    const Voters* before = history_.voters_before(last);
    const Voter* former = has_static_voters() || !before ? nullptr : find(*before, self_);
    return former && former->is(self_, directory_) && high_watermark_ <= last;
}

Quorum::Key Quorum::key_of(BrokerId id, DirectoryId directory) const {
    const Voter* voter = find(voters(), id);
    return {id, voter && voter->is(id, directory) ? voter->directory : directory};
}

const Replica* Quorum::replica(BrokerId id, DirectoryId directory) const {
    const auto found = replicas_.find(key_of(id, directory));
    return found == replicas_.end() ? nullptr : &found->second;
}

Voter Quorum::self() const {
    return {self_, directory_, settings_.endpoints, static_voters, dynamic_voters};
}

// The replicas of a leader are kept by the key of the voter that each of them is, and every voter
// has one.
void Quorum::voters_changed() {
    state_.data_version = has_static_voters() ? 0 : 1;
    state_.voters.clear();
    for (const Voter& voter : voters())
        if (has_static_voters()) state_.voters.push_back(voter.id);
    if (role_ != Role::leader) return;
    std::map<Key, Replica> known = std::exchange(replicas_, {});
    for (auto& [key, replica] : known) {
        Replica& kept = replicas_[key_of(replica.id, replica.directory)];
        if (kept.id == no_broker || kept.log_end < replica.log_end) kept = replica;
    }
    for (const Voter& voter : voters()) {
        if (voter.id == self_) continue;
        Replica& replica = replicas_[{voter.id, voter.directory}];
        if (replica.id == no_broker) replica.directory = voter.directory;
        replica.id = voter.id;
    }
    std::erase_if(ballots_, [this](const auto& each) { return !is_voter(each.first); });
}

bool Quorum::has_caught_up(BrokerId id, DirectoryId directory) const {
    const Replica* known = replica(id, directory);
    if (role_ != Role::leader || !known || !known->was_caught_up) return false;
    const std::int64_t age =
        known->last_fetch_wall.milliseconds - known->last_caught_up.milliseconds;
    return age < caught_up_milliseconds;
}

Status Quorum::may_change_voters(std::string_view change) const {
    if (role_ != Role::leader || halted_)
        return Error{ErrorCode::not_leader_or_follower,
                     "this node does not lead the metadata quorum"};
    if (!has_committed())
        return Error{ErrorCode::request_timed_out,
                     "Request timed out waiting for leader to establish HWM and fence previous "
                     "voter changes"};
    if (has_static_voters())
        return Error{ErrorCode::unsupported_version,
                     "Cluster doesn't support " + std::string(change) +
                         " voter because the kraft.version feature is " +
                         std::to_string(kraft_version())};
    if (history_.voters_offset() >= high_watermark_ && !SABOTAGED("voters-change-two-at-a-time"))
        return Error{ErrorCode::request_timed_out,
                     "Request timed out waiting for voters to commit the latest voter change at " +
                         std::to_string(history_.voters_offset().value()) + " with HWM " +
                         std::to_string(high_watermark_.value())};
    return {};
}

Status Quorum::may_add(const Voter& voter) const {
    PABAL_TRY(may_change_voters("adding"));
    if (is_voter(voter.id))
        return Error{ErrorCode::duplicate_voter,
                     "The voter id for " + text(voter.id, voter.directory) +
                         " is already part of the set of voters " + raft::text(voters()) + "."};
    return {};
}

Result<Offset> Quorum::add_voter(const Voter& voter, Now now) {
    PABAL_TRY(may_add(voter));
    if (!voter.runs(kraft_version()))
        return Error{
            ErrorCode::invalid_request,
            "Aborted add voter operation for " + text(voter.id, voter.directory) +
                " since the kraft.version range (min: " + std::to_string(voter.lowest_level) +
                ", max: " + std::to_string(voter.highest_level) +
                ") doesn't support the finalized version " + std::to_string(kraft_version())};
    if (!has_caught_up(voter.id, voter.directory))
        return Error{ErrorCode::request_timed_out, "Aborted add voter operation for " +
                                                       text(voter.id, voter.directory) +
                                                       " since it is lagging behind"};
    REACHED("voter-is-added");
    Voters next = voters();
    next.insert(std::upper_bound(next.begin(), next.end(), voter,
                                 [](const Voter& a, const Voter& b) { return a.id < b.id; }),
                voter);
    return append_voters(std::move(next), now);
}

Result<Offset> Quorum::remove_voter(BrokerId id, DirectoryId directory, Now now) {
    PABAL_TRY(may_change_voters("removing"));
    const Voter* voter = find(voters(), id);
    // The last one stays: nobody could add another.
    if (!voter || voter->directory != directory || voters().size() == 1)
        return Error{ErrorCode::voter_not_found, "Cannot remove voter " + text(id, directory) +
                                                     " from the set of voters " +
                                                     raft::text(voters())};
    REACHED("voter-is-removed");
    Voters next = voters();
    std::erase_if(next, [&](const Voter& each) { return each.id == id; });
    return append_voters(std::move(next), now);
}

Status Quorum::update_voter(const Voter& voter, Now now) {
    if (has_static_voters() && role_ == Role::leader && has_committed()) {
        if (!is_voter(voter.id)) return Error{ErrorCode::voter_not_found, "it is no voter"};
        std::erase_if(updated_, [&](const Voter& each) { return each.id == voter.id; });
        updated_.push_back(voter);
        return {};
    }
    PABAL_TRY(may_change_voters("updating"));
    if (!voter.runs(kraft_version()))
        return Error{ErrorCode::invalid_request, "the voter does not run this kraft.version"};
    if (!is_voter(voter.id, voter.directory))
        return Error{ErrorCode::voter_not_found, "it is no voter"};
    if (*find(voters(), voter.id) == voter) return {};
    Voters next = voters();
    *std::find_if(next.begin(), next.end(),
                  [&](const Voter& each) { return each.id == voter.id; }) = voter;
    append_voters(std::move(next), now);
    return {};
}

std::optional<Voter> Quorum::update_due() const {
    if (role_ != Role::follower || !votes()) return std::nullopt;
    const Voter told = self();
    if (!has_static_voters() && *find(voters(), self_) == told) return std::nullopt;
    return told;
}

Result<bool> Quorum::upgrade(std::int16_t level, bool validate_only, Now now) {
    if (role_ != Role::leader || halted_)
        return Error{ErrorCode::not_controller, "this node does not lead the metadata quorum"};
    auto refused = [](const std::string& why) {
        return Error{ErrorCode::invalid_update_version, why};
    };
    const std::string from = std::to_string(kraft_version());
    const std::string to = std::to_string(level);
    if (level == kraft_version()) return false;
    if (level < kraft_version())
        return refused("Invalid upgrade of kraft.version from version " + from + " to " + to +
                       " because the new version is a downgrade");
    if (level != dynamic_voters || !has_committed())
        return refused("Invalid upgrade of kraft.version from version " + from + " to " + to);
    Voters next = updated_;
    if (votes()) next.push_back(self());
    std::sort(next.begin(), next.end(), [](const Voter& a, const Voter& b) { return a.id < b.id; });
    const bool all_run = std::all_of(next.begin(), next.end(), [&](const Voter& voter) {
        return voter.runs(level) && !voter.directory.value().is_zero();
    });
    if (!all_run || !same_ids(next, voters()))
        return refused("Invalid upgrade of kraft.version to " + to +
                       " because not all of the voters support it");
    if (validate_only) return true;
    REACHED("kraft-version-is-raised");
    append_control({{record::ControlRecordType::kraft_version, kraft_version_record(level)},
                    {record::ControlRecordType::kraft_voters, voters_record(next)}},
                   now);
    ask_voters(now);
    return true;
}

Offset Quorum::append_voters(Voters voters, Now now) {
    const Offset offset =
        append_control({{record::ControlRecordType::kraft_voters, voters_record(voters)}}, now);
    ask_voters(now);
    return offset;
}

// The last offset of a batch of control records, which count from now on.
Offset Quorum::append_control(const std::vector<record::QuorumControlRecord>& records, Now now) {
    const Offset base = log_end_;
    for (const record::QuorumControlRecord& record : records) {
        const Status appended = history_.append(log_end_, record.type, record.value.view());
        ASSERT(appended.ok(), "a record of our own can be read");
        ++log_end_;
    }
    batches_.push_back(
        {base, log_end_ - 1, record::quorum_control_batch(records, base, state_.epoch, now.wall)});
    voters_changed();
    return log_end_ - 1;
}

// A leader that is no voter any more leads until that is committed, by the majority of the others.
void Quorum::resign_if_removed(Now now) {
    if (role_ != Role::leader || votes() || high_watermark_ <= history_.voters_offset()) return;
    REACHED("removed-leader-resigns");
    become_resigned(now);
}

}  // namespace pabal::raft
