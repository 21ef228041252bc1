#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "bindings/arrow_batch.h"
#include "bindings/fork_mark.h"
#include "bindings/module.h"
#include "bindings/options.h"
#include "bindings/record_object.h"
#include "bindings/released.h"
#include "bindings/waiting.h"
#include "embedded/consumer.h"
#include "embedded/producer.h"

namespace py = pybind11;

namespace pabal::bindings {
namespace {

using client::Assigned;
using client::FetchedRecords;
using client::FetchedSlice;
using client::NamedPartition;

constexpr Duration between_signals = Duration::milliseconds(50);

using Place = std::pair<std::string, int>;

NamedPartition named(const Place& place) {
    return {place.first, PartitionIndex(place.second)};
}

std::vector<NamedPartition> named(const std::vector<Place>& places) {
    std::vector<NamedPartition> out;
    for (const auto& place : places) out.push_back(named(place));
    return out;
}

std::vector<client::Assignor> assignors(const std::vector<std::string>& names) {
    std::vector<client::Assignor> out;
    for (const auto& name : names) {
        const auto assignor = client::assignor_named(name);
        if (!assignor) throw py::value_error("there is no assignor " + name);
        out.push_back(*assignor);
    }
    return out;
}

client::Consumer::Options consumer_options(const std::string& bootstrap, const py::dict& options) {
    client::Consumer::Options out;
    out.brokers.bootstrap = parse_bootstrap(bootstrap);
    out.brokers.client_id = option<std::string>(options, "client_id");
    out.request_timeout = milliseconds_option(options, "request_timeout_ms");
    out.brokers.request_timeout = out.request_timeout;
    out.brokers.create_topics = option<bool>(options, "allow_auto_create_topics");
    out.rack = option<std::string>(options, "client_rack");
    const auto reset = option<std::string>(options, "auto_offset_reset");
    out.reset_to = reset == "earliest" ? -2 : reset == "latest" ? -1 : Assigned::no_reset;
    out.min_bytes = option<std::int32_t>(options, "fetch_min_bytes");
    out.max_bytes = option<std::int32_t>(options, "fetch_max_bytes");
    out.partition_max_bytes = option<std::int32_t>(options, "max_partition_fetch_bytes");
    out.max_wait = milliseconds_option(options, "fetch_max_wait_ms");
    out.read_committed = option<std::string>(options, "isolation_level") == "read_committed";
    out.check_crcs = option<bool>(options, "check_crcs");
    out.retry_backoff = milliseconds_option(options, "retry_backoff_ms");
    out.retry_backoff_max = milliseconds_option(options, "retry_backoff_max_ms");
    out.metadata_max_age = milliseconds_option(options, "metadata_max_age_ms");
    out.group.group_id = option<std::optional<std::string>>(options, "group_id").value_or("");
    out.group.instance_id = option<std::optional<std::string>>(options, "group_instance_id");
    out.group.assignor = option<std::optional<std::string>>(options, "group_remote_assignor");
    out.group.protocol = option<std::string>(options, "group_protocol") == "classic"
                             ? client::GroupMembership::Protocol::classic
                             : client::GroupMembership::Protocol::consumer;
    out.group.assignors =
        assignors(option<std::vector<std::string>>(options, "partition_assignment_strategy"));
    out.group.session_timeout = milliseconds_option(options, "session_timeout_ms");
    out.group.heartbeat_interval = milliseconds_option(options, "heartbeat_interval_ms");
    out.group.metadata_max_age = out.metadata_max_age;
    out.group.rack = out.rack;
    out.group.max_poll_interval = milliseconds_option(options, "max_poll_interval_ms");
    out.group.request_timeout = out.request_timeout;
    out.group.retry_backoff = out.retry_backoff;
    out.group.retry_backoff_max = out.retry_backoff_max;
    out.group.require_stable = out.read_committed;
    out.group.reset_to = out.reset_to;
    return out;
}

class Consumer {
public:
    Consumer(const std::string& bootstrap, const py::dict& options, py::object key_deserializer,
             py::object value_deserializer)
        : fork_count_(fork_count()) {
        if (!key_deserializer.is_none()) deserializers_.key = std::move(key_deserializer);
        if (!value_deserializer.is_none()) deserializers_.value = std::move(value_deserializer);
        auto made = consumer_options(bootstrap, options);
        reset_to_ = made.reset_to;
        const Released released;
        consumer_ = std::make_unique<embedded::Consumer>(std::move(made));
        records_ = consumer_->records();
    }
    ~Consumer() {
        if (fork_count_ != fork_count()) {
            static_cast<void>(consumer_.release());
            return;
        }
        stop();
    }

    py::list poll(double timeout, std::size_t most) {
        const auto slices = await_records(timeout, most);
        py::list list;
        for (std::size_t index = 0; index < slices.size(); ++index) {
            append_records(slices[index], deserializers_, list.ptr());
        }
        return list;
    }
    py::object poll_arrow(double timeout, std::size_t most) {
        return arrow_batch(await_records(timeout, most));
    }

