// A member of a consumer group in the protocol of KIP-848: heartbeats to the coordinator, which
// decides who reads what. Part of a consumer, on its shard.
#pragma once

#include "client/group_membership.h"

namespace pabal::wire {
struct ConsumerGroupHeartbeatRequest;
struct ConsumerGroupHeartbeatResponse;
}  // namespace pabal::wire

namespace pabal::client {

class ConsumerGroupMember final : public GroupMembership {
public:
    ConsumerGroupMember(io::Clock* clock, Prng random, Options options, Brokers* brokers,
                        FetchedRecords* records, TaskGroup* tasks);

protected:
    io::Task<void> beat() override;
    void hurry() override;
    void owned_changed(bool given_up) override;
    io::Task<void> say_goodbye(BrokerId coordinator) override;
    void forget() override;

private:
    io::Task<void> poke();
    void fill(wire::ConsumerGroupHeartbeatRequest* request);
    void take(wire::ConsumerGroupHeartbeatResponse& response);

    bool owned_changed_ = false;
    bool placed_ = false;  // Has been given something to read since it joined.
    int early_beats_ = 0;
};

}  // namespace pabal::client
