// The settings of one node as its properties file states them, and what is in force once the
// dynamic settings of the ClusterImage are laid over them. Names, types, defaults and bounds come
// from the table of configs; a setting that the table does not know is refused or warned about, and
// none is accepted that nobody obeys. Pure and immutable.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "metadata/cluster_image.h"

namespace pabal::metadata {

struct ListenerConfig {
    Endpoint bind;  // An empty host binds every interface; port 0 chooses one.
    // Port 0 here: the one that was bound. An empty host: the name of the machine.
    Endpoint advertised;
    bool controller = false;
};

// A voter of the metadata quorum, where other nodes reach it.
struct QuorumVoter {
    BrokerId id;
    std::string host;
    std::uint16_t port = 0;
};

class BrokerConfig {
public:
    // `warnings`, if given, learns of settings that are ignored (unknown ones, as in Kafka).
    // INVALID_CONFIG names the setting, its value, and what would be right.
    static Result<BrokerConfig> parse(const std::map<std::string, std::string>& properties,
                                      std::vector<std::string>* warnings = nullptr);

    // The value in the properties file, else the default. `name` must be a broker setting of that
    // type. Integers of every width; milliseconds and bytes as Kafka counts them. Null text is "".
    std::int64_t integer(std::string_view name) const;
    double number(std::string_view name) const;
    bool boolean(std::string_view name) const;
    std::string text(std::string_view name) const;
    std::vector<std::string> list(std::string_view name) const;
    // Nothing where the default is null.
    std::optional<std::string> value(std::string_view name) const;
    bool is_set(std::string_view name) const;
    const std::map<std::string, std::string, std::less<>>& properties() const {
        return properties_;
    }

    BrokerId node_id() const { return node_id_; }
    bool is_broker() const { return is_broker_; }
    bool is_controller() const { return is_controller_; }
    // By id; the static ones. A controller that names none, and whose log names none, is the only
    // one, unless it asks others.
    const std::vector<QuorumVoter>& quorum_voters() const { return quorum_voters_; }
    // Where a node asks who leads, if it is told no voters. Ids are not known.
    const std::vector<QuorumVoter>& quorum_bootstrap_servers() const {
        return quorum_bootstrap_servers_;
    }
    // A controller whose voters are not static, and that is told of others than itself to ask.
    bool asks_other_controllers() const;
    // The first of controller.listener.names: the one that nodes use among themselves.
    const std::string& controller_listener() const { return controller_listener_; }
    const std::vector<ListenerConfig>& listeners() const { return listeners_; }
    const std::string& inter_broker_listener() const { return inter_broker_listener_; }
    const std::vector<std::string>& log_directories() const { return log_directories_; }
    const std::string& metadata_log_directory() const { return metadata_log_directory_; }

private:
    Status settle_roles();
    Status settle_quorum();
    Status settle_listeners();
    Status settle_directories();

    std::map<std::string, std::string, std::less<>> properties_;
    BrokerId node_id_;
    bool is_broker_ = true;
    bool is_controller_ = true;
    std::vector<QuorumVoter> quorum_voters_;
    std::vector<QuorumVoter> quorum_bootstrap_servers_;
    std::string controller_listener_;
    std::vector<ListenerConfig> listeners_;
    std::string inter_broker_listener_;
    std::vector<std::string> log_directories_;
    std::string metadata_log_directory_;
};

// As DescribeConfigs numbers them.
enum class ConfigSource : std::int8_t {
    unknown = 0,
    topic = 1,
    dynamic_broker = 2,
    dynamic_default_broker = 3,
    static_broker = 4,
    default_value = 5,
    dynamic_broker_logger = 6,
    client_metrics = 7,
    group = 8,
};

// A place where a value could come from, the strongest first.
struct ConfigSynonym {
    std::string name;
    std::optional<std::string> value;
    ConfigSource source = ConfigSource::unknown;
};

struct EffectiveConfig {
    std::string name;
    std::optional<std::string> value;  // Nothing: null, or sensitive.
    ConfigSource source = ConfigSource::default_value;
    std::vector<ConfigSynonym> synonyms;  // The effective one first.
    bool read_only = false;
    bool sensitive = false;
    std::int8_t type = 0;  // As DescribeConfigs numbers types.
    std::string documentation;
};

// What is in force for one broker at one image: topic setting, else dynamic broker, else dynamic
// default of all brokers, else the properties file, else the default. Cheap to make; refers to
// both.
class ConfigView {
public:
    ConfigView(const BrokerConfig& config, const ClusterImage& image)
        : config_(config), image_(image) {}

    std::optional<std::string> broker_value(std::string_view name) const;
    std::int64_t broker_integer(std::string_view name) const;
    double broker_number(std::string_view name) const;
    bool broker_boolean(std::string_view name) const;

    // `name` is a topic setting such as "retention.ms"; `topic` need not exist.
    std::optional<std::string> topic_value(std::string_view topic, std::string_view name) const;
    std::int64_t topic_integer(std::string_view topic, std::string_view name) const;
    double topic_number(std::string_view topic, std::string_view name) const;
    bool topic_boolean(std::string_view topic, std::string_view name) const;
    std::vector<std::string> topic_list(std::string_view topic, std::string_view name) const;

    // For DescribeConfigs: every setting of the resource, ordered by name.
    std::vector<EffectiveConfig> describe_topic(std::string_view topic) const;
    // The same for a topic that has these settings.
    std::vector<EffectiveConfig> describe_topic_with(const ConfigMap& settings) const;
    // `group` need not exist.
    std::vector<EffectiveConfig> describe_group(std::string_view group) const;
    // Whether these settings of a topic go together; INVALID_CONFIG says which do not.
    Status validate_topic(const ConfigMap& settings) const;
    std::vector<EffectiveConfig> describe_broker() const;
    // What is set for the default of all brokers (an empty broker name).
    std::vector<EffectiveConfig> describe_broker_default() const;

private:
    const BrokerConfig& config_;
    const ClusterImage& image_;
};

// Whether `value` is one of `name` for the resource; INVALID_CONFIG says what is wrong, and for an
// unknown name which known one is the nearest.
Status validate_config(ResourceType type, std::string_view name, std::string_view value);
// The same for a change while brokers run: settings that are read at start only are refused with
// INVALID_REQUEST, and so are those of a single broker when they are set for all (KIP-226).
Status validate_dynamic_config(const ConfigResource& resource, std::string_view name,
                               std::string_view value);
// Whether a client may append to it and subtract from it.
bool is_list_config(ResourceType type, std::string_view name);

}  // namespace pabal::metadata
