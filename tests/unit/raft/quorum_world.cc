#include "tests/unit/raft/quorum_world.h"

#include <algorithm>
#include <utility>

#include "base/probe.h"
#include "record/control_record.h"
#include "record/record.h"
#include "record/record_batch.h"

namespace pabal::raft {
namespace {

constexpr Duration call_timeout = Duration::milliseconds(250);
constexpr Duration long_poll = Duration::milliseconds(200);

Settings settings() {
    Settings settings;
    settings.election_timeout = Duration::milliseconds(300);
    settings.fetch_timeout = Duration::milliseconds(600);
    return settings;
}

DirectoryId directory_of(int node) {
    Uuid id;
    id.bytes[15] = static_cast<std::uint8_t>(node + 1);
    return DirectoryId(id);
}

Voter voter_of(int node) {
    return {BrokerId(node), directory_of(node), {}, static_voters, dynamic_voters};
}

// Calls `visit` with offset, type and value of each control record.
template <class Visit>
void for_each_control(const Bytes& bytes, Visit visit) {
    const auto view = record::RecordBatchView::parse(bytes);
    if (!view->is_control()) return;
    record::RecordReader reader(*view, view->records());
    for (;;) {
        auto record = reader.next();
        if (!record.ok() || !*record) return;
        visit((*record)->offset, *record::control_record_type(*(*record)->key), *(*record)->value);
    }
}

}  // namespace

struct QuorumWorld::Node {
    int id = 0;
    bool up = false;
    std::uint64_t life = 0;
    std::unique_ptr<Quorum> machine;

    // On disk: what a crash leaves is the synced part, and by chance more.
    std::optional<QuorumState> saved;
    Content before;  // What the snapshot stands for, or the file before the log.
    std::optional<OffsetAndEpoch> snapshot;
    std::deque<Batch> log;
    std::deque<Batch> cut_off;  // By a truncation that is not synced yet.
    Offset log_start{0};
    Offset synced_end{0};  // A loss of power takes nothing below.

    // In memory.
    Offset known_synced{0};  // What this life knows of it.
    std::optional<QuorumState> unsaved;
    std::uint64_t state_version = 0;
    std::uint64_t saved_version = 0;
    bool syncing = false;
    std::vector<std::pair<std::uint64_t, std::function<void()>>> gated;
    std::vector<std::function<void()>> after_sync;
    std::vector<std::function<bool()>> parked;  // True when answered.
    std::uint64_t fetch_id = 0;
    bool fetching = false;
    Instant armed = Instant::never();
    Offset checked{0};
    Offset high_watermark{0};

