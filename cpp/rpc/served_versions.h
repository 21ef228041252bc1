// What a broker serves, as it said at the beginning of a connection (KIP-35), and which version of
// a request both sides know. A value that each kind of connection keeps.
#pragma once

#include <vector>

#include "base/result.h"
#include "io/network.h"
#include "wire/api_table.h"
#include "wire/api_versions.h"

namespace pabal::rpc {

class ServedVersions {
public:
    // Before the broker has said so it serves ApiVersions alone, in a version that every broker
    // since 2.4 answers.
    ServedVersions();

    static wire::ApiVersionsRequest request();
    // The broker's error names `address`.
    Status learn(const wire::ApiVersionsResponse& response, const io::Address& address);
    // The highest version that both know. Errors: unsupported_version.
    Result<int> version_of(wire::ApiKey api, const io::Address& address) const;

private:
    std::vector<wire::VersionRange> served_;  // By API key; empty ranges for what is not served.
};

}  // namespace pabal::rpc
