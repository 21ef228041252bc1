#include "bindings/byte_argument.h"

namespace pabal::bindings {

bool ByteArgument::take_other(PyObject* from, const char* what) {
    if (PyUnicode_Check(from)) {
        Py_ssize_t size = 0;
        const char* text = PyUnicode_AsUTF8AndSize(from, &size);
        if (text == nullptr) return false;
        view_ =
            ByteView(reinterpret_cast<const std::uint8_t*>(text), static_cast<std::size_t>(size));
        return true;
    }
    if (PyObject_CheckBuffer(from)) {
        if (PyObject_GetBuffer(from, &buffer_, PyBUF_SIMPLE) != 0) return false;
        view_ = ByteView(static_cast<const std::uint8_t*>(buffer_.buf),
                         static_cast<std::size_t>(buffer_.len));
        return true;
    }
    PyErr_Format(PyExc_TypeError,
                 "a %s is bytes, str, a buffer or None, not %.100s; for other objects give the "
                 "producer a %s_serializer",
                 what, Py_TYPE(from)->tp_name, what);
    return false;
}

}  // namespace pabal::bindings
