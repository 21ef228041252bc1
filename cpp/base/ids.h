// Identifiers as types of their own: an offset is not an epoch, and neither is a number by
// accident.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

#include "base/uuid.h"

namespace pabal {

template <class Tag, class Rep>
class StrongId {
public:
    using rep = Rep;

    constexpr StrongId() = default;
    constexpr explicit StrongId(Rep value) : value_(value) {}

    constexpr const Rep& value() const { return value_; }
    constexpr auto operator<=>(const StrongId&) const = default;

private:
    Rep value_{};
};

// Ids on which counting makes sense: Offset + 3, Offset - Offset.
template <class Tag, class Rep>
class StrongCount {
public:
    using rep = Rep;

    constexpr StrongCount() = default;
    constexpr explicit StrongCount(Rep value) : value_(value) {}

    constexpr Rep value() const { return value_; }
    constexpr auto operator<=>(const StrongCount&) const = default;

    constexpr StrongCount& operator++() {
        ++value_;
        return *this;
    }
    constexpr StrongCount& operator+=(Rep count) {
        value_ += count;
        return *this;
    }
    friend constexpr StrongCount operator+(StrongCount a, Rep b) {
        return StrongCount(a.value_ + b);
    }
    friend constexpr StrongCount operator-(StrongCount a, Rep b) {
        return StrongCount(a.value_ - b);
    }
    friend constexpr Rep operator-(StrongCount a, StrongCount b) { return a.value_ - b.value_; }

private:
    Rep value_{};
};

using Offset = StrongCount<struct OffsetTag, std::int64_t>;  // Of a record in a partition.
using LeaderEpoch = StrongCount<struct LeaderEpochTag, std::int32_t>;  // Of a partition or quorum.
using PartitionEpoch = StrongCount<struct PartitionEpochTag, std::int32_t>;
using BrokerEpoch = StrongCount<struct BrokerEpochTag, std::int64_t>;
using BrokerId = StrongId<struct BrokerIdTag, std::int32_t>;  // Any node: broker or controller.
using PartitionIndex = StrongCount<struct PartitionIndexTag, std::int32_t>;
using ProducerId = StrongCount<struct ProducerIdTag, std::int64_t>;
using ProducerEpoch = StrongCount<struct ProducerEpochTag, std::int16_t>;
using TopicId = StrongId<struct TopicIdTag, Uuid>;
using DirectoryId = StrongId<struct DirectoryIdTag, Uuid>;

inline constexpr LeaderEpoch no_leader_epoch{-1};
inline constexpr BrokerId no_broker{-1};
inline constexpr ProducerId no_producer_id{-1};
inline constexpr ProducerEpoch no_producer_epoch{-1};

// A partition by its topic's id, which outlives nothing: a topic created again gets another one.
struct TopicPartition {
    TopicId topic;
    PartitionIndex partition;

    constexpr auto operator<=>(const TopicPartition&) const = default;
};

}  // namespace pabal

template <class Tag, class Rep>
struct std::hash<pabal::StrongId<Tag, Rep>> {
    std::size_t operator()(const pabal::StrongId<Tag, Rep>& id) const noexcept {
        return std::hash<Rep>{}(id.value());
    }
};
template <class Tag, class Rep>
struct std::hash<pabal::StrongCount<Tag, Rep>> {
    std::size_t operator()(const pabal::StrongCount<Tag, Rep>& id) const noexcept {
        return std::hash<Rep>{}(id.value());
    }
};
template <>
struct std::hash<pabal::TopicPartition> {
    std::size_t operator()(const pabal::TopicPartition& partition) const noexcept {
        return std::hash<pabal::TopicId>{}(partition.topic) * 31 +
               static_cast<std::size_t>(partition.partition.value());
    }
};
