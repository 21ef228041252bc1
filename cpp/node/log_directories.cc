#include "node/log_directories.h"

#include <algorithm>
#include <optional>

#include "metadata/meta_properties.h"
#include "node/node.h"

namespace pabal::node {
namespace {

using metadata::MetaProperties;

// What may lie in a directory that counts as empty.
bool is_innocent(std::string_view name) {
    return name == ".lock" || name == "lost+found";
}

Error refused(ErrorCode code, const std::string& path, std::string why) {
    return Error{code, "log directory " + path + " " + std::move(why)};
}

Error failed(const std::string& path, const IoError& error) {
    return refused(ErrorCode::kafka_storage_error, path, "cannot be used: " + error.message);
}

struct Claimed {
    std::string path;
    std::optional<MetaProperties> properties;  // Nothing: empty, to be formatted.
    std::unique_ptr<io::DirectoryLock> lock;
};

std::string parent_of(const std::string& path) {
    const auto last = path.find_last_not_of('/');
    const auto slash = last == std::string::npos ? 0 : path.rfind('/', last);
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// Each directory that had to be made is found again after a loss of power only if the one that
// holds it was synced.
IoStatus make_durable_directories(io::Disk& disk, const std::string& path) {
    std::vector<std::string> changed;
    for (std::string missing = path;; missing = parent_of(missing)) {
        PABAL_TRY_ASSIGN(const bool exists, disk.exists(missing));
        if (exists) break;
        changed.push_back(parent_of(missing));
    }
    PABAL_TRY(disk.make_directories(path));
    for (const auto& directory : changed) PABAL_TRY(disk.sync_directory(directory));
    return {};
}

Result<Claimed> claim(io::Disk& disk, const std::string& path, const NodeOptions& options) {
    Claimed claimed;
    claimed.path = path;
    auto made = make_durable_directories(disk, path);
    if (!made.ok()) return failed(path, made.error());
    auto lock = disk.lock(path + "/.lock");
    if (!lock.ok()) return failed(path, lock.error());
    claimed.lock = std::move(*lock);

    std::string file = path + "/" + std::string(metadata::meta_properties_file);
    auto exists = disk.exists(file);
    if (!exists.ok()) return failed(path, exists.error());
    if (*exists) {
        auto text = io::read_file(disk, file, 64 << 10);
        if (!text.ok()) return failed(path, text.error());
        auto parsed = MetaProperties::parse(*text);
        if (!parsed.ok()) {
            return refused(ErrorCode::invalid_config, path,
                           "has a meta.properties that cannot be used: " + parsed.error().message);
        }
        claimed.properties = std::move(*parsed);
        return claimed;
    }
    auto entries = disk.list(path);
    if (!entries.ok()) return failed(path, entries.error());
    for (const io::DirectoryEntry& entry : *entries) {
        if (is_innocent(entry.name)) continue;
        return refused(ErrorCode::invalid_config, path,
                       "holds " + entry.name +
                           " but no meta.properties, so it is not known whose it is; give an empty "
                           "directory, or put the file back");
    }
    if (!options.format_empty_directories) {
        return refused(ErrorCode::invalid_config, path,
                       "is empty and was not formatted; format it first");
    }
    return claimed;
}

}  // namespace

Result<LogDirectories> claim_log_directories(io::Disk& disk, const metadata::BrokerConfig& config,
                                             const NodeOptions& options, Prng random) {
    std::vector<std::string> paths = config.log_directories();
    const std::string& metadata_path = config.metadata_log_directory();
    bool metadata_apart = std::find(paths.begin(), paths.end(), metadata_path) == paths.end();
    if (metadata_apart) paths.push_back(metadata_path);

    std::vector<Claimed> all;
    std::optional<std::string> cluster_id = options.cluster_id;
    std::string said_by = "the cluster id that was asked for";
    std::vector<DirectoryId> ids;
    for (const std::string& path : paths) {
        PABAL_TRY_ASSIGN(Claimed claimed, claim(disk, path, options));
        if (claimed.properties) {
            const MetaProperties& properties = *claimed.properties;
            if (cluster_id && properties.cluster_id != *cluster_id) {
                return refused(ErrorCode::inconsistent_cluster_id, path,
                               "belongs to the cluster " + properties.cluster_id + ", not to " +
                                   *cluster_id + ", " + said_by);
            }
            if (properties.node_id != config.node_id()) {
                return refused(ErrorCode::invalid_config, path,
                               "belongs to node.id " + std::to_string(properties.node_id.value()) +
                                   ", but this node has node.id " +
                                   std::to_string(config.node_id().value()));
            }
            if (std::find(ids.begin(), ids.end(), properties.directory_id) != ids.end()) {
                return refused(ErrorCode::invalid_config, path,
                               "has the directory.id of another log directory; was it copied?");
            }
            ids.push_back(properties.directory_id);
            cluster_id = properties.cluster_id;
            said_by = "that of log directory " + path;
        }
        all.push_back(std::move(claimed));
    }

    const bool has_company = config.quorum_voters().size() > 1 || !config.is_controller();
    if (!cluster_id && has_company)
        return refused(ErrorCode::invalid_config, metadata_path,
                       "is empty, and the nodes of a cluster must agree on its id: give the same "
                       "one to all of them (pabal-server --cluster-id), or format the directories "
                       "first");

    LogDirectories result;
    result.cluster_id = cluster_id ? *cluster_id : Uuid::random(random).text();
    for (Claimed& claimed : all) {
        bool unnamed = claimed.properties && claimed.properties->directory_id.value().is_zero();
        if (!claimed.properties || unnamed) {
            MetaProperties properties;
            properties.cluster_id = result.cluster_id;
            properties.node_id = config.node_id();
            properties.directory_id = DirectoryId(Uuid::random(random));
            std::string file = claimed.path + "/" + std::string(metadata::meta_properties_file);
            auto written = io::replace_file(disk, file, properties.text());
            if (!written.ok()) return failed(claimed.path, written.error());
            claimed.properties = std::move(properties);
            result.formatted = true;
        }
        DirectoryId id = claimed.properties->directory_id;
        if (claimed.path == metadata_path) result.metadata_directory = id;
        bool holds_partitions = !metadata_apart || claimed.path != metadata_path;
        if (holds_partitions) {
            runtime::LogDirectory directory;
            directory.path = claimed.path;
            directory.id = id;
            result.directories.push_back(std::move(directory));
        }
        result.locks.push_back(std::move(claimed.lock));
    }
    return result;
}

}  // namespace pabal::node
