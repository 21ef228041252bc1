#include "controller/alter_partition.h"

#include <algorithm>

#include "controller/brokers.h"
#include "controller/partition_change.h"
#include "metadata/cluster_image.h"

namespace pabal::controller {
namespace {

using metadata::BrokerImage;
using metadata::ClusterImage;
using metadata::PartitionImage;
using Asked = wire::AlterPartitionRequest::PartitionData;

constexpr std::int8_t recovering_state = 1;

ErrorCode judge(const Asked& asked, const Replicas& isr, BrokerId leader,
                const PartitionImage& partition, const ClusterImage& image) {
    // A leader that knows more than this controller speaks to one that was deposed.
    if (asked.leader_epoch > partition.leader_epoch ||
        asked.partition_epoch > partition.partition_epoch)
        return ErrorCode::not_controller;
    if (asked.leader_epoch < partition.leader_epoch) return ErrorCode::fenced_leader_epoch;
    if (leader != partition.leader) return ErrorCode::invalid_request;
    if (asked.partition_epoch < partition.partition_epoch) return ErrorCode::invalid_update_version;
    for (std::size_t i = 0; i < isr.size(); ++i) {
        const bool twice = std::find(isr.begin(), isr.begin() + static_cast<std::ptrdiff_t>(i),
                                     isr[i]) != isr.begin() + static_cast<std::ptrdiff_t>(i);
        if (twice || !contains(partition.replicas, isr[i])) return ErrorCode::invalid_request;
    }
    if (!contains(isr, leader)) return ErrorCode::invalid_request;
    if (asked.leader_recovery_state < 0 || asked.leader_recovery_state > recovering_state)
        return ErrorCode::invalid_request;
    // KIP-704: alone until it has recovered, and it recovers once.
    if (asked.leader_recovery_state == recovering_state &&
        (isr.size() > 1 || !partition.leader_recovering))
        return ErrorCode::invalid_request;
    // Whoever is in sync already may stay until it is known to be gone.
    const Electable electable{image};
    for (BrokerId replica : isr)
        if (!is_active(image, replica) ||
            (!contains(partition.isr, replica) && !electable(partition, replica)))
            return ErrorCode::ineligible_replica;
    for (const auto& state : asked.new_isr_with_epochs) {
        const BrokerImage* broker = image.broker(state.broker_id);
        if (state.broker_epoch.value() != -1 && broker && broker->epoch != state.broker_epoch)
            return ErrorCode::ineligible_replica;
    }
    return ErrorCode::none;
}

}  // namespace

Outcome<wire::AlterPartitionResponse> alter_partition(const wire::AlterPartitionRequest& request,
                                                      int version,
                                                      const metadata::BrokerConfig& config,
                                                      const ClusterImage& image) {
    Outcome<wire::AlterPartitionResponse> outcome;
    outcome.response.error_code =
        check_broker_epoch(image, request.broker_id, request.broker_epoch);
    if (outcome.response.error_code != ErrorCode::none) return outcome;
    const Electable electable{image};
    for (const auto& asked_topic : request.topics) {
        auto& topic_response = outcome.response.topics.emplace_back();
        topic_response.topic_id = asked_topic.topic_id;
        const auto topic = image.topic(asked_topic.topic_id);
        for (const Asked& asked : asked_topic.partitions) {
            auto& response = topic_response.partitions.emplace_back();
            response.partition_index = asked.partition_index;
            const PartitionImage* partition =
                topic ? topic->partition(asked.partition_index) : nullptr;
            if (!partition) {
                response.error_code =
                    topic ? ErrorCode::unknown_topic_or_partition : ErrorCode::unknown_topic_id;
                continue;
            }
            Replicas isr = asked.new_isr;
            if (version >= 3) {
                isr.clear();
                for (const auto& state : asked.new_isr_with_epochs) isr.push_back(state.broker_id);
            }
            response.error_code = judge(asked, isr, request.broker_id, *partition, image);
            if (response.error_code != ErrorCode::none) continue;
            PartitionChange change(electable, config, *topic, asked.partition_index);
            change.isr = std::move(isr);
            change.recovering = asked.leader_recovery_state == recovering_state;
            auto record = change.record();
            response.leader_id = partition->leader;
            response.leader_epoch = partition->leader_epoch;
            response.isr = partition->isr;
            response.partition_epoch = partition->partition_epoch;
            response.leader_recovery_state = asked.leader_recovery_state;
            if (!record) continue;
            if (record->isr) response.isr = *record->isr;
            ++response.partition_epoch;
            if (record->leader.value() != -2) {
                if (record->leader != request.broker_id)
                    response.error_code = ErrorCode::new_leader_elected;
                response.leader_id = record->leader;
                ++response.leader_epoch;
            }
            outcome.records.emplace_back(std::move(*record));
        }
    }
    return outcome;
}

}  // namespace pabal::controller
