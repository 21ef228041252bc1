// The metrics of a node over HTTP, for Prometheus: GET /metrics on a listener of its own. Speaks as
// much HTTP as that takes, bounds what it reads and how long it waits, and answers one request per
// connection. Lives on the broker's shard.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "io/clock.h"
#include "io/network.h"
#include "io/task.h"

namespace pabal::io {
class Gate;
}

namespace pabal::broker {

class MetricsEndpoint {
public:
    // `render` gives the text at the time of the request. `clock` and `log` outlive this object.
    MetricsEndpoint(io::Clock* clock, const Logger* log, std::function<std::string()> render);
    ~MetricsEndpoint();

    void serve(std::unique_ptr<io::Listener> listener);
    // Closes everything; ends when nothing of it runs any more.
    io::Task<void> stop();

private:
    io::Task<void> accept();
    io::Task<void> answer(std::shared_ptr<io::Stream> stream);
    void note_end();

    io::Clock* clock_;
    const Logger* log_;
    std::function<std::string()> render_;
    std::unique_ptr<io::Listener> listener_;
    std::vector<io::Stream*> streams_;
    std::size_t running_ = 0;
    std::vector<io::Gate*> waiting_;
    bool stopping_ = false;
};

// What is answered to the head of a request (up to its empty line): the whole response.
std::string answer_http(std::string_view head, const std::function<std::string()>& render);

}  // namespace pabal::broker
