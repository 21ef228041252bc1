// The names of the files of a partition's directory, as Kafka spells them: twenty digits of the
// first offset, then what the file is. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace pabal::log {

inline constexpr std::string_view log_suffix = ".log";
inline constexpr std::string_view offset_index_suffix = ".index";
inline constexpr std::string_view time_index_suffix = ".timeindex";
inline constexpr std::string_view transaction_index_suffix = ".txnindex";
inline constexpr std::string_view producer_snapshot_suffix = ".snapshot";
inline constexpr std::string_view deleted_suffix = ".deleted";
inline constexpr std::string_view cleaned_suffix = ".cleaned";
inline constexpr std::string_view swap_suffix = ".swap";

// All files that go with one `.log`, the log itself first.
inline constexpr std::string_view segment_suffixes[] = {
    log_suffix, offset_index_suffix, time_index_suffix, transaction_index_suffix};

std::string file_name(Offset base, std::string_view suffix);
std::string file_path(std::string_view directory, Offset base, std::string_view suffix);

// The base offset in `name`, if it is twenty digits followed by exactly `suffix`.
std::optional<Offset> base_offset_of(std::string_view name, std::string_view suffix);

}  // namespace pabal::log
