#include "sim/client/records.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "base/prng.h"
#include "record/compression.h"
#include "record/control_record.h"
#include "record/record.h"
#include "record/record_batch.h"

namespace pabal::sim {
namespace {

constexpr std::uint64_t largest_padding_bytes = 600;
constexpr std::size_t inflated_bytes_max = 16 << 20;

// Four letters that repeat, so that there is something to compress: a byte of chance is four of
// them.
constexpr auto letters = [] {
    std::array<std::array<char, 4>, 256> all{};
    for (std::size_t chance = 0; chance < all.size(); ++chance) {
        for (std::size_t i = 0; i < 4; ++i) {
            all[chance][i] = static_cast<char>('a' + (chance >> 2 * i & 3));
        }
    }
    return all;
}();

// What a consumer of committed records passes over, batch by batch (KIP-98).
class Hidden {
public:
    explicit Hidden(const AbortedTransactions& aborted) {
        if (aborted) aborted_ = *aborted;
        std::sort(aborted_.begin(), aborted_.end(), [](const auto& one, const auto& other) {
            return one.first_offset < other.first_offset;
        });
    }

    bool holds(const record::RecordBatchView& batch) {
        for (; next_ < aborted_.size(); ++next_) {
            if (aborted_[next_].first_offset > batch.last_offset()) break;
            producers_.insert(aborted_[next_].producer_id);
        }
        return batch.is_transactional() && producers_.contains(batch.producer_id());
    }
    void ended(ProducerId producer) { producers_.erase(producer); }

private:
    std::vector<wire::FetchResponse::AbortedTransaction> aborted_;  // By first offset.
    std::size_t next_ = 0;
    std::set<ProducerId> producers_;  // Of whom an aborted transaction has begun.
};

}  // namespace

std::string value_of(const RecordId& record) {
    std::string value = std::to_string(record.client) + ':' + std::to_string(record.number) + ':';
    Prng padding(static_cast<std::uint64_t>(record.client) << 40 ^
                 static_cast<std::uint64_t>(record.number));
    const std::size_t size = value.size() + padding.below(largest_padding_bytes);
    value.reserve(size + 32);
    while (value.size() < size) {
        auto chance = padding.next();
        for (int i = 0; i < 8; ++i, chance >>= 8) value.append(letters[chance & 0xFF].data(), 4);
    }
    value.resize(size);
    return value;
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
        const auto value = value_of({batch.client, number});
        builder.append(timestamp, as_bytes(key), as_bytes(value));
    }
    return builder.build(codecs);
}

Result<std::vector<ReadRecord>> read_records(const Rope& records, record::Codecs& codecs,
                                             const AbortedTransactions& aborted) {
    std::vector<ReadRecord> found;
    Hidden hidden(aborted);
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
        const bool is_marker = batch->is_control();
        const bool is_hidden = hidden.holds(*batch) && !is_marker;
        while (true) {
            PABAL_TRY_ASSIGN(const auto read, reader.next());
            if (!read) break;
            const bool has_content = read->value && !is_marker;
            found.push_back({read->offset, has_content ? record_of(*read->value) : RecordId(),
                             is_marker, is_hidden});
            const auto ends =
                is_marker && read->key ? record::control_record_type(*read->key) : std::nullopt;
            if (ends == record::ControlRecordType::abort) hidden.ended(batch->producer_id());
        }
    }
    return found;
}

}  // namespace pabal::sim
