// ListOffsets: the offset that a timestamp, or a name for one, stands for.
//
// 1     one offset for each partition · 2 isolation level (KIP-98) · 4 leader epoch (KIP-320)
// 5     OFFSET_NOT_AVAILABLE of a new leader (KIP-207); a follower is told the log end offset
// 7     max timestamp (KIP-734) · 8 earliest local (KIP-405) · 9 latest tiered (KIP-1005)
// 10    timeout for tiered look-ups (KIP-1075) · 11 earliest pending upload (KIP-1023)
//
// There is no tiered storage: what is local is everything, and nothing is in another tier.
#include <set>

#include "broker/dispatch.h"
#include "runtime/partitions.h"
#include "wire/list_offsets.h"

namespace pabal::broker {
namespace {

using Asked = wire::ListOffsetsRequest::ListOffsetsPartition;
using Answered = wire::ListOffsetsResponse::ListOffsetsPartitionResponse;
using replication::Isolation;

constexpr std::int64_t latest = -1;
constexpr std::int64_t earliest = -2;
constexpr std::int64_t max_timestamp = -3;
constexpr std::int64_t earliest_local = -4;
constexpr std::int64_t latest_tiered = -5;
constexpr std::int64_t earliest_pending_upload = -6;

// The version from which on a name for a timestamp may be asked.
int first_version_of(std::int64_t timestamp) {
    switch (timestamp) {
        case max_timestamp: return 7;
        case earliest_local: return 8;
        case latest_tiered: return 9;
        case earliest_pending_upload: return 11;
        default: return timestamp < earliest_pending_upload ? INT32_MAX : 1;
    }
}

LeaderEpoch epoch_at(const runtime::Partition& partition, Offset offset) {
    const auto* log = partition.log();
    if (const auto epoch = log->epoch_of(offset)) return *epoch;
    if (offset == log->log_end_offset()) return partition.latest_epoch().value_or(no_leader_epoch);
    return no_leader_epoch;
}

void answer(const runtime::Partition& partition, std::int64_t timestamp, Isolation isolation,
            bool by_follower, Answered* answered) {
    const auto* log = partition.log();
    const auto end = by_follower ? log->log_end_offset() : partition.readable_end(isolation);
    // A new leader may not know yet how much its predecessors committed (KIP-207).
    const auto unsure = by_follower ? ErrorCode::none : partition.end_is_known();
    const auto found = [&](const Result<std::optional<log::TimestampAndOffset>>& result) {
        if (!result.ok()) {
            answered->error_code = result.error().code;
        } else if (!*result) {
            answered->error_code = unsure;
        } else {
            answered->timestamp = (*result)->timestamp.milliseconds;
            answered->offset = (*result)->offset;
            answered->leader_epoch = (*result)->leader_epoch;
        }
    };
    switch (timestamp) {
        case latest:
            answered->error_code = unsure;
            if (unsure != ErrorCode::none) break;
            answered->offset = end;
            answered->leader_epoch = partition.latest_epoch().value_or(no_leader_epoch);
            break;
        case earliest:
        case earliest_local:
            answered->offset = log->log_start_offset();
            answered->leader_epoch = epoch_at(partition, answered->offset);
            break;
        case latest_tiered:
        case earliest_pending_upload:
            // Offset -1: there is no such thing.
            break;
        case max_timestamp: found(log->find_max_timestamp(end)); break;
        default: found(log->find_timestamp(WallTime{timestamp}, end));
    }
}

}  // namespace

io::Task<wire::ListOffsetsResponse> handle_list_offsets(Context* context, RequestContext* request,
                                                        wire::ListOffsetsRequest message) {
    wire::ListOffsetsResponse response;
    const auto isolation =
        message.isolation_level == 1 ? Isolation::read_committed : Isolation::read_uncommitted;
    std::set<std::pair<std::string_view, PartitionIndex>> asked_once;
    std::set<std::pair<std::string_view, PartitionIndex>> asked_twice;
    for (const auto& topic : message.topics) {
        for (const auto& asked : topic.partitions) {
            const std::pair key(std::string_view(topic.name), asked.partition_index);
            if (!asked_once.insert(key).second) asked_twice.insert(key);
        }
    }
    response.topics.reserve(message.topics.size());
    for (const auto& topic_asked : message.topics) {
        auto& topic_answered = response.topics.emplace_back();
        topic_answered.name = topic_asked.name;
        topic_answered.partitions.reserve(topic_asked.partitions.size());
        const auto* topic = context->partitions.topic(topic_asked.name);
        for (const auto& asked : topic_asked.partitions) {
            auto& answered = topic_answered.partitions.emplace_back();
            answered.partition_index = asked.partition_index;
            const auto* partition = topic ? topic->partition(asked.partition_index) : nullptr;
            if (asked_twice.count({topic_asked.name, asked.partition_index}) > 0) {
                answered.error_code = ErrorCode::invalid_request;
            } else if (request->version < first_version_of(asked.timestamp)) {
                answered.error_code = ErrorCode::unsupported_version;
            } else if (!partition) {
                const bool exists = topic && topic->image->partition(asked.partition_index);
                answered.error_code = exists ? ErrorCode::not_leader_or_follower
                                             : ErrorCode::unknown_topic_or_partition;
            } else {
                answered.error_code = partition->check_leads(asked.current_leader_epoch);
            }
            if (answered.error_code == ErrorCode::none)
                answer(*partition, asked.timestamp, isolation, message.replica_id >= BrokerId(0),
                       &answered);
            // Clients of before know another word for it.
            if (answered.error_code == ErrorCode::offset_not_available && request->version < 5)
                answered.error_code = ErrorCode::leader_not_available;
            if (request->version < 4) answered.leader_epoch = no_leader_epoch;
            request->failed(answered.error_code);
        }
    }
    co_return response;
}

}  // namespace pabal::broker
