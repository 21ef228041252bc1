#include "sim/checkers/checker.h"

namespace pabal::sim {

std::string text(const RecordId& record) {
    if (record.client < 0) return "a record that nobody wrote";
    return "record " + std::to_string(record.number) + " of client " +
           std::to_string(record.client) + (record.damaged ? ", damaged" : "");
}

std::string text(const Partition& partition) {
    return partition.topic + "-" + std::to_string(partition.index);
}

std::vector<std::unique_ptr<Checker>> all_checkers(const FlushPolicy& policy) {
    std::vector<std::unique_ptr<Checker>> checkers;
    checkers.push_back(make_acked_never_lost(policy));
    checkers.push_back(make_deleted_stays_deleted());
    checkers.push_back(make_fenced_producer_writes_nothing());
    checkers.push_back(make_high_watermark_monotonic(policy));
    checkers.push_back(make_last_stable_offset_monotonic(policy));
    checkers.push_back(make_metadata_never_lost());
    checkers.push_back(make_no_duplicate_for_idempotent());
    checkers.push_back(make_offsets_contiguous());
    checkers.push_back(make_offsets_never_regress_on_failover());
    checkers.push_back(make_one_leader_per_epoch());
    checkers.push_back(make_one_owner_per_partition_per_generation());
    checkers.push_back(make_only_what_was_sent());
    checkers.push_back(make_positions_follow_their_transaction());
    checkers.push_back(make_read_committed_atomic());
    checkers.push_back(make_recovery_is_prefix(policy));
    checkers.push_back(make_replicas_agree());
    return checkers;
}

}  // namespace pabal::sim
