// The controller's machines, request by request: tests/scenario/controller/*.txt. Every outcome's
// records are rendered and then replayed, so that the next request sees them.
#include "tests/scenario/transcript.h"

#include <gtest/gtest.h>

#include <sstream>

#include "controller/alter_partition.h"
#include "controller/brokers.h"
#include "controller/configs.h"
#include "controller/directories.h"
#include "controller/features.h"
#include "controller/leadership.h"
#include "controller/reassignment.h"
#include "controller/sessions.h"
#include "controller/topics.h"
#include "metadata/record.h"

namespace pabal::controller {
namespace {

using metadata::ClusterImage;
using metadata::Record;

std::string list(const std::vector<BrokerId>& brokers) {
    std::string text = "[";
    for (BrokerId broker : brokers)
        text += (text.size() > 1 ? "," : "") + std::to_string(broker.value());
    return text + "]";
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
    return parts;
}

std::vector<BrokerId> brokers_of(const std::string& text) {
    std::vector<BrokerId> brokers;
    for (const std::string& id : split(text, ',')) brokers.emplace_back(std::stoi(id));
    return brokers;
}

Uuid uuid(std::uint8_t last) {
    Uuid id;
    id.bytes[0] = 1;
    id.bytes[15] = last;
    return id;
}

std::string outcome_of(ErrorCode code, const std::optional<std::string>& message) {
    if (code == ErrorCode::none) return "ok";
    return std::string(error_name(code)) + (message ? ": " + *message : "");
}

class Transcript {
public:
    Transcript()
        : config_(*metadata::BrokerConfig::parse(
              {{"node.id", "0"},
               {"process.roles", "broker,controller"},
               {"listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"},
               {"controller.listener.names", "CONTROLLER"},
               {"num.partitions", "2"}})),
          topics_(config_, Prng(1)) {
        wire::FeatureLevelRecord record;
        record.name = "metadata.version";
        record.feature_level = metadata::metadata_version_4_3;
        apply({record});
    }

    std::string answer(const scenario::Command& command) {
        if (command.name == "register") return do_register(command);
        if (command.name == "heartbeat") return heartbeat(command);
        if (command.name == "unregister") return unregister(command);
        if (command.name == "restart") return restart(command);
        if (command.name == "at") return at(command);
        if (command.name == "lose-connection") return lose_connection(command);
        if (command.name == "become-active") return become_active();
        if (command.name == "alter-partition") return alter_partition(command);
        if (command.name == "assign-directories") return assign(command);
        if (command.name == "elect") return elect(command);
        if (command.name == "balance") return balance(command);
        if (command.name == "elect-where-nobody-leads") return elect_where_nobody_leads();
        if (command.name == "reassign") return reassign(command);
        if (command.name == "list-reassignments") return list_reassignments(command);
        if (command.name == "update-features") return update_features(command);
        if (command.name == "show") return show(command);
        if (command.name == "create-topics") return create_topics(command);
        if (command.name == "delete-topics") return delete_topics(command);
        if (command.name == "create-partitions") return create_partitions(command);
        if (command.name == "alter") return alter(command);
        if (command.name == "replace") return replace(command);
        if (command.name == "producer-ids") return producer_ids(command);
        if (command.name == "describe") return describe(command);
        return "there is no command " + command.name;
    }

private:
    std::string topic_name(const TopicId& id) {
        auto topic = image_.topic(id);
        if (topic) names_[id] = topic->name;
        auto known = names_.find(id);
        return known == names_.end() ? "?" : known->second;
    }

