// A topic's configuration as the data path obeys it: strings become numbers once, when they change,
// and are never looked up while records flow. Immutable; shared by all partitions of the topic, and
// by all topics that override nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "log/partition_log.h"
#include "record/validation.h"

namespace pabal::runtime {

struct TopicConfig {
    log::LogConfig log;
    record::ValidationRules rules;
    std::int32_t min_in_sync_replicas = 1;
};

// `effective` answers with the value that holds for a topic's setting (topic override, broker,
// default), by the topic's name of the setting.
TopicConfig make_topic_config(
    const std::function<std::string(std::string_view setting)>& effective);

}  // namespace pabal::runtime
