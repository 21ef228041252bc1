#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bindings/arrow_source.h"
#include "bindings/byte_argument.h"
#include "bindings/delivery_future.h"
#include "bindings/fork_mark.h"
#include "bindings/module.h"
#include "bindings/options.h"
#include "bindings/released.h"
#include "bindings/waiting.h"
#include "embedded/producer.h"

namespace py = pybind11;

namespace pabal::bindings {
namespace {

using client::Delivery;
using client::ProducedTopic;
using client::RecordAccumulator;

// Records of `send_many` that are appended in one go.
constexpr std::size_t records_per_lock = 256;

client::RecordAccumulator::Options collecting_options(const py::dict& options) {
    RecordAccumulator::Options out;
    out.batch_size = option<std::size_t>(options, "batch_size");
    out.linger = milliseconds_option(options, "linger_ms");
    out.buffer_memory = option<std::size_t>(options, "buffer_memory");
    out.partitioning = option<bool>(options, "round_robin") ? client::Partitioning::round_robin
                                                            : client::Partitioning::sticky;
    out.ignore_keys = option<bool>(options, "partitioner_ignore_keys");
    return out;
}

client::Producer::Options sending_options(const std::string& bootstrap, const py::dict& options) {
    client::Producer::Options out;
    out.brokers.bootstrap = parse_bootstrap(bootstrap);
    out.brokers.client_id = option<std::string>(options, "client_id");
    out.request_timeout = milliseconds_option(options, "request_timeout_ms");
    out.brokers.request_timeout = out.request_timeout;
    out.acks = option<std::int16_t>(options, "acks");
    out.idempotent = option<bool>(options, "enable_idempotence");
    out.compression = *record::compression_named(option<std::string>(options, "compression_type"));
    if (!options["compression_level"].is_none()) {
        out.compression_level = option<int>(options, "compression_level");
    }
    out.max_in_flight = option<int>(options, "max_in_flight_requests_per_connection");
    out.retries = option<int>(options, "retries");
    out.max_request_size = option<std::size_t>(options, "max_request_size");
    out.delivery_timeout = milliseconds_option(options, "delivery_timeout_ms");
    out.retry_backoff = milliseconds_option(options, "retry_backoff_ms");
    out.retry_backoff_max = milliseconds_option(options, "retry_backoff_max_ms");
    out.metadata_max_age = milliseconds_option(options, "metadata_max_age_ms");
    if (!options["transactional_id"].is_none()) {
        out.transactional_id = option<std::string>(options, "transactional_id");
        out.transaction_timeout = milliseconds_option(options, "transaction_timeout_ms");
    }
    return out;
}

// Several records that were sent with one call.
class BulkDelivery {
public:
    BulkDelivery(std::vector<std::shared_ptr<Delivery>> deliveries, std::vector<std::size_t> counts)
        : deliveries_(std::move(deliveries)), counts_(std::move(counts)) {
        for (const std::size_t count : counts_) total_ += count;
    }

    // Both as one.
    BulkDelivery joined(const BulkDelivery& other) const {
        BulkDelivery both = *this;
        both.deliveries_.insert(both.deliveries_.end(), other.deliveries_.begin(),
                                other.deliveries_.end());
        both.counts_.insert(both.counts_.end(), other.counts_.begin(), other.counts_.end());
        both.total_ += other.total_;
        return both;
    }

    bool done() const {
        return std::all_of(deliveries_.begin(), deliveries_.end(), [](const auto& delivery) {
            return delivery->done.load(std::memory_order_acquire);
        });
    }
    std::size_t size() const { return total_; }