    std::string render(const Record& record) {
        std::string text(metadata::name(record));
        if (auto* topic = std::get_if<wire::TopicRecord>(&record.content)) {
            names_[topic->topic_id] = topic->name;
            text += " " + topic->name;
        } else if (auto* made = std::get_if<wire::PartitionRecord>(&record.content)) {
            text += " " + topic_name(made->topic_id) + "-" +
                    std::to_string(made->partition_id.value()) +
                    " replicas=" + list(made->replicas) + " isr=" + list(made->isr) +
                    " leader=" + std::to_string(made->leader.value());
        } else if (auto* change = std::get_if<wire::PartitionChangeRecord>(&record.content)) {
            text += " " + topic_name(change->topic_id) + "-" +
                    std::to_string(change->partition_id.value());
            if (change->isr) text += " isr=" + list(*change->isr);
            if (change->leader.value() != -2)
                text += " leader=" + std::to_string(change->leader.value());
            if (change->replicas) text += " replicas=" + list(*change->replicas);
            if (change->directories) text += " directories=" + directories(*change->directories);
            if (change->eligible_leader_replicas)
                text += " eligible=" + list(*change->eligible_leader_replicas);
            if (change->last_known_elr) text += " last=" + list(*change->last_known_elr);
            if (change->adding_replicas) text += " adding=" + list(*change->adding_replicas);
            if (change->removing_replicas) text += " removing=" + list(*change->removing_replicas);
            if (change->leader_recovery_state == 0) text += " recovered";
            if (change->leader_recovery_state == 1) text += " recovering";
        } else if (auto* removed = std::get_if<wire::RemoveTopicRecord>(&record.content)) {
            text += " " + topic_name(removed->topic_id);
        } else if (auto* config = std::get_if<wire::ConfigRecord>(&record.content)) {
            text += " " + std::to_string(config->resource_type) + ":" + config->resource_name +
                    " " + config->name +
                    (config->value ? "=" + *config->value : std::string(" removed"));
        } else if (auto* broker = std::get_if<wire::RegisterBrokerRecord>(&record.content)) {
            text += " " + std::to_string(broker->broker_id.value()) +
                    " epoch=" + std::to_string(broker->broker_epoch.value()) +
                    (broker->fenced ? " fenced" : "");
        } else if (auto* changed =
                       std::get_if<wire::BrokerRegistrationChangeRecord>(&record.content)) {
            text += " " + std::to_string(changed->broker_id.value()) +
                    " fenced=" + std::to_string(changed->fenced) +
                    " in_controlled_shutdown=" + std::to_string(changed->in_controlled_shutdown);
            if (!changed->log_dirs.empty())
                text += " log_dirs=" + std::to_string(changed->log_dirs.size());
        } else if (auto* gone = std::get_if<wire::UnregisterBrokerRecord>(&record.content)) {
            text += " " + std::to_string(gone->broker_id.value());
        } else if (auto* feature = std::get_if<wire::FeatureLevelRecord>(&record.content)) {
            text += " " + feature->name + "=" + std::to_string(feature->feature_level);
        } else if (auto* cleared = std::get_if<wire::ClearElrRecord>(&record.content)) {
            text += " " + cleared->topic_name;
        } else if (auto* ids = std::get_if<wire::ProducerIdsRecord>(&record.content)) {
            text += " next=" + std::to_string(ids->next_producer_id.value());
        }
        return text + "\n";
    }

    // Replays the records, and what they say, if they are not too many to be read.
    std::string apply(const std::vector<Record>& records) {
        std::string text;
        for (const Record& record : records) {
            const std::string line = render(record);
            if (records.size() <= 40) text += line;
            auto replayed = image_.replay(record, nullptr);
            if (!replayed.ok()) text += "NOT REPLAYABLE: " + replayed.error().message + "\n";
            next_ = next_ + 1;
        }
        if (records.size() > 40) text = std::to_string(records.size()) + " records\n";
        return text;
    }

