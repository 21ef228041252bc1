#include "record/validation.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/big_endian.h"
#include "base/crc32c.h"
#include "record/record_parse.h"

namespace pabal::record {
namespace {

using Validated = Expected<ValidatedBatch, RejectedBatch>;

// The least that the length field of any batch of any magic could say.
constexpr std::int32_t least_length_of_all_magics = 14;
constexpr std::size_t size_up_to_magic = magic_position + 1;

std::int64_t saturating_difference(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (__builtin_sub_overflow(a, b, &result)) return b > 0 ? INT64_MIN : INT64_MAX;
    return result;
}

std::int64_t saturating_sum(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (__builtin_add_overflow(a, b, &result)) return b > 0 ? INT64_MAX : INT64_MIN;
    return result;
}

// The only batch of a request's records. What is cut off behind it is ignored, as Kafka does.
Result<RecordBatchView> only_batch(ByteView records) {
    std::optional<ByteView> first;
    std::int8_t magic = 0;
    for (ByteView rest = records; rest.size() >= log_overhead;) {
        const auto length = load_big_endian<std::int32_t>(rest.data() + batch_length_position);
        if (length < least_length_of_all_magics) {
            return Error{ErrorCode::corrupt_message,
                         fmt::format("a record batch has the impossible length {}", length)};
        }
        if (rest.size() < size_up_to_magic) break;
        magic = static_cast<std::int8_t>(rest[magic_position]);
        if (magic < 0 || magic > magic_v2) {
            return Error{ErrorCode::corrupt_message,
                         fmt::format("a record batch has the unknown magic {}", magic)};
        }
        const std::size_t size = log_overhead + static_cast<std::size_t>(length);
        if (size > rest.size()) break;
        if (first) {
            return Error{ErrorCode::invalid_record,
                         "more than one record batch for a partition; a Produce request may hold "
                         "exactly one"};
        }
        if (magic != magic_v2) {
            return Error{ErrorCode::invalid_record,
                         fmt::format("a record batch with magic {}; Produce requests of version 3 "
                                     "and above need magic 2",
                                     magic)};
        }
        first = rest.first(size);
        rest = rest.subspan(size);
    }
    if (!first) {
        return Error{ErrorCode::invalid_record,
                     fmt::format("no whole record batch in {} bytes of records", records.size())};
    }
    const auto base_offset = load_big_endian<std::int64_t>(first->data() + base_offset_position);
    if (base_offset != 0) {
        return Error{
            ErrorCode::invalid_record,
            fmt::format("the base offset of a produced batch must be 0, but is {}", base_offset)};
    }
    return RecordBatchView::parse(*first);
}

Status check_header(const RecordBatchView& batch, const ValidationRules& rules) {
    const auto refuse = [](ErrorCode code, std::string message) {
        return Error{code, std::move(message)};
    };
    if (batch.compression() == Compression::zstd && !rules.zstd_allowed) {
        return refuse(ErrorCode::unsupported_compression_type,
                      "zstd needs Produce requests of version 7 or above");
    }
    if (batch.size() > static_cast<std::size_t>(rules.max_message_bytes)) {
        return refuse(ErrorCode::message_too_large,
                      fmt::format("the record batch of {} bytes exceeds the topic's "
                                  "max.message.bytes of {}",
                                  batch.size(), rules.max_message_bytes));
    }
    if (const std::uint32_t computed = batch.computed_crc(); computed != batch.crc()) {
        return refuse(ErrorCode::corrupt_message,
                      fmt::format("the record batch says CRC-32C {:08x}, its bytes have {:08x}",
                                  batch.crc(), computed));
    }
    if (!batch.compression()) {
        return refuse(
            ErrorCode::unsupported_compression_type,
            fmt::format("there is no compression codec {}", batch.attributes() & compression_mask));
    }
    if (batch.size() > static_cast<std::size_t>(rules.segment_bytes)) {
        return refuse(ErrorCode::record_list_too_large,
                      fmt::format("the record batch of {} bytes exceeds the topic's segment.bytes "
                                  "of {}",
                                  batch.size(), rules.segment_bytes));
    }
    if (batch.record_count() <= 0 ||
        std::int64_t{batch.last_offset_delta()} + 1 != batch.record_count()) {
        return refuse(ErrorCode::invalid_record,
                      fmt::format("the record batch counts {} records, but its last offset delta "
                                  "is {}",
                                  batch.record_count(), batch.last_offset_delta()));
    }
    if (batch.is_control()) {
        return refuse(ErrorCode::invalid_record, "clients may not write control records");
    }
    if (batch.has_producer_id() &&
        (batch.base_sequence() < 0 || batch.producer_epoch().value() < 0)) {
        return refuse(ErrorCode::invalid_record,
                      fmt::format("producer {} sent epoch {} and base sequence {}; both must be 0 "
                                  "or above",
                                  batch.producer_id().value(), batch.producer_epoch().value(),
                                  batch.base_sequence()));
    }
    if (batch.is_transactional() && !batch.has_producer_id()) {
        return refuse(ErrorCode::invalid_record, "a transactional batch without producer id");
    }
    return {};
}

// What the walk over the records has found so far, and the rules that each record meets.
class RecordChecks {
public:
    RecordChecks(const RecordBatchView& batch, const ValidationRules& rules, WallTime now)
        : base_timestamp_(static_cast<std::uint64_t>(batch.base_timestamp().milliseconds)),
          needs_key_(rules.compacted),
          forged_append_time_(batch.timestamp_type() == TimestampType::log_append_time &&
                              rules.timestamp_type == TimestampType::log_append_time) {
        if (rules.timestamp_type == TimestampType::create_time) {
            earliest_ =
                saturating_difference(now.milliseconds, rules.timestamp_before_max_milliseconds);
            latest_ = saturating_sum(now.milliseconds, rules.timestamp_after_max_milliseconds);
        }
    }

