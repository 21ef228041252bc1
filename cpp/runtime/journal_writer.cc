#include "runtime/journal_writer.h"

#include <algorithm>
#include <functional>

#include "base/log.h"
#include "base/probe.h"
#include "io/disk_error.h"
#include "io/gate.h"
#include "io/ports.h"
#include "log/journal_replay.h"
#include "runtime/partitions.h"

namespace pabal::runtime {
namespace {

// A journal that could not be written, on a full disk say, is not tried again for so long.
constexpr Duration retry_interval = Duration::seconds(1);
// Flushes that make room may fail: then they are asked for again.
constexpr Duration longest_wait_for_room = Duration::seconds(1);

}  // namespace

JournalWriter::JournalWriter(Partitions* partitions, LogDirectory* directory,
                             std::uint64_t capacity_bytes)
    : partitions_(partitions), directory_(directory), capacity_bytes_(capacity_bytes) {}

JournalWriter::~JournalWriter() {
    ASSERT(!committing_, "a commit ends before the journal goes");
}

bool JournalWriter::goes_on() const {
    return !partitions_->stopping_ && directory_->online();
}

bool JournalWriter::usable() const {
    if (giving_up_ || !partitions_->journals_ready_ || !goes_on()) return false;
    return retry_at_ == Instant() || partitions_->clock().now() >= retry_at_;
}

std::uint64_t JournalWriter::tail(std::uint64_t frame) const {
    for (const auto& [id, need] : needs_) frame = std::min(frame, need.first);
    return frame;
}

// --- what comes in

bool JournalWriter::add(Partition* partition,
                        const std::shared_ptr<const std::string>& directory_name,
                        const std::vector<log::WrittenBatches>& written) {
    if (!usable()) return false;
    if (!journal_) {
        log::CommitJournal::Options options;
        options.directory = directory_->path;
        options.directory_id = directory_->id;
        options.id = Uuid::random(partitions_->ports().random);
        options.capacity_bytes = capacity_bytes_;
        journal_ = std::make_unique<log::CommitJournal>(&partitions_->ports().disk, options);
        next_frame_ = 1;
    }
    std::vector<log::JournalEntry> entries;
    std::uint64_t bytes = 0;
    for (const auto& each : written) {
        log::JournalEntry entry;
        entry.partition = partition->id();
        entry.directory = directory_name;
        entry.segment_base = each.segment_base;
        entry.position = each.position;
        entry.from = each.from;
        entry.end = each.end;
        entry.head = each.head;
        entry.body = each.body;
        if (entry.size() > journal_->most_bytes()) return false;
        bytes += entry.size();
        entries.push_back(std::move(entry));
    }
    // Half of the journal may wait for the other half.
    if (pending_bytes_ + bytes > journal_->capacity_bytes() / 2) return false;
    for (auto& entry : entries) {
        pending_.push_back({std::move(entry), partition->shared_from_this(), partition->life_});
        ++enqueued_;
    }
    pending_bytes_ += bytes;
    auto& need = needs_[partition->id()];
    if (!need.partition) need = {next_frame_, next_frame_, partition->shared_from_this()};
    need.last = next_frame_;
    start();
    return true;
}

void JournalWriter::flushed(const TopicPartition& partition, std::uint64_t mark) {
    const auto need = needs_.find(partition);
    if (need == needs_.end() || need->second.first >= mark) return;
    if (need->second.last < mark) {
        needs_.erase(need);
    } else {
        need->second.first = mark;
    }
    if (room_) room_->open();
}

void JournalWriter::forget(const TopicPartition& partition,
                           const std::shared_ptr<const std::string>& directory_name) {
    needs_.erase(partition);
    if (room_) room_->open();
    if (!journal_ || !goes_on()) return;
    REACHED("journal-forgets-a-partition");
    log::JournalEntry entry;
    entry.kind = log::JournalEntry::Kind::reset;
    entry.partition = partition;
    entry.directory = directory_name;
    pending_bytes_ += entry.size();
    pending_.push_back({std::move(entry), nullptr, 0});
    ++enqueued_;
    start();
}

io::Task<bool> JournalWriter::written() {
    if (done_ == enqueued_) co_return true;
    if (!goes_on()) co_return false;
    io::Gate gate(partitions_->clock());
    Waiter waiter{enqueued_, &gate};
    waiters_.push_back(&waiter);
    co_await gate.opened(Instant::never());
    co_return waiter.done;
}

void JournalWriter::count_done(std::uint64_t count) {
    done_ += count;
    std::erase_if(waiters_, [&](Waiter* waiter) {
        if (waiter->count > done_) return false;
        waiter->done = true;
        waiter->gate->open();
        return true;
    });
}

// --- the commits

void JournalWriter::start() {
    if (committing_) return;
    committing_ = true;
    io::detach(commit_while_needed());
}

// How many of those that wait go into one frame.
std::size_t JournalWriter::next_group(std::uint64_t* bytes) const {
    std::size_t count = 0;
    for (const auto& each : pending_) {
        const std::uint64_t size = each.entry.size();
        if (count > 0 && *bytes + size > journal_->most_bytes()) break;
        *bytes += size;
        ++count;
    }
    return count;
}

io::Task<void> JournalWriter::commit_while_needed() {
    const Partitions::Background background(partitions_);
    // What is appended in the same turn goes along.
    io::Turn turn(partitions_->clock());
    co_await turn;
    while (!pending_.empty() && goes_on()) {
        std::uint64_t bytes = 0;
        std::size_t count = next_group(&bytes);
        if (!journal_->fits(bytes)) {
            REACHED("journal-is-full");
            // Room that was made counts once a frame says so.
            const bool news = tail(next_frame_) > journal_->synced_tail();
            if (!news) {
                co_await wait_for_room();
                continue;
            }
            count = 0;
        }
        const bool committed = co_await commit(count);
        if (!committed && goes_on()) co_await give_up_file();
    }
    drop_pending();
    committing_ = false;
}

// Writes one frame with the first `count` entries and syncs it. False if it could not be written.
io::Task<bool> JournalWriter::commit(std::size_t count) {
    std::vector<Pending> group;
    std::vector<const log::JournalEntry*> entries;
    group.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        pending_bytes_ -= pending_.front().entry.size();
        group.push_back(std::move(pending_.front()));
        pending_.pop_front();
    }
    for (const auto& each : group) {
        // What was cut off again, or flushed meanwhile, needs no place in it.
        const bool moot = each.partition && (each.life != each.partition->life_ ||
                                             each.partition->synced_to(each.entry.end));
        if (!moot) entries.push_back(&each.entry);
    }
    const std::uint64_t oldest = tail(next_frame_);
    ++next_frame_;
    IoStatus written;
    IoStatus synced;
    log::CommitJournal* journal = journal_.get();
    std::function<void()> work = [&] {
        if (!journal->created()) written = journal->create();
        if (written.ok()) written = journal->append(entries, oldest);
        if (written.ok()) synced = journal->sync();
    };
    co_await partitions_->ports().disk.run(work);
    if (!written.ok() && io::is_disk_failure(written.error())) {
        if (goes_on()) partitions_->directory_failed(directory_, written.error().message);
        co_return false;
    }
    if (!written.ok()) {
        if (goes_on()) {
            partitions_->log_->warning(
                "the commit journal cannot be written; partitions are flushed one by one",
                {{"directory", directory_->path}, {"why", written.error().message}});
        }
        for (const auto& each : group) {
            if (each.partition) each.partition->want_flush();
        }
        co_return false;
    }
    ++partitions_->traffic_.journal_syncs;
    if (!synced.ok()) {
        if (goes_on()) partitions_->directory_failed(directory_, synced.error().message);
        co_return true;
    }
    std::vector<Partition*> changed;
    for (const auto& each : group) {
        if (!each.partition) continue;
        partitions_->traffic_.journal_bytes += each.entry.size();
        if (!each.partition->journaled(each.life, each.entry.from, each.entry.end)) continue;
        if (changed.empty() || changed.back() != each.partition.get())
            changed.push_back(each.partition.get());
    }
    for (auto* partition : changed) partition->made_durable();
    count_done(count);
    if (journal_->used_bytes() > journal_->capacity_bytes() / 2) flush_oldest();
    co_return true;
}