    std::string do_register(const scenario::Command& command) {
        wire::BrokerRegistrationRequest request;
        request.broker_id = BrokerId(static_cast<std::int32_t>(command.number("id", 0)));
        request.cluster_id = command.value("cluster", "c");
        request.incarnation_id = uuid(static_cast<std::uint8_t>(command.number("incarnation", 1)));
        request.listeners.push_back({"PLAINTEXT", "localhost", 9092, 0});
        if (!command.has("without-features"))
            request.features = {{"metadata.version", 7, 30},
                                {"eligible.leader.replicas.version", 0, 1}};
        if (command.values.contains("rack")) request.rack = command.value("rack");
        for (const std::string& directory : split(command.value("dirs", ""), ','))
            request.log_dirs.emplace_back(uuid(static_cast<std::uint8_t>(std::stoi(directory))));
        if (!command.values.contains("dirs"))
            request.log_dirs.emplace_back(
                uuid(static_cast<std::uint8_t>(100 + request.broker_id.value())));
        const auto* known = image_.broker(request.broker_id);
        if (known && command.has("orderly")) request.previous_broker_epoch = known->epoch;
        Predecessor predecessor = Predecessor::may_live;
        if (known && !sessions_.is_alive(known->id)) predecessor = Predecessor::is_gone;
        auto outcome = register_broker(request, predecessor, "c", next_, config_, image_);
        std::string text =
            apply(outcome.records) + outcome_of(outcome.response.error_code, std::nullopt);
        if (outcome.response.error_code != ErrorCode::none) return text;
        sessions_.spoke(request.broker_id, outcome.response.broker_epoch, Offset(-1), now_);
        if (!command.has("unfenced")) return text;
        wire::BrokerHeartbeatRequest beat;
        beat.broker_id = request.broker_id;
        beat.broker_epoch = outcome.response.broker_epoch;
        beat.current_metadata_offset = next_;
        sessions_.spoke(beat.broker_id, beat.broker_epoch, next_, now_);
        return text + "\n" + apply(controller::heartbeat(beat, true, config_, image_).records);
    }

    std::string heartbeat(const scenario::Command& command) {
        wire::BrokerHeartbeatRequest request;
        request.broker_id = BrokerId(static_cast<std::int32_t>(command.number("id", 0)));
        const auto* known = image_.broker(request.broker_id);
        request.broker_epoch =
            BrokerEpoch(command.number("epoch", known ? known->epoch.value() : -1));
        request.current_metadata_offset = Offset(command.number("offset", next_.value()));
        request.want_fence = command.has("want-fence");
        request.want_shut_down = command.has("want-shut-down");
        for (const std::string& directory : split(command.value("offline", ""), ','))
            request.offline_log_dirs.emplace_back(
                uuid(static_cast<std::uint8_t>(std::stoi(directory))));
        auto outcome = controller::heartbeat(
            request, sessions_.others_know_of_shutdown(request.broker_id, image_), config_, image_);
        if (outcome.response.error_code == ErrorCode::none)
            sessions_.spoke(request.broker_id, request.broker_epoch,
                            request.current_metadata_offset, now_);
        const bool began = request.want_shut_down && known && !known->in_controlled_shutdown;
        std::string text = apply(outcome.records);
        if (began) sessions_.shutdown_began(request.broker_id, next_ - 1);
        return text + outcome_of(outcome.response.error_code, std::nullopt) +
               (outcome.response.is_caught_up ? " caught up" : "") +
               (outcome.response.is_fenced ? " fenced" : "") +
               (outcome.response.should_shut_down ? " should shut down" : "");
    }

    // Time goes by, tick by tick or (late) in one step.
    std::string at(const scenario::Command& command) {
        const Instant until = Instant() + Duration::milliseconds(command.number("milliseconds", 0));
        std::string text;
        while (now_ < until) {
            now_ = command.has("late") ? until : now_ + Sessions::tick;
            for (BrokerId broker : sessions_.elapsed(image_, now_))
                text += "session of " + std::to_string(broker.value()) + " is over\n" +
                        apply(fence_broker(broker, config_, image_));
        }
        return text;
    }

    std::string lose_connection(const scenario::Command& command) {
        const BrokerId id(static_cast<std::int32_t>(command.number("id", 0)));
        sessions_.connection_lost(id, image_.broker(id)->epoch);
        return sessions_.is_connected(id) ? "connected" : "not connected";
    }

    std::string become_active() {
        sessions_.begin(image_, now_);
        return "";
    }

