#include "sim/node/node_server.h"

#include "metadata/broker_config.h"
#include "node/node.h"

namespace pabal::sim {
namespace {

constexpr char cluster_id[] = "simulated-cluster-0000";

class NodeServer final : public Server {
public:
    NodeServer(ServerSeat seat, metadata::BrokerConfig config, node::NodeOptions options)
        : node_(std::move(seat.ports), std::move(config), std::move(options), std::move(seat.log)) {
    }

    io::Task<Status> start() override { return node_.start(); }
    io::Task<void> stop() override { return node_.stop(); }
    io::Task<void> kill() override { return node_.kill(); }

private:
    node::Node node_;
};

std::string controllers_of(const ServerSeat& seat) {
    std::string servers;
    for (const std::string& host : seat.hosts) {
        if (!servers.empty()) servers += ',';
        servers += host + ':' + std::to_string(controller_port);
    }
    return servers;
}

std::map<std::string, std::string> settings_of(const ServerSeat& seat) {
    std::map<std::string, std::string> settings{
        {"process.roles", "broker,controller"},
        {"node.id", std::to_string(seat.id)},
        {"log.dirs", first_log_directory},
        {"listeners", "PLAINTEXT://:" + std::to_string(broker_port) + ",CONTROLLER://:0"},
        {"controller.listener.names", "CONTROLLER"},
    };
    if (seat.hosts.size() == 1) return settings;
    settings["listeners"] = "PLAINTEXT://:" + std::to_string(broker_port) +
                            ",CONTROLLER://:" + std::to_string(controller_port);
    std::string voters;
    for (std::size_t id = 0; id < seat.hosts.size(); ++id) {
        if (id > 0) voters += ',';
        voters += std::to_string(id) + '@' + seat.hosts[id] + ':' + std::to_string(controller_port);
    }
    settings["controller.quorum.voters"] = voters;
    return settings;
}

}  // namespace

MakeServer node_servers(std::map<std::string, std::string> properties) {
    return
        [properties = std::move(properties)](ServerSeat seat) -> Result<std::unique_ptr<Server>> {
            auto settings = settings_of(seat);
            for (const auto& [name, value] : properties) settings[name] = value;
            node::NodeOptions options;
            // Nodes that make themselves voters begin with the first of them alone (KIP-853).
            if (properties.contains("controller.quorum.auto.join.enable")) {
                settings.erase("controller.quorum.voters");
                settings["controller.quorum.bootstrap.servers"] = controllers_of(seat);
                options.first_voters = seat.id == 0 ? node::NodeOptions::FirstVoters::this_node
                                                    : node::NodeOptions::FirstVoters::nobody_yet;
            }
            PABAL_TRY_ASSIGN(auto config, metadata::BrokerConfig::parse(settings));
            if (seat.hosts.size() > 1) options.cluster_id = cluster_id;
            options.host_name = seat.host;
            options.on_failure = seat.on_failure;
            return std::unique_ptr<Server>(std::make_unique<NodeServer>(
                std::move(seat), std::move(config), std::move(options)));
        };
}

}  // namespace pabal::sim
