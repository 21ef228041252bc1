#include "record/validation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/big_endian.h"
#include "base/crc32c.h"
#include "base/prng.h"
#include "base/varint.h"
#include "record/batch_builder.h"
#include "record/control_record.h"
#include "record/record.h"
#include "tests/unit/record/golden_batches.h"
#include "tests/unit/record/naive_walk.h"

namespace pabal::record {
namespace {

constexpr WallTime now{1'700'000'001'000};

using Raw = std::vector<std::uint8_t>;

// Makes the CRC right again after a change that only a deeper check should notice.
Raw sealed(Raw batch) {
    store_big_endian(batch.data() + crc_position,
                     crc32c(ByteView(batch).subspan(attributes_position)));
    return batch;
}

template <class Integer>
Raw with(Raw batch, std::size_t position, Integer value) {
    store_big_endian(batch.data() + position, value);
    return sealed(std::move(batch));
}

Raw raw(const Bytes& bytes) {
    return {bytes.begin(), bytes.end()};
}

Expected<ValidatedBatch, RejectedBatch> validated(const Raw& batch,
                                                  const ValidationRules& rules = {}) {
    static Codecs codecs;
    return validate(Bytes::copy_of(ByteView(batch)), rules, now, codecs);
}

ErrorCode code_of(const Raw& batch, const ValidationRules& rules = {}) {
    const auto result = validated(batch, rules);
    return result.ok() ? ErrorCode::none : result.error().error.code;
}

Raw golden_batch() {
    return golden::bytes_of(golden::uncompressed);
}

// A batch of one record whose body, after the length, is `body`.
Raw batch_of_body(const Raw& body, Compression compression = Compression::none) {
    RecordBatchBuilder builder;
    builder.append(now, std::nullopt, std::nullopt);
    Raw batch = raw(builder.build());
    batch.resize(header_size);
    Raw records(max_varint_size);
    records.resize(static_cast<std::size_t>(
        write_varint(records.data(), static_cast<std::int32_t>(body.size())) - records.data()));
    records.insert(records.end(), body.begin(), body.end());
    Codecs codecs;
    codecs.compress(compression, default_compression_level, records, batch);
    batch[attributes_position + 1] = static_cast<std::uint8_t>(compression);
    return with(batch, batch_length_position,
                static_cast<std::int32_t>(batch.size() - log_overhead));
}

TEST(Validate, AcceptsWhatTheJavaClientSendsAndKeepsItsBytes) {
    for (const auto hex : {golden::uncompressed, golden::transactional, golden::gzip,
                           golden::snappy, golden::lz4, golden::zstd}) {
        const Raw batch = golden::bytes_of(hex);
        const auto result = validated(batch);
        ASSERT_TRUE(result.ok()) << result.error().error.message;
        EXPECT_EQ(raw(result->bytes), batch);
        EXPECT_EQ(result->record_count, 8);
        EXPECT_EQ(result->last_offset_delta, 7);
        EXPECT_EQ(result->max_timestamp, WallTime{1'700'000'000'500});
        EXPECT_EQ(result->max_timestamp_offset_delta, 1);
        EXPECT_EQ(result->view().size(), batch.size());
    }
    const auto transactional = validated(golden::bytes_of(golden::transactional));
    EXPECT_TRUE(transactional->transactional);
    EXPECT_EQ(transactional->producer_id, ProducerId(4711));
    EXPECT_EQ(transactional->producer_epoch, ProducerEpoch(3));
    EXPECT_EQ(transactional->base_sequence, 42);
    EXPECT_EQ(transactional->last_sequence, 49);
}

TEST(Validate, CopiesNothingOfABatchThatStaysAsItIs) {
    const Bytes bytes = Bytes::copy_of(ByteView(golden_batch()));
    Codecs codecs;
    const auto result = validate(bytes, {}, now, codecs);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->bytes.data(), bytes.data());
}

TEST(Validate, WantsExactlyOneWholeBatch) {
    const Raw batch = golden_batch();
    Raw two = batch;
    two.insert(two.end(), batch.begin(), batch.end());
    EXPECT_EQ(code_of(two), ErrorCode::invalid_record);
    EXPECT_EQ(code_of({}), ErrorCode::invalid_record);
    for (std::size_t size = 0; size < batch.size(); ++size) {
        EXPECT_EQ(code_of(Raw(batch.begin(), batch.begin() + static_cast<long>(size))),
                  ErrorCode::invalid_record)
            << size;
    }
    // A second batch that is cut off is left away, as Kafka does.
    two.pop_back();
    const auto result = validated(two);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(raw(result->bytes), batch);
}

TEST(Validate, ChecksTheHeader) {
    const Raw batch = golden_batch();
    EXPECT_EQ(code_of(with(batch, magic_position, std::int8_t{1})), ErrorCode::invalid_record);
    EXPECT_EQ(code_of(with(batch, magic_position, std::int8_t{3})), ErrorCode::corrupt_message);
    EXPECT_EQ(code_of(with(batch, magic_position, std::int8_t{-1})), ErrorCode::corrupt_message);
    EXPECT_EQ(code_of(with(batch, batch_length_position, 13)), ErrorCode::corrupt_message);
    EXPECT_EQ(code_of(with(batch, batch_length_position, -1)), ErrorCode::corrupt_message);
    EXPECT_EQ(code_of(with(batch, batch_length_position, INT32_MAX)), ErrorCode::invalid_record);
    Raw headless(batch.begin(), batch.begin() + 40);
    store_big_endian(headless.data() + batch_length_position, std::int32_t{28});
    EXPECT_EQ(code_of(headless), ErrorCode::corrupt_message);
    EXPECT_EQ(code_of(with(batch, base_offset_position, std::int64_t{1})),
              ErrorCode::invalid_record);
    EXPECT_EQ(code_of(with(batch, record_count_position, 7)), ErrorCode::invalid_record);
    EXPECT_EQ(code_of(with(batch, record_count_position, 0)), ErrorCode::invalid_record);
    EXPECT_EQ(code_of(with(batch, last_offset_delta_position, 8)), ErrorCode::invalid_record);
    EXPECT_EQ(code_of(with(with(batch, last_offset_delta_position, 8), record_count_position, 9)),
              ErrorCode::invalid_record);
    EXPECT_EQ(code_of(with(with(batch, last_offset_delta_position, 6), record_count_position, 7)),
              ErrorCode::invalid_record);
    EXPECT_EQ(code_of(with(batch, attributes_position, control_bit)), ErrorCode::invalid_record);
    EXPECT_EQ(code_of(with(batch, attributes_position, transactional_bit)),
              ErrorCode::invalid_record);
    EXPECT_EQ(code_of(with(batch, producer_id_position, std::int64_t{5})),
              ErrorCode::invalid_record);
    for (std::int16_t codec = 5; codec < 8; ++codec) {
        EXPECT_EQ(code_of(with(batch, attributes_position, codec)),
                  ErrorCode::unsupported_compression_type);
    }
    EXPECT_EQ(code_of(golden::bytes_of(golden::zstd), {.zstd_allowed = false}),
              ErrorCode::unsupported_compression_type);
    EXPECT_EQ(code_of(golden::bytes_of(golden::lz4), {.zstd_allowed = false}), ErrorCode::none);
    EXPECT_EQ(code_of(raw(end_transaction_marker(ControlRecordType::commit, ProducerId(1),
                                                 ProducerEpoch(0), 0, now))),
              ErrorCode::invalid_record);
}

TEST(Validate, ChecksTheChecksumOfEachByte) {
    Raw batch = golden_batch();
    for (std::size_t i = crc_position; i < batch.size(); ++i) {
        batch[i] ^= 0x01;
        EXPECT_EQ(code_of(batch), ErrorCode::corrupt_message) << i;
        batch[i] ^= 0x01;
    }
}

TEST(Validate, BoundsTheSize) {
    const Raw batch = golden_batch();
    const auto size = static_cast<std::int32_t>(batch.size());
    EXPECT_EQ(code_of(batch, {.max_message_bytes = size}), ErrorCode::none);
    EXPECT_EQ(code_of(batch, {.max_message_bytes = size - 1}), ErrorCode::message_too_large);
    EXPECT_EQ(code_of(batch, {.segment_bytes = size}), ErrorCode::none);
    EXPECT_EQ(code_of(batch, {.segment_bytes = size - 1}), ErrorCode::record_list_too_large);
}

TEST(Validate, NamesEachKeylessRecordOfACompactedTopic) {
    for (const auto hex : {golden::uncompressed, golden::zstd}) {
        const auto result = validated(golden::bytes_of(hex), {.compacted = true});
        ASSERT_FALSE(result.ok());
        EXPECT_EQ(result.error().error.code, ErrorCode::invalid_record);
        ASSERT_EQ(result.error().record_errors.size(), 1u);
        EXPECT_EQ(result.error().record_errors[0].batch_index, 1);
    }
}

TEST(Validate, NamesEachTimestampOutOfRange) {
    ValidationRules rules;
    rules.timestamp_before_max_milliseconds = 1'500;
    rules.timestamp_after_max_milliseconds = INT64_MAX;
    auto result = validated(golden_batch(), rules);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().error.code, ErrorCode::invalid_timestamp);
    ASSERT_EQ(result.error().record_errors.size(), 1u);
    EXPECT_EQ(result.error().record_errors[0].batch_index, 2);
    rules.timestamp_before_max_milliseconds = 2'000;
    EXPECT_TRUE(validated(golden_batch(), rules).ok());

