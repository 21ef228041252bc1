// Bytes as any peer could send them: no decoder reads beyond its frame or takes unbounded memory,
// and what one accepts can be encoded and decoded again. The first byte chooses between a whole
// request, header and all, and one message, whose number and version follow.
#include <cstdint>
#include <cstring>
#include <map>

#include "base/assert.h"
#include "tests/unit/wire/sample.h"
#include "wire/header.h"

namespace pabal::wire {
namespace {

void decode_request(const Bytes& frame) {
    static const auto requests = [] {
        std::map<int, const Sample*> by_key;
        for (const Sample& sample : samples())
            if (sample.kind == "request") by_key[sample.api_key] = &sample;
        return by_key;
    }();
    Reader reader(frame);
    RequestHeader header;
    if (!decode_request_header(reader, header).ok()) return;
    const Sample& sample = *requests.at(header.request_api_key);
    const std::string problem = sample.settled(reader.rest(), header.request_api_version);
    ASSERT(problem.empty(), "a request that was decoded settles");
}

void decode_message(std::uint16_t number, std::uint8_t version, const Bytes& frame) {
    const Sample& sample = samples()[number % samples().size()];
    const int versions = sample.max_version - sample.min_version + 1;
    const std::string problem = sample.settled(frame, sample.min_version + version % versions);
    ASSERT(problem.empty(), "a message that was decoded settles");
}

}  // namespace
}  // namespace pabal::wire

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pabal;
    if (size < 4) return 0;
    const ByteView bytes(data, size);
    if (data[0] & 1) {
        wire::decode_request(Bytes::copy_of(bytes.subspan(1)));
    } else {
        const auto number = static_cast<std::uint16_t>(data[1] << 8 | data[2]);
        wire::decode_message(number, data[3], Bytes::copy_of(bytes.subspan(4)));
    }
    return 0;
}
