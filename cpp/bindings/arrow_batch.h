// Records as an Arrow record batch, through Arrow's C data interface: whoever takes PyCapsules
// (pyarrow, polars, pandas, duckdb) takes it, without a copy and without a Python object per
// record.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "client/fetched_records.h"

namespace pabal::bindings {

void bind_arrow_batch(pybind11::module_& module);

// Columns topic, partition, offset, timestamp, key, value, headers.
pybind11::object arrow_batch(const std::vector<client::FetchedSlice>& slices);

}  // namespace pabal::bindings
