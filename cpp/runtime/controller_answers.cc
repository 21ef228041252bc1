// The answers of the active controller, request by request.
#include <algorithm>

#include "base/log.h"
#include "controller/alter_partition.h"
#include "controller/brokers.h"
#include "controller/configs.h"
#include "controller/directories.h"
#include "controller/features.h"
#include "controller/leadership.h"
#include "controller/reassignment.h"
#include "metadata/features.h"
#include "metadata/record.h"
#include "runtime/controller_state.h"

namespace pabal::runtime {
namespace {

using metadata::BrokerImage;
using metadata::ClusterImage;
using metadata::Record;

// What an outcome that could not be committed says to those who asked.
// `everything`: also to those who were refused for another reason.
void refuse(wire::CreateTopicsResponse& response, const Error& error, bool everything) {
    for (auto& topic : response.topics) {
        if (topic.error_code != ErrorCode::none && !everything) continue;
        std::string name = std::move(topic.name);
        topic = {};
        topic.name = std::move(name);
        topic.error_code = error.code;
        topic.error_message = error.message;
    }
}
template <class Items>
void refuse_items(Items& items, const Error& error, bool everything) {
    for (auto& item : items) {
        if (item.error_code != ErrorCode::none && !everything) continue;
        item.error_code = error.code;
        item.error_message = error.message;
    }
}
void refuse(wire::DeleteTopicsResponse& response, const Error& error, bool everything) {
    refuse_items(response.responses, error, everything);
}
void refuse(wire::CreatePartitionsResponse& response, const Error& error, bool everything) {
    refuse_items(response.results, error, everything);
}
void refuse(wire::AlterConfigsResponse& response, const Error& error, bool everything) {
    refuse_items(response.responses, error, everything);
}
void refuse(wire::IncrementalAlterConfigsResponse& response, const Error& error, bool everything) {
    refuse_items(response.responses, error, everything);
}
void refuse(wire::ElectLeadersResponse& response, const Error& error, bool everything) {
    response.error_code = error.code;
    for (auto& topic : response.replica_election_results)
        refuse_items(topic.partition_result, error, everything);
}
void refuse(wire::UpdateFeaturesResponse& response, const Error& error, bool everything) {
    response.error_code = error.code;
    response.error_message = error.message;
    refuse_items(response.results, error, everything);
}
void refuse(wire::AlterPartitionReassignmentsResponse& response, const Error& error, bool) {
    response.error_code = error.code;
    response.error_message = error.message;
    response.responses.clear();
}
// What has nothing but one error.
template <class Response>
void refuse(Response& response, const Error& error, bool) {
    response = {};
    response.error_code = error.code;
    if constexpr (requires { response.error_message; }) response.error_message = error.message;
}

bool same_addresses(const wire::BrokerRegistrationRequest& request, const BrokerImage& known) {
    return std::equal(request.listeners.begin(), request.listeners.end(), known.endpoints.begin(),
                      known.endpoints.end(), [](const auto& asked, const auto& endpoint) {
                          return asked.name == endpoint.name && asked.host == endpoint.host &&
                                 asked.port == endpoint.port;
                      });
}

}  // namespace

// Lets a machine judge the request at this moment, and answers once its records are committed and
// applied here; a request that changes nothing still waits for what it may have seen.
template <class Response, class Plan>
io::Task<Response> Controller::carry_out(Plan plan, Instant deadline) {
    if (state_->stopping || !active_) {
        // What the machine would have said shows to whom the refusal goes.
        auto planned = plan(state_->head);
        refuse(planned.response, not_active(), true);
        co_return std::move(planned.response);
    }
    auto outcome = plan(state_->head);
    auto submitted = submit(outcome.records);
    if (!submitted.ok()) {
        refuse(outcome.response, submitted.error(), false);
        co_return std::move(outcome.response);
    }
    elect_after_change_of_settings(outcome.records);
    auto done = co_await settled(deadline);
    if (!done.ok()) refuse(outcome.response, done.error(), false);
    co_return std::move(outcome.response);
}

Error Controller::not_active() const {
    if (const auto& failure = quorum_->failure())
        return {ErrorCode::kafka_storage_error, "the metadata log failed: " + failure->message};
    return {ErrorCode::not_controller, "this node is not the active controller"};
}

// Where an unclean leader may lead from now on, one does.
void Controller::elect_after_change_of_settings(const std::vector<Record>& records) {
    const bool allows = std::any_of(records.begin(), records.end(), [](const Record& record) {
        const auto* config = std::get_if<wire::ConfigRecord>(&record.content);
        return config && config->name == "unclean.leader.election.enable" &&
               config->value == "true";
    });
    if (allows) elect_uncleanly();
}

void Controller::elect_uncleanly() {
    std::vector<Record> elections;
    controller::elect_where_nobody_leads(state_->head, config_, elections);
    auto submitted = submit_in_parts(elections);
    if (!submitted.ok() && options_.log)
        options_.log->warning("no unclean leaders were elected",
                              {{"reason", submitted.error().message}});
}

io::Task<wire::CreateTopicsResponse> Controller::answer(wire::CreateTopicsRequest request, int,
                                                        CallContext context) {
    auto plan = [&](const ClusterImage& image) { return state_->topics.create(request, image); };
    auto response = co_await carry_out<wire::CreateTopicsResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::DeleteTopicsResponse> Controller::answer(wire::DeleteTopicsRequest request,
                                                        int version, CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return state_->topics.remove(request, version, image);
    };
    auto response = co_await carry_out<wire::DeleteTopicsResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::CreatePartitionsResponse> Controller::answer(wire::CreatePartitionsRequest request,
                                                            int, CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return state_->topics.add_partitions(request, image);
    };
    auto response = co_await carry_out<wire::CreatePartitionsResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::AlterConfigsResponse> Controller::answer(wire::AlterConfigsRequest request, int,
                                                        CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return controller::alter_configs(request, config_, image);
    };
    auto response = co_await carry_out<wire::AlterConfigsResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::IncrementalAlterConfigsResponse> Controller::answer(
    wire::IncrementalAlterConfigsRequest request, int, CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return controller::alter_configs(request, config_, image);
    };
    auto response =
        co_await carry_out<wire::IncrementalAlterConfigsResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::ElectLeadersResponse> Controller::answer(wire::ElectLeadersRequest request, int,
                                                        CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return controller::elect_leaders(request, config_, image);
    };
    auto response = co_await carry_out<wire::ElectLeadersResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::AlterPartitionReassignmentsResponse> Controller::answer(
    wire::AlterPartitionReassignmentsRequest request, int, CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return controller::reassign(request, config_, image, state_->random);
    };
    auto response =
        co_await carry_out<wire::AlterPartitionReassignmentsResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::ListPartitionReassignmentsResponse> Controller::answer(
    wire::ListPartitionReassignmentsRequest request, int, CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        controller::Outcome<wire::ListPartitionReassignmentsResponse> outcome;
        outcome.response = controller::list_reassignments(request, image);
        return outcome;
    };
    auto response =
        co_await carry_out<wire::ListPartitionReassignmentsResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::UpdateFeaturesResponse> Controller::answer(wire::UpdateFeaturesRequest request,
                                                          int version, CallContext context) {
    // What the quorum itself finalises stands in no record of the image.
    auto plan = [&](const ClusterImage& image) {
        controller::KraftVersion kraft;
        kraft.level = quorum_->kraft_version();
        std::int16_t wanted = kraft.level;
        for (const auto& asked : request.feature_updates)
            if (asked.feature == metadata::kraft_version_feature) wanted = asked.max_version_level;
        auto may = quorum_->upgrade(wanted, true);
        if (!may.ok()) kraft.change = may.error();
        auto outcome = controller::update_features(request, version, config_, image, kraft);
        const bool raises = active_ && wanted != kraft.level && !outcome.records.empty();
        if (!raises) return outcome;
        auto raised = quorum_->upgrade(wanted, false);
        if (raised.ok()) return outcome;
        outcome.records.clear();
        refuse(outcome.response, raised.error(), true);
        return outcome;
    };
    auto response = co_await carry_out<wire::UpdateFeaturesResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::UnregisterBrokerResponse> Controller::answer(wire::UnregisterBrokerRequest request,
                                                            int, CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return controller::unregister_broker(request, config_, image);
    };
    auto response = co_await carry_out<wire::UnregisterBrokerResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::AllocateProducerIdsResponse> Controller::answer(
    wire::AllocateProducerIdsRequest request, int, CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return controller::allocate_producer_ids(request, image);
    };
    auto response = co_await carry_out<wire::AllocateProducerIdsResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::AlterPartitionResponse> Controller::answer(wire::AlterPartitionRequest request,
                                                          int version, CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return controller::alter_partition(request, version, config_, image);
    };
    auto response = co_await carry_out<wire::AlterPartitionResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::AssignReplicasToDirsResponse> Controller::answer(
    wire::AssignReplicasToDirsRequest request, int, CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return controller::assign_directories(request, config_, image);
    };
    auto response = co_await carry_out<wire::AssignReplicasToDirsResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::ControllerRegistrationResponse> Controller::answer(
    wire::ControllerRegistrationRequest request, int, CallContext context) {
    auto plan = [&](const ClusterImage& image) {
        return controller::register_controller(request, image);
    };
    auto response =
        co_await carry_out<wire::ControllerRegistrationResponse>(plan, context.deadline);
    co_return response;
}

io::Task<wire::BrokerRegistrationResponse> Controller::answer(
    wire::BrokerRegistrationRequest request, int, CallContext context) {
    controller::Predecessor predecessor = controller::Predecessor::may_live;
    const BrokerId id = request.broker_id;
    if (const BrokerImage* known = active_ ? state_->head.broker(id) : nullptr;
        known && !known->fenced && known->incarnation != request.incarnation_id) {
        const bool ours = id == config_.node_id() && request.incarnation_id == options_.incarnation;
        // Two processes cannot listen at one address.
        const bool replaced = !state_->sessions.is_connected(id) && same_addresses(request, *known);
        if (ours || replaced || !state_->sessions.is_alive(id))
            predecessor = controller::Predecessor::is_gone;
        else if (!state_->sessions.is_connected(id))
            suspect(id);
    }
    auto plan = [&](const ClusterImage& image) {
        return controller::register_broker(request, predecessor, options_.cluster_id,
                                           quorum_->log_end_offset(), config_, image);
    };
    auto response = co_await carry_out<wire::BrokerRegistrationResponse>(plan, context.deadline);
    if (response.error_code == ErrorCode::none && active_) {
        state_->sessions.spoke(id, response.broker_epoch, Offset(-1), ports_.clock.now());
        arm_tick();
    }
    co_return response;
}

io::Task<wire::BrokerHeartbeatResponse> Controller::answer(wire::BrokerHeartbeatRequest request,
                                                           int, CallContext context) {
    const BrokerId id = request.broker_id;
    const BrokerImage* known = active_ ? state_->head.broker(id) : nullptr;
    const bool was_leaving = known && known->in_controlled_shutdown;
    auto plan = [&](const ClusterImage& image) {
        return controller::heartbeat(request, state_->sessions.others_know_of_shutdown(id, image),
                                     config_, image);
    };
    if (known && known->epoch == request.broker_epoch) {
        state_->sessions.spoke(id, request.broker_epoch, request.current_metadata_offset,
                               ports_.clock.now());
        arm_tick();
        auto outcome = plan(state_->head);
        // Most heartbeats: nothing changes, and what they are told is committed.
        const BrokerImage* published = image()->broker(id);
        if (!state_->stopping && outcome.records.empty() && published && *published == *known)
            co_return std::move(outcome.response);
    }
    auto response = co_await carry_out<wire::BrokerHeartbeatResponse>(plan, context.deadline);
    // A shutdown began with the records that were just committed, if it did.
    const BrokerImage* now = active_ ? state_->head.broker(id) : nullptr;
    if (now && now->epoch == request.broker_epoch && now->in_controlled_shutdown && !was_leaving)
        state_->sessions.shutdown_began(id, image()->offset());
    if (now && now->epoch == request.broker_epoch && now->fenced && response.should_shut_down)
        state_->sessions.fenced(id);
    co_return response;
}

}  // namespace pabal::runtime
