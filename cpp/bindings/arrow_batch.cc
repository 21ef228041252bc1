#include "bindings/arrow_batch.h"

#include <pybind11/stl.h>

#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "bindings/arrow_interface.h"
#include "bindings/record_cursor.h"
#include "bindings/released.h"

namespace py = pybind11;

namespace pabal::bindings {
namespace {

using client::FetchedSlice;

constexpr std::int64_t nullable_flag = 2;

// One column, and what it consists of.
struct Column {
    std::string name;
    std::string format;
    bool nullable = false;
    std::int64_t length = 0;
    std::int64_t null_count = 0;
    std::vector<std::uint8_t> valid;  // Bits; empty if nothing is null.
    std::vector<std::uint8_t> fixed;  // Numbers, or the offsets of `data`.
    std::vector<std::uint8_t> data;
    int buffer_count = 2;  // Validity, numbers; with 3 also data; with 1 validity alone.
    std::vector<std::shared_ptr<Column>> children;
    std::shared_ptr<Column> dictionary;
};

template <class T>
void push(std::vector<std::uint8_t>& bytes, T value) {
    const std::size_t at = bytes.size();
    bytes.resize(at + sizeof value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

// Bytes of any length, with 64-bit offsets: a batch may be large.
struct VariableWriter {
    explicit VariableWriter(std::string name, const char* format, bool nullable)
        : column(std::make_shared<Column>()) {
        column->name = std::move(name);
        column->format = format;
        column->nullable = nullable;
        column->buffer_count = 3;
        push<std::int64_t>(column->fixed, 0);
    }
    void add(const std::uint8_t* data, std::int32_t size) {
        Column& to = *column;
        const auto bit = static_cast<std::size_t>(to.length++);
        if (size < 0) {
            if (to.valid.empty()) to.valid.assign(bit / 8 + 1, 0xFF);
            ++to.null_count;
        } else if (size > 0) {
            to.data.insert(to.data.end(), data, data + size);
        }
        if (!to.valid.empty()) {
            to.valid.resize(bit / 8 + 1, 0xFF);
            if (size < 0) to.valid[bit / 8] &= static_cast<std::uint8_t>(~(1u << (bit % 8)));
        }
        push<std::int64_t>(to.fixed, static_cast<std::int64_t>(to.data.size()));
    }
    std::shared_ptr<Column> column;
};

std::shared_ptr<Column> numbers(std::string name, const char* format) {
    auto column = std::make_shared<Column>();
    column->name = std::move(name);
    column->format = format;
    return column;
}

std::shared_ptr<const Column> columns_of(const std::vector<FetchedSlice>& slices) {
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (const auto& slice : slices) {
        count += static_cast<std::size_t>(slice.record_count);
        bytes += slice.end - slice.begin;
    }
    const auto topic = numbers("topic", "i");
    VariableWriter names("", "U", false);
    const auto partition = numbers("partition", "i");
    const auto offset = numbers("offset", "l");
    const auto timestamp = numbers("timestamp", "tsm:UTC");
    VariableWriter key("key", "Z", true);
    VariableWriter value("value", "Z", true);
    const auto headers = numbers("headers", "+L");
    VariableWriter header_key("key", "U", false);
    VariableWriter header_value("value", "Z", true);
    for (const auto& column : {topic, partition}) column->fixed.reserve(count * 4);
    for (const auto& column : {offset, timestamp, headers, key.column, value.column}) {
        column->fixed.reserve((count + 1) * 8);
    }
    value.column->data.reserve(bytes);
    push<std::int64_t>(headers->fixed, 0);

    std::vector<std::string_view> known;
    std::int64_t header_total = 0;
    for (const auto& slice : slices) {
        const std::string& name = *slice.batch->topic;
        std::size_t index = 0;
        while (index < known.size() && known[index] != name) ++index;
        if (index == known.size()) {
            known.emplace_back(name);
            names.add(reinterpret_cast<const std::uint8_t*>(name.data()),
                      static_cast<std::int32_t>(name.size()));
        }
        RecordCursor cursor(slice);
        while (!cursor.at_end()) {
            const RecordParts parts = cursor.next();
            push(topic->fixed, static_cast<std::int32_t>(index));
            push(partition->fixed, slice.batch->partition.value());
            push(offset->fixed, parts.offset);
            push(timestamp->fixed, parts.timestamp);
            key.add(parts.key, parts.key_size);
            value.add(parts.value, parts.value_size);
            if (parts.header_count > 0) {
                for_each_header(parts, slice.batch->records.end(),
                                [&](const std::uint8_t* header, std::int32_t header_size,
                                    const std::uint8_t* data, std::int32_t data_size) {
                                    header_key.add(header, header_size);
                                    header_value.add(data, data_size);
                                    ++header_total;
                                });
            }
            push(headers->fixed, header_total);
        }
    }
    const auto length = static_cast<std::int64_t>(count);
    for (const auto& column : {topic, partition, offset, timestamp, headers}) {
        column->length = length;
    }
    topic->dictionary = names.column;
    auto header = numbers("item", "+s");
    header->buffer_count = 1;
    header->length = header_total;
    header->children = {header_key.column, header_value.column};
    headers->children = {std::move(header)};
    auto whole = numbers("", "+s");
    whole->buffer_count = 1;
    whole->length = length;
    whole->children = {topic, partition, offset, timestamp, key.column, value.column, headers};
    return whole;
}

// What is handed out keeps the columns alive, and frees its own nodes when it is released.
struct SchemaNode {
    std::shared_ptr<const Column> column;
    std::vector<ArrowSchema> nodes;
    std::vector<ArrowSchema*> children;
    ArrowSchema dictionary{};
};

void export_schema(const std::shared_ptr<const Column>& column, ArrowSchema* out) {
    auto* node = new SchemaNode;
    node->column = column;
    node->nodes.resize(column->children.size());
    for (std::size_t index = 0; index < column->children.size(); ++index) {
        export_schema(column->children[index], &node->nodes[index]);
        node->children.push_back(&node->nodes[index]);
    }
    if (column->dictionary) export_schema(column->dictionary, &node->dictionary);
    *out = {};
    out->format = column->format.c_str();
    out->name = column->name.c_str();
    out->flags = column->nullable ? nullable_flag : 0;
    out->n_children = static_cast<std::int64_t>(node->children.size());
    out->children = node->children.data();
    out->dictionary = column->dictionary ? &node->dictionary : nullptr;
    out->private_data = node;
    out->release = [](ArrowSchema* schema) {
        auto* owned = static_cast<SchemaNode*>(schema->private_data);
        for (ArrowSchema& child : owned->nodes) {
            if (child.release != nullptr) child.release(&child);
        }
        if (owned->dictionary.release != nullptr) owned->dictionary.release(&owned->dictionary);
        delete owned;
        schema->release = nullptr;
    };
}

struct ArrayNode {
    std::shared_ptr<const Column> column;
    std::vector<ArrowArray> nodes;
    std::vector<ArrowArray*> children;
    ArrowArray dictionary{};
    const void* buffers[3] = {nullptr, nullptr, nullptr};
};

void export_array(const std::shared_ptr<const Column>& column, ArrowArray* out) {
    auto* node = new ArrayNode;
    node->column = column;
    node->nodes.resize(column->children.size());
    for (std::size_t index = 0; index < column->children.size(); ++index) {
        export_array(column->children[index], &node->nodes[index]);
        node->children.push_back(&node->nodes[index]);
    }
    if (column->dictionary) export_array(column->dictionary, &node->dictionary);
    static const std::uint64_t nothing = 0;
    node->buffers[0] = column->valid.empty() ? nullptr : column->valid.data();
    node->buffers[1] =
        column->fixed.empty() ? static_cast<const void*>(&nothing) : column->fixed.data();
    node->buffers[2] =
        column->data.empty() ? static_cast<const void*>(&nothing) : column->data.data();
    *out = {};
    out->length = column->length;
    out->null_count = column->null_count;
    out->n_buffers = column->buffer_count;
    out->buffers = node->buffers;
    out->n_children = static_cast<std::int64_t>(node->children.size());
    out->children = node->children.data();
    out->dictionary = column->dictionary ? &node->dictionary : nullptr;
    out->private_data = node;
    out->release = [](ArrowArray* array) {
        auto* owned = static_cast<ArrayNode*>(array->private_data);
        for (ArrowArray& child : owned->nodes) {
            if (child.release != nullptr) child.release(&child);
        }
        if (owned->dictionary.release != nullptr) owned->dictionary.release(&owned->dictionary);
        delete owned;
        array->release = nullptr;
    };
}

// A stream of the one batch.
struct StreamState {
    std::shared_ptr<const Column> column;
    bool given = false;
};

void export_stream(const std::shared_ptr<const Column>& column, ArrowArrayStream* out) {
    *out = {};
    out->private_data = new StreamState{column, false};
    out->get_schema = [](ArrowArrayStream* stream, ArrowSchema* schema) {
        export_schema(static_cast<StreamState*>(stream->private_data)->column, schema);
        return 0;
    };
    out->get_next = [](ArrowArrayStream* stream, ArrowArray* array) {
        auto* state = static_cast<StreamState*>(stream->private_data);
        *array = {};
        if (!state->given) export_array(state->column, array);
        state->given = true;
        return 0;
    };
    out->get_last_error = [](ArrowArrayStream*) -> const char* { return nullptr; };
    out->release = [](ArrowArrayStream* stream) {
        delete static_cast<StreamState*>(stream->private_data);
        stream->release = nullptr;
    };
}

// A capsule under Arrow's name; what nobody took is released with it.
template <class T>
py::object capsule(T* content, const char* name) {
    PyObject* made = PyCapsule_New(content, name, [](PyObject* dying) {
        auto* left = static_cast<T*>(PyCapsule_GetPointer(dying, PyCapsule_GetName(dying)));
        if (left->release != nullptr) left->release(left);
        delete left;
    });
    if (made == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(made);
}

class Batch {
public:
    explicit Batch(std::shared_ptr<const Column> columns) : columns_(std::move(columns)) {}

    std::int64_t length() const { return columns_->length; }
    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const auto& child : columns_->children) names.push_back(child->name);
        return names;
    }
    py::object schema() const {
        auto* made = new ArrowSchema;
        export_schema(columns_, made);
        return capsule(made, "arrow_schema");
    }
    std::size_t data_bytes() const {
        std::size_t bytes = 0;
        for (const auto& column : columns_->children) {
            if (column->name == "key" || column->name == "value") bytes += column->data.size();
        }
        return bytes;
    }
    // The requested schema is a wish that a producer may leave aside.
    py::tuple array(const py::object&) const {
        auto* made = new ArrowArray;
        export_array(columns_, made);
        return py::make_tuple(schema(), capsule(made, "arrow_array"));
    }
    py::object stream(const py::object&) const {
        auto* made = new ArrowArrayStream;
        export_stream(columns_, made);
        return capsule(made, "arrow_array_stream");
    }

private:
    std::shared_ptr<const Column> columns_;
};

}  // namespace

py::object arrow_batch(const std::vector<FetchedSlice>& slices) {
    std::shared_ptr<const Column> columns;
    {
        const Released released;
        columns = columns_of(slices);
    }
    return py::cast(Batch(std::move(columns)));
}

void bind_arrow_batch(py::module_& module) {
    py::class_<Batch>(module, "ArrowBatch",
                      "Records that were consumed, for whoever takes Arrow's PyCapsules.")
        .def("__len__", &Batch::length)
        .def_property_readonly("column_names", &Batch::names)
        .def_property_readonly("data_bytes", &Batch::data_bytes, "Bytes of all keys and values.")
        .def("__arrow_c_schema__", &Batch::schema)
        .def("__arrow_c_array__", &Batch::array, py::arg("requested_schema") = py::none())
        .def("__arrow_c_stream__", &Batch::stream, py::arg("requested_schema") = py::none());
}

}  // namespace pabal::bindings
