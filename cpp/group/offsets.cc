#include "group/offsets.h"

#include <utility>

namespace pabal::group {

const CommittedOffset* Offsets::find(const std::string& topic, PartitionIndex partition) const {
    const auto found = topics_.find(topic);
    if (found == topics_.end()) return nullptr;
    const auto offset = found->second.find(partition);
    return offset == found->second.end() ? nullptr : &offset->second;
}

void Offsets::set(const std::string& topic, PartitionIndex partition, CommittedOffset offset) {
    topics_[topic][partition] = std::move(offset);
}

void Offsets::remove(const std::string& topic, PartitionIndex partition) {
    const auto found = topics_.find(topic);
    if (found == topics_.end()) return;
    found->second.erase(partition);
    if (found->second.empty()) topics_.erase(found);
}

}  // namespace pabal::group
