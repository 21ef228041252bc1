#include "sim/cluster/scenario.h"

#include <fstream>
#include <set>
#include <sstream>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace pabal::sim {
namespace {

// Reads a table and remembers what is wrong with it: unknown keys, wrong types.
class Section {
public:
    Section(const toml::table& table, std::string where)
        : table_(table), where_(std::move(where)) {}

    void read(std::string_view key, std::string& out) { take<std::string>(key, out); }
    void read(std::string_view key, bool& out) { take<bool>(key, out); }
    template <class Integer>
    void read_integer(std::string_view key, Integer& out) {
        std::int64_t value = static_cast<std::int64_t>(out);
        take<std::int64_t>(key, value);
        out = static_cast<Integer>(value);
    }
    // `key`: milliseconds.
    void read(std::string_view key, Duration& out) {
        std::int64_t value = out.to_milliseconds();
        take<std::int64_t>(key, value);
        out = Duration::milliseconds(value);
    }
    void read_microseconds(std::string_view key, Duration& out) {
        std::int64_t value = out.to_microseconds();
        take<std::int64_t>(key, value);
        out = Duration::microseconds(value);
    }
    // [least, most] in milliseconds.
    void read(std::string_view key, DurationRange& out) {
        std::vector<std::int64_t> both;
        if (!read_list(key, both)) return;
        if (both.size() != 2 || both[0] < 0 || both[1] < both[0]) {
            fail(key, "must be [least, most] in milliseconds");
            return;
        }
        out = {Duration::milliseconds(both[0]), Duration::milliseconds(both[1])};
    }
    template <class Element>
    bool read_list(std::string_view key, std::vector<Element>& out) {
        known_.insert(std::string(key));
        const auto* node = table_.get(key);
        if (!node) return false;
        const auto* array = node->as_array();
        if (!array) {
            fail(key, "must be a list");
            return false;
        }
        for (const auto& element : *array) {
            const auto value = element.template value<Element>();
            if (!value) {
                fail(key, "has an element of another type");
                return false;
            }
            out.push_back(*value);
        }
        return true;
    }
    // A table of settings; numbers and booleans become texts.
    void read(std::string_view key, std::map<std::string, std::string>& out) {
        known_.insert(std::string(key));
        const auto* node = table_.get(key);
        if (!node) return;
        const auto* table = node->as_table();
        if (!table) {
            fail(key, "must be a table");
            return;
        }
        for (const auto& [name, value] : *table) {
            const std::string setting(name.str());
            if (const auto text = value.value_exact<std::string>()) {
                out[setting] = *text;
            } else if (const auto number = value.value_exact<std::int64_t>()) {
                out[setting] = std::to_string(*number);
            } else if (const auto flag = value.value_exact<bool>()) {
                out[setting] = *flag ? "true" : "false";
            } else {
                fail(key, "has a setting that is neither text nor number: " + setting);
            }
        }
    }
    // A table of integers.
    template <class Integer>
    void read_integers(std::string_view key, std::map<std::string, Integer>& out) {
        with(key, [&](const toml::table& table) {
            Section section(table, where_ + ": " + std::string(key));
            for (const auto& [name, value] : table)
                section.read_integer(name.str(), out[std::string(name.str())]);
            if (const auto wrong = section.finish(); !wrong.empty() && error_.empty())
                error_ = wrong;
        });
    }
    // Calls `visit` with the table, if it is there.
    template <class Visit>
    void with(std::string_view key, Visit visit) {
        known_.insert(std::string(key));
        const auto* node = table_.get(key);
        if (!node) return;
        if (const auto* table = node->as_table()) {
            visit(*table);
        } else {
            fail(key, "must be a table");
        }
    }
    // Calls `visit` with each table of a list of tables.
    template <class Visit>
    void for_each(std::string_view key, Visit visit) {
        known_.insert(std::string(key));
        const auto* node = table_.get(key);
        if (!node) return;
        const auto* array = node->as_array();
        if (!array) {
            fail(key, "must be a list of tables");
            return;
        }
        for (const auto& element : *array) {
            if (const auto* table = element.as_table()) visit(*table);
        }
    }
    void fail(std::string_view key, const std::string& why) {
        if (error_.empty()) error_ = where_ + ": " + std::string(key) + " " + why;
    }
    // What was wrong, or nothing.
    std::string finish() {
        for (const auto& [key, value] : table_) {
            if (!known_.contains(std::string(key.str()))) fail(key.str(), "is no key here");
        }
        return error_;
    }

private:
    template <class Value>
    void take(std::string_view key, Value& out) {
        known_.insert(std::string(key));
        const auto* node = table_.get(key);
        if (!node) return;
        const auto value = node->value_exact<Value>();
        if (!value) {
            fail(key, "has the wrong type");
        } else {
            out = *value;
        }
    }

