// Which process this is, told without a system call: after a fork the child's count differs from
// the one that an object of the parent wrote down.
#pragma once

namespace pabal::bindings {

unsigned fork_count();

}  // namespace pabal::bindings
