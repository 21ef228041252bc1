// The active controller of this node: takes requests one after the other to the controller
// machines, replays what they answer, proposes the records to the quorum, and replies once they are
// committed and this broker has applied them. Many requests share one sync. Lives on the metadata
// shard.
//
// The image that brokers read holds committed records only; requests are judged against everything
// that was proposed, so that two of them cannot both create one topic.
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
#include "runtime/quorum.h"

namespace pabal {
class Logger;
}
namespace pabal::wire {
struct AllocateProducerIdsRequest;
struct AllocateProducerIdsResponse;
struct AlterConfigsRequest;
struct AlterConfigsResponse;
struct BrokerHeartbeatRequest;
struct BrokerHeartbeatResponse;
struct BrokerRegistrationRequest;
struct BrokerRegistrationResponse;
struct CreatePartitionsRequest;
struct CreatePartitionsResponse;
struct CreateTopicsRequest;
struct CreateTopicsResponse;
struct DeleteTopicsRequest;
struct DeleteTopicsResponse;
struct DescribeQuorumRequest;
struct DescribeQuorumResponse;
struct IncrementalAlterConfigsRequest;
struct IncrementalAlterConfigsResponse;
struct UnregisterBrokerRequest;
struct UnregisterBrokerResponse;
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

using ImagePointer = std::shared_ptr<const metadata::ClusterImage>;
// Told of each new image, in order; the next one is told when this task has ended, and requests are
// answered after that, so that a created topic is usable when its creator hears of it.
using ImageSubscriber =
    std::function<io::Task<void>(std::shared_ptr<const metadata::ClusterDelta>, ImagePointer)>;

class Controller {
public:
    // `config` must outlive this.
    Controller(io::Ports ports, const metadata::BrokerConfig& config, ControllerOptions options);
    ~Controller();

    // Subscribe before start.
    void subscribe(ImageSubscriber subscriber);
    // Called once when the metadata log failed; the node must stop.
    void on_failure(std::function<void(IoError)> action);

    // Finds or makes the metadata log, leads it, writes the bootstrap records of a fresh cluster,
    // registers the local broker (unfenced) with `endpoints` and `directories`, and ends once that
    // is committed and the subscribers know the first image. One sync in all.
    io::Task<Status> start(std::vector<metadata::Endpoint> endpoints,
                           std::vector<DirectoryId> directories);
    // Resigns after telling the log of the orderly shutdown. Requests in flight end first.
    io::Task<void> stop();
    // Ends all waits and writes nothing more.
    io::Task<void> kill();

    // What is committed; never null.
    const ImagePointer& image() const { return image_; }
    BrokerEpoch broker_epoch() const { return broker_epoch_; }
    const Quorum& quorum() const { return *quorum_; }
    const std::string& cluster_id() const { return options_.cluster_id; }

    io::Task<wire::CreateTopicsResponse> create_topics(wire::CreateTopicsRequest request,
                                                       int version, CallContext context);
    io::Task<wire::DeleteTopicsResponse> delete_topics(wire::DeleteTopicsRequest request,
                                                       int version, CallContext context);
    io::Task<wire::CreatePartitionsResponse> create_partitions(
        wire::CreatePartitionsRequest request, int version, CallContext context);
    io::Task<wire::AlterConfigsResponse> alter_configs(wire::AlterConfigsRequest request,
                                                       int version, CallContext context);
    io::Task<wire::IncrementalAlterConfigsResponse> incremental_alter_configs(
        wire::IncrementalAlterConfigsRequest request, int version, CallContext context);
    io::Task<wire::AllocateProducerIdsResponse> allocate_producer_ids(
        wire::AllocateProducerIdsRequest request, int version, CallContext context);
    io::Task<wire::BrokerRegistrationResponse> register_broker(
        wire::BrokerRegistrationRequest request, int version, CallContext context);
    io::Task<wire::BrokerHeartbeatResponse> broker_heartbeat(wire::BrokerHeartbeatRequest request,
                                                             int version, CallContext context);
    io::Task<wire::UnregisterBrokerResponse> unregister_broker(
        wire::UnregisterBrokerRequest request, int version, CallContext context);
    wire::DescribeQuorumResponse describe_quorum(const wire::DescribeQuorumRequest& request,
                                                 int version) const;

private:
    struct State;
    struct Waiter;

    Status replay(const MetadataEntry& entry);
    Status bootstrap();
    Status register_controller();
    Status register_local_broker(const std::vector<metadata::Endpoint>& endpoints,
                                 const std::vector<DirectoryId>& directories);
    // Proposes the records of an outcome, after which the next request sees them.
    Status submit(const std::vector<metadata::Record>& records);
    // Waits until everything submitted so far is published.
    io::Task<Status> settled(Instant deadline);
    template <class Response, class Plan>
    io::Task<Response> answer(Plan plan, Instant deadline);
    void committed(Offset high_watermark);
    io::Task<void> publish();
    void wake_waiters();
    io::Task<void> drain();
    io::Task<void> write_bootstrap();
    bool snapshot_is_due() const;
    void schedule_snapshot();
    io::Task<void> take_snapshot();

    io::Ports ports_;
    const metadata::BrokerConfig& config_;
    ControllerOptions options_;
    std::unique_ptr<Quorum> quorum_;
    ImagePointer image_;
    BrokerEpoch broker_epoch_{-1};
    std::unique_ptr<State> state_;
};

}  // namespace pabal::runtime
