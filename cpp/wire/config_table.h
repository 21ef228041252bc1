// The table of settings as cpp/schema/configs.table states it, and the one place where a setting's
// text becomes a value: server.properties, CreateTopics and IncrementalAlterConfigs all come here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace pabal::wire {

// As in DescribeConfigs (KIP-226).
enum class ConfigType : std::int8_t {
    boolean = 1,
    string = 2,
    int32 = 3,
    int16 = 4,
    int64 = 5,
    float64 = 6,
    list = 7,
    password = 9,
};

// The type of resource that has the setting, with the number it has in requests and ConfigRecord.
enum class ConfigScope : std::int8_t { topic = 2, broker = 4, group = 32 };

// How far a broker setting can change while the broker runs. Those of topics and groups always can.
enum class UpdateMode { read_only, per_broker, cluster_wide };

// A broker setting that one of a topic or group falls back on; its value times `factor` is theirs.
struct ConfigSynonym {
    std::string_view name;
    std::int64_t factor;
};

// A value that Kafka permits and we refuse, and why.
struct RefusedValue {
    std::string_view value;
    std::string_view reason;
};

struct ConfigRow {
    std::string_view name;
    ConfigScope scope;
    ConfigType type;
    UpdateMode update;
    bool required;                                  // Has no default, and must be set.
    bool sensitive;                                 // Never shown.
    std::optional<std::string_view> default_value;  // Ours; nothing where it is null.
    std::optional<std::string_view> kafka_default;
    std::optional<std::int64_t> min;
    std::optional<std::int64_t> max;
    std::optional<std::int64_t> also;           // Permitted although it is out of bounds.
    std::span<const std::string_view> allowed;  // Empty if every value is.
    std::span<const ConfigSynonym> synonyms;    // Best first.
    std::span<const RefusedValue> refused;
    std::optional<std::int64_t> sim_min;  // What the simulator draws from.
    std::optional<std::int64_t> sim_max;
    std::string_view doc;
    std::string_view reason;  // Why our default is not Kafka's.
};

struct UnusedConfig {
    ConfigScope scope;
    std::string_view name;
};

using ConfigValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;

// The settings that we obey, by scope and name.
std::span<const ConfigRow> config_table();
// Kafka's others: a server.properties may hold them, and they do nothing.
std::span<const UnusedConfig> unused_configs();

// Null if we obey no such setting.
const ConfigRow* find_config(ConfigScope scope, std::string_view name);
// Whether Kafka has it and we ignore it; `listener.name.…` of brokers included.
bool is_unused_config(ConfigScope scope, std::string_view name);

// `text` as a value of the row's type, within its bounds, or INVALID_CONFIG with a sentence that
// says what is wrong and what would be right. Numbers of every width are std::int64_t.
Result<ConfigValue> parse_config(const ConfigRow& row, std::string_view text);

// Why there is no such setting: unused, or unknown, and then which known name is nearest.
Error unknown_config(ConfigScope scope, std::string_view name);

}  // namespace pabal::wire
