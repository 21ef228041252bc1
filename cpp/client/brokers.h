// The cluster as one client knows it: addresses of the brokers, topics with their leaders, and
// connections, made when they are asked for. Owned by a producer or a consumer, on its shard.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"
#include "client/channel.h"
#include "io/clock.h"
#include "io/network.h"
#include "io/task.h"

namespace pabal::wire {
struct MetadataResponse;
}

namespace pabal::client {

// What a connection is for: a response that waits, as that of a fetch or of who joins a group does,
// holds up those behind it.
enum class Purpose { data, control, rebalance };

class Brokers {
public:
    struct Partition {
        BrokerId leader = no_broker;
        LeaderEpoch leader_epoch = no_leader_epoch;
    };
    struct Topic {
        std::string name;
        TopicId id;
        bool internal = false;
        ErrorCode error = ErrorCode::none;
        std::vector<Partition> partitions;
    };
    struct Options {
        std::vector<io::Address> bootstrap;
        std::string client_id = "pabal";
        Duration request_timeout = Duration::seconds(30);
        Duration connect_timeout = Duration::seconds(10);
        bool create_topics = true;  // Unknown topics, if the brokers permit it.
    };

    Brokers(io::Clock* clock, io::Network* network, Prng random, Options options);
    ~Brokers();

    // Asks any broker that answers for these topics. Errors: broker_not_available naming every
    // address that was tried.
    io::Task<Status> refresh(std::vector<std::string> topics);
    // The same for all topics that there are.
    io::Task<Status> refresh_all();

    // Null before a broker has answered for it.
    const Topic* topic(const std::string& name) const;
    const Topic* topic(TopicId id) const;
    const std::map<std::string, Topic>& topics() const { return topics_; }
    std::optional<Partition> partition(const std::string& topic, PartitionIndex partition) const;

    // A broker's answer named the leader (KIP-951); older news are ignored. True if it is news.
    bool leader_is(const std::string& topic, PartitionIndex partition, BrokerId leader,
                   LeaderEpoch epoch);
    void learn(BrokerId broker, std::string host, std::int32_t port);

    // The connection to a broker for a purpose. Errors: broker_not_available, request_timed_out.
    io::Task<Result<std::shared_ptr<Channel>>> channel(BrokerId broker, Purpose purpose);
    // One to any broker.
    io::Task<Result<std::shared_ptr<Channel>>> any_channel();

    template <class Response, class Request>
    io::Task<Result<Response>> call(BrokerId broker, Request request, Duration timeout,
                                    Purpose purpose = Purpose::control) {
        auto channel = co_await this->channel(broker, purpose);
        if (!channel.ok()) co_return channel.error();
        const std::shared_ptr<Channel> open = *channel;
        auto response = co_await open->call<Response>(std::move(request), clock_->now() + timeout);
        co_return response;
    }
    template <class Response, class Request>
    io::Task<Result<Response>> call_any(Request request, Duration timeout) {
        auto channel = co_await any_channel();
        if (!channel.ok()) co_return channel.error();
        const std::shared_ptr<Channel> open = *channel;
        auto response = co_await open->call<Response>(std::move(request), clock_->now() + timeout);
        co_return response;
    }

    const Options& options() const { return options_; }
    // Closes all connections, so that calls under way end.
    void close();
    // The same, and awaits their end. Nothing may be asked any more.
    io::Task<void> stop();

private:
    io::Task<Status> refresh_some(bool all, std::vector<std::string> topics);
    io::Task<Result<std::shared_ptr<Channel>>> open(io::Address address);
    void take(wire::MetadataResponse& response, bool all);
    std::shared_ptr<Channel> kept(std::shared_ptr<Channel>& place, std::shared_ptr<Channel> opened);

    io::Clock* clock_;
    io::Network* network_;
    Prng random_;
    Options options_;
    bool closed_ = false;
    std::map<BrokerId, io::Address> addresses_;
    std::map<std::string, Topic> topics_;
    std::shared_ptr<Channel> any_;
    std::map<std::pair<BrokerId, Purpose>, std::shared_ptr<Channel>> channels_;
    // Every connection that was opened and may still run something.
    std::vector<std::shared_ptr<Channel>> opened_;
};

}  // namespace pabal::client
