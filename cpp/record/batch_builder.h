// Builds one record batch, record by record. Owned by whoever writes: the producer client, the
// metadata log, coordinators, tests.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "record/attributes.h"
#include "record/compression.h"
#include "record/record.h"
#include "record/record_batch.h"

namespace pabal::record {

struct BatchOptions {
    Offset base_offset{0};
    LeaderEpoch leader_epoch = no_leader_epoch;
    Compression compression = Compression::none;
    int compression_level = default_compression_level;
    // With log_append_time, `append_time` becomes the batch's maximum timestamp.
    TimestampType timestamp_type = TimestampType::create_time;
    WallTime append_time;
    ProducerId producer_id = no_producer_id;
    ProducerEpoch producer_epoch = no_producer_epoch;
    std::int32_t base_sequence = no_sequence;
    bool transactional = false;
    bool control = false;
    std::optional<WallTime> delete_horizon;
};

class RecordBatchBuilder {
public:
    explicit RecordBatchBuilder(BatchOptions options = {});

    // Appends at the next offset.
    void append(WallTime timestamp, std::optional<ByteView> key, std::optional<ByteView> value,
                std::span<const RecordHeader> headers = {});
    // Appends at `offset_delta`, which is above the last one: compaction leaves gaps.
    void append_at(std::int32_t offset_delta, WallTime timestamp, std::optional<ByteView> key,
                   std::optional<ByteView> value, std::span<const RecordHeader> headers = {});
    // The batch covers offsets up to this delta although no record has it (compaction).
    void cover(std::int32_t last_offset_delta) { last_offset_delta_ = last_offset_delta; }

    std::int32_t record_count() const { return record_count_; }
    bool empty() const { return record_count_ == 0; }
    // Of the batch if it were not compressed.
    std::size_t size() const { return content_.size(); }
    // What one more record would add at most.
    static std::size_t record_size_bound(std::optional<ByteView> key, std::optional<ByteView> value,
                                         std::span<const RecordHeader> headers);

    // The finished batch; the builder is empty again, with the same options.
    Bytes build(Codecs& codecs);
    // The same without a codec; the batch must not be compressed.
    Bytes build();

private:
    std::uint8_t* grow(std::size_t size);
    Bytes finish(std::vector<std::uint8_t>& batch);

    BatchOptions options_;
    std::vector<std::uint8_t> content_;  // Room for the header, then the records.
    std::int32_t record_count_ = 0;
    std::int32_t last_offset_delta_ = -1;
    std::int64_t base_timestamp_ = -1;
    std::int64_t max_timestamp_ = -1;
};

}  // namespace pabal::record
