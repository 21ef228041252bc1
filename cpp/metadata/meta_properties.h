// The file meta.properties of a log directory: whose directory it is. Kafka's format, version 1.
// Pure: the node reads and writes the file.
#pragma once

#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"

namespace pabal::metadata {

inline constexpr std::string_view meta_properties_file = "meta.properties";

struct MetaProperties {
    std::string cluster_id;
    BrokerId node_id;
    DirectoryId directory_id;  // All zero in directories that were formatted before KIP-858.

    bool operator==(const MetaProperties&) const = default;
    std::string text() const;
    // INVALID_CONFIG says what is wrong; the caller adds the path.
    static Result<MetaProperties> parse(std::string_view text);
};

}  // namespace pabal::metadata
