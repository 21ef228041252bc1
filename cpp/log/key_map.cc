#include "log/key_map.h"

#include <algorithm>
#include <bit>

namespace pabal::log {
namespace {

constexpr std::size_t first_slots = 1024;

// SipHash reads and writes little-endian words.
std::uint64_t little_endian(const std::uint8_t* at, std::size_t count) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < count; ++i) word |= std::uint64_t{at[i]} << (8 * i);
    return word;
}

class SipState {
public:
    explicit SipState(DigestSecret secret)
        : v0_(secret.low ^ 0x736f6d6570736575ULL),
          v1_(secret.high ^ 0x646f72616e646f6dULL ^ 0xee),
          v2_(secret.low ^ 0x6c7967656e657261ULL),
          v3_(secret.high ^ 0x7465646279746573ULL) {}

    void absorb(std::uint64_t word) {
        v3_ ^= word;
        rounds(2);
        v0_ ^= word;
    }
    KeyDigest finish() {
        KeyDigest digest;
        v2_ ^= 0xee;
        rounds(4);
        digest.low = v0_ ^ v1_ ^ v2_ ^ v3_;
        v1_ ^= 0xdd;
        rounds(4);
        digest.high = v0_ ^ v1_ ^ v2_ ^ v3_;
        return digest;
    }

private:
    void rounds(int count) {
        for (int i = 0; i < count; ++i) {
            v0_ += v1_;
            v1_ = std::rotl(v1_, 13) ^ v0_;
            v0_ = std::rotl(v0_, 32);
            v2_ += v3_;
            v3_ = std::rotl(v3_, 16) ^ v2_;
            v0_ += v3_;
            v3_ = std::rotl(v3_, 21) ^ v0_;
            v2_ += v1_;
            v1_ = std::rotl(v1_, 17) ^ v2_;
            v2_ = std::rotl(v2_, 32);
        }
    }

    std::uint64_t v0_, v1_, v2_, v3_;
};

}  // namespace

KeyDigest digest_of(ByteView key, DigestSecret secret) {
    constexpr std::size_t word = 8;
    SipState state(secret);
    std::size_t position = 0;
    for (; position + word <= key.size(); position += word)
        state.absorb(little_endian(key.data() + position, word));
    state.absorb(little_endian(key.data() + position, key.size() - position) |
                 std::uint64_t{key.size()} << 56);
    return state.finish();
}

KeyMap::KeyMap(std::size_t memory_bytes, double load_factor, DigestSecret secret)
    : secret_(secret),
      load_factor_(load_factor),
      most_slots_(std::max<std::size_t>(memory_bytes / slot_bytes, 2)),
      capacity_(std::clamp<std::size_t>(
          static_cast<std::size_t>(static_cast<double>(most_slots_) * load_factor), 1,
          most_slots_ - 1)) {
    slots_.resize(std::min(most_slots_, first_slots));
}

void KeyMap::grow() {
    std::vector<Slot> old(std::min(most_slots_, slots_.size() * 2));
    old.swap(slots_);
    for (const Slot& slot : old) {
        if (slot.offset >= 0) slots_[place_of(slot.digest)] = slot;
    }
}

std::size_t KeyMap::place_of(const KeyDigest& digest) const {
    std::size_t place = digest.low % slots_.size();
    while (slots_[place].offset >= 0 && slots_[place].digest != digest)
        place = place + 1 < slots_.size() ? place + 1 : 0;
    return place;
}

void KeyMap::put(ByteView key, Offset offset) {
    const KeyDigest digest = digest_of(key, secret_);
    Slot& slot = slots_[place_of(digest)];
    if (slot.offset < 0) {
        ASSERT(!full(), "a new key fits the map");
        ++size_;
    }
    slot.digest = digest;
    slot.offset = offset.value();
    const auto filled = static_cast<double>(slots_.size()) * load_factor_;
    if (static_cast<double>(size_) >= filled && slots_.size() < most_slots_) grow();
}

std::optional<Offset> KeyMap::find(ByteView key) const {
    const Slot& slot = slots_[place_of(digest_of(key, secret_))];
    if (slot.offset < 0) return std::nullopt;
    return Offset(slot.offset);
}

}  // namespace pabal::log