    std::size_t result(const py::object& timeout) {
        const Instant deadline = timeout.is_none()
                                     ? Instant::never()
                                     : embedded::Producer::now() + duration(timeout.cast<double>());
        for (const auto& delivery : deliveries_) {
            if (delivery->done.load(std::memory_order_acquire)) continue;
            RecordAccumulator& accumulator = *delivery->accumulator;
            auto lock = accumulator.lock();
            accumulator.hurry(lock, delivery.get());
            const bool ended = wait_until(accumulator, lock, deadline, [&] {
                return delivery->done.load(std::memory_order_acquire);
            });
            lock.unlock();
            if (!ended) {
                PyErr_SetString(PyExc_TimeoutError, "not all records were acknowledged in time");
                throw py::error_already_set();
            }
        }
        std::size_t failed = 0;
        const Delivery* first = nullptr;
        for (std::size_t index = 0; index < deliveries_.size(); ++index) {
            if (deliveries_[index]->code == ErrorCode::none) continue;
            failed += counts_[index];
            if (first == nullptr) first = deliveries_[index].get();
        }
        if (first != nullptr) {
            raise(Error{first->code, std::to_string(failed) + " of " + std::to_string(total_) +
                                         " records were not delivered: " + first->message});
        }
        return total_;
    }

private:
    std::vector<std::shared_ptr<Delivery>> deliveries_;
    std::vector<std::size_t> counts_;
    std::size_t total_ = 0;
};

struct Headers {
    std::vector<record::RecordHeader> list;
    std::vector<std::unique_ptr<ByteArgument>> values;
    py::object held;

    // Pairs of a name and a value, or a mapping.
    void take(py::handle from) {
        held = py::isinstance<py::dict>(from)
                   ? py::reinterpret_steal<py::object>(PyDict_Items(from.ptr()))
                   : py::reinterpret_steal<py::object>(
                         PySequence_Fast(from.ptr(),
                                         "headers are a dict or pairs of a name and a "
                                         "value"));
        if (!held) throw py::error_already_set();
        for (Py_ssize_t index = 0; index < PySequence_Fast_GET_SIZE(held.ptr()); ++index) {
            PyObject* pair = PySequence_Fast_GET_ITEM(held.ptr(), index);
            if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 ||
                !PyUnicode_Check(PyTuple_GET_ITEM(pair, 0))) {
                throw py::type_error("a header is a pair of a str and a value");
            }
            Py_ssize_t size = 0;
            const char* name = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(pair, 0), &size);
            if (name == nullptr) throw py::error_already_set();
            auto& value = values.emplace_back(std::make_unique<ByteArgument>());
            if (!value->take(PyTuple_GET_ITEM(pair, 1), "header value")) {
                throw py::error_already_set();
            }
            list.push_back({std::string_view(name, static_cast<std::size_t>(size)), value->view()});
        }
    }
};

class Producer {
public:
    Producer(const std::string& bootstrap, const py::dict& options)
        : fork_count_(fork_count()),
          max_block_(milliseconds_option(options, "max_block_ms")),
          max_request_size_(option<std::size_t>(options, "max_request_size")) {
        auto sending = sending_options(bootstrap, options);
        const auto collecting = collecting_options(options);
        const Released released;
        producer_ = std::make_unique<embedded::Producer>(std::move(sending), collecting);
        records_ = producer_->records();
    }
    ~Producer() {
        if (fork_count_ != fork_count()) {
            static_cast<void>(producer_.release());
            return;
        }
        stop();
    }

    void check() const {
        if (fork_count_ == fork_count() && !stopped_) [[likely]] {
            return;
        }
        PyErr_SetString(PyExc_RuntimeError,
                        stopped_ ? "the producer is closed"
                                 : "this producer belongs to the parent of a fork; make a new one");
        throw py::error_already_set();
    }

    // The topic with its partitions, known by now. `wait`: else BlockingIOError.
    ProducedTopic* topic(RecordAccumulator::Lock& lock, std::string_view name, bool wait) {
        ProducedTopic* found = records_->topic(lock, name);
        if (!found->lanes.empty()) return found;
        if (!wait) would_block(lock);
        const Instant deadline = embedded::Producer::now() + max_block_;
        const bool known = wait_until(*records_, lock, deadline, [&] {
            return !found->lanes.empty() || records_->is_closed(lock);
        });
        if (known && !records_->is_closed(lock)) return found;
        const bool closed = records_->is_closed(lock);
        Error error = found->error.value_or(Error{ErrorCode::request_timed_out, "no answer"});
        lock.unlock();
        if (closed) closed_meanwhile();
        if (error.code == ErrorCode::none) error.code = ErrorCode::unknown_topic_or_partition;
        error.message = "topic " + std::string(name) + " is not known after " +
                        std::to_string(max_block_.to_milliseconds()) +
                        " ms (max_block_ms): " + error.message;
        raise(error);
    }

