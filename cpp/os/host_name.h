// What this machine calls itself.
#pragma once

#include <string>

namespace pabal::os {

// "localhost" if it has no name.
std::string host_name();

}  // namespace pabal::os
