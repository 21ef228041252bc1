#include "runtime/cleaner.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/probe.h"
#include "io/gate.h"
#include "io/ports.h"
#include "log/compaction.h"
#include "metadata/broker_config.h"
#include "runtime/partitions.h"

namespace pabal::runtime {
namespace {

// What one job of the disk pool reads and writes.
constexpr std::int64_t step_bytes = 1 << 20;
// A follower may have truncated what was to become durable.
constexpr Duration longest_flush = Duration::seconds(30);
// How many partitions are looked at before others have their turn.
constexpr int partitions_per_turn = 64;

}  // namespace

struct Cleaner::Work {
    std::shared_ptr<Partition> partition;
    std::uint32_t generation = 0;  // Of its log.
    std::unique_ptr<log::Compaction> compaction;
};

Cleaner::Cleaner(Partitions* partitions)
    : partitions_(partitions), random_(partitions->ports().random.fork("cleaner")) {}

Cleaner::~Cleaner() = default;

// --- what is clean

void Cleaner::load(const LogDirectory* directory) {
    auto& state = directories_[directory];
    const auto read = read_cleaner_checkpoint(partitions_->ports().disk, directory->path);
    if (!read.ok()) {
        load_failure_ = read.error().message;
        return;
    }
    for (const auto& [name, offset] : *read) state.clean[name] = {offset, std::nullopt};
}

bool Cleaner::has_cleaned(const LogDirectory* directory, const NamedPartition& name) const {
    const auto found = directories_.find(directory);
    return found != directories_.end() && found->second.clean.count(name) > 0;
}

std::optional<Offset> Cleaner::clean_up_to(const Partition& partition) const {
    const auto found = directories_.find(partition.directory());
    if (found == directories_.end()) return std::nullopt;
    const auto clean =
        found->second.clean.find({partition.topic_name(), partition.id().partition.value()});
    if (clean == found->second.clean.end()) return std::nullopt;
    return clean->second.up_to;
}

void Cleaner::note_clean(const Partition& partition, Offset up_to) {
    auto& state = directories_[partition.directory()];
    const NamedPartition name(partition.topic_name(), partition.id().partition.value());
    state.clean[name] = {up_to, partition.id().topic};
    state.unwritten = true;
}

void Cleaner::truncated(Partition& partition) {
    truncated_.insert(partition.id());
    const auto clean = clean_up_to(partition);
    if (!clean || !partition.log() || *clean <= partition.log()->log_end_offset()) return;
    note_clean(partition, partition.log()->log_end_offset());
    if (!writing_) io::detach(write_checkpoints());
}

// Also those whose name belongs to another topic by now.
void Cleaner::forget_deleted() {
    for (auto& [directory, state] : directories_) {
        for (auto entry = state.clean.begin(); entry != state.clean.end();) {
            auto& clean = entry->second;
            const auto* topic = partitions_->topic(entry->first.first);
            const PartitionIndex index(entry->first.second);
            const bool known =
                topic && topic->partition(index) && (!clean.topic || *clean.topic == topic->id());
            if (known) {
                clean.topic = topic->id();
                ++entry;
            } else {
                state.unwritten = true;
                entry = state.clean.erase(entry);
            }
        }
    }
}

io::Task<void> Cleaner::write_checkpoints() {
    if (writing_) co_return;
    const Partitions::Background background(partitions_);
    writing_ = true;
    io::Disk* disk = &partitions_->ports().disk;
    while (true) {
        struct File {
            const LogDirectory* directory;
            OffsetsByName cleaned;
            IoStatus status;
        };
        std::vector<File> files;
        for (auto& [directory, state] : directories_) {
            if (!std::exchange(state.unwritten, false) || !directory->online()) continue;
            auto& file = files.emplace_back(File{directory, {}, {}});
            for (const auto& [name, clean] : state.clean) file.cleaned[name] = clean.up_to;
        }
        if (files.empty()) break;
        std::function<void()> work = [disk, &files] {
            for (auto& file : files)
                file.status = write_cleaner_checkpoint(*disk, file.directory->path, file.cleaned);
        };
        co_await disk->run(work);
        for (const auto& file : files) {
            if (file.status.ok() || partitions_->stopping_) continue;
            partitions_->log_->warning(
                "cannot write down how far logs are compacted",
                {{"directory", file.directory->path}, {"why", file.status.error().message}});
        }
    }
    writing_ = false;
}

// --- what to clean, and when

io::Task<void> Cleaner::run() {
    const Partitions::Background background(partitions_);
    if (!load_failure_.empty()) {
        partitions_->log_->warning("all compacted logs are cleaned from their start once more",
                                   {{"why", load_failure_}});
    }
    while (true) {
        const auto pause = backoff();
        const bool slept = co_await partitions_->policy_sleep(pause);
        if (!slept) break;
        forget_deleted();
        passed_over_.clear();
        while (!partitions_->stopping_) {
            auto choice = co_await choose();
            if (!choice) break;
            const auto id = choice->partition->id();
            const bool cleaned = co_await clean(std::move(*choice));
            if (!cleaned) passed_over_.insert(id);
        }
        co_await write_checkpoints();
    }
}

Duration Cleaner::backoff() const {
    const metadata::ConfigView view(*partitions_->config_, *partitions_->image());
    return Duration::milliseconds(
        std::max<std::int64_t>(view.broker_integer("log.cleaner.backoff.ms"), 1));
}

double Cleaner::bytes_per_second() const {
    const metadata::ConfigView view(*partitions_->config_, *partitions_->image());
    return view.broker_number("log.cleaner.io.max.bytes.per.second");
}

log::CompactionMeans Cleaner::means() {
    const metadata::ConfigView view(*partitions_->config_, *partitions_->image());
    log::CompactionMeans means;
    means.key_map_bytes = static_cast<std::size_t>(
        std::max<std::int64_t>(view.broker_integer("log.cleaner.dedupe.buffer.size"), 0));
    means.key_map_load_factor =
        std::clamp(view.broker_number("log.cleaner.io.buffer.load.factor"), 0.01, 1.0);
    means.secret = {random_.next(), random_.next()};
    return means;
}

io::Task<std::optional<Cleaner::Choice>> Cleaner::choose() {
    std::vector<std::shared_ptr<Partition>> compacted;
    partitions_->each_partition([&](Partition& partition) {
        if (partition.log() && partition.log()->config().compacted)
            compacted.push_back(partition.shared_from_this());
    });
    const auto now = partitions_->clock().wall_now();
    std::optional<Choice> best;
    int touched = 0;
    for (const auto& partition : compacted) {
        if (++touched % partitions_per_turn == 0) {
            io::Turn turn(partitions_->clock());
            co_await turn;
        }
        if (partitions_->stopping_) break;
        if (!partition->log() || !partition->log()->usable()) continue;
        const auto& id = partition->id();
        if (uncleanable_.count(id) > 0 || passed_over_.count(id) > 0) continue;
        const auto range = partition->log()->cleanable(clean_up_to(*partition),
                                                       partition->last_stable_offset(), now);
        if (!range.ok()) {
            refused(*partition, range.error());
            passed_over_.insert(id);
            continue;
        }
        if (range->dirty_bytes == 0) continue;
        const double least = partition->log()->config().min_cleanable_dirty_ratio;
        if (!range->overdue && range->dirty_ratio() <= least) continue;
        if (best && best->range.dirty_ratio() >= range->dirty_ratio()) continue;
        best = Choice{partition, *range};
    }
    co_return best;
}

void Cleaner::refused(const Partition& partition, const IoError& error) {
    if (partitions_->stopping_) return;
    // Damage does not pass; a full disk may.
    const bool damaged = error.errno_value == 0;
    if (damaged) uncleanable_.insert(partition.id());
    partitions_->log_->warning(damaged ? "a partition cannot be compacted until the next start"
                                       : "a partition cannot be compacted now",
                               {{"topic", partition.topic_name()},
                                {"partition", partition.id().partition.value()},
                                {"why", error.message}});
}

// --- the cleaning

io::Task<bool> Cleaner::clean(Choice choice) {
    Work work;
    work.partition = choice.partition;
    auto* partition = work.partition.get();
    work.generation = partition->log_generation_;
    // A restart must not begin to read in the midst of what is about to be replaced: all of it is
    // below the recovery point, and the store knows.
    const auto end = choice.range.end;
    const auto deadline = partitions_->clock().now() + longest_flush;
    const auto error = co_await partition->flushed(end, deadline);
    if (error != ErrorCode::none || partitions_->stopping_) co_return false;
    partitions_->save_checkpoint(*partition);
    const auto saved = co_await partitions_->checkpoints_synced();
    if (!saved.ok() || partitions_->stopping_) co_return false;
    if (!partition->log_ || partition->log_generation_ != work.generation) co_return false;
    // What was truncated meanwhile is dirty, whatever stands in its place.
    const auto now = partitions_->clock().wall_now();
    const auto fresh =
        partition->log_->cleanable(clean_up_to(*partition), partition->last_stable_offset(), now);
    if (!fresh.ok() || fresh->end < end || partition->log_->recovery_point() < end) co_return false;
    choice.range.first_dirty = fresh->first_dirty;
    truncated_.erase(partition->id());

    auto prepared = partition->log_->prepare_compaction(choice.range, means(), now);
    if (!prepared.ok()) {
        refused(*partition, prepared.error());
        co_return false;
    }
    work.compaction = std::move(*prepared);
    const bool done = co_await clean_in_steps(&work);
    if (!done) {
        auto* compaction = work.compaction.get();
        std::function<void()> discard = [compaction] { compaction->discard(); };
        co_await partitions_->ports().disk.run(discard);
        co_return false;
    }
    const auto clean_end = work.compaction->clean_end();
    if (truncated_.count(partition->id()) > 0 || clean_end <= choice.range.first_dirty)
        co_return false;
    REACHED("log-is-compacted");
    note_clean(*partition, clean_end);
    partitions_->log_->info("compacted a log", {{"topic", partition->topic_name()},
                                                {"partition", partition->id().partition.value()},
                                                {"up_to", clean_end.value()},
                                                {"bytes_before", work.compaction->bytes_before()},
                                                {"bytes_after", work.compaction->bytes_after()}});
    co_await write_checkpoints();
    co_return true;
}

io::Task<bool> Cleaner::clean_in_steps(Work* work) {
    using Progress = log::Compaction::Progress;
    io::Disk* disk = &partitions_->ports().disk;
    auto* compaction = work->compaction.get();
    auto* partition = work->partition.get();
    while (true) {
        std::optional<IoResult<Progress>> progress;
        std::function<void()> step = [compaction, &progress] {
            progress.emplace(compaction->step(step_bytes));
        };
        co_await disk->run(step);
        if (partitions_->stopping_ || !partition->log_ ||
            partition->log_generation_ != work->generation) {
            co_return false;
        }
        if (!progress->ok()) {
            refused(*partition, progress->error());
            co_return false;
        }
        if (**progress == Progress::finished) co_return true;
        if (**progress == Progress::segment_ready) {
            const auto replaced =
                partition->log_->replace_segments(*compaction, partitions_->clock().wall_now());
            if (!replaced.ok()) {
                partitions_->append_failed(partition, replaced.error());
                co_return false;
            }
            if (!*replaced) co_return false;
            // Only then may the checkpoint call it clean.
            const std::string directory = partition->log_->directory();
            IoStatus synced;
            std::function<void()> sync = [disk, &directory, &synced] {
                synced = disk->sync_directory(directory);
            };
            co_await disk->run(sync);
            if (partitions_->stopping_ || !partition->log_ ||
                partition->log_generation_ != work->generation) {
                co_return false;
            }
            if (!synced.ok()) {
                partitions_->directory_failed(partition->directory(), synced.error().message);
                co_return false;
            }
            partitions_->remove_deleted_files(partition);
        }
        const auto bytes = compaction->take_io_bytes();
        const bool goes_on = co_await throttled(bytes);
        if (!goes_on) co_return false;
    }
}

// False if the broker ends.
io::Task<bool> Cleaner::throttled(std::int64_t bytes) {
    const double rate = bytes_per_second();
    const auto now = partitions_->clock().now();
    constexpr double longest_seconds = 3600;
    const double seconds =
        rate > 0 ? std::min(static_cast<double>(bytes) / rate, longest_seconds) : longest_seconds;
    next_io_ = std::max(next_io_, now) +
               Duration::nanoseconds(static_cast<std::int64_t>(seconds * 1'000'000'000));
    if (next_io_ - now < Duration::milliseconds(1)) co_return !partitions_->stopping_;
    const auto wait = next_io_ - now;
    const bool slept = co_await partitions_->link_sleep(wait);
    co_return slept;
}

}  // namespace pabal::runtime
