// Settings of a client, as the Python package hands them over: checked there, and complete.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "base/time.h"
#include "io/network.h"

namespace pabal::bindings {

// "host:port,host:port", IPv6 addresses in brackets. ValueError otherwise.
std::vector<io::Address> parse_bootstrap(const std::string& servers);

template <class T>
T option(const pybind11::dict& options, const char* name) {
    return pybind11::cast<T>(options[name]);
}

inline Duration milliseconds_option(const pybind11::dict& options, const char* name) {
    return Duration::microseconds(static_cast<std::int64_t>(option<double>(options, name) * 1000));
}

}  // namespace pabal::bindings
