#include "bindings/record_object.h"

#include <new>
#include <string>

#include "bindings/record_cursor.h"

namespace py = pybind11;

namespace pabal::bindings {
namespace {

using client::FetchedBatch;

struct Record {
    PyObject_HEAD std::shared_ptr<FetchedBatch> batch;
    RecordParts parts;
    PyObject* key;  // What was asked for before, or was deserialized.
    PyObject* value;
};

PyTypeObject* record_type = nullptr;

Record* as_record(PyObject* object) {
    return reinterpret_cast<Record*>(object);
}

PyObject* bytes_or_none(const std::uint8_t* data, std::int32_t size) {
    if (size < 0) Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(data), size);
}

PyObject* record_key(PyObject* self, void*) {
    Record* record = as_record(self);
    if (record->key == nullptr) {
        return bytes_or_none(record->parts.key, record->parts.key_size);
    }
    Py_INCREF(record->key);
    return record->key;
}

PyObject* record_value(PyObject* self, void*) {
    Record* record = as_record(self);
    if (record->value == nullptr) {
        return bytes_or_none(record->parts.value, record->parts.value_size);
    }
    Py_INCREF(record->value);
    return record->value;
}

PyObject* record_topic(PyObject* self, void*) {
    const std::string& topic = *as_record(self)->batch->topic;
    return PyUnicode_FromStringAndSize(topic.data(), static_cast<Py_ssize_t>(topic.size()));
}

PyObject* record_partition(PyObject* self, void*) {
    return PyLong_FromLong(as_record(self)->batch->partition.value());
}

PyObject* record_offset(PyObject* self, void*) {
    return PyLong_FromLongLong(as_record(self)->parts.offset);
}

PyObject* record_timestamp(PyObject* self, void*) {
    return PyLong_FromLongLong(as_record(self)->parts.timestamp);
}

PyObject* record_timestamp_type(PyObject* self, void*) {
    return PyUnicode_FromString(as_record(self)->batch->append_time >= 0 ? "append" : "create");
}

PyObject* record_leader_epoch(PyObject* self, void*) {
    return PyLong_FromLong(as_record(self)->batch->leader_epoch);
}

PyObject* record_headers(PyObject* self, void*) {
    const Record* record = as_record(self);
    PyObject* list = PyList_New(0);
    if (list == nullptr) return nullptr;
    bool good = true;
    for_each_header(record->parts, record->batch->records.end(),
                    [&](const std::uint8_t* key, std::int32_t key_size, const std::uint8_t* value,
                        std::int32_t value_size) {
                        if (!good) return;
                        PyObject* name = PyUnicode_DecodeUTF8(reinterpret_cast<const char*>(key),
                                                              key_size, "replace");
                        PyObject* data = bytes_or_none(value, value_size);
                        PyObject* pair = name != nullptr && data != nullptr
                                             ? PyTuple_Pack(2, name, data)
                                             : nullptr;
                        Py_XDECREF(name);
                        Py_XDECREF(data);
                        good = pair != nullptr && PyList_Append(list, pair) == 0;
                        Py_XDECREF(pair);
                    });
    if (good) return list;
    Py_DECREF(list);
    return nullptr;
}

PyObject* record_repr(PyObject* self) {
    PyObject* key = record_key(self, nullptr);
    PyObject* value = record_value(self, nullptr);
    PyObject* text = nullptr;
    if (key != nullptr && value != nullptr) {
        text =
            PyUnicode_FromFormat("<pabal.Record %s-%d offset=%lld key=%R value=%R>",
                                 as_record(self)->batch->topic->c_str(),
                                 static_cast<int>(as_record(self)->batch->partition.value()),
                                 static_cast<long long>(as_record(self)->parts.offset), key, value);
    }
    Py_XDECREF(key);
    Py_XDECREF(value);
    return text;
}

void record_free(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    Record* record = as_record(self);
    Py_XDECREF(record->key);
    Py_XDECREF(record->value);
    record->batch.~shared_ptr();
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject* deserialized(const py::object& deserializer, PyObject* record, PyObject* data) {
    if (data == nullptr) throw py::error_already_set();
    const auto bytes = py::reinterpret_steal<py::object>(data);
    const FetchedBatch& batch = *as_record(record)->batch;
    return deserializer(bytes, *batch.topic, batch.partition.value(),
                        as_record(record)->parts.offset)
        .release()
        .ptr();
}

}  // namespace

void append_records(const client::FetchedSlice& slice, const Deserializers& deserializers,
                    PyObject* list) {
    RecordCursor cursor(slice);
    while (!cursor.at_end()) {
        PyObject* made = record_type->tp_alloc(record_type, 0);
        if (made == nullptr) throw py::error_already_set();
        const auto held = py::reinterpret_steal<py::object>(made);
        Record* record = as_record(made);
        new (&record->batch) std::shared_ptr<FetchedBatch>(slice.batch);
        record->parts = cursor.next();
        if (deserializers.key) {
            record->key = deserialized(deserializers.key, made, record_key(made, nullptr));
        }
        if (deserializers.value) {
            record->value = deserialized(deserializers.value, made, record_value(made, nullptr));
        }
        if (PyList_Append(list, made) != 0) throw py::error_already_set();
    }
}

void bind_record(py::module_& module) {
    static PyGetSetDef members[] = {
        {"topic", record_topic, nullptr, "The topic's name.", nullptr},
        {"partition", record_partition, nullptr, "The partition's number.", nullptr},
        {"offset", record_offset, nullptr, "Where the record stands in its partition.", nullptr},
        {"timestamp", record_timestamp, nullptr, "Milliseconds since 1970.", nullptr},
        {"timestamp_type", record_timestamp_type, nullptr,
         "Whose time it is: 'create', the producer's, or 'append', the broker's.", nullptr},
        {"leader_epoch", record_leader_epoch, nullptr,
         "Epoch of the leader that appended the record; -1 if it is not known.", nullptr},
        {"key", record_key, nullptr, "The key: bytes, None, or what a deserializer made of it.",
         nullptr},
        {"value", record_value, nullptr,
         "The value: bytes, None (a tombstone), or what a deserializer made of it.", nullptr},
        {"headers", record_headers, nullptr, "Pairs of a name and bytes or None, in their order.",
         nullptr},
        {nullptr, nullptr, nullptr, nullptr, nullptr}};
    static PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(record_free)},
                                  {Py_tp_repr, reinterpret_cast<void*>(record_repr)},
                                  {Py_tp_getset, members},
                                  {Py_tp_doc, const_cast<char*>("A record that was consumed.")},
                                  {0, nullptr}};
    static PyType_Spec spec = {"pabal._core.Record", sizeof(Record), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
    PyObject* type = PyType_FromSpec(&spec);
    if (type == nullptr) throw py::error_already_set();
    record_type = reinterpret_cast<PyTypeObject*>(type);
    module.attr("Record") = py::reinterpret_steal<py::object>(type);
    Py_INCREF(type);  // Kept for as long as the process lives: `append_records` uses it.
}

}  // namespace pabal::bindings
