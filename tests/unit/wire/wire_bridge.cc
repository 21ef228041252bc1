// Lets an independent codec look at ours. `wire_bridge emit SEED COUNT [tame]` prints COUNT random
// messages of every type and version as `name kind version hex`, tame ones with small numbers.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/unit/wire/sample.h"

namespace {

using pabal::Bytes;

std::string hex(const Bytes& bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const std::uint8_t byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

void emit(std::uint64_t seed, int count) {
    pabal::Prng random(seed);
    for (const auto& sample : pabal::wire::samples())
        for (int version = sample.min_version; version <= sample.max_version; ++version)
            for (int i = 0; i < count; ++i)
                std::printf("%s %s %d %s\n", sample.name.c_str(), sample.kind.c_str(), version,
                            hex(sample.encoded(random, version)).c_str());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4 || std::strcmp(argv[1], "emit") != 0) {
        std::fprintf(stderr, "usage: wire_bridge emit SEED COUNT [tame]\n");
        return 2;
    }
    pabal::wire::Sampler::tame = argc > 4 && std::strcmp(argv[4], "tame") == 0;
    emit(std::strtoull(argv[2], nullptr, 10), std::atoi(argv[3]));
    return 0;
}
