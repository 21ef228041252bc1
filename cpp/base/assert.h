// Assertions that are always on. They state what only a fault of ours can break; bad input is never
// asserted but answered (see result.h).
#pragma once

namespace pabal {

// Prints the condition, the invariant or reason, and where; then aborts.
[[noreturn]] void assertion_failed(const char* condition, const char* reason, const char* file,
                                   int line) noexcept;

}  // namespace pabal

// `reason` is the id of an invariant of docs/INVARIANTS.md, or a short sentence.
#define ASSERT(condition, reason)                                                \
    do {                                                                         \
        if (!(condition)) [[unlikely]]                                           \
            ::pabal::assertion_failed(#condition, (reason), __FILE__, __LINE__); \
    } while (false)
