#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/ids.h"

namespace pabal {
namespace {

using ::testing::ElementsAre;

TEST(Logger, WritesLevelEventAndFields) {
    KeptLogSink sink;
    const Logger log(sink);
    log.info("partition opened", {{"topic", "orders"},
                                  {"partition", PartitionIndex(3)},
                                  {"log_end_offset", Offset(1'000'000'000'000)},
                                  {"clean", true},
                                  {"seconds", 0.25},
                                  {"segments", std::size_t{7}}});
    log.error("disk full");
    EXPECT_THAT(sink.lines(),
                ElementsAre("level=info event=\"partition opened\" topic=orders partition=3 "
                            "log_end_offset=1000000000000 clean=true seconds=0.25 segments=7",
                            "level=error event=\"disk full\""));
}

TEST(Logger, QuotesWhatWouldBreakALine) {
    KeptLogSink sink;
    Logger(sink).info("x", {{"a", ""},
                            {"b", "two words"},
                            {"c", "say \"no\""},
                            {"d", "line\nend"},
                            {"e", std::string("\x01")},
                            {"f", "k=v"}});
    EXPECT_THAT(sink.lines(),
                ElementsAre("level=info event=x a=\"\" b=\"two words\" c=\"say \\\"no\\\"\" "
                            "d=\"line\\nend\" e=\"\\x01\" f=\"k=v\""));
}

TEST(Logger, HandsFieldsDown) {
    KeptLogSink sink;
    const Logger node = Logger(sink).with({{"node_id", BrokerId(2)}});
    const Logger shard = node.with({{"shard", 0}});
    shard.warning("slow", {{"ms", 40}});
    node.debug("idle");
    EXPECT_THAT(sink.lines(), ElementsAre("level=warning event=slow node_id=2 shard=0 ms=40",
                                          "level=debug event=idle node_id=2"));
}

TEST(Logger, WritesNothingBelowItsLevel) {
    KeptLogSink sink(LogLevel::warning);
    const Logger log(sink);
    log.debug("d");
    log.info("i");
    log.warning("w");
    EXPECT_FALSE(log.writes(LogLevel::info));
    sink.set_least_level(LogLevel::debug);
    log.debug("now");
    EXPECT_EQ(sink.lines().size(), 2u);
    Logger().with({{"a", 1}}).error("into nothing");
}

TEST(StreamLogSink, StampsTheTime) {
    std::FILE* const file = std::tmpfile();
    ASSERT_NE(file, nullptr);
    StreamLogSink sink(file, LogLevel::info, [] { return WallTime{1'700'000'000'042}; });
    Logger(sink).info("started");
    std::rewind(file);
    char line[100] = {};
    ASSERT_NE(std::fgets(line, sizeof line, file), nullptr);
    EXPECT_STREQ(line, "time=1700000000.042 level=info event=started\n");
    std::fclose(file);
}

}  // namespace
}  // namespace pabal