    void assign(const std::vector<Place>& places) {
        live();
        records_->assign(named(places), reset_to_);
    }
    std::vector<Place> assignment() {
        live();
        std::vector<Place> out;
        const auto lock = records_->lock();
        for (const auto& [name, partition] : records_->assigned(lock)) {
            out.emplace_back(name.topic, name.partition.value());
        }
        return out;
    }
    void subscribe(std::vector<std::string> topics, std::string pattern) {
        auto& consumer = live();
        const Released released;
        consumer.subscribe(std::move(topics), std::move(pattern));
    }
    void unsubscribe() {
        auto left = live().unsubscribe();
        wait_for(left);
        records_->assign({}, reset_to_);
    }
    // -1 resets to the timestamp `reset_to` (-1 the end, -2 the start) when records are read.
    void seek(const Place& place, std::int64_t offset, std::int64_t reset_to) {
        live();
        const auto lock = records_->lock();
        Assigned* partition = find(lock, place);
        records_->seek(lock, partition, offset, reset_to);
    }
    void pause(const std::vector<Place>& places, bool paused) {
        live();
        for (const auto& place : places) {
            const auto lock = records_->lock();
            Assigned* partition = find(lock, place);
            partition->paused = paused;
            // What is fetched stays; its position does too.
            records_->nudge(lock);
        }
    }
    std::vector<Place> paused() {
        live();
        std::vector<Place> out;
        const auto lock = records_->lock();
        for (const auto& [name, partition] : records_->assigned(lock)) {
            if (partition->paused) out.emplace_back(name.topic, name.partition.value());
        }
        return out;
    }
    // Position (-1 while it is looked up), high watermark, last stable offset, log start.
    std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t> state(const Place& place) {
        live();
        const auto lock = records_->lock();
        const Assigned* partition = find(lock, place);
        return {partition->position, partition->high_watermark, partition->last_stable_offset,
                partition->log_start_offset};
    }
    // topic, partition, position, leader epoch; of those that have one.
    std::vector<std::tuple<std::string, int, std::int64_t, int>> positions() {
        live();
        std::vector<std::tuple<std::string, int, std::int64_t, int>> out;
        const auto lock = records_->lock();
        for (const auto& [name, partition] : records_->assigned(lock)) {
            if (partition->position < 0) continue;
            out.emplace_back(name.topic, name.partition.value(), partition->position,
                             partition->leader_epoch);
        }
        return out;
    }
    // kind ("revoked", "lost", "assigned") and partitions, if the group waits for the poller.
    std::optional<std::pair<std::string, std::vector<Place>>> rebalance() {
        live();
        const auto lock = records_->lock();
        const auto& rebalance = records_->rebalance(lock);
        if (!rebalance) return std::nullopt;
        std::vector<Place> places;
        for (const auto& partition : rebalance->partitions) {
            places.emplace_back(partition.topic, partition.partition.value());
        }
        const char* kinds[] = {"revoked", "lost", "assigned"};
        return std::make_pair(std::string(kinds[static_cast<int>(rebalance->kind)]),
                              std::move(places));
    }
    void rebalance_done() {
        live();
        const auto lock = records_->lock();
        records_->rebalance_done(lock);
    }

    std::size_t partitions(std::string topic, double timeout) {
        auto result = live().partition_count(std::move(topic), duration(timeout));
        return value_of(result);
    }
    std::vector<std::string> topics() {
        auto result = live().topic_names();
        return value_of(result);
    }
    std::vector<std::int64_t> list_offsets(
        const std::vector<std::tuple<std::string, int, std::int64_t>>& asked, double timeout) {
        std::vector<client::Consumer::OffsetQuery> queries;
        for (const auto& [topic, partition, timestamp] : asked) {
            queries.push_back({named(Place{topic, partition}), timestamp});
        }
        auto result = live().list_offsets(std::move(queries), duration(timeout));
        return value_of(result);
    }
    using Commit = std::tuple<std::string, int, std::int64_t, int, std::string>;
    void commit(const std::vector<Commit>& asked, double timeout) {
        auto result = live().commit(positions_of(asked), duration(timeout));
        const Status status = wait_for(result);
        if (!status.ok()) raise(status.error());
    }
    // Without waiting. Its error is told by the next `commit_ended`.
    void begin_commit(const std::vector<Commit>& asked, double timeout) {
        committing_ = live().commit(positions_of(asked), duration(timeout));
    }
    // Nothing while it is under way; else the error code and message, 0 for none.
    std::optional<std::pair<int, std::string>> commit_ended() {
        if (!committing_.valid()) return std::make_pair(0, std::string());
        if (committing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
            return std::nullopt;
        }
        const Status status = committing_.get();
        if (status.ok()) return std::make_pair(0, std::string());
        return std::make_pair(static_cast<int>(status.error().code), status.error().message);
    }
    std::vector<Commit> committed(const std::vector<Place>& places, double timeout) {
        auto result = live().committed(named(places), duration(timeout));
        std::vector<Commit> out;
        for (auto& position : value_of(result)) {
            out.emplace_back(position.partition.topic, position.partition.partition.value(),
                             position.offset, position.leader_epoch, position.metadata);
        }
        return out;
    }
    std::pair<std::string, int> member() {
        auto& consumer = live();
        const Released released;
        auto member = consumer.member();
        return {member.id, member.epoch};
    }

