#include "bindings/module.h"

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
    module.doc() = "The native part of pabal. Private: use the classes of the package.";
    pabal::bindings::bind_broker(module);
    pabal::bindings::bind_admin(module);
    pabal::bindings::bind_partitioner(module);
    pabal::bindings::bind_batch_codecs(module);
    pabal::bindings::bind_consumer(module);
    pabal::bindings::bind_producer(module);
}