    RecordBatchBuilder builder;
    builder.append(WallTime{now.milliseconds + 3'600'000}, std::nullopt, as_bytes("v"));
    EXPECT_TRUE(validated(raw(builder.build())).ok());
    builder.append(WallTime{now.milliseconds + 3'600'001}, std::nullopt, as_bytes("v"));
    EXPECT_EQ(code_of(raw(builder.build())), ErrorCode::invalid_timestamp);
    // A record without a timestamp may be written whatever the limits.
    builder.append(WallTime{-1}, std::nullopt, as_bytes("v"));
    result = validated(raw(builder.build()), {.timestamp_before_max_milliseconds = 10});
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->max_timestamp, WallTime{-1});
    // Both kinds of fault: the timestamp decides the code.
    builder.append(WallTime{0}, as_bytes("k"), as_bytes("v"));
    builder.append(now, std::nullopt, as_bytes("v"));
    EXPECT_EQ(
        code_of(raw(builder.build()), {.timestamp_before_max_milliseconds = 10, .compacted = true}),
        ErrorCode::invalid_timestamp);
}

TEST(Validate, LetsNoProducerClaimLogAppendTime) {
    const Raw claim = with(golden_batch(), attributes_position, std::int16_t{timestamp_type_bit});
    EXPECT_EQ(code_of(claim, {.timestamp_type = TimestampType::log_append_time}),
              ErrorCode::invalid_timestamp);
    // A topic with create time takes the claim back, as Kafka does.
    const auto result = validated(claim);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(raw(result->bytes), golden_batch());
}

