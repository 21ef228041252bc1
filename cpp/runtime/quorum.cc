#include "runtime/quorum.h"

#include <algorithm>
#include <utility>

#include "base/probe.h"
#include "log/partition_log.h"
#include "metadata/broker_config.h"
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
    return options;
}

Quorum::Quorum(io::Ports ports, QuorumOptions options)
    : ports_(std::move(ports)),
      options_(std::move(options)),
      directory_(options_.directory + "/__cluster_metadata-0"),
      mark_(&ports_.disk, directory_),
      machine_(options_.node_id, DirectoryId(), raft::Settings(), ports_.random.fork("raft")) {}

Quorum::~Quorum() = default;

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
// The only voter speaks to itself.
std::optional<io::Address> Quorum::leader_address() const {
    return std::nullopt;
}

BrokerId Quorum::leader() const {
    return machine_.leader();
}
LeaderEpoch Quorum::epoch() const {
    return machine_.epoch();
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
    return machine_.log_end();
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
        PABAL_TRY(io::replace_file_unsynced(ports_.disk, directory_ + "/partition.metadata",
                                            partition_metadata));
    }
    PABAL_TRY(open_log());
    Offset first = log_->log_start_offset();
    if (latest_snapshot_) first = std::max(first, latest_snapshot_->end_offset);
    const Offset end = log_->log_end_offset();
    PABAL_TRY(read(first, end, [this](const MetadataEntry& entry) -> Status {
        bytes_since_snapshot_ += static_cast<std::int64_t>(entry.value.size());
        return {};
    }));
    fresh_ = !latest_snapshot_ && log_->log_end_offset() == Offset(0);
    saved_ = std::move(saved);
    return {};
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
    // A snapshot that was finished before the log was synced up to it stands for all of it.
    if (latest_snapshot_ && log_->log_end_offset() < latest_snapshot_->end_offset)
        PABAL_TRY(log_->truncate_fully_and_start_at(latest_snapshot_->end_offset));
    const Offset end = log_->log_end_offset();
    if (mark && end < mark->end) {
        return IoError{0, log_->file_of(end) + " ends at offset " + std::to_string(end.value()) +
                              ", but everything below " + std::to_string(mark->end.value()) +
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
        // Kafka writes an empty one at offset 0, which holds the voters of kraft.version 1.
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

Status Quorum::start() {
    raft::Found found;
    found.state = std::move(saved_);
    found.log_start = log_->log_start_offset();
    found.log_end = log_->log_end_offset();
    if (latest_snapshot_)
        found.snapshot = raft::OffsetAndEpoch{latest_snapshot_->end_offset, latest_snapshot_->epoch};
    // From the last epoch back to the first.
    for (auto epoch = log_->latest_epoch(); epoch;) {
        const auto earlier = log_->end_of_epoch(*epoch - 1);
        const bool first = !earlier || earlier->epoch >= *epoch;
        found.epochs.push_back({*epoch, first ? found.log_start : earlier->end_offset});
        epoch.reset();
        if (!first) epoch = earlier->epoch;
    }
    std::reverse(found.epochs.begin(), found.epochs.end());
    auto started = machine_.start(std::move(found), {options_.node_id}, now());
    if (!started.ok()) return Error{started.error().code, directory_ + ": " + started.error().message};
    log_->assign_epoch(machine_.epoch());
    auto appended = append_ready(machine_.log_end() - 1);
    if (!appended.ok()) return appended.error();
    for (const auto& action : leader_actions_) action(leader(), epoch());
    return {};
}

Result<Offset> Quorum::propose(const std::vector<Bytes>& records) {
    if (failed_)
        return Error{ErrorCode::kafka_storage_error,
                     "the metadata log failed earlier; this node is about to stop"};
    auto last = machine_.propose(records, ports_.clock.wall_now());
    if (!last.ok())
        return Error{ErrorCode::not_controller, "this node is not the active controller"};
    return append_ready(*last);
}

// Writes what the machine wants appended; syncing follows.
Result<Offset> Quorum::append_ready(Result<Offset> last) {
    raft::Ready ready = machine_.take_ready();
    if (ready.state) unsaved_state_ = std::move(ready.state);
    for (const raft::AppendedRecords& appended : ready.batches) {
        auto end = log_->append_as_follower(appended.batch, ports_.clock.wall_now());
        if (!end.ok()) {
            machine_.refused(appended.base_offset, now());
            if (!log_->usable()) fail(IoError{0, directory_ + ": " + end.error().message});
            return Error{ErrorCode::kafka_storage_error,
                         "the metadata log refused the change: " + end.error().message};
        }
        bytes_since_snapshot_ += static_cast<std::int64_t>(appended.batch.size());
    }
    start_sync();
    return last;
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
    if (sync.state) {
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
        const Offset before = machine_.high_watermark();
        machine_.durable(sync.end);
        if (machine_.high_watermark() > before && commit_action_)
            commit_action_(machine_.high_watermark());
    }
    syncing_ = false;
    if (idle_gate_) idle_gate_->open();
}

void Quorum::fail(IoError error) {
    if (failed_) return;
    failed_ = true;
    failure_ = error;
    machine_.halt();
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
    std::function<void()> work = [=] {
        std::string file;
        for (const Bytes& batch :
             metadata::snapshot_batches(*content, id.epoch, last_contained, now))
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
    latest_snapshot_ = id;
    bytes_since_snapshot_ = 0;
    // The log goes on in a new segment, so that the old one can go.
    const WallTime later = ports_.clock.wall_now();
    outcome = log_->roll(later);
    if (outcome.ok()) outcome = log_->raise_log_start_offset(id.end_offset);
    if (!outcome.ok()) co_return outcome;
    auto retained = log_->apply_retention(machine_.high_watermark(), later);
    if (!retained.ok()) co_return retained.error();
    for (const std::string& file : log_->take_deleted_files(WallTime{INT64_MAX})) {
        auto removed = ports_.disk.remove(file);
        if (!removed.ok()) co_return removed;
    }
    co_return outcome;
}

io::Task<void> Quorum::drain() {
    if (!syncing_) co_return;
    io::Gate idle(ports_.clock);
    idle_gate_ = &idle;
    const Instant never = Instant::never();
    auto ended = co_await idle.opened(never);
    static_cast<void>(ended);
    idle_gate_ = nullptr;
}

io::Task<void> Quorum::stop() {
    co_await drain();
    stopped_ = true;
    machine_.halt();
    if (!log_ || failed_) co_return;
    log::PartitionLog* log = log_.get();
    const WallTime now = ports_.clock.wall_now();
    IoStatus closed;
    IoStatus* result = &closed;
    std::function<void()> work = [log, now, result] { *result = log->close(now); };
    co_await ports_.disk.run(work);
    if (!closed.ok()) fail(closed.error());
}

io::Task<void> Quorum::kill() {
    stopped_ = true;
    failed_ = true;  // The sync under way is the last.
    machine_.halt();
    co_await drain();
}

}  // namespace pabal::runtime
