#include "runtime/partitions.h"

#include <algorithm>
#include <cerrno>

#include "base/probe.h"
#include "controller/partition_change.h"
#include "io/disk_error.h"
#include "io/gate.h"
#include "io/ports.h"
#include "metadata/broker_config.h"
#include "runtime/broker_store.h"
#include "runtime/cleaner.h"
#include "runtime/journal_writer.h"
#include "runtime/opening.h"
#include "runtime/partition_directory.h"

namespace pabal::runtime {
namespace {

// After the start, so that it is not in the way of the first clients.
constexpr Duration first_retention_check = Duration::seconds(30);
constexpr Duration append_warning_interval = Duration::seconds(10);
constexpr Duration reopen_interval = Duration::seconds(1);
// How many partitions the housekeeping touches before others have their turn.
constexpr int partitions_per_turn = 64;
constexpr std::string_view rack_aware_selector =
    "org.apache.kafka.common.replica.RackAwareReplicaSelector";
// With so many partitions to be synced at the end, one sync of the file system takes less time than
// one of each file.
constexpr std::size_t sync_at_once_from = 64;
// Kafka looks for directories among the log directory's entries, and leaves files alone.
constexpr std::string_view disk_check_file = "/.disk-check";

}  // namespace

Partitions::Background::Background(Partitions* owner) : partitions(owner) {
    ++partitions->background_count_;
}

Partitions::Background::~Background() {
    if (--partitions->background_count_ > 0) return;
    for (auto* gate : partitions->background_waiters_) gate->open();
    partitions->background_waiters_.clear();
}

Partitions::Partitions(io::Ports* ports, const metadata::BrokerConfig* config, BrokerStore* store,
                       const Logger* log, Options options)
    : ports_(ports),
      config_(config),
      log_(log),
      options_(std::move(options)),
      checkpoints_(ports, store, log),
      fetch_max_bytes_(static_cast<std::int32_t>(config->integer("fetch.max.bytes"))),
      replica_lag_max_(Duration::milliseconds(config->integer("replica.lag.time.max.ms"))),
      rack_aware_(config->text("replica.selector.class") == rack_aware_selector),
      flush_largest_at_(options_.flush_all_at_bytes) {
    ASSERT(!options_.log_directories.empty(), "a broker has a log directory");
    for (auto& directory : options_.log_directories)
        log_directories_.push_back(std::make_unique<LogDirectory>(std::move(directory)));
    const auto journal_bytes = config->integer("pabal.journal.bytes");
    for (auto& directory : log_directories_) {
        if (journal_bytes == 0) break;
        journals_.push_back(std::make_unique<JournalWriter>(
            this, directory.get(), static_cast<std::uint64_t>(journal_bytes)));
        directory->journal = journals_.back().get();
    }
    cleaner_ = std::make_unique<Cleaner>(this);
}

Partitions::~Partitions() {
    ASSERT(background_count_ == 0, "background work ends before its owner");
    if (flush_timer_ != 0) ports_->clock.cancel(flush_timer_);
}

io::Clock& Partitions::clock() const {
    return ports_->clock;
}
BrokerId Partitions::broker_id() const {
    return config_->node_id();
}

std::shared_ptr<Partition> Partitions::find(const TopicPartition& partition) const {
    const auto* found = topic(partition.topic);
    if (!found || !found->partition(partition.partition)) return nullptr;
    return found->partition(partition.partition)->shared_from_this();
}

std::vector<const Topic*> Partitions::topics() const {
    std::vector<const Topic*> all;
    all.reserve(by_id_.size());
    for (const auto& [id, topic] : by_id_) all.push_back(topic.get());
    std::sort(all.begin(), all.end(),
              [](const Topic* a, const Topic* b) { return a->name() < b->name(); });
    return all;
}

void Partitions::each_partition(const std::function<void(Partition&)>& visit) const {
    for (const auto* topic : topics()) {
        for (const auto& partition : topic->partitions) {
            if (partition) visit(*partition);
        }
    }
}

io::Task<IoStatus> Partitions::checkpoints_synced() {
    return checkpoints_.synced();
}

// --- replicas

bool Partitions::is_eligible(BrokerId broker, BrokerEpoch epoch) const {
    const auto* known = image_ ? image_->broker(broker) : nullptr;
    if (!known || known->fenced || known->in_controlled_shutdown) return false;
    return epoch == BrokerEpoch(-1) || epoch == known->epoch;
}

bool Partitions::has_its_directory(const TopicPartition& id, BrokerId broker) const {
    const auto* partition = image_ ? image_->partition(id) : nullptr;
    return !partition || controller::Electable{*image_}(*partition, broker);
}

std::string_view Partitions::rack_of(BrokerId broker) const {
    const auto* known = image_ ? image_->broker(broker) : nullptr;
    return known && known->rack ? std::string_view(*known->rack) : std::string_view();
}

void Partitions::want_isr_change(Partition* partition) {
    if (isr_changed_ && !stopping_) isr_changed_(partition->shared_from_this());
}

// True if it slept all the time, false if the broker ends.
io::Task<bool> Partitions::link_sleep(Duration duration) {
    if (stopping_) co_return false;
    io::Gate gate(ports_->clock);
    sleepers_.push_back(&gate);
    const auto until = ports_->clock.now() + duration;
    co_await gate.opened(until);
    std::erase(sleepers_, &gate);
    co_return !stopping_;
}

// Who does not come any more is noticed by nothing but the time.
io::Task<void> Partitions::watch_followers() {
    const Background background(this);
    const auto interval =
        Duration::milliseconds(std::max<std::int64_t>(replica_lag_max_.to_milliseconds() / 2, 1));
    while (true) {
        const bool slept = co_await link_sleep(interval);
        if (!slept) break;
        each_partition([&](Partition& partition) {
            if (partition.leads() && partition.leader_->followers().size() > 0)
                want_isr_change(&partition);
        });
    }
}

io::Task<void> Partitions::save_high_watermarks() {
    const Background background(this);
    const auto interval =
        Duration::milliseconds(config_->integer("replica.high.watermark.checkpoint.interval.ms"));
    while (true) {
        const bool slept = co_await link_sleep(interval);
        if (!slept) break;
        each_partition([&](Partition& partition) {
            // Alone, a replica knows on its own what is committed.
            if (!partition.log_ || partition.leadership_.replicas.size() < 2) return;
            if (partition.high_watermark() != partition.saved_high_watermark_)
                save_checkpoint(partition);
        });
    }
}

// --- work on the disk pool

struct Partitions::Chunks {
    std::size_t next = 0;
    std::size_t count = 0;
    std::size_t chunk = 1;
    std::size_t running = 0;
    std::function<void(std::size_t, std::size_t)> work;
    io::Gate* done = nullptr;
};

io::Task<void> Partitions::in_chunks(std::size_t count,
                                     std::function<void(std::size_t, std::size_t)> work) {
    if (count == 0) co_return;
    // More runners than the pool has threads, so that none of these waits for the shard.
    constexpr std::size_t most_runners = 4;
    constexpr std::size_t largest_chunk = 64;
    io::Gate done(ports_->clock);
    Chunks chunks;
    chunks.count = count;
    chunks.chunk = std::clamp<std::size_t>(count / most_runners, 1, largest_chunk);
    chunks.running = std::min(most_runners, (count + chunks.chunk - 1) / chunks.chunk);
    chunks.work = std::move(work);
    chunks.done = &done;
    for (std::size_t i = 0, runners = chunks.running; i < runners; ++i)
        io::detach(run_chunks(&chunks));
    co_await done.opened(Instant::never());
}

io::Task<void> Partitions::run_chunks(Chunks* chunks) {
    while (chunks->next < chunks->count) {
        const auto first = chunks->next;
        const auto last = std::min(chunks->count, first + chunks->chunk);
        chunks->next = last;
        std::function<void()> work = [chunks, first, last] { chunks->work(first, last); };
        co_await ports_->disk.run(work);
    }
    if (--chunks->running == 0) chunks->done->open();
}

// --- retention and removal

// True if it slept all the time, false if the broker ends.
io::Task<bool> Partitions::policy_sleep(Duration duration) {
    if (stopping_) co_return false;
    io::Gate gate(ports_->clock);
    const auto timer =
        ports_->clock.at_policy(ports_->clock.policy_now() + duration, [&gate] { gate.open(); });
    sleepers_.push_back(&gate);
    co_await gate.opened(Instant::never());
    std::erase(sleepers_, &gate);
    ports_->clock.cancel(timer);
    co_return !stopping_;
}

io::Task<void> Partitions::retain_for_ever() {
    const Background background(this);
    const auto interval =
        Duration::milliseconds(config_->integer("log.retention.check.interval.ms"));
    auto wait = std::min(interval, first_retention_check);
    while (true) {
        const bool slept = co_await policy_sleep(wait);
        if (!slept) break;
        wait = interval;
        std::vector<std::shared_ptr<Partition>> all;
        all.reserve(partition_count_);
        each_partition([&](Partition& partition) { all.push_back(partition.shared_from_this()); });
        int touched = 0;
        for (const auto& partition : all) {
            if (++touched % partitions_per_turn == 0) {
                io::Turn turn(ports_->clock);
                co_await turn;
            }
            if (stopping_ || !partition->log_) continue;
            const auto segments = partition->log_->segment_count();
            const auto moved = partition->log_->apply_retention(partition->high_watermark(),
                                                                ports_->clock.wall_now());
            if (!moved.ok()) {
                append_failed(partition.get(), moved.error());
                continue;
            }
            if (*moved) {
                partition->leader_->log_start_moved(partition->log_->log_start_offset());
                save_checkpoint(*partition);
                partition->changed();
            }
            if (*moved || partition->log_->segment_count() != segments)
                remove_deleted_files(partition.get());
        }
    }
}

void Partitions::log_truncated(Partition& partition) {
    cleaner_->truncated(partition);
}

void Partitions::remove_deleted_files(Partition* partition) {
    if (stopping_) return;
    const auto delay = partition->config_->log.file_delete_delay + Duration::milliseconds(1);
    io::detach(remove_deleted_segments(partition->shared_from_this(), delay));
}

io::Task<void> Partitions::remove_deleted_segments(std::shared_ptr<Partition> partition,
                                                   Duration delay) {
    const Background background(this);
    const bool slept = co_await policy_sleep(delay);
    if (!slept || !partition->log_) co_return;
    auto due = partition->log_->take_deleted_files(ports_->clock.wall_now());
    if (due.empty()) co_return;
    io::Disk* disk = &ports_->disk;
    std::string failure;
    std::function<void()> work = [disk, &due, &failure] {
        for (const auto& path : due) {
            const auto removed = disk->remove(path);
            if (!removed.ok()) failure = removed.error().message;
        }
    };
    co_await disk->run(work);
    if (!failure.empty()) log_->warning("cannot remove a deleted segment", {{"why", failure}});
}

io::Task<void> Partitions::remove_after(std::vector<std::string> paths, Duration delay) {
    const Background background(this);
    const bool slept = co_await policy_sleep(delay);
    if (!slept) co_return;
    io::Disk* disk = &ports_->disk;
    for (const auto& path : paths) {
        IoStatus status;
        std::function<void()> work = [disk, &path, &status] { status = disk->remove(path); };
        co_await disk->run(work);
        if (!status.ok()) {
            log_->warning("cannot remove a deleted partition",
                          {{"directory", path}, {"why", status.error().message}});
        }
        if (stopping_) break;
    }
}

// --- failing disks

void Partitions::append_failed(Partition* partition, const IoError& error) {
    const auto now = ports_->clock.now();
    if (!append_warned_ || now - last_append_warning_ >= append_warning_interval) {
        append_warned_ = true;
        last_append_warning_ = now;
        log_->error("the disk refuses; nothing of this is acknowledged",
                    {{"topic", partition->topic_name()},
                     {"partition", partition->id().partition.value()},
                     {"why", error.message}});
    }
    if (io::is_disk_failure(error)) {
        give_up(partition->directory(), error.message);
        return;
    }
    if (judge_disk(*partition)) return;
    if (!partition->log_->usable() && !partition->reopening_ && !stopping_) {
        partition->reopening_ = true;
        io::detach(reopen(partition->shared_from_this(), log::LogCheckpoint()));
    }
}

bool Partitions::judge_disk(const Partition& partition) {
    const bool failed = partition.log_ && !partition.log_->disk_failure().empty();
    if (failed) give_up(partition.directory(), partition.log_->disk_failure());
    return failed;
}

void Partitions::give_up(LogDirectory* directory, std::string why) {
    if (!directory->online() || directory->giving_up || stopping_) return;
    directory->giving_up = true;
    io::detach(take_offline(directory, std::move(why)));
}

// Not within the call that failed.
io::Task<void> Partitions::take_offline(LogDirectory* directory, std::string why) {
    const Background background(this);
    io::Turn turn(ports_->clock);
    co_await turn;
    if (!stopping_) directory_failed(directory, why);
}

// A directory of which nobody wants anything fails as well, and what is led there should be led
// elsewhere. Where there is one directory only, the metadata log is in it and finds out.
io::Task<void> Partitions::watch_directories() {
    const Background background(this);
    const auto interval =
        Duration::milliseconds(config_->integer("replica.high.watermark.checkpoint.interval.ms"));
    io::Disk* disk = &ports_->disk;
    while (true) {
        const bool slept = co_await link_sleep(interval);
        if (!slept) break;
        for (const auto& directory : log_directories_) {
            if (!directory->online()) continue;
            const std::string path = directory->path + std::string(disk_check_file);
            IoStatus written;
            std::function<void()> work = [&] { written = io::replace_file(*disk, path, "\n"); };
            co_await disk->run(work);
            if (stopping_) break;
            if (!written.ok() && io::is_disk_failure(written.error()))
                directory_failed(directory.get(), written.error().message);
        }
    }
}

io::Task<void> Partitions::reopen(std::shared_ptr<Partition> partition,
                                  log::LogCheckpoint checkpoint) {
    const Background background(this);
    // Not within the append that failed.
    io::Turn turn(ports_->clock);
    co_await turn;
    Opening opening;
    opening.partition = partition;
    if (partition->log_) {
        opening.path = partition->log_->directory();
        opening.checkpoint = partition->log_->checkpoint();
        opening.checkpoint.writes_survived = true;
        const auto old = partition->shut();
    } else {
        opening.path = partition->directory()->path + '/' +
                       partition_directory_name(partition->topic_name(), partition->id().partition);
        opening.checkpoint = checkpoint;
    }
    while (!stopping_ && !partition->deleted_ && partition->directory()->online()) {
        opening.config = partition->config_;
        std::function<void()> work = [this, &opening] { open(&opening); };
        co_await ports_->disk.run(work);
        if (opening.result && opening.result->ok()) break;
        if (opening.result && io::is_disk_failure(opening.result->error())) break;
        io::Gate gate(ports_->clock);
        sleepers_.push_back(&gate);
        const auto until = ports_->clock.now() + reopen_interval;
        co_await gate.opened(until);
        std::erase(sleepers_, &gate);
    }
    partition->reopening_ = false;
    if (!stopping_ && !partition->deleted_ && partition->directory()->online()) finish(&opening);
}

void Partitions::directory_failed(LogDirectory* directory, const std::string& why) {
    if (!directory->online()) return;
    REACHED("directory-goes-offline");
    directory->failure = why;
    log_->error("a log directory is offline until the next start",
                {{"directory", directory->path}, {"why", why}});
    each_partition([&](Partition& partition) {
        if (partition.directory() == directory && partition.log_) {
            const auto lost = partition.shut();
        }
    });
    const bool any_online = std::any_of(log_directories_.begin(), log_directories_.end(),
                                        [](const auto& each) { return each->online(); });
    if (any_online && options_.directory_failed) options_.directory_failed(directory->id, why);
    if (!any_online && options_.all_directories_failed) options_.all_directories_failed(why);
}

// --- flushes and checkpoints

void Partitions::save_checkpoint(Partition& partition) {
    if (!partition.log_) return;
    auto checkpoint = partition.log_->checkpoint();
    checkpoint.high_watermark = partition.high_watermark();
    partition.saved_high_watermark_ = checkpoint.high_watermark;
    checkpoints_.save(partition.id(), checkpoint);
}

void Partitions::count_unflushed(Partition* partition) {
    const std::int64_t bytes = partition->log_ ? partition->log_->unflushed_bytes() : 0;
    unflushed_bytes_ += bytes - partition->counted_unflushed_bytes_;
    partition->counted_unflushed_bytes_ = bytes;
    if (bytes == 0) {
        if (partition->dirty_index_ < 0) return;
        auto& place = dirty_[static_cast<std::size_t>(partition->dirty_index_)];
        place = dirty_.back();
        place->dirty_index_ = partition->dirty_index_;
        dirty_.pop_back();
        partition->dirty_index_ = -1;
        return;
    }
    const auto flush_milliseconds = partition->config_->log.flush_milliseconds;
    if (partition->dirty_index_ < 0) {
        partition->dirty_index_ = static_cast<std::int32_t>(dirty_.size());
        dirty_.push_back(partition);
        partition->dirty_since_ = ports_->clock.now();
    }
    if (flush_milliseconds != INT64_MAX) {
        arm_flush_timer(partition->dirty_since_ + Duration::milliseconds(flush_milliseconds));
    }
    if (bytes >= options_.flush_partition_at_bytes) {
        partition->want_flush();
    } else if (unflushed_bytes_ >= flush_largest_at_) {
        flush_largest();
    }
}

void Partitions::flush_largest() {
    std::vector<Partition*> order = dirty_;
    std::stable_sort(order.begin(), order.end(), [](const Partition* a, const Partition* b) {
        return a->counted_unflushed_bytes_ > b->counted_unflushed_bytes_;
    });
    std::int64_t left = unflushed_bytes_;
    for (auto* partition : order) {
        if (left <= options_.flush_all_at_bytes / 2) break;
        left -= partition->counted_unflushed_bytes_;
        partition->want_flush();
    }
    // Those that are being flushed already count until they are done: do not sort for each append.
    flush_largest_at_ =
        std::max(options_.flush_all_at_bytes, unflushed_bytes_ + options_.flush_all_at_bytes / 4);
}

void Partitions::arm_flush_timer(Instant due) {
    if (flush_timer_ != 0) {
        if (flush_timer_due_ <= due) return;
        ports_->clock.cancel(flush_timer_);
    }
    flush_timer_due_ = due;
    flush_timer_ = ports_->clock.at(due, [this] {
        flush_timer_ = 0;
        flush_overdue();
    });
}

void Partitions::flush_overdue() {
    if (stopping_) return;
    const auto now = ports_->clock.now();
    const std::vector<Partition*> dirty = dirty_;
    for (auto* partition : dirty) {
        const auto flush_milliseconds = partition->config_->log.flush_milliseconds;
        if (flush_milliseconds == INT64_MAX) continue;
        const auto due = partition->dirty_since_ + Duration::milliseconds(flush_milliseconds);
        if (due <= now) {
            partition->want_flush();
        } else {
            arm_flush_timer(due);
        }
    }
}

// --- the end

void Partitions::end_background_work() {
    stopping_ = true;
    if (flush_timer_ != 0) ports_->clock.cancel(flush_timer_);
    flush_timer_ = 0;
    for (auto* gate : sleepers_) gate->open();
}

io::Task<void> Partitions::background_ended() {
    if (background_count_ == 0) co_return;
    io::Gate gate(ports_->clock);
    background_waiters_.push_back(&gate);
    co_await gate.opened(Instant::never());
}

io::Task<void> Partitions::stop(BrokerEpoch broker_epoch) {
    end_background_work();
    each_partition([](Partition& partition) {
        if (partition.leads()) ++partition.reign_;
        if (partition.leader_) partition.leader_->resign();
        partition.wake(true);
        partition.changed();
    });
    co_await background_ended();

    struct Closing {
        Partition* partition;
        std::unique_ptr<log::PartitionLog> log;
        std::optional<log::LogFlush> flush;
        IoStatus status;
    };
    std::vector<Closing> closings;
    std::map<const LogDirectory*, CheckpointsByName> checkpoints;
    std::map<const LogDirectory*, std::string> unclean;
    for (const auto& directory : log_directories_) {
        if (!directory->online()) unclean[directory.get()] = directory->failure;
    }
    std::vector<Offset> high_watermarks;
    each_partition([&](Partition& partition) {
        if (!partition.log_) {
            unclean[partition.directory()] =
                "partition " +
                partition_directory_name(partition.topic_name(), partition.id().partition) +
                " could not be opened";
            return;
        }
        high_watermarks.push_back(partition.high_watermark());
        closings.push_back({&partition, partition.shut(), std::nullopt, IoStatus()});
    });
    std::function<void(std::size_t, std::size_t)> prepare = [&](std::size_t first,
                                                                std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
            auto prepared = closings[i].log->prepare_close();
            if (!prepared.ok()) closings[i].status = prepared.error();
            if (prepared.ok()) closings[i].flush.emplace(std::move(prepared).value());
        }
    };
    const std::size_t count = closings.size();
    co_await in_chunks(count, prepare);
    io::Disk* disk = &ports_->disk;
    std::map<const LogDirectory*, IoStatus> synced_at_once;
    std::function<void()> sync_at_once = [&] {
        std::map<const LogDirectory*, std::size_t> unsynced;
        for (const auto& closing : closings) {
            if (closing.flush && !closing.flush->empty())
                ++unsynced[closing.partition->directory()];
        }
        for (const auto& [directory, files] : unsynced) {
            if (files < sync_at_once_from) continue;
            auto status = disk->sync_file_system(directory->path);
            const bool unknown = !status.ok() && status.error().errno_value == ENOSYS;
            if (!unknown) synced_at_once.emplace(directory, std::move(status));
        }
    };
    co_await disk->run(sync_at_once);
    std::function<void(std::size_t, std::size_t)> close = [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
            auto& closing = closings[i];
            if (!closing.flush) continue;
            const auto synced = synced_at_once.find(closing.partition->directory());
            closing.status = synced != synced_at_once.end() ? synced->second : closing.flush->run();
            if (closing.status.ok()) closing.log->flushed(*closing.flush);
        }
    };
    co_await in_chunks(count, close);
    for (std::size_t i = 0; i < count; ++i) {
        const auto& closing = closings[i];
        const auto* directory = closing.partition->directory();
        if (!closing.status.ok()) {
            unclean[directory] = closing.status.error().message;
            continue;
        }
        auto checkpoint = closing.log->checkpoint();
        checkpoint.high_watermark = high_watermarks[i];
        const auto& id = closing.partition->id();
        checkpoints[directory][{closing.partition->topic_name(), id.partition.value()}] =
            checkpoint;
        // Where the marker cannot vouch for all, the store has to speak for each.
        if (unclean.count(directory) > 0) checkpoints_.save(id, checkpoint);
    }
    co_await checkpoints_.drained();
    std::function<void()> write = [&] {
        for (const auto& directory : log_directories_) {
            if (unclean.count(directory.get()) > 0) continue;
            auto status = directory->journal ? directory->journal->remove_file() : IoStatus();
            if (status.ok())
                status = write_clean_shutdown(*disk, directory->path, checkpoints[directory.get()],
                                              broker_epoch);
            if (!status.ok()) unclean[directory.get()] = status.error().message;
        }
        closings.clear();
    };
    co_await disk->run(write);
    for (const auto& directory : log_directories_) {
        const auto found = unclean.find(directory.get());
        if (found == unclean.end()) continue;
        log_->warning("a log directory is not marked as cleanly shut down",
                      {{"directory", directory->path}, {"why", found->second}});
    }
}

io::Task<void> Partitions::kill() {
    checkpoints_.halt();
    end_background_work();
    each_partition([](Partition& partition) { const auto lost = partition.shut(); });
    co_await background_ended();
    co_await checkpoints_.drained();
}

}  // namespace pabal::runtime
