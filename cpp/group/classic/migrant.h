// A classic member on its way into a group of the other protocol, or back (KIP-848): what the new
// group has to know of it. A value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace pabal::group {

// How members could agree on an assignment, and what this one tells the leader then.
struct ClassicProtocol {
    std::string name;
    Bytes metadata;
    bool operator==(const ClassicProtocol&) const = default;
};

struct Migrant {
    std::string id;
    std::optional<std::string> instance_id;
    std::string client_id;
    std::string client_host;
    std::int32_t rebalance_timeout_ms = 0;
    std::int32_t session_timeout_ms = 0;
    std::vector<ClassicProtocol> protocols;  // Best first; never empty.
    std::size_t selected = 0;                // The one that the group agreed on.
    Bytes assignment;
};

}  // namespace pabal::group
