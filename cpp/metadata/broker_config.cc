#include "metadata/broker_config.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/assert.h"
#include "wire/config_table.h"

namespace pabal::metadata {
namespace {

using wire::ConfigRow;
using wire::ConfigScope;

Error invalid(std::string what) {
    return {ErrorCode::invalid_config, std::move(what)};
}

const ConfigRow& broker_row(std::string_view name) {
    const ConfigRow* row = wire::find_config(ConfigScope::broker, name);
    ASSERT(row, "only settings of the table are read");
    return *row;
}

template <class T>
T parsed(const ConfigRow& row, std::string_view text) {
    auto value = wire::parse_config(row, text);
    ASSERT(value.ok() && std::holds_alternative<T>(*value),
           "a setting was checked before it is read, and is read as its type");
    return std::get<T>(std::move(*value));
}

struct SecurityProtocol {
    std::string_view name;
    std::int16_t id;
};
constexpr SecurityProtocol security_protocols[] = {
    {"PLAINTEXT", 0}, {"SSL", 1}, {"SASL_PLAINTEXT", 2}, {"SASL_SSL", 3}};

std::string upper(std::string_view text) {
    std::string result(text);
    for (char& c : result)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return result;
}

// The parts between commas, without the blanks around them.
std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> parts;
    for (;;) {
        const std::size_t comma = text.find(',');
        std::string_view part = text.substr(0, comma);
        while (part.starts_with(' ')) part.remove_prefix(1);
        while (part.ends_with(' ')) part.remove_suffix(1);
        if (!part.empty()) parts.emplace_back(part);
        if (comma == std::string_view::npos) return parts;
        text.remove_prefix(comma + 1);
    }
}

// NAME://HOST:PORT, with brackets around an IPv6 address.
Result<Endpoint> parse_listener(std::string_view setting, std::string_view text) {
    auto wrong = [&](std::string_view why) {
        return invalid(std::string(setting) + " holds '" + std::string(text) +
                       "': " + std::string(why) + "; write NAME://HOST:PORT");
    };
    const std::size_t scheme = text.find("://");
    if (scheme == std::string_view::npos || scheme == 0) return wrong("it has no name");
    std::string_view address = text.substr(scheme + 3);
    const std::size_t colon = address.rfind(':');
    if (colon == std::string_view::npos) return wrong("it has no port");
    std::string_view host = address.substr(0, colon);
    std::string_view port_text = address.substr(colon + 1);
    if (host.starts_with('[')) {
        if (!host.ends_with(']')) return wrong("a bracket is not closed");
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return wrong("an IPv6 address stands in brackets");
    }
    int port = -1;
    auto [end, error] =
        std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
    if (error != std::errc() || end != port_text.data() + port_text.size() || port < 0 ||
        port > 65535)
        return wrong("its port is not a number from 0 to 65535");
    Endpoint endpoint;
    endpoint.name = upper(text.substr(0, scheme));
    endpoint.host = std::string(host);
    endpoint.port = static_cast<std::uint16_t>(port);
    return endpoint;
}

// HOST:PORT.
std::optional<std::pair<std::string, std::uint16_t>> parse_host_port(std::string_view text) {
    const auto endpoint = parse_listener("", "NODE://" + std::string(text));
    if (!endpoint.ok() || endpoint->host.empty()) return std::nullopt;
    return std::pair(endpoint->host, endpoint->port);
}

Result<std::vector<Endpoint>> parse_listeners(std::string_view setting,
                                              const std::vector<std::string>& texts) {
    std::vector<Endpoint> endpoints;
    std::set<std::string> names;
    for (const std::string& text : texts) {
        PABAL_TRY_ASSIGN(Endpoint endpoint, parse_listener(setting, text));
        if (!names.insert(endpoint.name).second)
            return invalid(std::string(setting) + " names listener " + endpoint.name + " twice");
        endpoints.push_back(std::move(endpoint));
    }
    return endpoints;
}

}  // namespace

std::optional<std::string> BrokerConfig::value(std::string_view name) const {
    const ConfigRow& row = broker_row(name);
    if (auto found = properties_.find(name); found != properties_.end()) return found->second;
    if (row.default_value) return std::string(*row.default_value);
    return std::nullopt;
}

bool BrokerConfig::is_set(std::string_view name) const {
    return properties_.find(name) != properties_.end();
}

std::int64_t BrokerConfig::integer(std::string_view name) const {
    return parsed<std::int64_t>(broker_row(name), value(name).value_or(""));
}
double BrokerConfig::number(std::string_view name) const {
    return parsed<double>(broker_row(name), value(name).value_or(""));
}
bool BrokerConfig::boolean(std::string_view name) const {
    return parsed<bool>(broker_row(name), value(name).value_or(""));
}
std::string BrokerConfig::text(std::string_view name) const {
    return value(name).value_or("");
}
std::vector<std::string> BrokerConfig::list(std::string_view name) const {
    auto text = value(name);
    if (!text) return {};
    return parsed<std::vector<std::string>>(broker_row(name), *text);
}