    void room(RecordAccumulator::Lock& lock, std::size_t bytes, bool wait) {
        if (records_->has_room(lock, bytes)) [[likely]] {
            return;
        }
        if (!wait) would_block(lock);
        const Instant deadline = embedded::Producer::now() + max_block_;
        const bool there = wait_until(*records_, lock, deadline, [&] {
            return records_->has_room(lock, bytes) || records_->is_closed(lock);
        });
        if (there && !records_->is_closed(lock)) return;
        const bool closed = records_->is_closed(lock);
        lock.unlock();
        if (closed) closed_meanwhile();
        PyErr_Format(PyExc_TimeoutError,
                     "the producer's buffer (buffer_memory) stayed full for %lld ms "
                     "(max_block_ms): the brokers take records more slowly than they are sent",
                     static_cast<long long>(max_block_.to_milliseconds()));
        throw py::error_already_set();
    }

    void check_size(std::size_t bytes) const {
        if (bytes <= max_request_size_) [[likely]] {
            return;
        }
        raise(Error{ErrorCode::message_too_large, "the record takes " + std::to_string(bytes) +
                                                      " bytes, and max_request_size is " +
                                                      std::to_string(max_request_size_)});
    }

    client::Lane* lane(RecordAccumulator::Lock& lock, ProducedTopic* topic,
                       std::int64_t partition) {
        const auto count = static_cast<std::int64_t>(topic->lanes.size());
        if (partition >= 0 && partition < count) [[likely]] {
            return &topic->lanes[static_cast<std::size_t>(partition)];
        }
        const std::string name = *topic->name;
        lock.unlock();
        throw py::value_error("topic " + name + " has partitions 0 to " +
                              std::to_string(count - 1) + ", and no " + std::to_string(partition));
    }

    PyObject* send(PyObject* topic_name, PyObject* value, PyObject* key, PyObject* partition,
                   PyObject* timestamp, PyObject* headers, bool wait) {
        check();
        ByteArgument value_bytes;
        ByteArgument key_bytes;
        if (!value_bytes.take(value, "value") || !key_bytes.take(key, "key")) return nullptr;
        std::int64_t at = -1;
        if (timestamp != Py_None) {
            at = PyLong_AsLongLong(timestamp);
            if (at == -1 && PyErr_Occurred()) return nullptr;
            if (at < 0) throw py::value_error("a timestamp is not before 1970");
        } else {
            at = embedded::Producer::wall_now().milliseconds;
        }
        std::int64_t where = -1;
        if (partition != Py_None) {
            where = PyLong_AsLongLong(partition);
            if (where == -1 && PyErr_Occurred()) return nullptr;
            if (where < 0) throw py::value_error("a partition is not negative");
        }
        Headers header_list;
        if (headers != Py_None) header_list.take(headers);
        Py_ssize_t name_size = 0;
        const char* name = PyUnicode_AsUTF8AndSize(topic_name, &name_size);
        if (name == nullptr) return nullptr;
        const std::size_t bytes =
            RecordAccumulator::size_bound(key_bytes.view(), value_bytes.view(), header_list.list);
        check_size(bytes);

        auto lock = records_->lock();
        ProducedTopic* to = last_topic_;
        if (last_name_ != topic_name || to == nullptr || to->lanes.empty()) {
            to = topic(lock, {name, static_cast<std::size_t>(name_size)}, wait);
            if (last_name_ != topic_name) {
                Py_INCREF(topic_name);
                PyObject* before = std::exchange(last_name_, topic_name);
                last_topic_ = to;
                lock.unlock();
                Py_XDECREF(before);
                lock.lock();
            }
            last_topic_ = to;
        }
        if (!records_->has_room(lock, bytes)) room(lock, bytes, wait);
        if (records_->is_closed(lock)) {
            lock.unlock();
            closed_meanwhile();
        }
        if (where < 0) where = records_->choose(lock, to, key_bytes.view()).value();
        client::Lane* target = lane(lock, to, where);
        const auto appended = records_->append(lock, target, WallTime{at}, key_bytes.view(),
                                               value_bytes.view(), header_list.list);
        const std::shared_ptr<Delivery> delivery = *appended.delivery;
        lock.unlock();
        return make_future(delivery, appended.index, at);
    }

