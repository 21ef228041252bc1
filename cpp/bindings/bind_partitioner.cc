#include <cstring>
#include <string>

#include "bindings/module.h"
#include "client/partitioner.h"

namespace py = pybind11;

namespace pabal::bindings {
namespace {

// The bytes of a key: those of bytes as they are, text in UTF-8. Points into `key`.
ByteView bytes_of(py::handle key) {
    if (PyBytes_Check(key.ptr())) {
        return {reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(key.ptr())),
                static_cast<std::size_t>(PyBytes_GET_SIZE(key.ptr()))};
    }
    if (PyUnicode_Check(key.ptr())) {
        Py_ssize_t size = 0;
        const char* text = PyUnicode_AsUTF8AndSize(key.ptr(), &size);
        if (text == nullptr) throw py::error_already_set();
        return {reinterpret_cast<const std::uint8_t*>(text), static_cast<std::size_t>(size)};
    }
    throw py::type_error(std::string("a key is bytes or str, not ") + Py_TYPE(key.ptr())->tp_name);
}

// One hash per key, 32 bits each in the machine's order.
py::bytes murmur2(const py::list& keys) {
    const py::tuple fixed(keys);  // Another thread may change the list, where no lock forbids it.
    std::string hashes(fixed.size() * sizeof(std::uint32_t), '\0');
    std::size_t at = 0;
    for (const py::handle key : fixed) {
        const std::uint32_t hash = client::murmur2(bytes_of(key));
        std::memcpy(hashes.data() + at, &hash, sizeof hash);
        at += sizeof hash;
    }
    return py::bytes(hashes);
}

}  // namespace

void bind_partitioner(py::module_& module) {
    module.def("murmur2", &murmur2, py::arg("keys"));
}

}  // namespace pabal::bindings
