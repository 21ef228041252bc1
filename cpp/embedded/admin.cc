#include "embedded/admin.h"

#include <deque>
#include <thread>

#include "os/node_ports.h"

namespace pabal::embedded {

// A client needs no disk and no store; its ports have them all the same, unused.
struct Admin::Parts {
    Parts(std::vector<io::Address> bootstrap, client::Admin::Options options)
        : ports("pabal-admin", std::make_shared<os::PolicyTime>(), nullptr) {
        ports.shard().run([&] {
            admin = std::make_unique<client::Admin>(&ports.ports().clock, &ports.ports().network,
                                                    std::move(bootstrap), std::move(options));
        });
    }
    ~Parts() {
        ports.shard().run([this] { admin.reset(); });
    }

    void begin_first() { io::detach(waiting.front()(admin.get())); }

    os::NodePorts ports;
    // Used on the shard only; the first of those that wait is under way.
    std::unique_ptr<client::Admin> admin;
    std::deque<std::function<io::Task<void>(client::Admin*)>> waiting;
    bool abandoned = false;
};

Admin::Admin(std::vector<io::Address> bootstrap, client::Admin::Options options)
    : parts_(std::make_unique<Parts>(std::move(bootstrap), std::move(options))) {}

Admin::~Admin() {
    // Calls that nobody waits for any more end by their deadlines, and what they use with the last.
    bool busy = false;
    parts_->ports.shard().run([&] {
        busy = !parts_->waiting.empty();
        parts_->abandoned = busy;
    });
    if (busy) static_cast<void>(parts_.release());
}

void Admin::post(std::function<io::Task<void>(client::Admin* admin)> call) {
    Parts* parts = parts_.get();
    parts->ports.shard().post([parts, call = std::move(call)]() mutable {
        parts->waiting.push_back(std::move(call));
        if (parts->waiting.size() == 1) parts->begin_first();
    });
}

void Admin::ended(Parts* parts) {
    parts->ports.shard().post([parts] {
        parts->waiting.pop_front();
        if (!parts->waiting.empty()) {
            parts->begin_first();
        } else if (parts->abandoned) {
            std::thread([parts] { delete parts; }).detach();  // It joins this one.
        }
    });
}

}  // namespace pabal::embedded
