#include "runtime/broker_lifecycle.h"

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "wire/broker_registration.h"

namespace pabal::runtime {
namespace {

constexpr Duration registration_pause = Duration::milliseconds(50);
constexpr Duration shutdown_pause = Duration::milliseconds(20);
// Without a controller nobody can take over; one may be elected just now.
constexpr Duration lonely_patience = Duration::milliseconds(1000);

}  // namespace

BrokerLifecycle::BrokerLifecycle(io::Clock* clock, const metadata::BrokerConfig* config,
                                 Controller* controller, ControllerLink* link,
                                 MetadataPublisher* publisher, const Logger* log, Options options)
    : clock_(clock),
      config_(config),
      controller_(controller),
      link_(link),
      publisher_(publisher),
      log_(log),
      options_(std::move(options)),
      interval_(Duration::milliseconds(config->integer("broker.heartbeat.interval.ms"))) {
    publisher_->on_publish([this] { published(); });
}

BrokerLifecycle::~BrokerLifecycle() {
    ASSERT(!living_, "stop() ends the heartbeats");
}

bool BrokerLifecycle::serves() const {
    const metadata::BrokerImage* self = publisher_->image()->broker(config_->node_id());
    return registered_ && self && self->epoch == epoch_ && !self->fenced;
}

bool BrokerLifecycle::is_alone() const {
    for (const auto& [id, broker] : publisher_->image()->brokers())
        if (id != config_->node_id() && !broker.fenced) return false;
    return true;
}

void BrokerLifecycle::wake() {
    for (io::Gate* gate : waiters_) gate->open();
}

void BrokerLifecycle::published() {
    const auto& image = publisher_->image();
    const metadata::BrokerImage* self = image->broker(config_->node_id());
    // Whoever is fenced tells that it has caught up, and whoever shuts down that it has applied it.
    if (registered_ && (!self || self->fenced || want_shut_down_)) news_ = true;
    // Others that shut down wait until all have read of it.
    std::set<BrokerId> leaving;
    for (const auto& [id, broker] : image->brokers())
        if (!broker.fenced && broker.in_controlled_shutdown) leaving.insert(id);
    if (!std::includes(leaving_.begin(), leaving_.end(), leaving.begin(), leaving.end()))
        news_ = true;
    leaving_ = std::move(leaving);
    wake();
}

void BrokerLifecycle::directory_failed(DirectoryId directory) {
    failed_directories_.insert(directory);
    failure_is_told_ = false;
    news_ = true;
    wake();
}

void BrokerLifecycle::give_up() {
    want_fence_ = true;
    failure_is_told_ = false;
    news_ = true;
    wake();
}

wire::BrokerRegistrationRequest BrokerLifecycle::registration() const {
    std::vector<DirectoryId> directories;
    for (DirectoryId directory : options_.directories)
        if (!failed_directories_.contains(directory)) directories.push_back(directory);
    wire::BrokerRegistrationRequest request =
        registration_of(*config_, options_.cluster_id, options_.incarnation, options_.endpoints,
                        directories, *publisher_->image());
    request.previous_broker_epoch = options_.previous_epoch;
    return request;
}

io::Task<void> BrokerLifecycle::pause(Duration time) {
    if (stopped_ || time <= Duration()) co_return;
    io::Gate gate(*clock_);
    waiters_.push_back(&gate);
    const Instant until = clock_->now() + time;
    auto opened = co_await gate.opened(until);
    static_cast<void>(opened);
    std::erase(waiters_, &gate);
}

io::Task<Status> BrokerLifecycle::register_broker() {
    bool told = false;
    const std::int64_t patience_ms = config_->integer("initial.broker.registration.timeout.ms");
    const Instant give_up = clock_->now() + Duration::milliseconds(patience_ms);
    while (!stopped_) {
        wire::BrokerRegistrationRequest request = registration();
        Instant deadline = clock_->now() + Duration::seconds(10);
        if (epoch_ == BrokerEpoch(-1)) deadline = std::min(deadline, give_up);
        auto response =
            co_await link_->call<wire::BrokerRegistrationResponse>(std::move(request), deadline);
        if (response.ok() && response->error_code == ErrorCode::none) {
            epoch_ = response->broker_epoch;
            registered_ = true;
            news_ = true;
            if (log_) log_->info("registered with the controller", {{"epoch", epoch_.value()}});
            co_return Status();
        }
        const ErrorCode code = response.ok() ? response->error_code : response.error().code;
        const bool final = code == ErrorCode::inconsistent_cluster_id ||
                           code == ErrorCode::invalid_registration ||
                           code == ErrorCode::unsupported_version;
        if (final) {
            std::string why = "the controller refuses this broker: ";
            why += error_name(code);
            if (code == ErrorCode::inconsistent_cluster_id)
                why +=
                    "; its directories were formatted for another cluster than that of "
                    "controller.quorum.voters";
            co_return Error{code, why};
        }
        const bool duplicate = code == ErrorCode::duplicate_broker_registration;
        if (log_ && !told && duplicate) {
            log_->warning(
                "another process with this node.id is registered; this one waits until "
                "that one is gone",
                {});
            told = true;
        }
        // Whoever has belonged to the cluster tries for ever.
        if (epoch_ == BrokerEpoch(-1) && clock_->now() >= give_up) {
            const std::string id = std::to_string(config_->node_id().value());
            if (duplicate)
                co_return Error{code, "another process with node.id " + id +
                                          " belongs to the cluster and is alive: end that one, or "
                                          "give this one another node.id"};
            co_return Error{
                code, "no active controller took the registration of broker " + id +
                          " within initial.broker.registration.timeout.ms; start a majority "
                          "of the controllers, and see that this node reaches them and that its "
                          "directories belong to their cluster"};
        }
        co_await pause(registration_pause);
    }
    co_return Error{ErrorCode::not_controller, "this node is stopping"};
}

io::Task<bool> BrokerLifecycle::beat() {
    wire::BrokerHeartbeatRequest request;
    request.broker_id = config_->node_id();
    request.broker_epoch = epoch_;
    request.current_metadata_offset = publisher_->image()->offset();
    request.want_shut_down = want_shut_down_;
    request.want_fence = want_fence_;
    const std::size_t told = failed_directories_.size();
    for (DirectoryId directory : failed_directories_) request.offline_log_dirs.push_back(directory);
    news_ = false;
    // A controller that does not answer in the time of a session has fenced this broker.
    const Instant deadline =
        clock_->now() + Duration::milliseconds(config_->integer("broker.session.timeout.ms"));
    auto response =
        co_await link_->call<wire::BrokerHeartbeatResponse>(std::move(request), deadline);
    if (!response.ok()) co_return false;
    const ErrorCode code = response->error_code;
    if (code == ErrorCode::stale_broker_epoch || code == ErrorCode::broker_id_not_registered) {
        registered_ = false;
        co_return want_shut_down_;
    }
    if (code == ErrorCode::none && told == failed_directories_.size())
        failure_is_told_ = !want_fence_ || response->is_fenced;
    co_return code == ErrorCode::none && response->should_shut_down;
}

io::Task<void> BrokerLifecycle::live() {
    while (!stopped_) {
        if (!registered_ && !want_shut_down_) {
            auto status = co_await register_broker();
            if (!status.ok()) {
                refused_ = status.error();
                break;
            }
        }
        // Where nobody else is, nobody waits for heartbeats.
        const bool nobody_listens = controller_->active() && is_alone() && serves();
        if (!nobody_listens || want_shut_down_ || !failure_is_told_) {
            auto end = co_await beat();
            if (end) may_end_ = true;
        } else {
            news_ = false;
        }
        if (may_end_) break;
        const Duration time = want_shut_down_ ? shutdown_pause : interval_;
        const Instant next = clock_->now() + time;
        while (!news_ && !stopped_ && clock_->now() < next) {
            const Duration rest = next - clock_->now();
            co_await pause(rest);
        }
    }
    living_ = false;
    wake();
}

io::Task<Status> BrokerLifecycle::start() {
    if (controller_->active()) {
        // The only voter decides at once, with the first sync of its log.
        std::vector<metadata::Endpoint> endpoints = options_.endpoints;
        std::vector<DirectoryId> directories = options_.directories;
        const BrokerEpoch previous = options_.previous_epoch;
        auto started =
            co_await controller_->start(std::move(endpoints), std::move(directories), previous);
        if (!started.ok() && started.error().code != ErrorCode::not_controller) co_return started;
        if (started.ok()) {
            epoch_ = controller_->broker_epoch();
            registered_ = true;
        }
    }
    living_ = true;
    io::detach(live());
    const Duration interval = interval_;
    while (!serves() && !refused_ && !stopped_) co_await pause(interval);
    if (refused_) co_return *refused_;
    if (stopped_) co_return Error{ErrorCode::not_controller, "this node is stopping"};
    co_return Status();
}

io::Task<void> BrokerLifecycle::shut_down(Instant deadline) {
    if (!living_ || !registered_ || is_alone()) co_return;
    want_shut_down_ = true;
    news_ = true;
    wake();
    Instant last_known = clock_->now();
    while (living_ && !may_end_ && !stopped_ && !is_alone() && clock_->now() < deadline) {
        const Instant now = clock_->now();
        if (link_->knows_controller()) last_known = now;
        if (now - last_known > lonely_patience || controller_->quorum().is_lonely()) break;
        const Duration rest = std::min(shutdown_pause, deadline - now);
        co_await pause(rest);
    }
    if (!may_end_ && !is_alone() && log_)
        log_->warning("the controller did not let this broker go in time; it ends all the same",
                      {});
}

io::Task<void> BrokerLifecycle::stop() {
    stopped_ = true;
    wake();
    while (living_) {
        io::Gate gate(*clock_);
        waiters_.push_back(&gate);
        const Instant never = Instant::never();
        auto opened = co_await gate.opened(never);
        static_cast<void>(opened);
        std::erase(waiters_, &gate);
    }
}

}  // namespace pabal::runtime
