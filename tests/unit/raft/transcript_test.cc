// The machine of the quorum, command by command: tests/scenario/raft/*.txt.
#include "tests/scenario/transcript.h"

#include <gtest/gtest.h>

#include "raft/quorum.h"
#include "record/batch_builder.h"
#include "record/control_record.h"
#include "record/record.h"
#include "record/record_batch.h"

namespace pabal::raft {
namespace {

std::string render(const AppendedRecords& appended) {
    auto batch = record::RecordBatchView::parse(appended.batch);
    std::string text = "append " + std::to_string(batch->base_offset().value());
    if (appended.last_offset != appended.base_offset)
        text += ".." + std::to_string(appended.last_offset.value());
    text += " epoch=" + std::to_string(batch->leader_epoch().value()) + ":";
    record::RecordReader reader(*batch, batch->records());
    for (;;) {
        auto record = reader.next();
        if (!record.ok() || !*record) break;
        text += batch->is_control() && record::control_record_type(*(*record)->key) ==
                                           record::ControlRecordType::leader_change
                    ? " LeaderChange"
                    : " " + std::string(as_text(*(*record)->value));
    }
    return text + (batch->crc_is_right() ? "\n" : " with a wrong checksum\n");
}

std::vector<BrokerId> ids(const std::string& list) {
    std::vector<BrokerId> all;
    std::size_t begin = 0;
    while (begin < list.size()) {
        const std::size_t end = std::min(list.find(',', begin), list.size());
        all.push_back(BrokerId(std::stoi(list.substr(begin, end - begin))));
        begin = end + 1;
    }
    return all;
}

std::string text(BrokerId id) {
    return id == no_broker ? "none" : std::to_string(id.value());
}

// Time stands still but for `elapsed`; what is drawn at random comes from one fixed seed.
class Transcript {
public:
    std::string answer(const scenario::Command& command) {
        command_ = &command;
        std::string answer;
        const BrokerId from(number("from", -1));
        const LeaderEpoch epoch(number("epoch", quorum_ ? quorum_->epoch().value() : 0));
        if (command.name == "start") {
            answer = start();
        } else if (!quorum_) {
            return "nothing was started";
        } else if (command.name == "elapsed") {
            now_.instant = now_.instant + Duration::milliseconds(number("ms", 0));
            quorum_->elapsed(now_);
        } else if (command.name == "vote") {
            VoteAsk ask{from, DirectoryId(), epoch, position(), command.has("pre")};
            answer = render(quorum_->vote(ask, now_));
        } else if (command.name == "begin_epoch") {
            answer = render(quorum_->begin_epoch(from, epoch, now_));
        } else if (command.name == "end_epoch") {
            answer = render(quorum_->end_epoch(from, epoch, ids(command.value("preferred")), now_));
        } else if (command.name == "replied" || command.name == "unanswered") {
            answer = replied(from);
        } else if (command.name == "fetch") {
            FetchAsk ask{from, DirectoryId(), epoch, position()};
            answer = render(quorum_->fetch(ask, now_));
        } else if (command.name == "fetched") {
            answer = fetched(epoch);
        } else if (command.name == "leader_died") {
            quorum_->leader_died(epoch, now_);
        } else if (command.name == "snapshot_taken" || command.name == "snapshot_loaded") {
            if (command.name == "snapshot_taken") quorum_->snapshot_taken(position());
            if (command.name == "snapshot_loaded") quorum_->snapshot_loaded(position(), now_);
        } else if (command.name == "propose") {
            std::vector<Bytes> records;
            for (const std::string& word : command.words)
                if (word != "ready") records.push_back(Bytes::copy_of(word));
            auto last = quorum_->propose(records, now_.wall);
            answer = last.ok() ? "last offset " + std::to_string(last->value()) + "\n"
                               : "refused: " + last.error().message + "\n";
        } else if (command.name == "durable") {
            quorum_->durable(Offset(number("log_end", 0)));
        } else if (command.name == "refused") {
            quorum_->refused(Offset(number("log_end", 0)), now_);
        } else if (command.name == "resign") {
            quorum_->resign(now_);
        } else if (command.name == "halt") {
            quorum_->halt();
        } else if (command.name != "ready") {
            return "there is no command " + command.name;
        }
        const bool show = command.name == "ready" || command.has("ready");
        return answer + (show ? ready() : "") + standing();
    }

private:
    std::int32_t number(const std::string& key, std::int64_t otherwise) const {
        return static_cast<std::int32_t>(command_->number(key, otherwise));
    }
    // log_end=OFFSET last_epoch=EPOCH
    OffsetAndEpoch position() const {
        return {Offset(number("log_end", 0)), LeaderEpoch(number("last_epoch", 0))};
    }
    std::string start() {
        Found found;
        if (command_->values.contains("state")) {
            auto parsed = QuorumState::parse(command_->value("state"));
            if (!parsed.ok()) return "refused: " + parsed.error().message + "\n";
            found.state = *parsed;
        }
        found.log_end = Offset(number("log_end", 0));
        if (number("last_epoch", 0) > 0)
            found.epochs.push_back({LeaderEpoch(number("last_epoch", 0)), Offset(0)});
        const BrokerId self(number("node", 0));
        quorum_ = std::make_unique<Quorum>(self, DirectoryId(), Settings(), Prng(1));
        const Status started =
            quorum_->start(std::move(found), ids(command_->value("voters", "0")), now_);
        return started.ok() ? "" : "refused: " + started.error().message + "\n";
    }
    std::string replied(BrokerId from) {
        // The last one that went there.
        const auto sent = std::find_if(sent_.rbegin(), sent_.rend(),
                                       [&](const Message& message) { return message.to == from; });
        if (sent == sent_.rend()) return "nothing was sent to " + text(from) + "\n";
        const Message message = *sent;
        if (command_->name == "unanswered") {
            quorum_->unanswered(message, now_);
            return "";
        }
        Reply reply;
        reply.epoch = LeaderEpoch(number("epoch", message.epoch.value()));
        reply.leader = BrokerId(number("leader", -1));
        reply.granted = command_->has("granted");
        quorum_->replied(message, reply, now_);
        return "";
    }
    std::string fetched(LeaderEpoch epoch) {
        auto ask = quorum_->next_fetch();
        if (!ask) return "nothing is to be fetched\n";
        FetchReply reply;
        reply.leader = BrokerId(number("from", -1));
        reply.epoch = epoch;
        reply.high_watermark = Offset(number("high_watermark", -1));
        if (command_->has("not_leader")) {
            reply.error = ErrorCode::not_leader_or_follower;
            reply.leader = BrokerId(number("leader", -1));
        }
        if (command_->values.contains("diverging"))
            reply.diverging = OffsetAndEpoch{Offset(number("diverging", 0)),
                                             LeaderEpoch(number("diverging_epoch", 0))};
        std::string batches;
        Offset next = ask->from.offset;
        for (const std::string& word : command_->words) {
            if (word == "ready" || word == "not_leader") continue;
            record::BatchOptions options;
            options.base_offset = next;
            options.leader_epoch = LeaderEpoch(number("batch_epoch", epoch.value()));
            record::RecordBatchBuilder builder(options);
            builder.append(now_.wall, std::nullopt, as_bytes(word));
            batches += builder.build().text();
            ++next;
        }
        reply.records = Bytes::copy_of(batches);
        const Status taken = quorum_->fetched(*ask, reply, now_);
        return taken.ok() ? "" : "failed: " + taken.error().message + "\n";
    }
    static std::string render(const Reply& reply) {
        std::string text =
            reply.error == ErrorCode::none ? "answer" : std::string(error_name(reply.error));
        return text + (reply.granted ? " granted" : "") + " leader=" + raft::text(reply.leader) +
               " epoch=" + std::to_string(reply.epoch.value()) + "\n";
    }
    static std::string render(const FetchReply& reply) {
        std::string text =
            reply.error == ErrorCode::none ? "answer" : std::string(error_name(reply.error));
        text += " leader=" + raft::text(reply.leader) +
                " epoch=" + std::to_string(reply.epoch.value()) +
                " high_watermark=" + std::to_string(reply.high_watermark.value());
        if (reply.diverging)
            text += " diverging=" + std::to_string(reply.diverging->offset.value()) +
                    " diverging_epoch=" + std::to_string(reply.diverging->epoch.value());
        if (reply.snapshot)
            text += " snapshot=" + std::to_string(reply.snapshot->offset.value()) + "-" +
                    std::to_string(reply.snapshot->epoch.value());
        return text + "\n";
    }
    std::string ready() {
        Ready ready = quorum_->take_ready();
        std::string text;
        if (ready.state) text += "persist " + ready.state->text() + "\n";
        if (ready.truncate_to)
            text += "truncate to " + std::to_string(ready.truncate_to->value()) + "\n";
        for (const AppendedRecords& appended : ready.batches) text += raft::render(appended);
        for (const Message& message : ready.messages) {
            sent_.push_back(message);
            text += "send to " + std::to_string(message.to.value()) + ": ";
            switch (message.kind) {
                case Message::Kind::vote:
                    text += std::string(message.vote.pre_vote ? "PreVote" : "Vote") +
                            " epoch=" + std::to_string(message.epoch.value()) +
                            " log_end=" + std::to_string(message.vote.log_end.offset.value()) +
                            " last_epoch=" + std::to_string(message.vote.log_end.epoch.value());
                    break;
                case Message::Kind::begin_epoch:
                    text += "BeginQuorumEpoch epoch=" + std::to_string(message.epoch.value());
                    break;
                case Message::Kind::end_epoch:
                    text += "EndQuorumEpoch epoch=" + std::to_string(message.epoch.value()) +
                            " preferred";
                    for (BrokerId id : message.preferred) text += " " + std::to_string(id.value());
                    break;
            }
            text += "\n";
        }
        return text;
    }
    std::string standing() const {
        return std::string(name(quorum_->role())) +
               (quorum_->voters().size() > 1 ? " leader=" + text(quorum_->leader()) : "") +
               " epoch=" + std::to_string(quorum_->epoch().value()) +
               " log_end=" + std::to_string(quorum_->log_end().value()) +
               " high_watermark=" + std::to_string(quorum_->high_watermark().value());
    }

