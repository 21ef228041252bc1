// What is known about one request besides its message: who asks, through which listener, in which
// version, since when. Made by dispatch, lives until the reply is encoded; handlers reach it by
// pointer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error_code.h"
#include "base/ids.h"
#include "base/time.h"

namespace pabal::io {
class Gate;
}

namespace pabal::broker {

// Which table of APIs a listener serves (law "served means served").
enum class ListenerRole : std::uint8_t { broker, controller };

// What all requests of one connection share; outlives them.
struct Peer {
    std::string address;        // "host:port" of the client.
    std::string host;           // Without the port.
    std::string listener_name;  // "PLAINTEXT": decides which endpoints the client is told.
    ListenerRole role = ListenerRole::broker;
    std::string software_name;  // From ApiVersions v3 on (KIP-511), else empty.
    std::string software_version;
    Instant told_of_cluster;  // By Metadata; at first the time at which it connected.
    // The broker that sends its heartbeats through this connection, and its epoch.
    BrokerId heartbeat_of = no_broker;
    BrokerEpoch heartbeat_epoch{-1};
};

struct RequestContext {
    Peer* peer = nullptr;
    std::int16_t api_key = 0;
    int version = 0;
    std::int32_t correlation_id = 0;
    std::string client_id;       // Empty if the client sent none.
    Instant received;            // Link time at which the whole frame was there.
    std::size_t size_bytes = 0;  // Of the frame.

    // Set by the handler: no reply leaves (Produce with acks=0).
    bool suppress_reply = false;
    // Set by the handler: the connection is closed instead of a reply (Produce with acks=0 that
    // failed, which tells the client to look for another leader).
    bool close_connection = false;
    // Set by the handler: the first error that the response carries, for metrics and the log.
    ErrorCode first_error = ErrorCode::none;

    // Set by the handler before it first suspends: the next request of the connection waits for the
    // end of this one, although both are of a kind that is pipelined.
    bool comes_alone = false;

    // Set by a handler that holds its answer back until there is news: the connection opens it when
    // its client has something else to say, or is gone.
    io::Gate* parked = nullptr;
    bool released = false;  // Set with that.

    void failed(ErrorCode code) {
        if (first_error == ErrorCode::none) first_error = code;
    }
};

}  // namespace pabal::broker
