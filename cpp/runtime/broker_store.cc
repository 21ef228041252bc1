#include "runtime/broker_store.h"

#include "io/gate.h"
#include "io/ports.h"

namespace pabal::runtime {

BrokerStore::BrokerStore(io::Ports* ports, std::string directory)
    : ports_(ports), directory_(std::move(directory)) {}

BrokerStore::~BrokerStore() = default;

io::Task<IoResult<io::Store*>> BrokerStore::opened() {
    if (opening_) {
        io::Gate gate(ports_->clock);
        waiting_.push_back(&gate);
        co_await gate.opened(Instant::never());
    } else if (!store_ && !error_) {
        opening_ = true;
        std::optional<IoResult<std::unique_ptr<io::Store>>> answer;
        std::function<void()> work = [this, &answer] {
            answer.emplace(ports_->open_store(directory_));
        };
        co_await ports_->disk.run(work);
        opening_ = false;
        // The pool may have refused to work: the node is being killed.
        if (!answer) {
            error_ = IoError{0, "the store in " + directory_ + " was not opened"};
        } else if (answer->ok()) {
            store_ = std::move(*answer).value();
        } else {
            error_ = answer->error();
        }
        for (auto* gate : waiting_) gate->open();
        waiting_.clear();
    }
    if (!store_) co_return IoResult<io::Store*>(*error_);
    co_return IoResult<io::Store*>(store_.get());
}

io::Task<void> BrokerStore::close() {
    if (opening_) {
        io::Gate gate(ports_->clock);
        waiting_.push_back(&gate);
        co_await gate.opened(Instant::never());
    }
    std::function<void()> work = [this] { store_.reset(); };
    co_await ports_->disk.run(work);
    error_ = IoError{0, "the store in " + directory_ + " is closed"};
}

}  // namespace pabal::runtime
