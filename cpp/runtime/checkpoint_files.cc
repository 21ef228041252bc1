#include "runtime/checkpoint_files.h"

#include <charconv>
#include <string_view>
#include <vector>

#include "base/probe.h"
#include "io/disk.h"
#include "log/checkpoint_text.h"

namespace pabal::runtime {
namespace {

constexpr const char* recovery_point_file = "recovery-point-offset-checkpoint";
constexpr const char* log_start_file = "log-start-offset-checkpoint";
constexpr const char* high_watermark_file = "replication-offset-checkpoint";
constexpr const char* cleaner_file = "cleaner-offset-checkpoint";
constexpr std::uint64_t largest_file_bytes = 256u << 20;

// Each line: topic, partition, offset.
template <class Each>
IoStatus read_offsets(io::Disk& disk, const std::string& path, Each each) {
    PABAL_TRY_ASSIGN(const bool exists, disk.exists(path));
    if (!exists) return {};
    PABAL_TRY_ASSIGN(const std::string content, io::read_file(disk, path, largest_file_bytes));
    if (content.empty()) return {};  // So Kafka creates it: nothing is known yet.
    const auto damaged = [&](std::string_view what) {
        return IoError{0, path + ": " + std::string(what) +
                              "; remove the file if the logs beside it are whole"};
    };
    const auto lines = log::checkpoint_lines(content);
    if (!lines.ok()) return damaged(lines.error().message);
    for (const auto line : *lines) {
        const auto words = log::words_of(line);
        const auto partition = words.size() == 3 ? log::number_of(words[1]) : std::nullopt;
        const auto offset = words.size() == 3 ? log::number_of(words[2]) : std::nullopt;
        if (!partition || !offset || *partition < 0 || *partition > INT32_MAX || *offset < 0) {
            return damaged("topic, partition and offset expected, not '" + std::string(line) + "'");
        }
        each(NamedPartition(words[0], static_cast<std::int32_t>(*partition)), Offset(*offset));
    }
    return {};
}

template <class Which>
std::string offsets_text(const CheckpointsByName& partitions, Which which) {
    std::vector<std::string> lines;
    for (const auto& [name, checkpoint] : partitions) {
        const std::optional<Offset> offset = which(checkpoint);
        if (!offset) continue;
        lines.push_back(name.first + ' ' + std::to_string(name.second) + ' ' +
                        std::to_string(offset->value()));
    }
    return log::checkpoint_text(lines);
}

// {"version":0,"brokerEpoch":7}, as Kafka writes it (KIP-966); older markers are empty.
BrokerEpoch epoch_in(std::string_view marker) {
    constexpr std::string_view field = "\"brokerEpoch\"";
    const auto found = marker.find(field);
    if (found == std::string_view::npos) return BrokerEpoch(-1);
    const auto digits = marker.find_first_of("0123456789", found + field.size());
    if (digits == std::string_view::npos) return BrokerEpoch(-1);
    std::int64_t epoch = -1;
    const char* end = marker.data() + marker.size();
    const auto read = std::from_chars(marker.data() + digits, end, epoch);
    return BrokerEpoch(read.ec == std::errc() ? epoch : -1);
}

}  // namespace

IoResult<CheckpointFiles> read_checkpoint_files(io::Disk& disk, const std::string& log_directory) {
    CheckpointFiles files;
    const std::string marker = log_directory + '/' + clean_shutdown_file;
    PABAL_TRY_ASSIGN(files.clean_shutdown, disk.exists(marker));
    if (files.clean_shutdown) {
        PABAL_TRY_ASSIGN(const std::string said, io::read_file(disk, marker, 4096));
        files.broker_epoch = epoch_in(said);
    }
    PABAL_TRY(read_offsets(disk, log_directory + '/' + recovery_point_file,
                           [&](NamedPartition name, Offset offset) {
                               files.partitions[std::move(name)].recovery_point = offset;
                           }));
    PABAL_TRY(read_offsets(disk, log_directory + '/' + log_start_file,
                           [&](NamedPartition name, Offset offset) {
                               files.partitions[std::move(name)].log_start_offset = offset;
                           }));
    PABAL_TRY(read_offsets(disk, log_directory + '/' + high_watermark_file,
                           [&](NamedPartition name, Offset offset) {
                               files.partitions[std::move(name)].high_watermark = offset;
                           }));
    for (auto& [name, checkpoint] : files.partitions)
        checkpoint.clean_shutdown = files.clean_shutdown;
    return files;
}

IoStatus write_clean_shutdown(io::Disk& disk, const std::string& log_directory,
                              const CheckpointsByName& partitions, BrokerEpoch broker_epoch) {
    const auto write = [&](const char* name, const std::string& content) {
        return io::replace_file(disk, log_directory + '/' + name, content);
    };
    PABAL_TRY(write(recovery_point_file, offsets_text(partitions, [](const auto& checkpoint) {
                        return std::optional(checkpoint.recovery_point);
                    })));
    // Kafka writes those only whose log starts in the midst of a segment; what starts at 0 needs
    // no line in either.
    PABAL_TRY(write(log_start_file, offsets_text(partitions, [](const auto& checkpoint) {
                        if (checkpoint.log_start_offset == Offset(0))
                            return std::optional<Offset>();
                        return std::optional(checkpoint.log_start_offset);
                    })));
    PABAL_TRY(write(high_watermark_file, offsets_text(partitions, [](const auto& checkpoint) {
                        return std::optional(checkpoint.high_watermark);
                    })));
    return write(clean_shutdown_file,
                 "{\"version\":0,\"brokerEpoch\":" + std::to_string(broker_epoch.value()) + "}");
}

IoResult<OffsetsByName> read_cleaner_checkpoint(io::Disk& disk, const std::string& log_directory) {
    OffsetsByName cleaned;
    PABAL_TRY(read_offsets(
        disk, log_directory + '/' + cleaner_file,
        [&](NamedPartition name, Offset offset) { cleaned[std::move(name)] = offset; }));
    return cleaned;
}

IoStatus write_cleaner_checkpoint(io::Disk& disk, const std::string& log_directory,
                                  const OffsetsByName& cleaned) {
    std::vector<std::string> lines;
    for (const auto& [name, offset] : cleaned) {
        lines.push_back(name.first + ' ' + std::to_string(name.second) + ' ' +
                        std::to_string(offset.value()));
    }
    return io::replace_file(disk, log_directory + '/' + cleaner_file, log::checkpoint_text(lines));
}

IoStatus remove_clean_shutdown_marker(io::Disk& disk, const std::string& log_directory) {
    if (SABOTAGED("clean-shutdown-marker-stays")) return {};
    PABAL_TRY(disk.remove(log_directory + '/' + clean_shutdown_file));
    return disk.sync_directory(log_directory);
}

IoStatus clear_checkpoint_files(io::Disk& disk, const std::string& log_directory) {
    for (const char* name : {recovery_point_file, log_start_file, high_watermark_file}) {
        const std::string path = log_directory + '/' + name;
        PABAL_TRY_ASSIGN(const bool exists, disk.exists(path));
        if (exists) PABAL_TRY(io::replace_file(disk, path, log::checkpoint_text({})));
    }
    return {};
}

}  // namespace pabal::runtime
