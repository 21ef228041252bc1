#include "os/system_error.h"

#include <cctype>
#include <cerrno>
#include <system_error>

namespace pabal::os {

std::string describe(int errno_value) {
    std::string text = std::generic_category().message(errno_value);
    if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1]))) {
        text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    }
    return text;
}

IoError system_error(int errno_value, std::string what) {
    what += ": ";
    what += describe(errno_value);
    return IoError{errno_value, std::move(what)};
}

IoError killed_error(std::string_view what) {
    return IoError{ECANCELED, std::string(what) + ": the broker was killed"};
}

}  // namespace pabal::os
