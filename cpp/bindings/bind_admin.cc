#include <pybind11/stl.h>
#include <unistd.h>

#include "bindings/module.h"
#include "bindings/options.h"
#include "bindings/released.h"
#include "bindings/waiting.h"
#include "embedded/admin.h"

namespace py = pybind11;

namespace pabal::bindings {
namespace {

struct Topic {
    std::string id;
    std::string name;
    bool internal = false;
    std::vector<std::tuple<int, int, int, std::vector<int>, std::vector<int>>> partitions;
};

std::vector<int> numbers(const std::vector<BrokerId>& ids) {
    std::vector<int> out;
    out.reserve(ids.size());
    for (const BrokerId id : ids) out.push_back(id.value());
    return out;
}

Topic topic(const client::TopicDescription& description) {
    Topic out{description.id.value().text(), description.name, description.internal, {}};
    for (const auto& partition : description.partitions) {
        out.partitions.emplace_back(partition.partition.value(), partition.leader.value(),
                                    partition.leader_epoch.value(), numbers(partition.replicas),
                                    numbers(partition.isr));
    }
    return out;
}

// name, value, source, read only, sensitive.
using Synonym = std::tuple<std::string, std::optional<std::string>, int>;
using Setting =
    std::tuple<std::string, std::optional<std::string>, int, bool, bool, std::vector<Synonym>>;
// partition, offset.
using Offsets = std::vector<std::pair<int, std::int64_t>>;
// id, instance id, client id, host, assignment.
using Member = std::tuple<std::string, std::optional<std::string>, std::string, std::string,
                          std::vector<std::pair<std::string, int>>>;

// topic, partition.
using Place = std::pair<std::string, int>;
// topic, partition, error code, message.
using Outcome = std::tuple<std::string, int, int, std::string>;
// id, directory id, log end offset, last fetch, last caught up.
using Voter = std::tuple<int, std::string, std::int64_t, std::int64_t, std::int64_t>;
// name, least version, greatest version.
using Feature = std::tuple<std::string, int, int>;
using Replicas = std::vector<std::vector<int>>;

std::vector<BrokerId> broker_ids(const std::vector<int>& numbers) {
    return {numbers.begin(), numbers.end()};
}

std::vector<std::vector<BrokerId>> broker_ids(const Replicas& replicas) {
    std::vector<std::vector<BrokerId>> out;
    for (const auto& numbers : replicas) out.push_back(broker_ids(numbers));
    return out;
}

std::optional<std::vector<client::NamedPartition>> named(
    const std::optional<std::vector<Place>>& places) {
    if (!places) return std::nullopt;
    std::vector<client::NamedPartition> out;
    for (const auto& [topic, partition] : *places)
        out.push_back({topic, PartitionIndex(partition)});
    return out;
}

std::vector<Outcome> outcomes(const std::vector<client::PartitionOutcome>& all) {
    std::vector<Outcome> out;
    for (const auto& one : all) {
        out.emplace_back(one.partition.topic, one.partition.partition.value(),
                         static_cast<int>(one.code),
                         one.message.empty() && one.code != ErrorCode::none
                             ? std::string(error_message(one.code))
                             : one.message);
    }
    return out;
}

std::vector<Voter> voters(const std::vector<client::QuorumReplica>& replicas) {
    std::vector<Voter> out;
    for (const auto& one : replicas) {
        out.emplace_back(one.id.value(), one.directory.value().text(), one.log_end_offset.value(),
                         one.last_fetch, one.last_caught_up);
    }
    return out;
}

std::vector<Feature> features(std::vector<client::FeatureVersions>&& versions) {
    std::vector<Feature> out;
    for (auto& one : versions) out.emplace_back(std::move(one.name), one.least, one.most);
    return out;
}

Offsets offsets(const std::vector<client::PartitionOffset>& found) {
    Offsets out;
    for (const auto& one : found) out.emplace_back(one.partition.value(), one.offset.value());
    return out;
}

class Admin {
public:
    Admin(const std::string& bootstrap_servers, std::string client_id, double request_timeout)
        : pid_(getpid()),
          admin_(std::make_unique<embedded::Admin>(
              parse_bootstrap(bootstrap_servers),
              client::Admin::Options{std::move(client_id), duration(request_timeout)})) {}
    ~Admin() { close(); }

