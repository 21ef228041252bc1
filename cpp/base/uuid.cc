#include "base/uuid.h"

#include "base/prng.h"

namespace pabal {
namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::size_t text_length = 22;

}  // namespace

std::string Uuid::text() const {
    std::string out;
    out.reserve(text_length);
    unsigned accumulator = 0;
    int bits = 0;
    for (std::uint8_t byte : bytes) {
        accumulator = (accumulator << 8) | byte;
        bits += 8;
        while (bits >= 6) {
            bits -= 6;
            out.push_back(alphabet[(accumulator >> bits) & 63]);
        }
    }
    out.push_back(alphabet[(accumulator << (6 - bits)) & 63]);
    return out;
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
    if (text.size() != text_length) return std::nullopt;
    Uuid uuid;
    unsigned accumulator = 0;
    int bits = 0;
    std::size_t next = 0;
    for (char character : text) {
        const auto digit = alphabet.find(character);
        if (digit == std::string_view::npos) return std::nullopt;
        accumulator = (accumulator << 6) | static_cast<unsigned>(digit);
        bits += 6;
        if (bits >= 8 && next < uuid.bytes.size()) {
            bits -= 8;
            uuid.bytes[next++] = static_cast<std::uint8_t>(accumulator >> bits);
        }
    }
    return uuid;
}

Uuid Uuid::random(Prng& random) {
    for (;;) {
        Uuid uuid;
        for (std::size_t half = 0; half < 2; ++half) {
            const std::uint64_t value = random.next();
            std::memcpy(uuid.bytes.data() + half * 8, &value, sizeof value);
        }
        uuid.bytes[6] = static_cast<std::uint8_t>((uuid.bytes[6] & 0x0F) | 0x40);
        uuid.bytes[8] = static_cast<std::uint8_t>((uuid.bytes[8] & 0x3F) | 0x80);
        if (uuid.text().front() != '-') return uuid;
    }
}

}  // namespace pabal
