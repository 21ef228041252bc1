#include <pybind11/stl.h>
#include <unistd.h>

#include <deque>
#include <mutex>

#include "bindings/module.h"
#include "bindings/released.h"
#include "bindings/waiting.h"
#include "embedded/broker.h"
#include "embedded/world.h"

namespace py = pybind11;

namespace pabal::bindings {
namespace {

// What the broker said last, for error messages and bug reports; never calls into Python.
class LogTail final : public LogSink {
public:
    LogTail() : LogSink(LogLevel::info) {}

    void write(LogLevel, std::string_view line) override {
        std::lock_guard lock(mutex_);
        if (lines_.size() == capacity) lines_.pop_front();
        lines_.emplace_back(line);
    }
    std::vector<std::string> lines() const {
        std::lock_guard lock(mutex_);
        return {lines_.begin(), lines_.end()};
    }

private:
    static constexpr std::size_t capacity = 500;
    mutable std::mutex mutex_;
    std::deque<std::string> lines_;
};

// What the brokers of one cluster share.
class World {
public:
    void place(int broker, std::uint16_t port) { world_->wires->place(BrokerId(broker), port); }
    void cut(int from, int to) { world_->wires->cut(BrokerId(from), BrokerId(to)); }
    void delay(int from, int to, double by) {
        world_->wires->delay(BrokerId(from), BrokerId(to), duration(by));
    }
    void heal() { world_->wires->heal(); }
    void advance(double by) {
        const Released released;
        world_->policy_time->advance(duration(by));
    }
    const std::shared_ptr<embedded::World>& get() const { return world_; }

private:
    std::shared_ptr<embedded::World> world_ = std::make_shared<embedded::World>();
};

class Broker {
public:
    Broker(const std::map<std::string, std::string>& properties, const World& world, bool temporary,
           std::optional<std::string> cluster_id)
        : pid_(getpid()), log_(std::make_unique<LogTail>()) {
        {
            const Released released;
            embedded::BrokerOptions options;
            options.temporary = temporary;
            options.world = world.get();
            options.cluster_id = std::move(cluster_id);
            auto made = embedded::Broker::make(properties, Logger(*log_), std::move(options));
            if (made.ok()) {
                broker_ = std::move(*made);
            } else {
                refused_ = made.error();
            }
        }
        if (!broker_) raise(refused_);
        started_ = broker_->start();
    }
    // Until clients are served.
    void wait(double timeout) {
        bool ready = false;
        try {
            ready = wait_until_ready(started_, timeout);
        } catch (...) {
            kill();
            throw;
        }
        if (!ready) {
            kill();
            PyErr_SetString(PyExc_TimeoutError, "the broker does not serve in time");
            throw py::error_already_set();
        }
        const Status status = started_.get();
        if (!status.ok()) {
            kill();
            raise(status.error());
        }
    }
    ~Broker() {
        // After a fork the threads are the parent's: nothing here is ours to end.
        if (pid_ != getpid()) static_cast<void>(broker_.release());
        if (broker_) {
            const Released released;
            broker_.reset();
        }
    }

    void stop(double timeout) {
        check_process();
        if (!broker_) return;
        auto stopped = broker_->stop();
        if (!wait_until_ready(stopped, timeout)) {
            kill();
            PyErr_SetString(PyExc_TimeoutError,
                            "the broker did not shut down in time, and was killed");
            throw py::error_already_set();
        }
        const Released released;
        broker_.reset();
    }
    void kill() {
        check_process();
        if (!broker_) return;
        const Released released;
        broker_->kill();
        broker_.reset();
    }
    void pause() { live().pause(); }
    void resume() { live().resume(); }
    bool running() const { return broker_ && pid_ == getpid(); }
    int port() const { return live().listeners().front().port; }
    std::string cluster_id() const { return live().cluster_id(); }
    std::string metrics() const {
        const Released released;
        return live().metrics();
    }
    std::vector<std::string> log_lines() const { return log_->lines(); }

private:
    void check_process() const {
        if (pid_ == getpid()) return;
        PyErr_SetString(PyExc_RuntimeError,
                        "this broker belongs to the parent of a fork; start one of your own");
        throw py::error_already_set();
    }
    embedded::Broker& live() const {
        check_process();
        if (!broker_) {
            PyErr_SetString(PyExc_RuntimeError, "the broker does not run");
            throw py::error_already_set();
        }
        return *broker_;
    }

    pid_t pid_;
    std::unique_ptr<LogTail> log_;  // Outlives the broker.
    std::unique_ptr<embedded::Broker> broker_;
    std::future<Status> started_;
    Error refused_;
};

}  // namespace

void bind_broker(py::module_& module) {
    module.def("unknown_setting", &embedded::unknown_setting, py::arg("name"));
    py::class_<World>(module, "World")
        .def(py::init<>())
        .def("place", &World::place, py::arg("broker"), py::arg("port"))
        .def("cut", &World::cut, py::arg("sender"), py::arg("receiver"))
        .def("delay", &World::delay, py::arg("sender"), py::arg("receiver"), py::arg("by"))
        .def("heal", &World::heal)
        .def("advance", &World::advance, py::arg("by"));
    py::class_<Broker>(module, "Broker")
        .def(py::init<const std::map<std::string, std::string>&, const World&, bool,
                      std::optional<std::string>>(),
             py::arg("properties"), py::arg("world"), py::arg("temporary"), py::arg("cluster_id"))
        .def("wait", &Broker::wait, py::arg("timeout"))
        .def("pause", &Broker::pause)
        .def("resume", &Broker::resume)
        .def("stop", &Broker::stop, py::arg("timeout"))
        .def("kill", &Broker::kill)
        .def_property_readonly("running", &Broker::running)
        .def_property_readonly("port", &Broker::port)
        .def_property_readonly("cluster_id", &Broker::cluster_id)
        .def("metrics", &Broker::metrics)
        .def("log_lines", &Broker::log_lines);
}

}  // namespace pabal::bindings
