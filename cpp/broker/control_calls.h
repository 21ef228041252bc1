// How a handler asks the controller: on whose behalf, and until when it waits for the answer.
#pragma once

#include <algorithm>
#include <cstdint>

#include "broker/context.h"
#include "runtime/controller.h"

namespace pabal::broker {

// Clients send time-outs down to 0 and mean "soon"; Kafka, too, lets a change that has begun end.
inline runtime::CallContext control_call(const Context& context, std::int32_t timeout_ms) {
    constexpr std::int32_t least_timeout_ms = 5000;
    runtime::CallContext call;
    call.deadline =
        context.clock.now() + Duration::milliseconds(std::max(timeout_ms, least_timeout_ms));
    return call;
}

}  // namespace pabal::broker
