#include "record/record_batch.h"

#include <gtest/gtest.h>

#include <vector>

#include "record/batch_builder.h"
#include "tests/unit/record/golden_batches.h"

namespace pabal::record {
namespace {

TEST(RecordBatchView, ReadsEachFieldOfTheHeader) {
    const auto bytes = golden::bytes_of(golden::transactional);
    const auto batch = std::move(RecordBatchView::parse(bytes)).value();
    EXPECT_EQ(batch.base_offset(), Offset(0));
    EXPECT_EQ(batch.last_offset(), Offset(7));
    EXPECT_EQ(batch.next_offset(), Offset(8));
    EXPECT_EQ(batch.batch_length(), 0x1b4);
    EXPECT_EQ(batch.size(), bytes.size());
    EXPECT_EQ(batch.leader_epoch(), no_leader_epoch);
    EXPECT_EQ(batch.magic(), 2);
    EXPECT_EQ(batch.crc(), 0x7eba7ee7u);
    EXPECT_TRUE(batch.crc_is_right());
    EXPECT_EQ(batch.compression(), Compression::none);
    EXPECT_EQ(batch.timestamp_type(), TimestampType::create_time);
    EXPECT_TRUE(batch.is_transactional());
    EXPECT_FALSE(batch.is_control());
    EXPECT_FALSE(batch.delete_horizon());
    EXPECT_EQ(batch.last_offset_delta(), 7);
    EXPECT_EQ(batch.base_timestamp(), WallTime{1700000000000});
    EXPECT_EQ(batch.max_timestamp(), WallTime{1700000000500});
    EXPECT_EQ(batch.producer_id(), ProducerId(4711));
    EXPECT_EQ(batch.producer_epoch(), ProducerEpoch(3));
    EXPECT_EQ(batch.base_sequence(), 42);
    EXPECT_EQ(batch.last_sequence(), 49);
    EXPECT_EQ(batch.record_count(), 8);
    EXPECT_EQ(batch.records().size(), bytes.size() - header_size);
}

TEST(RecordBatchView, TellsTheCodecAndTheControlBit) {
    const auto compression = [](std::string_view hex) {
        const auto bytes = golden::bytes_of(hex);
        return std::move(RecordBatchView::parse(bytes)).value().compression();
    };
    EXPECT_EQ(compression(golden::gzip), Compression::gzip);
    EXPECT_EQ(compression(golden::snappy), Compression::snappy);
    EXPECT_EQ(compression(golden::lz4), Compression::lz4);
    EXPECT_EQ(compression(golden::zstd), Compression::zstd);
    const auto marker = golden::bytes_of(golden::end_transaction);
    EXPECT_TRUE(std::move(RecordBatchView::parse(marker)).value().is_control());
    auto unknown = golden::bytes_of(golden::gzip);
    unknown[attributes_position + 1] = 5;
    EXPECT_FALSE(std::move(RecordBatchView::parse(unknown)).value().compression());
}

TEST(RecordBatchView, KeepsTheDeleteHorizonOfCompaction) {
    RecordBatchBuilder builder({.delete_horizon = WallTime{1000}});
    builder.append(WallTime{250}, as_bytes("k"), std::nullopt);
    const Bytes bytes = builder.build();
    const auto batch = std::move(RecordBatchView::parse(bytes)).value();
    EXPECT_EQ(batch.delete_horizon(), WallTime{1000});
    EXPECT_EQ(batch.max_timestamp(), WallTime{250});
}

TEST(RecordBatchView, RefusesWhatCannotBeAHeader) {
    auto bytes = golden::bytes_of(golden::uncompressed);
    EXPECT_EQ(RecordBatchView::parse(ByteView(bytes).first(header_size - 1)).error().code,
              ErrorCode::corrupt_message);
    // Records may be missing; the header is enough.
    const auto header = RecordBatchView::parse(ByteView(bytes).first(header_size));
    ASSERT_TRUE(header.ok());
    EXPECT_FALSE(header->is_whole());
    bytes[magic_position] = 1;
    EXPECT_EQ(RecordBatchView::parse(bytes).error().code, ErrorCode::corrupt_message);
    bytes[magic_position] = 2;
    bytes[batch_length_position] = 0x80;
    EXPECT_EQ(RecordBatchView::parse(bytes).error().code, ErrorCode::corrupt_message);
    for (const std::int64_t offset : {std::int64_t{-1}, INT64_MAX, INT64_MAX - INT32_MAX}) {
        bytes = golden::bytes_of(golden::uncompressed);
        store_big_endian(bytes.data() + base_offset_position, offset);
        EXPECT_EQ(RecordBatchView::parse(bytes).error().code, ErrorCode::corrupt_message);
    }
}

TEST(BatchWalker, RefusesABatchThatEndsBeforeItStarts) {
    auto bytes = golden::bytes_of(golden::uncompressed);
    store_big_endian(bytes.data() + last_offset_delta_position, std::int32_t{-1});
    EXPECT_EQ(BatchWalker(bytes).next().error().code, ErrorCode::corrupt_message);
}

TEST(RecordBatchView, NoticesEachChangedByteThatTheChecksumCovers) {
    auto bytes = golden::bytes_of(golden::uncompressed);
    for (std::size_t i = crc_position; i < bytes.size(); ++i) {
        bytes[i] ^= 0x10;
        EXPECT_FALSE(std::move(RecordBatchView::parse(bytes)).value().crc_is_right()) << i;
        bytes[i] ^= 0x10;
    }
}

TEST(RecordBatchView, SequencesStartAgainAtZero) {
    EXPECT_EQ(sequence_after(INT32_MAX, 1), 0);
    EXPECT_EQ(sequence_after(INT32_MAX - 1, 3), 1);
    EXPECT_EQ(sequence_after(5, 0), 5);
}

TEST(PatchedPrefix, IsOutsideOfTheChecksum) {
    auto bytes = golden::bytes_of(golden::lz4);
    const auto before = std::move(RecordBatchView::parse(bytes)).value();
    const auto prefix = patched_prefix(before, Offset(1'000'000'000'000), LeaderEpoch(17));
    std::copy(prefix.begin(), prefix.end(), bytes.begin());
    const auto after = std::move(RecordBatchView::parse(bytes)).value();
    EXPECT_EQ(after.base_offset(), Offset(1'000'000'000'000));
    EXPECT_EQ(after.leader_epoch(), LeaderEpoch(17));
    EXPECT_EQ(after.size(), bytes.size());
    EXPECT_TRUE(after.crc_is_right());
}

TEST(BatchWalker, WalksWholeBatchesAndStopsAtACutOne) {
    std::vector<std::uint8_t> bytes;
    std::vector<std::size_t> ends;
    for (const auto hex : {golden::uncompressed, golden::zstd, golden::transactional}) {
        const auto batch = golden::bytes_of(hex);
        bytes.insert(bytes.end(), batch.begin(), batch.end());
        ends.push_back(bytes.size());
    }
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
        BatchWalker walker(ByteView(bytes).first(size));
        std::size_t count = 0;
        for (;;) {
            const auto batch = walker.next();
            ASSERT_TRUE(batch.ok());
            if (!*batch) break;
            ASSERT_EQ(walker.position(), ends[count]);
            ++count;
        }
        std::size_t expected = 0;
        while (expected < ends.size() && ends[expected] <= size) ++expected;
        EXPECT_EQ(count, expected) << size;
        EXPECT_EQ(walker.remaining(), size - walker.position());
    }
    bytes[ends[0] + magic_position] = 9;
    BatchWalker walker{ByteView(bytes)};
    ASSERT_TRUE(walker.next().ok());
    EXPECT_EQ(walker.next().error().code, ErrorCode::corrupt_message);
}

}  // namespace
}  // namespace pabal::record