    BulkDelivery send_many(const std::string& topic_name, const py::object& values,
                           const py::object& keys, const py::object& partition,
                           const py::object& timestamps, bool wait) {
        check();
        const auto fixed_values = sequence(values, "values");
        const auto fixed_keys = keys.is_none() ? py::object() : sequence(keys, "keys");
        const auto fixed_times =
            timestamps.is_none() ? py::object() : sequence(timestamps, "timestamps");
        const auto count = static_cast<std::size_t>(PyTuple_GET_SIZE(fixed_values.ptr()));
        for (const auto* other : {&fixed_keys, &fixed_times}) {
            if (*other && static_cast<std::size_t>(PyTuple_GET_SIZE(other->ptr())) != count) {
                throw py::value_error("values, keys and timestamps have different lengths");
            }
        }
        const std::int64_t where = checked_partition(partition);
        Bulk bulk;
        std::vector<Row> rows(records_per_lock);
        for (std::size_t begin = 0; begin < count; begin += records_per_lock) {
            const std::size_t end = std::min(count, begin + records_per_lock);
            std::vector<std::unique_ptr<ByteArgument>> held;
            const std::int64_t now = embedded::Producer::wall_now().milliseconds;
            for (std::size_t index = begin; index < end; ++index) {
                const auto position = static_cast<Py_ssize_t>(index);
                Row& row = rows[index - begin];
                row.value = view(PyTuple_GET_ITEM(fixed_values.ptr(), position), "value", &held);
                row.key = fixed_keys
                              ? view(PyTuple_GET_ITEM(fixed_keys.ptr(), position), "key", &held)
                              : std::nullopt;
                row.timestamp = now;
                if (fixed_times) {
                    row.timestamp =
                        PyLong_AsLongLong(PyTuple_GET_ITEM(fixed_times.ptr(), position));
                    if (PyErr_Occurred()) throw py::error_already_set();
                }
            }
            append_rows(topic_name, std::span(rows).first(end - begin), where, wait, &bulk);
        }
        return {std::move(bulk.deliveries), std::move(bulk.counts)};
    }

    // The rows of a table, a frame or an array in Arrow's layout.
    BulkDelivery send_arrow(const std::string& topic_name, const py::object& data,
                            const py::object& partition, bool wait) {
        check();
        const std::int64_t where = checked_partition(partition);
        ArrowSource source(data);
        Bulk bulk;
        std::vector<Row> rows(records_per_lock);
        while (source.next()) {
            const std::size_t count = source.size();
            for (std::size_t begin = 0; begin < count; begin += records_per_lock) {
                const std::size_t end = std::min(count, begin + records_per_lock);
                const std::int64_t now = embedded::Producer::wall_now().milliseconds;
                for (std::size_t index = begin; index < end; ++index) {
                    rows[index - begin] = {source.value(index), source.key(index),
                                           source.timestamp(index).value_or(now)};
                }
                append_rows(topic_name, std::span(rows).first(end - begin), where, wait, &bulk);
            }
        }
        return {std::move(bulk.deliveries), std::move(bulk.counts)};
    }

    std::size_t partitions(const std::string& topic_name) {
        check();
        auto lock = records_->lock();
        return topic(lock, topic_name, true)->lanes.size();
    }

    // Failures since this was said last: topic, partition, error code, message, records.
    using Failures = std::vector<std::tuple<std::string, int, int, std::string, std::size_t>>;
    // Nothing if not all was delivered or failed in time.
    std::optional<Failures> flush(std::optional<double> timeout) {
        check();
        auto lock = records_->lock();
        const std::uint64_t all = records_->flush(lock);
        const Instant deadline =
            timeout ? embedded::Producer::now() + duration(*timeout) : Instant::never();
        const bool ended = wait_until(*records_, lock, deadline,
                                      [&] { return records_->ended_before(lock, all); });
        if (!ended) return std::nullopt;
        return failures(lock);
    }
    Failures take_failures() {
        auto lock = records_->lock();
        return failures(lock);
    }
    std::size_t outstanding() {
        auto lock = records_->lock();
        return records_->outstanding_records(lock);
    }

