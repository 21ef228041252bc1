// ApiVersions: what this listener serves, and which features the cluster could have and has.
//
// 3     the client's name and version (KIP-511), features (KIP-584)
// 4     features whose lowest version is 0; version 3 leaves them out, as its clients reject them
// A version above ours never comes here: dispatch answers it in version 0 (KIP-35).
#include <string_view>

#include "broker/dispatch.h"
#include "metadata/cluster_image.h"
#include "metadata/features.h"
#include "runtime/quorum.h"
#include "wire/api_table.h"
#include "wire/api_versions.h"

namespace pabal::broker {
namespace {

bool is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Letters and digits, with '-' and '.' between them.
bool is_software_name(std::string_view text) {
    if (text.empty() || !is_alphanumeric(text.front()) || !is_alphanumeric(text.back()))
        return false;
    for (char c : text) {
        if (!is_alphanumeric(c) && c != '-' && c != '.') return false;
    }
    return true;
}

}  // namespace

io::Task<wire::ApiVersionsResponse> handle_api_versions(Context* context, RequestContext* request,
                                                        wire::ApiVersionsRequest message) {
    wire::ApiVersionsResponse response;
    if (request->version >= 3 && (!is_software_name(message.client_software_name) ||
                                  !is_software_name(message.client_software_version))) {
        response.error_code = ErrorCode::invalid_request;
        co_return response;
    }
    request->peer->software_name = std::move(message.client_software_name);
    request->peer->software_version = std::move(message.client_software_version);

    bool broker = request->peer->role == ListenerRole::broker;
    for (const wire::ApiRow& api : wire::api_table()) {
        bool offered = broker ? api.on_broker_listener && api.served_by_broker()
                              : api.on_controller_listener && api.served_by_controller();
        if (!offered) continue;
        response.api_keys.push_back({static_cast<std::int16_t>(api.key),
                                     static_cast<std::int16_t>(api.advertised.min),
                                     static_cast<std::int16_t>(api.advertised.max)});
    }
    for (const metadata::SupportedFeature& feature : metadata::supported_features()) {
        if (request->version < 4 && feature.versions.min == 0) continue;
        response.supported_features.push_back(
            {std::string(feature.name), feature.versions.min, feature.versions.max});
    }
    auto image = context->image();
    response.finalized_features_epoch = image->offset().value();
    for (const auto& [name, level] : image->features()) {
        if (level != 0) response.finalized_features.push_back({name, level, level});
    }
    // The quorum finalises this one itself.
    const std::int16_t kraft = context->quorum ? context->quorum->kraft_version() : std::int16_t(0);
    if (kraft != 0)
        response.finalized_features.push_back(
            {std::string(metadata::kraft_version_feature), kraft, kraft});
    co_return response;
}

}  // namespace pabal::broker
