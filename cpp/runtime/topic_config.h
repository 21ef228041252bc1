// A topic's configuration as the data path obeys it: strings become numbers once, when they change,
// and are never looked up while records flow. Immutable; shared by all partitions of the topic, and
// by all topics that override nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "log/partition_log.h"
#include "record/validation.h"

namespace pabal::metadata {
class ConfigView;
}

namespace pabal::runtime {

// `leader.replication.throttled.replicas` and its like: PARTITION:BROKER,... or * (KIP-73).
struct ThrottledReplicas {
    bool all = false;
    std::vector<std::pair<PartitionIndex, BrokerId>> some;

    bool holds(PartitionIndex partition, BrokerId broker) const {
        return all ||
               std::find(some.begin(), some.end(), std::pair(partition, broker)) != some.end();
    }
};

struct TopicConfig {
    log::LogConfig log;
    record::ValidationRules rules;
    std::int32_t min_in_sync_replicas = 1;
    ThrottledReplicas throttled_leaders;
    ThrottledReplicas throttled_followers;
};

// `topic` need not exist: what holds for one that overrides nothing.
TopicConfig make_topic_config(const metadata::ConfigView& view, std::string_view topic);

}  // namespace pabal::runtime
