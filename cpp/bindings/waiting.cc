#include "bindings/waiting.h"

#include <algorithm>

namespace py = pybind11;

namespace pabal::bindings {

void raise(const Error& error) {
    const py::object error_class =
        py::module_::import("pabal.errors").attr("error_class")(static_cast<int>(error.code));
    const py::object message =
        error.message.empty() ? py::object(py::none()) : py::object(py::str(error.message));
    PyErr_SetObject(error_class.ptr(), error_class(message).ptr());
    throw py::error_already_set();
}

Duration duration(double seconds) {
    // Beyond a century nobody waits; the bound keeps the sum with the clock in range.
    constexpr double century = 100.0 * 365 * 24 * 3600;
    return Duration::nanoseconds(
        static_cast<std::int64_t>(std::clamp(seconds, 0.0, century) * 1e9));
}

}  // namespace pabal::bindings
