#include "sim/client/records.h"

#include <charconv>
#include <map>
#include <utility>

#include "base/prng.h"
#include "record/compression.h"
#include "record/record.h"
#include "record/record_batch.h"

namespace pabal::sim {
namespace {

constexpr std::uint64_t largest_padding_bytes = 600;
constexpr std::size_t inflated_bytes_max = 16 << 20;

// Values that were made a moment ago are asked for again by each reader.
constexpr std::size_t kept_values_max = 20'000;

std::string make_value(const RecordId& record) {
    std::string value;
    value.reserve(largest_padding_bytes + 32);
    value += std::to_string(record.client) + ':' + std::to_string(record.number) + ':';
    Prng padding(static_cast<std::uint64_t>(record.client) << 40 ^
                 static_cast<std::uint64_t>(record.number));
    // Words repeat, so that there is something to compress.
    auto left = padding.below(largest_padding_bytes);
    while (left-- > 0) value += static_cast<char>('a' + padding.below(4));
    return value;
}

}  // namespace

const std::string& value_of(const RecordId& record) {
    static std::map<std::pair<std::int32_t, std::int64_t>, std::string> kept;
    const std::pair key(record.client, record.number);
    const auto entry = kept.find(key);
    if (entry != kept.end()) return entry->second;
    if (kept.size() >= kept_values_max) kept.clear();
    return kept.emplace(key, make_value(record)).first->second;
}

RecordId record_of(ByteView value) {
    RecordId record;
    const auto text = as_text(value);
    const char* end = text.data() + text.size();
    const auto client = std::from_chars(text.data(), end, record.client);
    if (client.ec != std::errc() || client.ptr == end || *client.ptr != ':') return {};
    const auto number = std::from_chars(client.ptr + 1, end, record.number);
    if (number.ec != std::errc()) return {};
    record.damaged = value_of(record) != text;
    return record;
}

Bytes build_batch(const SentBatch& batch, const record::BatchOptions& options, WallTime timestamp,
                  record::Codecs& codecs) {
    record::RecordBatchBuilder builder(options);
    const std::string key = "client-" + std::to_string(batch.client);
    for (const auto number : batch.numbers) {
        const auto& value = value_of({batch.client, number});
        builder.append(timestamp, as_bytes(key), as_bytes(value));
    }
    return builder.build(codecs);
}

Result<std::vector<ReadRecord>> read_records(const Rope& records, record::Codecs& codecs) {
    std::vector<ReadRecord> found;
    const auto bytes = records.flatten();
    if (!bytes) return Error{ErrorCode::corrupt_message, "the records could not be read"};
    record::BatchWalker walker(*bytes);
    while (true) {
        PABAL_TRY_ASSIGN(const auto batch, walker.next());
        if (!batch) break;
        if (!batch->crc_is_right()) {
            return Error{ErrorCode::corrupt_message,
                         "the batch at offset " + std::to_string(batch->base_offset().value()) +
                             " has a wrong checksum"};
        }
        PABAL_TRY_ASSIGN(const auto content,
                         record::inflate_records(*bytes, *batch, codecs, inflated_bytes_max));
        record::RecordReader reader(*batch, content);
        while (true) {
            PABAL_TRY_ASSIGN(const auto read, reader.next());
            if (!read) break;
            found.push_back({read->offset, read->value ? record_of(*read->value) : RecordId()});
        }
    }
    return found;
}

}  // namespace pabal::sim
