// A record that was consumed, as Python sees it: a slim native object that points into the batch
// it came with; bytes are made when they are asked for.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "client/fetched_records.h"

namespace pabal::bindings {

void bind_record(pybind11::module_& module);

// Appends one object per record to `list`, deserialized if there is a deserializer: called with
// (bytes, topic, partition, offset). Throws.
struct Deserializers {
    pybind11::object key;
    pybind11::object value;
};
void append_records(const client::FetchedSlice& slice, const Deserializers& deserializers,
                    PyObject* list);

}  // namespace pabal::bindings
