// The observers: they ask one broker after the other, whatever state it is in, who leads the
// metadata quorum and every partition, and tell the checkers what each says.
#include "sim/workloads/crew.h"
#include "wire/describe_quorum.h"
#include "wire/metadata.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(2);
constexpr char metadata_topic[] = "__cluster_metadata";

class Watch final : public Crew<PlainSeat> {
public:
    using Crew::Crew;

    std::string name() const override { return "observers"; }

private:
    io::Task<void> step(PlainSeat* seat) override {
        Client* client = &seat->client;
        const auto id = client->random().below(client->route().broker_count());
        auto* broker = &client->route().broker(BrokerId(static_cast<std::int32_t>(id)));
        if (client->random().chance(1, 2)) {
            co_await ask_for_partitions(this, broker);
        } else {
            auto quorum = co_await describe_quorum(broker, patience);
            if (quorum.ok()) tell({metadata_topic, 0}, quorum->leader, quorum->epoch);
        }
    }

    static io::Task<void> ask_for_partitions(Watch* self, WireClient* broker) {
        wire::MetadataRequest request;
        request.topics.reset();
        request.allow_auto_topic_creation = false;
        auto answer = co_await broker->ask<wire::MetadataResponse>(request, 12, patience);
        if (!answer.ok()) co_return;
        for (const auto& topic : answer->topics) {
            // A topic may be made again under its name; the ids of two are not the same.
            const std::string name = topic.name.value_or("") + "/" + topic.topic_id.value().text();
            for (const auto& told : topic.partitions) {
                self->tell({name, told.partition_index.value()}, told.leader_id, told.leader_epoch);
            }
        }
    }

    void tell(const Partition& partition, BrokerId leader, LeaderEpoch epoch) {
        ++progress_;
        load_.ledger.each([&](Checker& checker) { checker.told_leader(partition, leader, epoch); });
    }
};

}  // namespace

io::Task<IoResult<QuorumView>> describe_quorum(WireClient* broker, Duration patience) {
    wire::DescribeQuorumRequest request;
    auto& topic = request.topics.emplace_back();
    topic.topic_name = metadata_topic;
    topic.partitions.emplace_back();
    auto answer = co_await broker->ask<wire::DescribeQuorumResponse>(request, 2, patience);
    if (!answer.ok()) co_return answer.error();
    if (answer->error_code != ErrorCode::none || answer->topics.size() != 1 ||
        answer->topics[0].partitions.size() != 1 ||
        answer->topics[0].partitions[0].error_code != ErrorCode::none) {
        co_return IoError{0, "DescribeQuorum failed"};
    }
    const auto& told = answer->topics[0].partitions[0];
    QuorumView view;
    view.leader = told.leader_id;
    view.epoch = told.leader_epoch;
    view.high_watermark = told.high_watermark;
    for (const auto* replicas : {&told.current_voters, &told.observers})
        for (const auto& replica : *replicas)
            view.holders += replica.log_end_offset >= told.high_watermark ? 1 : 0;
    for (const auto& voter : told.current_voters)
        view.voters.push_back({voter.replica_id, voter.replica_directory_id});
    co_return view;
}

std::unique_ptr<Workload> make_watch(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<Watch>(load, spec);
}

}  // namespace pabal::sim
