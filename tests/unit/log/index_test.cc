#include <gtest/gtest.h>

#include <map>

#include "base/prng.h"
#include "log/offset_index.h"
#include "log/time_index.h"
#include "log/transaction_index.h"
#include "tests/unit/log/memory_disk.h"

namespace pabal::log {
namespace {

const std::string path = "/data/t-0/00000000000000000100.index";

// A naive twin answers every question by looking at all entries.
TEST(OffsetIndexTest, FindsWhatALinearSearchFinds) {
    for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6, 7, 8}) {
        Prng random(seed);
        MemoryDisk disk;
        const Offset base(100);
        auto index = std::make_unique<OffsetIndex>(disk, path, base, 0);
        std::vector<OffsetPosition> twin;
        std::int64_t offset = 100;
        std::int64_t position = 0;
        for (int step = 0; step < 3000; ++step) {
            const auto what = random.below(100);
            if (what < 70) {
                offset += 1 + static_cast<std::int64_t>(random.below(50));
                position += 100 + static_cast<std::int64_t>(random.below(5000));
                index->append(Offset(offset), position);
                index->file().write_if_due();
                twin.push_back({Offset(offset), position});
            } else if (what < 72) {
                ASSERT_TRUE(index->file().write().ok());
            } else if (what < 74 && !twin.empty() && step % 7 == 0) {
                const auto cut = twin[random.below(twin.size())].position;
                ASSERT_TRUE(index->truncate_to_position(cut).ok());
                std::erase_if(twin, [&](const auto& entry) { return entry.position >= cut; });
                offset = twin.empty() ? 100 : twin.back().offset.value();
                position = twin.empty() ? 0 : twin.back().position;
            } else if (what < 76) {
                ASSERT_TRUE(index->file().write().ok());
                const auto size = disk.has(path) ? disk.bytes(path).size() : 0;
                index = std::make_unique<OffsetIndex>(disk, path, base, size);
                ASSERT_TRUE(index->load().ok());
            } else {
                ASSERT_EQ(index->count(), twin.size());
                const Offset wanted(100 + static_cast<std::int64_t>(random.below(
                                              static_cast<std::uint64_t>(offset - 98))));
                OffsetPosition expected{base, 0};
                for (const auto& entry : twin)
                    if (entry.offset <= wanted) expected = entry;
                auto found = index->floor_of_offset(wanted);
                ASSERT_TRUE(found.ok()) << found.error().message;
                ASSERT_EQ(*found, expected);
                const auto at = static_cast<std::int64_t>(
                    random.below(static_cast<std::uint64_t>(position + 2)));
                expected = {base, 0};
                for (const auto& entry : twin)
                    if (entry.position <= at) expected = entry;
                found = index->floor_of_position(at);
                ASSERT_TRUE(found.ok());
                ASSERT_EQ(*found, expected);
            }
        }
    }
}

TEST(OffsetIndexTest, TakesPreallocatedZerosForEmptySpace) {
    for (const std::size_t entries : {0, 1, 2, 63, 64, 65, 1000}) {
        MemoryDisk disk;
        {
            OffsetIndex index(disk, path, Offset(100), 0);
            for (std::size_t i = 0; i < entries; ++i)
                index.append(Offset(110 + static_cast<std::int64_t>(i)),
                             5000 + 10 * static_cast<int>(i));
            ASSERT_TRUE(index.file().write().ok());
        }
        disk.files.try_emplace(path, std::make_shared<MemoryDisk::Content>());
        disk.bytes(path).resize(10 << 20);
        OffsetIndex index(disk, path, Offset(100), 10 << 20);
        ASSERT_TRUE(index.load().ok());
        EXPECT_EQ(index.count(), entries);
        index.append(Offset(5000), 1 << 20);
        ASSERT_TRUE(index.file().write().ok());
        EXPECT_EQ(disk.bytes(path).size(), (entries + 1) * OffsetIndex::entry_size);
    }
}

TEST(OffsetIndexTest, WritesKafkasFormat) {
    MemoryDisk disk;
    OffsetIndex index(disk, path, Offset(100), 0);
    index.append(Offset(0x01020304 + 100), 0x05060708);
    ASSERT_TRUE(index.file().write().ok());
    EXPECT_EQ(disk.bytes(path), (std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(IndexFileTest, KeepsWhatAFullDiskDidNotTake) {
    MemoryDisk disk;
    OffsetIndex index(disk, path, Offset(100), 0);
    for (int i = 0; i < 10; ++i) index.append(Offset(101 + i), 4100 * (i + 1));
    disk.free_space = 13;
    EXPECT_FALSE(index.file().write().ok());
    EXPECT_EQ(index.count(), 10u);
    disk.free_space = INT64_MAX;
    ASSERT_TRUE(index.file().write().ok());
    EXPECT_EQ(disk.bytes(path).size(), 80u);
    EXPECT_EQ(index.entry(9)->offset, Offset(110));
}

TEST(TimeIndexTest, HoldsOnlyLargerTimestampsAndFindsTheLastBelow) {
    MemoryDisk disk;
    TimeIndex index(disk, "/data/t-0/00000000000000000100.timeindex", Offset(100), 0);
    ASSERT_TRUE(index.load().ok());
    index.append_if_larger({1000, Offset(105)});
    index.append_if_larger({1000, Offset(110)});
    index.append_if_larger({900, Offset(112)});
    index.append_if_larger({2000, Offset(120)});
    EXPECT_EQ(index.count(), 2u);
    EXPECT_EQ(*index.floor(1000), (TimestampOffset{-1, Offset(100)}));
    EXPECT_EQ(*index.floor(1001), (TimestampOffset{1000, Offset(105)}));
    EXPECT_EQ(*index.floor(INT64_MAX), (TimestampOffset{2000, Offset(120)}));
    ASSERT_TRUE(index.truncate_to_offset(Offset(120)).ok());
    EXPECT_EQ(index.last(), (TimestampOffset{1000, Offset(105)}));
}

TEST(TransactionIndexTest, RoundTripsInKafkasSizeAndTruncates) {
    MemoryDisk disk;
    const std::string file = "/data/t-0/00000000000000000000.txnindex";
    const AbortedTransactionEntry first{ProducerId(7), Offset(1), Offset(9), Offset(10)};
    const AbortedTransactionEntry second{ProducerId(8), Offset(4), Offset(20), Offset(21)};
    {
        TransactionIndex index(disk, file, 0);
        ASSERT_TRUE(index.append(first).ok());
        ASSERT_TRUE(index.append(second).ok());
    }
    EXPECT_EQ(disk.bytes(file).size(), 68u);
    disk.bytes(file).push_back(0);  // A torn third one.
    TransactionIndex index(disk, file, disk.bytes(file).size());
    EXPECT_EQ(*index.read_all(), (std::vector{first, second}));
    ASSERT_TRUE(index.truncate_to_offset(Offset(20)).ok());
    EXPECT_EQ(*index.read_all(), (std::vector{first}));
}

}  // namespace
}  // namespace pabal::log
