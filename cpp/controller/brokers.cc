#include "controller/brokers.h"

#include <algorithm>
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

// What the broker can no longer read and write is out of sync, and it goes on with the rest.
void lose_directories(const BrokerImage& broker, const std::vector<DirectoryId>& offline,
                      const metadata::BrokerConfig& config, const ClusterImage& image,
                      std::vector<Record>& records) {
    std::set<DirectoryId> lost;
    wire::BrokerRegistrationChangeRecord change;
    for (DirectoryId directory : broker.directories) {
        if (std::find(offline.begin(), offline.end(), directory) != offline.end())
            lost.insert(directory);
        else
            change.log_dirs.push_back(directory);
    }
    // Without any directory the broker ends, and is fenced then.
    if (lost.empty() || change.log_dirs.empty()) return;
    directories_lost(image, config, broker.id, lost, records);
    change.broker_id = broker.id;
    change.broker_epoch = broker.epoch;
    records.emplace_back(std::move(change));
}

}  // namespace

ErrorCode check_broker_epoch(const ClusterImage& image, BrokerId broker, BrokerEpoch epoch) {
    const BrokerImage* known = image.broker(broker);
    if (!known) return ErrorCode::broker_id_not_registered;
    return known->epoch == epoch ? ErrorCode::none : ErrorCode::stale_broker_epoch;
}

Record registration_change(const BrokerImage& broker, std::int8_t fenced,
                           std::int8_t in_controlled_shutdown) {
    wire::BrokerRegistrationChangeRecord record;
    record.broker_id = broker.id;
    record.broker_epoch = broker.epoch;
    record.fenced = fenced;
    record.in_controlled_shutdown = in_controlled_shutdown;
    return record;
}

bool lost_its_end(const wire::BrokerRegistrationRequest& request, const ClusterImage& image) {
    const BrokerImage* known = image.broker(request.broker_id);
    return !known || known->epoch != request.previous_broker_epoch;
}

Outcome<wire::BrokerRegistrationResponse> register_broker(
    const wire::BrokerRegistrationRequest& request, Predecessor predecessor,
    std::string_view cluster_id, Offset next_offset, const metadata::BrokerConfig& config,
    const ClusterImage& image) {
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
        predecessor != Predecessor::is_replaced) {
        record.broker_epoch = known->epoch;
        record.fenced = known->fenced;
        record.in_controlled_shutdown = known->in_controlled_shutdown;
    } else {
        record.broker_epoch = BrokerEpoch(next_offset.value());
        record.fenced = true;
        if (known && predecessor != Predecessor::is_replaced)
            broker_left(image, config, request.broker_id, lost_its_end(request, image),
                        outcome.records);
    }
    outcome.response.broker_epoch = record.broker_epoch;
    outcome.records.emplace_back(std::move(record));
    return outcome;
}

Outcome<wire::BrokerHeartbeatResponse> heartbeat(const wire::BrokerHeartbeatRequest& request,
                                                 bool others_know_of_shutdown,
                                                 const metadata::BrokerConfig& config,
                                                 const ClusterImage& image) {
    Outcome<wire::BrokerHeartbeatResponse> outcome;
    auto& response = outcome.response;
    response.error_code = check_broker_epoch(image, request.broker_id, request.broker_epoch);
    if (response.error_code != ErrorCode::none) return outcome;
    const BrokerImage& broker = *image.broker(request.broker_id);
    response.is_caught_up = request.current_metadata_offset.value() >= broker.epoch.value();
    response.is_fenced = broker.fenced;
    auto fence = [&] {
        outcome.records = fence_broker(broker.id, config, image);
        response.is_fenced = true;
    };
    if (broker.fenced) {
        if (request.want_shut_down) {
            response.should_shut_down = true;
        } else if (!request.want_fence && response.is_caught_up) {
            outcome.records.push_back(registration_change(broker, -1, 0));
            broker_came(image, config, broker.id, outcome.records);
            response.is_fenced = false;
        }
    } else if (request.want_shut_down || broker.in_controlled_shutdown) {
        const bool leads = leads_what_others_could(image, broker.id);
        if (leads) {
            if (!broker.in_controlled_shutdown)
                outcome.records.push_back(registration_change(broker, 0, 1));
            broker_leaves(image, config, broker.id, outcome.records);
        } else if (!broker.in_controlled_shutdown || others_know_of_shutdown) {
            fence();
            response.should_shut_down = true;
        }
    } else if (request.want_fence) {
        fence();
    }
    // Whoever was fenced or moved just now is looked at again with the next heartbeat.
    if (outcome.records.empty())
        lose_directories(broker, request.offline_log_dirs, config, image, outcome.records);
    return outcome;
}

