// The table of APIs as the schema states it: versions, and which node serves what today.
// ApiVersions, dispatch and forwarding read this one table, so they cannot disagree.
#pragma once

#include <span>
#include <string_view>

#include "wire/api_key.h"

namespace pabal::wire {

struct VersionRange {
    int min = 0;
    int max = -1;  // Below `min` when there is none.

    constexpr bool contains(int version) const { return version >= min && version <= max; }
    constexpr bool empty() const { return max < min; }
    constexpr bool operator==(const VersionRange&) const = default;
};

// Who has a handler for an API today; `none` has codecs only.
enum class Served { none, broker, controller, both };

struct ApiRow {
    ApiKey key;
    std::string_view name;    // Kafka's, "JoinGroup".
    VersionRange versions;    // That our codecs know; empty for retired APIs.
    VersionRange advertised;  // That ApiVersions answers; empty unless served.
    VersionRange accepted;    // That dispatch lets through; empty unless served.
    int first_flexible;       // `never_flexible` if no version is.
    bool on_broker_listener;  // Where Kafka offers it.
    bool on_controller_listener;
    Served served;
    int response_header;  // The version where it does not follow from `first_flexible`; else -1.

    constexpr bool served_by_broker() const {
        return served == Served::broker || served == Served::both;
    }
    constexpr bool served_by_controller() const {
        return served == Served::controller || served == Served::both;
    }
};

// All rows, by key.
std::span<const ApiRow> api_table();
// Null if Kafka 4.3 has no such API.
const ApiRow* find_api(ApiKey key);

}  // namespace pabal::wire
