// What an administrator asks of a cluster, over a connection that is made again when it is lost.
// One call at a time, on one shard.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "client/connection.h"
#include "io/clock.h"
#include "io/network.h"
#include "io/task.h"

namespace pabal::client {

struct NewTopic {
    std::string name;
    std::int32_t partitions = -1;  // -1: the brokers' default.
    std::int16_t replication_factor = -1;
    std::vector<std::pair<std::string, std::string>> configs;
};

struct PartitionDescription {
    PartitionIndex partition;
    BrokerId leader = no_broker;
    LeaderEpoch leader_epoch = no_leader_epoch;
    std::vector<BrokerId> replicas;
    std::vector<BrokerId> isr;
};

struct TopicDescription {
    TopicId id;
    std::string name;
    bool internal = false;
    std::vector<PartitionDescription> partitions;
};

class Admin {
public:
    // `bootstrap` are tried in turn. The ports outlive this.
    Admin(io::Clock* clock, io::Network* network, std::vector<io::Address> bootstrap);
    ~Admin();

    // Ends when every partition has a leader. Errors: what the controller answers, e.g.
    // topic_already_exists; broker_not_available naming every address that was tried.
    io::Task<Result<TopicId>> create_topic(NewTopic topic, Duration timeout);
    io::Task<Status> delete_topic(std::string name, Duration timeout);
    io::Task<Result<TopicDescription>> describe_topic(std::string name, Duration timeout);
    io::Task<Result<std::vector<TopicDescription>>> list_topics(Duration timeout);
    void close();

private:
    // Calls on the connection at hand; once again on a new one if that one was lost before.
    template <class Response, class Request>
    io::Task<Result<Response>> call(Request request, Instant deadline);
    io::Task<Status> connect(Instant deadline);

    io::Clock* clock_;
    io::Network* network_;
    std::vector<io::Address> bootstrap_;
    std::unique_ptr<Connection> connection_;
};

}  // namespace pabal::client