    Offset log_end() const { return log.empty() ? log_start : log.back().last + 1; }
};

QuorumWorld::QuorumWorld(WorldOptions options)
    : options_(options), random_(options.seed), faults_(options.faults) {
    for (int i = 0; i < options.voters && !options.dynamic; ++i) voters_.push_back(BrokerId(i));
    for (int i = 0; i < options.voters; ++i) committed_voters_.push_back(voter_of(i));
    for (int i = 0; i < options.voters + options.observers; ++i) {
        nodes_.push_back(std::make_unique<Node>());
        nodes_.back()->id = i;
        if (options.dynamic && i < options.voters) {
            VoterHistory& voters = nodes_.back()->before.voters;
            voters.append_level(VoterHistory::before_the_log, dynamic_voters);
            voters.append_voters(VoterHistory::before_the_log, committed_voters_);
        }
        at(Duration::milliseconds(random_.between(0, 30)), [this, i] { start(i); });
    }
    if (faults_) chaos();
}

QuorumWorld::~QuorumWorld() = default;

Now QuorumWorld::both() const {
    return {now_, WallTime{now_.to_nanoseconds() / 1'000'000}};
}

const Quorum& QuorumWorld::machine(int node) const {
    return *nodes_[static_cast<std::size_t>(node)]->machine;
}

void QuorumWorld::at(Duration delay, std::function<void()> action) {
    events_.push({now_ + delay, order_++, std::move(action)});
}

void QuorumWorld::run_for(Duration duration) {
    run_until([] { return false; }, duration);
}

bool QuorumWorld::run_until(const std::function<bool()>& done, Duration limit) {
    const Instant end = now_ + limit;
    while (violation_.empty() && !events_.empty() && events_.top().when <= end) {
        if (done()) return true;
        Event event = events_.top();
        events_.pop();
        now_ = event.when;
        event.action();
    }
    if (!violation_.empty()) return false;
    now_ = std::max(now_, end);
    return done();
}

void QuorumWorld::fail(const std::string& rule, const std::string& what) {
    if (violation_.empty()) violation_ = rule + ": " + what;
}

// ------------------------------------------------------------------------------------------- life

void QuorumWorld::start(int id) {
    Node& node = *nodes_[static_cast<std::size_t>(id)];
    if (node.up) return;
    node.up = true;
    ++node.life;
    node.high_watermark = Offset(0);
    Settings with = settings();
    with.eligible = options_.dynamic;
    node.machine = std::make_unique<Quorum>(
        BrokerId(id), options_.dynamic ? directory_of(id) : DirectoryId(), with,
        random_.fork("machine").fork(std::to_string(id) + "-" + std::to_string(node.life)));
    Found found;
    found.state = node.saved;
    found.log_start = node.log_start;
    node.known_synced = node.log_start;
    found.log_end = node.log_end();
    found.snapshot = node.snapshot;
    found.voters = node.before.voters;
    for (const Batch& batch : node.log) {
        for_each_control(batch.bytes,
                         [&](Offset offset, record::ControlRecordType type, ByteView value) {
                             if (!found.voters.append(offset, type, value).ok())
                                 fail("voters", "cannot be read");
                         });
        const LeaderEpoch epoch = record::RecordBatchView::parse(batch.bytes)->leader_epoch();
        if (found.epochs.empty() || found.epochs.back().epoch < epoch)
            found.epochs.push_back({epoch, batch.base});
    }
    step(node, [&] {
        const Status started = node.machine->start(found, voters_, both());
        if (!started.ok()) fail("start", started.error().message);
    });
}

void QuorumWorld::kill(int id) {
    Node& node = *nodes_[static_cast<std::size_t>(id)];
    if (!node.up) return;
    node.up = false;
    ++node.life;
    node.machine.reset();
    node.syncing = node.fetching = false;
    node.gated.clear();
    node.after_sync.clear();
    node.parked.clear();
    node.armed = Instant::never();
    // The state that was being written stands or not.
    if (node.unsaved && random_.chance(1, 2)) node.saved = node.unsaved;
    node.unsaved.reset();
    node.saved_version = node.state_version;
    const bool returns = !node.cut_off.empty() && node.log_end() == node.cut_off.front().base &&
                         random_.chance(1, 2);
    if (returns) {
        for (Batch& batch : node.cut_off) node.log.push_back(std::move(batch));
    } else {
        while (node.log_end() > node.synced_end && random_.chance(2, 3)) node.log.pop_back();
    }
    node.cut_off.clear();
    node.synced_end = std::min(node.synced_end, node.log_end());
    node.checked = std::min(node.checked, node.log_end());
}

void QuorumWorld::heal() {
    faults_ = false;
    cut_.clear();
    for (auto& node : nodes_) start(node->id);
}

int QuorumWorld::leader() const {
    int best = -1;
    for (const auto& node : nodes_) {
        if (!node->up || node->machine->role() != Role::leader) continue;
        if (best < 0 || node->machine->epoch() > machine(best).epoch()) best = node->id;
    }
    return best;
}

int QuorumWorld::resign_leader() {
    const int id = leader();
    if (id < 0) return -1;
    Node& node = *nodes_[static_cast<std::size_t>(id)];
    step(node, [&] { node.machine->resign(both()); });
    return id;
}

void QuorumWorld::tell_of_death(int dead) {
    for (auto& node : nodes_) {
        if (!node->up || node->machine->leader() != BrokerId(dead)) continue;
        const LeaderEpoch epoch = node->machine->epoch();
        at(Duration::microseconds(random_.between(50, 3000)), [this, at = node.get(), epoch] {
            if (!at->up) return;
            at->fetching = false;
            ++at->fetch_id;
            step(*at, [&] { at->machine->leader_died(epoch, both()); });
        });
    }
}

bool QuorumWorld::propose() {
    const int id = leader();
    if (id < 0) return false;
    Node& node = *nodes_[static_cast<std::size_t>(id)];
    bool proposed = false;
    step(node, [&] {
        std::vector<Bytes> records;
        for (std::int64_t i = random_.between(1, 3); i > 0; --i)
            records.push_back(Bytes::copy_of("value " + std::to_string(proposed_++)));
        proposed = node.machine->propose(records, both().wall).ok();
    });
    return proposed;
}

bool QuorumWorld::everybody_has(Offset offset) const {
    return std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& node) {
        return node->up && node->machine->high_watermark() >= offset;
    });
}

