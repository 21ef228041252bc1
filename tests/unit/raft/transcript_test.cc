// The machine of the quorum, command by command: tests/scenario/raft/*.txt.
#include "tests/scenario/transcript.h"

#include <gtest/gtest.h>

#include "raft/quorum.h"
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

class Transcript {
public:
    std::string answer(const scenario::Command& command) {
        std::string text;
        if (command.name == "start") {
            std::optional<QuorumState> saved;
            if (command.values.contains("state")) {
                auto parsed = QuorumState::parse(command.value("state"));
                if (!parsed.ok()) return "refused: " + parsed.error().message;
                saved = *parsed;
            }
            quorum_ = Quorum(BrokerId(static_cast<std::int32_t>(command.number("node", 0))));
            text = result(quorum_.start(
                saved, Offset(command.number("log_end", 0)),
                LeaderEpoch(static_cast<std::int32_t>(command.number("last_epoch", 0)))));
        } else if (command.name == "stand") {
            text = result(quorum_.stand(WallTime{1000}));
        } else if (command.name == "propose") {
            std::vector<Bytes> records;
            for (const std::string& word : command.words)
                if (word != "ready") records.push_back(Bytes::copy_of(word));
            auto last = quorum_.propose(records, WallTime{2000});
            text = last.ok() ? "last offset " + std::to_string(last->value()) + "\n"
                             : "refused: " + last.error().message + "\n";
        } else if (command.name == "durable") {
            quorum_.durable(LeaderEpoch(static_cast<std::int32_t>(
                                command.number("epoch", quorum_.epoch().value()))),
                            Offset(command.number("log_end", 0)));
        } else if (command.name == "refused") {
            quorum_.refused(Offset(command.number("log_end", 0)));
        } else if (command.name == "resign") {
            quorum_.resign();
        } else if (command.name != "ready") {
            return "there is no command " + command.name;
        }
        const bool show = command.name == "ready" || command.has("ready");
        return text + (show ? ready() : "") + standing();
    }

private:
    static std::string result(const Status& status) {
        return status.ok() ? "" : "refused: " + status.error().message + "\n";
    }
    std::string ready() {
        Ready ready = quorum_.take_ready();
        std::string text;
        if (ready.state) text += "persist " + ready.state->text() + "\n";
        for (const AppendedRecords& appended : ready.batches) text += render(appended);
        return text;
    }
    std::string standing() {
        return std::string(name(quorum_.role())) +
               " epoch=" + std::to_string(quorum_.epoch().value()) +
               " log_end=" + std::to_string(quorum_.log_end().value()) +
               " high_watermark=" + std::to_string(quorum_.high_watermark().value());
    }

    Quorum quorum_{BrokerId(0)};
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
