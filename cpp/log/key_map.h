// The newest offset of each key, as compaction remembers it: a table of bounded size whose slots
// hold a digest of 128 bits and an offset, never the key. The digest is keyed with a secret of the
// cleaning, so that nobody can choose keys that collide; by chance two of them do so less often
// than disks lie. Owned by one cleaning; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"

namespace pabal::log {

// SipHash-2-4 with 128 bits.
struct KeyDigest {
    std::uint64_t low = 0;
    std::uint64_t high = 0;

    bool operator==(const KeyDigest&) const = default;
};
struct DigestSecret {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
};
KeyDigest digest_of(ByteView key, DigestSecret secret);

class KeyMap {
public:
    static constexpr std::size_t slot_bytes = 24;

    // Takes at most `memory_bytes` (half as much again while it grows), and begins small; no more
    // than `load_factor` of its slots are used. Holds at least one key.
    KeyMap(std::size_t memory_bytes, double load_factor, DigestSecret secret);

    bool full() const { return size_ >= capacity_; }
    std::size_t size() const { return size_; }
    // Offsets come in ascending order. The map must not be full, unless the key is in it.
    void put(ByteView key, Offset offset);
    std::optional<Offset> find(ByteView key) const;

private:
    struct Slot {
        KeyDigest digest;
        std::int64_t offset = -1;  // -1: free.
    };
    // Where the digest is, or would be.
    std::size_t place_of(const KeyDigest& digest) const;
    void grow();

    std::vector<Slot> slots_;
    DigestSecret secret_;
    double load_factor_;
    std::size_t most_slots_;
    std::size_t capacity_;  // Keys that the map will ever hold.
    std::size_t size_ = 0;
};

}  // namespace pabal::log
