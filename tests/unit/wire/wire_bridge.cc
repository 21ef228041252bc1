// Lets an independent codec look at ours. `wire_bridge emit SEED COUNT` prints COUNT random messages of
// every type and version as `name version hex`; `wire_bridge recode` reads such lines and answers each
// with the hex of what we make of it, or with `error: ` and a sentence.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>

#include "tests/unit/wire/sample.h"

namespace {

using pabal::Buffer;
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

Bytes from_hex(const std::string& text) {
    Buffer buffer(text.size() / 2);
    for (std::size_t i = 0; i < buffer.size(); ++i)
        buffer.data()[i] =
            static_cast<std::uint8_t>(std::strtoul(text.substr(i * 2, 2).c_str(), nullptr, 16));
    return Bytes(std::move(buffer));
}

void emit(std::uint64_t seed, int count) {
    pabal::Prng random(seed);
    for (const auto& sample : pabal::wire::samples())
        for (int version = sample.min_version; version <= sample.max_version; ++version)
            for (int i = 0; i < count; ++i)
                std::printf("%s %d %s\n", sample.name.c_str(), version,
                            hex(sample.encoded(random, version)).c_str());
}

void recode() {
    std::map<std::string, const pabal::wire::Sample*> by_name;
    for (const auto& sample : pabal::wire::samples()) by_name[sample.name] = &sample;
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string name, text;
        int version = 0;
        words >> name >> version >> text;
        const auto found = by_name.find(name);
        if (found == by_name.end()) {
            std::printf("error: no message is called %s\n", name.c_str());
            continue;
        }
        const auto result = found->second->recoded(from_hex(text), version);
        if (result.ok())
            std::printf("%s\n", hex(*result).c_str());
        else
            std::printf("error: %s\n", result.error().message.c_str());
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 4 && std::strcmp(argv[1], "emit") == 0) {
        emit(std::strtoull(argv[2], nullptr, 10), std::atoi(argv[3]));
    } else if (argc == 2 && std::strcmp(argv[1], "recode") == 0) {
        recode();
    } else {
        std::fprintf(stderr, "usage: wire_bridge emit SEED COUNT | wire_bridge recode\n");
        return 2;
    }
    return 0;
}
