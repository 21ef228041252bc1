// Creates topics that a client asked about and that do not exist (auto.create.topics.enable), and
// those that coordinators need, which have settings of their own. One creation per name at a time,
// however many ask. Lives on the broker's shard.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error_code.h"
#include "base/log.h"
#include "base/time.h"
#include "io/task.h"

namespace pabal::io {
class Clock;
class Gate;
}  // namespace pabal::io
namespace pabal::metadata {
class BrokerConfig;
}
namespace pabal::runtime {
class ControllerLink;
}
namespace pabal::wire {
struct CreateTopicsRequest;
}

namespace pabal::broker {

class TopicCreation {
public:
    // All outlive this object.
    TopicCreation(io::Clock* clock, runtime::ControllerLink* link,
                  const metadata::BrokerConfig* config, const Logger* log);
    ~TopicCreation();

    // Ends when every topic of `names` was created or refused, at the latest at `deadline`; the
    // creation goes on then. The names are valid ones. Answers what the controller said about those
    // that it refused.
    io::Task<std::map<std::string, ErrorCode>> create(std::vector<std::string> names,
                                                      Instant deadline);
    // Ends when no creation runs; the link has been stopped.
    io::Task<void> idle();

private:
    struct Creation;
    io::Task<void> carry_out(std::shared_ptr<Creation> creation);
    wire::CreateTopicsRequest request_for(const std::vector<std::string>& names) const;

    io::Clock* clock_;
    runtime::ControllerLink* link_;
    const metadata::BrokerConfig* config_;
    const Logger* log_;
    std::map<std::string, std::shared_ptr<Creation>> running_;
    io::Gate* idle_waiter_ = nullptr;
};

}  // namespace pabal::broker
