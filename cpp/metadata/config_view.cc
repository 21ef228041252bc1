#include <algorithm>
#include <charconv>
#include <functional>
#include <string>
#include <variant>

#include "base/assert.h"
#include "metadata/broker_config.h"
#include "wire/config_table.h"

namespace pabal::metadata {
namespace {

using wire::ConfigRow;
using wire::ConfigScope;

std::optional<std::string> find(const ConfigMap& settings, std::string_view name) {
    auto found = settings.find(name);
    if (found == settings.end()) return std::nullopt;
    return found->second;
}

// A broker setting's value in the unit of the topic setting that falls back on it.
std::string scaled(const std::string& text, std::int64_t factor) {
    if (factor == 1) return text;
    std::int64_t value = 0;
    const char* end = text.data() + text.size();
    auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || rest != end) return text;
    if (value < 0) return "-1";
    if (value > INT64_MAX / factor) return std::to_string(INT64_MAX);
    return std::to_string(value * factor);
}

struct Candidate {
    ConfigSynonym place;
    std::int64_t factor = 1;
};

// Where the value of a broker setting can come from, best first; the default last.
void add_broker_candidates(const BrokerConfig& config, const ClusterImage& image,
                           const ConfigRow& row, std::int64_t factor,
                           std::vector<Candidate>& candidates) {
    const std::string node = std::to_string(config.node_id().value());
    const std::string name(row.name);
    if (row.update != wire::UpdateMode::read_only) {
        if (auto value = find(image.config(ResourceType::broker, node), name))
            candidates.push_back({{name, value, ConfigSource::dynamic_broker}, factor});
        if (auto value = find(image.config(ResourceType::broker, ""), name))
            candidates.push_back({{name, value, ConfigSource::dynamic_default_broker}, factor});
    }
    if (auto found = config.properties().find(name); found != config.properties().end())
        candidates.push_back({{name, found->second, ConfigSource::static_broker}, factor});
}

void add_default(const ConfigRow& row, std::int64_t factor, std::vector<Candidate>& candidates) {
    if (row.default_value)
        candidates.push_back(
            {{std::string(row.name), std::string(*row.default_value), ConfigSource::default_value},
             factor});
}

// Of a setting of topics or groups.
std::vector<Candidate> own_candidates(const BrokerConfig& config, const ClusterImage& image,
                                      const ConfigMap& settings, const ConfigRow& row) {
    std::vector<Candidate> candidates;
    const auto source = row.scope == ConfigScope::group ? ConfigSource::group : ConfigSource::topic;
    if (auto value = find(settings, row.name))
        candidates.push_back({{std::string(row.name), value, source}, 1});
    for (const wire::ConfigSynonym& synonym : row.synonyms)
        if (const ConfigRow* broker = wire::find_config(ConfigScope::broker, synonym.name))
            add_broker_candidates(config, image, *broker, synonym.factor, candidates);
    const std::size_t before = candidates.size();
    for (const wire::ConfigSynonym& synonym : row.synonyms)
        if (const ConfigRow* broker = wire::find_config(ConfigScope::broker, synonym.name))
            add_default(*broker, synonym.factor, candidates);
    if (candidates.size() == before) add_default(row, 1, candidates);
    return candidates;
}

EffectiveConfig effective(const ConfigRow& row, const std::vector<Candidate>& candidates) {
    EffectiveConfig result;
    result.name = std::string(row.name);
    result.sensitive = row.sensitive;
    result.read_only =
        row.scope == ConfigScope::broker && row.update == wire::UpdateMode::read_only;
    result.type = static_cast<std::int8_t>(row.type);
    result.documentation = std::string(row.doc);
    for (const Candidate& candidate : candidates) {
        // As in Kafka, a default is told under the name of the nearest broker setting or not at
        // all.
        const bool told =
            row.scope == ConfigScope::broker ||
            candidate.place.source != ConfigSource::default_value ||
            (!row.synonyms.empty() && candidate.place.name == row.synonyms.front().name);
        if (!told) continue;
        result.synonyms.push_back(candidate.place);
        if (row.sensitive) result.synonyms.back().value.reset();
    }
    if (candidates.empty()) return result;
    result.source = candidates.front().place.source;
    if (!row.sensitive)
        result.value = scaled(*candidates.front().place.value, candidates.front().factor);
    return result;
}

std::vector<EffectiveConfig> describe_own(const BrokerConfig& config, const ClusterImage& image,
                                          const ConfigMap& settings, ConfigScope scope) {
    std::vector<EffectiveConfig> configs;
    for (const ConfigRow& row : wire::config_table()) {
        if (row.scope == scope)
            configs.push_back(effective(row, own_candidates(config, image, settings, row)));
    }
    return configs;
}

const ConfigRow& topic_row(std::string_view name) {
    const ConfigRow* row = wire::find_config(ConfigScope::topic, name);
    ASSERT(row, "only settings of the table are read");
    return *row;
}

// A value that a former version, or Kafka, accepted may be outside of today's bounds: the default
// holds then.
template <class T>
T parsed(const ConfigRow& row, const std::optional<std::string>& text) {
    auto value = wire::parse_config(row, text.value_or(""));
    if (!value.ok()) value = wire::parse_config(row, row.default_value.value_or(""));
    ASSERT(value.ok() && std::holds_alternative<T>(*value), "a setting is read as its type");
    return std::get<T>(std::move(*value));
}

ConfigScope scope_of(ResourceType type) {
    switch (type) {
        case ResourceType::topic: return ConfigScope::topic;
        case ResourceType::group: return ConfigScope::group;
        default: return ConfigScope::broker;
    }
}

}  // namespace

