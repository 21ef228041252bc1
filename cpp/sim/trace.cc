#include "sim/trace.h"

#include <cstring>

namespace pabal::sim {
namespace {

std::uint64_t stir(std::uint64_t hash, std::uint64_t word) {
    hash ^= word;
    hash *= 0x9E3779B97F4A7C15ull;
    return hash ^ (hash >> 29);
}

}  // namespace

std::uint64_t fingerprint(ByteView bytes) {
    std::uint64_t hash = 0xCBF29CE484222325ull ^ bytes.size();
    std::size_t position = 0;
    for (; position + 8 <= bytes.size(); position += 8) {
        std::uint64_t word;
        std::memcpy(&word, bytes.data() + position, 8);
        hash = stir(hash, word);
    }
    if (position == bytes.size()) return hash;
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + position, bytes.size() - position);
    return stir(hash, word);
}

void Trace::mix(std::uint64_t word) {
    hash_ = stir(hash_, word);
}

void Trace::turn(Instant when, std::uint64_t lane) {
    ++event_count_;
    mix(static_cast<std::uint64_t>(when.to_nanoseconds()));
    mix(lane);
}

void Trace::event(Instant when, std::string_view what, std::string_view where,
                  std::initializer_list<std::uint64_t> numbers, std::uint64_t part) {
    ++event_count_;
    mix(static_cast<std::uint64_t>(when.to_nanoseconds()));
    mix(fingerprint(as_bytes(what)));
    mix(fingerprint(as_bytes(where)));
    mix(part);
    for (const auto number : numbers) mix(number);
    if (!sink_) return;
    std::string line(what);
    for (const auto number : numbers) line += ' ' + std::to_string(number);
    std::string place(where);
    if (part != 0) place += '#' + std::to_string(part);
    remark(when, place, line);
}

void Trace::remark(Instant when, std::string_view where, std::string_view text) {
    if (!sink_) return;
    std::string micros = std::to_string(when.to_nanoseconds() / 1000);
    if (micros.size() < 10) micros.insert(0, 10 - micros.size(), ' ');
    sink_(micros + "us " + std::string(where) + " " + std::string(text));
}

}  // namespace pabal::sim
