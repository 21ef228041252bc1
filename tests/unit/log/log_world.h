// Batches and logs for the tests of the log.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "log/partition_log.h"
#include "record/batch_builder.h"
#include "record/control_record.h"
#include "record/record_batch.h"
#include "record/validation.h"
#include "tests/unit/log/memory_disk.h"

namespace pabal::log {

inline const std::string directory = "/data/orders-0";
inline constexpr WallTime noon{1'700'000'000'000};

struct BatchSpec {
    int records = 1;
    std::int64_t timestamp = noon.milliseconds;
    std::int64_t timestamp_step = 0;  // From record to record.
    std::size_t value_bytes = 10;
    ProducerId producer = no_producer_id;
    ProducerEpoch epoch = no_producer_epoch;
    std::int32_t sequence = -1;
    bool transactional = false;
    record::Compression compression = record::Compression::none;
    Offset base{0};
    LeaderEpoch leader_epoch = no_leader_epoch;
};

inline Bytes batch_bytes(const BatchSpec& spec) {
    record::BatchOptions options;
    options.base_offset = spec.base;
    options.leader_epoch = spec.leader_epoch;
    options.compression = spec.compression;
    options.producer_id = spec.producer;
    options.producer_epoch = spec.epoch;
    options.base_sequence = spec.sequence;
    options.transactional = spec.transactional;
    record::RecordBatchBuilder builder(options);
    const std::string value(spec.value_bytes, 'v');
    for (int i = 0; i < spec.records; ++i) {
        builder.append(WallTime{spec.timestamp + i * spec.timestamp_step}, as_bytes("key"),
                       as_bytes(value));
    }
    record::Codecs codecs;
    return builder.build(codecs);
}

inline record::ValidatedBatch batch(const BatchSpec& spec = {}) {
    return record::trusted(batch_bytes(spec));
}

inline record::ValidatedBatch marker(record::ControlRecordType type, ProducerId producer,
                                     ProducerEpoch epoch, std::int32_t coordinator_epoch = 0) {
    return record::trusted(
        record::end_transaction_marker(type, producer, epoch, coordinator_epoch, noon));
}

inline std::unique_ptr<PartitionLog> open_log(MemoryDisk& disk, LogConfig config = {},
                                              LogCheckpoint checkpoint = {}) {
    auto log = PartitionLog::open(disk, directory, config, checkpoint, noon);
    EXPECT_TRUE(log.ok()) << log.error().message;
    return log.ok() ? std::move(*log) : nullptr;
}

inline Offset must_append(PartitionLog& log, const BatchSpec& spec = {},
                          LeaderEpoch epoch = LeaderEpoch(0)) {
    auto appended = log.append(batch(spec), epoch, noon);
    EXPECT_TRUE(appended.ok()) << appended.error().message;
    return appended.ok() ? appended->base_offset : Offset(-1);
}

// The batches of a read, as [base, last] offsets.
struct Span {
    std::int64_t base;
    std::int64_t last;
    bool operator==(const Span&) const = default;
};
inline std::vector<Span> spans(const Rope& records) {
    std::vector<Span> result;
    const auto bytes = records.flatten();
    EXPECT_TRUE(bytes.has_value());
    record::BatchWalker walker(*bytes);
    while (true) {
        auto next = walker.next();
        EXPECT_TRUE(next.ok()) << next.error().message;
        if (!next.ok() || !*next) break;
        EXPECT_TRUE((*next)->crc_is_right());
        result.push_back({(*next)->base_offset().value(), (*next)->last_offset().value()});
    }
    EXPECT_EQ(walker.remaining(), 0u);
    return result;
}
inline std::vector<Span> read_spans(const PartitionLog& log, std::int64_t from,
                                    std::int64_t bound = INT64_MAX,
                                    std::int32_t max_bytes = INT32_MAX, bool at_least_one = true) {
    auto result = log.read(Offset(from), Offset(bound), max_bytes, at_least_one);
    EXPECT_TRUE(result.ok()) << result.error().message;
    return result.ok() ? spans(result->records) : std::vector<Span>{};
}

}  // namespace pabal::log
