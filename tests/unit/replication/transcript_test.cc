// The machines of one partition, command by command: tests/scenario/replication/*.txt.
#include "tests/scenario/transcript.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "replication/follower.h"
#include "replication/leader.h"

namespace pabal::replication {
namespace {

constexpr Duration lag_max = Duration::seconds(30);

std::vector<BrokerId> brokers(const std::string& text) {
    std::vector<BrokerId> all;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find(',', at), text.size());
        all.emplace_back(std::stoi(text.substr(at, end - at)));
        at = end + 1;
    }
    return all;
}

std::string text(const std::vector<BrokerId>& ids) {
    std::string joined;
    for (const auto id : ids) joined += (joined.empty() ? "" : ",") + std::to_string(id.value());
    return joined;
}

std::string number(Offset offset) {
    return std::to_string(offset.value());
}

std::string text(const IsrChange& change) {
    std::string told = "ask the controller for isr=";
    for (std::size_t i = 0; i < change.in_sync.size(); ++i) {
        const auto& member = change.in_sync[i];
        told += (i ? "," : "") + std::to_string(member.id.value());
        if (member.epoch >= BrokerEpoch(0)) told += "@" + std::to_string(member.epoch.value());
    }
    return told + " at partition_epoch=" + std::to_string(change.partition_epoch.value()) + "\n";
}

ErrorCode error_named(const std::string& name) {
    for (int code = -1; code < 200; ++code) {
        if (error_name(static_cast<ErrorCode>(code)) == name) return static_cast<ErrorCode>(code);
    }
    return ErrorCode::unknown_server_error;
}

class Transcript {
public:
    std::string answer(const scenario::Command& command) {
        now_ = now_ + Duration::milliseconds(command.number("after", 0));
        if (command.name.starts_with("follower.")) return follower(command);
        std::string told = leader(command);
        return told + standing();
    }

private:
    // --- the leader, broker 0
    std::string leader(const scenario::Command& command) {
        const auto& name = command.name;
        if (name == "metadata") {
            leadership_.leader = BrokerId(static_cast<std::int32_t>(command.number("leader", 0)));
            leadership_.epoch = LeaderEpoch(
                static_cast<std::int32_t>(command.number("epoch", leadership_.epoch.value())));
            leadership_.partition_epoch = PartitionEpoch(static_cast<std::int32_t>(
                command.number("partition_epoch", leadership_.partition_epoch.value())));
            if (command.values.contains("replicas"))
                leadership_.replicas = brokers(command.value("replicas"));
            if (command.values.contains("isr")) leadership_.in_sync = brokers(command.value("isr"));
            leadership_.recovering = command.has("recovering");
            end_ = Offset(command.number("log_end", end_.value()));
            if (!machine_) {
                machine_.emplace(BrokerId(0), Offset(command.number("high_watermark", 0)), log(),
                                 lag_max);
                machine_->set_min_in_sync_replicas(
                    static_cast<std::int32_t>(command.number("min_in_sync", 1)));
            }
            machine_->lead(leadership_, log(), end_, now_);
            return "";
        }
        if (name == "produce") {
            const auto acks =
                command.value("acks") == "1" ? RequiredAcks::leader : RequiredAcks::all;
            const auto error = machine_->prepare(acks);
            if (error != ErrorCode::none) return std::string(error_name(error)) + "\n";
            end_ = end_ + command.number("records", 1);
            machine_->appended(end_, end_, now_);
            return "";
        }
        if (name == "fetch") {
            FollowerFetch fetch;
            fetch.follower = BrokerId(static_cast<std::int32_t>(command.number("broker", 1)));
            fetch.broker_epoch = BrokerEpoch(command.number("epoch", 10));
            fetch.offset = Offset(command.number("offset", 0));
            fetch.log_start = Offset(command.number("log_start", 0));
            fetch.eligible = !command.has("fenced");
            const auto fetched = machine_->fetched(fetch, log(), now_);
            if (fetched.error != ErrorCode::none)
                return std::string(error_name(fetched.error)) + "\n";
            return fetched.may_join ? "may join\n" : "";
        }
        if (name == "expand" || name == "shrink" || name == "recovered") {
            const auto change = name == "expand"   ? machine_->expand()
                                : name == "shrink" ? machine_->shrink(log(), now_)
                                                   : machine_->recovered();
            if (change) change_ = change;
            return change ? text(*change) : "nothing to ask for\n";
        }
        if (name == "answered") {
            IsrAnswer answer;
            answer.state = leadership_;
            if (command.values.contains("error")) {
                answer.error = error_named(command.value("error"));
            } else {
                answer.state.in_sync = brokers(command.value("isr"));
                answer.state.partition_epoch = leadership_.partition_epoch + 1;
                leadership_ = answer.state;
            }
            machine_->answered(*change_, answer, now_);
            return "";
        }
        if (name == "dead") {
            const BrokerId dead(static_cast<std::int32_t>(command.number("broker", 1)));
            machine_->judge([&](const Follower& each) { return each.id != dead; }, now_);
            return "";
        }
        if (name == "acknowledge")
            return std::string(error_name(machine_->enough_replicas())) + "\n";
        if (name == "low_watermark") {
            const auto low = machine_->low_watermark(Offset(command.number("own", 0)),
                                                     [](BrokerId) { return true; });
            return "low watermark " + number(low) + "\n";
        }
        return "there is no command " + name + "\n";
    }
    LogBounds log() const { return {Offset(0), end_}; }
    std::string standing() const {
        if (!machine_->leads()) {
            return "follows " + std::to_string(machine_->leader().value()) +
                   " high_watermark=" + number(machine_->high_watermark());
        }
        std::vector<BrokerId> counting{BrokerId(0)};
        for (const auto& each : machine_->followers())
            if (each.counts) counting.push_back(each.id);
        return "leads epoch=" + std::to_string(machine_->epoch().value()) +
               " log_end=" + number(end_) +
               " high_watermark=" + number(machine_->high_watermark()) +
               " isr=" + text(machine_->leadership().in_sync) + " counting=" + text(counting);
    }