    // Lines: TOPIC-PARTITION isr=0,1 (epochs=3,5 leader-epoch=N partition-epoch=N recovering)
    std::string alter_partition(const scenario::Command& command) {
        wire::AlterPartitionRequest request;
        request.broker_id = BrokerId(static_cast<std::int32_t>(command.number("id", 0)));
        const auto* known = image_.broker(request.broker_id);
        request.broker_epoch =
            BrokerEpoch(command.number("epoch", known ? known->epoch.value() : -1));
        for (const std::string& line : command.input) {
            const scenario::Command asked = scenario::parse_command(line);
            const auto dash = asked.name.rfind('-');
            auto& topic = request.topics.emplace_back();
            const auto image = image_.topic(asked.name.substr(0, dash));
            topic.topic_id = image ? image->id : TopicId(uuid(250));
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = PartitionIndex(std::stoi(asked.name.substr(dash + 1)));
            const auto* now = image ? image->partition(partition.partition_index) : nullptr;
            partition.leader_epoch = LeaderEpoch(static_cast<std::int32_t>(
                asked.number("leader-epoch", now ? now->leader_epoch.value() : 0)));
            partition.partition_epoch = PartitionEpoch(static_cast<std::int32_t>(
                asked.number("partition-epoch", now ? now->partition_epoch.value() : 0)));
            partition.leader_recovery_state = asked.has("recovering") ? 1 : 0;
            const auto epochs = split(asked.value("epochs"), ',');
            for (BrokerId replica : brokers_of(asked.value("isr"))) {
                const std::size_t place = partition.new_isr_with_epochs.size();
                auto& state = partition.new_isr_with_epochs.emplace_back();
                state.broker_id = replica;
                if (place < epochs.size())
                    state.broker_epoch = BrokerEpoch(std::stoi(epochs[place]));
            }
        }
        auto outcome = controller::alter_partition(request, 3, config_, image_);
        std::string text = apply(outcome.records);
        if (outcome.response.error_code != ErrorCode::none)
            return text + outcome_of(outcome.response.error_code, std::nullopt);
        for (const auto& topic : outcome.response.topics)
            for (const auto& partition : topic.partitions) {
                text += outcome_of(partition.error_code, std::nullopt);
                if (partition.error_code == ErrorCode::none)
                    text += " leader=" + std::to_string(partition.leader_id.value()) + "@" +
                            std::to_string(partition.leader_epoch.value()) +
                            " isr=" + list(partition.isr) +
                            " partition_epoch=" + std::to_string(partition.partition_epoch.value());
                text += "\n";
            }
        return text;
    }

    // Their last bytes: the numbers that transcripts give them.
    static std::string directories(const std::vector<DirectoryId>& ids) {
        std::string text = "[";
        for (const DirectoryId& id : ids)
            text += (text.size() > 1 ? "," : "") + std::to_string(id.value().bytes[15]);
        return text + "]";
    }

    // Lines: TOPIC-PARTITION in=12, or lost
    std::string assign(const scenario::Command& command) {
        wire::AssignReplicasToDirsRequest request;
        request.broker_id = BrokerId(static_cast<std::int32_t>(command.number("id", 0)));
        const auto* known = image_.broker(request.broker_id);
        request.broker_epoch =
            BrokerEpoch(command.number("epoch", known ? known->epoch.value() : -1));
        for (const std::string& line : command.input) {
            const scenario::Command asked = scenario::parse_command(line);
            const auto dash = asked.name.rfind('-');
            const auto image = image_.topic(asked.name.substr(0, dash));
            auto& directory = request.directories.emplace_back();
            Uuid lost;
            lost.bytes[15] = 1;
            directory.id = DirectoryId(
                asked.has("lost") ? lost : uuid(static_cast<std::uint8_t>(asked.number("in", 0))));
            auto& topic = directory.topics.emplace_back();
            topic.topic_id = image ? image->id : TopicId(uuid(250));
            topic.partitions.emplace_back().partition_index =
                PartitionIndex(std::stoi(asked.name.substr(dash + 1)));
        }
        auto outcome = assign_directories(request, config_, image_);
        std::string text = apply(outcome.records);
        if (outcome.response.error_code != ErrorCode::none)
            return text + outcome_of(outcome.response.error_code, std::nullopt);
        for (const auto& directory : outcome.response.directories)
            for (const auto& topic : directory.topics)
                for (const auto& partition : topic.partitions)
                    text += outcome_of(partition.error_code, std::nullopt) + "\n";
        return text;
    }

    std::string elect(const scenario::Command& command) {
        wire::ElectLeadersRequest request;
        request.election_type = static_cast<std::int8_t>(command.has("unclean") ? 1 : 0);
        if (!command.has("all")) request.topic_partitions.emplace();
        for (const std::string& line : command.input) {
            const auto dash = line.rfind('-');
            auto& topic = request.topic_partitions->emplace_back();
            topic.topic = line.substr(0, dash);
            topic.partitions.emplace_back(std::stoi(line.substr(dash + 1)));
        }
        auto outcome = elect_leaders(request, config_, image_);
        std::string text = apply(outcome.records);
        for (const auto& topic : outcome.response.replica_election_results)
            for (const auto& result : topic.partition_result)
                text += topic.topic + "-" + std::to_string(result.partition_id.value()) + " " +
                        outcome_of(result.error_code, result.error_message) + "\n";
        return text;
    }

