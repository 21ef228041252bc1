// Records to be sent that somebody else holds in Arrow's layout (a table, a frame, an array): read
// where they lie, through Arrow's C interface. Columns value, key and timestamp; an array that is
// no table is its values.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>

#include "base/bytes.h"

namespace pabal::bindings {

class ArrowSource {
public:
    // Whether `object` speaks Arrow.
    static bool is_arrow(const pybind11::object& object);

    // TypeError for columns that are no records; what the other side says if it fails.
    explicit ArrowSource(const pybind11::object& object);
    ~ArrowSource();
    ArrowSource(const ArrowSource&) = delete;
    ArrowSource& operator=(const ArrowSource&) = delete;

    // The next chunk of rows; false at the end. What was seen of the last one is gone.
    bool next();
    std::size_t size() const;
    std::optional<ByteView> value(std::size_t row) const;
    std::optional<ByteView> key(std::size_t row) const;
    // Milliseconds since 1970; nothing where there is no such column, or null.
    std::optional<std::int64_t> timestamp(std::size_t row) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace pabal::bindings
