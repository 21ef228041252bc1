// What the clients of a simulation share: where the brokers are, which topics there are, and
// whether it is a time to write. Owned by the Simulation. Each client has a machine of its own, so
// that its links to the brokers can be cut and its clock differs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "io/task.h"
#include "sim/checkers/ledger.h"
#include "sim/client/route.h"
#include "sim/cluster/scenario.h"
#include "sim/machine.h"

namespace pabal::sim {

class Load;

// A client's seat: its machine, its connection, its chance.
class Client {
public:
    Client(Load& load, std::int32_t id);

    std::int32_t id() const { return id_; }
    io::Clock& clock() { return process_->clock(); }
    // The way to the brokers; `wire` for what any of them can be asked.
    Route& route() { return route_; }
    WireClient& wire() { return route_.any(); }
    Prng& random() { return random_; }
    const std::string& host() const { return machine_.name(); }
    // Runs `body` on the client's shard.
    void run(io::Task<void> body);

    Instant after(Duration duration) { return clock().now() + duration; }
    // Some time in the range.
    Duration draw(const DurationRange& range);

private:
    std::int32_t id_;
    Machine machine_;
    std::unique_ptr<Process> process_;
    Route route_;
    Prng random_;
};

struct Topic {
    TopicSpec spec;
    TopicId id;
};

class Load {
public:
    Load(Scheduler& scheduler, Network& network, Ledger& ledger,
         std::vector<std::string> broker_hosts);

    Client& add_client();
    const std::vector<std::unique_ptr<Client>>& clients() const { return clients_; }
    Partition any_partition(Prng& random) const;
    const Topic& topic(const std::string& name) const;

    Scheduler& scheduler;
    Network& network;
    Ledger& ledger;
    const std::vector<std::string> broker_hosts;
    std::vector<Topic> topics;
    // Closed while the logs are read as a whole, and from a death of a lonely broker until then.
    bool may_write = false;
    // Requests that change something and whose end is not known yet.
    int writes_under_way = 0;
    // Somebody writes within transactions: logs are read as those see them who only want what was
    // committed, once no transaction is open.
    bool has_transactions = false;
    // No new work; what is under way is finished.
    bool stopping = false;
    // The run has failed: nothing is finished any more.
    bool abandoned = false;

private:
    std::vector<std::unique_ptr<Client>> clients_;
};

// A kind of client at work.
class Workload {
public:
    virtual ~Workload() = default;
    virtual void start() = 0;
    // Of its clients, still at work.
    virtual int busy() const = 0;
    // Grows with everything that succeeds.
    virtual std::uint64_t progress() const = 0;
    virtual std::string name() const = 0;
};

std::unique_ptr<Workload> make_produce(Load& load, const WorkloadSpec& spec);
std::unique_ptr<Workload> make_consume(Load& load, const WorkloadSpec& spec);
std::unique_ptr<Workload> make_commit_offsets(Load& load, const WorkloadSpec& spec);
std::unique_ptr<Workload> make_join_groups(Load& load, const WorkloadSpec& spec);
std::unique_ptr<Workload> make_delete_records(Load& load, const WorkloadSpec& spec);
std::unique_ptr<Workload> make_change_topics(Load& load, const WorkloadSpec& spec);
std::unique_ptr<Workload> make_change_voters(Load& load, const WorkloadSpec& spec);
std::unique_ptr<Workload> make_transact(Load& load, const WorkloadSpec& spec);
std::unique_ptr<Workload> make_watch(Load& load, const WorkloadSpec& spec);

// The metadata quorum as some broker describes it.
struct QuorumView {
    BrokerId leader = no_broker;
    LeaderEpoch epoch = no_leader_epoch;
    Offset high_watermark;
    std::size_t holders = 0;  // Replicas, voters or not, that have all below the high watermark.
    struct Voter {
        BrokerId id;
        DirectoryId directory;
    };
    std::vector<Voter> voters;
};
io::Task<IoResult<QuorumView>> describe_quorum(WireClient* broker, Duration patience);

// Creates the topics that the scenario names; an error after `patience` says which was refused.
io::Task<Status> create_topics(Load* load, Client* client, std::vector<TopicSpec> specs,
                               Duration patience);
// Reads every partition from its start to its end and shows it to the checkers. Nobody may write
// meanwhile. An error says what could not be read within `patience`.
io::Task<Status> read_everything(Load* load, Client* client, Duration patience);
// Until no transaction is open in any partition. An error says which hangs after `patience`.
io::Task<Status> await_stable(Load* load, Client* client, Duration patience);
// Sets the levels of the features that the scenario names.
io::Task<Status> set_features(Client* client, std::map<std::string, std::int16_t> levels,
                              Duration patience);
// Until every broker says that every partition has a leader and all its replicas in sync, and of
// one leader. An error says who is behind after `patience`.
io::Task<Status> await_in_sync(Client* client, Duration patience);

}  // namespace pabal::sim