    // A producer with a transactional id.
    void init_transactions(double timeout) {
        check();
        ended(producer_->init_transactions(duration(timeout)));
    }
    // Topic, partition, offset, leader epoch, metadata.
    using Positions = std::vector<std::tuple<std::string, int, std::int64_t, int, std::string>>;
    void send_positions(const std::string& group, const std::string& member, int generation,
                        const Positions& positions, double timeout) {
        check();
        client::GroupPositions out;
        out.group = group;
        out.member_id = member;
        out.generation = generation;
        for (const auto& [topic, partition, offset, epoch, metadata] : positions) {
            out.positions.push_back(
                {topic, PartitionIndex(partition), Offset(offset), LeaderEpoch(epoch), metadata});
        }
        ended(producer_->send_positions(std::move(out), duration(timeout)));
    }
    void give_transaction_up() {
        check();
        producer_->give_transaction_up();
    }
    void end_transaction(bool commit, double timeout) {
        check();
        ended(producer_->end_transaction(commit, duration(timeout)));
    }

    int descriptor() const {
        check();
        return producer_->notice().descriptor();
    }
    bool stopped() const { return stopped_; }
    // Calls what waits for deliveries that have ended.
    void drain() {
        if (fork_count_ != fork_count()) return;
        if (!stopped_) producer_->notice().clear();
        run_callbacks(*records_);
    }
    void set_hook(py::object hook) { set_callback_hook(records_.get(), std::move(hook)); }

    void stop() {
        if (fork_count_ != fork_count()) return;
        stopped_ = true;
        if (producer_) {
            // Taken first: another thread may close as well.
            const auto producer = std::move(producer_);
            {
                const Released released;
                producer->stop();
                producer->notice().ring();  // Whoever sleeps on it sees that this is the end.
            }
            run_callbacks(*records_);
            forget_callback_hook(records_.get());
        }
        PyObject* name = nullptr;
        {
            const auto lock = records_->lock();
            last_topic_ = nullptr;
            name = std::exchange(last_name_, nullptr);
        }
        Py_XDECREF(name);
    }

private:
    struct Row {
        std::optional<ByteView> value;
        std::optional<ByteView> key;
        std::int64_t timestamp = 0;
    };
    // What was appended: each delivery once, with its records.
    struct Bulk {
        std::vector<std::shared_ptr<Delivery>> deliveries;
        std::vector<std::size_t> counts;
        std::vector<std::size_t> latest;  // By partition, one more than the delivery's position.
    };

    static void ended(std::future<Status> call) {
        const Status status = wait_for(call);
        if (!status.ok()) raise(status.error());
    }
    static std::int64_t checked_partition(const py::object& partition) {
        if (partition.is_none()) return -1;
        const auto where = partition.cast<std::int64_t>();
        if (where < 0) throw py::value_error("a partition is not negative");
        return where;
    }

    void append_rows(const std::string& topic_name, std::span<const Row> rows, std::int64_t where,
                     bool wait, Bulk* bulk) {
        auto lock = records_->lock();
        ProducedTopic* to = topic(lock, topic_name, wait);
        for (const Row& row : rows) {
            const std::size_t bytes = RecordAccumulator::size_bound(row.key, row.value, {});
            if (bytes > max_request_size_ || row.timestamp < 0) {
                lock.unlock();
                check_size(bytes);
                throw py::value_error("a timestamp is not before 1970");
            }
            if (!records_->has_room(lock, bytes)) room(lock, bytes, wait);
            if (records_->is_closed(lock)) {
                lock.unlock();
                closed_meanwhile();
            }
            const std::int64_t chosen =
                where >= 0 ? where : records_->choose(lock, to, row.key).value();
            client::Lane* target = lane(lock, to, chosen);
            const auto appended =
                records_->append(lock, target, WallTime{row.timestamp}, row.key, row.value);
            if (bulk->latest.size() < to->lanes.size()) bulk->latest.resize(to->lanes.size(), 0);
            std::size_t& known = bulk->latest[static_cast<std::size_t>(chosen)];
            if (known == 0 || bulk->deliveries[known - 1] != *appended.delivery) {
                bulk->deliveries.push_back(*appended.delivery);
                bulk->counts.push_back(0);
                known = bulk->deliveries.size();
            }
            ++bulk->counts[known - 1];
        }
    }

