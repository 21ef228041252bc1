#include "node/log_directories.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "io/disk_error.h"
#include "metadata/meta_properties.h"
#include "metadata/snapshot.h"
#include "node/node.h"
#include "raft/voters.h"

namespace pabal::node {
namespace {

using metadata::MetaProperties;

// What may lie in a directory that counts as empty.
bool is_innocent(std::string_view name) {
    return name == ".lock" || name == "lost+found";
}

constexpr std::string_view metadata_log = "__cluster_metadata-0";

// As a node left it that died while it formatted the directory.
bool holds_first_voters_alone(io::Disk& disk, const std::string& path) {
    auto entries = disk.list(path + "/" + std::string(metadata_log));
    const std::string name = metadata::SnapshotId{}.file_name();
    return entries.ok() && std::all_of(entries->begin(), entries->end(), [&](const auto& entry) {
               return entry.name.starts_with(name);
           });
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
    std::string failure;  // Not empty: the disk refuses, for this reason.
};

// Another process may hold the lock: then that is what has to be told.
bool is_taken(const IoError& error) {
    return error.errno_value == EAGAIN || error.errno_value == EWOULDBLOCK;
}

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

// `expendable`: the node can go on without this directory, if the disk refuses.
Result<Claimed> claim(io::Disk& disk, const std::string& path, const NodeOptions& options,
                      bool expendable) {
    Claimed claimed;
    claimed.path = path;
    const auto refuse = [&](const IoError& error) -> Result<Claimed> {
        if (!expendable || !io::is_disk_failure(error) || is_taken(error))
            return failed(path, error);
        claimed.failure = error.message;
        return std::move(claimed);
    };
    auto made = make_durable_directories(disk, path);
    if (!made.ok()) return refuse(made.error());
    auto lock = disk.lock(path + "/.lock");
    if (!lock.ok()) return refuse(lock.error());
    claimed.lock = std::move(*lock);

    std::string file = path + "/" + std::string(metadata::meta_properties_file);
    auto exists = disk.exists(file);
    if (!exists.ok()) return refuse(exists.error());
    if (*exists) {
        auto text = io::read_file(disk, file, 64 << 10);
        if (!text.ok()) return refuse(text.error());
        auto parsed = MetaProperties::parse(*text);
        if (!parsed.ok()) {
            return refused(ErrorCode::invalid_config, path,
                           "has a meta.properties that cannot be used: " + parsed.error().message);
        }
        claimed.properties = std::move(*parsed);
        return claimed;
    }
    auto entries = disk.list(path);
    if (!entries.ok()) return refuse(entries.error());
    for (const io::DirectoryEntry& entry : *entries) {
        if (is_innocent(entry.name)) continue;
        if (entry.name == metadata_log && holds_first_voters_alone(disk, path)) continue;
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

// ID@HOST:PORT:DIRECTORY, as Kafka writes initial controllers.
Result<raft::Voter> parse_voter(const std::string& text, const std::string& listener) {
    const Error wrong{ErrorCode::invalid_config,
                      "the initial controller '" + text +
                          "' is not of the form "
                          "ID@HOST:PORT:DIRECTORY, with the directory's id in 22 characters"};
    const std::size_t sign = text.find('@');
    const std::size_t last = text.rfind(':');
    if (sign == std::string::npos || last == std::string::npos || last < sign) return wrong;
    const std::size_t colon = text.rfind(':', last - 1);
    if (colon == std::string::npos || colon < sign) return wrong;
    auto number = [](const std::string& digits, std::int64_t most) -> std::int64_t {
        std::int64_t value = digits.empty() ? -1 : 0;
        for (char c : digits) {
            if (c < '0' || c > '9' || value < 0) return -1;
            value = value * 10 + (c - '0');
            if (value > most) return -1;
        }
        return value;
    };
    const std::int64_t id = number(text.substr(0, sign), INT32_MAX);
    const std::int64_t port = number(text.substr(colon + 1, last - colon - 1), 65535);
    const auto directory = Uuid::parse(text.substr(last + 1));
    std::string host = text.substr(sign + 1, colon - sign - 1);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    if (id < 0 || port <= 0 || !directory || directory->is_zero() || host.empty()) return wrong;
    raft::Voter voter;
    voter.id = BrokerId(static_cast<std::int32_t>(id));
    voter.directory = DirectoryId(*directory);
    voter.endpoints.push_back({listener, host, static_cast<std::uint16_t>(port)});
    voter.highest_level = raft::dynamic_voters;
    return voter;
}

// Those that a directory is formatted with, without the directory of this node if that is yet to be
// made up; nothing where voters are static or not known yet.
Result<std::optional<raft::Voters>> first_voters(const metadata::BrokerConfig& config,
                                                 const NodeOptions& options) {
    using FirstVoters = NodeOptions::FirstVoters;
    std::optional<raft::Voters> voters;
    if (options.first_voters == FirstVoters::by_configuration) return voters;
    if (!config.quorum_voters().empty())
        return Error{
            ErrorCode::invalid_config,
            "controller.quorum.voters is set, so that the voters are static: take it away, "
            "or do not say who votes first"};
    if (options.first_voters == FirstVoters::nobody_yet) return voters;
    voters.emplace();
    if (options.first_voters == FirstVoters::this_node) {
        if (!config.is_controller())
            return Error{ErrorCode::invalid_config,
                         "a node that is no controller cannot be the only voter; add controller to "
                         "process.roles"};
        raft::Voter& self = voters->emplace_back();
        self.id = config.node_id();
        self.highest_level = raft::dynamic_voters;
        for (const metadata::ListenerConfig& each : config.listeners()) {
            if (!each.controller) continue;
            const bool advertised = each.advertised.port != 0;
            std::string host = each.advertised.host;
            if (host.empty()) host = each.bind.host;
            if (host.empty()) host = options.host_name;
            self.endpoints.push_back(
                {each.bind.name, host, advertised ? each.advertised.port : each.bind.port});
        }
        return voters;
    }
    std::size_t begin = 0;
    while (begin <= options.named_voters.size()) {
        const std::size_t end =
            std::min(options.named_voters.find(',', begin), options.named_voters.size());
        PABAL_TRY_ASSIGN(raft::Voter voter,
                         parse_voter(options.named_voters.substr(begin, end - begin),
                                     config.controller_listener()));
        voters->push_back(std::move(voter));
        begin = end + 1;
    }
    std::sort(voters->begin(), voters->end(),
              [](const raft::Voter& a, const raft::Voter& b) { return a.id < b.id; });
    for (std::size_t i = 1; i < voters->size(); ++i)
        if ((*voters)[i - 1].id == (*voters)[i].id)
            return Error{ErrorCode::invalid_config, "the initial controllers name node " +
                                                        std::to_string((*voters)[i].id.value()) +
                                                        " twice"};
    return voters;
}

// With several controllers to ask nobody can guess which of them shall begin.
Status check_who_votes(const metadata::BrokerConfig& config, const NodeOptions& options,
                       const std::string& path) {
    const bool silent = options.first_voters == NodeOptions::FirstVoters::by_configuration;
    if (!silent || !config.asks_other_controllers()) return {};
    return refused(ErrorCode::invalid_config, path,
                   "is empty, and controller.quorum.bootstrap.servers names other controllers, but "
                   "nobody says who votes: start one with pabal-server --standalone, or all with "
                   "--initial-controllers, and those that join later with "
                   "--no-initial-controllers; or set controller.quorum.voters");
}

// A snapshot of nothing, which says who votes, as kafka-storage writes it.
IoStatus write_first_voters(io::Disk& disk, const std::string& path,
                            const metadata::BrokerConfig& config,
                            std::optional<raft::Voters>* voters, DirectoryId* directory,
                            WallTime now) {
    if (!*voters) return {};
    for (raft::Voter& voter : **voters) {
        if (voter.id != config.node_id()) continue;
        if (voter.directory.value().is_zero()) voter.directory = *directory;
        *directory = voter.directory;
    }
    const std::string log = path + "/" + std::string(metadata_log);
    PABAL_TRY(disk.make_directories(log));
    PABAL_TRY(disk.sync_directory(path));
    const metadata::QuorumRecords records{
        {record::ControlRecordType::kraft_version,
         raft::kraft_version_record(raft::dynamic_voters)},
        {record::ControlRecordType::kraft_voters, raft::voters_record(**voters)}};
    std::string content;
    for (const Bytes& batch : metadata::snapshot_batches({}, LeaderEpoch(0), now, now, records))
        content.append(batch.text());
    return io::replace_file(disk, log + "/" + metadata::SnapshotId{}.file_name(), content);
}

}  // namespace

Result<LogDirectories> claim_log_directories(io::Disk& disk, const metadata::BrokerConfig& config,
                                             const NodeOptions& options, Prng random,
                                             WallTime now) {
    std::vector<std::string> paths = config.log_directories();
    const std::string& metadata_path = config.metadata_log_directory();
    bool metadata_apart = std::find(paths.begin(), paths.end(), metadata_path) == paths.end();
    if (metadata_apart) paths.push_back(metadata_path);

    std::vector<Claimed> all;
    std::optional<std::string> cluster_id = options.cluster_id;
    std::string said_by = "the cluster id that was asked for";
    std::vector<DirectoryId> ids;
    for (const std::string& path : paths) {
        const bool expendable = paths.size() > 1 && path != metadata_path;
        PABAL_TRY_ASSIGN(Claimed claimed, claim(disk, path, options, expendable));
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

    PABAL_TRY_ASSIGN(std::optional<raft::Voters> first, first_voters(config, options));
    const bool has_company = config.quorum_voters().size() > 1 || !config.is_controller() ||
                             config.asks_other_controllers() || (first && first->size() > 1);
    if (!cluster_id && has_company)
        return refused(ErrorCode::invalid_config, metadata_path,
                       "is empty, and the nodes of a cluster must agree on its id: give the same "
                       "one to all of them (pabal-server --cluster-id), or format the directories "
                       "first");

    LogDirectories result;
    result.cluster_id = cluster_id ? *cluster_id : Uuid::random(random).text();
    for (Claimed& claimed : all) {
        if (!claimed.failure.empty()) {
            result.directories.emplace_back();
            result.directories.back().path = claimed.path;
            result.directories.back().failure = claimed.failure;
            continue;
        }
        bool unnamed = claimed.properties && claimed.properties->directory_id.value().is_zero();
        if (!claimed.properties || unnamed) {
            MetaProperties properties;
            properties.cluster_id = result.cluster_id;
            properties.node_id = config.node_id();
            properties.directory_id = DirectoryId(Uuid::random(random));
            if (claimed.path == metadata_path && !unnamed) {
                PABAL_TRY(check_who_votes(config, options, claimed.path));
                auto formatted = write_first_voters(disk, claimed.path, config, &first,
                                                    &properties.directory_id, now);
                if (!formatted.ok()) return failed(claimed.path, formatted.error());
            }
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