Result<BrokerConfig> BrokerConfig::parse(const std::map<std::string, std::string>& properties,
                                         std::vector<std::string>* warnings) {
    BrokerConfig config;
    for (const auto& [name, text] : properties) {
        const ConfigRow* row = wire::find_config(ConfigScope::broker, name);
        if (!row) {
            if (warnings)
                warnings->push_back(wire::unknown_config(ConfigScope::broker, name).message);
            continue;
        }
        if (auto checked = wire::parse_config(*row, text); !checked.ok()) return checked.error();
        config.properties_[name] = text;
    }
    if (!config.is_set("node.id") && config.integer("broker.id") >= 0)
        config.properties_["node.id"] = config.text("broker.id");
    for (const ConfigRow& row : wire::config_table())
        if (row.scope == ConfigScope::broker && row.required && !config.is_set(row.name))
            return invalid(std::string(row.name) + " must be set, and has no default");
    PABAL_TRY(config.settle_roles());
    PABAL_TRY(config.settle_quorum());
    PABAL_TRY(config.settle_listeners());
    PABAL_TRY(config.settle_directories());
    return config;
}

Status BrokerConfig::settle_roles() {
    node_id_ = BrokerId(static_cast<std::int32_t>(integer("node.id")));
    if (integer("broker.id") >= 0 && integer("broker.id") != integer("node.id"))
        return invalid("node.id is " + text("node.id") + ", but broker.id is " + text("broker.id") +
                       "; set one of them");
    is_broker_ = is_controller_ = false;
    for (const std::string& role : list("process.roles")) {
        if (role == "broker") is_broker_ = true;
        if (role == "controller") is_controller_ = true;
    }
    if (!is_broker_ && !is_controller_)
        return invalid("process.roles is empty; say broker, controller, or both");
    return {};
}

Status BrokerConfig::settle_quorum() {
    constexpr std::string_view voters_setting = "controller.quorum.voters";
    constexpr std::string_view servers_setting = "controller.quorum.bootstrap.servers";
    for (const std::string& voter : list(voters_setting)) {
        const std::size_t sign = voter.find('@');
        const std::string_view number = std::string_view(voter).substr(0, sign);
        std::int32_t id = -1;
        const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), id);
        const auto address = sign == std::string::npos
                                 ? std::nullopt
                                 : parse_host_port(std::string_view(voter).substr(sign + 1));
        if (error != std::errc() || end != number.data() + number.size() || id < 0 || !address)
            return invalid(std::string(voters_setting) + " holds '" + voter +
                           "'; write ID@HOST:PORT");
        quorum_voters_.push_back({BrokerId(id), address->first, address->second});
    }
    for (const std::string& server : list(servers_setting)) {
        const auto address = parse_host_port(server);
        if (!address)
            return invalid(std::string(servers_setting) + " holds '" + server +
                           "'; write HOST:PORT");
        quorum_bootstrap_servers_.push_back({no_broker, address->first, address->second});
    }
    std::sort(quorum_voters_.begin(), quorum_voters_.end(),
              [](const QuorumVoter& a, const QuorumVoter& b) { return a.id < b.id; });
    bool votes = false;
    for (std::size_t i = 0; i < quorum_voters_.size(); ++i) {
        const BrokerId id = quorum_voters_[i].id;
        votes |= id == node_id_;
        if (i > 0 && quorum_voters_[i - 1].id == id)
            return invalid(std::string(voters_setting) + " names node " +
                           std::to_string(id.value()) + " twice");
    }
    if (is_controller_ && !quorum_voters_.empty() && !votes)
        return invalid(std::string(voters_setting) + " is '" + text(voters_setting) +
                       "', which does not name this controller, node.id " + text("node.id") +
                       "; add it, or take controller out of process.roles");
    if (!is_controller_ && votes)
        return invalid(std::string(voters_setting) + " names node.id " + text("node.id") +
                       ", which is this node; add controller to process.roles");
    if (!is_controller_ && quorum_voters_.empty() && quorum_bootstrap_servers_.empty())
        return invalid("a broker must know where its controllers are: set " +
                       std::string(voters_setting) + " or " + std::string(servers_setting));
    return {};
}

bool BrokerConfig::asks_other_controllers() const {
    auto is_loopback = [](const std::string& host) {
        return host == "localhost" || host == "127.0.0.1" || host == "::1";
    };
    auto is_here = [&](const Endpoint& endpoint, const QuorumVoter& server) {
        const bool same_host = endpoint.host.empty() || endpoint.host == server.host ||
                               (is_loopback(endpoint.host) && is_loopback(server.host));
        return same_host && endpoint.port == server.port;
    };
    auto is_own = [&](const QuorumVoter& server) {
        return std::any_of(listeners_.begin(), listeners_.end(), [&](const ListenerConfig& each) {
            return each.controller &&
                   (is_here(each.bind, server) ||
                    (each.advertised.port != 0 && is_here(each.advertised, server)));
        });
    };
    return is_controller_ && quorum_voters_.empty() &&
           !std::all_of(quorum_bootstrap_servers_.begin(), quorum_bootstrap_servers_.end(), is_own);
}

