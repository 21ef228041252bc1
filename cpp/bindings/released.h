// The interpreter's lock, let go for a scope. Who wants it back while the interpreter ends stands
// still for good, as from Python 3.14 on by itself; older ones end such a thread by unwinding it,
// which destructors do not survive.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

namespace pabal::bindings {

class Released {
public:
    Released() : state_(PyEval_SaveThread()) {}
    ~Released() {
#ifdef __GLIBCXX__
        try {
            PyEval_RestoreThread(state_);
        } catch (abi::__forced_unwind&) {
            for (;;) pause();
        }
#else
        PyEval_RestoreThread(state_);
#endif
    }
    Released(const Released&) = delete;
    Released& operator=(const Released&) = delete;

private:
    PyThreadState* state_;
};

}  // namespace pabal::bindings
