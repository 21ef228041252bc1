// The one source of chance. A stream is a pure function of its seed, the same on every compiler and
// library, so that one seed replays one run. Each concern takes a stream of its own (`fork`): one
// draw more here must not reshuffle anything there.
#pragma once

#include <cstdint>
#include <string_view>

namespace pabal {

// xoshiro256** by Blackman and Vigna, seeded through splitmix64.
class Prng {
public:
    explicit Prng(std::uint64_t seed);

    std::uint64_t next();
    // Uniform in [0, bound); `bound` is at least 1.
    std::uint64_t below(std::uint64_t bound);
    // Uniform in [low, high].
    std::int64_t between(std::int64_t low, std::int64_t high);
    // True in `numerator` of `denominator` draws.
    bool chance(std::uint64_t numerator, std::uint64_t denominator);
    // A stream of its own for the concern named `salt`; does not advance this one.
    Prng fork(std::string_view salt) const;

private:
    std::uint64_t seed_;
    std::uint64_t state_[4];
};

}  // namespace pabal