    // A record that was read without fault, the next in order. Null, or what is wrong with it.
    const char* take(const RecordShape& shape) {
        if (shape.offset_delta != index_) [[unlikely]]
            return "has an offset out of order";
        const auto timestamp = static_cast<std::int64_t>(
            base_timestamp_ + static_cast<std::uint64_t>(shape.timestamp_delta));
        if (timestamp > max_timestamp_) {
            max_timestamp_ = timestamp;
            max_timestamp_index_ = index_;
        }
        const bool out_of_range = timestamp < earliest_ || timestamp > latest_;
        if ((needs_key_ && shape.key_size < 0) || (out_of_range && timestamp != -1) ||
            forged_append_time_) [[unlikely]] {
            blame(shape, timestamp);
        }
        ++index_;
        return nullptr;
    }

    std::int32_t index() const { return index_; }
    std::int64_t max_timestamp() const { return max_timestamp_; }
    std::int32_t max_timestamp_index() const { return max_timestamp_index_; }
    bool good() const { return blamed_count_ == 0; }

    RejectedBatch rejection() && {
        RejectedBatch rejected;
        rejected.error.code =
            timestamp_to_blame_ ? ErrorCode::invalid_timestamp : ErrorCode::invalid_record;
        rejected.error.message = fmt::format("{} of {} records are refused, the first because {}",
                                             blamed_count_, index_, record_errors_.front().message);
        rejected.record_errors = std::move(record_errors_);
        return rejected;
    }

private:
    void blame(const RecordShape& shape, std::int64_t timestamp) {
        ++blamed_count_;
        std::string message;
        if (needs_key_ && shape.key_size < 0) {
            message = fmt::format("record {} has no key, which a compacted topic needs", index_);
        } else if (forged_append_time_) {
            timestamp_to_blame_ = true;
            message =
                fmt::format("record {} claims LogAppendTime, which only a broker sets", index_);
        } else {
            timestamp_to_blame_ = true;
            message = fmt::format("the timestamp {} of record {} is outside of [{}, {}]", timestamp,
                                  index_, earliest_, latest_);
        }
        if (record_errors_.size() < max_record_errors) {
            record_errors_.push_back({index_, std::move(message)});
        }
    }

