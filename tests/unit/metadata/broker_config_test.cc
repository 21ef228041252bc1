#include "metadata/broker_config.h"

#include <gtest/gtest.h>

#include "base/prng.h"
#include "metadata/meta_properties.h"

namespace pabal::metadata {
namespace {

using Properties = std::map<std::string, std::string>;

Properties minimal() {
    return {{"node.id", "0"},
            {"process.roles", "broker,controller"},
            {"listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"},
            {"controller.listener.names", "CONTROLLER"}};
}
Properties with(Properties extra) {
    extra.merge(minimal());
    return extra;
}
std::string refusal(Properties properties) {
    auto config = BrokerConfig::parse(properties);
    if (config.ok()) return "accepted";
    EXPECT_EQ(config.error().code, ErrorCode::invalid_config);
    return config.error().message;
}

TEST(BrokerConfig, reads_a_minimal_file) {
    auto config = BrokerConfig::parse(minimal());
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->node_id(), BrokerId(0));
    EXPECT_TRUE(config->is_broker() && config->is_controller());
    ASSERT_EQ(config->listeners().size(), 2u);
    EXPECT_FALSE(config->listeners()[0].controller);
    EXPECT_TRUE(config->listeners()[1].controller);
    EXPECT_EQ(config->listeners()[0].advertised.port, 9092);
    EXPECT_EQ(config->inter_broker_listener(), "PLAINTEXT");
    EXPECT_EQ(config->log_directories(), std::vector<std::string>{"/tmp/kafka-logs"});
    EXPECT_EQ(config->metadata_log_directory(), "/tmp/kafka-logs");
    EXPECT_EQ(config->integer("num.partitions"), 1);
    EXPECT_FALSE(config->is_set("num.partitions"));
    EXPECT_TRUE(config->boolean("auto.create.topics.enable"));
}

TEST(BrokerConfig, listeners) {
    auto config = BrokerConfig::parse(with(
        {{"listeners", "INSIDE://[::1]:0, OUT://:19092, CONTROLLER://:9093"},
         {"advertised.listeners", "OUT://example.org:443"},
         {"listener.security.protocol.map", "INSIDE:PLAINTEXT,OUT:PLAINTEXT,CONTROLLER:PLAINTEXT"},
         {"inter.broker.listener.name", "OUT"}}));
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->listeners()[0].bind.host, "::1");
    EXPECT_EQ(config->listeners()[0].bind.port, 0);
    EXPECT_EQ(config->listeners()[1].bind.host, "");
    EXPECT_EQ(config->listeners()[1].advertised.host, "example.org");
    EXPECT_EQ(config->listeners()[1].advertised.port, 443);
    EXPECT_EQ(config->inter_broker_listener(), "OUT");
}

TEST(BrokerConfig, refuses_with_a_sentence_that_helps) {
    auto names = [](const std::string& message, const std::string& part) {
        return message.find(part) != std::string::npos ? std::string("ok") : message;
    };
    EXPECT_EQ(names(refusal({}), "must be set"), "ok");
    EXPECT_EQ(names(refusal(with({{"num.partitions", "none"}})), "num.partitions"), "ok");
    EXPECT_EQ(names(refusal(with({{"process.roles", "broker"}})), "controller.quorum.voters"),
              "ok");
    EXPECT_EQ(names(refusal(with({{"listeners", "localhost:9092"}})), "NAME://HOST:PORT"), "ok");
    EXPECT_EQ(names(refusal(with({{"listeners", "PLAINTEXT://h:99999,CONTROLLER://h:1"}})), "port"),
              "ok");
    EXPECT_EQ(names(refusal(with({{"listeners", "PLAINTEXT://h:1,CONTROLLER://h:1"}})), "twice"),
              "ok");
    EXPECT_EQ(names(refusal(with({{"listeners", "SSL://h:1,CONTROLLER://h:2"}})), "PLAINTEXT only"),
              "ok");
    EXPECT_EQ(names(refusal(with({{"listeners", "FOO://h:1,CONTROLLER://h:2"}})), "FOO"), "ok");
    EXPECT_EQ(names(refusal(with({{"listeners", "CONTROLLER://h:2"}})), "none for clients"), "ok");
    EXPECT_EQ(names(refusal(with({{"controller.listener.names", "OTHER"}})), "OTHER"), "ok");
    EXPECT_EQ(names(refusal(with({{"advertised.listeners", "OUT://h:1"}})), "OUT"), "ok");
    EXPECT_EQ(names(refusal(with({{"advertised.listeners", "PLAINTEXT://0.0.0.0:1"}})), "0.0.0.0"),
              "ok");
    EXPECT_EQ(names(refusal(with({{"log.dirs", "/a,/b,/a"}})), "/a"), "ok");
    EXPECT_EQ(names(refusal(with({{"broker.id", "4"}})), "broker.id"), "ok");
    EXPECT_EQ(names(refusal(with({{"controller.quorum.voters", "1@h:1"}})), "1@h:1"), "ok");
    EXPECT_EQ(names(refusal(with({{"controller.quorum.voters", "0@h"}})), "ID@HOST:PORT"), "ok");
    EXPECT_EQ(names(refusal(with({{"controller.quorum.voters", "0@h:1,0@g:1"}})), "twice"), "ok");
    EXPECT_EQ(refusal(with({{"controller.quorum.voters", "0@localhost:9093"}})), "accepted");
    const std::string voters = "0@a:9093,1@b:9093,2@c:9093";
    EXPECT_EQ(refusal(with({{"controller.quorum.voters", voters}})), "accepted");
    const std::map<std::string, std::string> broker{
        {"process.roles", "broker"}, {"node.id", "7"}, {"controller.quorum.voters", voters}};
    EXPECT_EQ(names(refusal(with(broker)), "CONTROLLER"), "ok");
    auto alone = broker;
    alone["listeners"] = "PLAINTEXT://h:1";
    EXPECT_EQ(refusal(with(alone)), "accepted");
    alone["node.id"] = "1";
    EXPECT_EQ(names(refusal(with(alone)), "add controller"), "ok");
    std::map<std::string, std::string> controller{{"process.roles", "controller"},
                                                  {"controller.quorum.voters", voters}};
    EXPECT_EQ(names(refusal(with(controller)), "no broker"), "ok");
    controller["listeners"] = "CONTROLLER://h:1";
    EXPECT_EQ(refusal(with(controller)), "accepted");
}