// Nobody hears of it any more: the broker stops, or the directory is offline.
void JournalWriter::drop_pending() {
    if (pending_.empty() && waiters_.empty()) return;
    pending_.clear();
    pending_bytes_ = 0;
    done_ = enqueued_;
    for (auto* waiter : waiters_) waiter->gate->open();
    waiters_.clear();
}

// --- room

// One partition after the other, so that the disk pool has time for commits.
void JournalWriter::flush_oldest() {
    const auto current = needs_.find(releasing_);
    if (current != needs_.end() && current->second.partition->flushing_) return;
    const auto oldest = std::min_element(
        needs_.begin(), needs_.end(),
        [](const auto& a, const auto& b) { return a.second.first < b.second.first; });
    if (oldest == needs_.end()) return;
    releasing_ = oldest->first;
    oldest->second.partition->want_flush();
}

io::Task<void> JournalWriter::wait_for_room() {
    for (const auto& [id, need] : needs_) need.partition->want_flush();
    io::Gate gate(partitions_->clock());
    room_ = &gate;
    partitions_->sleepers_.push_back(&gate);
    const auto until = partitions_->clock().now() + longest_wait_for_room;
    co_await gate.opened(until);
    std::erase(partitions_->sleepers_, &gate);
    room_ = nullptr;
}

// What stands in the file is needed until its partitions are flushed; then it goes, and with it
// what was to be forgotten.
io::Task<void> JournalWriter::give_up_file() {
    REACHED("journal-is-given-up");
    giving_up_ = true;
    while (goes_on()) {
        for (const auto& each : pending_) {
            if (each.partition) each.partition->want_flush();
        }
        pending_.clear();
        pending_bytes_ = 0;
        if (needs_.empty()) {
            IoStatus removed;
            std::function<void()> work = [&] { removed = remove_file(); };
            co_await partitions_->ports().disk.run(work);
            if (removed.ok()) {
                journal_.reset();
                next_frame_ = 1;
                count_done(enqueued_ - done_);
                break;
            }
        }
        co_await wait_for_room();
    }
    retry_at_ = partitions_->clock().now() + retry_interval;
    giving_up_ = false;
}

IoStatus JournalWriter::remove_file() {
    if (!journal_) return {};
    return log::remove_journal(partitions_->ports().disk, directory_->path);
}

}  // namespace pabal::runtime
