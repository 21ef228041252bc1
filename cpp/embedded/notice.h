// A descriptor that becomes readable when there is news, so that a Python thread or an event loop
// can sleep on it: no native thread ever calls into Python. Any thread may ring.
#pragma once

#include "base/exported.h"

namespace pabal::embedded {

class PABAL_EXPORTED Notice {
public:
    Notice();
    ~Notice();
    Notice(const Notice&) = delete;
    Notice& operator=(const Notice&) = delete;

    void ring();
    // Takes the news: the descriptor is not readable until the next ring.
    void clear();
    int descriptor() const { return read_; }

private:
    int read_ = -1;
    int write_ = -1;
};

}  // namespace pabal::embedded
