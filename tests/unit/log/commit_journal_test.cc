#include "log/commit_journal.h"

#include <gtest/gtest.h>

#include "base/prng.h"
#include "log/file_name.h"
#include "log/journal_replay.h"
#include "tests/unit/log/log_world.h"

namespace pabal::log {
namespace {

const std::string top = "/data";
const std::string journal_path = "/data/pabal-journal";

Uuid uuid_of(std::uint8_t number) {
    Uuid uuid;
    uuid.bytes.fill(number);
    return uuid;
}
const DirectoryId directory_id{uuid_of(7)};
const TopicPartition orders{TopicId(uuid_of(1)), PartitionIndex(0)};

// One log directory with one partition, `orders-0`, and its journal.
struct JournalWorld {
    explicit JournalWorld(std::uint64_t capacity = least_journal_bytes) {
        disk.directories.insert(top);
        disk.directories.insert(directory);
        CommitJournal::Options options;
        options.directory = top;
        options.directory_id = directory_id;
        options.id = uuid_of(9);
        options.capacity_bytes = capacity;
        journal = std::make_unique<CommitJournal>(&disk, options);
        EXPECT_TRUE(journal->create().ok());
    }

    static JournalEntry entry(std::int64_t position, const std::string& bytes, Offset end,
                              Offset segment = Offset(0)) {
        JournalEntry made;
        made.partition = orders;
        made.directory = std::make_shared<const std::string>("orders-0");
        made.segment_base = segment;
        made.position = position;
        made.from = end - 1;
        made.end = end;
        made.head = Bytes::copy_of(std::string_view(bytes).substr(0, bytes.size() / 2));
        made.body = Bytes::copy_of(std::string_view(bytes).substr(bytes.size() / 2));
        return made;
    }
    void commit(std::vector<JournalEntry> entries, std::uint64_t tail = 1) {
        std::vector<const JournalEntry*> pointers;
        std::uint64_t bytes = 0;
        for (const auto& each : entries) {
            pointers.push_back(&each);
            bytes += each.size();
        }
        ASSERT_TRUE(journal->fits(bytes));
        ASSERT_TRUE(journal->append(pointers, tail).ok());
        ASSERT_TRUE(journal->sync().ok());
    }
    static IoResult<JournalReplay> replay(MemoryDisk& disk, Offset synced = Offset(0),
                                          DirectoryId id = directory_id) {
        return replay_journal(disk, top, id,
                              [&](const TopicPartition& partition, const std::string& name) {
                                  const bool known = partition == orders && name == "orders-0";
                                  return known ? std::optional(synced) : std::nullopt;
                              });
    }
    static std::string text_of(MemoryDisk& disk, Offset base = Offset(0)) {
        const auto path = file_path(directory, base, log_suffix);
        if (!disk.has(path)) return "none";
        const auto& bytes = disk.bytes(path);
        return std::string(bytes.begin(), bytes.end());
    }

