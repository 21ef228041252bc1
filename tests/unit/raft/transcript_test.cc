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

// Directories are numbers here.
DirectoryId directory(std::int64_t number) {
    Uuid id;
    id.bytes[15] = static_cast<std::uint8_t>(number);
    return DirectoryId(id);
}

// ID:DIRECTORY, and more behind commas; a third number is the port at which it is found.
Voters voters_of(const std::string& list) {
    Voters voters;
    std::size_t begin = 0;
    while (begin < list.size()) {
        const std::size_t end = std::min(list.find(',', begin), list.size());
        const std::string one = list.substr(begin, end - begin);
        const std::size_t colon = one.find(':');
        const std::size_t port = one.find(':', colon + 1);
        Voter& voter = voters.emplace_back();
        voter.id = BrokerId(std::stoi(one));
        voter.directory = directory(std::stoi(one.substr(colon + 1)));
        voter.highest_level = dynamic_voters;
        if (port != std::string::npos)
            voter.endpoints.push_back(
                {"CONTROLLER", "host",
                 static_cast<std::uint16_t>(std::stoi(one.substr(port + 1)))});
        begin = end + 1;
    }
    return voters;
}

std::string render(const Voters& voters) {
    std::string text;
    for (const Voter& voter : voters) {
        text += (text.empty() ? "" : ",") + std::to_string(voter.id.value());
        if (!voter.directory.value().is_zero())
            text += ":" + std::to_string(voter.directory.value().bytes[15]);
        for (const VoterEndpoint& endpoint : voter.endpoints)
            text += ":" + std::to_string(endpoint.port);
    }
    return text;
}

std::string render_control(ByteView key, ByteView value) {
    const auto type = record::control_record_type(key);
    if (type == record::ControlRecordType::leader_change) return "LeaderChange";
    if (type == record::ControlRecordType::kraft_version)
        return "KRaftVersion(" + std::to_string(*parse_kraft_version_record(value)) + ")";
    if (type == record::ControlRecordType::kraft_voters)
        return "Voters(" + render(*parse_voters_record(value)) + ")";
    return "another control record";
}

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
        text += " " + (batch->is_control() ? render_control(*(*record)->key, *(*record)->value)
                                           : std::string(as_text(*(*record)->value)));
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

