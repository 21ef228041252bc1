// A topic's configuration as the data path obeys it: strings become numbers once, when they change,
// and are never looked up while records flow. Immutable; shared by all partitions of the topic, and
// by all topics that override nothing.
#pragma once

#include <cstdint>
#include <string_view>

#include "log/partition_log.h"
#include "record/validation.h"

namespace pabal::metadata {
class ConfigView;
}

namespace pabal::runtime {

struct TopicConfig {
    log::LogConfig log;
    record::ValidationRules rules;
    std::int32_t min_in_sync_replicas = 1;
};

// `topic` need not exist: what holds for one that overrides nothing.
TopicConfig make_topic_config(const metadata::ConfigView& view, std::string_view topic);

}  // namespace pabal::runtime
