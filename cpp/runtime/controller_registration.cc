#include "runtime/controller_registration.h"

#include "base/assert.h"
#include "base/log.h"
#include "metadata/features.h"
#include "wire/controller_registration.h"

namespace pabal::runtime {
namespace {

constexpr Duration retry_pause = Duration::milliseconds(500);

}  // namespace

ControllerRegistration::ControllerRegistration(io::Clock* clock, BrokerId node_id,
                                               Controller* controller, ControllerLink* link,
                                               MetadataPublisher* publisher,
                                               ControllerOptions options)
    : clock_(clock),
      node_id_(node_id),
      controller_(controller),
      link_(link),
      publisher_(publisher),
      options_(std::move(options)) {}

ControllerRegistration::~ControllerRegistration() {
    ASSERT(!running_, "stop() ends the registration");
}

bool ControllerRegistration::is_registered() const {
    const metadata::ControllerImage* known = publisher_->image()->controllers().find(node_id_);
    return known && known->incarnation == options_.incarnation;
}

void ControllerRegistration::start() {
    running_ = true;
    io::detach(run());
}

io::Task<void> ControllerRegistration::run() {
    while (!stopped_) {
        if (is_registered()) break;
        // Before the metadata log was read nothing is known; an active controller writes the record
        // itself.
        if (publisher_->ready() && !controller_->active()) {
            wire::ControllerRegistrationRequest request;
            request.controller_id = node_id_;
            request.incarnation_id = options_.incarnation;
            for (const metadata::Endpoint& endpoint : options_.controller_endpoints)
                request.listeners.push_back(
                    {endpoint.name, endpoint.host, endpoint.port, endpoint.security_protocol});
            for (const metadata::SupportedFeature& feature : metadata::supported_features())
                request.features.push_back(
                    {std::string(feature.name), feature.versions.min, feature.versions.max});
            const Instant deadline = clock_->now() + Duration::seconds(10);
            auto response = co_await link_->call<wire::ControllerRegistrationResponse>(
                std::move(request), deadline);
            if (options_.log && response.ok() && response->error_code != ErrorCode::none)
                options_.log->warning(
                    "the active controller did not take the registration of this controller",
                    {{"error", error_name(response->error_code)},
                     {"reason", response->error_message.value_or("")}});
        }
        if (stopped_) break;
        io::Gate gate(*clock_);
        waiters_.push_back(&gate);
        const Instant until = clock_->now() + retry_pause;
        auto opened = co_await gate.opened(until);
        static_cast<void>(opened);
        std::erase(waiters_, &gate);
    }
    running_ = false;
    for (io::Gate* gate : waiters_) gate->open();
}

io::Task<void> ControllerRegistration::stop() {
    stopped_ = true;
    for (io::Gate* gate : waiters_) gate->open();
    while (running_) {
        io::Gate gate(*clock_);
        waiters_.push_back(&gate);
        const Instant never = Instant::never();
        auto opened = co_await gate.opened(never);
        static_cast<void>(opened);
        std::erase(waiters_, &gate);
    }
}

}  // namespace pabal::runtime
