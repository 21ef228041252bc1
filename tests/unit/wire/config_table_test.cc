#include "wire/config_table.h"

#include <gtest/gtest.h>

namespace pabal::wire {
namespace {

const ConfigRow& topic(std::string_view name) {
    const ConfigRow* row = find_config(ConfigScope::topic, name);
    EXPECT_NE(row, nullptr) << name;
    return *row;
}
const ConfigRow& broker(std::string_view name) {
    const ConfigRow* row = find_config(ConfigScope::broker, name);
    EXPECT_NE(row, nullptr) << name;
    return *row;
}

std::string refusal(const ConfigRow& row, std::string_view text) {
    const auto result = parse_config(row, text);
    if (result.ok()) return "";
    EXPECT_EQ(result.error().code, ErrorCode::invalid_config);
    return result.error().message;
}

TEST(ConfigTable, EveryDefaultIsAValueOfItsRow) {
    for (const ConfigRow& row : config_table()) {
        EXPECT_FALSE(row.doc.empty()) << row.name;
        EXPECT_FALSE(row.required && row.default_value) << row.name;
        if (row.default_value) {
            EXPECT_EQ(refusal(row, *row.default_value), "");
        }
        if (row.default_value != row.kafka_default) {
            EXPECT_FALSE(row.reason.empty()) << row.name;
        }
    }
}

TEST(ConfigTable, TopicSettingsFallBackOnBrokerSettings) {
    const auto synonyms = topic("retention.ms").synonyms;
    ASSERT_EQ(synonyms.size(), 3u);
    EXPECT_EQ(synonyms[0].name, "log.retention.ms");
    EXPECT_EQ(synonyms[2].name, "log.retention.hours");
    EXPECT_EQ(synonyms[2].factor, 3'600'000);
    for (const ConfigRow& row : config_table())
        for (const ConfigSynonym& synonym : row.synonyms)
            EXPECT_NE(find_config(ConfigScope::broker, synonym.name), nullptr) << synonym.name;
}

TEST(ConfigTable, ScopesAreApart) {
    EXPECT_EQ(find_config(ConfigScope::broker, "retention.ms"), nullptr);
    EXPECT_EQ(find_config(ConfigScope::topic, "log.retention.ms"), nullptr);
}

TEST(ConfigValues, AreTyped) {
    EXPECT_EQ(std::get<std::int64_t>(*parse_config(topic("retention.ms"), " -1 ")), -1);
    EXPECT_EQ(std::get<bool>(*parse_config(broker("delete.topic.enable"), "FALSE")), false);
    EXPECT_EQ(std::get<std::string>(*parse_config(topic("compression.type"), "zstd")), "zstd");
    EXPECT_EQ(std::get<std::vector<std::string>>(*parse_config(broker("log.dirs"), "/a, /b")),
              (std::vector<std::string>{"/a", "/b"}));
}

TEST(ConfigValues, AreRefusedWithASentence) {
    EXPECT_EQ(refusal(topic("retention.ms"), "soon"),
              "retention.ms cannot be 'soon': it takes a whole number");
    EXPECT_EQ(refusal(topic("retention.ms"), "-2"),
              "retention.ms cannot be '-2': it takes a number at least -1");
    EXPECT_EQ(refusal(topic("compression.zstd.level"), "23"),
              "compression.zstd.level cannot be '23': it takes a number between -131072 and 22");
    EXPECT_EQ(refusal(topic("compression.gzip.level"), "0"),
              "compression.gzip.level cannot be '0': it takes a number between 1 and 9, or -1");
    EXPECT_EQ(refusal(topic("segment.bytes"), "2147483648"),
              "segment.bytes cannot be '2147483648': it takes a number of at most 2147483647");
    EXPECT_EQ(refusal(topic("retention.ms"), "99999999999999999999"),
              "retention.ms cannot be '99999999999999999999': it takes a number of at most "
              "9223372036854775807");
    EXPECT_EQ(refusal(topic("message.timestamp.type"), "Whenever"),
              "message.timestamp.type cannot be 'Whenever': it takes CreateTime or LogAppendTime");
    EXPECT_EQ(refusal(topic("preallocate"), "true"),
              "preallocate cannot be 'true': not served yet, as no byte beyond the end of the log "
              "may stand in a .log file");
    EXPECT_EQ(refusal(topic("cleanup.policy"), "delete,compact"), "");
    EXPECT_EQ(refusal(topic("min.cleanable.dirty.ratio"), "1.5"),
              "min.cleanable.dirty.ratio cannot be '1.5': it takes a number between 0 and 1");
    EXPECT_EQ(refusal(topic("preallocate"), "yes"),
              "preallocate cannot be 'yes': it takes true or false");
    for (const char* text : {"", "+", "-", "+-1", "1x", "0x1", "1.5"})
        EXPECT_NE(refusal(topic("flush.ms"), text), "") << text;
    EXPECT_NE(refusal(broker("log.dirs"), "/a,,/b"), "");
    EXPECT_NE(refusal(broker("process.roles"), "broker,broker"), "");
}

TEST(ConfigNames, UnknownOnesAreCorrected) {
    EXPECT_EQ(unknown_config(ConfigScope::topic, "retention.sm").message,
              "There is no topic setting 'retention.sm'; did you mean 'retention.ms'?");
    EXPECT_EQ(unknown_config(ConfigScope::topic, "blue").message,
              "There is no topic setting 'blue'");
    EXPECT_EQ(unknown_config(ConfigScope::topic, "remote.storage.enable").message,
              "The topic setting 'remote.storage.enable' is Kafka's, but not served yet");
    EXPECT_LT(unknown_config(ConfigScope::topic, std::string(30'000, 'x')).message.size(), 200u);
}

TEST(ConfigNames, OfKafkaAreKnownAndUnused) {
    EXPECT_TRUE(is_unused_config(ConfigScope::broker, "num.io.threads"));
    EXPECT_TRUE(is_unused_config(ConfigScope::broker, "listener.name.internal.ssl.keystore.type"));
    EXPECT_FALSE(is_unused_config(ConfigScope::broker, "node.id"));
    EXPECT_FALSE(is_unused_config(ConfigScope::topic, "num.io.threads"));
}

}  // namespace
}  // namespace pabal::wire
