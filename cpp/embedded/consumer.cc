#include "embedded/consumer.h"

#include <mutex>

#include "os/node_ports.h"

namespace pabal::embedded {
namespace {

io::Task<void> stop_consumer(client::Consumer* consumer, client::TaskGroup* calls,
                             std::shared_ptr<std::promise<void>> stopped) {
    co_await consumer->stop();
    co_await calls->ended();
    stopped->set_value();
}

io::Task<void> leave_group(client::Consumer* consumer, std::shared_ptr<std::promise<void>> left) {
    co_await consumer->group().leave();
    left->set_value();
}

template <class T>
io::Task<void> finish(io::Task<T> task, std::shared_ptr<std::promise<T>> result) {
    auto value = co_await task;
    result->set_value(std::move(value));
}

}  // namespace

// A client needs no disk and no store; its ports have them all the same, unused.
struct Consumer::Parts {
    Parts() : ports("pabal-consumer", std::make_shared<os::PolicyTime>(), nullptr) {}
    ~Parts() {
        ports.shard().run([this] { consumer.reset(); });
    }

    os::NodePorts ports;
    // Used on the shard only.
    std::unique_ptr<client::Consumer> consumer;
    client::TaskGroup calls{&ports.shard()};
};

// Wakes the shard for as long as there is one; what was fetched may outlive it.
struct Consumer::Waker {
    std::mutex mutex;
    Parts* parts = nullptr;
    bool waking = false;

    void wake(const std::shared_ptr<Waker>& self) {
        const std::lock_guard lock(mutex);
        if (parts == nullptr || waking) return;
        waking = true;
        parts->ports.shard().post([self, to = parts] {
            {
                const std::lock_guard awake(self->mutex);
                self->waking = false;
            }
            if (to->consumer) to->consumer->pump();
        });
    }
};

Consumer::Consumer(client::Consumer::Options options)
    : waker_(std::make_shared<Waker>()), parts_(std::make_unique<Parts>()) {
    Parts* parts = parts_.get();
    waker_->parts = parts;
    records_ = std::make_shared<client::FetchedRecords>([waker = waker_] { waker->wake(waker); });
    const Prng random = parts->ports.ports().random.fork("consumer");
    parts->ports.shard().run([&] {
        parts->consumer = std::make_unique<client::Consumer>(&parts->ports.ports().clock,
                                                             &parts->ports.ports().network, random,
                                                             std::move(options), records_);
    });
}

Consumer::~Consumer() {
    stop();
}

template <class T, class Make>
std::future<T> Consumer::call(Make make) {
    auto promise = std::make_shared<std::promise<T>>();
    auto future = promise->get_future();
    parts_->ports.shard().post([parts = parts_.get(), promise, make = std::move(make)]() mutable {
        parts->calls.start(finish<T>(make(), promise));
    });
    return future;
}

std::future<Result<std::size_t>> Consumer::partition_count(std::string topic, Duration timeout) {
    return call<Result<std::size_t>>(
        [parts = parts_.get(), topic = std::move(topic), timeout]() mutable {
            return parts->consumer->partition_count(std::move(topic), timeout);
        });
}

std::future<Result<std::vector<std::string>>> Consumer::topic_names() {
    return call<Result<std::vector<std::string>>>(
        [parts = parts_.get()] { return parts->consumer->topic_names(); });
}

std::future<Result<std::vector<std::int64_t>>> Consumer::list_offsets(
    std::vector<client::Consumer::OffsetQuery> queries, Duration timeout) {
    return call<Result<std::vector<std::int64_t>>>(
        [parts = parts_.get(), queries = std::move(queries), timeout]() mutable {
            return parts->consumer->list_offsets(std::move(queries), timeout);
        });
}

std::future<Status> Consumer::commit(std::vector<client::CommittedPosition> positions,
                                     Duration timeout) {
    return call<Status>(
        [parts = parts_.get(), positions = std::move(positions), timeout]() mutable {
            return parts->consumer->group().commit(std::move(positions), timeout);
        });
}

std::future<Result<std::vector<client::CommittedPosition>>> Consumer::committed(
    std::vector<client::NamedPartition> partitions, Duration timeout) {
    return call<Result<std::vector<client::CommittedPosition>>>(
        [parts = parts_.get(), partitions = std::move(partitions), timeout]() mutable {
            return parts->consumer->group().committed(std::move(partitions), timeout);
        });
}

void Consumer::subscribe(std::vector<std::string> topics, std::string pattern) {
    {
        const auto lock = records_->lock();
        records_->polled(lock, os::Shard::steady_now());
    }
    parts_->ports.shard().run(
        [&] { parts_->consumer->group().subscribe(std::move(topics), std::move(pattern)); });
}

std::future<void> Consumer::unsubscribe() {
    auto promise = std::make_shared<std::promise<void>>();
    auto future = promise->get_future();
    parts_->ports.shard().post([parts = parts_.get(), promise] {
        parts->calls.start(leave_group(parts->consumer.get(), promise));
    });
    return future;
}

Consumer::Member Consumer::member() {
    Member member;
    parts_->ports.shard().run([&] {
        const auto& group = parts_->consumer->group();
        member = {group.member_id(), group.member_epoch()};
    });
    return member;
}

void Consumer::stop() {
    if (!parts_) return;
    auto promise = std::make_shared<std::promise<void>>();
    auto stopped = promise->get_future();
    parts_->ports.shard().post([parts = parts_.get(), promise] {
        io::detach(stop_consumer(parts->consumer.get(), &parts->calls, promise));
    });
    stopped.wait();
    {
        const std::lock_guard lock(waker_->mutex);
        waker_->parts = nullptr;
    }
    parts_.reset();
}

}  // namespace pabal::embedded
