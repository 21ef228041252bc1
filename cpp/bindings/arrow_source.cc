#include "bindings/arrow_source.h"

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "bindings/arrow_interface.h"

namespace py = pybind11;

namespace pabal::bindings {
namespace {

// How the elements of a column lie.
enum class Layout { none, small_offsets, large_offsets, views, numbers };

struct Column {
    Layout layout = Layout::none;
    int child = -1;            // Of the struct; -1 where the array is no table.
    std::int64_t divisor = 1;  // From the unit of a timestamp to milliseconds;
    std::int64_t multiplier = 1;
    const ArrowArray* array = nullptr;
    std::int64_t offset = 0;  // Of the rows in the column's buffers.
};

Layout bytes_layout(std::string_view format) {
    if (format == "z" || format == "u") return Layout::small_offsets;
    if (format == "Z" || format == "U") return Layout::large_offsets;
    if (format == "vz" || format == "vu") return Layout::views;
    return Layout::none;
}

[[noreturn]] void wrong_column(const std::string& name, const char* format, const char* wanted) {
    throw py::type_error("the column " + name + " has Arrow's type \"" + format +
                         "\"; it has to be " + wanted);
}

bool is_valid(const ArrowArray& array, std::int64_t at) {
    const auto* bits = static_cast<const std::uint8_t*>(array.buffers[0]);
    return array.null_count == 0 || bits == nullptr || ((bits[at / 8] >> (at % 8)) & 1) != 0;
}

template <class T>
T element(const void* buffer, std::int64_t at) {
    T value;
    std::memcpy(&value, static_cast<const std::uint8_t*>(buffer) + at * std::int64_t{sizeof(T)},
                sizeof value);
    return value;
}

template <class OffsetType>
ByteView between_offsets(const ArrowArray& array, std::int64_t at) {
    const auto begin = element<OffsetType>(array.buffers[1], at);
    const auto end = element<OffsetType>(array.buffers[1], at + 1);
    return {static_cast<const std::uint8_t*>(array.buffers[2]) + begin,
            static_cast<std::size_t>(end - begin)};
}

// A length, then the bytes themselves, or where in which buffer they are.
ByteView view_at(const ArrowArray& array, std::int64_t at) {
    constexpr std::int32_t longest_inside = 12;
    const auto* view = static_cast<const std::uint8_t*>(array.buffers[1]) + at * 16;
    const auto size = element<std::int32_t>(view, 0);
    if (size <= longest_inside) return {view + 4, static_cast<std::size_t>(size)};
    const auto buffer = element<std::int32_t>(view, 2);
    const auto offset = element<std::int32_t>(view, 3);
    return {static_cast<const std::uint8_t*>(array.buffers[2 + buffer]) + offset,
            static_cast<std::size_t>(size)};
}

std::optional<ByteView> bytes_at(const Column& column, std::size_t row) {
    if (column.array == nullptr) return std::nullopt;
    const std::int64_t at = column.offset + static_cast<std::int64_t>(row);
    if (!is_valid(*column.array, at)) return std::nullopt;
    if (column.layout == Layout::small_offsets) {
        return between_offsets<std::int32_t>(*column.array, at);
    }
    if (column.layout == Layout::large_offsets) {
        return between_offsets<std::int64_t>(*column.array, at);
    }
    return view_at(*column.array, at);
}

}  // namespace

struct ArrowSource::State {
    ~State() {
        if (array.release != nullptr) array.release(&array);
        if (schema.release != nullptr) schema.release(&schema);
    }

    py::object capsule;  // Owns the stream.
    ArrowArrayStream* stream = nullptr;
    ArrowSchema schema{};
    ArrowArray array{};
    Column value;
    Column key;
    Column timestamp;

    void fail(int code) {
        const char* why = stream->get_last_error(stream);
        throw py::value_error(why != nullptr ? std::string(why)
                                             : "Arrow's stream failed: " + std::to_string(code));
    }

    void understand() {
        if (std::string_view(schema.format) != "+s") {
            value.layout = bytes_layout(schema.format);
            if (value.layout == Layout::none) {
                wrong_column("of values", schema.format, "binary or text");
            }
            return;
        }
        std::string names;
        for (std::int64_t index = 0; index < schema.n_children; ++index) {
            const ArrowSchema& child = *schema.children[index];
            const std::string name = child.name == nullptr ? "" : child.name;
            names += (names.empty() ? "" : ", ") + name;
            if (name == "value" || name == "key") {
                Column& column = name == "value" ? value : key;
                column.layout = bytes_layout(child.format);
                column.child = static_cast<int>(index);
                if (column.layout == Layout::none || child.dictionary != nullptr) {
                    wrong_column(name, child.format, "binary or text");
                }
            } else if (name == "timestamp") {
                const std::string_view format = child.format;
                timestamp.layout = Layout::numbers;
                timestamp.child = static_cast<int>(index);
                if (format.starts_with("tss:")) {
                    timestamp.multiplier = 1000;
                } else if (format.starts_with("tsu:")) {
                    timestamp.divisor = 1000;
                } else if (format.starts_with("tsn:")) {
                    timestamp.divisor = 1'000'000;
                } else if (format != "l" && !format.starts_with("tsm:")) {
                    wrong_column(name, child.format, "a timestamp or int64");
                }
            }
        }
        if (value.layout == Layout::none) {
            throw py::type_error(
                "a table of records has a column value, and may have key and timestamp; this one "
                "has " +
                names);
        }
    }

    void place(Column* column) const {
        if (column->layout == Layout::none) return;
        column->array = column->child < 0 ? &array : array.children[column->child];
        // The rows of a table begin where it says, in each of its columns.
        column->offset = column->array->offset + (column->child < 0 ? 0 : array.offset);
    }
};

bool ArrowSource::is_arrow(const py::object& object) {
    return py::hasattr(object, "__arrow_c_stream__");
}

ArrowSource::ArrowSource(const py::object& object) : state_(std::make_unique<State>()) {
    state_->capsule = object.attr("__arrow_c_stream__")();
    state_->stream = static_cast<ArrowArrayStream*>(
        PyCapsule_GetPointer(state_->capsule.ptr(), "arrow_array_stream"));
    if (state_->stream == nullptr) throw py::error_already_set();
    const int code = state_->stream->get_schema(state_->stream, &state_->schema);
    if (code != 0) state_->fail(code);
    state_->understand();
}

ArrowSource::~ArrowSource() = default;

bool ArrowSource::next() {
    State& state = *state_;
    if (state.array.release != nullptr) state.array.release(&state.array);
    state.array = {};
    const int code = state.stream->get_next(state.stream, &state.array);
    if (code != 0) state.fail(code);
    if (state.array.release == nullptr) return false;
    for (Column* column : {&state.value, &state.key, &state.timestamp}) state.place(column);
    return true;
}

std::size_t ArrowSource::size() const {
    return static_cast<std::size_t>(state_->array.length);
}

std::optional<ByteView> ArrowSource::value(std::size_t row) const {
    return bytes_at(state_->value, row);
}

std::optional<ByteView> ArrowSource::key(std::size_t row) const {
    return bytes_at(state_->key, row);
}

std::optional<std::int64_t> ArrowSource::timestamp(std::size_t row) const {
    const Column& column = state_->timestamp;
    if (column.array == nullptr) return std::nullopt;
    const std::int64_t at = column.offset + static_cast<std::int64_t>(row);
    if (!is_valid(*column.array, at)) return std::nullopt;
    return element<std::int64_t>(column.array->buffers[1], at) * column.multiplier / column.divisor;
}

}  // namespace pabal::bindings
