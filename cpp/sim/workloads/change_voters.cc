// The administrators of the metadata quorum: they take one voter after the other out of it. A node
// that is none makes itself one again, since the scenario tells it to (KIP-1186).
#include "io/gate.h"
#include "sim/workloads/load.h"
#include "wire/describe_quorum.h"
#include "wire/remove_raft_voter.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(2);
constexpr char metadata_topic[] = "__cluster_metadata";

class ChangeVoters final : public Workload {
public:
    ChangeVoters(Load& load, WorkloadSpec spec) : load_(load), spec_(std::move(spec)) {}

    void start() override {
        for (int i = 0; i < spec_.clients; ++i) {
            ++busy_;
            auto& client = load_.add_client();
            client.run(work(this, &client));
        }
    }
    int busy() const override { return busy_; }
    std::uint64_t progress() const override { return removed_; }
    std::string name() const override { return "changers of voters"; }

private:
    static io::Task<void> work(ChangeVoters* self, Client* client) {
        while (!self->load_.stopping) {
            const Instant until = client->after(client->draw(self->spec_.pause));
            io::Sleep sleep(client->clock(), until);
            co_await sleep;
            co_await remove_one(self, client);
        }
        --self->busy_;
    }

    static io::Task<void> remove_one(ChangeVoters* self, Client* client) {
        auto* broker = &client->wire();
        wire::DescribeQuorumRequest question;
        auto& topic = question.topics.emplace_back();
        topic.topic_name = metadata_topic;
        topic.partitions.emplace_back();
        auto told = co_await broker->ask<wire::DescribeQuorumResponse>(question, 2, patience);
        if (!told.ok() || told->topics.size() != 1 || told->topics[0].partitions.size() != 1)
            co_return;
        const auto& voters = told->topics[0].partitions[0].current_voters;
        // With fewer than three the next death would end it all for a while.
        if (voters.size() < 3) co_return;
        const auto& voter = voters[client->random().below(voters.size())];
        wire::RemoveRaftVoterRequest request;
        request.voter_id = voter.replica_id;
        request.voter_directory_id = voter.replica_directory_id;
        auto answer = co_await broker->ask<wire::RemoveRaftVoterResponse>(request, 0, patience);
        if (answer.ok() && answer->error_code == ErrorCode::none) ++self->removed_;
    }

    Load& load_;
    WorkloadSpec spec_;
    int busy_ = 0;
    std::uint64_t removed_ = 0;
};

}  // namespace

std::unique_ptr<Workload> make_change_voters(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<ChangeVoters>(load, spec);
}

}  // namespace pabal::sim