std::vector<Record> fence_broker(BrokerId id, const metadata::BrokerConfig& config,
                                 const ClusterImage& image) {
    std::vector<Record> records;
    const BrokerImage* broker = image.broker(id);
    if (!broker || broker->fenced) return records;
    broker_left(image, config, id, false, records);
    records.push_back(registration_change(*broker, 1, 0));
    return records;
}

Outcome<wire::ControllerRegistrationResponse> register_controller(
    const wire::ControllerRegistrationRequest& request, const ClusterImage& image) {
    Outcome<wire::ControllerRegistrationResponse> outcome;
    auto refuse = [&](ErrorCode code, std::string why) {
        outcome.response.error_code = code;
        outcome.response.error_message = std::move(why);
        return outcome;
    };
    constexpr std::int16_t first_level = 15;  // 3.7-IV0
    if (image.metadata_version() < first_level)
        return refuse(ErrorCode::unsupported_version,
                      "The metadata.version of the cluster is too low for registrations of "
                      "controllers.");
    if (request.listeners.empty())
        return refuse(ErrorCode::invalid_registration, "The controller names no listener.");
    for (const auto& [feature, level] : image.features()) {
        // What is not served may have been finalised by another implementation.
        const auto offered =
            std::find_if(request.features.begin(), request.features.end(),
                         [&](const auto& candidate) { return candidate.name == feature; });
        if (offered == request.features.end()) continue;
        if (level < offered->min_supported_version || level > offered->max_supported_version)
            return refuse(ErrorCode::unsupported_version, "The controller cannot run " + feature +
                                                              " at level " + std::to_string(level) +
                                                              ", which the cluster has finalised.");
    }
    // It asks until it reads of itself; nothing of it changes while its process runs.
    const metadata::ControllerImage* known = image.controllers().find(request.controller_id);
    if (known && known->incarnation == request.incarnation_id) return outcome;
    wire::RegisterControllerRecord record;
    record.controller_id = request.controller_id;
    record.incarnation_id = request.incarnation_id;
    record.zk_migration_ready = request.zk_migration_ready;
    for (const auto& listener : request.listeners)
        record.end_points.push_back(
            {listener.name, listener.host, listener.port, listener.security_protocol});
    for (const auto& feature : request.features)
        record.features.push_back(
            {feature.name, feature.min_supported_version, feature.max_supported_version});
    outcome.records.emplace_back(std::move(record));
    return outcome;
}

Outcome<wire::UnregisterBrokerResponse> unregister_broker(
    const wire::UnregisterBrokerRequest& request, const metadata::BrokerConfig& config,
    const ClusterImage& image) {
    Outcome<wire::UnregisterBrokerResponse> outcome;
    const BrokerImage* known = image.broker(request.broker_id);
    if (!known) {
        outcome.response.error_code = ErrorCode::broker_id_not_registered;
        outcome.response.error_message =
            "Broker " + std::to_string(request.broker_id.value()) + " is not registered.";
        return outcome;
    }
    // Whatever comes back under its id may be somebody else.
    broker_left(image, config, request.broker_id, true, outcome.records);
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
    response.error_code = check_broker_epoch(image, request.broker_id, request.broker_epoch);
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
