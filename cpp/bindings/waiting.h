// Waiting without the interpreter lock, and errors of the core as exceptions of Python.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <future>

#include "base/result.h"
#include "base/time.h"
#include "bindings/released.h"

namespace pabal::bindings {

// Raises the class that pabal.errors has for this code, with the message.
[[noreturn]] void raise(const Error& error);

// Waits for `future`, letting other Python threads run and Ctrl-C through.
template <class T>
T wait_for(std::future<T>& future) {
    constexpr std::chrono::milliseconds between_signals(50);
    for (;;) {
        {
            const Released released;
            if (future.wait_for(between_signals) == std::future_status::ready) break;
        }
        if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
    }
    return future.get();
}

// The same with a limit: false if it came first.
template <class T>
bool wait_until_ready(std::future<T>& future, double seconds) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    constexpr std::chrono::milliseconds between_signals(50);
    for (;;) {
        {
            const Released released;
            if (future.wait_for(between_signals) == std::future_status::ready) return true;
        }
        if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
        if (std::chrono::steady_clock::now() >= limit) return false;
    }
}

Duration duration(double seconds);

}  // namespace pabal::bindings
