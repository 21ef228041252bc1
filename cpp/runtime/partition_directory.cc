#include "runtime/partition_directory.h"

#include <algorithm>
#include <charconv>

#include "io/disk.h"

namespace pabal::runtime {
namespace {

constexpr std::string_view metadata_file = "/partition.metadata";
constexpr std::size_t longest_file_name = 255;

}  // namespace

std::string partition_directory_name(std::string_view topic, PartitionIndex index) {
    return std::string(topic) + '-' + std::to_string(index.value());
}

std::optional<NamedPartition> parse_partition_directory_name(std::string_view name) {
    const auto dash = name.rfind('-');
    if (dash == std::string_view::npos || dash == 0) return std::nullopt;
    const auto number = name.substr(dash + 1);
    std::int32_t index = -1;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), index);
    if (error != std::errc() || end != number.data() + number.size() || index < 0)
        return std::nullopt;
    return NamedPartition(name.substr(0, dash), index);
}

bool is_deleted_directory_name(std::string_view name) {
    return name.ends_with("-delete");
}

std::string set_aside_name(std::string_view directory_name, const Uuid& unique,
                           std::string_view suffix) {
    std::string end = ".";
    for (const auto byte : unique.bytes) {
        constexpr char digits[] = "0123456789abcdef";
        end += digits[byte >> 4];
        end += digits[byte & 15];
    }
    end += '-';
    end += suffix;
    const auto kept = std::min(directory_name.size(), longest_file_name - end.size());
    return std::string(directory_name.substr(0, kept)) + end;
}

IoResult<std::optional<TopicId>> read_partition_metadata(io::Disk& disk,
                                                         const std::string& directory) {
    const std::string path = directory + std::string(metadata_file);
    PABAL_TRY_ASSIGN(const bool exists, disk.exists(path));
    if (!exists) return std::optional<TopicId>();
    PABAL_TRY_ASSIGN(const std::string content, io::read_file(disk, path, 4096));
    constexpr std::string_view field = "topic_id: ";
    const auto found = content.find(field);
    if (found == std::string::npos) return std::optional<TopicId>();
    const auto start = found + field.size();
    const auto id =
        Uuid::parse(std::string_view(content).substr(start, content.find('\n', start) - start));
    if (!id) return std::optional<TopicId>();
    return std::optional<TopicId>(TopicId(*id));
}

IoStatus write_partition_metadata(io::Disk& disk, const std::string& directory,
                                  const TopicId& topic) {
    PABAL_TRY_ASSIGN(auto file,
                     disk.open(directory + std::string(metadata_file), io::OpenMode::create));
    const std::string content = "version: 0\ntopic_id: " + topic.value().text();
    const ByteView pieces[] = {as_bytes(content)};
    PABAL_TRY(file->truncate(0));
    return file->write(0, pieces);
}

IoStatus sync_partition_names(io::Disk& disk, const std::string& log_directory,
                              const std::string& directory) {
    PABAL_TRY_ASSIGN(auto file,
                     disk.open(directory + std::string(metadata_file), io::OpenMode::read_write));
    PABAL_TRY(file->sync());
    PABAL_TRY(disk.sync_directory(directory));
    return disk.sync_directory(log_directory);
}

}  // namespace pabal::runtime