Status BrokerConfig::settle_listeners() {
    PABAL_TRY_ASSIGN(std::vector<Endpoint> bound, parse_listeners("listeners", list("listeners")));
    PABAL_TRY_ASSIGN(std::vector<Endpoint> advertised,
                     parse_listeners("advertised.listeners", list("advertised.listeners")));
    std::set<std::string> controller_names;
    for (const std::string& name : list("controller.listener.names")) {
        if (controller_listener_.empty()) controller_listener_ = upper(name);
        controller_names.insert(upper(name));
    }
    std::map<std::string, std::string> protocols;
    for (const std::string& entry : split(text("listener.security.protocol.map"))) {
        const std::size_t colon = entry.find(':');
        if (colon == std::string::npos)
            return invalid("listener.security.protocol.map holds '" + entry +
                           "'; write NAME:PROTOCOL");
        protocols[upper(entry.substr(0, colon))] = upper(entry.substr(colon + 1));
    }
    // Kafka's rule: without a map of one's own, controller listeners are plaintext.
    if (!is_set("listener.security.protocol.map"))
        for (const std::string& name : controller_names) protocols.try_emplace(name, "PLAINTEXT");

    std::set<std::string> names;
    for (const Endpoint& endpoint : bound) names.insert(endpoint.name);
    for (const Endpoint& endpoint : advertised)
        if (!names.contains(endpoint.name))
            return invalid("advertised.listeners names listener " + endpoint.name +
                           ", which is not one of listeners");
    // A broker alone knows those of its controllers by name only.
    for (const std::string& name : controller_names) {
        if (is_controller_ && !names.contains(name))
            return invalid("controller.listener.names names listener " + name +
                           ", which is not one of listeners");
        if (!is_controller_ && names.contains(name))
            return invalid("listeners holds " + name +
                           " of controller.listener.names, but this node is no controller; take "
                           "it out, or add controller to process.roles");
    }
    std::map<std::uint16_t, std::string> ports;
    for (Endpoint& endpoint : bound) {
        auto found = protocols.find(endpoint.name);
        if (found == protocols.end())
            return invalid("listener.security.protocol.map does not say what listener " +
                           endpoint.name + " speaks");
        const auto* protocol = std::find_if(
            std::begin(security_protocols), std::end(security_protocols),
            [&](const SecurityProtocol& known) { return known.name == found->second; });
        if (protocol == std::end(security_protocols))
            return invalid("listener.security.protocol.map gives listener " + endpoint.name +
                           " the unknown protocol " + found->second);
        if (protocol->id != 0)
            return invalid("listener " + endpoint.name + " speaks " + found->second +
                           "; this version of pabal serves PLAINTEXT only");
        endpoint.security_protocol = protocol->id;
        if (endpoint.port != 0) {
            auto [other, fresh] = ports.try_emplace(endpoint.port, endpoint.host);
            if (!fresh &&
                (other->second == endpoint.host || endpoint.host.empty() || other->second.empty()))
                return invalid("listeners uses port " + std::to_string(endpoint.port) + " twice");
        }
        ListenerConfig listener;
        listener.bind = endpoint;
        listener.advertised = endpoint;
        for (const Endpoint& shown : advertised) {
            if (shown.name != endpoint.name) continue;
            listener.advertised.host = shown.host;
            listener.advertised.port = shown.port;
        }
        if (listener.advertised.host == "0.0.0.0" || listener.advertised.host == "::")
            return invalid("listener " + endpoint.name + " would be advertised as " +
                           listener.advertised.host +
                           ", to which nobody can connect; set advertised.listeners");
        listener.controller = controller_names.contains(endpoint.name);
        listeners_.push_back(std::move(listener));
    }
    if (!is_broker_) {
        for (const ListenerConfig& listener : listeners_)
            if (!listener.controller)
                return invalid("listeners holds " + listener.bind.name +
                               ", which is none of controller.listener.names, but this node is no "
                               "broker; take it out, or add broker to process.roles");
        return {};
    }
    inter_broker_listener_ = upper(text("inter.broker.listener.name"));
    for (const ListenerConfig& listener : listeners_) {
        if (listener.controller) continue;
        if (inter_broker_listener_.empty()) inter_broker_listener_ = listener.bind.name;
        if (inter_broker_listener_ == listener.bind.name) return {};
    }
    if (inter_broker_listener_.empty())
        return invalid("listeners holds none for clients, only those of controller.listener.names");
    return invalid("inter.broker.listener.name is " + inter_broker_listener_ +
                   ", which is no listener for brokers");
}

Status BrokerConfig::settle_directories() {
    log_directories_ = list(value("log.dirs") ? "log.dirs" : "log.dir");
    if (log_directories_.empty()) return invalid("log.dirs names no directory");
    metadata_log_directory_ = text("metadata.log.dir");
    if (metadata_log_directory_.empty()) metadata_log_directory_ = log_directories_.front();
    return {};
}

}  // namespace pabal::metadata
