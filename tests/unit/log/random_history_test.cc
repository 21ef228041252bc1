// Random histories of a log beside a naive twin that keeps its batches in a list: whatever happens,
// both answer the same; and after every kind of crash the log holds a prefix of the twin's batches,
// at least up to what was flushed.
#include <gtest/gtest.h>

#include "base/prng.h"
#include "tests/unit/log/log_world.h"

namespace pabal::log {
namespace {

struct TwinBatch {
    std::int64_t base;
    std::int64_t last;
    std::int32_t epoch;
    std::int64_t size;
};

class History {
public:
    explicit History(std::uint64_t seed) : random_(seed) {
        config_.segment_bytes = static_cast<std::int32_t>(random_.between(300, 20'000));
        config_.index_interval_bytes = static_cast<std::int32_t>(random_.between(0, 3000));
        config_.retention_milliseconds = -1;
        log_ = open_log(disk_, config_);
        checkpoint_ = log_->checkpoint();
    }

    void step() {
        switch (random_.below(24)) {
            default: return append();
            case 12:
            case 13:
            case 14:
            case 15: return read();
            case 16: return flush();
            case 17: return truncate();
            case 18: return raise_start();
            case 19: return kill();
            case 20: return lose_power();
            case 21: return stop_cleanly();
            case 22: return full_disk();
            case 23: return delete_old();
        }
    }

    void compare() {
        ASSERT_EQ(log_->log_end_offset().value(), end_);
        ASSERT_EQ(log_->log_start_offset().value(), start_);
        std::int64_t next = start_;
        while (next < end_) {
            const auto read = read_spans(*log_, next);
            ASSERT_FALSE(read.empty()) << next;
            for (const Span& span : read) {
                const auto& twin = twin_at(next);
                ASSERT_EQ(span, (Span{twin.base, twin.last}));
                next = span.last + 1;
            }
        }
        for (std::int64_t offset = start_; offset < end_; ++offset) {
            ASSERT_EQ(log_->epoch_of(Offset(offset)), LeaderEpoch(twin_at(offset).epoch)) << offset;
        }
    }

private:
    const TwinBatch& twin_at(std::int64_t offset) const {
        for (const auto& batch : twin_) {
            if (batch.last >= offset) return batch;
        }
        ADD_FAILURE() << "no batch at " << offset;
        return twin_.front();
    }

    void append() {
        const int records = static_cast<int>(1 + random_.below(4));
        if (random_.chance(1, 10)) ++epoch_;
        BatchSpec spec{.records = records,
                       .timestamp = 1000 + end_,
                       .value_bytes = random_.below(random_.chance(1, 8) ? 5000 : 100)};
        if (random_.chance(1, 3)) {
            // One that the log has forgotten begins again, as another.
            const auto known = log_->active_producers();
            spec.producer = known.empty() ? ProducerId(++producers_) : known.back().producer;
            spec.epoch = ProducerEpoch(0);
            spec.sequence = known.empty() ? 0 : known.back().last_sequence + 1;
        }
        const auto sent = batch(spec);
        const auto appended = log_->append(sent, LeaderEpoch(epoch_), noon);
        ASSERT_TRUE(appended.ok()) << appended.error().message;
        ASSERT_FALSE(appended->duplicate);
        ASSERT_EQ(appended->base_offset.value(), end_);
        twin_.push_back(
            {end_, end_ + records - 1, epoch_, static_cast<std::int64_t>(sent.bytes.size())});
        end_ += records;
    }

    void read() {
        if (start_ == end_) return;
        const std::int64_t from = random_.between(start_, end_ - 1);
        const TwinBatch& first = twin_at(from);
        const TwinBatch& last = twin_at(random_.between(from, end_ - 1));
        const std::int64_t bound = last.last + 1;
        const auto max_bytes = static_cast<std::int32_t>(random_.below(8000));
        const auto read = log_->read(Offset(from), Offset(bound), max_bytes, true);
        ASSERT_TRUE(read.ok()) << read.error().message;
        const auto found = spans(read->records);
        ASSERT_FALSE(found.empty());
        ASSERT_EQ(found.front(), (Span{first.base, first.last}));
        ASSERT_LT(found.back().last, bound);
        ASSERT_TRUE(read->records.size() <= static_cast<std::size_t>(max_bytes) ||
                    found.size() == 1);
        ASSERT_EQ(read->first_batch_larger_than_limit, first.size > max_bytes);
    }

    void flush() {
        ASSERT_TRUE(log_->flush().ok());
        checkpoint_ = log_->checkpoint();
        durable_ = disk_;
    }

    void truncate() {
        if (start_ == end_ || random_.chance(2, 3)) return;
        const std::int64_t to = twin_at(random_.between(start_, end_ - 1)).base;
        if (to < start_) return;
        ASSERT_TRUE(log_->truncate_to(Offset(to)).ok());
        std::erase_if(twin_, [&](const TwinBatch& batch) { return batch.base >= to; });
        end_ = to;
        epoch_ += 1;
        flush();
    }

    void raise_start() {
        if (random_.chance(2, 3)) return;
        start_ = random_.between(start_, end_);
        ASSERT_TRUE(log_->raise_log_start_offset(Offset(start_)).ok());
        checkpoint_.log_start_offset = Offset(start_);
    }

    void delete_old() {
        ASSERT_TRUE(log_->apply_retention(Offset(end_), noon).ok());
        for (const auto& path : log_->take_deleted_files(WallTime{INT64_MAX})) {
            ASSERT_TRUE(disk_.remove(path).ok());
        }
        flush();
    }

    // The process dies; the machine keeps every byte.
    void kill() {
        log_.reset();
        log_ = open_log(disk_, config_, checkpoint_);
        ASSERT_TRUE(log_);
        ASSERT_FALSE(log_->repair().has_value()) << log_->repair()->reason;
    }

    // The machine dies: of what was written to logs since the flush, sectors are missing.
    void lose_power() {
        log_.reset();
        for (auto& [path, content] : disk_.files) {
            if (!path.ends_with(".log")) continue;
            const std::size_t safe = durable_.has(path) ? durable_.bytes(path).size() : 0;
            auto& bytes = content->bytes;
            if (bytes.size() <= safe) continue;
            switch (random_.below(3)) {
                case 0: bytes.resize(safe + random_.below(bytes.size() - safe + 1)); break;
                case 1: {
                    const std::size_t sector =
                        (safe + random_.below(bytes.size() - safe)) / 512 * 512;
                    const std::size_t from = std::max(safe, sector);
                    const std::size_t to = std::min(bytes.size(), sector + 512);
                    // What is lost is told from damage by its zeros; a few bytes are too few.
                    if (to - from >= 16) {
                        std::fill(bytes.begin() + static_cast<long>(from),
                                  bytes.begin() + static_cast<long>(to), 0);
                    }
                    break;
                }
                default: break;
            }
        }
        log_ = open_log(disk_, config_, checkpoint_);
        ASSERT_TRUE(log_);
        const std::int64_t found = log_->log_end_offset().value();
        ASSERT_GE(found, checkpoint_.recovery_point.value());
        ASSERT_LE(found, std::max(end_, start_));
        std::erase_if(twin_, [&](const TwinBatch& batch) { return batch.last >= found; });
        end_ = found;
        start_ = log_->log_start_offset().value();
        flush();
    }

    void stop_cleanly() {
        ASSERT_TRUE(log_->close(noon, random_.chance(1, 2)).ok());
        auto checkpoint = log_->checkpoint();
        checkpoint.clean_shutdown = true;
        if (random_.chance(1, 3)) checkpoint.standing.reset();
        log_.reset();
        log_ = open_log(disk_, config_, checkpoint);
        ASSERT_TRUE(log_);
        ASSERT_EQ(log_->log_end_offset().value(), end_);
    }

    void full_disk() {
        disk_.free_space = static_cast<std::int64_t>(random_.below(40));
        ASSERT_FALSE(log_->append(batch(), LeaderEpoch(epoch_), noon).ok());
        disk_.free_space = INT64_MAX;
        ASSERT_EQ(log_->log_end_offset().value(), end_);
    }

    Prng random_;
    LogConfig config_;
    MemoryDisk disk_;
    MemoryDisk durable_;  // As of the last flush.
    LogCheckpoint checkpoint_;
    std::unique_ptr<PartitionLog> log_;
    std::vector<TwinBatch> twin_;
    std::int64_t start_ = 0;
    std::int64_t end_ = 0;
    std::int32_t epoch_ = 0;
    std::int64_t producers_ = 0;
};

TEST(RandomHistoryTest, TheLogAndItsTwinAgree) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        History history(seed);
        for (int i = 0; i < 250 && !::testing::Test::HasFailure(); ++i) {
            SCOPED_TRACE("step " + std::to_string(i));
            history.step();
            if (i % 10 == 9) history.compare();
        }
        if (::testing::Test::HasFailure()) return;
    }
}

}  // namespace
}  // namespace pabal::log
