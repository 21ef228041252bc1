// What an administrator asks of a cluster, over a connection that is made again when it is lost.
// One call at a time, on one shard. What one broker alone can say (the leader of a partition, the
// coordinator of a group) is asked there, over a connection of its own.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/exported.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "client/descriptions.h"
#include "io/clock.h"
#include "io/network.h"
#include "io/task.h"
#include "rpc/connection.h"

namespace pabal::client {

class PABAL_EXPORTED Admin {
public:
    struct Options {
        std::string client_id = "pabal-admin";
        // Of one try; a call tries again until its own time is over.
        Duration request_timeout = Duration::seconds(30);
    };

    // `bootstrap` are tried in turn. The ports outlive this.
    Admin(io::Clock* clock, io::Network* network, std::vector<io::Address> bootstrap,
          Options options);
    ~Admin();

    // Ends when every partition has a leader; at once if it is only validated. Errors: what the
    // controller answers, e.g. topic_already_exists; broker_not_available naming every address that
    // was tried.
    io::Task<Result<TopicId>> create_topic(NewTopic topic, Duration timeout);
    io::Task<Status> delete_topic(std::string name, Duration timeout);
    io::Task<Result<TopicDescription>> describe_topic(std::string name, Duration timeout);
    io::Task<Result<std::vector<TopicDescription>>> list_topics(Duration timeout);
    // Ends when the new partitions have leaders. `count` is the new total; `replicas` are those of
    // each new partition, by hand, or empty.
    io::Task<Status> create_partitions(std::string topic, std::int32_t count,
                                       std::vector<std::vector<BrokerId>> replicas,
                                       Duration timeout);
    // `name` is a topic's, a group's, a broker's id, or empty for what all brokers share. Errors:
    // what the broker answers, e.g. unknown_topic_or_partition.
    io::Task<Result<std::vector<Config>>> describe_configs(ConfigResource resource,
                                                           std::string name, Duration timeout);
    io::Task<Status> alter_configs(ConfigResource resource, std::string name,
                                   std::vector<ConfigChange> changes, bool validate_only,
                                   Duration timeout);
    // For each partition the first offset at or after `timestamp`; -2 asks for the log start, -1
    // for the high watermark, -3 for the record with the latest timestamp (KIP-734).
    io::Task<Result<std::vector<PartitionOffset>>> list_offsets(std::string topic,
                                                                std::int64_t timestamp,
                                                                Duration timeout);
    // Deletes what lies before each offset (-1: the high watermark), and says where the logs start.
    io::Task<Result<std::vector<PartitionOffset>>> delete_records(
        std::string topic, std::vector<PartitionOffset> before, Duration timeout);
    io::Task<Result<std::vector<GroupListing>>> list_groups(Duration timeout);
    // Errors: group_id_not_found (KIP-1043).
    io::Task<Result<GroupDescription>> describe_group(std::string id, Duration timeout);
    // Of every partition that the group has committed.
    io::Task<Result<std::vector<CommittedOffset>>> committed_offsets(std::string group,
                                                                     Duration timeout);
    // Where the group goes on, as if it had committed that. Errors: non_empty_group while it has
    // members; unknown_topic_or_partition.
    io::Task<Status> commit_offsets(std::string group, std::vector<CommittedOffset> offsets,
                                    Duration timeout);
    // Errors: group_id_not_found; group_subscribed_to_topic while members read it.
    io::Task<Status> delete_offsets(std::string group, std::string topic,
                                    std::vector<PartitionIndex> partitions, Duration timeout);
    // Errors: group_id_not_found; non_empty_group while it has members.
    io::Task<Status> delete_group(std::string id, Duration timeout);
    io::Task<Result<QuorumDescription>> describe_quorum(Duration timeout);
    // With `fenced`, also the brokers that are registered and not alive (KIP-1073).
    io::Task<Result<ClusterDescription>> describe_cluster(bool fenced, Duration timeout);
    io::Task<Result<FeatureDescription>> describe_features(Duration timeout);
    io::Task<Status> update_features(std::vector<FeatureUpdate> updates, bool validate_only,
                                     Duration timeout);
    // Of these partitions, or of all (KIP-460). Unclean: replicas out of sync may lead, and records
    // be lost. What is answered has a code for each: election_not_needed where nothing was to do.
    io::Task<Result<std::vector<PartitionOutcome>>> elect_leaders(
        bool unclean, std::optional<std::vector<NamedPartition>> partitions, Duration timeout);
    // Begins them; without replicas, ends what is under way (KIP-455).
    io::Task<Result<std::vector<PartitionOutcome>>> alter_reassignments(
        std::vector<Reassignment> reassignments, Duration timeout);
    io::Task<Result<std::vector<OngoingReassignment>>> list_reassignments(
        std::optional<std::vector<NamedPartition>> partitions, Duration timeout);
    // Of these brokers, or of all.
    io::Task<Result<std::vector<LogDirDescription>>> describe_log_dirs(
        std::optional<std::vector<BrokerId>> brokers, Duration timeout);
    void close();

private:
    struct Node {
        io::Address address;
        std::unique_ptr<rpc::Connection> connection;
    };

    // Calls on the connection at hand; again on a new one if that one was lost before or does not
    // answer.
    template <class Response, class Request>
    io::Task<Result<Response>> call(Request request, Instant deadline);
    // The same, at one broker, whose address the last answer of Metadata or FindCoordinator told.
    template <class Response, class Request>
    io::Task<Result<Response>> call_at(BrokerId broker, Request request, Instant deadline);
    template <class Response, class Request, class CodeOf>
    io::Task<Result<Response>> call_coordinator(std::string group, Request request, CodeOf code_of,
                                                Instant deadline);
    // At the broker if `resource` is one's own settings, else anywhere.
    template <class Response, class Request>
    io::Task<Result<Response>> call_for_configs(ConfigResource resource, std::string name,
                                                Request request, Instant deadline);
    io::Task<Status> connect(Instant deadline);
    io::Task<Status> connect_to(Node* node, Instant deadline);
    Instant end_of_try(Instant deadline) const;
    io::Task<Result<std::vector<PartitionOffset>>> ask_leaders(std::string topic,
                                                               std::int64_t timestamp,
                                                               Instant deadline);
    io::Task<Result<GroupDescription>> describe_classic_group(std::string id, BrokerId coordinator,
                                                              Instant deadline);
    io::Task<Result<GroupDescription>> describe_consumer_group(std::string id, BrokerId coordinator,
                                                               Instant deadline);
    io::Task<Result<BrokerId>> find_coordinator(std::string group, Instant deadline);
    void learn(BrokerId broker, std::string host, std::int32_t port);

    io::Clock* clock_;
    io::Network* network_;
    std::vector<io::Address> bootstrap_;
    Options options_;
    std::size_t first_to_try_ = 0;  // Of bootstrap_: behind one that did not answer.
    std::unique_ptr<rpc::Connection> connection_;
    std::map<BrokerId, Node> nodes_;
};

}  // namespace pabal::client
