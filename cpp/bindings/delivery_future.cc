#include "bindings/delivery_future.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

#include "bindings/released.h"
#include "bindings/waiting.h"
#include "embedded/producer.h"

namespace py = pybind11;

namespace pabal::bindings {
namespace {

using client::Delivery;
using client::RecordAccumulator;

constexpr Duration between_signals = Duration::milliseconds(50);

struct Future {
    PyObject_HEAD std::shared_ptr<Delivery> delivery;
    std::int64_t timestamp;
    std::uint32_t index;
};

PyTypeObject* future_type = nullptr;
PyTypeObject* metadata_type = nullptr;

Future* as_future(PyObject* object) {
    return reinterpret_cast<Future*>(object);
}

struct Callback {
    py::object future;
    py::object action;
};

// Callbacks of all producers, by the delivery that they wait for. Touched by Python threads only,
// which may run side by side where there is no interpreter lock.
struct Callbacks {
    std::mutex mutex;
    std::unordered_map<const Delivery*, std::vector<Callback>> waiting;
    std::unordered_map<const RecordAccumulator*, py::object> hooks;
};
Callbacks& callbacks() {
    static auto* all = new Callbacks;  // Outlives the interpreter's end.
    return *all;
}

// The interpreter may end this thread inside of the callback; see released.h.
PyObject* result_of(const Callback& callback) {
#ifdef __GLIBCXX__
    try {
        return PyObject_CallOneArg(callback.action.ptr(), callback.future.ptr());
    } catch (abi::__forced_unwind&) {
        for (;;) pause();
    }
#else
    return PyObject_CallOneArg(callback.action.ptr(), callback.future.ptr());
#endif
}

void call(const Callback& callback) {
    PyObject* result = result_of(callback);
    if (result == nullptr) {
        PyErr_WriteUnraisable(callback.action.ptr());
    } else {
        Py_DECREF(result);
    }
}

py::object metadata_of(const Future& future) {
    const Delivery& delivery = *future.delivery;
    const std::int64_t offset =
        delivery.base_offset < 0 ? -1 : delivery.base_offset + std::int64_t{future.index};
    const std::int64_t timestamp = delivery.append_time.milliseconds >= 0
                                       ? delivery.append_time.milliseconds
                                       : future.timestamp;
    auto made = py::reinterpret_steal<py::object>(PyStructSequence_New(metadata_type));
    if (!made) throw py::error_already_set();
    PyObject* fields[] = {
        PyUnicode_FromStringAndSize(delivery.topic->data(),
                                    static_cast<Py_ssize_t>(delivery.topic->size())),
        PyLong_FromLong(delivery.partition.value()), PyLong_FromLongLong(offset),
        PyLong_FromLongLong(timestamp)};
    for (Py_ssize_t index = 0; index < 4; ++index) {
        PyStructSequence_SetItem(made.ptr(), index, fields[index]);
    }
    if (PyErr_Occurred()) throw py::error_already_set();
    return made;
}

Instant deadline_of(PyObject* timeout) {
    if (timeout == nullptr || timeout == Py_None) return Instant::never();
    const double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) throw py::error_already_set();
    return embedded::Producer::now() + duration(seconds);
}

// The end of the record's batch. TimeoutError if it does not come in time.
void await(Future* self, PyObject* timeout) {
    const Delivery* delivery = self->delivery.get();
    if (delivery->done.load(std::memory_order_acquire)) return;
    const Instant deadline = deadline_of(timeout);
    RecordAccumulator& accumulator = *delivery->accumulator;
    auto lock = accumulator.lock();
    accumulator.hurry(lock, delivery);
    const bool ended = wait_until(accumulator, lock, deadline,
                                  [&] { return delivery->done.load(std::memory_order_acquire); });
    lock.unlock();
    if (ended) return;
    PyErr_Format(PyExc_TimeoutError, "no acknowledgement of the record to %s-%d in time",
                 delivery->topic->c_str(), static_cast<int>(delivery->partition.value()));
    throw py::error_already_set();
}

PyObject* timeout_argument(PyObject* const* args, Py_ssize_t count, PyObject* names,
                           const char* function) {
    const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    if (count + named > 1 ||
        (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout"))) {
        PyErr_Format(PyExc_TypeError, "%s() takes one argument, timeout", function);
        throw py::error_already_set();
    }
    return count + named == 1 ? args[0] : nullptr;
}

template <class Body>
PyObject* guarded(Body body) {
    try {
        return body();
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

PyObject* future_result(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    return guarded([&] {
        await(as_future(self), timeout_argument(args, count, names, "result"));
        const Delivery& delivery = *as_future(self)->delivery;
        if (delivery.code != ErrorCode::none) raise(Error{delivery.code, delivery.message});
        return metadata_of(*as_future(self)).release().ptr();
    });
}

PyObject* future_exception(PyObject* self, PyObject* const* args, Py_ssize_t count,
                           PyObject* names) {
    return guarded([&]() -> PyObject* {
        await(as_future(self), timeout_argument(args, count, names, "exception"));
        const Delivery& delivery = *as_future(self)->delivery;
        if (delivery.code == ErrorCode::none) Py_RETURN_NONE;
        try {
            raise(Error{delivery.code, delivery.message});
        } catch (py::error_already_set& error) {
            return py::object(error.value()).release().ptr();
        }
    });
}

PyObject* future_done(PyObject* self, PyObject*) {
    return PyBool_FromLong(as_future(self)->delivery->done.load(std::memory_order_acquire));
}

PyObject* future_add_done_callback(PyObject* self, PyObject* action) {
    return guarded([&]() -> PyObject* {
        if (!PyCallable_Check(action)) {
            PyErr_Format(PyExc_TypeError, "a callback is callable, which %.100s is not",
                         Py_TYPE(action)->tp_name);
            return nullptr;
        }
        Callback callback{py::reinterpret_borrow<py::object>(self),
                          py::reinterpret_borrow<py::object>(action)};
        Delivery* delivery = as_future(self)->delivery.get();
        RecordAccumulator& accumulator = *delivery->accumulator;
        py::object hook;
        bool ended = false;
        {
            const std::lock_guard guard(callbacks().mutex);
            const auto lock = accumulator.lock();
            ended = delivery->done.load(std::memory_order_acquire);
            if (!ended) {
                callbacks().waiting[delivery].push_back(callback);
                delivery->watched = true;
                const auto found = callbacks().hooks.find(&accumulator);
                if (found != callbacks().hooks.end()) {
                    hook = std::move(found->second);
                    callbacks().hooks.erase(found);
                }
            }
        }
        if (ended) call(callback);
        if (hook) hook();
        Py_RETURN_NONE;
    });
}

PyObject* future_repr(PyObject* self) {
    const Delivery& delivery = *as_future(self)->delivery;
    const char* state = "under way";
    if (delivery.done.load(std::memory_order_acquire)) {
        state = delivery.code == ErrorCode::none ? "delivered" : "failed";
    }
    return PyUnicode_FromFormat("<pabal.DeliveryFuture %s-%d %s>", delivery.topic->c_str(),
                                static_cast<int>(delivery.partition.value()), state);
}

void future_free(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    as_future(self)->delivery.~shared_ptr();
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject* future_topic(PyObject* self, void*) {
    const std::string& topic = *as_future(self)->delivery->topic;
    return PyUnicode_FromStringAndSize(topic.data(), static_cast<Py_ssize_t>(topic.size()));
}

PyObject* future_partition(PyObject* self, void*) {
    return PyLong_FromLong(as_future(self)->delivery->partition.value());
}

template <class Function>
PyCFunction erased(Function function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace

bool wait_until(RecordAccumulator& accumulator, RecordAccumulator::Lock& lock, Instant deadline,
                const std::function<bool()>& ready) {
    while (!ready()) {
        const Instant now = embedded::Producer::now();
        if (now >= deadline) return false;
        const std::uint64_t seen = accumulator.changes(lock);
        lock.unlock();
        {
            const Released released;
            accumulator.wait(seen, std::min(between_signals, deadline - now));
        }
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        lock.lock();
    }
    return true;
}

PyObject* make_future(const std::shared_ptr<Delivery>& delivery, std::uint32_t index,
                      std::int64_t timestamp) {
    PyObject* made = future_type->tp_alloc(future_type, 0);
    if (made == nullptr) return nullptr;
    new (&as_future(made)->delivery) std::shared_ptr<Delivery>(delivery);
    as_future(made)->index = index;
    as_future(made)->timestamp = timestamp;
    return made;
}

void set_callback_hook(const RecordAccumulator* accumulator, py::object hook) {
    const std::lock_guard guard(callbacks().mutex);
    callbacks().hooks[accumulator] = std::move(hook);
}

void forget_callback_hook(const RecordAccumulator* accumulator) {
    py::object hook;
    const std::lock_guard guard(callbacks().mutex);
    const auto found = callbacks().hooks.find(accumulator);
    if (found == callbacks().hooks.end()) return;
    hook = std::move(found->second);
    callbacks().hooks.erase(found);
}

void run_callbacks(RecordAccumulator& accumulator) {
    std::vector<std::shared_ptr<Delivery>> ended;
    {
        const auto lock = accumulator.lock();
        ended = accumulator.take_told(lock);
    }
    for (const auto& delivery : ended) {
        std::vector<Callback> ready;
        {
            const std::lock_guard guard(callbacks().mutex);
            const auto found = callbacks().waiting.find(delivery.get());
            if (found == callbacks().waiting.end()) continue;
            ready = std::move(found->second);
            callbacks().waiting.erase(found);
        }
        for (const Callback& callback : ready) call(callback);
    }
}

void bind_delivery_future(py::module_& module) {
    static PyStructSequence_Field fields[] = {
        {"topic", "The topic's name."},
        {"partition", "The partition's number."},
        {"offset", "Where the record stands; -1 if the broker did not say (acks=0)."},
        {"timestamp", "Milliseconds since 1970, as stored."},
        {nullptr, nullptr}};
    static PyStructSequence_Desc description = {
        "pabal._core.RecordMetadata", "Where a record that was delivered stands.", fields, 4};
    metadata_type = PyStructSequence_NewType(&description);
    if (metadata_type == nullptr) throw py::error_already_set();
    module.attr("RecordMetadata") = py::handle(reinterpret_cast<PyObject*>(metadata_type));

    static PyMethodDef methods[] = {
        {"result", erased(future_result), METH_FASTCALL | METH_KEYWORDS,
         "result($self, timeout=None)\n--\n\nWait for the delivery; where the record stands, or "
         "what "
         "became of it is raised."},
        {"exception", erased(future_exception), METH_FASTCALL | METH_KEYWORDS,
         "exception($self, timeout=None)\n--\n\nWait for the delivery; its error, or None."},
        {"done", future_done, METH_NOARGS,
         "done($self)\n--\n\nWhether it is known what became of it."},
        {"add_done_callback", future_add_done_callback, METH_O,
         "add_done_callback($self, action, /)\n--\n\nCall action(future) once it is known what "
         "became of "
         "it; at once if it is known."},
        {nullptr, nullptr, 0, nullptr}};
    static PyGetSetDef members[] = {
        {"topic", future_topic, nullptr, "The topic's name.", nullptr},
        {"partition", future_partition, nullptr, "The partition's number.", nullptr},
        {nullptr, nullptr, nullptr, nullptr, nullptr}};
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, reinterpret_cast<void*>(future_free)},
        {Py_tp_repr, reinterpret_cast<void*>(future_repr)},
        {Py_tp_methods, methods},
        {Py_tp_getset, members},
        {Py_tp_doc, const_cast<char*>("What becomes of one record that was sent.")},
        {0, nullptr}};
    static PyType_Spec spec = {"pabal._core.DeliveryFuture", sizeof(Future), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
    PyObject* type = PyType_FromSpec(&spec);
    if (type == nullptr) throw py::error_already_set();
    future_type = reinterpret_cast<PyTypeObject*>(type);
    module.attr("DeliveryFuture") = py::reinterpret_steal<py::object>(type);
    Py_INCREF(type);  // Kept for as long as the process lives: `make_future` uses it.
}

}  // namespace pabal::bindings
