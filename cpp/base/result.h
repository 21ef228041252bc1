// A value or the reason why there is none. Three kinds of failure have three forms: the peer or
// client is wrong or the cluster moves: Result (Kafka's error codes); the disk or the kernel
// failed: IoResult; we are wrong: ASSERT. No exception crosses a function of the core.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/assert.h"
#include "base/error_code.h"

namespace pabal {

// One of Kafka's error codes, and a sentence for the human who reads the response or the log.
struct Error {
    ErrorCode code = ErrorCode::unknown_server_error;
    std::string message;

    bool operator==(const Error&) const = default;
};

// What the disk, the network or the kernel refused.
struct IoError {
    int errno_value = 0;  // As errno.h names it; 0 where the failure has none (bad content).
    std::string message;  // What was tried, on which path or address, and what was answered.

    bool operator==(const IoError&) const = default;
};

template <class T, class E>
class [[nodiscard]] Expected {
public:
    using Value = T;

    Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Expected(E error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    T& value() & {
        ASSERT(ok(), "value of a failed result");
        return *std::get_if<0>(&state_);
    }
    const T& value() const& {
        ASSERT(ok(), "value of a failed result");
        return *std::get_if<0>(&state_);
    }
    T&& value() && {
        ASSERT(ok(), "value of a failed result");
        return std::move(*std::get_if<0>(&state_));
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const E& error() const {
        ASSERT(!ok(), "error of a good result");
        return *std::get_if<1>(&state_);
    }

private:
    std::variant<T, E> state_;
};

// Success without a value.
template <class E>
class [[nodiscard]] Expected<void, E> {
public:
    using Value = void;

    Expected() = default;
    Expected(E error) : error_(std::move(error)) {}

    bool ok() const { return !error_.has_value(); }
    explicit operator bool() const { return ok(); }

    const E& error() const {
        ASSERT(!ok(), "error of a good result");
        return *error_;
    }

private:
    std::optional<E> error_;
};

template <class T>
using Result = Expected<T, Error>;
using Status = Expected<void, Error>;

template <class T>
using IoResult = Expected<T, IoError>;
using IoStatus = Expected<void, IoError>;

}  // namespace pabal

// Leaves the enclosing function with the error of `expression`, if it has one.
#define PABAL_TRY(expression)                                                                  \
    do {                                                                                       \
        if (auto pabal_status = (expression); !pabal_status.ok()) return pabal_status.error(); \
    } while (false)

#define PABAL_CONCAT_(a, b) a##b
#define PABAL_CONCAT(a, b) PABAL_CONCAT_(a, b)
#define PABAL_TRY_ASSIGN_(result, declaration, expression) \
    auto result = (expression);                            \
    if (!result.ok()) return result.error();               \
    declaration = std::move(result).value()

// `declaration = value of expression`, or leaves the enclosing function with its error.
#define PABAL_TRY_ASSIGN(declaration, expression) \
    PABAL_TRY_ASSIGN_(PABAL_CONCAT(pabal_result_, __LINE__), declaration, expression)
