// The groups of one partition of __consumer_offsets, request by request:
// tests/scenario/group/*.txt. Ids that the machine makes up are shown as client#1, client#2, ... in
// the order of their making.
#include "tests/scenario/transcript.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <sstream>

#include "group/group_record.h"
#include "group/shard.h"
#include "group/subscription.h"
#include "metadata/cluster_image.h"
#include "metadata/record.h"
#include "wire/writer.h"

namespace pabal::group {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
    return parts;
}

std::string text_of(const Bytes& bytes) {
    return std::string(as_text(bytes.view()));
}

Bytes bytes_of(const std::string& text) {
    return Bytes::copy_of(as_bytes(text));
}

// t-0,t-1 by topic.
template <class Topic>
std::vector<Topic> partitions_of(const std::string& text) {
    std::vector<Topic> topics;
    for (const std::string& each : split(text, ',')) {
        Topic& topic = topics.emplace_back();
        topic.topic = each.substr(0, each.find('-'));
        topic.partitions.emplace_back(std::stoi(each.substr(each.find('-') + 1)));
    }
    return topics;
}

// "topics:a,b" becomes what a consumer of these topics tells the others, "topics:a,b/a-0,a-1" of
// one that owns partitions; other text stays as it is.
Bytes metadata_of(const std::string& text) {
    if (!text.starts_with("topics:")) return bytes_of(text);
    const auto slash = text.find('/');
    wire::ConsumerProtocolSubscription subscription;
    subscription.topics =
        split(text.substr(7, slash == std::string::npos ? slash : slash - 7), ',');
    if (slash != std::string::npos) {
        subscription.owned_partitions =
            partitions_of<wire::ConsumerProtocolSubscription::TopicPartition>(
                text.substr(slash + 1));
    }
    wire::Writer writer;
    writer.int16(1);
    encode(writer, subscription, 1);
    return *writer.take().flatten();
}

// "partitions:a-0,a-1" becomes an assignment of these, and back.
Bytes assignment_of(const std::string& text) {
    if (!text.starts_with("partitions:")) return bytes_of(text);
    wire::ConsumerProtocolAssignment assignment;
    assignment.assigned_partitions =
        partitions_of<wire::ConsumerProtocolAssignment::TopicPartition>(text.substr(11));
    return encode_assignment(assignment, metadata_of("topics:t"));
}

std::string assignment_text(const Bytes& bytes) {
    const auto assignment = parse_assignment(bytes);
    if (bytes.empty() || !assignment) return text_of(bytes);
    std::string text;
    for (const auto& topic : assignment->assigned_partitions) {
        for (const PartitionIndex partition : topic.partitions)
            text +=
                (text.empty() ? "" : ",") + topic.topic + "-" + std::to_string(partition.value());
    }
    return "[" + text + "]";
}

class Transcript {
public:
    std::string answer(const scenario::Command& command) {
        if (command.name == "settings") return change_settings(command);
        Effects effects;
        if (!shard_) {
            shard_.emplace(&settings_, Prng(1));
            shard_->learn(image_, moment(), &effects);
        }
        std::string text = carry_out(command, &effects);
        text += told(effects);
        return shortened(text);
    }

private:
    std::string change_settings(const scenario::Command& command) {
        settings_.initial_rebalance_delay =
            Duration::milliseconds(command.number("initial-delay", 0));
        settings_.max_size = static_cast<std::size_t>(command.number("max-size", INT32_MAX));
        settings_.offsets_retention =
            Duration::milliseconds(command.number("retention", 604'800'000));
        settings_.offset_metadata_max_bytes =
            static_cast<std::size_t>(command.number("metadata-max", 4096));
        settings_.consumer_max_size = settings_.max_size;
        const std::string policy = command.value("policy", "bidirectional");
        settings_.may_upgrade = policy == "upgrade" || policy == "bidirectional";
        settings_.may_downgrade = policy == "downgrade" || policy == "bidirectional";
        return "";
    }

