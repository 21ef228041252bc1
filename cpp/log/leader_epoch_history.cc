#include "log/leader_epoch_history.h"

#include <algorithm>

#include "log/checkpoint_text.h"

namespace pabal::log {

bool LeaderEpochHistory::assign(LeaderEpoch epoch, Offset start) {
    if (!entries_.empty() && entries_.back().epoch == epoch &&
        entries_.back().start_offset <= start) {
        return false;
    }
    while (!entries_.empty() &&
           (entries_.back().epoch >= epoch || entries_.back().start_offset >= start)) {
        entries_.pop_back();
    }
    entries_.push_back({epoch, start});
    return true;
}

bool LeaderEpochHistory::truncate_from_end(Offset end) {
    bool changed = false;
    while (!entries_.empty() && entries_.back().start_offset >= end) {
        entries_.pop_back();
        changed = true;
    }
    return changed;
}

bool LeaderEpochHistory::truncate_from_start(Offset start) {
    const auto after = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& entry) { return entry.start_offset > start; });
    if (after == entries_.begin()) return false;
    const auto first = after - 1;
    const bool changed = first != entries_.begin() || first->start_offset != start;
    first->start_offset = start;
    entries_.erase(entries_.begin(), first);
    return changed;
}

std::optional<LeaderEpoch> LeaderEpochHistory::latest() const {
    if (entries_.empty()) return std::nullopt;
    return entries_.back().epoch;
}

std::optional<LeaderEpochHistory::Entry> LeaderEpochHistory::end_of(LeaderEpoch epoch,
                                                                    Offset log_end) const {
    if (epoch < LeaderEpoch(0) || entries_.empty()) return std::nullopt;
    if (entries_.back().epoch == epoch) return Entry{epoch, log_end};
    const auto higher = std::find_if(entries_.begin(), entries_.end(),
                                     [&](const Entry& entry) { return entry.epoch > epoch; });
    if (higher == entries_.end()) return std::nullopt;
    if (higher == entries_.begin()) return Entry{epoch, higher->start_offset};
    return Entry{(higher - 1)->epoch, higher->start_offset};
}

std::optional<LeaderEpoch> LeaderEpochHistory::epoch_of(Offset offset) const {
    std::optional<LeaderEpoch> epoch;
    for (const Entry& entry : entries_) {
        if (entry.start_offset > offset) break;
        epoch = entry.epoch;
    }
    return epoch;
}

std::string LeaderEpochHistory::text() const {
    std::vector<std::string> lines;
    lines.reserve(entries_.size());
    for (const Entry& entry : entries_) {
        lines.push_back(std::to_string(entry.epoch.value()) + " " +
                        std::to_string(entry.start_offset.value()));
    }
    return checkpoint_text(lines);
}

Result<LeaderEpochHistory> LeaderEpochHistory::parse(std::string_view text) {
    LeaderEpochHistory history;
    PABAL_TRY_ASSIGN(const auto lines, checkpoint_lines(text));
    for (const auto line : lines) {
        const auto words = words_of(line);
        const auto epoch = words.size() == 2 ? number_of(words[0]) : std::nullopt;
        const auto start = words.size() == 2 ? number_of(words[1]) : std::nullopt;
        if (!epoch || !start || *epoch < 0 || *epoch > INT32_MAX || *start < 0) {
            return Error{ErrorCode::corrupt_message,
                         "not an epoch and an offset: " + std::string(line)};
        }
        history.assign(LeaderEpoch(static_cast<std::int32_t>(*epoch)), Offset(*start));
    }
    return history;
}

}  // namespace pabal::log