    // --- a follower
    std::string follower(const scenario::Command& command) {
        if (command.name == "follower.log") {
            own_.bounds = {Offset(command.number("start", 0)), Offset(command.number("end", 0))};
            own_.leader_epoch =
                LeaderEpoch(static_cast<std::int32_t>(command.number("leader_epoch", 0)));
            latest_.reset();
            if (command.values.contains("latest_epoch"))
                latest_ = LeaderEpoch(static_cast<std::int32_t>(command.number("latest_epoch", 0)));
            return "noted";
        }
        if (command.name == "follower.ask") {
            const auto place = follower_.ask(own_.bounds, own_.leader_epoch, latest_);
            return "fetch offset=" + number(place.offset) +
                   " leader_epoch=" + std::to_string(place.leader_epoch.value()) +
                   " last_fetched_epoch=" + std::to_string(place.last_fetched_epoch.value());
        }
        FollowerStep step;
        if (command.name == "follower.answer") {
            LeaderAnswer answer;
            if (command.values.contains("error"))
                answer.error = error_named(command.value("error"));
            if (command.values.contains("diverging_epoch")) {
                answer.diverging = EpochEnd{
                    LeaderEpoch(static_cast<std::int32_t>(command.number("diverging_epoch", 0))),
                    Offset(command.number("diverging_end", 0))};
            }
            auto log = own_;
            if (command.values.contains("own_epoch")) {
                log.diverging_here =
                    EpochEnd{LeaderEpoch(static_cast<std::int32_t>(command.number("own_epoch", 0))),
                             Offset(command.number("own_end", 0))};
            }
            step = follower_.answered(answer, log);
        } else if (command.name == "follower.bounds") {
            step = follower_.bounds_told(
                {Offset(command.number("start", 0)), Offset(command.number("end", 0))}, own_);
        } else {
            return "there is no command " + command.name;
        }
        using Do = FollowerStep::Do;
        switch (step.what) {
            case Do::nothing: return "nothing: that was asked in the past";
            case Do::take: return "append what came";
            case Do::truncate: return "truncate to " + number(step.offset);
            case Do::restart: return "begin anew at " + number(step.offset);
            case Do::ask_bounds: return "ask where the leader's log begins and ends";
            case Do::await_leader: return "ask again soon";
            case Do::await_metadata: return "wait for the metadata";
            case Do::back_off: return "back off";
        }
        return "";
    }

    Instant now_;
    Leadership leadership_{BrokerId(0), LeaderEpoch(0), PartitionEpoch(0), {}, {}, false};
    Offset end_{0};
    std::optional<PartitionLeader> machine_;
    std::optional<IsrChange> change_;
    PartitionFollower follower_;
    FollowerLog own_{};
    std::optional<LeaderEpoch> latest_;
};

TEST(Replication, transcripts) {
    scenario::run_transcripts("replication", [] {
        auto transcript = std::make_shared<Transcript>();
        return
            [transcript](const scenario::Command& command) { return transcript->answer(command); };
    });
}

}  // namespace
}  // namespace pabal::replication
