#include "client/brokers.h"

#include <algorithm>

#include "wire/metadata.h"

namespace pabal::client {

Brokers::Brokers(io::Clock* clock, io::Network* network, Prng random, Options options)
    : clock_(clock), network_(network), random_(random), options_(std::move(options)) {}

Brokers::~Brokers() = default;

const Brokers::Topic* Brokers::topic(const std::string& name) const {
    const auto found = topics_.find(name);
    return found == topics_.end() ? nullptr : &found->second;
}

const Brokers::Topic* Brokers::topic(TopicId id) const {
    for (const auto& [name, topic] : topics_) {
        if (topic.id == id) return &topic;
    }
    return nullptr;
}

std::optional<Brokers::Partition> Brokers::partition(const std::string& name,
                                                     PartitionIndex partition) const {
    const Topic* found = topic(name);
    const auto index = static_cast<std::size_t>(partition.value());
    if (found == nullptr || partition.value() < 0 || index >= found->partitions.size()) {
        return std::nullopt;
    }
    return found->partitions[index];
}

bool Brokers::leader_is(const std::string& name, PartitionIndex partition, BrokerId leader,
                        LeaderEpoch epoch) {
    const auto found = topics_.find(name);
    const auto index = static_cast<std::size_t>(partition.value());
    if (found == topics_.end() || index >= found->second.partitions.size()) return false;
    Partition& known = found->second.partitions[index];
    if (leader == no_broker || epoch <= known.leader_epoch || !addresses_.contains(leader)) {
        return false;
    }
    known = {leader, epoch};
    return true;
}

void Brokers::learn(BrokerId broker, std::string host, std::int32_t port) {
    if (port <= 0 || port > UINT16_MAX) return;
    addresses_[broker] = {std::move(host), static_cast<std::uint16_t>(port)};
}

io::Task<Result<std::shared_ptr<Channel>>> Brokers::open(io::Address address) {
    if (closed_) co_return Error{ErrorCode::network_exception, "the client is closed"};
    const Duration limit = std::min(options_.connect_timeout, options_.request_timeout);
    std::string client_id = options_.client_id;
    auto opened = co_await Channel::open(clock_, network_, std::move(address), std::move(client_id),
                                         clock_->now() + limit);
    if (!opened.ok()) co_return opened.error();
    const std::shared_ptr<Channel> channel = *opened;
    if (closed_) {
        co_await channel->stop();
        co_return Error{ErrorCode::network_exception, "the client is closed"};
    }
    std::erase_if(opened_, [](const auto& old) { return !old->is_open() && old.use_count() == 1; });
    opened_.push_back(channel);
    co_return opened;
}

std::shared_ptr<Channel> Brokers::kept(std::shared_ptr<Channel>& place,
                                       std::shared_ptr<Channel> opened) {
    if (place && place->is_open()) {  // Somebody else was faster.
        opened->fail(Error{ErrorCode::network_exception, "there is another connection"});
        return place;
    }
    place = opened;
    return opened;
}

io::Task<Result<std::shared_ptr<Channel>>> Brokers::channel(BrokerId broker, Purpose purpose) {
    const auto key = std::make_pair(broker, purpose);
    const auto address = addresses_.find(broker);
    if (address == addresses_.end()) {
        co_return Error{ErrorCode::broker_not_available,
                        "broker " + std::to_string(broker.value()) + " is not alive"};
    }
    const auto found = channels_.find(key);
    if (found != channels_.end() && found->second->is_open() &&
        found->second->address() == address->second) {
        co_return found->second;
    }
    io::Address where = address->second;
    auto opened = co_await open(std::move(where));
    if (!opened.ok()) co_return opened;
    auto& place = channels_[key];
    if (place && !(place->address() == (*opened)->address())) {
        place->fail(Error{ErrorCode::network_exception, "the broker has another address now"});
    }
    co_return kept(place, std::move(*opened));
}

io::Task<Result<std::shared_ptr<Channel>>> Brokers::any_channel() {
    if (any_ && any_->is_open()) co_return any_;
    // Brokers that are known, in any order, then those that we were told of first: the cluster may
    // have moved as a whole (KIP-899).
    std::vector<io::Address> candidates;
    for (const auto& [id, address] : addresses_) candidates.push_back(address);
    for (std::size_t left = candidates.size(); left > 1; --left) {
        std::swap(candidates[left - 1], candidates[random_.below(left)]);
    }
    for (const io::Address& address : options_.bootstrap) {
        if (std::find(candidates.begin(), candidates.end(), address) == candidates.end()) {
            candidates.push_back(address);
        }
    }
    std::string tried;
    for (std::size_t index = 0; index < candidates.size(); ++index) {
        io::Address address = candidates[index];
        auto opened = co_await open(std::move(address));
        if (opened.ok()) co_return kept(any_, std::move(*opened));
        tried += (tried.empty() ? "" : "; ") + opened.error().message;
    }
    co_return Error{ErrorCode::broker_not_available, "no broker answers: " + tried};
}

io::Task<Status> Brokers::refresh(std::vector<std::string> topics) {
    return refresh_some(false, std::move(topics));
}

io::Task<Status> Brokers::refresh_all() {
    return refresh_some(true, {});
}

io::Task<Status> Brokers::refresh_some(bool all, std::vector<std::string> topics) {
    wire::MetadataRequest request;
    request.allow_auto_topic_creation = options_.create_topics;
    if (!all) {
        auto& asked = request.topics.emplace();
        for (auto& name : topics) asked.emplace_back().name = std::move(name);
    }
    const Instant began = clock_->now();
    Status status;
    // A connection that was lost in silence shows only now; then another broker is asked.
    for (int attempt = 0; attempt < 2; ++attempt) {
        wire::MetadataRequest asked = request;
        auto response =
            co_await call_any<wire::MetadataResponse>(std::move(asked), options_.request_timeout);
        if (response.ok()) {
            take(*response, all);
            co_return Status();
        }
        status = response.error();
        const Duration spent = clock_->now() - began;
        if (closed_ || spent >= options_.request_timeout) break;
        if (response.error().code != ErrorCode::network_exception) break;
    }
    co_return status;
}

void Brokers::take(wire::MetadataResponse& response, bool all) {
    if (!response.brokers.empty()) {
        std::map<BrokerId, io::Address> addresses;
        for (auto& broker : response.brokers) {
            if (broker.port <= 0 || broker.port > UINT16_MAX) continue;
            addresses[broker.node_id] = {std::move(broker.host),
                                         static_cast<std::uint16_t>(broker.port)};
        }
        addresses_ = std::move(addresses);
    }
    if (all) {
        std::erase_if(topics_, [&](const auto& known) {
            return std::none_of(response.topics.begin(), response.topics.end(),
                                [&](const auto& t) { return t.name == known.first; });
        });
    }
    for (auto& answered : response.topics) {
        if (!answered.name) continue;
        Topic& topic = topics_[*answered.name];
        topic.name = *answered.name;
        topic.error = answered.error_code;
        if (answered.error_code != ErrorCode::none) {
            if (answered.error_code == ErrorCode::unknown_topic_or_partition) {
                topic.partitions.clear();
            }
            continue;
        }
        // A topic that was created again counts its epochs from the beginning.
        const bool same = topic.id == answered.topic_id;
        std::vector<Partition> partitions(answered.partitions.size());
        for (const auto& partition : answered.partitions) {
            const auto index = static_cast<std::size_t>(partition.partition_index.value());
            if (index >= partitions.size()) continue;
            partitions[index] = {partition.leader_id, partition.leader_epoch};
            if (same && index < topic.partitions.size() &&
                topic.partitions[index].leader_epoch > partition.leader_epoch &&
                partition.leader_epoch != no_leader_epoch) {
                partitions[index] = topic.partitions[index];
            }
        }
        topic.id = answered.topic_id;
        topic.internal = answered.is_internal;
        topic.partitions = std::move(partitions);
    }
}

void Brokers::close() {
    closed_ = true;
    for (const auto& channel : opened_) {
        channel->fail(Error{ErrorCode::network_exception, "the client is closed"});
    }
}

io::Task<void> Brokers::stop() {
    close();
    for (std::size_t index = 0; index < opened_.size(); ++index) {
        const std::shared_ptr<Channel> channel = opened_[index];
        co_await channel->stop();
    }
    any_.reset();
    channels_.clear();
    opened_.clear();
}

}  // namespace pabal::client