std::string name_of(BrokerId id) {
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
            VoteAsk ask{from, directory_of("directory"), epoch, position(), command.has("pre")};
            answer = render(quorum_->vote(ask, now_));
        } else if (command.name == "begin_epoch") {
            answer = render(quorum_->begin_epoch(from, epoch, now_));
        } else if (command.name == "end_epoch") {
            answer = render(quorum_->end_epoch(from, epoch, ids(command.value("preferred")), now_));
        } else if (command.name == "replied" || command.name == "unanswered") {
            answer = replied(from);
        } else if (command.name == "fetch") {
            FetchAsk ask{from, directory_of("directory"), epoch, position()};
            answer = render(quorum_->fetch(ask, now_));
        } else if (command.name == "fetched") {
            answer = fetched(epoch);
        } else if (command.name == "leader_died") {
            quorum_->leader_died(epoch, now_);
        } else if (command.name == "snapshot_taken" || command.name == "snapshot_loaded") {
            if (command.name == "snapshot_taken") quorum_->snapshot_taken(position());
            if (command.name == "snapshot_loaded")
                quorum_->snapshot_loaded(position(), history(position().offset - 1), now_);
        } else if (command.name == "add_voter") {
            answer = render(quorum_->add_voter(voters_of(command.value("voter")).at(0), now_));
        } else if (command.name == "remove_voter") {
            const Voter voter = voters_of(command.value("voter")).at(0);
            answer = render(quorum_->remove_voter(voter.id, voter.directory, now_));
        } else if (command.name == "update_voter") {
            const Status updated =
                quorum_->update_voter(voters_of(command.value("voter")).at(0), now_);
            answer = updated.ok() ? "updated\n" : render(updated.error());
        } else if (command.name == "upgrade") {
            auto raised = quorum_->upgrade(static_cast<std::int16_t>(number("level", 1)),
                                           command.has("validate"), now_);
            answer = !raised.ok() ? render(raised.error()) : *raised ? "raised\n" : "as it was\n";
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
    DirectoryId directory_of(const std::string& key) const { return directory(number(key, 0)); }
    // dynamic=VOTERS: what a snapshot, or the file before the log, says of kraft.version 1.
    VoterHistory history(Offset offset) const {
        VoterHistory history;
        if (!command_->values.contains("dynamic")) return history;
        history.append_level(offset, dynamic_voters);
        history.append_voters(offset, voters_of(command_->value("dynamic")));
        return history;
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
        if (command_->values.contains("snapshot"))
            found.snapshot = OffsetAndEpoch{Offset(number("snapshot", 0)),
                                            LeaderEpoch(number("snapshot_epoch", 0))};
        found.voters = history(VoterHistory::before_the_log);
        const BrokerId self(number("node", 0));
        Settings settings;
        settings.eligible = command_->has("eligible");
        if (number("port", 0) > 0)
            settings.endpoints.push_back(
                {"CONTROLLER", "host", static_cast<std::uint16_t>(number("port", 0))});
        quorum_ = std::make_unique<Quorum>(self, directory_of("directory"), settings, Prng(1));
        const Status started =
            quorum_->start(std::move(found), ids(command_->value("voters", "0")), now_);
        return started.ok() ? "" : "refused: " + started.error().message + "\n";
    }
    std::string replied(BrokerId from) {
        // The last one that went there.
        const auto sent = std::find_if(sent_.rbegin(), sent_.rend(),
                                       [&](const Message& message) { return message.to == from; });
        if (sent == sent_.rend()) return "nothing was sent to " + name_of(from) + "\n";
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
            if (word == "ready" || word == "not_leader" || word == "damaged") continue;
            record::BatchOptions options;
            options.base_offset = next;
            options.leader_epoch = LeaderEpoch(number("batch_epoch", epoch.value()));
            // Voters:LIST is the control record that says so.
            const std::string mark = "Voters:";
            if (word.starts_with(mark)) {
                const auto value = voters_record(voters_of(word.substr(mark.size())));
                batches +=
                    record::quorum_control_batch(record::ControlRecordType::kraft_voters, value,
                                                 next, options.leader_epoch, now_.wall)
                        .text();
            } else {
                record::RecordBatchBuilder builder(options);
                builder.append(now_.wall, std::nullopt, as_bytes(word));
                batches += builder.build().text();
            }
            ++next;
        }
        // The length of the first batch.
        if (command_->has("damaged")) batches.replace(8, 4, "\xff\xff\xff\xff");
        reply.records = Bytes::copy_of(batches);
        const Status taken = quorum_->fetched(*ask, reply, now_);
        return taken.ok() ? "" : "failed: " + taken.error().message + "\n";
    }
    static std::string render(const Error& error) {
        return std::string(error_name(error.code)) + ": " + error.message + "\n";
    }
    static std::string render(const Result<Offset>& appended) {
        return appended.ok() ? "last offset " + std::to_string(appended->value()) + "\n"
                             : render(appended.error());
    }
    static std::string render(const Reply& reply) {
        std::string text =
            reply.error == ErrorCode::none ? "answer" : std::string(error_name(reply.error));
        return text + (reply.granted ? " granted" : "") + " leader=" + name_of(reply.leader) +
               " epoch=" + std::to_string(reply.epoch.value()) + "\n";
    }
    static std::string render(const FetchReply& reply) {
        std::string text =
            reply.error == ErrorCode::none ? "answer" : std::string(error_name(reply.error));
        text += " leader=" + name_of(reply.leader) +
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
               (quorum_->voters().size() > 1 ? " leader=" + name_of(quorum_->leader()) : "") +
               " epoch=" + std::to_string(quorum_->epoch().value()) +
               " log_end=" + std::to_string(quorum_->log_end().value()) +
               " high_watermark=" + std::to_string(quorum_->high_watermark().value()) +
               (quorum_->kraft_version() > 0 ? " voters=" + raft::render(quorum_->voters()) : "");
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