    MemoryDisk disk;
    std::unique_ptr<CommitJournal> journal;
};

TEST(CommitJournal, what_it_holds_is_written_to_the_segments_again) {
    JournalWorld world;
    world.commit({JournalWorld::entry(0, "first ", Offset(1)),
                  JournalWorld::entry(6, "second ", Offset(2))});
    world.commit({JournalWorld::entry(13, "third", Offset(3))});
    const auto replayed = JournalWorld::replay(world.disk);
    ASSERT_TRUE(replayed.ok()) << replayed.error().message;
    EXPECT_EQ(JournalWorld::text_of(world.disk), "first second third");
    EXPECT_EQ(replayed->frames, 2u);
    EXPECT_EQ(replayed->entries, 3u);
    EXPECT_EQ(replayed->bytes, 18u);
    EXPECT_FALSE(world.disk.has(journal_path)) << "it has done its work";
}

TEST(CommitJournal, a_torn_segment_is_made_whole_and_what_follows_it_stays) {
    JournalWorld world;
    const auto path = file_path(directory, Offset(0), log_suffix);
    world.disk.files[path] = std::make_shared<MemoryDisk::Content>();
    const std::string torn("fir\0\0\0\0\0\0\0\0\0\0third", 18);
    world.disk.bytes(path).assign(torn.begin(), torn.end());
    world.commit({JournalWorld::entry(0, "first ", Offset(1))});
    world.commit({JournalWorld::entry(6, "second ", Offset(2))});
    ASSERT_TRUE(JournalWorld::replay(world.disk).ok());
    EXPECT_EQ(JournalWorld::text_of(world.disk), "first second third");
}

TEST(CommitJournal, what_is_older_than_its_segments_is_left_away) {
    JournalWorld world;
    world.commit({JournalWorld::entry(0, "first", Offset(1)),
                  JournalWorld::entry(0, "other", Offset(2), Offset(1))});
    // Compaction took the first away, after it had been synced.
    auto replayed = JournalWorld::replay(world.disk, Offset(1));
    ASSERT_TRUE(replayed.ok());
    EXPECT_EQ(JournalWorld::text_of(world.disk), "none");
    EXPECT_EQ(JournalWorld::text_of(world.disk, Offset(1)), "other");
}

TEST(CommitJournal, a_segment_that_retention_deleted_does_not_come_back) {
    JournalWorld world;
    world.disk.files[file_path(directory, Offset(5), log_suffix)] =
        std::make_shared<MemoryDisk::Content>();
    world.commit({JournalWorld::entry(0, "first", Offset(1)),
                  JournalWorld::entry(0, "fifth", Offset(6), Offset(5)),
                  // Of a segment that is not there, from its middle on.
                  JournalWorld::entry(10, "ninth", Offset(10), Offset(9))});
    ASSERT_TRUE(JournalWorld::replay(world.disk).ok());
    EXPECT_EQ(JournalWorld::text_of(world.disk), "none");
    EXPECT_EQ(JournalWorld::text_of(world.disk, Offset(5)), "fifth");
    EXPECT_EQ(JournalWorld::text_of(world.disk, Offset(9)), "none");
}

TEST(CommitJournal, nothing_before_a_reset_comes_back) {
    JournalWorld world;
    world.commit({JournalWorld::entry(0, "first leader's", Offset(1))});
    auto reset = JournalWorld::entry(0, "", Offset(0));
    reset.kind = JournalEntry::Kind::reset;
    world.commit({JournalWorld::entry(14, " more", Offset(2)), reset,
                  JournalWorld::entry(0, "second leader's", Offset(1))});
    ASSERT_TRUE(JournalWorld::replay(world.disk).ok());
    EXPECT_EQ(JournalWorld::text_of(world.disk), "second leader's");
}

TEST(CommitJournal, partitions_that_are_not_there_are_left_away) {
    JournalWorld world;
    auto deleted = JournalWorld::entry(0, "deleted", Offset(1));
    deleted.partition.topic = TopicId(uuid_of(2));
    auto moved = JournalWorld::entry(0, "moved", Offset(1));
    moved.directory = std::make_shared<const std::string>("orders-1");
    world.commit({deleted, moved});
    const auto replayed = JournalWorld::replay(world.disk);
    ASSERT_TRUE(replayed.ok());
    EXPECT_EQ(replayed->partitions, 0u);
    EXPECT_EQ(world.disk.files.size(), 0u);
}

TEST(CommitJournal, a_journal_of_another_directory_stops_the_start) {
    JournalWorld world;
    world.commit({JournalWorld::entry(0, "first", Offset(1))});
    const auto replayed = JournalWorld::replay(world.disk, Offset(0), DirectoryId(uuid_of(8)));
    ASSERT_FALSE(replayed.ok());
    EXPECT_NE(replayed.error().message.find("another log directory"), std::string::npos);
    EXPECT_TRUE(world.disk.has(journal_path));
}

// The journal is cut at every byte, as a crash before its sync may leave it: all frames that were
// synced before are there, and nothing else.
TEST(CommitJournal, every_torn_end_leaves_what_was_synced_before) {
    JournalWorld world;
    world.commit({JournalWorld::entry(0, "first ", Offset(1))});
    const auto before = world.disk.bytes(journal_path);
    world.commit({JournalWorld::entry(6, "second", Offset(2))});
    const auto after = world.disk.bytes(journal_path);
    std::size_t begin = 0;
    while (before[begin] == after[begin]) ++begin;
    std::size_t end = after.size();
    while (before[end - 1] == after[end - 1]) --end;
    ASSERT_LT(begin, end);
    for (std::size_t cut = begin; cut <= end; ++cut) {
        for (const bool prefix : {true, false}) {
            MemoryDisk disk(world.disk);
            auto& bytes = disk.bytes(journal_path);
            // Of the new frame only what lies below the cut is there, or only what lies above it.
            std::copy(before.begin() + (prefix ? static_cast<long>(cut) : 0),
                      before.begin() + static_cast<long>(prefix ? before.size() : cut),
                      bytes.begin() + (prefix ? static_cast<long>(cut) : 0));
            ASSERT_TRUE(JournalWorld::replay(disk).ok());
            const bool whole = prefix ? cut == end : cut == begin;
            ASSERT_EQ(JournalWorld::text_of(disk), whole ? "first second" : "first ") << cut;
        }
    }
}

TEST(CommitJournal, a_frame_that_was_synced_and_is_damaged_stops_the_start) {
    JournalWorld world;
    for (int i = 0; i < 3; ++i) world.commit({JournalWorld::entry(i, "x", Offset(i + 1))});
    for (const std::size_t position : {journal_block_bytes, 2 * journal_block_bytes}) {
        MemoryDisk disk(world.disk);
        disk.bytes(journal_path)[position + 60] ^= 1;
        const auto replayed = JournalWorld::replay(disk);
        ASSERT_FALSE(replayed.ok());
        EXPECT_NE(replayed.error().message.find("is damaged"), std::string::npos);
        EXPECT_TRUE(disk.has(journal_path));
    }
    // The newest may be one that nobody was told of.
    world.disk.bytes(journal_path)[3 * journal_block_bytes + 60] ^= 1;
    ASSERT_TRUE(JournalWorld::replay(world.disk).ok());
    EXPECT_EQ(JournalWorld::text_of(world.disk), "xx");
}

TEST(CommitJournal, a_file_without_a_header_is_none) {
    for (const std::size_t size : {0u, 100u, 4096u, 20000u}) {
        JournalWorld world;
        world.disk.bytes(journal_path).assign(size, 0);
        ASSERT_TRUE(JournalWorld::replay(world.disk).ok()) << size;
        EXPECT_FALSE(world.disk.has(journal_path));
    }
}

TEST(CommitJournal, a_batch_that_looks_like_a_frame_is_none) {
    JournalWorld stranger;
    stranger.commit({JournalWorld::entry(0, "forged", Offset(1))});
    const auto& forged = stranger.disk.bytes(journal_path);
    std::string block(forged.begin() + journal_block_bytes,
                      forged.begin() + 2 * journal_block_bytes);
    MemoryDisk disk;
    disk.directories = stranger.disk.directories;
    CommitJournal::Options options;
    options.directory = top;
    options.directory_id = directory_id;
    options.id = uuid_of(10);
    options.capacity_bytes = 1 << 20;
    CommitJournal journal(&disk, options);
    ASSERT_TRUE(journal.create().ok());
    // So long that what follows stands at a boundary of blocks.
    const std::size_t described = frame_header_bytes + entry_header_bytes + 8;
    const std::string before(2 * journal_block_bytes - described, 'a');
    const auto entry = JournalWorld::entry(0, before + block, Offset(1));
    const JournalEntry* pointer = &entry;
    ASSERT_TRUE(journal.append({&pointer, 1}, 1).ok());
    ASSERT_TRUE(journal.sync().ok());
    disk.bytes(journal_path)[journal_block_bytes + 20] ^= 1;
    ASSERT_TRUE(JournalWorld::replay(disk).ok());
    EXPECT_EQ(JournalWorld::text_of(disk), "none");
}

TEST(CommitJournal, blocks_are_used_again_once_a_synced_frame_says_that_they_may) {
    JournalWorld world;
    std::string expected;
    std::int64_t offset = 0;
    std::uint64_t tail = 1;
    Prng random(3);
    for (int round = 0; round < 300; ++round) {
        const std::string text(1 + random.below(9000), static_cast<char>('a' + round % 26));
        const auto entry =
            JournalWorld::entry(static_cast<std::int64_t>(expected.size()), text, Offset(++offset));
        if (!world.journal->fits(entry.size())) {
            // Everything so far is synced in its segments, and a frame has to say so.
            tail = world.journal->next_sequence();
            ASSERT_TRUE(world.journal->fits(0)) << "there is always room for that";
            world.commit({}, tail);
            MemoryDisk crashed(world.disk);
            ASSERT_TRUE(JournalWorld::replay(crashed, Offset(offset - 1)).ok());
            EXPECT_EQ(world.journal->synced_tail(), tail);
        }
        ASSERT_TRUE(world.journal->fits(entry.size()));
        expected += text;
        world.commit({entry}, tail);
        const auto path = file_path(directory, Offset(0), log_suffix);
        if (!world.disk.has(path)) world.disk.files[path] = std::make_shared<MemoryDisk::Content>();
        ASSERT_LE(world.disk.bytes(journal_path).size(), least_journal_bytes);
        // A crash now loses nothing: what is before the tail is in the segment.
        MemoryDisk crashed(world.disk);
        ASSERT_TRUE(JournalWorld::replay(crashed).ok());
        ASSERT_EQ(JournalWorld::text_of(crashed), expected) << round;
        world.disk.bytes(path).assign(expected.begin(), expected.end());
    }
}

}  // namespace
}  // namespace pabal::log
