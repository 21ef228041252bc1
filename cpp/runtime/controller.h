// The controller of this node, active while this node leads the metadata quorum: takes requests one
// after the other to the controller machines, replays what they answer, proposes the records to the
// quorum, and replies once they are committed and this broker has applied them. Many requests share
// one sync. Lives on the metadata shard.
//
// The image that brokers read (MetadataPublisher) holds committed records only; requests are judged
// against everything that was proposed, so that two of them cannot both create one topic.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "io/ports.h"
#include "io/task.h"
#include "metadata/broker_config.h"
#include "metadata/cluster_delta.h"
#include "metadata/cluster_image.h"
#include "runtime/metadata_publisher.h"
#include "runtime/quorum.h"

namespace pabal {
class Logger;
}

// The requests that the active controller judges.
#define PABAL_CONTROLLER_APIS(API)   \
    API(AllocateProducerIds)         \
    API(AlterConfigs)                \
    API(AlterPartition)              \
    API(AlterPartitionReassignments) \
    API(AssignReplicasToDirs)        \
    API(BrokerHeartbeat)             \
    API(BrokerRegistration)          \
    API(ControllerRegistration)      \
    API(CreatePartitions)            \
    API(CreateTopics)                \
    API(DeleteTopics)                \
    API(ElectLeaders)                \
    API(IncrementalAlterConfigs)     \
    API(ListPartitionReassignments)  \
    API(UnregisterBroker)            \
    API(UpdateFeatures)

namespace pabal::wire {
#define PABAL_CONTROLLER_API(Name) \
    struct Name##Request;          \
    struct Name##Response;
PABAL_CONTROLLER_APIS(PABAL_CONTROLLER_API)
#undef PABAL_CONTROLLER_API
struct AddRaftVoterRequest;
struct AddRaftVoterResponse;
struct DescribeQuorumRequest;
struct DescribeQuorumResponse;
struct RemoveRaftVoterRequest;
struct RemoveRaftVoterResponse;
}  // namespace pabal::wire

namespace pabal::runtime {

struct CallContext {
    std::string principal = "User:ANONYMOUS";
    Instant deadline = Instant::never();  // Afterwards the caller is told REQUEST_TIMED_OUT.
};

struct ControllerOptions {
    std::string cluster_id;
    Uuid incarnation;                                      // Of this process.
    std::vector<metadata::Endpoint> controller_endpoints;  // With the ports that were bound.
    DirectoryId metadata_directory;  // Of the directory with the metadata log; may stay all zero.
    const Logger* log = nullptr;     // Must outlive the controller, if given.
};

// What the broker of this node registers with; `image` says what the cluster has finalised.
wire::BrokerRegistrationRequest registration_of(const metadata::BrokerConfig& config,
                                                const std::string& cluster_id, Uuid incarnation,
                                                const std::vector<metadata::Endpoint>& endpoints,
                                                const std::vector<DirectoryId>& directories,
                                                const metadata::ClusterImage& image);

class Controller {
public:
    // All must outlive this. Follows the quorum from now on: before that one is started.
    Controller(io::Ports ports, const metadata::BrokerConfig& config, Quorum* quorum,
               MetadataPublisher* publisher, ControllerOptions options);
    ~Controller();

    // While this node is active: registers the local broker, unfenced, with `endpoints` and
    // `directories`, after a run that ended in order with `previous_epoch` (-1: it did not), and
    // ends once that is committed and the subscribers know it. Where the only voter has just
    // started that is one sync in all, that of the election. An error, too, if this node leads and
    // yet cannot be the active controller.
    io::Task<Status> start(std::vector<metadata::Endpoint> endpoints,
                           std::vector<DirectoryId> directories,
                           BrokerEpoch previous_epoch = BrokerEpoch(-1));
    // Tells the log of the orderly shutdown of the local broker. Requests in flight end first. The
    // publisher and the quorum are stopped afterwards.
    io::Task<void> stop();
    // Ends all waits and writes nothing more.
    io::Task<void> kill();

    // This node leads the quorum, and requests are judged here.
    bool active() const { return active_; }
    // What is committed; never null.
    const ImagePointer& image() const { return publisher_->image(); }
    BrokerEpoch broker_epoch() const { return broker_epoch_; }
    const Quorum& quorum() const { return *quorum_; }
    const std::string& cluster_id() const { return options_.cluster_id; }

    // Judges the request in the version of its client, and answers once what follows from it is
    // committed and applied on this node. NOT_CONTROLLER, in the place where the response has its
    // errors, unless this node is active.
#define PABAL_CONTROLLER_API(Name)                                                  \
    io::Task<wire::Name##Response> answer(wire::Name##Request request, int version, \
                                          CallContext context);
    PABAL_CONTROLLER_APIS(PABAL_CONTROLLER_API)
#undef PABAL_CONTROLLER_API
    // The connection through which the broker sent its heartbeats has ended. Unless it comes back,
    // its listener is tried: where nobody answers any more the broker is fenced at once.
    void connection_lost(BrokerId broker, BrokerEpoch epoch);

    // What the leader of the quorum knows, at once; where another leads, the partition says
    // NOT_LEADER_OR_FOLLOWER.
    io::Task<wire::DescribeQuorumResponse> answer(wire::DescribeQuorumRequest request, int version,
                                                  CallContext context);
    // Changes of the quorum's voters: NOT_CONTROLLER where another leads, so that whoever forwards
    // a client's request finds it.
    io::Task<wire::AddRaftVoterResponse> answer(wire::AddRaftVoterRequest request, int version,
                                                CallContext context);
    io::Task<wire::RemoveRaftVoterResponse> answer(wire::RemoveRaftVoterRequest request,
                                                   int version, CallContext context);
    wire::DescribeQuorumResponse describe_quorum(const wire::DescribeQuorumRequest& request,
                                                 int version) const;

private:
    struct State;
    struct Waiter;

    void leader_changed(BrokerId leader);
    Status activate();
    void resign();
    Status bootstrap();
    Status register_controller();
    Status register_local_broker(const std::vector<metadata::Endpoint>& endpoints,
                                 const std::vector<DirectoryId>& directories,
                                 BrokerEpoch previous_epoch);
    // Proposes the records of an outcome, after which the next request sees them.
    Status submit(const std::vector<metadata::Record>& records);
    // The same for records of which any part may stand alone, however many they are.
    Status submit_in_parts(const std::vector<metadata::Record>& records);
    // The same where it is known what comes of them.
    Status propose(const std::vector<metadata::Record>& records, metadata::ClusterImage next,
                   metadata::ClusterDelta delta);
    // Waits until everything submitted so far is published.
    io::Task<Status> settled(Instant deadline);
    template <class Response, class Plan>
    io::Task<Response> carry_out(Plan plan, Instant deadline);
    Error not_active() const;
    void elect_after_change_of_settings(const std::vector<metadata::Record>& records);
    void elect_uncleanly();
    void fence(BrokerId broker, std::string_view why);
    void suspect(BrokerId broker);
    io::Task<void> probe(BrokerId broker, BrokerEpoch epoch);
    void arm_tick();
    void tick();
    void wake_waiters();
    io::Task<void> drain();
    void look_for_bootstrap();
    io::Task<void> write_bootstrap();

    io::Ports ports_;
    const metadata::BrokerConfig& config_;
    ControllerOptions options_;
    Quorum* quorum_;
    MetadataPublisher* publisher_;
    bool active_ = false;
    BrokerEpoch broker_epoch_{-1};
    std::unique_ptr<State> state_;
};

}  // namespace pabal::runtime