    [[noreturn]] static void would_block(RecordAccumulator::Lock& lock) {
        lock.unlock();
        PyErr_SetString(PyExc_BlockingIOError, "the record cannot be taken at once");
        throw py::error_already_set();
    }
    [[noreturn]] static void closed_meanwhile() {
        PyErr_SetString(PyExc_RuntimeError, "the producer is closed");
        throw py::error_already_set();
    }
    static py::object sequence(const py::object& from, const char* what) {
        if (PyUnicode_Check(from.ptr()) || PyBytes_Check(from.ptr())) {
            throw py::type_error(std::string(what) + " are a sequence of records, not one");
        }
        // A tuple: another thread may change a list, whose values are read where they lie.
        auto fixed = py::reinterpret_steal<py::object>(PySequence_Tuple(from.ptr()));
        if (fixed) return fixed;
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
        PyErr_Clear();
        throw py::type_error(std::string(what) + " are a sequence, not " +
                             Py_TYPE(from.ptr())->tp_name);
    }
    static std::optional<ByteView> view(PyObject* from, const char* what,
                                        std::vector<std::unique_ptr<ByteArgument>>* held) {
        if (PyBytes_Check(from)) [[likely]] {
            return ByteView(reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(from)),
                            static_cast<std::size_t>(PyBytes_GET_SIZE(from)));
        }
        auto& argument = held->emplace_back(std::make_unique<ByteArgument>());
        if (!argument->take(from, what)) throw py::error_already_set();
        return argument->view();
    }
    Failures failures(RecordAccumulator::Lock& lock) {
        Failures out;
        for (auto& failure : records_->take_failures(lock)) {
            out.emplace_back(*failure.topic, failure.partition.value(),
                             static_cast<int>(failure.error.code), failure.error.message,
                             failure.record_count);
        }
        return out;
    }

    const unsigned fork_count_;
    const Duration max_block_;
    const std::size_t max_request_size_;
    bool stopped_ = false;
    std::unique_ptr<embedded::Producer> producer_;
    std::shared_ptr<RecordAccumulator> records_;
    // The topic of the last record: programs tend to send to one. Under the accumulator's lock.
    PyObject* last_name_ = nullptr;
    ProducedTopic* last_topic_ = nullptr;
};

constexpr const char* capsule_name = "pabal.producer";

constexpr int topic_argument = 0;
constexpr int argument_count = 6;
const char* const argument_names[argument_count] = {"topic",     "value",     "key",
                                                    "partition", "timestamp", "headers"};
PyObject* interned_names[argument_count];

int argument_named(PyObject* name) {
    for (int index = 0; index < argument_count; ++index) {
        if (name == interned_names[index]) return index;
    }
    for (int index = 0; index < argument_count; ++index) {
        if (PyUnicode_CompareWithASCIIString(name, argument_names[index]) == 0) return index;
    }
    return -1;
}