TEST(Validate, TellsNoMoreRecordErrorsThanItsBound) {
    RecordBatchBuilder builder;
    for (int i = 0; i < 5'000; ++i) builder.append(now, std::nullopt, as_bytes("v"));
    const auto result = validated(raw(builder.build()), {.compacted = true});
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().record_errors.size(), max_record_errors);
}

TEST(Validate, CorrectsTheMaximumTimestampOfTheHeader) {
    for (const auto hex : {golden::uncompressed, golden::gzip}) {
        const Raw batch = golden::bytes_of(hex);
        const auto result = validated(with(batch, max_timestamp_position, std::int64_t{1}));
        ASSERT_TRUE(result.ok());
        EXPECT_EQ(raw(result->bytes), batch);
    }
}

TEST(Validate, WritesTheAppendTimeWhenTheTopicAsks) {
    for (const auto hex : {golden::uncompressed, golden::snappy, golden::transactional}) {
        const auto result =
            validated(golden::bytes_of(hex), {.timestamp_type = TimestampType::log_append_time});
        ASSERT_TRUE(result.ok());
        EXPECT_EQ(result->timestamp_type, TimestampType::log_append_time);
        EXPECT_EQ(result->max_timestamp, now);
        EXPECT_EQ(result->max_timestamp_offset_delta, 0);
        const auto view = result->view();
        EXPECT_EQ(view.timestamp_type(), TimestampType::log_append_time);
        EXPECT_EQ(view.max_timestamp(), now);
        EXPECT_TRUE(view.crc_is_right());
        Codecs codecs;
        const auto records = inflate_records(result->bytes, view, codecs, 1 << 20);
        RecordReader reader(view, *records);
        EXPECT_EQ((*reader.next())->timestamp, now);
    }
}

