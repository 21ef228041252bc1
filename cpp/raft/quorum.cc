#include "raft/quorum.h"

#include <algorithm>
#include <functional>

#include "base/assert.h"
#include "base/probe.h"
#include "record/batch_builder.h"
#include "record/control_record.h"
#include "record/record.h"
#include "record/record_batch.h"
#include "wire/records/leader_change_message.h"
#include "wire/writer.h"

namespace pabal::raft {
namespace {

constexpr int leader_change_version = 0;

// How much later the next voter stands when all start at once, so that the first one has won before
// the second one tries.
constexpr std::int64_t stagger_milliseconds = 10;

// More observers than that are served, but not described.
constexpr std::size_t most_replicas = 4096;
// An observer that has not fetched for so long is gone.
constexpr Duration observer_lifetime = Duration::seconds(300);

const std::pair<BrokerId, DirectoryId> nobody{no_broker, DirectoryId()};

// As Kafka 4.3 writes it: without directories, also where voters are dynamic.
Bytes leader_change(BrokerId leader, const Voters& voters, const Voters& granting) {
    wire::LeaderChangeMessage message;
    message.version = leader_change_version;
    message.leader_id = leader;
    for (const Voter& voter : voters) {
        message.voters.emplace_back();
        message.voters.back().voter_id = voter.id;
    }
    for (const Voter& voter : granting) {
        message.granting_voters.emplace_back();
        message.granting_voters.back().voter_id = voter.id;
    }
    wire::Writer writer;
    encode(writer, message, leader_change_version);
    return *writer.take().flatten();
}

std::string text(const std::vector<BrokerId>& voters) {
    std::string list;
    for (BrokerId voter : voters) {
        if (!list.empty()) list += ", ";
        list += std::to_string(voter.value());
    }
    return list;
}

Duration scaled(Duration duration, std::int64_t numerator, std::int64_t denominator) {
    return Duration::nanoseconds(duration.to_nanoseconds() / denominator * numerator);
}

}  // namespace

std::string_view name(Role role) {
    switch (role) {
        case Role::unattached: return "unattached";
        case Role::prospective: return "prospective";
        case Role::candidate: return "candidate";
        case Role::leader: return "leader";
        case Role::follower: return "follower";
        case Role::resigned: return "resigned";
    }
    return "unknown";
}

Quorum::Quorum(BrokerId self, DirectoryId directory, Settings settings, Prng random)
    : self_(self), directory_(directory), settings_(settings), random_(random) {}

bool Quorum::is_up_to_date(const OffsetAndEpoch& other) const {
    if (SABOTAGED("vote-for-a-shorter-log")) return true;
    if (other.epoch != epochs_.last()) return other.epoch > epochs_.last();
    return other.offset >= log_end_;
}

bool Quorum::knows_other_leader() const {
    return state_.leader != no_broker && state_.leader != self_;
}

Duration Quorum::random_within(Duration least, Duration most) {
    return Duration::nanoseconds(random_.between(
        least.to_nanoseconds(), std::max(least.to_nanoseconds(), most.to_nanoseconds())));
}

Reply Quorum::reply(ErrorCode error, bool granted) const {
    const bool leads_no_more = state_.leader == self_ && role_ != Role::leader;
    return {error, leads_no_more ? no_broker : state_.leader, state_.epoch, granted};
}

Status Quorum::start(Found found, std::vector<BrokerId> voters, Now now) {
    std::sort(voters.begin(), voters.end());
    const bool named = std::binary_search(voters.begin(), voters.end(), self_);
    history_ = std::move(found.voters);
    if (found.state) {
        if (named && has_static_voters() && !found.state->voters.empty() &&
            found.state->voters != voters)
            return Error{ErrorCode::inconsistent_voter_set,
                         "the metadata quorum of this directory has the voters " +
                             text(found.state->voters) + ", but this node is told that they are " +
                             text(voters) +
                             "; set controller.quorum.voters to what they were, or format the "
                             "directory anew"};
        state_ = *found.state;
    }
    for (BrokerId id : voters) {
        Voter& voter = static_voters_.emplace_back();
        voter.id = id;
        if (id == self_) voter = self();
        voter.directory = DirectoryId();
    }
    voters_changed();
    epochs_ = EpochHistory(std::move(found.epochs));
    log_start_ = found.log_start;
    log_end_ = found.log_end;
    durable_end_ = found.log_start;
    if (found.snapshot) {
        snapshot_taken(*found.snapshot);
        high_watermark_ = durable_end_ = found.snapshot->offset;
    }
    // Where log or snapshot are ahead of quorum-state, that file was lost; their epoch was voted
    // for once.
    if (epochs_.last() > state_.epoch) {
        state_.epoch = epochs_.last();
        state_.leader = no_broker;
        const bool may_have_voted = votes() || settings_.eligible;
        state_.voted = may_have_voted ? self_ : no_broker;
        state_.voted_directory = may_have_voted ? directory_ : DirectoryId();
    }
    role_ = Role::unattached;
    if (alone()) {
        become_candidate(now);
        if (role_ != Role::leader)
            return Error{ErrorCode::unknown_server_error, "the quorum has used up its epochs"};
    } else if (knows_other_leader()) {
        become_follower(state_.epoch, state_.leader, now);
    } else if (stands()) {
        const Voters& all = this->voters();
        const auto rank = std::count_if(all.begin(), all.end(),
                                        [this](const Voter& voter) { return voter.id < self_; });
        timer_ = now.instant + Duration::milliseconds(stagger_milliseconds * rank);
    }
    return {};
}

// ------------------------------------------------------------------------------------------ roles

// The only place where the epoch changes: never back, and with it goes what was said in the last.
void Quorum::enter(LeaderEpoch epoch, BrokerId leader, Key voted_for) {
    ASSERT(epoch >= state_.epoch, "an epoch never goes back");
    if (epoch == state_.epoch && leader == state_.leader && voted_for == voted()) return;
    state_.epoch = epoch;
    state_.leader = leader;
    state_.voted = voted_for.first;
    state_.voted_directory = voted_for.second;
    state_unsaved_ = true;
}

void Quorum::become_unattached(LeaderEpoch epoch, Key voted_for, Now now) {
    const bool same = epoch == state_.epoch;
    enter(epoch, same ? state_.leader : no_broker, voted_for);
    role_ = Role::unattached;
    fetched_ = false;
    ballots_.clear();
    replicas_.clear();
    timer_ = stands() ? now.instant + random_within(settings_.election_timeout,
                                                    scaled(settings_.election_timeout, 2, 1))
                      : Instant::never();
}

void Quorum::become_follower(LeaderEpoch epoch, BrokerId leader, Now now) {
    ASSERT(leader != self_, "nobody follows himself");
    enter(epoch, leader, epoch == state_.epoch ? voted() : nobody);
    role_ = Role::follower;
    fetched_ = false;
    ballots_.clear();
    replicas_.clear();
    timer_ = now.instant + settings_.fetch_timeout;
}

void Quorum::become_prospective(Now now) {
    role_ = Role::prospective;
    fetched_ = false;
    ballots_.clear();
    replicas_.clear();
    yield_until_ = now.instant;
    timer_ = now.instant +
             random_within(settings_.election_timeout, scaled(settings_.election_timeout, 2, 1));
    ask_voters(now);
}

void Quorum::become_candidate(Now now) {
    if (state_.epoch.value() >= INT32_MAX - 1) {
        timer_ = Instant::never();
        return;
    }
    // The only voter grants itself its vote in the very step in which it asks for it; nothing
    // leaves this node before the state is durable, so one write stands for vote and election.
    enter(state_.epoch + 1, no_broker, alone() ? nobody : Key(self_, directory_));
    role_ = Role::candidate;
    ballots_.clear();
    timer_ = now.instant +
             random_within(settings_.election_timeout, scaled(settings_.election_timeout, 2, 1));
    if (alone()) {
        become_leader(now);
    } else {
        ask_voters(now);
    }
}

void Quorum::become_leader(Now now) {
    Voters granting;
    for (const Voter& voter : voters())
        if (voter.is(self_, directory_) || ballots_[voter.id].granted) granting.push_back(voter);
    enter(state_.epoch, self_, voted());
    role_ = Role::leader;
    ballots_.clear();
    replicas_.clear();
    updated_.clear();
    voters_changed();
    timer_ = Instant::never();
    led_since_ = now.instant;
    epoch_start_ = log_end_;
    epochs_.append(state_.epoch, log_end_);
    std::vector<record::QuorumControlRecord> records{
        {record::ControlRecordType::leader_change, leader_change(self_, voters(), granting)}};
    // The log has to say who votes once it does not begin with the file that says so, and where
    // this voter is found now.
    const bool unwritten = history_.voters_offset() == VoterHistory::before_the_log;
    const Voter* own = find(voters(), self_);
    if (!has_static_voters() && (unwritten || (own && *own != self()))) {
        Voters next = voters();
        for (Voter& voter : next)
            if (voter.id == self_) voter = self();
        records.push_back(
            {record::ControlRecordType::kraft_version, kraft_version_record(kraft_version())});
        records.push_back({record::ControlRecordType::kraft_voters, voters_record(next)});
    }
    append_control(records, now);
    ask_voters(now);
}

void Quorum::become_resigned(Now now) {
    std::vector<const Replica*> best;
    for (const auto& [key, replica] : replicas_)
        if (is_voter(key.first, key.second)) best.push_back(&replica);
    std::stable_sort(best.begin(), best.end(),
                     [](const Replica* a, const Replica* b) { return a->log_end > b->log_end; });
    std::vector<BrokerId> preferred;
    for (const Replica* replica : best) preferred.push_back(replica->id);
    role_ = Role::resigned;
    ballots_.clear();
    replicas_.clear();
    for (BrokerId voter : preferred) {
        send(Message::Kind::end_epoch, voter, false);
        messages_.back().preferred = preferred;
    }
    // Who does not stand again only leaves the successors a moment, and looks for them.
    timer_ = now.instant + (stands() ? random_within(settings_.election_timeout,
                                                     scaled(settings_.election_timeout, 2, 1))
                                     : settings_.election_backoff_max);
}

// What any message says about leaders and epochs.
void Quorum::learn(BrokerId leader, LeaderEpoch epoch, Now now) {
    if (epoch < state_.epoch || epoch < LeaderEpoch(0)) return;
    const bool names_other = leader >= BrokerId(0) && leader != self_;
    if (epoch > state_.epoch) {
        if (names_other) {
            become_follower(epoch, leader, now);
        } else {
            // A node that is told to have led has lost its memory: it votes for nobody there.
            become_unattached(epoch, leader == self_ ? Key(self_, directory_) : nobody, now);
        }
        return;
    }
    if (!names_other) return;
    const bool waits =
        role_ == Role::unattached ||
        (state_.leader == no_broker && (role_ == Role::prospective || role_ == Role::candidate));
    if (waits && (state_.leader == no_broker || state_.leader == leader))
        become_follower(epoch, leader, now);
}

void Quorum::lose_leader(Now now) {
    if (stands()) {
        become_prospective(now);
    } else {
        // Others may name the leader that is gone until there is another one.
        doubtful_until_ = now.instant + settings_.fetch_timeout;
        become_unattached(state_.epoch, voted(), now);
    }
}

// ------------------------------------------------------------------------------------------- time

void Quorum::elapsed(Now now) {
    if (halted_) return;
    switch (role_) {
        case Role::unattached:
        case Role::resigned:
            if (timer_ <= now.instant) lose_leader(now);
            break;
        case Role::prospective:
            if (timer_ <= now.instant && !knows_other_leader()) {
                become_unattached(state_.epoch, voted(), now);
                timer_ = now.instant + random_within(Duration(), settings_.election_backoff_max);
            } else {
                // Whether the leader of this epoch is back it says itself, or the others do.
                if (timer_ <= now.instant)
                    timer_ = now.instant + random_within(settings_.election_timeout,
                                                         scaled(settings_.election_timeout, 2, 1));
                count_votes(now);
                if (role_ == Role::prospective) ask_voters(now);
            }
            break;
        case Role::candidate:
            if (timer_ <= now.instant) {
                become_prospective(now);
            } else {
                ask_voters(now);
            }
            break;
        case Role::follower:
            if (timer_ <= now.instant) lose_leader(now);
            break;
        case Role::leader:
            if (check_quorum_at() <= now.instant) {
                REACHED("leader-resigns-without-a-majority");
                become_resigned(now);
            } else {
                ask_voters(now);
            }
            break;
    }
}

Instant Quorum::next_timer() const {
    if (halted_) return Instant::never();
    Instant next = timer_;
    if (role_ == Role::leader) next = check_quorum_at();
    const bool asks =
        role_ == Role::prospective || role_ == Role::candidate || role_ == Role::leader;
    for (const Voter& voter : voters()) {
        if (!asks || voter.id == self_) continue;
        const auto found = ballots_.find(voter.id);
        if (found == ballots_.end()) continue;
        const Ballot& ballot = found->second;
        if (ballot.in_flight) continue;
        if (role_ == Role::leader ||
            (!ballot.granted && !(role_ == Role::candidate && ballot.rejected)))
            next = std::min(next, ballot.again);
    }
    if (role_ == Role::prospective) {
        std::size_t granted = votes() ? 1 : 0;
        for (const auto& [id, ballot] : ballots_) granted += ballot.granted ? 1 : 0;
        if (granted >= majority()) next = std::min(next, yield_until_);
    }
    return next;
}

// When a leader has gone without the fetches of a majority for too long.
Instant Quorum::check_quorum_at() const {
    const Instant heard = majority_heard_at();
    return heard == Instant::never() ? heard : heard + scaled(settings_.fetch_timeout, 3, 2);
}

Instant Quorum::majority_heard_at() const {
    const std::size_t others = majority() - (votes() ? 1 : 0);
    if (others == 0) return Instant::never();
    std::vector<Instant> heard;
    for (const Voter& voter : voters()) {
        if (voter.id == self_) continue;
        const Replica* known = replica(voter.id, voter.directory);
        heard.push_back(known && known->last_fetch ? *known->last_fetch : led_since_);
    }
    std::sort(heard.begin(), heard.end(), std::greater<>());
    return heard[others - 1];
}

// ------------------------------------------------------------------------------------------ votes

void Quorum::send(Message::Kind kind, BrokerId to, bool pre_vote) {
    Message& message = messages_.emplace_back();
    message.kind = kind;
    message.to = to;
    if (const Voter* voter = find(voters(), to)) message.to_directory = voter->directory;
    message.epoch = state_.epoch;
    if (kind == Message::Kind::vote)
        message.vote = {self_, directory_, state_.epoch, end(), pre_vote};
}

// Whatever is due to be said to the other voters, in the role that this node has.
void Quorum::ask_voters(Now now) {
    for (const Voter& voter : voters()) {
        if (voter.id == self_) continue;
        Ballot& ballot = ballots_[voter.id];
        if (ballot.in_flight || ballot.again > now.instant) continue;
        if (role_ == Role::leader) {
            // A voter that fetches knows who leads.
            const Replica* known = replica(voter.id, voter.directory);
            const Duration period = scaled(settings_.fetch_timeout, 1, 2);
            if (known && known->last_fetch && *known->last_fetch + period > now.instant) {
                ballot.again = *known->last_fetch + period;
                continue;
            }
            send(Message::Kind::begin_epoch, voter.id, false);
        } else {
            if (ballot.granted || (role_ == Role::candidate && ballot.rejected)) continue;
            send(Message::Kind::vote, voter.id, role_ == Role::prospective);
        }
        ballot.in_flight = true;
    }
}

bool Quorum::may_grant(const VoteAsk& ask) const {
    if (!is_up_to_date(ask.log_end)) return false;
    if (ask.pre_vote) {
        // Who hears from a living leader disturbs it for nobody (KIP-996).
        if (role_ == Role::follower) return !fetched_;
        return role_ != Role::leader;
    }
    if (role_ != Role::unattached && role_ != Role::prospective) return false;
    if (state_.voted != no_broker && !SABOTAGED("vote-is-given-twice"))
        return has_static_voters() ? state_.voted == ask.candidate
                                   : voted() == Key(ask.candidate, ask.directory);
    return state_.leader == no_broker;
}

Reply Quorum::vote(const VoteAsk& ask, Now now) {
    if (halted_) return reply(ErrorCode::broker_not_available);
    if (ask.epoch < state_.epoch) return reply(ErrorCode::fenced_leader_epoch);
    if (ask.candidate < BrokerId(0) || ask.candidate == self_ || ask.epoch.value() >= INT32_MAX - 1)
        return reply(ErrorCode::invalid_request);
    // Where voters are dynamic, a log that is behind may not know the candidate for one yet, nor
    // this node: it votes all the same, as does one that knows no voters at all.
    const bool knows_all = has_static_voters() && !voters().empty();
    if (knows_all ? !is_voter(ask.candidate) || !votes() : !settings_.eligible)
        return reply(ErrorCode::inconsistent_voter_set);
    if (ask.epoch > state_.epoch) become_unattached(ask.epoch, nobody, now);
    if (!may_grant(ask)) return reply(ErrorCode::none);
    if (!ask.pre_vote) {
        REACHED("vote-is-granted");
        become_unattached(state_.epoch, {ask.candidate, ask.directory}, now);
        return reply(ErrorCode::none, true);
    }
    if (role_ == Role::prospective) {
        // Of two that would both be elected one leaves it to the other for a moment.
        const bool longer = ask.log_end != end();
        if (longer || ask.candidate < self_)
            yield_until_ = now.instant + settings_.election_backoff_max;
    }
    return reply(ErrorCode::none, true);
}

void Quorum::replied(const Message& message, const Reply& reply, Now now) {
    if (halted_) return;
    const bool current = message.epoch == state_.epoch;
    const auto found = ballots_.find(message.to);
    if (current && found != ballots_.end()) {
        Ballot& ballot = found->second;
        const bool asked = message.kind == Message::Kind::vote &&
                           role_ == (message.vote.pre_vote ? Role::prospective : Role::candidate);
        const bool told = message.kind == Message::Kind::begin_epoch && role_ == Role::leader;
        if (asked || told) {
            ballot.in_flight = false;
            ballot.again = now.instant + random_within(scaled(settings_.election_backoff_max, 1, 2),
                                                       settings_.election_backoff_max);
        }
        if (asked && reply.error == ErrorCode::none) {
            ballot.granted = reply.granted;
            ballot.rejected = !reply.granted;
        }
        if (told && reply.error == ErrorCode::none)
            ballot.again = now.instant + scaled(settings_.fetch_timeout, 1, 2);
    }
    learn(reply.leader, reply.epoch, now);
    // The leader that was thought to be gone answers.
    const bool speaks = reply.leader == message.to && reply.leader == state_.leader;
    if (speaks && role_ == Role::prospective && reply.epoch == state_.epoch && !reply.granted)
        become_follower(state_.epoch, state_.leader, now);
    count_votes(now);
}

void Quorum::unanswered(const Message& message, Now now) {
    const auto found = ballots_.find(message.to);
    if (halted_ || message.epoch != state_.epoch || found == ballots_.end()) return;
    found->second.in_flight = false;
    found->second.again = now.instant + settings_.retry_backoff;
}

void Quorum::count_votes(Now now) {
    if (role_ != Role::prospective && role_ != Role::candidate) return;
    std::size_t granted = votes() ? 1 : 0;
    std::size_t rejected = 0;
    for (const auto& [id, ballot] : ballots_) {
        granted += ballot.granted ? 1 : 0;
        rejected += ballot.rejected ? 1 : 0;
    }
    const bool lost = rejected > voters().size() - majority();
    if (granted >= majority()) {
        if (role_ == Role::candidate) {
            become_leader(now);
        } else if (yield_until_ <= now.instant) {
            become_candidate(now);
        }
    } else if (lost && role_ == Role::candidate) {
        timer_ = std::min(timer_, now.instant + random_within(Duration::milliseconds(1),
                                                              settings_.election_backoff_max));
    } else if (lost && knows_other_leader()) {
        REACHED("pre-vote-protects-a-leader");
        become_follower(state_.epoch, state_.leader, now);
    }
}

Reply Quorum::begin_epoch(BrokerId leader, LeaderEpoch epoch, Now now) {
    if (halted_) return reply(ErrorCode::broker_not_available);
    if (epoch < state_.epoch) return reply(ErrorCode::fenced_leader_epoch);
    const bool contradicts =
        epoch == state_.epoch && state_.leader != no_broker && state_.leader != leader;
    if (leader < BrokerId(0) || leader == self_ || contradicts)
        return reply(ErrorCode::invalid_request);
    learn(leader, epoch, now);
    // The leader that was thought to be gone speaks.
    if (role_ == Role::prospective) become_follower(epoch, leader, now);
    return reply(ErrorCode::none);
}

Reply Quorum::end_epoch(BrokerId leader, LeaderEpoch epoch, const std::vector<BrokerId>& preferred,
                        Now now) {
    if (halted_) return reply(ErrorCode::broker_not_available);
    if (epoch < state_.epoch) return reply(ErrorCode::fenced_leader_epoch);
    if (leader < BrokerId(0) || leader == self_) return reply(ErrorCode::invalid_request);
    learn(leader, epoch, now);
    if (role_ != Role::follower || state_.leader != leader) return reply(ErrorCode::none);
    fetched_ = false;
    const auto position = std::find(preferred.begin(), preferred.end(), self_) - preferred.begin();
    if (position == 0) {
        lose_leader(now);
    } else {
        timer_ =
            std::min(timer_, now.instant + scaled(settings_.election_backoff_max, position, 1));
    }
    return reply(ErrorCode::none);
}

void Quorum::leader_died(LeaderEpoch epoch, Now now) {
    if (halted_ || role_ != Role::follower || epoch != state_.epoch) return;
    REACHED("leader-is-known-to-be-dead");
    lose_leader(now);
}

// ------------------------------------------------------------------------------------ replication

FetchReply Quorum::answer(const FetchAsk& ask) const {
    FetchReply answer;
    const Reply known = reply(ErrorCode::none);
    answer.leader = known.leader;
    answer.epoch = known.epoch;
    answer.log_start = log_start_;
    if (halted_) {
        answer.error = ErrorCode::broker_not_available;
    } else if (ask.epoch < state_.epoch) {
        answer.error = ErrorCode::fenced_leader_epoch;
    } else if (ask.epoch > state_.epoch) {
        answer.error = ErrorCode::unknown_leader_epoch;
    } else if (role_ != Role::leader) {
        answer.error = ErrorCode::not_leader_or_follower;
    }
    if (answer.error != ErrorCode::none) return answer;
    // Before its own first record is committed a leader does not know how far others had come.
    if (has_committed()) answer.high_watermark = high_watermark_;
    const OffsetAndEpoch from = ask.from;
    if (snapshot_ && (from.offset < log_start_ || from.epoch < snapshot_->epoch ||
                      (from.offset == log_start_ && from.epoch != snapshot_->epoch))) {
        answer.snapshot = snapshot_;
        return answer;
    }
    const OffsetAndEpoch ours = epochs_.end_of(from.epoch, log_end_);
    const bool diverges = ours.epoch != from.epoch || ours.offset < from.offset;
    if (diverges && !SABOTAGED("divergence-goes-unnoticed")) answer.diverging = ours;
    return answer;
}

FetchReply Quorum::fetch(const FetchAsk& ask, Now now) {
    const FetchReply first = answer(ask);
    const bool member = ask.replica >= BrokerId(0) && ask.replica != self_;
    if (first.error != ErrorCode::none || !member) return first;
    const Key key = key_of(ask.replica, ask.directory);
    if (!replicas_.contains(key) && replicas_.size() >= most_replicas) return first;
    Replica& replica = replicas_[key];
    replica.id = ask.replica;
    replica.directory = ask.directory;
    if (!first.snapshot && !first.diverging) {
        if (ask.from.offset >= log_end_) {
            replica.last_caught_up = now.wall;
            replica.was_caught_up = true;
        } else if (replica.leader_end >= Offset(0) && ask.from.offset >= replica.leader_end) {
            replica.last_caught_up = replica.last_fetch_wall;
            replica.was_caught_up = true;
        }
        replica.log_end = ask.from.offset;
    }
    replica.last_fetch = now.instant;
    replica.last_fetch_wall = now.wall;
    replica.leader_end = log_end_;
    count_fetches();
    resign_if_removed(now);
    // What this fetch vouches for may be what it asks for.
    return answer(ask);
}

void Quorum::count_fetches() {
    if (role_ != Role::leader) return;
    std::vector<Offset> ends;
    for (const Voter& voter : voters()) {
        if (voter.is(self_, directory_)) {
            ends.push_back(durable_end_);
        } else {
            const Replica* known = replica(voter.id, voter.directory);
            ends.push_back(known ? known->log_end : Offset(-1));
        }
    }
    std::sort(ends.begin(), ends.end(), std::greater<>());
    std::size_t enough = majority();
    if (SABOTAGED("commit-without-a-majority") && enough > 1) --enough;
    const Offset reached = ends[enough - 1];
    // An epoch commits what came before it with its own first record, not earlier.
    if (reached > epoch_start_ || SABOTAGED("commit-of-earlier-epochs"))
        high_watermark_ = std::max(high_watermark_, reached);
}

std::optional<FetchAsk> Quorum::next_fetch() const {
    if (halted_) return std::nullopt;
    const bool searches = role_ == Role::unattached && !stands();
    if (role_ != Role::follower && !searches) return std::nullopt;
    // The offset of a voter's fetch counts as its share of the majority, and that of a node that is
    // made a voter does so before it knows.
    if ((votes() || settings_.eligible) && durable_end_ < log_end_ &&
        !SABOTAGED("fetch-vouches-for-what-is-not-durable"))
        return std::nullopt;
    return FetchAsk{self_, directory_, state_.epoch, end(), high_watermark_};
}

Status Quorum::fetched(const FetchAsk& ask, const FetchReply& reply, Now now) {
    if (halted_) return {};
    if (reply.error != ErrorCode::none) {
        const bool from_our_leader = role_ == Role::follower && reply.epoch == state_.epoch &&
                                     reply.leader == no_broker && ask.epoch == state_.epoch;
        if (reply.error == ErrorCode::not_leader_or_follower && from_our_leader) {
            lose_leader(now);
        } else {
            const bool no_news = role_ == Role::unattached && reply.epoch == state_.epoch &&
                                 reply.leader == state_.leader;
            if (!no_news || doubtful_until_ <= now.instant) learn(reply.leader, reply.epoch, now);
        }
        return {};
    }
    learn(reply.leader, reply.epoch, now);
    if (reply.epoch != state_.epoch || ask.epoch != state_.epoch || reply.leader != state_.leader)
        return {};
    if (role_ == Role::prospective) become_follower(state_.epoch, state_.leader, now);
    if (role_ != Role::follower) return {};
    fetched_ = true;
    timer_ = now.instant + settings_.fetch_timeout;
    // The log went on since, or was cut: the answer is to a question of yesterday.
    if (reply.snapshot || (ask.from != end() && !SABOTAGED("late-answers-are-believed"))) return {};
    if (reply.diverging) {
        REACHED("metadata-log-is-truncated");
        const OffsetAndEpoch ours = epochs_.end_of(reply.diverging->epoch, log_end_);
        // Where the leader has records of an epoch that is not here, its offset says nothing about
        // our batches: the end of our own last epoch before that one is tried next.
        const Offset cut = ours.epoch == reply.diverging->epoch
                               ? std::min(ours.offset, reply.diverging->offset)
                               : ours.offset;
        if (cut < high_watermark_)
            return Error{
                ErrorCode::unknown_server_error,
                "the leader of the metadata quorum, node " + std::to_string(reply.leader.value()) +
                    ", has another log from offset " + std::to_string(cut.value()) +
                    " on, but everything below " + std::to_string(high_watermark_.value()) +
                    " is committed here; do the nodes belong to one cluster?"};
        if (cut >= log_end_) return {};
        ASSERT(batches_.empty(), "what was handed out is appended before the next answer is read");
        log_end_ = cut;
        durable_end_ = std::min(durable_end_, cut);
        epochs_.truncate(cut);
        history_.truncate(cut);
        voters_changed();
        truncate_to_ = cut;
        return {};
    }
    PABAL_TRY(append_fetched(reply.records));
    if (reply.high_watermark >= Offset(0))
        high_watermark_ = std::max(high_watermark_, std::min(reply.high_watermark, log_end_));
    return {};
}

// The leader's batches, as far as they are whole and sound: what was damaged on its way is fetched
// again.
Status Quorum::append_fetched(const Bytes& records) {
    record::BatchWalker walker(records);
    for (;;) {
        const std::size_t begin = walker.position();
        const auto next = walker.next();
        if (!next.ok() || !*next) break;
        const auto& batch = *next;
        // Metadata is never compacted: its batches follow one another without a gap.
        if (batch->base_offset() != log_end_ || batch->leader_epoch() < epochs_.last() ||
            batch->leader_epoch() > state_.epoch || !batch->crc_is_right())
            break;
        if (batch->is_control()) {
            record::RecordReader reader(*batch, batch->records());
            for (;;) {
                PABAL_TRY_ASSIGN(const auto control, reader.next());
                if (!control) break;
                const auto type = record::control_record_type(control->key.value_or(ByteView()));
                if (type && control->value)
                    PABAL_TRY(history_.append(control->offset, *type, *control->value));
            }
        }
        epochs_.append(batch->leader_epoch(), log_end_);
        batches_.push_back(
            {batch->base_offset(), batch->last_offset(), records.slice(begin, batch->size())});
        log_end_ = batch->next_offset();
    }
    voters_changed();
    return {};
}

void Quorum::heard_of_leader(LeaderEpoch epoch, Now now) {
    if (halted_ || role_ != Role::follower || epoch != state_.epoch) return;
    fetched_ = true;
    timer_ = now.instant + settings_.fetch_timeout;
}

void Quorum::snapshot_loaded(OffsetAndEpoch snapshot, VoterHistory voters, Now now) {
    REACHED("metadata-snapshot-is-fetched");
    snapshot_ = snapshot;
    history_ = std::move(voters);
    voters_changed();
    log_start_ = log_end_ = durable_end_ = snapshot.offset;
    epochs_ = EpochHistory();
    epochs_.begin_at(snapshot);
    high_watermark_ = std::max(high_watermark_, snapshot.offset);
    if (role_ == Role::follower) timer_ = now.instant + settings_.fetch_timeout;
}

void Quorum::snapshot_taken(OffsetAndEpoch snapshot) {
    snapshot_ = snapshot;
    log_start_ = std::max(log_start_, snapshot.offset);
    epochs_.begin_at(snapshot);
    history_.begin_at(snapshot.offset);
}

Result<Offset> Quorum::propose(const std::vector<Bytes>& records, WallTime now) {
    ASSERT(!records.empty(), "a proposal holds records");
    if (role_ != Role::leader || halted_)
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

void Quorum::durable(Offset log_end) {
    ASSERT(log_end <= log_end_, "nothing beyond the log's end is durable");
    durable_end_ = std::max(durable_end_, log_end);
    count_fetches();
}

void Quorum::refused(Offset log_end, Now now) {
    ASSERT(batches_.empty() && log_end <= log_end_, "only what was to be written is refused");
    ASSERT(role_ != Role::leader || log_end >= high_watermark_,
           "what was committed is never refused");
    log_end_ = log_end;
    // What a follower could not write others have committed all the same; here it is not known yet.
    high_watermark_ = std::min(high_watermark_, log_end);
    epochs_.truncate(log_end);
    history_.truncate(log_end);
    voters_changed();
    if (role_ == Role::leader && log_end_ <= epoch_start_) become_resigned(now);
}

void Quorum::resign(Now now) {
    if (role_ == Role::leader && !halted_) become_resigned(now);
}

void Quorum::halt() {
    halted_ = true;
    role_ = Role::resigned;
    batches_.clear();
    messages_.clear();
}

Ready Quorum::take_ready() {
    Ready ready;
    if (state_unsaved_) ready.state = state_;
    state_unsaved_ = false;
    ready.truncate_to = std::exchange(truncate_to_, std::nullopt);
    ready.batches = std::exchange(batches_, {});
    ready.messages = std::exchange(messages_, {});
    ready.high_watermark = high_watermark_;
    return ready;
}

std::vector<Replica> Quorum::replicas(Now now) const {
    std::vector<Replica> all;
    if (role_ != Role::leader) return all;
    bool told = false;
    auto tell_self = [&] {
        Replica own;
        own.id = self_;
        own.directory = directory_;
        own.log_end = log_end_;
        own.last_fetch = now.instant;
        own.last_fetch_wall = own.last_caught_up = now.wall;
        all.push_back(own);
        told = true;
    };
    for (const auto& [key, replica] : replicas_) {
        if (!told && self_ < key.first) tell_self();
        const bool gone = !is_voter(key.first, key.second) && replica.last_fetch &&
                          *replica.last_fetch + observer_lifetime < now.instant;
        if (!gone) all.push_back(replica);
    }
    if (!told) tell_self();
    return all;
}

}  // namespace pabal::raft
