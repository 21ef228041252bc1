// Which brokers belong to the cluster, and which of them serve: registration, heartbeats, orderly
// shutdown, and the producer ids that they give out. Pure; what is known of a broker is in the
// image.
//
//   fenced               registered, not served          start
//     -> unfenced          it has caught up with the metadata log and does not ask to stay fenced
//   unfenced
//     -> fenced            it asks for that, or its session is over (see sessions.h)
//     -> shutting down     it asks to shut down
//   shutting down        leads only what nobody else can
//     -> fenced            nobody waits for its leaderships any more; it may end
#pragma once

#include <string_view>

#include "controller/outcome.h"
#include "metadata/broker_config.h"
#include "metadata/cluster_image.h"
#include "wire/allocate_producer_ids.h"
#include "wire/broker_heartbeat.h"
#include "wire/broker_registration.h"
#include "wire/controller_registration.h"
#include "wire/unregister_broker.h"

namespace pabal::controller {

// The registered process of the id, where another one wants to register.
enum class Predecessor {
    may_live,     // If it is not fenced it is in the way: DUPLICATE_BROKER_REGISTRATION.
    is_gone,      // Its session is over: it leaves its partitions now.
    is_replaced,  // The new process serves from this moment on (see broker_restarted).
};

// The broker's epoch is `next_offset`, where the first record of this outcome will stand. A process
// that registers again keeps its epoch. One that does not know the epoch of its predecessor, which
// an orderly end leaves behind, may have lost the end of its logs (KIP-966).
Outcome<wire::BrokerRegistrationResponse> register_broker(
    const wire::BrokerRegistrationRequest& request, Predecessor predecessor,
    std::string_view cluster_id, Offset next_offset, const metadata::BrokerConfig& config,
    const metadata::ClusterImage& image);

// `others_know_of_shutdown`: whether, where the broker is shutting down, the others have read so.
Outcome<wire::BrokerHeartbeatResponse> heartbeat(const wire::BrokerHeartbeatRequest& request,
                                                 bool others_know_of_shutdown,
                                                 const metadata::BrokerConfig& config,
                                                 const metadata::ClusterImage& image);

// Its predecessor had no orderly end, as far as is known.
bool lost_its_end(const wire::BrokerRegistrationRequest& request,
                  const metadata::ClusterImage& image);

// The broker's session is over, or it is known to be dead. No records if it is fenced already.
std::vector<metadata::Record> fence_broker(BrokerId broker, const metadata::BrokerConfig& config,
                                           const metadata::ClusterImage& image);

// A controller tells its endpoints and what it can run (KIP-919).
Outcome<wire::ControllerRegistrationResponse> register_controller(
    const wire::ControllerRegistrationRequest& request, const metadata::ClusterImage& image);

// Forgets a broker, fenced or not, as Kafka does.
Outcome<wire::UnregisterBrokerResponse> unregister_broker(
    const wire::UnregisterBrokerRequest& request, const metadata::BrokerConfig& config,
    const metadata::ClusterImage& image);

// Blocks of 1000.
Outcome<wire::AllocateProducerIdsResponse> allocate_producer_ids(
    const wire::AllocateProducerIdsRequest& request, const metadata::ClusterImage& image);

// BROKER_ID_NOT_REGISTERED or STALE_BROKER_EPOCH, if the process that asks is not the one that is
// registered.
ErrorCode check_broker_epoch(const metadata::ClusterImage& image, BrokerId broker,
                             BrokerEpoch epoch);

metadata::Record registration_change(const metadata::BrokerImage& broker, std::int8_t fenced,
                                     std::int8_t in_controlled_shutdown);

}  // namespace pabal::controller
