#include "base/prng.h"

#include "base/assert.h"

namespace pabal {
namespace {

std::uint64_t splitmix64(std::uint64_t& state) {
    std::uint64_t z = (state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

std::uint64_t rotate_left(std::uint64_t value, int count) {
    return (value << count) | (value >> (64 - count));
}

}  // namespace

Prng::Prng(std::uint64_t seed) : seed_(seed) {
    for (auto& word : state_) word = splitmix64(seed);
}

std::uint64_t Prng::next() {
    const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotate_left(state_[3], 45);
    return result;
}

std::uint64_t Prng::below(std::uint64_t bound) {
    ASSERT(bound > 0, "a bound of at least one");
    if ((bound & (bound - 1)) == 0) return next() & (bound - 1);
    std::uint64_t value = next();
    // Draws above the largest multiple of `bound` would favour small values: draw again. Few come
    // near enough to be worth the division that tells.
    while (value > UINT64_MAX - bound && value >= UINT64_MAX - UINT64_MAX % bound) value = next();
    return value % bound;
}

std::int64_t Prng::between(std::int64_t low, std::int64_t high) {
    ASSERT(low <= high, "an ordered range");
    const auto width = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
    if (width == UINT64_MAX) return static_cast<std::int64_t>(next());
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + below(width + 1));
}

bool Prng::chance(std::uint64_t numerator, std::uint64_t denominator) {
    return below(denominator) < numerator;
}

Prng Prng::fork(std::string_view salt) const {
    // FNV-1a of the salt, mixed with the seed.
    std::uint64_t hash = 0xCBF29CE484222325ull;
    for (char character : salt) {
        hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001B3ull;
    }
    return Prng(hash ^ rotate_left(seed_, 17));
}

}  // namespace pabal
