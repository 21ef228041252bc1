#include "tests/unit/wire/sample.h"

namespace pabal::wire {

std::int64_t Sampler::number() {
    if (tame) return random_.between(0, 120);
    switch (random_.below(6)) {
        case 0: return 0;
        case 1: return -1;
        case 2: return chance(1, 2) ? INT64_MAX : INT64_MIN;
        case 3: return random_.between(0, 1000);
        default: return static_cast<std::int64_t>(random_.next());
    }
}

void Sampler::value(Uuid& out) {
    for (std::uint8_t& byte : out.bytes) byte = static_cast<std::uint8_t>(random_.below(256));
}

void Sampler::value(std::string& out) {
    static constexpr std::string_view letters[] = {"a", "Z", "7", "-", ".", "ä", "말", "🐎"};
    // Beyond 127 bytes a compact length takes two.
    const std::size_t length = chance(1, 10) ? random_.below(300) : random_.below(12);
    out.clear();
    for (std::size_t i = 0; i < length; ++i) out += letters[random_.below(std::size(letters))];
}

void Sampler::value(Bytes& out) {
    const std::size_t length = chance(1, 10) ? random_.below(600) : random_.below(20);
    Buffer buffer(length);
    for (std::uint8_t& byte : buffer.view()) byte = static_cast<std::uint8_t>(random_.below(256));
    out = Bytes(std::move(buffer));
}

void Sampler::value(Rope& out) {
    Bytes bytes;
    value(bytes);
    out = Rope(std::move(bytes));
}

}  // namespace pabal::wire