std::optional<std::string> ConfigView::broker_value(std::string_view name) const {
    const ConfigRow* row = wire::find_config(ConfigScope::broker, name);
    ASSERT(row, "only settings of the table are read");
    std::vector<Candidate> candidates;
    add_broker_candidates(config_, image_, *row, 1, candidates);
    add_default(*row, 1, candidates);
    if (candidates.empty()) return std::nullopt;
    return candidates.front().place.value;
}

std::int64_t ConfigView::broker_integer(std::string_view name) const {
    return parsed<std::int64_t>(*wire::find_config(ConfigScope::broker, name), broker_value(name));
}
double ConfigView::broker_number(std::string_view name) const {
    return parsed<double>(*wire::find_config(ConfigScope::broker, name), broker_value(name));
}
bool ConfigView::broker_boolean(std::string_view name) const {
    return parsed<bool>(*wire::find_config(ConfigScope::broker, name), broker_value(name));
}

std::optional<std::string> ConfigView::topic_value(std::string_view topic,
                                                   std::string_view name) const {
    const auto candidates =
        own_candidates(config_, image_, image_.config(ResourceType::topic, topic), topic_row(name));
    if (candidates.empty()) return std::nullopt;
    return scaled(*candidates.front().place.value, candidates.front().factor);
}

std::int64_t ConfigView::topic_integer(std::string_view topic, std::string_view name) const {
    return parsed<std::int64_t>(topic_row(name), topic_value(topic, name));
}
double ConfigView::topic_number(std::string_view topic, std::string_view name) const {
    return parsed<double>(topic_row(name), topic_value(topic, name));
}
bool ConfigView::topic_boolean(std::string_view topic, std::string_view name) const {
    return parsed<bool>(topic_row(name), topic_value(topic, name));
}
std::vector<std::string> ConfigView::topic_list(std::string_view topic,
                                                std::string_view name) const {
    return parsed<std::vector<std::string>>(topic_row(name), topic_value(topic, name));
}

std::vector<EffectiveConfig> ConfigView::describe_topic(std::string_view topic) const {
    return describe_topic_with(image_.config(ResourceType::topic, topic));
}

std::vector<EffectiveConfig> ConfigView::describe_topic_with(const ConfigMap& settings) const {
    return describe_own(config_, image_, settings, ConfigScope::topic);
}

std::vector<EffectiveConfig> ConfigView::describe_group(std::string_view group) const {
    const ConfigMap& settings = image_.config(ResourceType::group, group);
    return describe_own(config_, image_, settings, ConfigScope::group);
}

std::vector<EffectiveConfig> ConfigView::describe_broker() const {
    std::vector<EffectiveConfig> configs;
    for (const ConfigRow& row : wire::config_table()) {
        if (row.scope != ConfigScope::broker) continue;
        std::vector<Candidate> candidates;
        add_broker_candidates(config_, image_, row, 1, candidates);
        add_default(row, 1, candidates);
        configs.push_back(effective(row, candidates));
    }
    return configs;
}

std::vector<EffectiveConfig> ConfigView::describe_broker_default() const {
    std::vector<EffectiveConfig> configs;
    for (const auto& [name, value] : image_.config(ResourceType::broker, "")) {
        const ConfigRow* row = wire::find_config(ConfigScope::broker, name);
        if (!row) continue;
        configs.push_back(
            effective(*row, {{{name, value, ConfigSource::dynamic_default_broker}, 1}}));
    }
    return configs;
}

Status ConfigView::validate_topic(const ConfigMap& settings) const {
    const auto value = [&](std::string_view name) {
        const ConfigRow& row = topic_row(name);
        const auto best = own_candidates(config_, image_, settings, row).front();
        return parsed<std::int64_t>(row, scaled(*best.place.value, best.factor));
    };
    const std::int64_t least = value("min.compaction.lag.ms");
    const std::int64_t most = value("max.compaction.lag.ms");
    if (least <= most) return {};
    return Error{ErrorCode::invalid_config,
                 "min.compaction.lag.ms is " + std::to_string(least) +
                     ", more than max.compaction.lag.ms, which is " + std::to_string(most)};
}

Status validate_config(ResourceType type, std::string_view name, std::string_view value) {
    const ConfigRow* row = wire::find_config(scope_of(type), name);
    if (!row) return wire::unknown_config(scope_of(type), name);
    if (auto parsed_value = wire::parse_config(*row, value); !parsed_value.ok())
        return parsed_value.error();
    return {};
}

Status validate_dynamic_config(const ConfigResource& resource, std::string_view name,
                               std::string_view value) {
    PABAL_TRY(validate_config(resource.type, name, value));
    if (resource.type != ResourceType::broker) return {};
    const ConfigRow& row = *wire::find_config(ConfigScope::broker, name);
    if (row.update == wire::UpdateMode::read_only)
        return Error{ErrorCode::invalid_request,
                     "Setting '" + std::string(name) +
                         "' is read when the broker starts: change its properties file and " +
                         "start it again."};
    if (row.update == wire::UpdateMode::per_broker && resource.name.empty())
        return Error{ErrorCode::invalid_request,
                     "Setting '" + std::string(name) +
                         "' belongs to a single broker and has no default for all: name one."};
    return {};
}

bool is_list_config(ResourceType type, std::string_view name) {
    const ConfigRow* row = wire::find_config(scope_of(type), name);
    return row && row->type == wire::ConfigType::list;
}

}  // namespace pabal::metadata