    std::string balance(const scenario::Command& command) {
        std::vector<Record> records;
        balance_leaders(image_, config_, static_cast<std::size_t>(command.number("max", 1000)),
                        records);
        return apply(records);
    }

    std::string elect_where_nobody_leads() {
        std::vector<Record> records;
        controller::elect_where_nobody_leads(image_, config_, records);
        return apply(records);
    }

    // Lines: TOPIC-PARTITION to=3,4 (without: cancel)
    std::string reassign(const scenario::Command& command) {
        wire::AlterPartitionReassignmentsRequest request;
        request.allow_replication_factor_change = !command.has("same-size");
        for (const std::string& line : command.input) {
            const scenario::Command asked = scenario::parse_command(line);
            const auto dash = asked.name.rfind('-');
            auto& topic = request.topics.emplace_back();
            topic.name = asked.name.substr(0, dash);
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = PartitionIndex(std::stoi(asked.name.substr(dash + 1)));
            if (asked.values.contains("to")) partition.replicas = brokers_of(asked.value("to"));
        }
        auto outcome = controller::reassign(request, config_, image_, random_);
        std::string text = apply(outcome.records);
        for (const auto& topic : outcome.response.responses)
            for (const auto& partition : topic.partitions)
                text += topic.name + "-" + std::to_string(partition.partition_index.value()) + " " +
                        outcome_of(partition.error_code, partition.error_message) + "\n";
        return text;
    }

    std::string list_reassignments(const scenario::Command& command) {
        wire::ListPartitionReassignmentsRequest request;
        if (!command.value("topic").empty()) {
            auto& topic = request.topics.emplace().emplace_back();
            topic.name = command.value("topic");
            topic.partition_indexes.emplace_back(
                static_cast<std::int32_t>(command.number("partition", 0)));
        }
        std::string text;
        for (const auto& topic : controller::list_reassignments(request, image_).topics)
            for (const auto& partition : topic.partitions)
                text += topic.name + "-" + std::to_string(partition.partition_index.value()) +
                        " replicas=" + list(partition.replicas) +
                        " adding=" + list(partition.adding_replicas) +
                        " removing=" + list(partition.removing_replicas) + "\n";
        return text.empty() ? "none" : text;
    }

    // Lines: FEATURE level=N (downgrade, unsafe)
    std::string update_features(const scenario::Command& command) {
        wire::UpdateFeaturesRequest request;
        request.validate_only = command.has("validate-only");
        const int version = static_cast<int>(command.number("version", 2));
        for (const std::string& line : command.input) {
            const scenario::Command asked = scenario::parse_command(line);
            auto& update = request.feature_updates.emplace_back();
            update.feature = asked.name;
            update.max_version_level = static_cast<std::int16_t>(asked.number("level", 0));
            if (asked.has("downgrade")) update.upgrade_type = 2;
            if (asked.has("unsafe")) update.upgrade_type = 3;
        }
        auto outcome = controller::update_features(request, version, config_, image_, {});
        std::string text = apply(outcome.records) +
                           outcome_of(outcome.response.error_code, outcome.response.error_message) +
                           "\n";
        for (const auto& result : outcome.response.results)
            text +=
                result.feature + " " + outcome_of(result.error_code, result.error_message) + "\n";
        return text;
    }

    std::string show(const scenario::Command& command) {
        std::string text;
        const auto topic = image_.topic(command.value("topic"));
        for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
            const auto& partition = topic->partitions[i];
            text += topic->name + "-" + std::to_string(i) +
                    " replicas=" + list(partition.replicas) + " isr=" + list(partition.isr) +
                    " leader=" + std::to_string(partition.leader.value()) + "@" +
                    std::to_string(partition.leader_epoch.value()) +
                    (partition.leader_recovering ? " recovering" : "");
            if (!partition.eligible_leader_replicas.empty())
                text += " eligible=" + list(partition.eligible_leader_replicas);
            if (!partition.last_known_elr.empty())
                text += " last=" + list(partition.last_known_elr);
            text += "\n";
        }
        return text;
    }

