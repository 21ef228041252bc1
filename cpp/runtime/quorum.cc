#include "runtime/quorum.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/probe.h"
#include "log/partition_log.h"
#include "metadata/broker_config.h"
#include "record/control_record.h"
#include "record/record.h"
#include "record/record_batch.h"

namespace pabal::runtime {
namespace {

constexpr std::int32_t read_bytes = 4 << 20;
constexpr std::uint64_t state_limit_bytes = 1 << 20;
// A snapshot holds what one image holds; beyond this something else stands in the file.
constexpr std::uint64_t snapshot_limit_bytes = 1ull << 31;

IoError at(const std::string& path, const Error& error) {
    return {0, path + ": " + error.message};
}

// The topic id under which Kafka knows the metadata log.
constexpr std::string_view partition_metadata = "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ";

}  // namespace

QuorumOptions QuorumOptions::of(const metadata::BrokerConfig& config) {
    QuorumOptions options;
    options.directory = config.metadata_log_directory();
    options.node_id = config.node_id();
    options.segment_bytes = static_cast<std::int32_t>(config.integer("metadata.log.segment.bytes"));
    options.segment_milliseconds = config.integer("metadata.log.segment.ms");
    options.votes = config.is_controller();
    options.listener = config.controller_listener();
    for (const metadata::QuorumVoter& voter : config.quorum_voters())
        options.voters.push_back({voter.id, {voter.host, voter.port}});
    for (const metadata::QuorumVoter& server : config.quorum_bootstrap_servers())
        options.bootstrap.push_back({server.host, server.port});
    auto duration = [&](const char* name) { return Duration::milliseconds(config.integer(name)); };
    options.settings.election_timeout = duration("controller.quorum.election.timeout.ms");
    options.settings.fetch_timeout = duration("controller.quorum.fetch.timeout.ms");
    options.settings.election_backoff_max = duration("controller.quorum.election.backoff.max.ms");
    options.settings.retry_backoff = duration("controller.quorum.retry.backoff.ms");
    options.request_timeout = duration("controller.quorum.request.timeout.ms");
    options.settings.eligible = options.votes;
    options.adds_itself = options.votes && config.boolean("controller.quorum.auto.join.enable");
    return options;
}

// Something that may not leave before the state of a version is durable.
struct Quorum::SavedWait {
    SavedWait(io::Clock& clock, std::uint64_t wanted) : gate(clock), version(wanted) {}
    io::Gate gate;
    std::uint64_t version;
};

Quorum::Quorum(io::Ports ports, QuorumOptions options)
    : ports_(std::move(ports)),
      options_(std::move(options)),
      directory_(options_.directory + "/__cluster_metadata-0"),
      mark_(&ports_.disk, directory_),
      machine_(options_.node_id, options_.directory_id, options_.settings,
               ports_.random.fork("raft")),
      random_(ports_.random.fork("quorum")),
      peers_(&ports_.clock, &ports_.network,
             "pabal-quorum-" + std::to_string(options_.node_id.value())) {
    for (const raft::VoterEndpoint& own : options_.settings.endpoints)
        if (own.name == options_.listener) addresses_[options_.node_id] = {own.host, own.port};
    for (const QuorumOptions::Member& voter : options_.voters) addresses_[voter.id] = voter.address;
}

Quorum::~Quorum() {
    if (timer_ != 0) ports_.clock.cancel(timer_);
}

void Quorum::on_leader_change(std::function<void(BrokerId, LeaderEpoch)> action) {
    leader_actions_.push_back(std::move(action));
}
void Quorum::on_commit(std::function<void(Offset)> action) {
    commit_action_ = std::move(action);
}
void Quorum::on_failure(std::function<void(IoError)> action) {
    failure_action_ = std::move(action);
}

raft::Now Quorum::now() const {
    return {ports_.clock.now(), ports_.clock.wall_now()};
}

bool Quorum::is_leader() const {
    return machine_.role() == raft::Role::leader;
}
bool Quorum::is_lonely() const {
    const Instant heard = is_leader() ? machine_.majority_heard_at() : Instant::never();
    return heard != Instant::never() &&
           heard + options_.settings.fetch_timeout < ports_.clock.now();
}
BrokerId Quorum::leader() const {
    return machine_.leader();
}
LeaderEpoch Quorum::epoch() const {
    return machine_.epoch();
}
std::optional<io::Address> Quorum::leader_address() const {
    const BrokerId id = leader();
    if (id == no_broker || id == options_.node_id) return std::nullopt;
    return address_of(id);
}
Offset Quorum::high_watermark() const {
    return machine_.high_watermark();
}
const log::LogRepair* Quorum::repair() const {
    return log_ && log_->repair() ? &*log_->repair() : nullptr;
}
Offset Quorum::log_start_offset() const {
    return log_->log_start_offset();
}
Offset Quorum::log_end_offset() const {
    return log_->log_end_offset();
}

IoStatus Quorum::open() {
    PABAL_TRY_ASSIGN(const bool existed, ports_.disk.exists(directory_));
    std::optional<raft::QuorumState> saved;
    if (existed) {
        const std::string path = directory_ + "/quorum-state";
        PABAL_TRY_ASSIGN(const bool has_state, ports_.disk.exists(path));
        if (has_state) {
            PABAL_TRY_ASSIGN(const std::string text,
                             io::read_file(ports_.disk, path, state_limit_bytes));
            auto state = raft::QuorumState::parse(text);
            if (!state.ok()) return at(path, state.error());
            saved = *state;
        }
        PABAL_TRY(find_snapshot());
    } else {
        PABAL_TRY(ports_.disk.make_directories(directory_));
        new_directory_ = true;
    }
    const std::string topic = directory_ + "/partition.metadata";
    PABAL_TRY_ASSIGN(const bool has_topic, ports_.disk.exists(topic));
    if (!has_topic) PABAL_TRY(io::replace_file_unsynced(ports_.disk, topic, partition_metadata));
    PABAL_TRY(read_voters());
    PABAL_TRY(open_log());
    Offset first = log_->log_start_offset();
    if (latest_snapshot_) first = std::max(first, latest_snapshot_->end_offset);
    const Offset end = log_->log_end_offset();
    PABAL_TRY(read(first, end, [this](const MetadataEntry& entry) -> Status {
        bytes_since_snapshot_ += static_cast<std::int64_t>(entry.value.size());
        if (!entry.control_type) return {};
        return found_voters_.append(entry.offset, *entry.control_type, entry.value.view());
    }));
    fresh_ = !latest_snapshot_ && log_->log_end_offset() == Offset(0);
    found_state_ = std::move(saved);
    return {};
}

// The voters that the newest snapshot says; without one, those with which the directory was
// formatted: they stand in a snapshot of nothing, before the first record.
IoStatus Quorum::read_voters() {
    const metadata::SnapshotId id = latest_snapshot_.value_or(metadata::SnapshotId{});
    const std::string path = directory_ + "/" + id.file_name();
    PABAL_TRY_ASSIGN(const bool exists, ports_.disk.exists(path));
    if (!exists) return {};
    PABAL_TRY_ASSIGN(const std::string content,
                     io::read_file(ports_.disk, path, snapshot_limit_bytes));
    auto history = voters_of(content, id.end_offset - 1);
    if (!history.ok()) return at(path, history.error());
    found_voters_ = std::move(*history);
    return {};
}

Result<raft::VoterHistory> Quorum::voters_of(const std::string& snapshot, Offset last_contained) {
    raft::VoterHistory history;
    PABAL_TRY_ASSIGN(
        const metadata::SnapshotHeader header,
        metadata::read_snapshot(Bytes::copy_of(snapshot), [](Bytes) -> Status { return {}; }));
    for (const record::QuorumControlRecord& each : header.quorum)
        PABAL_TRY(history.append(last_contained, each.type, each.value.view()));
    return history;
}

IoStatus Quorum::open_log() {
    log::LogConfig config;
    config.segment_bytes = options_.segment_bytes;
    config.segment_age = Duration::milliseconds(options_.segment_milliseconds);
    config.max_message_bytes = INT32_MAX;
    // Nothing but a snapshot makes metadata superfluous.
    config.retention_milliseconds = -1;
    log::LogCheckpoint checkpoint;
    if (latest_snapshot_) checkpoint.log_start_offset = latest_snapshot_->end_offset;
    PABAL_TRY_ASSIGN(const auto mark, mark_.read());
    if (mark) {
        checkpoint.recovery_point = mark->end;
        checkpoint.writes_survived = mark->stayed_up;
    }
    PABAL_TRY_ASSIGN(log_, log::PartitionLog::open(ports_.disk, directory_, config, checkpoint,
                                                   ports_.clock.wall_now()));
    Offset synced = mark ? mark->end : Offset(0);
    if (latest_snapshot_) {
        const Offset begin = latest_snapshot_->end_offset;
        // A snapshot that was finished before the log was synced up to it stands for all of it.
        const bool ends_before = log_->log_end_offset() < begin;
        // One that was fetched because this log had parted from the leader's: what stands behind it
        // is of another history, which only the node's end kept from being given up.
        const bool parted =
            log_->log_end_offset() > begin &&
            log_->latest_epoch().value_or(no_leader_epoch) < latest_snapshot_->epoch;
        if (parted && synced > begin) {
            PABAL_TRY(mark_.lower(begin));
            synced = begin;
        }
        if (ends_before || parted) PABAL_TRY(log_->truncate_fully_and_start_at(begin));
    }
    const Offset end = log_->log_end_offset();
    if (end < synced) {
        return IoError{0, log_->file_of(end) + " ends at offset " + std::to_string(end.value()) +
                              ", but everything below " + std::to_string(synced.value()) +
                              " was synced there once, so changes that were confirmed are lost. "
                              "Restore the file, or remove " +
                              mark_.path() + " to go on without them"};
    }
    durable_end_ = log_->log_start_offset();
    return {};
}

IoStatus Quorum::find_snapshot() {
    PABAL_TRY_ASSIGN(const std::vector<io::DirectoryEntry> entries, ports_.disk.list(directory_));
    for (const io::DirectoryEntry& entry : entries) {
        const auto id = metadata::SnapshotId::parse(entry.name);
        // The one at offset 0 stands for nothing; it holds the first voters (KIP-853).
        if (!id || id->end_offset == Offset(0)) continue;
        if (!latest_snapshot_ || *id > *latest_snapshot_) latest_snapshot_ = *id;
    }
    return {};
}

IoStatus Quorum::read_snapshot(const std::function<Status(const MetadataEntry&)>& visit) const {
    if (!latest_snapshot_) return {};
    const std::string path = directory_ + "/" + latest_snapshot_->file_name();
    PABAL_TRY_ASSIGN(const std::string content,
                     io::read_file(ports_.disk, path, snapshot_limit_bytes));
    MetadataEntry entry;
    entry.offset = latest_snapshot_->end_offset - 1;
    entry.epoch = latest_snapshot_->epoch;
    auto header = metadata::read_snapshot(Bytes::copy_of(content), [&](Bytes value) -> Status {
        entry.value = std::move(value);
        return visit(entry);
    });
    if (!header.ok()) return at(path, header.error());
    entry.timestamp = header->last_contained;
    entry.control = true;
    entry.value = Bytes();
    auto told = visit(entry);
    if (!told.ok()) return at(path, told.error());
    return {};
}

IoStatus Quorum::read(Offset from, Offset to,
                      const std::function<Status(const MetadataEntry&)>& visit) const {
    Offset next = from;
    while (next < to) {
        auto read = log_->read(next, to, read_bytes, true);
        if (!read.ok()) return at(directory_, read.error());
        const auto bytes = read->records.flatten();
        if (!bytes || bytes->empty())
            return IoError{0, directory_ + ": the log could not be read at offset " +
                                  std::to_string(next.value())};
        record::BatchWalker walker(*bytes);
        auto wrong = [&](const Error& error) {
            return IoError{0, log_->file_of(next) + " is damaged at offset " +
                                  std::to_string(next.value()) + ": " + error.message};
        };
        for (;;) {
            auto batch = walker.next();
            if (!batch.ok()) return wrong(batch.error());
            if (!*batch) break;
            const record::RecordBatchView& view = **batch;
            if (!view.crc_is_right())
                return wrong({ErrorCode::corrupt_message, "the checksum of its batch is wrong"});
            if (view.compression() != record::Compression::none)
                return wrong({ErrorCode::corrupt_message,
                              "the batch is compressed, which metadata never is"});
            record::RecordReader reader(view, view.records());
            for (;;) {
                auto record = reader.next();
                if (!record.ok()) return wrong(record.error());
                if (!*record) break;
                if ((*record)->offset < from) continue;
                MetadataEntry entry;
                entry.offset = (*record)->offset;
                entry.epoch = view.leader_epoch();
                entry.timestamp = (*record)->timestamp;
                entry.control = view.is_control();
                if (entry.control)
                    entry.control_type =
                        record::control_record_type((*record)->key.value_or(ByteView()));
                if (const auto value = (*record)->value)
                    entry.value = bytes->slice(
                        static_cast<std::size_t>(value->data() - bytes->data()), value->size());
                auto visited = visit(entry);
                if (!visited.ok()) return wrong(visited.error());
            }
            next = view.next_offset();
        }
    }
    return {};
}

raft::Found Quorum::found_on_disk() {
    raft::Found found;
    found.state = std::move(found_state_);
    found.voters = std::move(found_voters_);
    found.log_start = log_->log_start_offset();
    found.log_end = log_->log_end_offset();
    if (latest_snapshot_)
        found.snapshot =
            raft::OffsetAndEpoch{latest_snapshot_->end_offset, latest_snapshot_->epoch};
    // From the last epoch back to the first.
    for (auto epoch = log_->latest_epoch(); epoch;) {
        const auto earlier = log_->end_of_epoch(*epoch - 1);
        const bool first = !earlier || earlier->epoch >= *epoch;
        found.epochs.push_back({*epoch, first ? found.log_start : earlier->end_offset});
        epoch.reset();
        if (!first) epoch = earlier->epoch;
    }
    std::reverse(found.epochs.begin(), found.epochs.end());
    return found;
}

Status Quorum::start() {
    std::vector<BrokerId> voters;
    for (const QuorumOptions::Member& voter : options_.voters) voters.push_back(voter.id);
    // A vote that names a directory was given in a quorum whose voters stand in its log.
    const bool dynamic = found_state_ && found_state_->data_version >= raft::dynamic_voters;
    if (voters.empty() && options_.votes && !options_.joins && !dynamic)
        voters.push_back(options_.node_id);
    started_ = true;
    auto begun = machine_.start(found_on_disk(), std::move(voters), now());
    if (!begun.ok()) return Error{begun.error().code, directory_ + ": " + begun.error().message};
    if (!carry_out())
        return Error{ErrorCode::kafka_storage_error,
                     directory_ + ": the disk refuses the first record of a new epoch"};
    following_ = true;
    io::detach(follow());
    return {};
}

Result<Offset> Quorum::propose(const std::vector<Bytes>& records) {
    if (failed_)
        return Error{ErrorCode::kafka_storage_error,
                     "the metadata log failed earlier; this node is about to stop"};
    auto last = machine_.propose(records, ports_.clock.wall_now());
    if (!last.ok())
        return Error{ErrorCode::not_controller, "this node is not the active controller"};
    if (!carry_out())
        return Error{ErrorCode::kafka_storage_error,
                     "the disk refused the change of the metadata log; is it full?"};
    return *last;
}

bool Quorum::carry_out() {
    bool written = true;
    raft::Ready ready = machine_.take_ready();
    learn_voters();
    if (ready.state) {
        unsaved_state_ = std::move(ready.state);
        ++state_version_;
    }
    if (ready.truncate_to) {
        auto cut = truncate(*ready.truncate_to);
        if (!cut.ok()) fail(cut.error());
    }
    for (const raft::AppendedRecords& appended : ready.batches) {
        if (failed_) break;
        if (is_leader() && log_->latest_epoch().value_or(LeaderEpoch(-1)) < machine_.epoch())
            log_->assign_epoch(machine_.epoch());
        auto end = log_->append_as_follower(appended.batch, ports_.clock.wall_now());
        if (!end.ok()) {
            written = false;
            if (options_.log)
                options_.log->error("metadata log refused", {{"reason", end.error().message}});
            machine_.refused(appended.base_offset, now());
            if (!log_->usable()) fail(IoError{0, directory_ + ": " + end.error().message});
            break;
        }
        bytes_since_snapshot_ += static_cast<std::int64_t>(appended.batch.size());
    }
    for (raft::Message& message : ready.messages)
        outbox_.emplace_back(state_version_, std::move(message));
    start_sync();
    send_saved();
    report();
    arm();
    if (fetch_gate_ && machine_.next_fetch()) fetch_gate_->open();
    return written && !failed_;
}

// Cuts the log off where it parts from the leader's. Rare, so that it may block the shard; nothing
// may read the log in between.
IoStatus Quorum::truncate(Offset end) {
    ASSERT(!syncing_, "a log is cut off only when nothing of it is on its way to the disk");
    if (options_.log)
        options_.log->warning("the metadata log is cut off where it parts from the leader's",
                              {{"offset", end.value()},
                               {"dropped_records", log_->log_end_offset() - end},
                               {"leader", machine_.leader().value()}});
    if (end < durable_end_) PABAL_TRY(mark_.lower(end));
    durable_end_ = std::min(durable_end_, end);
    PABAL_TRY(log_->truncate_to(end));
    ASSERT(log_->log_end_offset() == end, "logs part between two batches");
    return {};
}

// Tells the others of this node what has become of leader and high watermark.
void Quorum::report() {
    if (leader() != told_leader_ || epoch() != told_epoch_) {
        if (fetching_from_ != no_broker && (leader() != fetching_from_ || epoch() != fetching_in_))
            abandon_fetch();
        told_leader_ = leader();
        told_epoch_ = epoch();
        // A new leader has other things to do first.
        tell_again_ = ports_.clock.now() + options_.settings.fetch_timeout;
        if (options_.log && !stopped_)
            options_.log->info("metadata quorum", {{"role", raft::name(machine_.role())},
                                                   {"leader", told_leader_.value()},
                                                   {"epoch", told_epoch_.value()}});
        const BrokerId now_leading = told_leader_;
        const LeaderEpoch in_epoch = told_epoch_;
        for (std::size_t i = 0; i < leader_actions_.size(); ++i)
            leader_actions_[i](now_leading, in_epoch);
    }
    wake_parked();
    for (io::Gate* gate : news_waits_) gate->open();
    if (caught_up_ || machine_.has_committed()) {
        const Offset high_watermark = machine_.high_watermark();
        if (high_watermark > told_high_watermark_) {
            told_high_watermark_ = high_watermark;
            caught_up_ = true;
            if (commit_action_) commit_action_(high_watermark);
        }
    }
}

void Quorum::arm() {
    const Instant next = stopped_ ? Instant::never() : machine_.next_timer();
    if (next == timer_at_) return;
    if (timer_ != 0) ports_.clock.cancel(timer_);
    timer_ = 0;
    timer_at_ = next;
    if (next == Instant::never()) return;
    timer_ = ports_.clock.at(next, [this] {
        timer_ = 0;
        timer_at_ = Instant::never();
        machine_.elapsed(now());
        carry_out();
    });
}

struct Quorum::Sync {
    std::string directory;
    std::optional<raft::QuorumState> state;
    std::string parent;  // Empty if its entries are durable already.
    Offset end{0};
    log::LogFlush flush;
    IoStatus outcome;
};

// The state's new name and the log's are made durable by one sync of their directory; nothing of
// either counts before.
IoStatus Quorum::sync_all(io::Disk& disk, Sync& sync, SyncedMark& mark) {
    if (sync.state && !SABOTAGED("vote-is-not-saved")) {
        const std::string path = sync.directory + "/quorum-state";
        const std::string text = sync.state->text();
        PABAL_TRY(disk.remove(path + ".tmp"));
        PABAL_TRY_ASSIGN(const auto file, disk.open(path + ".tmp", io::OpenMode::create_new));
        const ByteView pieces[] = {as_bytes(text)};
        PABAL_TRY(file->write(0, pieces));
        PABAL_TRY(file->sync());
        PABAL_TRY(disk.rename(path + ".tmp", path));
    }
    if (SABOTAGED("synced-mark-runs-ahead")) PABAL_TRY(mark.write(sync.end));
    if (!SABOTAGED("metadata-is-not-synced")) PABAL_TRY(sync.flush.run());
    if (sync.state) PABAL_TRY(disk.sync_directory(sync.directory));
    if (!sync.parent.empty()) PABAL_TRY(disk.sync_directory(sync.parent));
    // Nobody relies on it yet; a full disk must not fail what is durable already.
    static_cast<void>(mark.write(sync.end));
    return {};
}

void Quorum::start_sync() {
    if (syncing_ || failed_ || stopped_) return;
    if (!unsaved_state_ && durable_end_ >= machine_.log_end()) return;
    syncing_ = true;
    // Not at once: what is proposed within this turn shares the sync.
    ports_.clock.post([this] { io::detach(sync_until_done()); });
}

io::Task<void> Quorum::sync_until_done() {
    while (!failed_ && (unsaved_state_ || durable_end_ < machine_.log_end())) {
        auto prepared = log_->prepare_flush();
        if (!prepared.ok()) {
            fail(prepared.error());
            break;
        }
        Sync sync;
        sync.directory = directory_;
        sync.state = std::exchange(unsaved_state_, std::nullopt);
        if (std::exchange(new_directory_, false)) sync.parent = options_.directory;
        sync.end = machine_.log_end();
        sync.flush = std::move(prepared).value();
        const std::uint64_t version = state_version_;
        io::Disk* disk = &ports_.disk;
        Sync* work = &sync;
        SyncedMark* mark = &mark_;
        std::function<void()> run = [disk, work, mark] {
            work->outcome = sync_all(*disk, *work, *mark);
        };
        co_await ports_.disk.run(run);
        if (!sync.outcome.ok()) {
            fail(sync.outcome.error());
            break;
        }
        log_->flushed(sync.flush);
        durable_end_ = sync.end;
        saved_version_ = version;
        if (failed_) break;
        machine_.durable(sync.end);
        carry_out();
    }
    syncing_ = false;
    for (io::Gate* gate : std::exchange(sync_waits_, {})) gate->open();
    for (SavedWait* wait : saved_waits_)
        if (failed_ || stopped_) wait->gate.open();
}

// Until nothing is on its way to the disk.
io::Task<void> Quorum::synced() {
    while (syncing_) {
        io::Gate idle(ports_.clock);
        sync_waits_.push_back(&idle);
        const Instant never = Instant::never();
        auto ended = co_await idle.opened(never);
        static_cast<void>(ended);
    }
}

// Until what this node has promised so far is durable, or never will be.
io::Task<void> Quorum::saved() {
    if (saved_version_ >= state_version_ || failed_ || stopped_) co_return;
    SavedWait wait(ports_.clock, state_version_);
    saved_waits_.push_back(&wait);
    const Instant never = Instant::never();
    auto opened = co_await wait.gate.opened(never);
    static_cast<void>(opened);
    std::erase(saved_waits_, &wait);
}

void Quorum::send_saved() {
    for (SavedWait* wait : saved_waits_)
        if (wait->version <= saved_version_) wait->gate.open();
    if (outbox_.empty() || failed_) return;
    std::vector<raft::Message> ready;
    std::erase_if(outbox_, [&](auto& each) {
        if (each.first > saved_version_) return false;
        ready.push_back(std::move(each.second));
        return true;
    });
    for (raft::Message& message : ready) io::detach(deliver(std::move(message)));
}

void Quorum::fail(IoError error) {
    if (failed_) return;
    failed_ = true;
    failure_ = error;
    machine_.halt();
    abandon_fetch();
    for (SavedWait* wait : saved_waits_) wait->gate.open();
    report();
    arm();
    if (failure_action_) failure_action_(std::move(error));
}

io::Task<IoStatus> Quorum::snapshot(metadata::SnapshotId id, WallTime last_contained,
                                    std::vector<Bytes> records) {
    const std::string path = directory_ + "/" + id.file_name();
    const std::string directory = directory_;
    const WallTime now = ports_.clock.wall_now();
    io::Disk* disk = &ports_.disk;
    IoStatus outcome;
    IoStatus* result = &outcome;
    const std::vector<Bytes>* content = &records;
    metadata::QuorumRecords quorum;
    const raft::VoterHistory& history = machine_.voter_history();
    if (const std::int16_t level = history.level_before(id.end_offset); level > 0)
        quorum.push_back(
            {record::ControlRecordType::kraft_version, raft::kraft_version_record(level)});
    if (const raft::Voters* voters = history.voters_before(id.end_offset))
        quorum.push_back({record::ControlRecordType::kraft_voters, raft::voters_record(*voters)});
    std::function<void()> work = [=] {
        std::string file;
        for (const Bytes& batch :
             metadata::snapshot_batches(*content, id.epoch, last_contained, now, quorum))
            file.append(batch.text());
        *result = io::replace_file(*disk, path, file);
        if (!result->ok()) return;
        // Older snapshots have become superfluous; the next one removes what cannot be removed now.
        auto entries = disk->list(directory);
        if (!entries.ok()) return;
        for (const io::DirectoryEntry& entry : *entries) {
            const auto other = metadata::SnapshotId::parse(entry.name);
            if (!other || *other >= id) continue;
            auto removed = disk->remove(directory + "/" + entry.name);
            if (!removed.ok()) *result = removed;
        }
    };
    co_await ports_.disk.run(work);
    if (!outcome.ok() || stopped_) co_return outcome;
    // A later one was fetched meanwhile.
    if (latest_snapshot_ && *latest_snapshot_ > id) co_return outcome;
    latest_snapshot_ = id;
    bytes_since_snapshot_ = 0;
    // The log goes on in a new segment, so that the old one can go.
    const WallTime later = ports_.clock.wall_now();
    co_await synced();
    if (stopped_ || failed_ || *latest_snapshot_ != id) co_return outcome;
    outcome = log_->roll(later);
    if (outcome.ok()) outcome = log_->raise_log_start_offset(id.end_offset);
    if (!outcome.ok()) co_return outcome;
    machine_.snapshot_taken({id.end_offset, id.epoch});
    carry_out();
    auto retained = log_->apply_retention(machine_.high_watermark(), later);
    if (!retained.ok()) co_return retained.error();
    for (const std::string& file : log_->take_deleted_files(WallTime{INT64_MAX})) {
        auto removed = ports_.disk.remove(file);
        if (!removed.ok()) co_return removed;
    }
    co_return outcome;
}

// Until no task of this object is under way.
io::Task<void> Quorum::ended() {
    while (tasks_ > 0 || following_) {
        io::Gate idle(ports_.clock);
        tasks_gate_ = &idle;
        const Instant never = Instant::never();
        auto opened = co_await idle.opened(never);
        static_cast<void>(opened);
        tasks_gate_ = nullptr;
    }
    co_await synced();
}

io::Task<void> Quorum::stop() {
    if (is_leader() && machine_.voters().size() > 1) {
        machine_.resign(now());
        carry_out();
        co_await synced();
        // Whoever is told takes over at once; who does not answer will notice by himself.
        co_await told_successors();
    }
    co_await synced();
    stopped_ = true;
    machine_.halt();
    abandon_fetch();
    outbox_.clear();
    for (SavedWait* wait : saved_waits_) wait->gate.open();
    report();
    arm();
    co_await peers_.stop();
    co_await ended();
    if (!log_ || failed_) co_return;
    log::PartitionLog* log = log_.get();
    const WallTime wall = ports_.clock.wall_now();
    IoStatus closed;
    IoStatus* result = &closed;
    std::function<void()> work = [log, wall, result] { *result = log->close(wall); };
    co_await ports_.disk.run(work);
    if (!closed.ok()) fail(closed.error());
}

io::Task<void> Quorum::kill() {
    stopped_ = true;
    failed_ = true;  // The sync under way is the last.
    machine_.halt();
    if (fetch_connection_) fetch_connection_->reset();
    abandon_fetch();
    outbox_.clear();
    for (SavedWait* wait : saved_waits_) wait->gate.open();
    for (io::Gate* gate : news_waits_) gate->open();
    wake_parked();
    arm();
    co_await peers_.kill();
    co_await ended();
}

}  // namespace pabal::runtime
