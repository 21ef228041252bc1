// The classes of the extension module pabal._core, one file each.
#pragma once

#include <pybind11/pybind11.h>

namespace pabal::bindings {

void bind_broker(pybind11::module_& module);
void bind_batch_codecs(pybind11::module_& module);
void bind_admin(pybind11::module_& module);
void bind_partitioner(pybind11::module_& module);
void bind_consumer(pybind11::module_& module);
void bind_producer(pybind11::module_& module);

}  // namespace pabal::bindings
