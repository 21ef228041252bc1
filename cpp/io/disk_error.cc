#include "io/disk_error.h"

#include <cerrno>

namespace pabal::io {

bool may_pass(const IoError& error) {
    switch (error.errno_value) {
        case ENOSPC:
        case EDQUOT:
        case EMFILE:
        case ENFILE:
        case ENOMEM: return true;
        default: return false;
    }
}

bool is_disk_failure(const IoError& error) {
    return error.errno_value != 0 && error.errno_value != ECANCELED && !may_pass(error);
}

}  // namespace pabal::io