// ------------------------------------------------------------------------------------------ a node

void QuorumWorld::step(Node& node, const std::function<void()>& action) {
    if (!violation_.empty()) return;
    action();
    settle(node);
}

void QuorumWorld::settle(Node& node) {
    Ready ready = node.machine->take_ready();
    if (ready.state) {
        node.unsaved = ready.state;
        ++node.state_version;
    }
    if (ready.truncate_to) {
        node.cut_off.clear();
        while (!node.log.empty() && node.log.back().last >= *ready.truncate_to) {
            node.cut_off.push_front(std::move(node.log.back()));
            node.log.pop_back();
        }
        node.synced_end = std::min(node.synced_end, node.log_end());
        node.known_synced = std::min(node.known_synced, node.log_end());
        node.checked = std::min(node.checked, node.log_end());
        if (node.log_end() != *ready.truncate_to)
            fail("truncation", "node " + std::to_string(node.id) + " cuts at " +
                                   std::to_string(ready.truncate_to->value()) +
                                   " within a batch from " +
                                   std::to_string(node.log_end().value()) + " on");
    }
    for (AppendedRecords& records : ready.batches) {
        if (records.base_offset != node.log_end()) fail("append", "leaves a gap");
        node.log.push_back({records.base_offset, records.last_offset, std::move(records.batch)});
    }
    for (Message& message : ready.messages) send(node, std::move(message));
    check(node);
    begin_sync(node);
    std::erase_if(node.parked, [](const std::function<bool()>& again) { return again(); });
    fetch(node);
    arm(node);
}

void QuorumWorld::arm(Node& node) {
    const Instant next = node.machine->next_timer();
    if (next == Instant::never() || next == node.armed) return;
    node.armed = next;
    const Duration delay = next > now_ ? next - now_ : Duration();
    at(delay, [this, at = &node, life = node.life, next] {
        if (!at->up || at->life != life || at->armed != next) return;
        at->armed = Instant::never();
        step(*at, [&] { at->machine->elapsed(both()); });
    });
}

void QuorumWorld::begin_sync(Node& node) {
    if (node.syncing || (!node.unsaved && node.known_synced >= node.log_end())) return;
    node.syncing = true;
    const Duration takes = Duration::microseconds(random_.between(100, faults_ ? 8000 : 1000));
    const auto state = node.unsaved;
    const std::uint64_t version = node.state_version;
    const Offset end = node.log_end();
    at(takes, [this, at = &node, life = node.life, state, version, end] {
        if (!at->up || at->life != life) return;
        at->syncing = false;
        if (state && !SABOTAGED("vote-is-not-saved")) at->saved = state;
        if (at->unsaved == state) at->unsaved.reset();
        at->saved_version = version;
        at->synced_end = at->known_synced = end;
        at->cut_off.clear();
        step(*at, [&] { at->machine->durable(end); });
        std::vector<std::function<void()>> released;
        std::erase_if(at->gated, [&](auto& each) {
            if (each.first > version) return false;
            released.push_back(std::move(each.second));
            return true;
        });
        for (auto& action : released) action();
        if (!at->syncing)
            for (auto& action : std::exchange(at->after_sync, {})) action();
    });
}

void QuorumWorld::when_saved(Node& node, std::function<void()> action) {
    if (node.saved_version >= node.state_version) return action();
    node.gated.emplace_back(node.state_version, std::move(action));
}

// ---------------------------------------------------------------------------------------- network