TEST(BrokerConfig, warns_of_what_nobody_obeys) {
    std::vector<std::string> warnings;
    auto config = BrokerConfig::parse(with({{"num.network.threads", "3"}, {"num.partition", "3"}}),
                                      &warnings);
    ASSERT_TRUE(config.ok());
    ASSERT_EQ(warnings.size(), 2u);
    EXPECT_NE(warnings[1].find("num.partitions"), std::string::npos) << warnings[1];
}

TEST(ConfigView, a_topic_falls_back_in_kafkas_units) {
    auto config = BrokerConfig::parse(with({{"log.retention.hours", "2"}}));
    ASSERT_TRUE(config.ok());
    ClusterImage image;
    EXPECT_EQ(ConfigView(*config, image).topic_integer("t", "retention.ms"), 7'200'000);
    auto forever = BrokerConfig::parse(with({{"log.retention.hours", "-1"}}));
    EXPECT_EQ(ConfigView(*forever, image).topic_integer("t", "retention.ms"), -1);
    auto finer =
        BrokerConfig::parse(with({{"log.retention.hours", "2"}, {"log.retention.minutes", "3"}}));
    EXPECT_EQ(ConfigView(*finer, image).topic_integer("t", "retention.ms"), 180'000);
}

TEST(ConfigView, every_default_can_be_read_and_described) {
    auto config = BrokerConfig::parse(minimal());
    ClusterImage image;
    const ConfigView view(*config, image);
    EXPECT_GT(view.describe_broker().size(), 50u);
    for (const EffectiveConfig& topic : view.describe_topic("t")) {
        EXPECT_TRUE(topic.value) << topic.name;
        EXPECT_EQ(topic.source, ConfigSource::default_value) << topic.name;
        EXPECT_FALSE(topic.read_only);
        EXPECT_TRUE(validate_config(ResourceType::topic, topic.name, *topic.value).ok())
            << topic.name;
    }
}

TEST(MetaProperties, round_trip_and_kafkas_own) {
    Prng random(1);
    const MetaProperties ours{"EP8WngEXDoF8-VjB0OyKHA", BrokerId(3),
                              DirectoryId(Uuid::random(random))};
    auto read = MetaProperties::parse(ours.text());
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(*read, ours);
    auto kafka = MetaProperties::parse(
        "#\n#Sat Nov 21 11:50:02 UTC 2026\nnode.id=1\ndirectory.id=EIXF5NxCWBtx-Zq7OuYNnA\n"
        "version=1\ncluster.id=EP8WngEXDoF8-VjB0OyKHA\n");
    ASSERT_TRUE(kafka.ok()) << kafka.error().message;
    EXPECT_EQ(kafka->node_id, BrokerId(1));
    EXPECT_FALSE(MetaProperties::parse("version=0\nbroker.id=1\n").ok());
    EXPECT_FALSE(MetaProperties::parse("version=1\nnode.id=x\ncluster.id=c\n").ok());
    EXPECT_FALSE(MetaProperties::parse("").ok());
}

}  // namespace
}  // namespace pabal::metadata