PyObject* send_with(PyObject* capsule, PyObject* const* args, Py_ssize_t count, PyObject* names,
                    bool wait) {
    PyObject* values[argument_count] = {nullptr, Py_None, Py_None, Py_None, Py_None, Py_None};
    if (count > 2) {
        PyErr_SetString(PyExc_TypeError,
                        "send() takes a topic and a value; key, partition, timestamp and headers "
                        "are given by name");
        return nullptr;
    }
    for (Py_ssize_t index = 0; index < count; ++index) values[index] = args[index];
    const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    for (Py_ssize_t index = 0; index < named; ++index) {
        PyObject* name = PyTuple_GET_ITEM(names, index);
        const int argument = argument_named(name);
        if (argument < 0 || argument < count) {
            PyErr_Format(
                PyExc_TypeError,
                argument < 0 ? "send() has no argument %R" : "send() got its argument %R twice",
                name);
            return nullptr;
        }
        values[argument] = args[count + index];
    }
    PyObject* topic = values[topic_argument];
    if (topic == nullptr || !PyUnicode_Check(topic)) {
        PyErr_Format(PyExc_TypeError, "send() needs the name of a topic, a str%s%.100s",
                     topic == nullptr ? "" : ", not ",
                     topic == nullptr ? "" : Py_TYPE(topic)->tp_name);
        return nullptr;
    }
    auto* producer =
        static_cast<std::shared_ptr<Producer>*>(PyCapsule_GetPointer(capsule, capsule_name));
    if (producer == nullptr) return nullptr;
    try {
        return (*producer)->send(topic, values[1], values[2], values[3], values[4], values[5],
                                 wait);
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const py::builtin_exception& error) {
        error.set_error();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

PyObject* send_waiting(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    return send_with(self, args, count, names, true);
}
PyObject* send_at_once(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    return send_with(self, args, count, names, false);
}

template <class Function>
PyCFunction erased(Function function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef send_definition = {
    "send", erased(send_waiting), METH_FASTCALL | METH_KEYWORDS,
    "send(topic, value=None, *, key=None, partition=None, timestamp=None, headers=None)\n--\n\n"
    "Send one record; returns its DeliveryFuture."};
PyMethodDef send_at_once_definition = {
    "send_at_once", erased(send_at_once), METH_FASTCALL | METH_KEYWORDS,
    "send_at_once(topic, value=None, *, key=None, partition=None, timestamp=None, headers=None)\n"
    "--\n\nThe same, with BlockingIOError where send would wait."};

// A function bound to the producer alone, so that a call costs as little as one can.
py::object bound(const std::shared_ptr<Producer>& producer, PyMethodDef* definition) {
    auto* kept = new std::shared_ptr<Producer>(producer);
    auto capsule =
        py::reinterpret_steal<py::object>(PyCapsule_New(kept, capsule_name, [](PyObject* dying) {
            delete static_cast<std::shared_ptr<Producer>*>(
                PyCapsule_GetPointer(dying, capsule_name));
        }));
    if (!capsule) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(PyCFunction_NewEx(definition, capsule.ptr(), nullptr));
}

}  // namespace

void bind_producer(py::module_& module) {
    for (int index = 0; index < argument_count; ++index) {
        interned_names[index] = PyUnicode_InternFromString(argument_names[index]);
    }
    bind_delivery_future(module);
    py::class_<BulkDelivery>(module, "BulkDelivery",
                             "What becomes of the records that were sent with one call.")
        .def("result", &BulkDelivery::result, py::arg("timeout") = py::none())
        .def("done", &BulkDelivery::done)
        .def("joined", &BulkDelivery::joined, py::arg("other"))
        .def("__len__", &BulkDelivery::size);
    py::class_<Producer, std::shared_ptr<Producer>>(module, "Producer")
        .def(py::init<const std::string&, const py::dict&>(), py::arg("bootstrap_servers"),
             py::arg("options"))
        .def_property_readonly(
            "send",
            [](const std::shared_ptr<Producer>& self) { return bound(self, &send_definition); })
        .def_property_readonly("send_at_once",
                               [](const std::shared_ptr<Producer>& self) {
                                   return bound(self, &send_at_once_definition);
                               })
        .def("send_many", &Producer::send_many, py::arg("topic"), py::arg("values"),
             py::arg("keys"), py::arg("partition"), py::arg("timestamps"), py::arg("wait") = true)
        .def("send_arrow", &Producer::send_arrow, py::arg("topic"), py::arg("data"),
             py::arg("partition"), py::arg("wait") = true)
        .def("partitions", &Producer::partitions, py::arg("topic"))
        .def("flush", &Producer::flush, py::arg("timeout"))
        .def("take_failures", &Producer::take_failures)
        .def("init_transactions", &Producer::init_transactions, py::arg("timeout"))
        .def("send_positions", &Producer::send_positions, py::arg("group"), py::arg("member"),
             py::arg("generation"), py::arg("positions"), py::arg("timeout"))
        .def("give_transaction_up", &Producer::give_transaction_up)
        .def("end_transaction", &Producer::end_transaction, py::arg("commit"), py::arg("timeout"))
        .def_property_readonly("outstanding", &Producer::outstanding)
        .def_property_readonly("descriptor", &Producer::descriptor)
        .def_property_readonly("stopped", &Producer::stopped)
        .def("drain", &Producer::drain)
        .def("set_hook", &Producer::set_hook, py::arg("hook"))
        .def("stop", &Producer::stop);
}

}  // namespace pabal::bindings