    const toml::table& table_;
    std::string where_;
    std::set<std::string> known_;
    std::string error_;
};

}  // namespace

Result<Scenario> parse_scenario(std::string_view content, const std::string& name) {
    const auto parsed = toml::parse(content);
    if (!parsed) {
        std::ostringstream position;
        position << parsed.error().source().begin;
        return Error{
            ErrorCode::invalid_config,
            name + ": " + std::string(parsed.error().description()) + " at " + position.str()};
    }
    Scenario scenario;
    scenario.name = name;
    std::string error;
    const auto note = [&error](std::string found) {
        if (error.empty()) error = std::move(found);
    };
    Section top(parsed.table(), name);
    top.read("description", scenario.description);
    top.read("safety_ms", scenario.safety);
    top.read("liveness_ms", scenario.liveness);
    top.read_integer("brokers", scenario.brokers);
    top.read("broker", scenario.broker_config);
    top.read_integers("features", scenario.features);
    top.read_integer("disk_bytes", scenario.disk_bytes);
    top.read_list("must_reach", scenario.must_reach);
    top.for_each("regression", [&](const toml::table& table) {
        RegressionSeed regression;
        Section section(table, name + ": regression");
        section.read_integer("seed", regression.seed);
        section.read("broke", regression.broke);
        note(section.finish());
        scenario.regressions.push_back(std::move(regression));
    });
    top.with("network", [&](const toml::table& table) {
        Section section(table, name + ": network");
        section.read_microseconds("latency_least_us", scenario.network.latency_least);
        section.read_microseconds("latency_most_us", scenario.network.latency_most);
        section.read_microseconds("latency_tail_us", scenario.network.latency_tail);
        section.read_integer("tail_one_in", scenario.network.tail_one_in);
        section.read_integer("window_bytes", scenario.network.window_bytes);
        section.read_integer("resets_per_million", scenario.network.resets_per_million);
        note(section.finish());
    });
    top.for_each("topic", [&](const toml::table& table) {
        TopicSpec topic;
        Section section(table, name + ": topic");
        section.read("name", topic.name);
        section.read_integer("partitions", topic.partitions);
        section.read_integer("replication_factor", topic.replication_factor);
        section.read("config", topic.config);
        note(section.finish());
        scenario.topics.push_back(std::move(topic));
    });
    top.for_each("workload", [&](const toml::table& table) {
        WorkloadSpec workload;
        Section section(table, name + ": workload");
        section.read("kind", workload.kind);
        section.read_integer("clients", workload.clients);
        section.read("idempotent", workload.idempotent);
        section.read_integer("transaction_version", workload.transaction_version);
        section.read("commits", workload.commits);
        std::vector<std::int64_t> acks;
        if (section.read_list("acks", acks)) workload.acks.assign(acks.begin(), acks.end());
        section.read_integer("batch_records_max", workload.batch_records_max);
        section.read("pause_ms", workload.pause);
        note(section.finish());
        scenario.workloads.push_back(std::move(workload));
    });
    top.for_each("fault", [&](const toml::table& table) {
        FaultSpec fault;
        Section section(table, name + ": fault");
        section.read("kind", fault.kind);
        section.read_integer("most", fault.most);
        section.read("every_ms", fault.every);
        section.read("lasts_ms", fault.lasts);
        note(section.finish());
        scenario.faults.push_back(std::move(fault));
    });
    note(top.finish());
    if (scenario.topics.empty()) note(name + ": a scenario needs a topic");
    if (scenario.brokers == 0) note(name + ": a scenario needs a broker");
    for (const auto& workload : scenario.workloads) {
        if (workload.acks.empty()) note(name + ": workload: acks must not be empty");
    }
    if (!error.empty()) return Error{ErrorCode::invalid_config, error};
    return scenario;
}

Result<Scenario> load_scenario(const std::string& path) {
    std::ifstream file(path);
    if (!file) return Error{ErrorCode::invalid_config, "cannot read the scenario " + path};
    std::ostringstream content;
    content << file.rdbuf();
    const auto slash = path.rfind('/');
    auto name = slash == std::string::npos ? path : path.substr(slash + 1);
    if (name.ends_with(".toml")) name.resize(name.size() - 5);
    return parse_scenario(content.str(), name);
}

}  // namespace pabal::sim