void QuorumWorld::post(int from, int to, std::function<void()> deliver) {
    if (cut_[{from, to}]) return;
    const bool rough = faults_;
    if (rough && random_.chance(5, 100)) return;
    const int copies = rough && random_.chance(5, 100) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
        Duration delay = Duration::microseconds(random_.between(30, 200));
        if (rough && random_.chance(20, 100))
            delay = Duration::microseconds(random_.between(100, 60'000));
        at(delay, deliver);
    }
}

void QuorumWorld::send(Node& node, Message message) {
    when_saved(node, [this, from = &node, life = node.life, message] {
        Node* to = nodes_[static_cast<std::size_t>(message.to.value())].get();
        post(from->id, to->id, [this, from, to, life, message] {
            if (!to->up) return;
            Reply reply;
            step(*to, [&] {
                switch (message.kind) {
                    case Message::Kind::vote:
                        reply = to->machine->vote(message.vote, both());
                        break;
                    case Message::Kind::begin_epoch:
                        reply = to->machine->begin_epoch(BrokerId(from->id), message.epoch, both());
                        break;
                    case Message::Kind::end_epoch:
                        reply = to->machine->end_epoch(BrokerId(from->id), message.epoch,
                                                       message.preferred, both());
                        break;
                }
            });
            if (!to->up) return;
            when_saved(*to, [this, from, to, life, message, reply] {
                post(to->id, from->id, [this, from, life, message, reply] {
                    if (!from->up || from->life != life) return;
                    step(*from, [&] { from->machine->replied(message, reply, both()); });
                });
            });
        });
        at(call_timeout, [this, from, life, message] {
            if (!from->up || from->life != life) return;
            step(*from, [&] { from->machine->unanswered(message, both()); });
        });
    });
}

void QuorumWorld::fetch(Node& node) {
    if (node.fetching) return;
    const auto ask = node.machine->next_fetch();
    if (!ask) return;
    node.fetching = true;
    const std::uint64_t id = ++node.fetch_id;
    const BrokerId leader = node.machine->leader();
    const int to =
        leader >= BrokerId(0)
            ? leader.value()
            : static_cast<int>(random_.below(
                  options_.dynamic ? nodes_.size() : static_cast<std::uint64_t>(options_.voters)));
    when_saved(node, [this, at_node = &node, life = node.life, id, ask = *ask, to] {
        Node* server = nodes_[static_cast<std::size_t>(to)].get();
        post(at_node->id, to, [this, server, ask, from = at_node->id, id] {
            if (server->up) serve(*server, ask, from, id, now_ + long_poll);
        });
        at(long_poll + call_timeout, [this, at_node, life, id] {
            if (!at_node->up || at_node->life != life || at_node->fetch_id != id) return;
            at_node->fetching = false;
            step(*at_node, [] {});
        });
    });
}

void QuorumWorld::serve(Node& node, FetchAsk ask, int from, std::uint64_t id, Instant until) {
    auto deliver = [this, at_node = &node, ask, from, id](FetchReply reply) {
        std::string bytes;
        if (reply.error == ErrorCode::none && !reply.diverging && !reply.snapshot) {
            std::int64_t left = random_.between(1, 5);
            for (const Batch& batch : at_node->log)
                if (batch.base >= ask.from.offset && left-- > 0) bytes += batch.bytes.text();
        }
        reply.records = Bytes::copy_of(bytes);
        Content snapshot;
        if (reply.snapshot) snapshot = at_node->before;
        Node* to = nodes_[static_cast<std::size_t>(from)].get();
        when_saved(*at_node, [this, at_node, to, ask, id, reply, snapshot] {
            post(at_node->id, to->id, [this, to, ask, id, reply, snapshot] {
                if (to->up) take_answer(*to, id, ask, reply, snapshot);
            });
        });
    };
    auto is_news = [ask](const Node& at_node, const FetchReply& reply) {
        return reply.error != ErrorCode::none || reply.diverging || reply.snapshot ||
               at_node.machine->log_end() > ask.from.offset ||
               reply.high_watermark > ask.high_watermark;
    };
    FetchReply first;
    step(node, [&] { first = node.machine->fetch(ask, both()); });
    if (!violation_.empty() || !node.up) return;
    if (is_news(node, first)) return deliver(first);
    auto answered = std::make_shared<bool>(false);
    node.parked.push_back([this, at_node = &node, ask, is_news, deliver, answered, until] {
        if (*answered) return true;
        const FetchReply again = at_node->machine->answer(ask);
        if (now_ < until && !is_news(*at_node, again)) return false;
        *answered = true;
        deliver(again);
        return true;
    });
    at(until - now_, [this, at_node = &node, life = node.life] {
        if (at_node->up && at_node->life == life) step(*at_node, [] {});
    });
}

void QuorumWorld::take_answer(Node& node, std::uint64_t id, FetchAsk ask, FetchReply reply,
                              Content snapshot) {
    // The log may be cut only when nothing of it is on its way to the disk.
    if (node.syncing) {
        node.after_sync.push_back(
            [this, at_node = &node, life = node.life, id, ask, reply, snapshot] {
                if (at_node->up && at_node->life == life)
                    take_answer(*at_node, id, ask, reply, snapshot);
            });
        return;
    }
    step(node, [&] {
        if (id == node.fetch_id) node.fetching = false;
        const auto expected = node.machine->next_fetch();
        if (reply.snapshot && expected && expected->from == ask.from &&
            expected->epoch == reply.epoch && reply.snapshot->offset > node.log_start) {
            node.before = snapshot;
            node.snapshot = reply.snapshot;
            node.log.clear();
            node.cut_off.clear();
            node.log_start = node.synced_end = node.known_synced = reply.snapshot->offset;
            node.machine->snapshot_loaded(*reply.snapshot, snapshot.voters, both());
            return;
        }
        const Status taken = node.machine->fetched(ask, reply, both());
        if (!taken.ok()) fail("committed-metadata-survives", taken.error().message);
    });
}

void QuorumWorld::take_snapshot(Node& node) {
    const Offset end = node.machine->high_watermark();
    if (end <= node.log_start || node.syncing || end > node.synced_end) return;
    Offset boundary = node.log_start;
    LeaderEpoch epoch{0};
    while (!node.log.empty() && node.log.front().last < end) {
        const Batch batch = node.log.front();
        for (const Entry& entry : entries(batch)) node.before.entries.push_back(entry);
        epoch = record::RecordBatchView::parse(batch.bytes)->leader_epoch();
        boundary = batch.last + 1;
        node.log.pop_front();
    }
    if (boundary == node.log_start) return;
    node.log_start = boundary;
    node.snapshot = OffsetAndEpoch{boundary, epoch};
    const VoterHistory& known = node.machine->voter_history();
    VoterHistory kept;
    if (known.level_before(boundary) > 0) {
        kept.append_level(boundary - 1, known.level_before(boundary));
        kept.append_voters(boundary - 1, *known.voters_before(boundary));
    }
    node.before.voters = std::move(kept);
    step(node, [&] { node.machine->snapshot_taken(*node.snapshot); });
}

// Adds a node that is no voter, or removes one that is, as far as its leader lets it.
void QuorumWorld::change_voters() {
    const int id = leader();
    if (id < 0) return;
    Node& node = *nodes_[static_cast<std::size_t>(id)];
    const int other = static_cast<int>(random_.below(nodes_.size()));
    step(node, [&] {
        const bool votes = node.machine->is_voter(BrokerId(other));
        const auto changed =
            votes ? node.machine->remove_voter(BrokerId(other), directory_of(other), both())
                  : node.machine->add_voter(voter_of(other), both());
        changes_ += changed.ok() ? 1 : 0;
    });
}

// A fault, or some work, now and then.
void QuorumWorld::chaos() {
    at(Duration::milliseconds(random_.between(5, 60)), [this] {
        if (!faults_) return;
        const auto any = static_cast<std::size_t>(random_.below(nodes_.size()));
        const int id = static_cast<int>(any);
        Node& node = *nodes_[any];
        const std::uint64_t choice = random_.below(100);
        if (choice < 12) {
            kill(id);
            if (random_.chance(1, 3)) tell_of_death(id);
            at(Duration::milliseconds(random_.between(1, 800)), [this, id] { start(id); });
        } else if (choice < 17) {
            const int other = static_cast<int>(random_.below(nodes_.size()));
            cut_[{id, other}] = true;
            if (random_.chance(1, 2)) cut_[{other, id}] = true;
            at(Duration::milliseconds(random_.between(50, 1500)),
               [this, id, other] { cut_[{id, other}] = cut_[{other, id}] = false; });
        } else if (choice < 19) {
            resign_leader();
        } else if (choice < 22 && options_.snapshots && node.up) {
            take_snapshot(node);
        } else if (choice < 40 && options_.dynamic) {
            change_voters();
        } else {
            // Whoever believes that he leads may be asked.
            if (node.up && node.machine->role() == Role::leader) {
                step(node, [&] {
                    auto value = Bytes::copy_of("value " + std::to_string(proposed_++));
                    static_cast<void>(node.machine->propose({value}, both().wall));
                });
            } else {
                propose();
            }
        }
        chaos();
    });
}

// ------------------------------------------------------------------------------------------- rules

std::vector<QuorumWorld::Entry> QuorumWorld::entries(const Batch& batch) const {
    std::vector<Entry> all;
    const auto view = record::RecordBatchView::parse(batch.bytes);
    record::RecordReader reader(*view, view->records());
    for (;;) {
        auto record = reader.next();
        if (!record.ok() || !*record) return all;
        std::string value = view->is_control() ? "control " : "";
        if ((*record)->value && view->is_control())
            value.append((*record)->key->begin(), (*record)->key->end());
        if ((*record)->value) value += as_text(*(*record)->value);
        all.push_back({view->leader_epoch(), value});
    }
}

std::optional<QuorumWorld::Entry> QuorumWorld::entry_at(const Node& node, Offset offset) const {
    if (offset < node.log_start) {
        const auto index = static_cast<std::size_t>(offset.value());
        if (index < node.before.entries.size()) return node.before.entries[index];
        return std::nullopt;
    }
    auto found = std::partition_point(node.log.begin(), node.log.end(),
                                      [&](const Batch& batch) { return batch.last < offset; });
    if (found == node.log.end()) return std::nullopt;
    return entries(*found)[static_cast<std::size_t>(offset - found->base)];
}

// Any majority of what was committed before shares a voter with any of what is committed now.
void QuorumWorld::check_change(const Voters& before, const Voters& after) {
    int gone = 0;
    int come = 0;
    for (const Voter& voter : before) gone += find(after, voter.id) ? 0 : 1;
    for (const Voter& voter : after) come += find(before, voter.id) ? 0 : 1;
    if (gone + come > 1)
        fail("one-voter-at-a-time", raft::text(before) + " became " + raft::text(after));
}

void QuorumWorld::check(Node& node) {
    const Quorum& machine = *node.machine;
    const std::string who = "node " + std::to_string(node.id);
    if (machine.log_end() != node.log_end()) fail("log", who + " lost count of its log");
    if (machine.high_watermark() < node.high_watermark)
        fail("high-watermark-monotonic", who + " takes a commit back");
    node.high_watermark = machine.high_watermark();
    // What anybody takes for committed is the same for all.
    for (Offset offset = node.checked; offset < machine.high_watermark(); ++offset) {
        const auto entry = entry_at(node, offset);
        if (!entry) return fail("committed", who + " lacks what it takes for committed");
        const auto index = static_cast<std::size_t>(offset.value());
        if (index == committed_.size()) {
            committed_.push_back(*entry);
            const Voters* now_voting = machine.voter_history().voters_before(offset + 1);
            if (options_.dynamic && now_voting && *now_voting != committed_voters_)
                check_change(std::exchange(committed_voters_, *now_voting), *now_voting);
        }
        if (index > committed_.size() || committed_[index] != *entry)
            return fail("state-machine-safety", who + " commits another record at offset " +
                                                    std::to_string(offset.value()));
        node.checked = offset + 1;
    }
    if (machine.role() != Role::leader) return;
    const auto [known, is_new] = leaders_.try_emplace(machine.epoch(), node.id);
    if (known->second != node.id)
        return fail("one-leader-per-epoch", who + " and node " + std::to_string(known->second) +
                                                " lead epoch " +
                                                std::to_string(machine.epoch().value()));
    if (!is_new) return;
    for (std::size_t index = 0; index < committed_.size(); ++index) {
        const auto entry = entry_at(node, Offset(static_cast<std::int64_t>(index)));
        if (!entry || *entry != committed_[index])
            return fail("leader-completeness",
                        who + " leads without the committed offset " + std::to_string(index));
    }
    // Logs that agree in an offset and its epoch agree in all before it.
    for (const auto& other : nodes_) {
        bool agrees = false;
        for (Offset offset = std::min(node.log_end(), other->log_end()) - 1; offset >= Offset(0);
             offset = offset - 1) {
            const auto mine = entry_at(node, offset);
            const auto theirs = entry_at(*other, offset);
            if (!mine || !theirs) break;
            if (mine->epoch == theirs->epoch) agrees = true;
            if (agrees && *mine != *theirs)
                return fail("log-matching", who + " and node " + std::to_string(other->id) +
                                                " differ at offset " +
                                                std::to_string(offset.value()));
        }
    }
}

}  // namespace pabal::raft