    std::string carry_out(const scenario::Command& command, Effects* effects) {
        if (command.name == "join") return join(command, effects);
        if (command.name == "sync") return sync(command, effects);
        if (command.name == "heartbeat") return heartbeat(command);
        if (command.name == "leave") return leave(command, effects);
        if (command.name == "commit") return commit(command, effects);
        if (command.name == "fetch") return fetch(command);
        if (command.name == "commit-within") return commit_within(command, effects);
        if (command.name == "end") {
            shard_->end_transaction(ProducerId(command.number("producer", 0)),
                                    command.has("committed"));
            return "";
        }
        if (command.name == "delete-offsets") return delete_offsets(command, effects);
        if (command.name == "delete")
            return name(shard_->delete_group(command.words[0], effects)) + "\n";
        if (command.name == "delete-topic") {
            shard_->topic_deleted(command.words[0], TopicId(), effects);
            return "";
        }
        if (command.name == "expire") {
            shard_->expire_offsets(moment(), effects);
            return "";
        }
        if (command.name == "wait") return wait(command, effects);
        if (command.name == "describe") return describe(command);
        if (command.name == "topic") return change_topic(command, effects);
        if (command.name == "beat") return beat(command, effects);
        if (command.name == "set") return set_for_group(command);
        if (command.name == "describe-consumer") return describe_consumer();
        if (command.name == "list") return list();
        if (command.name == "reload") return reload(command);
        if (command.name == "abandon") {
            shard_->abandon(ErrorCode::not_coordinator, effects);
            return "";
        }
        return "no such command: " + command.name;
    }