    std::string unregister(const scenario::Command& command) {
        wire::UnregisterBrokerRequest request;
        request.broker_id = BrokerId(static_cast<std::int32_t>(command.number("id", 0)));
        auto outcome = unregister_broker(request, config_, image_);
        return apply(outcome.records) +
               outcome_of(outcome.response.error_code, outcome.response.error_message);
    }

    std::string restart(const scenario::Command& command) {
        std::vector<Record> records;
        broker_restarted(image_, config_,
                         BrokerId(static_cast<std::int32_t>(command.number("id", 0))),
                         !command.has("orderly"), records);
        return apply(records);
    }

    std::string create_topics(const scenario::Command& command) {
        wire::CreateTopicsRequest request;
        request.validate_only = command.has("validate-only");
        for (const std::string& line : command.input) {
            const scenario::Command asked = scenario::parse_command(line);
            auto& topic = request.topics.emplace_back();
            topic.name = asked.name == "(empty)" ? "" : asked.name;
            if (topic.name == "(long)") topic.name = std::string(250, 'x');
            topic.num_partitions = static_cast<std::int32_t>(asked.number("partitions", -1));
            topic.replication_factor = static_cast<std::int16_t>(asked.number("rf", -1));
            for (const std::string& part : split(asked.value("assign"), ';')) {
                auto& assignment = topic.assignments.emplace_back();
                assignment.partition_index =
                    PartitionIndex(std::stoi(part.substr(0, part.find(':'))));
                assignment.broker_ids = brokers_of(part.substr(part.find(':') + 1));
            }
            for (const std::string& word : asked.words) {
                auto& config = topic.configs.emplace_back();
                const auto colon = word.find(':');
                config.name = word.substr(0, colon);
                if (colon != std::string::npos) config.value = word.substr(colon + 1);
            }
        }
        auto outcome = topics_.create(request, image_);
        std::string text = apply(outcome.records);
        for (const auto& result : outcome.response.topics) {
            text += result.name.substr(0, 20) + " " +
                    outcome_of(result.error_code, result.error_message);
            if (result.error_code == ErrorCode::none)
                text += " partitions=" + std::to_string(result.num_partitions) +
                        " replication_factor=" + std::to_string(result.replication_factor);
            text += "\n";
        }
        return text;
    }

    std::string delete_topics(const scenario::Command& command) {
        wire::DeleteTopicsRequest request;
        for (const std::string& line : command.input) {
            const scenario::Command asked = scenario::parse_command("topic " + line);
            auto& topic = request.topics.emplace_back();
            if (asked.values.contains("name")) topic.name = asked.value("name");
            if (asked.values.contains("id-of"))
                topic.topic_id = image_.topic(asked.value("id-of"))->id;
            if (asked.has("unknown-id")) topic.topic_id = TopicId(uuid(250));
        }
        auto outcome = topics_.remove(request, 6, image_);
        std::string answers;
        for (const auto& result : outcome.response.responses)
            answers += (result.name ? *result.name : "(no name)") + " " +
                       outcome_of(result.error_code, result.error_message) + "\n";
        return apply(outcome.records) + answers;
    }

    std::string create_partitions(const scenario::Command& command) {
        wire::CreatePartitionsRequest request;
        request.validate_only = command.has("validate-only");
        for (const std::string& line : command.input) {
            const scenario::Command asked = scenario::parse_command(line);
            auto& topic = request.topics.emplace_back();
            topic.name = asked.name;
            topic.count = static_cast<std::int32_t>(asked.number("count", 1));
            if (!asked.values.contains("assign")) continue;
            topic.assignments.emplace();
            for (const std::string& part : split(asked.value("assign"), ';'))
                topic.assignments->emplace_back().broker_ids = brokers_of(part);
        }
        auto outcome = topics_.add_partitions(request, image_);
        std::string text = apply(outcome.records);
        for (const auto& result : outcome.response.results)
            text += result.name + " " + outcome_of(result.error_code, result.error_message) + "\n";
        return text;
    }

