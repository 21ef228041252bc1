// The features of Kafka 4.3 and the levels at which this version of pabal could run them. A feature
// that is not served yet stays at 0, whatever Kafka could do with it.
#pragma once

#include <array>
#include <string_view>

#include "metadata/cluster_image.h"
#include "metadata/record.h"

namespace pabal::metadata {

struct SupportedFeature {
    std::string_view name;
    VersionRange versions;
};

// The consumer group protocol (KIP-848).
inline constexpr std::int16_t group_version = 1;
// Transactions whose every end bumps the producer's epoch, and that learn from their partitions
// which take part (KIP-890).
inline constexpr std::int16_t transaction_version = 2;

// Whether the voters of the metadata quorum are static or stand in its log (KIP-853). The log says
// so in records of the quorum's own.
inline constexpr std::string_view kraft_version_feature = "kraft.version";

// Whether replicas that left the in-sync ones without missing anything are remembered (KIP-966).
inline constexpr std::string_view eligible_leaders_feature = "eligible.leader.replicas.version";
inline constexpr std::int16_t eligible_leaders_version = 1;

// Ordered by name.
inline constexpr std::array<SupportedFeature, 7> supported_features() {
    return {{{eligible_leaders_feature, {0, eligible_leaders_version}},
             {"group.version", {0, group_version}},
             {kraft_version_feature, {0, 1}},
             {"metadata.version", {lowest_metadata_version, metadata_version_4_3}},
             {"share.version", {0, 0}},
             {"streams.version", {0, 0}},
             {"transaction.version", {0, transaction_version}}}};
}

}  // namespace pabal::metadata