TEST(Validate, WritesTheCodecThatTheTopicAsksFor) {
    const std::string_view sources[] = {golden::uncompressed, golden::gzip, golden::snappy,
                                        golden::lz4, golden::zstd};
    const Raw plain = golden_batch();
    const Raw plain_records(plain.begin() + header_size, plain.end());
    for (const auto source : sources) {
        for (int target = 0; target < compression_count; ++target) {
            ValidationRules rules;
            rules.keep_codec = false;
            rules.codec = static_cast<Compression>(target);
            const auto result = validated(golden::bytes_of(source), rules);
            ASSERT_TRUE(result.ok()) << result.error().error.message;
            EXPECT_EQ(result->compression, rules.codec);
            const auto view = result->view();
            EXPECT_TRUE(view.crc_is_right());
            EXPECT_EQ(view.compression(), rules.codec);
            EXPECT_EQ(view.record_count(), 8);
            Codecs codecs;
            const auto records = inflate_records(result->bytes, view, codecs, 1 << 20);
            ASSERT_TRUE(records.ok());
            EXPECT_EQ(raw(*records), plain_records);
            // What was written is itself valid, and the same again.
            EXPECT_EQ(raw(validated(raw(result->bytes), rules)->bytes), raw(result->bytes));
        }
    }
    const auto zstd = golden::bytes_of(golden::zstd);
    EXPECT_EQ(code_of(zstd, {.max_message_bytes = static_cast<std::int32_t>(zstd.size()),
                             .keep_codec = false,
                             .codec = Compression::none}),
              ErrorCode::message_too_large);
}

TEST(Validate, BoundsWhatABatchInflatesTo) {
    const std::string zeros(8 << 20, '\0');
    Codecs codecs;
    for (int id = 1; id < compression_count; ++id) {
        RecordBatchBuilder builder({.compression = static_cast<Compression>(id)});
        builder.append(now, std::nullopt, as_bytes(zeros));
        const Raw batch = raw(builder.build(codecs));
        EXPECT_EQ(code_of(batch, {.max_inflated_bytes = 1 << 20}), ErrorCode::message_too_large);
        // A record larger than the window is skipped through, and found good.
        EXPECT_EQ(code_of(batch), ErrorCode::none);
        EXPECT_EQ(code_of(batch, {.compacted = true}), ErrorCode::invalid_record);
    }
}

