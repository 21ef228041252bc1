// DescribeCluster: the nodes of the cluster as this listener reaches them.
//
// 1     brokers or controllers (KIP-919) · 2 also fenced brokers (KIP-1073)
#include <string>

#include "broker/cluster_view.h"
#include "broker/dispatch.h"
#include "broker/operations.h"
#include "runtime/controller.h"
#include "wire/describe_cluster.h"

namespace pabal::broker {
namespace {

constexpr std::int8_t brokers_type = 1;
constexpr std::int8_t controllers_type = 2;

const metadata::Endpoint* endpoint_of(const std::vector<metadata::Endpoint>& endpoints,
                                      std::string_view listener) {
    for (const metadata::Endpoint& endpoint : endpoints) {
        if (endpoint.name == listener) return &endpoint;
    }
    return nullptr;
}

std::string_view type_name(std::int8_t type) {
    return type == brokers_type ? "BROKER" : "CONTROLLER";
}

}  // namespace

io::Task<wire::DescribeClusterResponse> handle_describe_cluster(
    Context* context, RequestContext* request, wire::DescribeClusterRequest message) {
    wire::DescribeClusterResponse response;
    std::int8_t own_type =
        request->peer->role == ListenerRole::broker ? brokers_type : controllers_type;
    std::int8_t asked_type = message.endpoint_type;
    if (asked_type != own_type) {
        bool known = asked_type == brokers_type || asked_type == controllers_type;
        response.error_code = request->version == 0 ? ErrorCode::invalid_request
                              : known               ? ErrorCode::mismatched_endpoint_type
                                                    : ErrorCode::unsupported_endpoint_type;
        response.error_message = known ? "The request was sent to an endpoint of type " +
                                             std::string(type_name(own_type)) +
                                             ", but we wanted an endpoint of type " +
                                             std::string(type_name(asked_type))
                                       : "Unsupported endpoint type " + std::to_string(asked_type);
        co_return response;
    }

    auto image = context->image();
    const std::string& listener = request->peer->listener_name;
    response.endpoint_type = own_type;
    response.cluster_id = context->cluster_id;
    if (own_type == brokers_type) {
        ClusterView view(*image, listener);
        for (const auto& [id, broker] : image->brokers()) {
            bool fenced = broker.fenced;
            if (fenced && !message.include_fenced_brokers) continue;
            const metadata::Endpoint* endpoint = broker.endpoint(listener);
            if (!endpoint) continue;
            response.brokers.push_back({id, endpoint->host, endpoint->port, broker.rack, fenced});
        }
        response.controller_id = view.any_broker(&context->random);
    } else {
        for (const auto& [id, node] : image->controllers()) {
            const metadata::Endpoint* endpoint = endpoint_of(node.endpoints, listener);
            if (endpoint)
                response.brokers.push_back({id, endpoint->host, endpoint->port, {}, false});
        }
        BrokerId leader = context->controller.quorum().leader();
        for (const auto& node : response.brokers) {
            if (node.broker_id == leader) response.controller_id = leader;
        }
    }
    if (message.include_cluster_authorized_operations)
        response.cluster_authorized_operations = all_cluster_operations;
    co_return response;
}

}  // namespace pabal::broker
