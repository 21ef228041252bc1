// What a controller machine answers: the records to append to the metadata log, all of them or
// none, and the response for the caller once they are committed. Machines read the image and change
// nothing; replaying the records is what changes it.
#pragma once

#include <vector>

#include "metadata/record.h"

namespace pabal::controller {

// How many records one request may cause, as in Kafka.
inline constexpr std::size_t max_records_per_request = 10'000;

template <class Response>
struct Outcome {
    std::vector<metadata::Record> records;
    Response response;
};

}  // namespace pabal::controller
