// A member of a classic consumer group: joins a generation with its subscription, decides who reads
// what if the coordinator makes it the leader, and learns what it reads itself; then sends
// heartbeats until there is to be another generation. Part of a consumer, on its shard.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/assignors.h"
#include "client/group_membership.h"

namespace pabal::wire {
struct JoinGroupRequest;
struct JoinGroupResponse;
}  // namespace pabal::wire

namespace pabal::client {

class ClassicMember final : public GroupMembership {
public:
    ClassicMember(io::Clock* clock, Prng random, Options options, Brokers* brokers,
                  FetchedRecords* records, TaskGroup* tasks);

protected:
    bool is_member() const override;
    io::Task<void> beat() override;
    bool wants_turn() override;
    io::Task<void> take_turn() override;
    void owned_changed(bool given_up) override;
    io::Task<void> say_goodbye(BrokerId coordinator) override;
    void forget() override;

private:
    wire::JoinGroupRequest join_request() const;
    io::Task<bool> join();
    io::Task<Result<Assignments>> decide(const wire::JoinGroupResponse* joined);
    bool refused(const Error& error);
    std::optional<std::int32_t> partition_count(const std::string& topic) const;
    bool topics_have_changed() const;

    const bool cooperative_;  // All assignors of this member are.
    bool rejoin_ = true;
    bool joining_ = false;
    Instant not_before_;
    std::uint64_t membership_ = 0;  // Counts the memberships: answers may be to an earlier one.
    Assignor assignor_ = Assignor::range;
    std::vector<NamedPartition> assigned_;        // Last; the sticky assignor asks for it.
    std::int32_t assigned_in_ = -1;               // The generation.
    std::map<std::string, std::int32_t> counts_;  // Of partitions, by which this leader decided.
    Instant counted_at_;
};

}  // namespace pabal::client