    // Lines: TYPE:NAME OPERATION SETTING=VALUE
    std::string alter(const scenario::Command& command) {
        wire::IncrementalAlterConfigsRequest request;
        request.validate_only = command.has("validate-only");
        for (const std::string& line : command.input) {
            const scenario::Command asked = scenario::parse_command(line);
            auto& resource = request.resources.emplace_back();
            resource.resource_type =
                static_cast<std::int8_t>(std::stoi(asked.name.substr(0, asked.name.find(':'))));
            resource.resource_name = asked.name.substr(asked.name.find(':') + 1);
            std::int8_t operation = 0;
            for (const std::string& word : asked.words) {
                if (word == "delete") operation = 1;
                if (word == "append") operation = 2;
                if (word == "subtract") operation = 3;
                if (word == "operation-9") operation = 9;
                if (word.find('.') == std::string::npos) continue;
                auto& config = resource.configs.emplace_back();
                config.name = word;
                config.config_operation = operation;
            }
            for (const auto& [name, value] : asked.values) {
                auto& config = resource.configs.emplace_back();
                config.name = name;
                config.value = value;
                config.config_operation = operation;
            }
        }
        return answers(alter_configs(request, config_, image_));
    }

    std::string replace(const scenario::Command& command) {
        wire::AlterConfigsRequest request;
        for (const std::string& line : command.input) {
            const scenario::Command asked = scenario::parse_command(line);
            auto& resource = request.resources.emplace_back();
            resource.resource_type =
                static_cast<std::int8_t>(std::stoi(asked.name.substr(0, asked.name.find(':'))));
            resource.resource_name = asked.name.substr(asked.name.find(':') + 1);
            for (const auto& [name, value] : asked.values) {
                auto& config = resource.configs.emplace_back();
                config.name = name;
                config.value = value;
            }
        }
        return answers(alter_configs(request, config_, image_));
    }

    template <class Response>
    std::string answers(const Outcome<Response>& outcome) {
        std::string text = apply(outcome.records);
        for (const auto& result : outcome.response.responses)
            text += std::to_string(result.resource_type) + ":" + result.resource_name + " " +
                    outcome_of(result.error_code, result.error_message) + "\n";
        return text;
    }

    std::string producer_ids(const scenario::Command& command) {
        wire::AllocateProducerIdsRequest request;
        request.broker_id = BrokerId(static_cast<std::int32_t>(command.number("id", 0)));
        const auto* known = image_.broker(request.broker_id);
        request.broker_epoch =
            BrokerEpoch(command.number("epoch", known ? known->epoch.value() : -1));
        auto outcome = allocate_producer_ids(request, image_);
        std::string text =
            apply(outcome.records) + outcome_of(outcome.response.error_code, std::nullopt);
        if (outcome.response.error_code == ErrorCode::none)
            text += " from " + std::to_string(outcome.response.producer_id_start.value()) + ", " +
                    std::to_string(outcome.response.producer_id_len);
        return text;
    }

    // Settings that are not defaults, and where they come from.
    std::string describe(const scenario::Command& command) {
        const metadata::ConfigView view(config_, image_);
        std::string text;
        const std::string topic = command.value("topic");
        for (const auto& config :
             topic.empty() ? view.describe_broker() : view.describe_topic(topic)) {
            if (config.source == metadata::ConfigSource::default_value) continue;
            if (config.source == metadata::ConfigSource::static_broker && topic.empty()) continue;
            text += config.name + "=" + config.value.value_or("null");
            for (const auto& synonym : config.synonyms)
                text += " " + std::to_string(static_cast<int>(synonym.source)) + ":" +
                        synonym.name + "=" + synonym.value.value_or("null");
            text += "\n";
        }
        return text;
    }

    metadata::BrokerConfig config_;
    Topics topics_;
    Prng random_{2};
    Sessions sessions_{Duration::milliseconds(3000)};
    ClusterImage image_;
    Offset next_{0};
    Instant now_;
    std::map<TopicId, std::string> names_;
};

TEST(ControllerMachines, transcripts) {
    scenario::run_transcripts("controller", [] {
        auto transcript = std::make_shared<Transcript>();
        return
            [transcript](const scenario::Command& command) { return transcript->answer(command); };
    });
}

}  // namespace
}  // namespace pabal::controller