    const std::uint64_t base_timestamp_;  // Unsigned: sums with a hostile delta wrap, as in Java.
    const bool needs_key_;
    const bool forged_append_time_;
    std::int64_t earliest_ = INT64_MIN;
    std::int64_t latest_ = INT64_MAX;
    std::int32_t index_ = 0;
    std::int64_t max_timestamp_ = -1;
    std::int32_t max_timestamp_index_ = 0;
    std::int64_t blamed_count_ = 0;
    bool timestamp_to_blame_ = false;
    std::vector<RecordError> record_errors_;
};

Error faulty_record(std::int32_t index, std::string_view what) {
    return Error{ErrorCode::invalid_record, fmt::format("record {} {}", index, what)};
}

Status walk(ByteView records, std::int32_t record_count, RecordChecks& checks) {
    const std::uint8_t* at = records.data();
    const std::uint8_t* const end = at + records.size();
    while (checks.index() < record_count) {
        std::int32_t size = 0;
        const std::uint8_t* const body = read_varint(at, end, size);
        if (!body) return faulty_record(checks.index(), "is missing");
        if (size < 0 || size > end - body) {
            return faulty_record(checks.index(), "has a length beyond the batch's end");
        }
        SpanCursor cursor(body, body + size);
        RecordShape shape;
        NoParts parts;
        const char* fault = parse_record_body(cursor, shape, parts);
        if (!fault) fault = checks.take(shape);
        if (fault) return faulty_record(checks.index(), fault);
        at = body + size;
    }
    if (at != end) return faulty_record(record_count, "is one more than the batch counts");
    return {};
}

// The content of a compressed batch, seen through a window of fixed size.
class InflatedContent {
public:
    InflatedContent(Codecs& codecs, std::size_t limit)
        : codecs_(codecs), window_(codecs.window()), limit_(limit) {}

    // Inflates until `count` bytes are visible; false at the content's end or an error.
    bool ensure(std::size_t count) {
        if (end_ - begin_ >= count) return true;
        std::copy(window_.begin() + static_cast<long>(begin_),
                  window_.begin() + static_cast<long>(end_), window_.begin());
        end_ -= begin_;
        begin_ = 0;
        while (!ended_ && !error_ && end_ < count) {
            auto read = codecs_.read(window_.subspan(end_));
            if (!read.ok()) {
                error_ = read.error();
            } else if (*read == 0) {
                ended_ = true;
            } else {
                end_ += *read;
                total_ += *read;
                if (total_ > limit_) {
                    error_ =
                        Error{ErrorCode::message_too_large,
                              fmt::format("the records inflate to more than {} bytes", limit_)};
                }
            }
        }
        return !error_ && end_ >= count;
    }

    const std::uint8_t* at() const { return window_.data() + begin_; }
    const std::uint8_t* visible_end() const { return window_.data() + end_; }
    std::size_t visible() const { return end_ - begin_; }
    std::size_t window_size() const { return window_.size(); }
    // `count` bytes are visible.
    void consume(std::size_t count) { begin_ += count; }

    std::size_t total() const { return total_; }
    const std::optional<Error>& error() const { return error_; }

private:
    Codecs& codecs_;
    MutableByteView window_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t total_ = 0;
    std::size_t limit_;
    bool ended_ = false;
    std::optional<Error> error_;
};

// For a record that is larger than the window: its keys and values are skipped as they pass.
class InflatedCursor {
public:
    InflatedCursor(InflatedContent& content, std::size_t size) : content_(content), left_(size) {}

    bool at_end() const { return left_ == 0; }
    bool byte() { return skip(1); }
    bool varint(std::int32_t& value) { return number(value, read_varint); }
    bool varlong(std::int64_t& value) { return number(value, read_varlong); }
    // `count` is not negative.
    bool skip(std::int32_t count) {
        auto rest = static_cast<std::size_t>(count);
        if (rest > left_) return false;
        left_ -= rest;
        while (rest > 0) {
            if (!content_.ensure(1)) return false;
            const std::size_t part = std::min(rest, content_.visible());
            content_.consume(part);
            rest -= part;
        }
        return true;
    }

private:
    template <class Number, class Read>
    bool number(Number& value, Read read) {
        content_.ensure(std::min(left_, max_varlong_size));
        const std::uint8_t* const at = content_.at();
        const std::uint8_t* const after = read(at, at + std::min(left_, content_.visible()), value);
        if (!after) return false;
        left_ -= static_cast<std::size_t>(after - at);
        content_.consume(static_cast<std::size_t>(after - at));
        return true;
    }