    void stop() {
        if (fork_count_ != fork_count()) return;
        stopped_ = true;
        // Taken first: another thread may close as well.
        const auto consumer = std::move(consumer_);
        if (!consumer) return;
        const Released released;
        consumer->stop();
    }

private:
    embedded::Consumer& live() const {
        if (fork_count_ == fork_count() && !stopped_) [[likely]] {
            return *consumer_;
        }
        PyErr_SetString(PyExc_RuntimeError,
                        stopped_ ? "the consumer is closed"
                                 : "this consumer belongs to the parent of a fork; make a new one");
        throw py::error_already_set();
    }
    Assigned* find(const FetchedRecords::Lock& lock, const Place& place) {
        Assigned* partition = records_->find(lock, named(place));
        if (partition != nullptr) return partition;
        throw py::value_error(place.first + "-" + std::to_string(place.second) +
                              " is not assigned to this consumer");
    }
    static std::vector<client::CommittedPosition> positions_of(const std::vector<Commit>& asked) {
        std::vector<client::CommittedPosition> positions;
        for (const auto& [topic, partition, offset, epoch, metadata] : asked) {
            positions.push_back({named(Place{topic, partition}), offset, epoch, metadata});
        }
        return positions;
    }
    template <class T>
    static T value_of(std::future<Result<T>>& future) {
        Result<T> result = wait_for(future);
        if (!result.ok()) raise(result.error());
        return std::move(result).value();
    }

    // Ends early, with nothing, when the group waits for the poller.
    std::vector<FetchedSlice> await_records(double timeout, std::size_t most) {
        live();
        if (polling_.exchange(true)) {
            PyErr_SetString(PyExc_RuntimeError,
                            "another thread polls this consumer; give each thread its own");
            throw py::error_already_set();
        }
        struct Ended {
            std::atomic<bool>& polling;
            ~Ended() { polling.store(false); }
        } ended{polling_};
        const Instant deadline = embedded::Producer::now() + duration(timeout);
        for (;;) {
            std::uint64_t seen = 0;
            const Instant now = embedded::Producer::now();
            {
                auto lock = records_->lock();
                records_->polled(lock, now);
                auto error = records_->take_error(lock);
                if (error) {
                    lock.unlock();
                    raise(*error);
                }
                if (records_->rebalance(lock) || records_->is_closed(lock)) return {};
                auto slices = records_->take(lock, most);
                if (!slices.empty() || now >= deadline) return slices;
                seen = records_->changes(lock);
            }
            {
                const Released released;
                records_->wait(seen, std::min(between_signals, deadline - now));
            }
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        }
    }

    const unsigned fork_count_;
    bool stopped_ = false;
    std::atomic<bool> polling_{false};
    std::int64_t reset_to_ = -1;
    Deserializers deserializers_;
    std::unique_ptr<embedded::Consumer> consumer_;
    std::shared_ptr<FetchedRecords> records_;
    std::future<Status> committing_;
};

}  // namespace

void bind_consumer(py::module_& module) {
    bind_record(module);
    bind_arrow_batch(module);
    py::class_<Consumer>(module, "Consumer")
        .def(py::init<const std::string&, const py::dict&, py::object, py::object>(),
             py::arg("bootstrap_servers"), py::arg("options"), py::arg("key_deserializer"),
             py::arg("value_deserializer"))
        .def("poll", &Consumer::poll, py::arg("timeout"), py::arg("most"))
        .def("poll_arrow", &Consumer::poll_arrow, py::arg("timeout"), py::arg("most"))
        .def("assign", &Consumer::assign, py::arg("partitions"))
        .def("assignment", &Consumer::assignment)
        .def("subscribe", &Consumer::subscribe, py::arg("topics"), py::arg("pattern"))
        .def("unsubscribe", &Consumer::unsubscribe)
        .def("seek", &Consumer::seek, py::arg("partition"), py::arg("offset"), py::arg("reset_to"))
        .def("pause", &Consumer::pause, py::arg("partitions"), py::arg("paused"))
        .def("paused", &Consumer::paused)
        .def("state", &Consumer::state, py::arg("partition"))
        .def("positions", &Consumer::positions)
        .def("rebalance", &Consumer::rebalance)
        .def("rebalance_done", &Consumer::rebalance_done)
        .def("partitions", &Consumer::partitions, py::arg("topic"), py::arg("timeout"))
        .def("topics", &Consumer::topics)
        .def("list_offsets", &Consumer::list_offsets, py::arg("asked"), py::arg("timeout"))
        .def("commit", &Consumer::commit, py::arg("positions"), py::arg("timeout"))
        .def("begin_commit", &Consumer::begin_commit, py::arg("positions"), py::arg("timeout"))
        .def("commit_ended", &Consumer::commit_ended)
        .def("committed", &Consumer::committed, py::arg("partitions"), py::arg("timeout"))
        .def("member", &Consumer::member)
        .def("stop", &Consumer::stop);
}

}  // namespace pabal::bindings