    std::string join(const scenario::Command& command, Effects* effects) {
        wire::JoinGroupRequest request;
        request.group_id = command.value("group", "g");
        request.member_id = lengthened(command.value("member"));
        request.session_timeout_ms = static_cast<std::int32_t>(command.number("session", 10'000));
        request.rebalance_timeout_ms =
            static_cast<std::int32_t>(command.number("rebalance", 60'000));
        request.protocol_type = command.value("type", "consumer");
        if (command.values.count("instance")) request.group_instance_id = command.value("instance");
        for (const std::string& each : split(command.value("protocols", "range:topics:t"), ';')) {
            auto& protocol = request.protocols.emplace_back();
            protocol.name = each.substr(0, each.find(':'));
            protocol.metadata = metadata_of(
                each.find(':') == std::string::npos ? "" : each.substr(each.find(':') + 1));
        }
        Joiner joiner;
        joiner.call = ++last_call_;
        joiner.client_id = command.words.empty() ? "c" : command.words[0];
        joiner.client_host = "/127.0.0.1";
        const auto version = command.number("version", 9);
        joiner.member_id_required = version >= 4;
        joiner.may_skip_assignment = version >= 9;
        shard_->join(request, joiner, moment(), effects);
        return "";
    }

    std::string sync(const scenario::Command& command, Effects* effects) {
        wire::SyncGroupRequest request;
        request.group_id = command.value("group", "g");
        request.member_id = lengthened(command.words[0]);
        request.generation_id = static_cast<std::int32_t>(command.number("generation", 1));
        if (command.values.count("instance")) request.group_instance_id = command.value("instance");
        if (command.values.count("type")) request.protocol_type = command.value("type");
        if (command.values.count("protocol")) request.protocol_name = command.value("protocol");
        for (const std::string& line : command.input) {
            const auto equals = line.find('=');
            request.assignments.push_back(
                {lengthened(line.substr(0, equals)), assignment_of(line.substr(equals + 1))});
        }
        shard_->sync(request, ++last_call_, moment(), effects);
        return "";
    }

    std::string heartbeat(const scenario::Command& command) {
        wire::HeartbeatRequest request;
        request.group_id = command.value("group", "g");
        request.member_id = lengthened(command.words[0]);
        request.generation_id = static_cast<std::int32_t>(command.number("generation", 1));
        if (command.values.count("instance")) request.group_instance_id = command.value("instance");
        const ErrorCode error = shard_->heartbeat(request, moment());
        if (error != ErrorCode::none || !command.has("parked")) return name(error) + "\n";
        const Duration patience = shard_->park_heartbeat(request, ++last_call_);
        return "waits for " + std::to_string(patience.to_milliseconds()) + " ms\n";
    }

    std::string leave(const scenario::Command& command, Effects* effects) {
        wire::LeaveGroupRequest request;
        request.group_id = command.value("group", "g");
        for (const std::string& member : command.words)
            request.members.emplace_back().member_id = lengthened(member);
        if (command.values.count("instance"))
            request.members.emplace_back().group_instance_id = command.value("instance");
        const auto response = shard_->leave(request, moment(), effects);
        std::string text;
        for (const auto& each : response.members)
            text += each.group_instance_id.value_or(each.member_id) + " " + name(each.error_code) +
                    "\n";
        return text;
    }

    // commit t-0=5 t-1=6 member=... generation=...
    std::string commit(const scenario::Command& command, Effects* effects) {
        wire::OffsetCommitRequest request;
        request.group_id = command.value("group", "g");
        request.member_id = lengthened(command.value("member"));
        request.generation_id_or_member_epoch =
            static_cast<std::int32_t>(command.number("generation", -1));
        request.retention_time_ms = command.number("retention", -1);
        if (command.values.count("instance")) request.group_instance_id = command.value("instance");
        for (const auto& [key, value] : command.values) {
            const auto dash = key.find('-');
            if (dash == std::string::npos) continue;
            auto& topic = request.topics.emplace_back();
            topic.name = key.substr(0, dash);
            if (image_->topic(topic.name)) topic.topic_id = topic_id(topic.name);
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = PartitionIndex(std::stoi(key.substr(dash + 1)));
            partition.committed_offset = Offset(std::stoll(value));
            partition.committed_metadata = command.value("metadata");
        }
        const auto response = shard_->commit(
            request, static_cast<int>(command.number("version", 9)), moment(), effects);
        std::string text;
        for (const auto& topic : response.topics)
            for (const auto& partition : topic.partitions)
                text += topic.name + "-" + std::to_string(partition.partition_index.value()) + " " +
                        name(partition.error_code) + "\n";
        return text;
    }

    // commit-within producer=1 t-0=5: as a part of the producer's transaction.
    std::string commit_within(const scenario::Command& command, Effects* effects) {
        wire::TxnOffsetCommitRequest request;
        request.group_id = command.value("group", "g");
        request.producer_id = ProducerId(command.number("producer", 0));
        request.generation_id = static_cast<std::int32_t>(command.number("generation", -1));
        request.member_id = lengthened(command.value("member"));
        if (command.values.count("instance")) request.group_instance_id = command.value("instance");
        for (const auto& [key, value] : command.values) {
            const auto dash = key.rfind('-');
            if (dash == std::string::npos) continue;
            auto& topic = request.topics.emplace_back();
            topic.name = key.substr(0, dash);
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = PartitionIndex(std::stoi(key.substr(dash + 1)));
            partition.committed_offset = Offset(std::stoll(value));
        }
        const auto response = shard_->commit_in_transaction(request, moment(), effects);
        std::string text;
        for (const auto& topic : response.topics)
            for (const auto& partition : topic.partitions)
                text += topic.name + "-" + std::to_string(partition.partition_index.value()) + " " +
                        name(partition.error_code) + "\n";
        return text;
    }

    // fetch t-0 t-1, or fetch for everything; as member=M with epoch=N.
    std::string fetch(const scenario::Command& command) {
        wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
        request.group_id = command.value("group", "g");
        for (const std::string& word : command.words) {
            if (!request.topics) request.topics.emplace();
            auto& topic = request.topics->emplace_back();
            topic.name = word.substr(0, word.find('-'));
            topic.partition_indexes.emplace_back(std::stoi(word.substr(word.find('-') + 1)));
        }
        if (command.values.count("member")) request.member_id = command.value("member");
        request.member_epoch = static_cast<std::int32_t>(command.number("epoch", -1));
        const auto response = shard_->fetch(request, command.value("require") == "stable");
        std::string text;
        if (response.error_code != ErrorCode::none) text += name(response.error_code) + "\n";
        for (const auto& topic : response.topics)
            for (const auto& partition : topic.partitions)
                text += topic.name + "-" + std::to_string(partition.partition_index.value()) +
                        (partition.error_code == ErrorCode::none
                             ? " at " + std::to_string(partition.committed_offset.value())
                             : " " + name(partition.error_code)) +
                        "\n";
        return text;
    }

    std::string delete_offsets(const scenario::Command& command, Effects* effects) {
        wire::OffsetDeleteRequest request;
        request.group_id = command.value("group", "g");
        for (const std::string& word : command.words) {
            auto& topic = request.topics.emplace_back();
            topic.name = word.substr(0, word.find('-'));
            topic.partitions.emplace_back().partition_index =
                PartitionIndex(std::stoi(word.substr(word.find('-') + 1)));
        }
        const auto response = shard_->delete_offsets(request, moment(), effects);
        if (response.error_code != ErrorCode::none) return name(response.error_code) + "\n";
        std::string text;
        for (const auto& topic : response.topics)
            for (const auto& partition : topic.partitions)
                text += topic.name + "-" + std::to_string(partition.partition_index.value()) + " " +
                        name(partition.error_code) + "\n";
        return text;
    }

    std::string wait(const scenario::Command& command, Effects* effects) {
        const std::int64_t until = now_ + std::stoll(command.words[0]);
        while (true) {
            const Instant due = shard_->deadline();
            if (due == Instant::never() || due.to_nanoseconds() / 1'000'000 > until) break;
            now_ = std::max(now_, due.to_nanoseconds() / 1'000'000);
            const std::size_t before = effects->replies.size() + effects->records.size();
            shard_->elapsed(moment(), effects);
            if (effects->replies.size() + effects->records.size() != before)
                return "after " + std::to_string(now_) + " ms:\n";
        }
        now_ = until;
        return "";
    }

    std::string describe(const scenario::Command& command) {
        const auto group = shard_->describe(command.words.empty() ? "g" : command.words[0]);
        if (group.error_code != ErrorCode::none)
            return name(group.error_code) + " " + group.group_state + "\n";
        std::string text =
            group.group_state + " " + group.protocol_type + " " + group.protocol_data + "\n";
        for (const auto& member : group.members)
            text += "  " + member.member_id + " " + member.group_instance_id.value_or("-") +
                    " assignment=" + assignment_text(member.member_assignment) + "\n";
        return text;
    }

    std::string list() {
        std::vector<wire::ListGroupsResponse::ListedGroup> groups;
        shard_->list(&groups);
        std::string text;
        for (const auto& group : groups)
            text += group.group_id + " " + group.protocol_type + " " + group.group_state + " " +
                    group.group_type + "\n";
        return text;
    }

    // set SETTING=VALUE, for the group g.
    std::string set_for_group(const scenario::Command& command) {
        auto image = std::make_shared<metadata::ClusterImage>(*image_);
        for (const auto& [name, value] : command.values) {
            wire::ConfigRecord record;
            record.resource_type = static_cast<std::int8_t>(metadata::ResourceType::group);
            record.resource_name = "g";
            record.name = name;
            record.value = value;
            EXPECT_TRUE(image->replay(metadata::Record(record), nullptr).ok());
        }
        image_ = image;
        shard_->learn_settings(image_);
        return "";
    }

    // topic NAME partitions=N, which may be more than it had.
    std::string change_topic(const scenario::Command& command, Effects* effects) {
        auto image = std::make_shared<metadata::ClusterImage>(*image_);
        const std::string& name = command.words[0];
        std::int32_t has = 0;
        if (auto known = image->topic(name)) {
            has = static_cast<std::int32_t>(known->partitions.size());
        } else {
            wire::TopicRecord record;
            record.name = name;
            record.topic_id = topic_id(name);
            EXPECT_TRUE(image->replay(metadata::Record(record), nullptr).ok());
        }
        for (; has < command.number("partitions", 1); ++has) {
            wire::PartitionRecord record;
            record.topic_id = topic_id(name);
            record.partition_id = PartitionIndex(has);
            record.replicas = {BrokerId(0)};
            record.isr = {BrokerId(0)};
            record.leader = BrokerId(0);
            record.directories = {DirectoryId()};
            EXPECT_TRUE(image->replay(metadata::Record(record), nullptr).ok());
        }
        image_ = image;
        shard_->learn(image_, moment(), effects);
        return "";
    }

    // Names are single letters, so that their order is that of the ids.
    static TopicId topic_id(const std::string& name) {
        Uuid id;
        id.bytes[0] = static_cast<std::uint8_t>(name[0]);
        id.bytes[15] = 1;
        return TopicId(id);
    }
    static std::string topic_name(const TopicId& id) {
        return std::string(1, static_cast<char>(id.value().bytes[0]));
    }
    template <class Topics>
    static std::string partitions_text(const Topics& topics) {
        std::string text;
        for (const auto& topic : topics) {
            for (const PartitionIndex partition : topic.partitions) {
                text += (text.empty() ? "" : ",") + topic_name(topic.topic_id) + "-" +
                        std::to_string(partition.value());
            }
        }
        return "[" + text + "]";
    }

    // beat MEMBER epoch=N [topics=a,b] [regex=R] [owned=t-0,t-1] [instance=I] [assignor=A]
    // [impatient]: whose time is up before there is news
    std::string beat(const scenario::Command& command, Effects* effects) {
        wire::ConsumerGroupHeartbeatRequest request;
        request.group_id = command.value("group", "g");
        request.member_id = lengthened(command.words[0]);
        request.member_epoch = static_cast<std::int32_t>(command.number("epoch", 0));
        if (request.member_epoch == ConsumerGroup::join_epoch) {
            request.rebalance_timeout_ms = 5'000;
            request.topic_partitions.emplace();
        }
        if (command.values.count("topics"))
            request.subscribed_topic_names = split(command.value("topics"), ',');
        if (command.values.count("regex")) request.subscribed_topic_regex = command.value("regex");
        if (command.values.count("instance")) request.instance_id = command.value("instance");
        if (command.values.count("assignor")) request.server_assignor = command.value("assignor");
        if (command.values.count("owned")) {
            request.topic_partitions.emplace();
            for (const std::string& owned : split(command.value("owned"), ',')) {
                auto& topic = request.topic_partitions->emplace_back();
                topic.topic_id = topic_id(owned);
                topic.partitions = {PartitionIndex(std::stoi(owned.substr(2)))};
            }
        }
        Caller caller;
        caller.call = ++last_call_;
        caller.client_id = "c";
        caller.client_host = "/127.0.0.1";
        if (command.has("unanswered")) {
            const CallId call = --last_call_;
            effects->replies.push_back({call, shard_->nothing_new(request, call)});
            return "";
        }
        const Duration patience = shard_->consumer_heartbeat(request, caller, moment(), effects);
        if (patience == Duration()) return "";
        if (command.has("impatient")) {
            const auto told = shard_->nothing_new(request, caller.call);
            return "waits no longer, epoch=" + std::to_string(told.member_epoch) + "\n";
        }
        return "waits for " + std::to_string(patience.to_milliseconds()) + " ms\n";
    }

    std::string describe_consumer() {
        const auto group = shard_->describe_consumer("g");
        if (group.error_code != ErrorCode::none) return name(group.error_code) + "\n";
        std::string text = group.group_state + " epoch=" + std::to_string(group.group_epoch) +
                           " target=" + std::to_string(group.assignment_epoch) + " " +
                           group.assignor_name + "\n";
        for (const auto& member : group.members) {
            text += "  " + member.member_id + (member.member_type == 0 ? " classic" : "") +
                    " epoch=" + std::to_string(member.member_epoch) + " has " +
                    partitions_text(member.assignment.topic_partitions) + " is to have " +
                    partitions_text(member.target_assignment.topic_partitions) + "\n";
        }
        return text;
    }

    // As another broker that reads the log; from a snapshot if asked to.
    std::string reload(const scenario::Command& command) {
        std::vector<record::KeyValue> records = log_;
        if (command.has("snapshot")) {
            records.clear();
            shard_->snapshot(
                [&](record::KeyValue record) { records.push_back(std::move(record)); });
        }
        shard_.emplace(&settings_, Prng(2));
        for (const auto& record : records) {
            const auto replayed = shard_->replay(record, moment());
            EXPECT_TRUE(replayed.ok()) << replayed.error().message;
        }
        Effects effects;
        shard_->learn(image_, moment(), &effects);
        EXPECT_TRUE(effects.records.empty()) << "nothing changed while it was loaded";
        return std::to_string(records.size()) + " records\n";
    }

    Moment moment() const {
        return {Instant::from_nanoseconds(now_ * 1'000'000), WallTime{1'000'000 + now_}};
    }

    std::string told(const Effects& effects) {
        std::string text;
        for (const auto& record : effects.records) {
            text += "  record " + record_text(record) + "\n";
            log_.push_back(record);
        }
        for (const auto& reply : effects.replies) {
            text += "  call " + std::to_string(reply.call) + ": ";
            if (const auto* joined = std::get_if<wire::JoinGroupResponse>(&reply.response)) {
                text += name(joined->error_code) + " member=" + joined->member_id;
                if (joined->error_code == ErrorCode::none) {
                    text += " generation=" + std::to_string(joined->generation_id) +
                            " protocol=" + joined->protocol_name.value_or("null") +
                            " leader=" + joined->leader;
                    if (joined->skip_assignment) text += " skip-assignment";
                    if (!joined->members.empty()) text += " of";
                    for (const auto& member : joined->members) text += " " + member.member_id;
                }
            } else if (const auto* synced = std::get_if<wire::SyncGroupResponse>(&reply.response)) {
                text += name(synced->error_code);
                if (synced->error_code == ErrorCode::none)
                    text += " assignment=" + assignment_text(synced->assignment);
            } else if (const auto* beaten =
                           std::get_if<wire::ConsumerGroupHeartbeatResponse>(&reply.response)) {
                text += name(beaten->error_code);
                if (beaten->error_code == ErrorCode::none)
                    text += " epoch=" + std::to_string(beaten->member_epoch);
                if (beaten->assignment)
                    text += " has " + partitions_text(beaten->assignment->topic_partitions);
            } else {
                text += name(std::get<wire::HeartbeatResponse>(reply.response).error_code);
            }
            text += "\n";
        }
        return text;
    }

    static std::string record_text(const record::KeyValue& record) {
        const auto parsed = parse_group_record(record.key, record.value);
        EXPECT_TRUE(parsed.ok());
        if (const auto* offset = std::get_if<OffsetCommit>(&*parsed)) {
            return "offset " + offset->group + " " + offset->topic + "-" +
                   std::to_string(offset->partition.value()) + " " +
                   (offset->value ? std::to_string(offset->value->offset.value()) : "removed");
        }
        if (const auto* group = std::get_if<GroupMetadata>(&*parsed)) {
            if (!group->value) return "group " + group->group + " removed";
            std::string text = "group " + group->group +
                               " generation=" + std::to_string(group->value->generation) +
                               " protocol=" + group->value->protocol.value_or("null") +
                               " leader=" + group->value->leader.value_or("null");
            for (const auto& member : group->value->members) text += " " + member.member_id;
            return text;
        }
        if (const auto* epoch = std::get_if<ConsumerEpoch>(&*parsed)) {
            return "consumer group " + epoch->group +
                   (epoch->value ? " epoch=" + std::to_string(epoch->value->epoch) : " removed");
        }
        if (const auto* member = std::get_if<ConsumerMemberMetadata>(&*parsed)) {
            const bool classic = member->value && member->value->classic_member_metadata;
            return "member " + member->member +
                   (member->value ? classic ? " classic" : "" : " removed");
        }
        if (const auto* pattern = std::get_if<ConsumerPattern>(&*parsed)) {
            std::string text = "pattern " + pattern->pattern;
            if (!pattern->value) return text + " removed";
            for (const std::string& topic : pattern->value->topics) text += " " + topic;
            return text;
        }
        if (const auto* target_epoch = std::get_if<ConsumerTargetEpoch>(&*parsed)) {
            if (!target_epoch->value) return "target removed";
            return "target epoch=" + std::to_string(target_epoch->value->assignment_epoch);
        }
        if (const auto* target = std::get_if<ConsumerTarget>(&*parsed)) {
            if (!target->value) return "target of " + target->member + " removed";
            return "target of " + target->member + " " +
                   partitions_text(target->value->topic_partitions);
        }
        if (const auto* current = std::get_if<ConsumerCurrent>(&*parsed)) {
            if (!current->value) return "place of " + current->member + " removed";
            const auto& value = *current->value;
            return "place of " + current->member + " epoch=" + std::to_string(value.member_epoch) +
                   " state=" + std::to_string(value.state) + " " +
                   partitions_text(value.assigned_partitions) + " gives up " +
                   partitions_text(value.partitions_pending_revocation);
        }
        return "of another kind";
    }

    static std::string name(ErrorCode code) {
        return code == ErrorCode::none ? "ok" : std::string(error_name(code));
    }

    // c-01234567-89ab-cdef-0123-456789abcdef to c#1.
    std::string shortened(std::string text) {
        constexpr std::size_t uuid_length = 36;
        for (std::size_t at = 0; at + uuid_length < text.size(); ++at) {
            if (text[at] != '-' || !is_uuid(text.substr(at + 1, uuid_length))) continue;
            const std::string uuid = text.substr(at, uuid_length + 1);
            auto known = std::find(uuids_.begin(), uuids_.end(), uuid);
            if (known == uuids_.end()) known = uuids_.insert(known, uuid);
            text.replace(at, uuid.size(), "#" + std::to_string(known - uuids_.begin() + 1));
        }
        return text;
    }
    std::string lengthened(const std::string& member) const {
        const auto hash = member.find('#');
        if (hash == std::string::npos) return member;
        const auto index = static_cast<std::size_t>(std::stoi(member.substr(hash + 1)));
        if (index > uuids_.size()) return member;
        return member.substr(0, hash) + uuids_[index - 1];
    }
    static bool is_uuid(const std::string& text) {
        for (std::size_t i = 0; i < text.size(); ++i) {
            const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
            if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0)
                return false;
        }
        return true;
    }

    Settings settings_;
    std::optional<Shard> shard_;
    std::shared_ptr<const metadata::ClusterImage> image_ =
        std::make_shared<metadata::ClusterImage>();
    std::vector<record::KeyValue> log_;
    std::vector<std::string> uuids_;
    std::int64_t now_ = 0;
    CallId last_call_ = 0;
};

TEST(GroupMachines, transcripts) {
    scenario::run_transcripts("group", [] {
        auto transcript = std::make_shared<Transcript>();
        return
            [transcript](const scenario::Command& command) { return transcript->answer(command); };
    });
}

}  // namespace
}  // namespace pabal::group