    std::string create_topic(std::string name, int partitions, int replication_factor,
                             std::vector<std::pair<std::string, std::string>> configs,
                             double timeout, const Replicas& replicas, bool validate_only) {
        if (replication_factor < INT16_MIN || replication_factor > INT16_MAX) {
            throw py::value_error("the replication factor is out of range: " +
                                  std::to_string(replication_factor));
        }
        auto result =
            live().ask(&client::Admin::create_topic,
                       {std::move(name), partitions, static_cast<std::int16_t>(replication_factor),
                        std::move(configs), broker_ids(replicas), validate_only},
                       duration(timeout));
        return value_of(result).value().text();
    }
    void delete_topic(std::string name, double timeout) {
        auto result = live().ask(&client::Admin::delete_topic, std::move(name), duration(timeout));
        check(result);
    }
    Topic describe_topic(std::string name, double timeout) {
        auto result =
            live().ask(&client::Admin::describe_topic, std::move(name), duration(timeout));
        return topic(value_of(result));
    }
    std::vector<std::pair<std::string, std::string>> list_topics(double timeout, bool internal) {
        auto result = live().ask(&client::Admin::list_topics, duration(timeout));
        std::vector<std::pair<std::string, std::string>> names;
        for (const auto& description : value_of(result)) {
            if (description.internal && !internal) continue;
            names.emplace_back(description.name, description.id.value().text());
        }
        return names;
    }
    // The internal ones, too.
    std::vector<Topic> describe_topics(double timeout) {
        auto result = live().ask(&client::Admin::list_topics, duration(timeout));
        std::vector<Topic> topics;
        for (auto& description : value_of(result)) topics.push_back(topic(std::move(description)));
        return topics;
    }
    // Leader, leader epoch, high watermark, voters, observers.
    std::tuple<int, int, std::int64_t, std::vector<Voter>, std::vector<Voter>> quorum(
        double timeout) {
        auto result = live().ask(&client::Admin::describe_quorum, duration(timeout));
        const client::QuorumDescription description = value_of(result);
        return {description.leader.value(), description.leader_epoch.value(),
                description.high_watermark.value(), voters(description.voters),
                voters(description.observers)};
    }
    // Cluster id, controller, and of each broker id, host, port, rack, fenced.
    std::tuple<std::string, int,
               std::vector<std::tuple<int, std::string, int, std::optional<std::string>, bool>>>
    describe_cluster(bool fenced, double timeout) {
        auto result = live().ask(&client::Admin::describe_cluster, fenced, duration(timeout));
        client::ClusterDescription description = value_of(result);
        std::vector<std::tuple<int, std::string, int, std::optional<std::string>, bool>> brokers;
        for (auto& broker : description.brokers) {
            brokers.emplace_back(broker.id.value(), std::move(broker.host), broker.port,
                                 std::move(broker.rack), broker.fenced);
        }
        return {std::move(description.id), description.controller.value(), std::move(brokers)};
    }
    // Finalized, supported, epoch.
    std::tuple<std::vector<Feature>, std::vector<Feature>, std::int64_t> describe_features(
        double timeout) {
        auto result = live().ask(&client::Admin::describe_features, duration(timeout));
        client::FeatureDescription description = value_of(result);
        return {features(std::move(description.finalized)),
                features(std::move(description.supported)), description.epoch};
    }
    // Name, level, type of upgrade.
    void update_features(const std::vector<std::tuple<std::string, int, int>>& updates,
                         bool validate_only, double timeout) {
        std::vector<client::FeatureUpdate> asked;
        for (const auto& [name, level, type] : updates) {
            asked.push_back(
                {name, static_cast<std::int16_t>(level), static_cast<std::int8_t>(type)});
        }
        auto result = live().ask(&client::Admin::update_features, std::move(asked), validate_only,
                                 duration(timeout));
        check(result);
    }
    std::vector<Outcome> elect_leaders(bool unclean,
                                       const std::optional<std::vector<Place>>& partitions,
                                       double timeout) {
        auto result = live().ask(&client::Admin::elect_leaders, unclean, named(partitions),
                                 duration(timeout));
        return outcomes(value_of(result));
    }
    // Topic, partition, replicas or none to end what is under way.
    std::vector<Outcome> alter_reassignments(
        std::vector<std::tuple<std::string, int, std::optional<std::vector<int>>>> wanted,
        double timeout) {
        std::vector<client::Reassignment> asked;
        for (auto& [topic, partition, replicas] : wanted) {
            auto& one = asked.emplace_back();
            one.partition = {std::move(topic), PartitionIndex(partition)};
            if (replicas) one.replicas = broker_ids(*replicas);
        }
        auto result =
            live().ask(&client::Admin::alter_reassignments, std::move(asked), duration(timeout));
        return outcomes(value_of(result));
    }
    // Topic, partition, replicas, those that are added, those that go.
    std::vector<std::tuple<std::string, int, std::vector<int>, std::vector<int>, std::vector<int>>>
    list_reassignments(const std::optional<std::vector<Place>>& partitions, double timeout) {
        auto result =
            live().ask(&client::Admin::list_reassignments, named(partitions), duration(timeout));
        std::vector<
            std::tuple<std::string, int, std::vector<int>, std::vector<int>, std::vector<int>>>
            out;
        for (const auto& one : value_of(result)) {
            out.emplace_back(one.partition.topic, one.partition.partition.value(),
                             numbers(one.replicas), numbers(one.adding), numbers(one.removing));
        }
        return out;
    }
    // Broker, path, error code, bytes of the volume, usable ones, and of each replica topic,
    // partition, bytes, offset lag, whether it is a future one.
    std::vector<
        std::tuple<int, std::string, int, std::int64_t, std::int64_t,
                   std::vector<std::tuple<std::string, int, std::int64_t, std::int64_t, bool>>>>
    describe_log_dirs(const std::optional<std::vector<int>>& brokers, double timeout) {
        std::optional<std::vector<BrokerId>> asked;
        if (brokers) asked = broker_ids(*brokers);
        auto result =
            live().ask(&client::Admin::describe_log_dirs, std::move(asked), duration(timeout));
        std::vector<
            std::tuple<int, std::string, int, std::int64_t, std::int64_t,
                       std::vector<std::tuple<std::string, int, std::int64_t, std::int64_t, bool>>>>
            out;
        for (auto& directory : value_of(result)) {
            std::vector<std::tuple<std::string, int, std::int64_t, std::int64_t, bool>> replicas;
            for (auto& one : directory.replicas) {
                replicas.emplace_back(std::move(one.partition.topic),
                                      one.partition.partition.value(), one.bytes, one.offset_lag,
                                      one.is_future);
            }
            out.emplace_back(directory.broker.value(), std::move(directory.path),
                             static_cast<int>(directory.code), directory.total_bytes,
                             directory.usable_bytes, std::move(replicas));
        }
        return out;
    }
    void create_partitions(std::string topic, int count, double timeout, const Replicas& replicas) {
        auto result = live().ask(&client::Admin::create_partitions, std::move(topic), count,
                                 broker_ids(replicas), duration(timeout));
        check(result);
    }
    std::vector<Setting> describe_configs(int resource, std::string name, double timeout) {
        auto result = live().ask(&client::Admin::describe_configs,
                                 static_cast<client::ConfigResource>(resource), std::move(name),
                                 duration(timeout));
        std::vector<Setting> settings;
        for (auto& config : value_of(result)) {
            std::vector<Synonym> synonyms;
            for (auto& synonym : config.synonyms) {
                synonyms.emplace_back(std::move(synonym.name), std::move(synonym.value),
                                      synonym.source);
            }
            settings.emplace_back(std::move(config.name), std::move(config.value), config.source,
                                  config.read_only, config.sensitive, std::move(synonyms));
        }
        return settings;
    }
    // Name, Kafka's number of the operation, value.
    void alter_configs(
        int resource, std::string name,
        std::vector<std::tuple<std::string, int, std::optional<std::string>>> changes,
        double timeout, bool validate_only) {
        std::vector<client::ConfigChange> asked;
        for (auto& [key, operation, value] : changes) {
            asked.push_back({std::move(key), static_cast<client::ConfigOperation>(operation),
                             std::move(value)});
        }
        auto result =
            live().ask(&client::Admin::alter_configs, static_cast<client::ConfigResource>(resource),
                       std::move(name), std::move(asked), validate_only, duration(timeout));
        check(result);
    }
    Offsets list_offsets(std::string topic, std::int64_t timestamp, double timeout) {
        auto result = live().ask(&client::Admin::list_offsets, std::move(topic), timestamp,
                                 duration(timeout));
        return offsets(value_of(result));
    }
    Offsets delete_records(std::string topic, const Offsets& before, double timeout) {
        std::vector<client::PartitionOffset> asked;
        for (const auto& [partition, offset] : before) {
            asked.push_back({PartitionIndex(partition), Offset(offset)});
        }
        auto result = live().ask(&client::Admin::delete_records, std::move(topic), std::move(asked),
                                 duration(timeout));
        return offsets(value_of(result));
    }
    std::vector<std::tuple<std::string, std::string, std::string, std::string>> list_groups(
        double timeout) {
        auto result = live().ask(&client::Admin::list_groups, duration(timeout));
        std::vector<std::tuple<std::string, std::string, std::string, std::string>> groups;
        for (auto& group : value_of(result)) {
            groups.emplace_back(std::move(group.id), std::move(group.type),
                                std::move(group.protocol_type), std::move(group.state));
        }
        return groups;
    }
    // type, state, assignor, coordinator, epoch, members.
    std::tuple<std::string, std::string, std::string, int, int, std::vector<Member>> describe_group(
        std::string id, double timeout) {
        auto result = live().ask(&client::Admin::describe_group, std::move(id), duration(timeout));
        client::GroupDescription group = value_of(result);
        std::vector<Member> members;
        for (auto& member : group.members) {
            std::vector<std::pair<std::string, int>> assignment;
            for (auto& [topic, partition] : member.assignment) {
                assignment.emplace_back(std::move(topic), partition.value());
            }
            members.emplace_back(std::move(member.id), std::move(member.instance_id),
                                 std::move(member.client_id), std::move(member.host),
                                 std::move(assignment));
        }
        return {std::move(group.type),
                std::move(group.state),
                std::move(group.assignor),
                group.coordinator.value(),
                group.epoch,
                std::move(members)};
    }
    std::vector<std::tuple<std::string, int, std::int64_t>> committed_offsets(std::string group,
                                                                              double timeout) {
        auto result =
            live().ask(&client::Admin::committed_offsets, std::move(group), duration(timeout));
        std::vector<std::tuple<std::string, int, std::int64_t>> committed;
        for (auto& offset : value_of(result)) {
            committed.emplace_back(std::move(offset.topic), offset.partition.value(),
                                   offset.offset.value());
        }
        return committed;
    }
    void commit_offsets(std::string group,
                        const std::vector<std::tuple<std::string, int, std::int64_t>>& offsets,
                        double timeout) {
        std::vector<client::CommittedOffset> asked;
        for (const auto& [topic, partition, offset] : offsets) {
            if (offset < 0)
                throw py::value_error("an offset is 0 or more, not " + std::to_string(offset));
            asked.push_back({topic, PartitionIndex(partition), Offset(offset)});
        }
        auto result = live().ask(&client::Admin::commit_offsets, std::move(group), std::move(asked),
                                 duration(timeout));
        check(result);
    }
    void delete_offsets(std::string group, std::string topic, const std::vector<int>& partitions,
                        double timeout) {
        std::vector<PartitionIndex> asked(partitions.begin(), partitions.end());
        auto result = live().ask(&client::Admin::delete_offsets, std::move(group), std::move(topic),
                                 std::move(asked), duration(timeout));
        check(result);
    }
    void delete_group(std::string id, double timeout) {
        auto result = live().ask(&client::Admin::delete_group, std::move(id), duration(timeout));
        check(result);
    }
    void close() {
        if (!admin_) return;
        if (pid_ != getpid()) {
            // Its thread is the parent's, and cannot be waited for.
            static_cast<void>(admin_.release());
            return;
        }
        const Released released;
        admin_.reset();
    }

private:
    embedded::Admin& live() const {
        if (pid_ != getpid() || !admin_) {
            PyErr_SetString(PyExc_RuntimeError,
                            admin_ ? "this client belongs to the parent of a fork; make a new one"
                                   : "the client is closed");
            throw py::error_already_set();
        }
        return *admin_;
    }
    // What a call brings; another thread may close the client meanwhile.
    template <class T>
    T answer(std::future<T>& future) {
        while (!wait_until_ready(future, 0)) static_cast<void>(live());
        return future.get();
    }
    void check(std::future<Status>& future) {
        const Status status = answer(future);
        if (!status.ok()) raise(status.error());
    }
    template <class T>
    T value_of(std::future<Result<T>>& future) {
        Result<T> result = answer(future);
        if (!result.ok()) raise(result.error());
        return std::move(result).value();
    }

