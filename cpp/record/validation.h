// What a producer sends is believed only after this: one function checks a batch as Kafka's broker
// does, header, checksum and record by record, inflating what is compressed with bounded memory.
// The bytes stay as they came unless the topic asks for another codec or for LogAppendTime. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "record/attributes.h"
#include "record/compression.h"
#include "record/record_batch.h"

namespace pabal::record {

// The topic's configuration, as far as batches must obey it.
struct ValidationRules {
    std::int32_t max_message_bytes = 1'048'588;  // Of a whole batch, as it is stored.
    std::int32_t segment_bytes = 1 << 30;        // No batch is larger than a segment.
    std::int64_t timestamp_before_max_milliseconds = INT64_MAX;
    std::int64_t timestamp_after_max_milliseconds = 3'600'000;
    TimestampType timestamp_type = TimestampType::create_time;
    bool compacted = false;                 // Then each record needs a key.
    bool zstd_allowed = true;               // False below Produce version 7 (KIP-110).
    bool keep_codec = true;                 // compression.type=producer.
    Compression codec = Compression::none;  // Otherwise.
    int codec_level = default_compression_level;
    std::size_t max_inflated_bytes = 256u << 20;  // Of a batch; a bomb stops here.
};

// A batch that may be appended.
struct ValidatedBatch {
    Bytes bytes;  // One whole batch; base offset and leader epoch are still the producer's.
    std::int32_t record_count = 0;
    std::int32_t last_offset_delta = 0;
    WallTime max_timestamp;                       // As stored.
    std::int32_t max_timestamp_offset_delta = 0;  // The first record that has it.
    Compression compression = Compression::none;  // As stored.
    TimestampType timestamp_type = TimestampType::create_time;
    ProducerId producer_id = no_producer_id;
    ProducerEpoch producer_epoch = no_producer_epoch;
    std::int32_t base_sequence = no_sequence;
    std::int32_t last_sequence = no_sequence;
    bool transactional = false;
    bool control = false;

    RecordBatchView view() const;
};

// One record that is to blame, as ProduceResponse tells it from version 8 on (KIP-467).
struct RecordError {
    std::int32_t batch_index = 0;
    std::string message;
};

// More are not told one by one; the whole batch is refused anyway.
inline constexpr std::size_t max_record_errors = 1000;

struct RejectedBatch {
    Error error;
    std::vector<RecordError> record_errors;
};

// Checks the records of one partition of a Produce request. Errors, as Kafka gives them:
// - CORRUPT_MESSAGE: length or magic that cannot be, wrong CRC;
// - INVALID_RECORD: no whole batch or more than one, magic other than 2, base offset other than 0,
//   counts and offsets that disagree, a record that does not parse, a control batch, a producer id
//   without sequence, a keyless record for a compacted topic;
// - MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE: beyond the topic's or the segment's size;
// - UNSUPPORTED_COMPRESSION_TYPE: zstd before its time;
// - INVALID_TIMESTAMP: a record's timestamp is too far from `now`, or claims LogAppendTime itself.
// Where Kafka answers UNKNOWN_SERVER_ERROR, the reason is named: INVALID_RECORD for damaged
// compression, UNSUPPORTED_COMPRESSION_TYPE for a codec that does not exist. What Kafka stores
// although readers stumble over it is refused with INVALID_RECORD: offset deltas out of order,
// sizes below -1, a negative producer epoch, bytes behind the end of a compressed stream.
Expected<ValidatedBatch, RejectedBatch> validate(const Bytes& records, const ValidationRules& rules,
                                                 WallTime now, Codecs& codecs);

// For batches of our own making (coordinators, markers, tests): a whole batch with a right CRC, not
// walked.
ValidatedBatch trusted(const Bytes& batch);

}  // namespace pabal::record
