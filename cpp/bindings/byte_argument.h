// The bytes of a Python argument without a copy: bytes, text (as UTF-8) or any contiguous buffer.
// Holds what they lie in.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "base/bytes.h"

namespace pabal::bindings {

class ByteArgument {
public:
    ByteArgument() = default;
    ~ByteArgument() {
        if (buffer_.obj != nullptr) PyBuffer_Release(&buffer_);
    }
    ByteArgument(const ByteArgument&) = delete;
    ByteArgument& operator=(const ByteArgument&) = delete;

    // False, with a TypeError set, for what has no bytes; `what` is said in its message.
    bool take(PyObject* from, const char* what) {
        if (PyBytes_Check(from)) {
            view_ = ByteView(reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(from)),
                             static_cast<std::size_t>(PyBytes_GET_SIZE(from)));
            return true;
        }
        return from == Py_None || take_other(from, what);
    }
    const std::optional<ByteView>& view() const { return view_; }

private:
    bool take_other(PyObject* from, const char* what);

    std::optional<ByteView> view_;
    Py_buffer buffer_{};
};

}  // namespace pabal::bindings
