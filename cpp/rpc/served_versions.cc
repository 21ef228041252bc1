#include "rpc/served_versions.h"

#include <algorithm>

#include "base/assert.h"

namespace pabal::rpc {

ServedVersions::ServedVersions() : served_(wire::api_table().size()) {
    constexpr int api_versions_version = 3;
    served_[static_cast<std::size_t>(wire::ApiVersionsRequest::api_key)] = {api_versions_version,
                                                                            api_versions_version};
}

wire::ApiVersionsRequest ServedVersions::request() {
    wire::ApiVersionsRequest request;
    request.client_software_name = "pabal";
    request.client_software_version = "0.1.0";
    return request;
}

Status ServedVersions::learn(const wire::ApiVersionsResponse& response,
                             const io::Address& address) {
    if (response.error_code != ErrorCode::none)
        return Error{response.error_code, io::text(address) + " refused ApiVersions"};
    for (const auto& api : response.api_keys) {
        const auto key = static_cast<std::size_t>(api.api_key);
        if (api.api_key < 0 || key >= served_.size()) continue;
        served_[key] = {api.min_version, api.max_version};
    }
    return {};
}

Result<int> ServedVersions::version_of(wire::ApiKey api, const io::Address& address) const {
    const wire::ApiRow* row = wire::find_api(api);
    ASSERT(row != nullptr, "our own requests are in the table");
    const auto& theirs = served_[static_cast<std::size_t>(api)];
    const int version = std::min(theirs.max, row->versions.max);
    if (theirs.empty() || version < std::max(theirs.min, row->versions.min)) {
        return Error{ErrorCode::unsupported_version, io::text(address) + " does not serve " +
                                                         std::string(row->name) +
                                                         " in a version that we know"};
    }
    return version;
}

}  // namespace pabal::rpc