    pid_t pid_;
    std::unique_ptr<embedded::Admin> admin_;
};

}  // namespace

void bind_admin(py::module_& module) {
    py::class_<Topic>(module, "TopicDescription")
        .def_readonly("id", &Topic::id)
        .def_readonly("name", &Topic::name)
        .def_readonly("internal", &Topic::internal)
        .def_readonly("partitions", &Topic::partitions);
    const double patience = 30.0;
    const Replicas by_the_brokers;
    const std::optional<std::vector<Place>> all;
    py::class_<Admin>(module, "Admin")
        .def(py::init<const std::string&, std::string, double>(), py::arg("bootstrap_servers"),
             py::arg("client_id") = "pabal-admin", py::arg("request_timeout") = patience)
        .def("create_topic", &Admin::create_topic, py::arg("name"), py::arg("partitions"),
             py::arg("replication_factor"), py::arg("configs"), py::arg("timeout"),
             py::arg("replicas") = by_the_brokers, py::arg("validate_only") = false)
        .def("delete_topic", &Admin::delete_topic, py::arg("name"), py::arg("timeout"))
        .def("describe_topic", &Admin::describe_topic, py::arg("name"),
             py::arg("timeout") = patience)
        .def("list_topics", &Admin::list_topics, py::arg("timeout") = patience,
             py::arg("internal") = false)
        .def("create_partitions", &Admin::create_partitions, py::arg("topic"), py::arg("count"),
             py::arg("timeout") = patience, py::arg("replicas") = by_the_brokers)
        .def("describe_configs", &Admin::describe_configs, py::arg("resource"), py::arg("name"),
             py::arg("timeout") = patience)
        .def("alter_configs", &Admin::alter_configs, py::arg("resource"), py::arg("name"),
             py::arg("changes"), py::arg("timeout") = patience, py::arg("validate_only") = false)
        .def("list_offsets", &Admin::list_offsets, py::arg("topic"), py::arg("timestamp"),
             py::arg("timeout") = patience)
        .def("delete_records", &Admin::delete_records, py::arg("topic"), py::arg("before"),
             py::arg("timeout") = patience)
        .def("list_groups", &Admin::list_groups, py::arg("timeout") = patience)
        .def("describe_group", &Admin::describe_group, py::arg("id"), py::arg("timeout") = patience)
        .def("committed_offsets", &Admin::committed_offsets, py::arg("group"),
             py::arg("timeout") = patience)
        .def("commit_offsets", &Admin::commit_offsets, py::arg("group"), py::arg("offsets"),
             py::arg("timeout") = patience)
        .def("delete_offsets", &Admin::delete_offsets, py::arg("group"), py::arg("topic"),
             py::arg("partitions"), py::arg("timeout") = patience)
        .def("delete_group", &Admin::delete_group, py::arg("id"), py::arg("timeout") = patience)
        .def("describe_topics", &Admin::describe_topics, py::arg("timeout") = patience)
        .def("quorum", &Admin::quorum, py::arg("timeout") = patience)
        .def("describe_cluster", &Admin::describe_cluster, py::arg("fenced") = false,
             py::arg("timeout") = patience)
        .def("describe_features", &Admin::describe_features, py::arg("timeout") = patience)
        .def("update_features", &Admin::update_features, py::arg("updates"),
             py::arg("validate_only") = false, py::arg("timeout") = patience)
        .def("elect_leaders", &Admin::elect_leaders, py::arg("unclean") = false,
             py::arg("partitions") = all, py::arg("timeout") = patience)
        .def("alter_reassignments", &Admin::alter_reassignments, py::arg("reassignments"),
             py::arg("timeout") = patience)
        .def("list_reassignments", &Admin::list_reassignments, py::arg("partitions") = all,
             py::arg("timeout") = patience)
        .def("describe_log_dirs", &Admin::describe_log_dirs, py::arg("brokers") = py::none(),
             py::arg("timeout") = patience)
        .def("close", &Admin::close);
}

}  // namespace pabal::bindings
