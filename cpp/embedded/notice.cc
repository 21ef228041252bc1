#include "embedded/notice.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "base/assert.h"

namespace pabal::embedded {

Notice::Notice() {
#ifdef __linux__
    read_ = write_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ASSERT(read_ >= 0, "there is a descriptor left for a client's notices");
#else
    int ends[2] = {-1, -1};
    const int made = ::pipe(ends);
    ASSERT(made == 0, "there are descriptors left for a client's notices");
    for (const int end : ends) {
        ::fcntl(end, F_SETFL, O_NONBLOCK);
        ::fcntl(end, F_SETFD, FD_CLOEXEC);
    }
    read_ = ends[0];
    write_ = ends[1];
#endif
}

Notice::~Notice() {
    ::close(read_);
    if (write_ != read_) ::close(write_);
}

void Notice::ring() {
    const std::uint64_t one = 1;
    // A full pipe says what is to be said.
    [[maybe_unused]] const auto written = ::write(write_, &one, sizeof one);
}

void Notice::clear() {
    std::uint64_t count = 0;
    while (::read(read_, &count, sizeof count) > 0) {
        if (read_ == write_) break;
    }
}

}  // namespace pabal::embedded