    InflatedContent& content_;
    std::size_t left_;
};

Status walk_inflating(InflatedContent& content, std::int32_t record_count, RecordChecks& checks) {
    const auto refuse = [&](const char* what) {
        if (content.error()) return *content.error();
        return faulty_record(checks.index(), what);
    };
    while (checks.index() < record_count) {
        content.ensure(max_varint_size);
        std::int32_t signed_size = 0;
        const std::uint8_t* const body =
            read_varint(content.at(), content.visible_end(), signed_size);
        if (!body) return refuse("is missing");
        if (signed_size < 0) return refuse("has a negative length");
        const auto size = static_cast<std::size_t>(signed_size);
        content.consume(static_cast<std::size_t>(body - content.at()));

        RecordShape shape;
        NoParts parts;
        const char* fault = nullptr;
        if (size <= content.window_size()) {
            if (!content.ensure(size)) return refuse("has a length beyond the batch's end");
            SpanCursor cursor(content.at(), content.at() + size);
            fault = parse_record_body(cursor, shape, parts);
            content.consume(size);
        } else {
            InflatedCursor cursor(content, size);
            fault = parse_record_body(cursor, shape, parts);
        }
        if (!fault) fault = checks.take(shape);
        if (fault) return refuse(fault);
    }
    if (content.ensure(1)) return refuse("is one more than the batch counts");
    if (content.error()) return *content.error();
    return {};
}

// Seals a batch whose attributes, times or records were written anew.
Bytes sealed(Buffer&& batch) {
    const ByteView covered = batch.view().subspan(attributes_position);
    store_big_endian(batch.data() + crc_position, crc32c(covered));
    return Bytes(std::move(batch));
}

Buffer copied_header(const RecordBatchView& batch, std::size_t size) {
    Buffer copy(size);
    std::copy_n(batch.bytes().begin(), header_size, copy.data());
    store_big_endian(copy.data() + batch_length_position,
                     static_cast<std::int32_t>(size - log_overhead));
    return copy;
}

void write_times(std::uint8_t* header, TimestampType type, Compression compression,
                 WallTime max_timestamp) {
    auto attributes = load_big_endian<std::int16_t>(header + attributes_position);
    attributes = static_cast<std::int16_t>(attributes & ~(compression_mask | timestamp_type_bit));
    attributes = static_cast<std::int16_t>(attributes | static_cast<int>(compression));
    if (type == TimestampType::log_append_time) {
        attributes = static_cast<std::int16_t>(attributes | timestamp_type_bit);
    }
    store_big_endian(header + attributes_position, attributes);
    store_big_endian(header + max_timestamp_position, max_timestamp.milliseconds);
}

// The same batch with its records in the topic's codec. `inflated_size` was measured by the walk.
Result<Bytes> recoded(const RecordBatchView& batch, std::size_t inflated_size, Compression codec,
                      const ValidationRules& rules, WallTime max_timestamp, Codecs& codecs) {
    const auto too_large = [&](std::size_t size) {
        return Error{ErrorCode::message_too_large,
                     fmt::format("the record batch takes {} bytes in the topic's codec {}, which "
                                 "exceeds max.message.bytes of {}",
                                 size, compression_name(codec), rules.max_message_bytes)};
    };
    const auto limit =
        static_cast<std::size_t>(std::min(rules.max_message_bytes, rules.segment_bytes));
    if (codec == Compression::none && header_size + inflated_size > limit) {
        return too_large(header_size + inflated_size);
    }
    Bytes inflated;
    ByteView records = batch.records();
    if (batch.compression() != Compression::none) {
        PABAL_TRY_ASSIGN(inflated, codecs.decompress(*batch.compression(), records, inflated_size));
        records = inflated;
    }
    std::vector<std::uint8_t> compressed;
    if (codec != Compression::none) {
        codecs.compress(codec, rules.codec_level, records, compressed);
        records = compressed;
        if (header_size + records.size() > limit) return too_large(header_size + records.size());
    }
    Buffer copy = copied_header(batch, header_size + records.size());
    std::copy(records.begin(), records.end(), copy.data() + header_size);
    write_times(copy.data(), rules.timestamp_type, codec, max_timestamp);
    return sealed(std::move(copy));
}

ValidatedBatch summary(const RecordBatchView& batch, Bytes bytes) {
    ValidatedBatch validated;
    validated.bytes = std::move(bytes);
    validated.record_count = batch.record_count();
    validated.last_offset_delta = batch.last_offset_delta();
    validated.max_timestamp = batch.max_timestamp();
    validated.compression = batch.compression().value_or(Compression::none);
    validated.timestamp_type = batch.timestamp_type();
    validated.producer_id = batch.producer_id();
    validated.producer_epoch = batch.producer_epoch();
    validated.base_sequence = batch.base_sequence();
    validated.last_sequence = batch.last_sequence();
    validated.transactional = batch.is_transactional();
    validated.control = batch.is_control();
    return validated;
}

}  // namespace

RecordBatchView ValidatedBatch::view() const {
    return std::move(RecordBatchView::parse(bytes)).value();
}

Validated validate(const Bytes& records, const ValidationRules& rules, WallTime now,
                   Codecs& codecs) {
    const auto only = only_batch(records);
    if (!only.ok()) return RejectedBatch{only.error(), {}};
    const RecordBatchView& batch = *only;
    if (const Status header = check_header(batch, rules); !header.ok()) {
        return RejectedBatch{header.error(), {}};
    }

    const Compression source = *batch.compression();
    RecordChecks checks(batch, rules, now);
    std::size_t inflated_size = batch.records().size();
    Status walked;
    if (source == Compression::none) {
        walked = walk(batch.records(), batch.record_count(), checks);
    } else {
        codecs.begin(source, batch.records());
        InflatedContent content(codecs, rules.max_inflated_bytes);
        walked = walk_inflating(content, batch.record_count(), checks);
        inflated_size = content.total();
    }
    if (!walked.ok()) return RejectedBatch{walked.error(), {}};
    if (!checks.good()) return std::move(checks).rejection();

    const bool append_time = rules.timestamp_type == TimestampType::log_append_time;
    const WallTime max_timestamp = append_time ? now : WallTime{checks.max_timestamp()};
    const Compression target = rules.keep_codec ? source : rules.codec;

    Bytes bytes;
    if (target != source) {
        auto recoded_bytes = recoded(batch, inflated_size, target, rules, max_timestamp, codecs);
        if (!recoded_bytes.ok()) return RejectedBatch{recoded_bytes.error(), {}};
        bytes = std::move(recoded_bytes).value();
    } else if (append_time || max_timestamp != batch.max_timestamp() ||
               batch.timestamp_type() != rules.timestamp_type) {
        Buffer copy(batch.size());
        std::copy_n(batch.bytes().begin(), batch.size(), copy.data());
        write_times(copy.data(), rules.timestamp_type, source, max_timestamp);
        bytes = sealed(std::move(copy));
    } else {
        bytes = records.slice(0, batch.size());
    }
    ValidatedBatch validated = summary(batch, std::move(bytes));
    validated.max_timestamp = max_timestamp;
    validated.max_timestamp_offset_delta = append_time ? 0 : checks.max_timestamp_index();
    validated.compression = target;
    validated.timestamp_type = rules.timestamp_type;
    return validated;
}

ValidatedBatch trusted(const Bytes& batch) {
    const auto parsed = RecordBatchView::parse(batch);
    ASSERT(parsed.ok() && parsed->size() == batch.size() && parsed->compression(),
           "a batch of our own making is whole and alone");
    ValidatedBatch validated = summary(*parsed, batch);
    validated.max_timestamp_offset_delta = parsed->last_offset_delta();
    return validated;
}

}  // namespace pabal::record