TEST(Validate, ChecksTheStructureOfEachRecord) {
    struct Case {
        const char* what;
        const char* body;  // Attributes, timestamp delta, offset delta, key, value, headers.
        ErrorCode code;
    };
    const Case cases[] = {
        {"null key and value", "000000010100", ErrorCode::none},
        {"empty key and value", "000000000000", ErrorCode::none},
        {"attributes that nobody defined", "ff0000010100", ErrorCode::none},
        {"one header", "000000010102026b0276", ErrorCode::none},
        {"a header without value", "000000010102026b01", ErrorCode::none},
        {"an offset delta other than 0", "000002010100", ErrorCode::invalid_record},
        {"a key of size -2", "000000030100", ErrorCode::invalid_record},
        {"a value of size -2", "000000010300", ErrorCode::invalid_record},
        {"a negative count of headers", "000000010101", ErrorCode::invalid_record},
        {"a header key of size -1", "00000001010201", ErrorCode::invalid_record},
        {"a header value of size -2", "000000010102026b03", ErrorCode::invalid_record},
        {"more headers than bytes", "0000000101feffffff0f", ErrorCode::invalid_record},
        {"a key beyond the record", "000000080100", ErrorCode::invalid_record},
        {"a value beyond the record", "000000010a00", ErrorCode::invalid_record},
        {"a trailing byte", "00000001010000", ErrorCode::invalid_record},
        {"a missing count of headers", "0000000101", ErrorCode::invalid_record},
        {"an endless timestamp delta", "00ffffffffffffffffffffff", ErrorCode::invalid_record},
        {"an endless offset delta", "0000ffffffffffff", ErrorCode::invalid_record},
        {"nothing", "", ErrorCode::invalid_record},
    };
    for (const Case& each : cases) {
        const Raw body = golden::bytes_of(each.body);
        EXPECT_EQ(code_of(batch_of_body(body)), each.code) << each.what;
        EXPECT_EQ(code_of(batch_of_body(body, Compression::lz4)), each.code) << each.what;
    }
}

TEST(Validate, RefusesCompressionThatIsDamaged) {
    for (const auto hex : {golden::gzip, golden::snappy, golden::lz4, golden::zstd}) {
        const Raw batch = golden::bytes_of(hex);
        for (std::size_t size = header_size; size < batch.size(); ++size) {
            Raw cut(batch.begin(), batch.begin() + static_cast<long>(size));
            cut = with(cut, batch_length_position, static_cast<std::int32_t>(size - log_overhead));
            EXPECT_EQ(code_of(cut), ErrorCode::invalid_record) << size;
        }
    }
}

// Random damage behind a right checksum: the tight walk, the walk through the window and a plain
// reading of the format always agree.
TEST(Validate, AgreesWithANaiveWalkOnDamagedBatches) {
    Prng random(99);
    Codecs codecs;
    const Raw good = golden_batch();
    int accepted = 0;
    for (int round = 0; round < 30'000; ++round) {
        Raw batch = good;
        for (std::uint64_t change = random.below(3) + 1; change > 0; --change) {
            const std::size_t at = header_size + random.below(batch.size() - header_size);
            batch[at] = static_cast<std::uint8_t>(
                random.chance(1, 2) ? random.next() : batch[at] + random.below(3) - 1);
        }
        batch = sealed(std::move(batch));
        ValidationRules rules;
        rules.timestamp_after_max_milliseconds = INT64_MAX;
        const bool expected = naive_walk(ByteView(batch).subspan(header_size), 8);
        ASSERT_EQ(code_of(batch, rules) == ErrorCode::none, expected) << round;
        accepted += expected;

        Raw compressed(batch.begin(), batch.begin() + header_size);
        codecs.compress(Compression::zstd, 1, ByteView(batch).subspan(header_size), compressed);
        compressed[attributes_position + 1] = static_cast<std::uint8_t>(Compression::zstd);
        compressed = with(compressed, batch_length_position,
                          static_cast<std::int32_t>(compressed.size() - log_overhead));
        ASSERT_EQ(code_of(compressed, rules) == ErrorCode::none, expected) << round;
    }
    EXPECT_GT(accepted, 1'000);
}

TEST(Trusted, SummarisesABatchOfOurOwn) {
    const auto marker = trusted(
        end_transaction_marker(ControlRecordType::abort, ProducerId(8), ProducerEpoch(2), 4, now));
    EXPECT_TRUE(marker.control);
    EXPECT_TRUE(marker.transactional);
    EXPECT_EQ(marker.producer_id, ProducerId(8));
    EXPECT_EQ(marker.record_count, 1);
    EXPECT_EQ(marker.max_timestamp, now);
    EXPECT_EQ(marker.last_sequence, no_sequence);
}

}  // namespace
}  // namespace pabal::record
