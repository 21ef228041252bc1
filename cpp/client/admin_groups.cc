#include <algorithm>
#include <map>
#include <tuple>

#include "client/admin.h"
#include "client/admin_call.h"
#include "client/consumer_protocol.h"
#include "client/find_coordinator.h"
#include "wire/consumer_group_describe.h"
#include "wire/delete_groups.h"
#include "wire/describe_groups.h"
#include "wire/list_groups.h"
#include "wire/offset_commit.h"
#include "wire/offset_delete.h"
#include "wire/offset_fetch.h"

namespace pabal::client {
namespace {

// A coordinator that moves or has just been asked for the first time.
bool is_on_the_move(ErrorCode code) {
    return code == ErrorCode::coordinator_not_available ||
           code == ErrorCode::coordinator_load_in_progress || code == ErrorCode::not_coordinator;
}

std::string refusal_of(ErrorCode code, const std::string& group) {
    if (code == ErrorCode::group_id_not_found) return "there is no group " + group;
    if (code == ErrorCode::non_empty_group) return "group " + group + " still has members";
    return "of group " + group;
}

// All offsets of one group, as each version asks for them; of several from version 8 (KIP-709).
struct OffsetFetch : wire::OffsetFetchRequest {
    std::string group;

    void fill(int version) {
        constexpr int first_with_several = 8;
        if (version < first_with_several) {
            group_id = group;
        } else {
            groups.clear();
            groups.emplace_back().group_id = group;
        }
    }
};

}  // namespace

io::Task<Result<std::vector<GroupListing>>> Admin::list_groups(Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    auto listed = co_await list_topics(timeout);
    if (!listed.ok()) co_return listed.error();
    std::vector<BrokerId> brokers;
    for (const auto& [broker, node] : nodes_) brokers.push_back(broker);
    std::vector<GroupListing> groups;
    for (const BrokerId broker : brokers) {
        wire::ListGroupsRequest request;
        auto response =
            co_await call_at<wire::ListGroupsResponse>(broker, std::move(request), deadline);
        if (!response.ok()) co_return response.error();
        if (response->error_code != ErrorCode::none) {
            co_return Error{response->error_code,
                            "broker " + std::to_string(broker.value()) + " lists no groups"};
        }
        for (auto& group : response->groups) {
            groups.push_back({std::move(group.group_id), std::move(group.group_type),
                              std::move(group.protocol_type), std::move(group.group_state)});
        }
    }
    std::sort(groups.begin(), groups.end(),
              [](const auto& a, const auto& b) { return a.id < b.id; });
    co_return groups;
}

io::Task<Result<BrokerId>> Admin::find_coordinator(std::string group, Instant deadline) {
    for (;;) {
        FindCoordinator request(CoordinatorKind::group, group);
        auto response = co_await call<wire::FindCoordinatorResponse>(std::move(request), deadline);
        if (!response.ok()) co_return response.error();
        auto found = coordinator_in(std::move(*response));
        if (found.error_code == ErrorCode::none) {
            learn(found.node_id, std::move(found.host), found.port);
            co_return found.node_id;
        }
        if (!is_on_the_move(found.error_code) || clock_->now() >= deadline) {
            co_return Error{found.error_code, found.error_message.value_or("")};
        }
        io::Sleep pause(*clock_, clock_->now() + retry_pause);
        co_await pause;
    }
}

io::Task<Result<GroupDescription>> Admin::describe_group(std::string id, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    for (;;) {
        std::string group = id;
        auto coordinator = co_await find_coordinator(std::move(group), deadline);
        if (!coordinator.ok()) co_return coordinator.error();
        const BrokerId broker = *coordinator;
        group = id;
        auto classic = co_await describe_classic_group(std::move(group), broker, deadline);
        if (classic.ok()) co_return classic;
        ErrorCode code = classic.error().code;
        if (code == ErrorCode::group_id_not_found) {
            group = id;
            auto consumer = co_await describe_consumer_group(std::move(group), broker, deadline);
            if (consumer.ok()) co_return consumer;
            code = consumer.error().code;
            if (code == ErrorCode::unsupported_version) code = ErrorCode::group_id_not_found;
            classic = std::move(consumer);
        }
        if (code == ErrorCode::group_id_not_found) {
            co_return Error{code, "there is no group " + id};
        }
        if (!is_on_the_move(code) || clock_->now() >= deadline) co_return classic;
        io::Sleep pause(*clock_, clock_->now() + retry_pause);
        co_await pause;
    }
}

io::Task<Result<GroupDescription>> Admin::describe_classic_group(std::string id,
                                                                 BrokerId coordinator,
                                                                 Instant deadline) {
    wire::DescribeGroupsRequest request;
    request.groups.push_back(id);
    auto response =
        co_await call_at<wire::DescribeGroupsResponse>(coordinator, std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    if (response->groups.size() != 1) co_return answered_for_another(id);
    auto& described = response->groups.front();
    const Status status = status_of(described.error_code, described.error_message);
    if (!status.ok()) co_return status.error();
    // Before version 6 a group that nobody knows is one that is dead.
    if (described.group_state == "Dead" && described.members.empty()) {
        co_return Error{ErrorCode::group_id_not_found, ""};
    }
    GroupDescription out;
    out.id = std::move(described.group_id);
    out.type = "classic";
    out.state = std::move(described.group_state);
    out.protocol_type = std::move(described.protocol_type);
    out.assignor = std::move(described.protocol_data);
    out.coordinator = coordinator;
    for (auto& member : described.members) {
        auto& one = out.members.emplace_back();
        one.id = std::move(member.member_id);
        one.instance_id = std::move(member.group_instance_id);
        one.client_id = std::move(member.client_id);
        one.host = std::move(member.client_host);
        if (out.protocol_type == "consumer") {
            one.assignment = decode_assignment(member.member_assignment);
        }
    }
    co_return out;
}

io::Task<Result<GroupDescription>> Admin::describe_consumer_group(std::string id,
                                                                  BrokerId coordinator,
                                                                  Instant deadline) {
    wire::ConsumerGroupDescribeRequest request;
    request.group_ids.push_back(id);
    auto response = co_await call_at<wire::ConsumerGroupDescribeResponse>(
        coordinator, std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    if (response->groups.size() != 1) co_return answered_for_another(id);
    auto& described = response->groups.front();
    const Status status = status_of(described.error_code, described.error_message);
    if (!status.ok()) co_return status.error();
    GroupDescription out;
    out.id = std::move(described.group_id);
    out.type = "consumer";
    out.state = std::move(described.group_state);
    out.protocol_type = "consumer";
    out.assignor = std::move(described.assignor_name);
    out.epoch = described.group_epoch;
    out.coordinator = coordinator;
    for (auto& member : described.members) {
        auto& one = out.members.emplace_back();
        one.id = std::move(member.member_id);
        one.instance_id = std::move(member.instance_id);
        one.client_id = std::move(member.client_id);
        one.host = std::move(member.client_host);
        for (const auto& topic : member.assignment.topic_partitions) {
            for (const PartitionIndex partition : topic.partitions) {
                one.assignment.push_back({topic.topic_name, partition});
            }
        }
        std::sort(one.assignment.begin(), one.assignment.end());
    }
    co_return out;
}

// At the group's coordinator, again while that one moves. `code_of` a response is the group's
// error.
template <class Response, class Request, class CodeOf>
io::Task<Result<Response>> Admin::call_coordinator(std::string group, Request request,
                                                   CodeOf code_of, Instant deadline) {
    for (;;) {
        std::string wanted = group;
        auto coordinator = co_await find_coordinator(std::move(wanted), deadline);
        if (!coordinator.ok()) co_return coordinator.error();
        const BrokerId broker = *coordinator;
        Request next = request;
        auto response = co_await call_at<Response>(broker, std::move(next), deadline);
        if (!response.ok()) co_return response;
        if (!is_on_the_move(code_of(*response)) || clock_->now() >= deadline) co_return response;
        io::Sleep pause(*clock_, clock_->now() + retry_pause);
        co_await pause;
    }
}

io::Task<Result<std::vector<CommittedOffset>>> Admin::committed_offsets(std::string group,
                                                                        Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    // From version 10 topics come as ids (KIP-848).
    auto listed = co_await list_topics(timeout);
    if (!listed.ok()) co_return listed.error();
    std::map<TopicId, std::string> names;
    for (auto& topic : *listed) names.emplace(topic.id, std::move(topic.name));
    OffsetFetch request;
    request.group = group;
    const auto code_of = [](const wire::OffsetFetchResponse& response) {
        return response.groups.empty() ? response.error_code : response.groups.front().error_code;
    };
    std::string wanted = group;
    auto response = co_await call_coordinator<wire::OffsetFetchResponse>(
        std::move(wanted), std::move(request), code_of, deadline);
    if (!response.ok()) co_return response.error();
    const ErrorCode code = code_of(*response);
    if (code != ErrorCode::none) co_return Error{code, "the offsets of group " + group};
    std::vector<CommittedOffset> offsets;
    const auto take = [&](const std::string& topic, const auto& partitions) {
        for (const auto& partition : partitions) {
            if (partition.error_code != ErrorCode::none) continue;
            offsets.push_back({topic, partition.partition_index, partition.committed_offset});
        }
    };
    for (const auto& topic : response->topics) take(topic.name, topic.partitions);
    if (!response->groups.empty()) {
        for (const auto& topic : response->groups.front().topics) {
            const auto name = names.find(topic.topic_id);
            if (!topic.name.empty()) {
                take(topic.name, topic.partitions);
            } else if (name != names.end()) {
                take(name->second, topic.partitions);
            }
        }
    }
    std::sort(offsets.begin(), offsets.end(), [](const auto& a, const auto& b) {
        return std::tie(a.topic, a.partition) < std::tie(b.topic, b.partition);
    });
    co_return offsets;
}

io::Task<Status> Admin::commit_offsets(std::string group, std::vector<CommittedOffset> offsets,
                                       Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    auto listed = co_await list_topics(timeout);
    if (!listed.ok()) co_return listed.error();
    std::map<std::string, TopicId> ids;
    for (auto& topic : *listed) ids.emplace(std::move(topic.name), topic.id);
    wire::OffsetCommitRequest request;
    request.group_id = group;
    std::map<std::string, std::size_t> places;
    for (const CommittedOffset& offset : offsets) {
        const auto id = ids.find(offset.topic);
        if (id == ids.end()) {
            co_return Error{ErrorCode::unknown_topic_or_partition,
                            "there is no topic " + offset.topic};
        }
        const auto [place, fresh] = places.try_emplace(offset.topic, request.topics.size());
        if (fresh) {
            auto& topic = request.topics.emplace_back();
            topic.name = offset.topic;
            topic.topic_id = id->second;
        }
        auto& partition = request.topics[place->second].partitions.emplace_back();
        partition.partition_index = offset.partition;
        partition.committed_offset = offset.offset;
        partition.committed_metadata = "";
    }
    if (request.topics.empty()) co_return Status();
    const auto code_of = [](const wire::OffsetCommitResponse& response) {
        for (const auto& topic : response.topics) {
            for (const auto& partition : topic.partitions) {
                if (partition.error_code != ErrorCode::none) return partition.error_code;
            }
        }
        return ErrorCode::none;
    };
    std::string wanted = group;
    auto response = co_await call_coordinator<wire::OffsetCommitResponse>(
        std::move(wanted), std::move(request), code_of, deadline);
    if (!response.ok()) co_return response.error();
    const ErrorCode code = code_of(*response);
    // A group with members lets nobody else commit.
    if (code == ErrorCode::unknown_member_id)
        co_return Error{ErrorCode::non_empty_group, refusal_of(ErrorCode::non_empty_group, group)};
    if (code != ErrorCode::none) co_return Error{code, "the offsets of group " + group};
    co_return Status();
}

io::Task<Status> Admin::delete_offsets(std::string group, std::string topic,
                                       std::vector<PartitionIndex> partitions, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::OffsetDeleteRequest request;
    request.group_id = group;
    auto& asked = request.topics.emplace_back();
    asked.name = topic;
    for (const PartitionIndex partition : partitions) asked.partitions.push_back({partition});
    const auto code_of = [](const wire::OffsetDeleteResponse& response) {
        if (response.error_code != ErrorCode::none || response.topics.empty())
            return response.error_code;
        for (const auto& partition : response.topics.front().partitions) {
            if (partition.error_code != ErrorCode::none) return partition.error_code;
        }
        return ErrorCode::none;
    };
    std::string wanted = group;
    auto response = co_await call_coordinator<wire::OffsetDeleteResponse>(
        std::move(wanted), std::move(request), code_of, deadline);
    if (!response.ok()) co_return response.error();
    const ErrorCode code = code_of(*response);
    if (code == ErrorCode::none) co_return Status();
    if (code == ErrorCode::group_subscribed_to_topic)
        co_return Error{code, "members of group " + group + " read " + topic};
    co_return Error{code, refusal_of(code, group)};
}

io::Task<Status> Admin::delete_group(std::string id, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::DeleteGroupsRequest request;
    request.groups_names.push_back(id);
    const auto code_of = [](const wire::DeleteGroupsResponse& response) {
        return response.results.size() == 1 ? response.results.front().error_code
                                            : ErrorCode::invalid_request;
    };
    std::string wanted = id;
    auto response = co_await call_coordinator<wire::DeleteGroupsResponse>(
        std::move(wanted), std::move(request), code_of, deadline);
    if (!response.ok()) co_return response.error();
    const ErrorCode code = code_of(*response);
    if (code != ErrorCode::none) co_return Error{code, refusal_of(code, id)};
    co_return Status();
}

}  // namespace pabal::client