    const scenario::Command* command_ = nullptr;
    std::unique_ptr<Quorum> quorum_;
    Now now_{Instant::from_nanoseconds(1'000'000'000), WallTime{1000}};
    std::vector<Message> sent_;
};

TEST(Quorum, transcripts) {
    scenario::run_transcripts("raft", [] {
        auto transcript = std::make_shared<Transcript>();
        return
            [transcript](const scenario::Command& command) { return transcript->answer(command); };
    });
}

TEST(QuorumState, reads_what_it_wrote_and_what_kafka_wrote) {
    QuorumState state{LeaderEpoch(7), BrokerId(3), no_broker, {BrokerId(3)}};
    auto read = QuorumState::parse(state.text());
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(*read, state);
    auto kafka =
        QuorumState::parse(R"({"leaderId":1,"leaderEpoch":4,"votedId":-1,)"
                           R"("votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1})");
    ASSERT_TRUE(kafka.ok()) << kafka.error().message;
    EXPECT_EQ(kafka->epoch, LeaderEpoch(4));
    EXPECT_EQ(kafka->leader, BrokerId(1));
}

TEST(QuorumState, every_truncation_is_refused) {
    const std::string text =
        QuorumState{LeaderEpoch(7), BrokerId(3), no_broker, {BrokerId(3), BrokerId(4)}}.text();
    for (std::size_t length = 0; length < text.size(); ++length)
        EXPECT_FALSE(QuorumState::parse(text.substr(0, length)).ok()) << length;
    EXPECT_FALSE(QuorumState::parse(text + "x").ok());
    EXPECT_FALSE(QuorumState::parse("{\"leaderEpoch\":-5,\"leaderId\":1,\"data_version\":0}").ok());
}

}  // namespace
}  // namespace pabal::raft
