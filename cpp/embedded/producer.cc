#include "embedded/producer.h"

#include <chrono>

#include "os/node_ports.h"

namespace pabal::embedded {
namespace {

io::Task<void> stop_producer(client::Producer* producer,
                             std::shared_ptr<std::promise<void>> stopped) {
    co_await producer->stop();
    stopped->set_value();
}

}  // namespace

// A client needs no disk and no store; its ports have them all the same, unused.
struct Producer::Parts {
    Parts() : ports("pabal-producer", std::make_shared<os::PolicyTime>(), nullptr) {}
    ~Parts() {
        ports.shard().run([this] { producer.reset(); });
    }

    os::NodePorts ports;
    std::unique_ptr<client::Producer> producer;  // Used on the shard only.
};

Producer::Producer(client::Producer::Options options, client::RecordAccumulator::Options collecting)
    : notice_(std::make_shared<Notice>()), parts_(std::make_unique<Parts>()) {
    Parts* parts = parts_.get();
    const Prng random = parts->ports.ports().random.fork("producer");
    records_ = std::make_shared<client::RecordAccumulator>(
        collecting, random.fork("partitions"), [] { return os::Shard::steady_now(); },
        [parts] { parts->ports.shard().post([parts] { parts->producer->pump(); }); },
        [notice = notice_] { notice->ring(); });
    parts->ports.shard().run([&] {
        parts->producer = std::make_unique<client::Producer>(&parts->ports.ports().clock,
                                                             &parts->ports.ports().network, random,
                                                             std::move(options), records_);
    });
}

Producer::~Producer() {
    stop();
}

Notice& Producer::notice() {
    return *notice_;
}

std::future<Status> Producer::carry_out(std::function<io::Task<Status>(client::Producer*)> call) {
    auto promise = std::make_shared<std::promise<Status>>();
    auto ended = promise->get_future();
    parts_->ports.shard().post([parts = parts_.get(), promise, call = std::move(call)] {
        parts->producer->carry_out(call(parts->producer.get()), [promise](Status status) {
            promise->set_value(std::move(status));
        });
    });
    return ended;
}

std::future<Status> Producer::init_transactions(Duration timeout) {
    return carry_out(
        [timeout](client::Producer* producer) { return producer->init_transactions(timeout); });
}

std::future<Status> Producer::send_positions(client::GroupPositions positions, Duration timeout) {
    return carry_out([timeout, positions = std::move(positions)](client::Producer* producer) {
        return producer->send_positions(positions, timeout);
    });
}

std::future<Status> Producer::end_transaction(bool commit, Duration timeout) {
    return carry_out([commit, timeout](client::Producer* producer) {
        return producer->end_transaction(commit, timeout);
    });
}

void Producer::give_transaction_up() {
    parts_->ports.shard().post([parts = parts_.get()] { parts->producer->give_transaction_up(); });
}

void Producer::stop() {
    if (!parts_) return;
    auto promise = std::make_shared<std::promise<void>>();
    auto stopped = promise->get_future();
    parts_->ports.shard().post(
        [this, promise] { io::detach(stop_producer(parts_->producer.get(), promise)); });
    stopped.wait();
    parts_.reset();
}

Instant Producer::now() {
    return os::Shard::steady_now();
}

WallTime Producer::wall_now() {
    return WallTime{std::chrono::duration_cast<std::chrono::milliseconds>(
                        std::chrono::system_clock::now().time_since_epoch())
                        .count()};
}

}  // namespace pabal::embedded
