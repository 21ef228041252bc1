// Failures of the kernel as IoError: what was tried, on what, and what was answered.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace pabal::os {

// "cannot write to /data/a: no space left on device"; `what` is the part before the colon.
IoError system_error(int errno_value, std::string what);

// The answer of the system in lower case: "no space left on device".
std::string describe(int errno_value);

// What a node whose ports were cut is told.
IoError killed_error(std::string_view what);

}  // namespace pabal::os
