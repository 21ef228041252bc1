// The administrators of the metadata quorum: they take one voter after the other out of it. A node
// that is none makes itself one again, since the scenario tells it to (KIP-1186).
#include "sim/workloads/crew.h"
#include "wire/remove_raft_voter.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(2);

class ChangeVoters final : public Crew<PlainSeat> {
public:
    using Crew::Crew;

    std::string name() const override { return "changers of voters"; }

private:
    io::Task<void> step(PlainSeat* seat) override {
        Client& client = seat->client;
        auto* broker = &client.wire();
        auto quorum = co_await describe_quorum(broker, patience);
        // With fewer than three the next death would end it all for a while.
        if (!quorum.ok() || quorum->voters.size() < 3) co_return;
        const auto& voter = quorum->voters[client.random().below(quorum->voters.size())];
        wire::RemoveRaftVoterRequest request;
        request.voter_id = voter.id;
        request.voter_directory_id = voter.directory;
        auto answer = co_await broker->ask<wire::RemoveRaftVoterResponse>(request, 0, patience);
        if (answer.ok() && answer->error_code == ErrorCode::none) ++progress_;
    }
};

}  // namespace

std::unique_ptr<Workload> make_change_voters(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<ChangeVoters>(load, spec);
}

}  // namespace pabal::sim
