#include <string_view>

#include "bindings/module.h"
#include "embedded/batch_codecs.h"

namespace py = pybind11;

namespace pabal::bindings {
namespace {

std::uint32_t crc32c(const py::bytes& data) {
    return embedded::batch_checksum(as_bytes(std::string_view(data)));
}

// ValueError for what is damaged, or inflates to more than `limit` bytes.
py::bytes inflate(int codec, const py::bytes& data, std::size_t limit) {
    const auto inflated = embedded::inflate(codec, as_bytes(std::string_view(data)), limit);
    if (!inflated) throw py::value_error(inflated.error().message);
    return {reinterpret_cast<const char*>(inflated->data()), inflated->size()};
}

}  // namespace

void bind_batch_codecs(py::module_& module) {
    module.def("crc32c", &crc32c, py::arg("data"));
    module.def("inflate", &inflate, py::arg("codec"), py::arg("data"), py::arg("limit"));
}

}  // namespace pabal::bindings
