// What `send` returns: the future of one record, as slim as can be (no dict, no lock, no weak
// references), since one is made per record. It looks at the fate of the record's batch.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "base/time.h"
#include "client/delivery.h"
#include "client/record_accumulator.h"

namespace pabal::bindings {

void bind_delivery_future(pybind11::module_& module);

// A new reference, or null with an error set.
PyObject* make_future(const std::shared_ptr<client::Delivery>& delivery, std::uint32_t index,
                      std::int64_t timestamp);

// Whose callbacks are to be called from where: `hook` is called, once, when the first callback is
// added to a future of `accumulator`. It shall see to it that `run_callbacks` is called.
void set_callback_hook(const client::RecordAccumulator* accumulator, pybind11::object hook);
void forget_callback_hook(const client::RecordAccumulator* accumulator);
// Calls what waits for deliveries that have ended.
void run_callbacks(client::RecordAccumulator& accumulator);

// Waits until `ready`, which is asked under the lock, letting other Python threads run and Ctrl-C
// through; false if the deadline came first. The lock is held again afterwards.
bool wait_until(client::RecordAccumulator& accumulator, client::RecordAccumulator::Lock& lock,
                Instant deadline, const std::function<bool()>& ready);

}  // namespace pabal::bindings
