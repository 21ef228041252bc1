// Bytes as a producer could send them: validation, the walk over batches and the reading of records
// never read beyond their input, never take unbounded memory, and agree with each other.
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/assert.h"
#include "base/big_endian.h"
#include "base/crc32c.h"
#include "record/batch_builder.h"
#include "record/record.h"
#include "record/validation.h"

namespace pabal::record {
namespace {

constexpr WallTime now{1'700'000'001'000};
constexpr std::size_t max_inflated_bytes = 1 << 20;

ValidationRules rules_of(std::uint8_t choice) {
    ValidationRules rules;
    rules.max_inflated_bytes = max_inflated_bytes;
    if (choice & 1) rules.timestamp_type = TimestampType::log_append_time;
    rules.compacted = choice & 2;
    rules.zstd_allowed = !(choice & 4);
    rules.keep_codec = !(choice & 8);
    rules.codec = static_cast<Compression>((choice >> 4) % compression_count);
    return rules;
}

// A mutated batch has a wrong checksum, and nothing behind it would ever run: make it right.
void seal(std::vector<std::uint8_t>& bytes) {
    if (bytes.size() < header_size) return;
    const auto length = load_big_endian<std::int32_t>(bytes.data() + batch_length_position);
    if (length < static_cast<std::int32_t>(header_size - log_overhead)) return;
    const std::size_t size = log_overhead + static_cast<std::size_t>(length);
    if (size > bytes.size()) return;
    store_big_endian(bytes.data() + crc_position,
                     crc32c(ByteView(bytes).first(size).subspan(attributes_position)));
}

void check_accepted(const ValidatedBatch& validated, Codecs& codecs) {
    const RecordBatchView view = validated.view();
    ASSERT(view.size() == validated.bytes.size() && view.crc_is_right(),
           "what validation returns is one sealed batch");
    const auto records = inflate_records(validated.bytes, view, codecs, max_inflated_bytes);
    ASSERT(records.ok(), "what validation accepted can be inflated");
    RecordReader reader(view, *records);
    std::int64_t greatest = -1;
    for (std::int32_t index = 0; index < validated.record_count; ++index) {
        const auto record = reader.next();
        ASSERT(record.ok() && *record, "what validation accepted can be read");
        ASSERT((*record)->offset == view.base_offset() + index, "offsets are contiguous");
        (*record)->for_each_header([](const RecordHeader&) {});
        if ((*record)->timestamp.milliseconds > greatest) {
            greatest = (*record)->timestamp.milliseconds;
        }
    }
    const auto end = reader.next();
    ASSERT(end.ok() && !*end, "no record follows the last");
    ASSERT(greatest == validated.max_timestamp.milliseconds &&
               view.max_timestamp() == validated.max_timestamp,
           "the maximum timestamp is that of the records");
}

void try_one(std::vector<std::uint8_t> bytes, std::uint8_t choice) {
    static Codecs codecs;
    const Bytes input = Bytes::copy_of(ByteView(bytes));
    const auto validated = validate(input, rules_of(choice), now, codecs);
    if (validated.ok()) {
        check_accepted(*validated, codecs);
    } else {
        ASSERT(validated.error().error.code != ErrorCode::none &&
                   !validated.error().error.message.empty(),
               "a refusal says why");
    }
    BatchWalker walker(input);
    for (;;) {
        const auto batch = walker.next();
        if (!batch.ok() || !*batch) break;
        const auto records = inflate_records(input, **batch, codecs, max_inflated_bytes);
        if (!records.ok()) continue;
        RecordReader reader(**batch, *records);
        for (;;) {
            const auto record = reader.next();
            if (!record.ok() || !*record) break;
            (*record)->for_each_header([](const RecordHeader&) {});
        }
    }
}

}  // namespace
}  // namespace pabal::record

// The first byte chooses the topic's rules, the rest is what the producer sent.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    std::vector<std::uint8_t> bytes(data + 1, data + size);
    pabal::record::try_one(bytes, data[0]);
    pabal::record::seal(bytes);
    pabal::record::try_one(bytes, data[0]);
    return 0;
}
