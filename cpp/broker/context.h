// What a handler may reach: the parts of one broker, all on its shard. Owned by node::Node,
// outlives every connection.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/prng.h"
#include "io/clock.h"

namespace pabal::metadata {
class BrokerConfig;
class ClusterImage;
}  // namespace pabal::metadata
namespace pabal::runtime {
class Controller;
class ControllerLink;
class Fetchers;
class GroupCoordinator;
class Partitions;
class Quorum;
class TransactionCoordinator;
}  // namespace pabal::runtime

namespace pabal::broker {

class Dispatch;
class FetchSessions;
class ProducerIds;
class Successions;
class TopicCreation;

struct Context {
    const metadata::BrokerConfig& config;
    io::Clock& clock;
    Prng random;
    runtime::Controller& controller;
    runtime::Partitions& partitions;
    FetchSessions& fetch_sessions;
    ProducerIds& producer_ids;
    TopicCreation& topic_creation;
    runtime::GroupCoordinator& groups;
    Metrics& metrics;
    const Logger& log;
    BrokerId broker_id;
    std::string cluster_id;
    runtime::ControllerLink* link = nullptr;  // Null where a test needs none.
    Dispatch* dispatch = nullptr;             // For requests inside of others; set once it is made.
    runtime::Quorum* quorum = nullptr;        // Null where a test needs none.
    runtime::Fetchers* fetchers = nullptr;    // Null where a test needs none.
    runtime::TransactionCoordinator* transactions = nullptr;  // Null where a test needs none.
    Successions* successions = nullptr;       // Null where a test needs none.

    // What this broker knows of the cluster: everything committed that it has applied. Never null.
    std::shared_ptr<const metadata::ClusterImage> image() const;
};

}  // namespace pabal::broker
