// The transactional ids of one partition of __transaction_state, request by request:
// tests/scenario/transaction/*.txt. Fresh producer ids are 1000, 1001, ... in the order of asking.
#include "tests/scenario/transcript.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <sstream>

#include "transaction/shard.h"

namespace pabal::transaction {
namespace {

std::string name(ErrorCode error) {
    return error == ErrorCode::none ? "ok" : std::string(error_name(error));
}

std::string text_of(const Partitions& partitions) {
    std::string text;
    for (const auto& [topic, indexes] : partitions)
        for (const PartitionIndex index : indexes)
            text += " " + topic + "-" + std::to_string(index.value());
    return text;
}

std::string text_of(ProducerId id, ProducerEpoch epoch) {
    return std::to_string(id.value()) + "/" + std::to_string(epoch.value());
}

class Transcript {
public:
    std::string answer(const scenario::Command& command) {
        if (command.name == "settings") {
            settings_.max_timeout_ms =
                static_cast<std::int32_t>(command.number("max-timeout", 900'000));
            settings_.id_expiration = Duration::milliseconds(command.number("expiration", 1 << 30));
            version_ = static_cast<std::int16_t>(command.number("version", 2));
            return "";
        }
        if (!shard_) begin();
        Effects effects;
        std::string text = carry_out(command, &effects);
        return text + told(effects);
    }

private:
    void begin() {
        shard_ = std::make_unique<Shard>(&settings_);
        shard_->learn(version_);
    }

    Moment moment() const {
        return {Instant::from_nanoseconds(now_ * 1'000'000), WallTime{1'000'000 + now_}};
    }

    // id=1000/0 as the producer's word, or that of who has it by now.
    Producer producer(const scenario::Command& command) const {
        const std::string who = command.value("as", "0/0");
        const auto slash = who.find('/');
        return {command.value("id", "t"), ProducerId(std::stoll(who.substr(0, slash))),
                ProducerEpoch(static_cast<std::int16_t>(std::stoi(who.substr(slash + 1))))};
    }

    std::optional<ProducerId> fresh(const std::string& id) {
        if (!shard_->needs_producer_id(id)) return std::nullopt;
        return ProducerId(next_id_++);
    }

    static Partitions partitions(const scenario::Command& command) {
        Partitions all;
        for (const std::string& word : command.words) {
            const auto dash = word.rfind('-');
            if (dash != std::string::npos)
                all[word.substr(0, dash)].insert(PartitionIndex(std::stoi(word.substr(dash + 1))));
        }
        return all;
    }

    std::string carry_out(const scenario::Command& command, Effects* effects) {
        if (command.name == "init") return init(command, effects);
        if (command.name == "add") {
            const auto version = static_cast<std::int16_t>(command.number("client", 2));
            return name(shard_->add_partitions(producer(command), partitions(command), version,
                                               moment(), effects)) +
                   "\n";
        }
        if (command.name == "verify") return verify(command);
        if (command.name == "commit" || command.name == "abort") return end(command, effects);
        if (command.name == "marked") {
            if (markers_.empty()) return "no markers are on their way\n";
            const Markers first = markers_.front();
            markers_.erase(markers_.begin());
            shard_->marked(first, moment(), effects);
            return "";
        }
        if (command.name == "wait") {
            now_ += std::stoll(command.words[0]);
            if (shard_->deadline() <= moment().now) shard_->elapsed(moment(), effects);
            return "";
        }
        if (command.name == "expire") {
            shard_->expire_ids(moment(), effects);
            return "";
        }
        if (command.name == "describe") return describe(command);
        if (command.name == "list") return list(command);
        if (command.name == "use-up-epochs") return use_up_epochs(command);
        if (command.name == "reload") {
            begin();
            markers_.clear();
            for (const auto& record : log_) {
                const Status status = shard_->replay(record, moment());
                EXPECT_TRUE(status.ok()) << status.error().message;
            }
            shard_->loaded(effects);
            return std::to_string(log_.size()) + " records\n";
        }
        return "no such command: " + command.name;
    }

    std::string init(const scenario::Command& command, Effects* effects) {
        wire::InitProducerIdRequest request;
        request.transactional_id = command.value("id", "t");
        request.transaction_timeout_ms =
            static_cast<std::int32_t>(command.number("timeout", 60'000));
        if (!command.value("as").empty()) {
            request.producer_id = producer(command).id;
            request.producer_epoch = producer(command).epoch;
        }
        const auto id = fresh(*request.transactional_id);
        const auto response = shard_->init_producer_id(request, id, moment(), effects);
        if (response.error_code != ErrorCode::none) return name(response.error_code) + "\n";
        return text_of(response.producer_id, response.producer_epoch) + "\n";
    }

    std::string verify(const scenario::Command& command) {
        std::string text;
        for (const auto& [topic, indexes] : partitions(command)) {
            for (const PartitionIndex index : indexes) {
                text += topic + "-" + std::to_string(index.value()) + " " +
                        name(shard_->verify(producer(command), topic, index)) + "\n";
            }
        }
        return text;
    }

    std::string end(const scenario::Command& command, Effects* effects) {
        wire::EndTxnRequest request;
        const Producer who = producer(command);
        request.transactional_id = who.transactional_id;
        request.producer_id = who.id;
        request.producer_epoch = who.epoch;
        request.committed = command.name == "commit";
        const int version = command.number("client", 2) >= 2 ? 5 : 4;
        std::optional<ProducerId> id;
        if (shard_->knows(who.transactional_id)) id = fresh(who.transactional_id);
        const auto response = shard_->end(request, version, id, moment(), effects);
        if (response.error_code != ErrorCode::none) return name(response.error_code) + "\n";
        return text_of(response.producer_id, response.producer_epoch) + "\n";
    }

    // As after 32,766 inits: the next is the last of this producer id.
    std::string use_up_epochs(const scenario::Command& command) {
        const std::string id = command.value("id", "t");
        wire::InitProducerIdRequest request;
        request.transactional_id = id;
        request.transaction_timeout_ms = 60'000;
        wire::InitProducerIdResponse response;
        do {
            Effects effects;
            response = shard_->init_producer_id(request, fresh(id), moment(), &effects);
            log_.insert(log_.end(), effects.records.begin(), effects.records.end());
        } while (response.producer_epoch.value() < INT16_MAX - 1);
        return text_of(response.producer_id, response.producer_epoch) + "\n";
    }

    std::string describe(const scenario::Command& command) {
        const auto described = shard_->describe(command.value("id", "t"));
        if (described.error_code != ErrorCode::none) return name(described.error_code) + "\n";
        Partitions all;
        for (const auto& topic : described.topics)
            all[topic.topic].insert(topic.partitions.begin(), topic.partitions.end());
        return described.transaction_state + " " +
               text_of(described.producer_id, described.producer_epoch) + " timeout " +
               std::to_string(described.transaction_timeout_ms) + " since " +
               std::to_string(described.transaction_start_time_ms) + text_of(all) + "\n";
    }

    std::string list(const scenario::Command& command) {
        Shard::Filter filter;
        for (const std::string& word : command.words) filter.states.insert(*state_of(word));
        if (!command.value("producer").empty())
            filter.producer_ids.insert(ProducerId(command.number("producer", 0)));
        filter.longer_than_ms = command.number("longer", -1);
        std::vector<wire::ListTransactionsResponse::TransactionState> listed;
        shard_->list(filter, moment(), &listed);
        std::string text;
        for (const auto& each : listed) {
            text += each.transactional_id + " " + std::to_string(each.producer_id.value()) + " " +
                    each.transaction_state + "\n";
        }
        return text;
    }

    std::string told(const Effects& effects) {
        std::string text;
        for (const auto& record : effects.records) {
            log_.push_back(record);
            const auto parsed = parse_transaction_record(record.key, record.value);
            EXPECT_TRUE(parsed.ok() && *parsed);
            text += "  record " + (*parsed)->transactional_id;
            const auto& transaction = (*parsed)->transaction;
            if (!transaction) {
                text += " removed\n";
                continue;
            }
            text += std::string(" ") + state_name(transaction->state) + " " +
                    text_of(transaction->producer_id, transaction->producer_epoch);
            const ProducerId before = transaction->previous_producer_id;
            if (before != no_producer_id && before != transaction->producer_id)
                text += " after " + std::to_string(before.value());
            if (transaction->next_producer_id != no_producer_id)
                text += " next " + std::to_string(transaction->next_producer_id.value());
            text += text_of(transaction->partitions) + "\n";
        }
        for (const Markers& each : effects.markers) {
            markers_.push_back(each);
            text += std::string("  markers ") + (each.commit ? "commit " : "abort ") +
                    text_of(each.producer.id, each.producer.epoch) + text_of(each.partitions) +
                    "\n";
        }
        return text;
    }

    Settings settings_;
    std::int16_t version_ = 2;
    std::unique_ptr<Shard> shard_;
    std::vector<record::KeyValue> log_;
    std::vector<Markers> markers_;
    std::int64_t now_ = 0;
    std::int64_t next_id_ = 1000;
};

TEST(TransactionTranscripts, answer_word_for_word) {
    scenario::run_transcripts("transaction", [] {
        auto transcript = std::make_shared<Transcript>();
        return
            [transcript](const scenario::Command& command) { return transcript->answer(command); };
    });
}

TEST(TransactionRecords, what_is_no_record_is_refused) {
    Settings settings;
    Shard shard(&settings);
    const record::KeyValue known = transaction_record("t", Transaction(), 2);
    EXPECT_TRUE(shard.replay(known, Moment()).ok());
    EXPECT_FALSE(shard.replay({known.key, Bytes::copy_of("?")}, Moment()).ok());
    EXPECT_FALSE(shard.replay({Bytes::copy_of("?"), known.value}, Moment()).ok());
    // A kind of record that is not known is passed over.
    const std::uint8_t other[] = {0, 9, 1, 2};
    EXPECT_TRUE(shard.replay({Bytes::copy_of(ByteView(other)), known.value}, Moment()).ok());
    EXPECT_EQ(shard.transactional_id_count(), 1u);
}

}  // namespace
}  // namespace pabal::transaction
