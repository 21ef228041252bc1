#include "broker/producer_ids.h"

#include <algorithm>

#include "io/gate.h"
#include "runtime/controller_link.h"
#include "wire/allocate_producer_ids.h"

namespace pabal::broker {

io::Task<Result<ProducerId>> ProducerIds::next(Instant deadline) {
    while (left_ == 0) {
        if (fetching_) {
            io::Gate gate(*clock_);
            waiting_.push_back(&gate);
            bool opened = co_await gate.opened(deadline);
            if (!opened) {
                waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &gate));
                co_return Error{ErrorCode::request_timed_out,
                                "no block of producer ids came from the controller in time"};
            }
            continue;
        }
        fetching_ = true;
        ErrorCode error = co_await fetch_block(deadline);
        fetching_ = false;
        std::vector<io::Gate*> waiting = std::move(waiting_);
        waiting_.clear();
        for (io::Gate* gate : waiting) gate->open();
        if (error != ErrorCode::none)
            co_return Error{error, "the controller gave no block of producer ids"};
    }
    left_ -= 1;
    ProducerId id = next_;
    ++next_;
    co_return id;
}

io::Task<ErrorCode> ProducerIds::fetch_block(Instant deadline) {
    wire::AllocateProducerIdsRequest request;
    request.broker_id = broker_id_;
    request.broker_epoch = epoch_();
    auto response =
        co_await link_->call<wire::AllocateProducerIdsResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error().code;
    if (response->error_code == ErrorCode::none) {
        next_ = response->producer_id_start;
        left_ = response->producer_id_len;
    }
    co_return response->error_code;
}

}  // namespace pabal::broker
