#include "record/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "record/batch_builder.h"
#include "record/control_record.h"
#include "record/record_batch.h"
#include "tests/unit/record/golden_batches.h"

namespace pabal::record {
namespace {

using ::testing::ElementsAreArray;

constexpr std::size_t generous = 1 << 20;

// A record in one line, as a test reads it.
std::string described(const RecordView& record) {
    const auto text = [](std::optional<ByteView> part) {
        return part ? "'" + std::string(as_text(*part)) + "'" : std::string("null");
    };
    std::string line = std::to_string(record.offset.value()) + " @" +
                       std::to_string(record.timestamp.milliseconds) + " " + text(record.key) +
                       "=" + text(record.value);
    record.for_each_header([&](const RecordHeader& header) {
        line += " " + std::string(header.key) + ":" + text(header.value);
    });
    return line;
}

std::vector<std::string> records_of(const Bytes& bytes) {
    auto batch = RecordBatchView::parse(bytes);
    EXPECT_TRUE(batch.ok()) << batch.error().message;
    EXPECT_TRUE(batch->crc_is_right());
    Codecs codecs;
    auto records = inflate_records(bytes, *batch, codecs, generous);
    EXPECT_TRUE(records.ok()) << records.error().message;
    std::vector<std::string> lines;
    RecordReader reader(*batch, *records);
    for (;;) {
        auto record = reader.next();
        EXPECT_TRUE(record.ok()) << record.error().message;
        if (!record.ok() || !*record) return lines;
        lines.push_back(described(**record));
    }
}

std::vector<std::string> records_of_golden_batches() {
    const std::string repeated(64, 'a');
    std::vector<std::string> lines = {
        "0 @1700000000000 'key'='value'",
        "1 @1700000000500 null='no key'",
        "2 @1699999999000 'tombstone'=null",
        std::string("3 @1700000000250 'h'='' trace:'\x01\x02\x03' null:null"),
    };
    for (int offset = 4; offset < 8; ++offset) {
        lines.push_back(std::to_string(offset) + " @1700000000000 'repeat'='" + repeated + "'");
    }
    return lines;
}

Bytes golden_bytes(std::string_view hex) {
    return Bytes::copy_of(ByteView(golden::bytes_of(hex)));
}

void append_golden_records(RecordBatchBuilder& builder) {
    const auto at = [](std::int64_t milliseconds) { return WallTime{milliseconds}; };
    builder.append(at(1700000000000), as_bytes("key"), as_bytes("value"));
    builder.append(at(1700000000500), std::nullopt, as_bytes("no key"));
    builder.append(at(1699999999000), as_bytes("tombstone"), std::nullopt);
    const std::uint8_t trace[] = {1, 2, 3};
    const RecordHeader headers[] = {{"trace", ByteView(trace)}, {"null", std::nullopt}};
    builder.append(at(1700000000250), as_bytes("h"), as_bytes(""), headers);
    const std::string repeated(64, 'a');
    for (int i = 0; i < 4; ++i) {
        builder.append(at(1700000000000), as_bytes("repeat"), as_bytes(repeated));
    }
}

TEST(RecordReader, ReadsWhatTheJavaClientWroteWithEachCodec) {
    for (const auto hex : {golden::uncompressed, golden::transactional, golden::gzip,
                           golden::snappy, golden::lz4, golden::zstd}) {
        EXPECT_THAT(records_of(golden_bytes(hex)), ElementsAreArray(records_of_golden_batches()));
    }
}

TEST(RecordBatchBuilder, WritesTheBytesThatTheJavaClientWrites) {
    RecordBatchBuilder plain;
    append_golden_records(plain);
    EXPECT_EQ(plain.build(), golden_bytes(golden::uncompressed));

    BatchOptions options;
    options.producer_id = ProducerId(4711);
    options.producer_epoch = ProducerEpoch(3);
    options.base_sequence = 42;
    options.transactional = true;
    RecordBatchBuilder transactional(options);
    append_golden_records(transactional);
    EXPECT_EQ(transactional.build(), golden_bytes(golden::transactional));
}

TEST(RecordBatchBuilder, RoundTripsThroughEachCodec) {
    Codecs codecs;
    for (int id = 0; id < compression_count; ++id) {
        BatchOptions options;
        options.compression = static_cast<Compression>(id);
        RecordBatchBuilder builder(options);
        for (int round = 0; round < 2; ++round) {
            append_golden_records(builder);
            const Bytes batch = builder.build(codecs);
            EXPECT_THAT(records_of(batch), ElementsAreArray(records_of_golden_batches()))
                << compression_name(options.compression);
        }
    }
}

TEST(RecordBatchBuilder, LeavesTheGapsOfCompaction) {
    RecordBatchBuilder builder({.base_offset = Offset(100)});
    builder.append_at(3, WallTime{5}, as_bytes("a"), as_bytes("1"));
    builder.append_at(9, WallTime{4}, as_bytes("b"), as_bytes("2"));
    builder.cover(20);
    const Bytes batch = builder.build();
    EXPECT_THAT(records_of(batch), testing::ElementsAre("103 @5 'a'='1'", "109 @4 'b'='2'"));
    const auto view = std::move(RecordBatchView::parse(batch)).value();
    EXPECT_EQ(view.last_offset(), Offset(120));
    EXPECT_EQ(view.record_count(), 2);
    EXPECT_EQ(view.max_timestamp(), WallTime{5});
}

TEST(RecordBatchBuilder, GivesEachRecordTheTimeOfTheAppendIfAsked) {
    RecordBatchBuilder builder(
        {.timestamp_type = TimestampType::log_append_time, .append_time = WallTime{77}});
    builder.append(WallTime{5}, std::nullopt, as_bytes("v"));
    EXPECT_THAT(records_of(builder.build()), testing::ElementsAre("0 @77 null='v'"));
}

TEST(RecordReader, RefusesEachTruncation) {
    const Bytes batch = golden_bytes(golden::uncompressed);
    const auto view = std::move(RecordBatchView::parse(batch)).value();
    const ByteView records = view.records();
    for (std::size_t size = 0; size < records.size(); ++size) {
        RecordReader reader(view, records.first(size));
        bool refused = false;
        for (int i = 0; i < view.record_count() && !refused; ++i) refused = !reader.next().ok();
        EXPECT_TRUE(refused) << size;
    }
}

TEST(ControlRecord, EndsATransactionAsTheJavaBrokerDoes) {
    const Bytes marker = end_transaction_marker(ControlRecordType::commit, ProducerId(4711),
                                                ProducerEpoch(3), 9, WallTime{1700000000000});
    const auto view = std::move(RecordBatchView::parse(marker)).value();
    // As a log would append it.
    const auto prefix = patched_prefix(view, Offset(7), LeaderEpoch(5));
    Buffer appended(marker.size());
    std::copy(marker.begin(), marker.end(), appended.data());
    std::copy(prefix.begin(), prefix.end(), appended.data());
    EXPECT_EQ(Bytes(std::move(appended)), golden_bytes(golden::end_transaction));
}

TEST(ControlRecord, TellsItsTypeAndEpoch) {
    for (int type = 0; type <= 6; ++type) {
        const auto key = control_record_key(static_cast<ControlRecordType>(type));
        EXPECT_EQ(control_record_type(key), static_cast<ControlRecordType>(type));
        EXPECT_FALSE(control_record_type(ByteView(key).first(3)));
    }
    EXPECT_FALSE(control_record_type(golden::bytes_of("00000007")));
    EXPECT_FALSE(control_record_type(golden::bytes_of("ffff0001")));
    EXPECT_EQ(marker_coordinator_epoch(golden::bytes_of("000000000009")), 9);
    EXPECT_FALSE(marker_coordinator_epoch(golden::bytes_of("0000000000")));
}

}  // namespace
}  // namespace pabal::record
