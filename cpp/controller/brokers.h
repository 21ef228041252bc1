// Which brokers belong to the cluster, and which of them serve: registration, heartbeats, orderly
// shutdown, and the producer ids that they give out. Pure; what is known of a broker is in the
// image.
//
//   fenced               registered, not served          start
//     -> unfenced          it has caught up with the metadata log and does not ask to stay fenced
//   unfenced
//     -> fenced            it asks for that
//     -> shutting down     it asks to shut down
//   shutting down        leads only what nobody else can
//     -> fenced            nobody waits for its leaderships any more; it may end
#pragma once

#include <string_view>

#include "controller/outcome.h"
#include "metadata/cluster_image.h"
#include "wire/allocate_producer_ids.h"
#include "wire/broker_heartbeat.h"
#include "wire/broker_registration.h"
#include "wire/unregister_broker.h"

namespace pabal::controller {

enum class Predecessor {
    may_live,  // A registered process of that id that is not fenced is in the way.
    is_dead,   // The caller knows that it is: it registers its own, new process.
};

// The broker's epoch is `next_offset`, where the first record of this outcome will stand. A process
// that registers again keeps its epoch.
Outcome<wire::BrokerRegistrationResponse> register_broker(
    const wire::BrokerRegistrationRequest& request, Predecessor predecessor,
    std::string_view cluster_id, Offset next_offset, const metadata::ClusterImage& image);

Outcome<wire::BrokerHeartbeatResponse> heartbeat(const wire::BrokerHeartbeatRequest& request,
                                                 const metadata::ClusterImage& image);

// Forgets a broker, fenced or not, as Kafka does.
Outcome<wire::UnregisterBrokerResponse> unregister_broker(
    const wire::UnregisterBrokerRequest& request, const metadata::ClusterImage& image);

// Blocks of 1000.
Outcome<wire::AllocateProducerIdsResponse> allocate_producer_ids(
    const wire::AllocateProducerIdsRequest& request, const metadata::ClusterImage& image);

metadata::Record registration_change(const metadata::BrokerImage& broker, std::int8_t fenced,
                                     std::int8_t in_controlled_shutdown);

}  // namespace pabal::controller
