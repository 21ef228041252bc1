#include "runtime/topic_config.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "metadata/broker_config.h"

namespace pabal::runtime {
namespace {

// The level for a codec, as `compression.<codec>.level` says it.
int codec_level(const metadata::ConfigView& view, std::string_view topic,
                record::Compression codec) {
    switch (codec) {
        case record::Compression::gzip:
            return static_cast<int>(view.topic_integer(topic, "compression.gzip.level"));
        case record::Compression::lz4:
            return static_cast<int>(view.topic_integer(topic, "compression.lz4.level"));
        case record::Compression::zstd:
            return static_cast<int>(view.topic_integer(topic, "compression.zstd.level"));
        default: return record::default_compression_level;
    }
}

// What is no pair of numbers is nobody's replica.
ThrottledReplicas throttled(const std::vector<std::string>& words) {
    ThrottledReplicas replicas;
    for (const auto& word : words) {
        if (word == "*") replicas.all = true;
        std::int32_t numbers[2] = {0, 0};
        const char* const end = word.data() + word.size();
        const auto first = std::from_chars(word.data(), end, numbers[0]);
        if (first.ec != std::errc() || first.ptr == end || *first.ptr != ':') continue;
        const auto second = std::from_chars(first.ptr + 1, end, numbers[1]);
        if (second.ec != std::errc() || second.ptr != end) continue;
        replicas.some.emplace_back(PartitionIndex(numbers[0]), BrokerId(numbers[1]));
    }
    return replicas;
}

}  // namespace

TopicConfig make_topic_config(const metadata::ConfigView& view, std::string_view topic) {
    const auto integer = [&](std::string_view name) { return view.topic_integer(topic, name); };
    const auto small = [&](std::string_view name) {
        return static_cast<std::int32_t>(view.topic_integer(topic, name));
    };

    TopicConfig config;
    auto& log = config.log;
    log.segment_bytes = small("segment.bytes");
    log.segment_age = Duration::milliseconds(integer("segment.ms"));
    log.segment_jitter = Duration::milliseconds(integer("segment.jitter.ms"));
    log.segment_index_bytes = small("segment.index.bytes");
    log.index_interval_bytes = small("index.interval.bytes");
    log.max_message_bytes = small("max.message.bytes");
    log.retention_bytes = integer("retention.bytes");
    log.retention_milliseconds = integer("retention.ms");
    log.flush_messages = integer("flush.messages");
    log.flush_milliseconds = integer("flush.ms");
    log.file_delete_delay = Duration::milliseconds(integer("file.delete.delay.ms"));
    log.min_cleanable_dirty_ratio = view.topic_number(topic, "min.cleanable.dirty.ratio");
    log.min_compaction_lag_milliseconds = integer("min.compaction.lag.ms");
    log.max_compaction_lag_milliseconds = integer("max.compaction.lag.ms");
    log.delete_retention_milliseconds = integer("delete.retention.ms");
    log.producer_id_expiration =
        Duration::milliseconds(view.broker_integer("producer.id.expiration.ms"));

    auto& rules = config.rules;
    log.retention_deletes = false;
    for (const auto& policy : view.topic_list(topic, "cleanup.policy")) {
        if (policy == "delete") log.retention_deletes = true;
        if (policy == "compact") log.compacted = rules.compacted = true;
    }
    // Only what lies in a closed segment can be cleaned in time (KIP-354).
    if (log.compacted)
        log.segment_age =
            std::min(log.segment_age, Duration::milliseconds(log.max_compaction_lag_milliseconds));
    rules.max_message_bytes = log.max_message_bytes;
    rules.segment_bytes = log.segment_bytes;
    rules.timestamp_before_max_milliseconds = integer("message.timestamp.before.max.ms");
    rules.timestamp_after_max_milliseconds = integer("message.timestamp.after.max.ms");
    if (view.topic_value(topic, "message.timestamp.type") == "LogAppendTime")
        rules.timestamp_type = record::TimestampType::log_append_time;
    const auto codec = view.topic_value(topic, "compression.type").value_or("producer");
    if (const auto named = record::compression_named(codec)) {
        rules.keep_codec = false;
        rules.codec = *named;
        rules.codec_level = codec_level(view, topic, *named);
    }
    config.min_in_sync_replicas = small("min.insync.replicas");
    config.throttled_leaders =
        throttled(view.topic_list(topic, "leader.replication.throttled.replicas"));
    config.throttled_followers =
        throttled(view.topic_list(topic, "follower.replication.throttled.replicas"));
    return config;
}

}  // namespace pabal::runtime
