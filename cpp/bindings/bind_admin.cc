#include <pybind11/stl.h>
#include <unistd.h>

#include "bindings/module.h"
#include "bindings/options.h"
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

Offsets offsets(const std::vector<client::PartitionOffset>& found) {
    Offsets out;
    for (const auto& one : found) out.emplace_back(one.partition.value(), one.offset.value());
    return out;
}

class Admin {
public:
    explicit Admin(const std::string& bootstrap_servers)
        : pid_(getpid()),
          admin_(std::make_unique<embedded::Admin>(parse_bootstrap(bootstrap_servers))) {}
    ~Admin() {
        if (pid_ != getpid()) static_cast<void>(admin_.release());
        close();
    }

    std::string create_topic(std::string name, int partitions, int replication_factor,
                             std::vector<std::pair<std::string, std::string>> configs,
                             double timeout) {
        if (replication_factor < INT16_MIN || replication_factor > INT16_MAX) {
            throw py::value_error("the replication factor is out of range: " +
                                  std::to_string(replication_factor));
        }
        auto result =
            live().ask(&client::Admin::create_topic,
                       {std::move(name), partitions, static_cast<std::int16_t>(replication_factor),
                        std::move(configs)},
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
    // Leader, leader epoch, high watermark.
    std::tuple<int, int, std::int64_t> quorum(double timeout) {
        auto result = live().ask(&client::Admin::describe_quorum, duration(timeout));
        const client::QuorumDescription description = value_of(result);
        return {description.leader.value(), description.leader_epoch.value(),
                description.high_watermark.value()};
    }
    void create_partitions(std::string topic, int count, double timeout) {
        auto result = live().ask(&client::Admin::create_partitions, std::move(topic), count,
                                 duration(timeout));
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
    void alter_configs(int resource, std::string name,
                       std::vector<std::pair<std::string, std::optional<std::string>>> changes,
                       double timeout) {
        auto result =
            live().ask(&client::Admin::alter_configs, static_cast<client::ConfigResource>(resource),
                       std::move(name), std::move(changes), duration(timeout));
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
        py::gil_scoped_release released;
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
    void check(std::future<Status>& future) {
        const Status status = wait_for(future);
        if (!status.ok()) raise(status.error());
    }
    template <class T>
    T value_of(std::future<Result<T>>& future) {
        Result<T> result = wait_for(future);
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
    py::class_<Admin>(module, "Admin")
        .def(py::init<const std::string&>(), py::arg("bootstrap_servers"))
        .def("create_topic", &Admin::create_topic, py::arg("name"), py::arg("partitions"),
             py::arg("replication_factor"), py::arg("configs"), py::arg("timeout"))
        .def("delete_topic", &Admin::delete_topic, py::arg("name"), py::arg("timeout"))
        .def("describe_topic", &Admin::describe_topic, py::arg("name"), py::arg("timeout") = 30.0)
        .def("list_topics", &Admin::list_topics, py::arg("timeout") = 30.0,
             py::arg("internal") = false)
        .def("create_partitions", &Admin::create_partitions, py::arg("topic"), py::arg("count"),
             py::arg("timeout") = 30.0)
        .def("describe_configs", &Admin::describe_configs, py::arg("resource"), py::arg("name"),
             py::arg("timeout") = 30.0)
        .def("alter_configs", &Admin::alter_configs, py::arg("resource"), py::arg("name"),
             py::arg("changes"), py::arg("timeout") = 30.0)
        .def("list_offsets", &Admin::list_offsets, py::arg("topic"), py::arg("timestamp"),
             py::arg("timeout") = 30.0)
        .def("delete_records", &Admin::delete_records, py::arg("topic"), py::arg("before"),
             py::arg("timeout") = 30.0)
        .def("list_groups", &Admin::list_groups, py::arg("timeout") = 30.0)
        .def("describe_group", &Admin::describe_group, py::arg("id"), py::arg("timeout") = 30.0)
        .def("committed_offsets", &Admin::committed_offsets, py::arg("group"),
             py::arg("timeout") = 30.0)
        .def("commit_offsets", &Admin::commit_offsets, py::arg("group"), py::arg("offsets"),
             py::arg("timeout") = 30.0)
        .def("delete_offsets", &Admin::delete_offsets, py::arg("group"), py::arg("topic"),
             py::arg("partitions"), py::arg("timeout") = 30.0)
        .def("delete_group", &Admin::delete_group, py::arg("id"), py::arg("timeout") = 30.0)
        .def("describe_topics", &Admin::describe_topics, py::arg("timeout") = 30.0)
        .def("quorum", &Admin::quorum, py::arg("timeout") = 30.0)
        .def("close", &Admin::close);
}

}  // namespace pabal::bindings
