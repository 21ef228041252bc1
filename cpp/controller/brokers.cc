#include "controller/brokers.h"

#include <set>
#include <string>

#include "controller/leadership.h"

namespace pabal::controller {
namespace {

using metadata::BrokerImage;
using metadata::ClusterImage;
using metadata::Record;

constexpr std::int32_t producer_id_block = 1000;

// Kafka reserves the first hundred ids of directories for its own meanings.
bool is_reserved(DirectoryId directory) {
    const auto& bytes = directory.value().bytes;
    for (std::size_t i = 0; i < 15; ++i)
        if (bytes[i] != 0) return false;
    return bytes[15] < 100;
}

ErrorCode check_registration(const wire::BrokerRegistrationRequest& request,
                             Predecessor predecessor, std::string_view cluster_id,
                             const ClusterImage& image) {
    if (request.cluster_id != cluster_id) return ErrorCode::inconsistent_cluster_id;
    if (request.is_migrating_zk_broker) return ErrorCode::broker_id_not_registered;
    if (request.broker_id < BrokerId(0) || request.listeners.empty())
        return ErrorCode::invalid_registration;
    const BrokerImage* known = image.broker(request.broker_id);
    if (known && !known->fenced && known->incarnation != request.incarnation_id &&
        predecessor == Predecessor::may_live)
        return ErrorCode::duplicate_broker_registration;

    if (request.log_dirs.empty()) return ErrorCode::invalid_registration;
    std::set<DirectoryId> own;
    for (DirectoryId directory : request.log_dirs)
        if (is_reserved(directory) || !own.insert(directory).second)
            return ErrorCode::invalid_registration;
    for (const auto& [id, broker] : image.brokers()) {
        if (id == request.broker_id) continue;
        for (DirectoryId directory : broker.directories)
            if (own.contains(directory)) return ErrorCode::invalid_registration;
    }

    for (const auto& [feature, level] : image.features()) {
        bool supported = false;
        for (const auto& offered : request.features)
            if (offered.name == feature)
                supported = offered.min_supported_version <= level &&
                            level <= offered.max_supported_version;
        if (!supported) return ErrorCode::unsupported_version;
    }
    return ErrorCode::none;
}

ErrorCode check_epoch(const ClusterImage& image, BrokerId broker, BrokerEpoch epoch) {
    const BrokerImage* known = image.broker(broker);
    if (!known) return ErrorCode::broker_id_not_registered;
    return known->epoch == epoch ? ErrorCode::none : ErrorCode::stale_broker_epoch;
}

}  // namespace

Record registration_change(const BrokerImage& broker, std::int8_t fenced,
                           std::int8_t in_controlled_shutdown) {
    wire::BrokerRegistrationChangeRecord record;
    record.broker_id = broker.id;
    record.broker_epoch = broker.epoch;
    record.fenced = fenced;
    record.in_controlled_shutdown = in_controlled_shutdown;
    return record;
}

Outcome<wire::BrokerRegistrationResponse> register_broker(
    const wire::BrokerRegistrationRequest& request, Predecessor predecessor,
    std::string_view cluster_id, Offset next_offset, const ClusterImage& image) {
    Outcome<wire::BrokerRegistrationResponse> outcome;
    outcome.response.error_code = check_registration(request, predecessor, cluster_id, image);
    if (outcome.response.error_code != ErrorCode::none) return outcome;

    wire::RegisterBrokerRecord record;
    record.broker_id = request.broker_id;
    record.incarnation_id = request.incarnation_id;
    for (const auto& listener : request.listeners)
        record.end_points.push_back(
            {listener.name, listener.host, listener.port, listener.security_protocol});
    for (const auto& feature : request.features)
        record.features.push_back(
            {feature.name, feature.min_supported_version, feature.max_supported_version});
    record.rack = request.rack;
    record.log_dirs = request.log_dirs;
    const BrokerImage* known = image.broker(request.broker_id);
    if (known && known->incarnation == request.incarnation_id &&
        predecessor == Predecessor::may_live) {
        record.broker_epoch = known->epoch;
        record.fenced = known->fenced;
        record.in_controlled_shutdown = known->in_controlled_shutdown;
    } else {
        record.broker_epoch = BrokerEpoch(next_offset.value());
        record.fenced = true;
        // With a dead predecessor the new process serves at once, and its partitions change then.
        if (known && predecessor == Predecessor::may_live)
            broker_left(image, request.broker_id, outcome.records);
    }
    outcome.response.broker_epoch = record.broker_epoch;
    outcome.records.emplace_back(std::move(record));
    return outcome;
}

Outcome<wire::BrokerHeartbeatResponse> heartbeat(const wire::BrokerHeartbeatRequest& request,
                                                 const ClusterImage& image) {
    Outcome<wire::BrokerHeartbeatResponse> outcome;
    auto& response = outcome.response;
    response.error_code = check_epoch(image, request.broker_id, request.broker_epoch);
    if (response.error_code != ErrorCode::none) return outcome;
    const BrokerImage& broker = *image.broker(request.broker_id);
    response.is_caught_up = request.current_metadata_offset.value() >= broker.epoch.value();
    response.is_fenced = broker.fenced;
    auto fence = [&] {
        broker_left(image, broker.id, outcome.records);
        outcome.records.push_back(registration_change(broker, 1, 0));
        response.is_fenced = true;
    };
    if (broker.fenced) {
        if (request.want_shut_down) {
            response.should_shut_down = true;
        } else if (!request.want_fence && response.is_caught_up) {
            outcome.records.push_back(registration_change(broker, -1, 0));
            broker_came(image, broker.id, outcome.records);
            response.is_fenced = false;
        }
    } else if (request.want_shut_down || broker.in_controlled_shutdown) {
        if (leads_what_others_could(image, broker.id)) {
            if (!broker.in_controlled_shutdown)
                outcome.records.push_back(registration_change(broker, 0, 1));
            broker_leaves(image, broker.id, outcome.records);
        } else {
            fence();
            response.should_shut_down = true;
        }
    } else if (request.want_fence) {
        fence();
    }
    return outcome;
}

Outcome<wire::UnregisterBrokerResponse> unregister_broker(
    const wire::UnregisterBrokerRequest& request, const ClusterImage& image) {
    Outcome<wire::UnregisterBrokerResponse> outcome;
    const BrokerImage* known = image.broker(request.broker_id);
    if (!known) {
        outcome.response.error_code = ErrorCode::broker_id_not_registered;
        outcome.response.error_message =
            "Broker " + std::to_string(request.broker_id.value()) + " is not registered.";
        return outcome;
    }
    broker_left(image, request.broker_id, outcome.records);
    wire::UnregisterBrokerRecord record;
    record.broker_id = request.broker_id;
    record.broker_epoch = known->epoch;
    outcome.records.emplace_back(std::move(record));
    return outcome;
}

Outcome<wire::AllocateProducerIdsResponse> allocate_producer_ids(
    const wire::AllocateProducerIdsRequest& request, const ClusterImage& image) {
    Outcome<wire::AllocateProducerIdsResponse> outcome;
    auto& response = outcome.response;
    response.error_code = check_epoch(image, request.broker_id, request.broker_epoch);
    if (response.error_code != ErrorCode::none) return outcome;
    const ProducerId first = image.next_producer_id();
    if (first.value() > INT64_MAX - producer_id_block) {
        response.error_code = ErrorCode::unknown_server_error;
        return outcome;
    }
    response.producer_id_start = first;
    response.producer_id_len = producer_id_block;
    wire::ProducerIdsRecord record;
    record.broker_id = request.broker_id;
    record.broker_epoch = request.broker_epoch;
    record.next_producer_id = first + producer_id_block;
    outcome.records.emplace_back(std::move(record));
    return outcome;
}

}  // namespace pabal::controller
