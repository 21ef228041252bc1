// What a refusal of the disk means for the log directory that met it.
#pragma once

#include "base/result.h"

namespace pabal::io {

// It ends when somebody makes room: no space, no quota, no descriptors, no memory.
bool may_pass(const IoError& error);
// The disk itself refused, and nothing but a human helps: the directory goes offline. Not so for
// files whose content is wrong (errno 0), since the other files of the directory may be sound, nor
// for calls of a process that was killed (ECANCELED).
bool is_disk_failure(const IoError& error);

}  // namespace pabal::io
