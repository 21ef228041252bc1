#include "wire/writer.h"

#include <bit>
#include <cstdio>

#include "base/big_endian.h"
#include "base/ids.h"

namespace pabal::wire {
namespace {

constexpr std::size_t first_buffer_bytes = 512;
constexpr std::size_t copied_below_bytes = 256;  // Smaller slices are copied rather than attached.
constexpr std::size_t max_string_bytes = 32767;

std::size_t put_varint(std::uint8_t* into, std::uint32_t value) {
    std::size_t size = 0;
    while (value >= 0x80) {
        into[size++] = static_cast<std::uint8_t>(value | 0x80);
        value >>= 7;
    }
    into[size++] = static_cast<std::uint8_t>(value);
    return size;
}

std::string_view cut(std::string_view text) {
    if (text.size() <= max_string_bytes) return text;
    std::size_t size = max_string_bytes;
    while (size > 0 && (static_cast<std::uint8_t>(text[size]) & 0xC0) == 0x80) --size;
    return text.substr(0, size);
}

}  // namespace

std::uint8_t* Writer::grow(std::size_t size) {
    if (buffer_.size() - used_ < size) {
        std::size_t capacity = buffer_.size() ? buffer_.size() * 2 : first_buffer_bytes;
        while (capacity - used_ < size) capacity *= 2;
        Buffer larger(capacity);
        if (used_) std::memcpy(larger.data(), buffer_.data(), used_);
        buffer_ = std::move(larger);
    }
    std::uint8_t* at = buffer_.data() + used_;
    used_ += size;
    return at;
}

void Writer::int8(std::int8_t value) {
    *grow(1) = static_cast<std::uint8_t>(value);
}
void Writer::int16(std::int16_t value) {
    store_big_endian(grow(2), value);
}
void Writer::int32(std::int32_t value) {
    store_big_endian(grow(4), value);
}
void Writer::int64(std::int64_t value) {
    store_big_endian(grow(8), value);
}
void Writer::float64(double value) {
    int64(std::bit_cast<std::int64_t>(value));
}
void Writer::uuid(const Uuid& value) {
    std::memcpy(grow(16), value.bytes.data(), 16);
}

void Writer::unsigned_varint(std::uint32_t value) {
    std::uint8_t bytes[5];
    const std::size_t size = put_varint(bytes, value);
    std::memcpy(grow(size), bytes, size);
}

void Writer::raw(ByteView bytes) {
    if (!bytes.empty()) std::memcpy(grow(bytes.size()), bytes.data(), bytes.size());
}

void Writer::length(std::int64_t size, bool short_length) {
    ASSERT(size < INT32_MAX, "a field is smaller than 2 GiB");
    if (flexible_)
        unsigned_varint(static_cast<std::uint32_t>(size + 1));
    else if (short_length)
        int16(static_cast<std::int16_t>(size));
    else
        int32(static_cast<std::int32_t>(size));
}

void Writer::string(std::string_view value) {
    value = cut(value);
    length(static_cast<std::int64_t>(value.size()), true);
    raw(as_bytes(value));
}

void Writer::nullable_string(const std::optional<std::string>& value, bool null_allowed) {
    if (value) {
        string(*value);
        return;
    }
    ASSERT(null_allowed, "a string is not null where the version permits none");
    length(-1, true);
}

void Writer::bytes(const Bytes& value) {
    length(static_cast<std::int64_t>(value.size()), false);
    attach(value, value.size());
}

void Writer::nullable_bytes(const std::optional<Bytes>& value, bool null_allowed) {
    if (value) {
        bytes(*value);
        return;
    }
    ASSERT(null_allowed, "bytes are not null where the version permits none");
    length(-1, false);
}

void Writer::records(const std::optional<Rope>& value, bool null_allowed) {
    if (!value) {
        ASSERT(null_allowed, "records are not null where the version permits none");
        length(-1, false);
        return;
    }
    length(static_cast<std::int64_t>(value->size()), false);
    for (const Rope::Piece& piece : value->pieces()) {
        if (const auto* slice = std::get_if<Bytes>(&piece))
            attach(piece, slice->size());
        else
            attach(piece, std::get<FileRange>(piece).length);
    }
}

void Writer::attach(Rope::Piece piece, std::size_t size) {
    const auto* slice = std::get_if<Bytes>(&piece);
    if (slice && (size < copied_below_bytes || open_tags_ > 0)) {
        raw(*slice);
        return;
    }
    ASSERT(open_tags_ == 0, "a tagged field holds no range of a file");
    attachments_.push_back({used_, std::move(piece)});
    attached_bytes_ += size;
}

void Writer::array_count(std::size_t count) {
    ASSERT(count < INT32_MAX, "an array has fewer than 2^31 elements");
    if (flexible_)
        unsigned_varint(static_cast<std::uint32_t>(count + 1));
    else
        int32(static_cast<std::int32_t>(count));
}

void Writer::null_array(bool allowed) {
    ASSERT(allowed, "an array is not null where the version permits none");
    if (flexible_)
        int8(0);
    else
        int32(-1);
}

namespace {

void write_element(Writer& writer, std::int8_t value) {
    writer.int8(value);
}
void write_element(Writer& writer, std::int16_t value) {
    writer.int16(value);
}
void write_element(Writer& writer, std::int32_t value) {
    writer.int32(value);
}
void write_element(Writer& writer, std::int64_t value) {
    writer.int64(value);
}
void write_element(Writer& writer, const Uuid& value) {
    writer.uuid(value);
}
void write_element(Writer& writer, const std::string& value) {
    writer.string(value);
}
template <class Id>
    requires requires { typename Id::rep; }
void write_element(Writer& writer, const Id& id) {
    write_element(writer, id.value());
}

}  // namespace

template <class T>
void Writer::array(const std::vector<T>& values) {
    array_count(values.size());
    for (const T& value : values) write_element(*this, value);
}

template <class T>
void Writer::nullable_array(const std::optional<std::vector<T>>& values, bool null_allowed) {
    if (values)
        array(*values);
    else
        null_array(null_allowed);
}

#define PABAL_ARRAY_OF(T)                                  \
    template void Writer::array<T>(const std::vector<T>&); \
    template void Writer::nullable_array<T>(const std::optional<std::vector<T>>&, bool);
PABAL_ARRAY_OF(std::int8_t)
PABAL_ARRAY_OF(std::int16_t)
PABAL_ARRAY_OF(std::int32_t)
PABAL_ARRAY_OF(std::int64_t)
PABAL_ARRAY_OF(Uuid)
PABAL_ARRAY_OF(std::string)
PABAL_ARRAY_OF(BrokerId)
PABAL_ARRAY_OF(PartitionIndex)
PABAL_ARRAY_OF(ProducerId)
PABAL_ARRAY_OF(TopicId)
PABAL_ARRAY_OF(DirectoryId)
#undef PABAL_ARRAY_OF

void Writer::begin(const char* message, int version, int min_version, int max_version,
                   int first_flexible) {
    ASSERT(version >= min_version && version <= max_version, message);
    flexible_ = version >= first_flexible;
}

std::size_t Writer::begin_tags() {
    int8(0);
    return used_ - 1;
}

std::size_t Writer::begin_tag(std::size_t tags, std::uint32_t tag) {
    ++buffer_.data()[tags];
    ++open_tags_;
    unsigned_varint(tag);
    int8(0);
    return used_;
}

void Writer::end_tag(std::size_t start) {
    --open_tags_;
    const auto size = static_cast<std::uint32_t>(used_ - start);
    std::uint8_t prefix[5];
    const std::size_t prefix_size = put_varint(prefix, size);
    if (prefix_size > 1) {
        grow(prefix_size - 1);
        std::memmove(buffer_.data() + start + prefix_size - 1, buffer_.data() + start, size);
    }
    std::memcpy(buffer_.data() + start - 1, prefix, prefix_size);
}

void Writer::begin_frame() {
    ASSERT(size() == 0, "a frame's length stands before everything else");
    framed_ = true;
    int32(0);
}

Rope Writer::take() {
    if (framed_) {
        store_big_endian(buffer_.data(), static_cast<std::uint32_t>(size() - 4));
    }
    const std::size_t end = std::exchange(used_, 0);
    const Bytes small(std::move(buffer_));
    Rope rope;
    std::size_t position = 0;
    for (Attachment& attachment : attachments_) {
        rope.append(small.slice(position, attachment.position - position));
        position = attachment.position;
        if (auto* slice = std::get_if<Bytes>(&attachment.piece))
            rope.append(std::move(*slice));
        else
            rope.append(std::move(std::get<FileRange>(attachment.piece)));
    }
    rope.append(small.slice(position, end - position));
    attachments_.clear();
    attached_bytes_ = 0;
    framed_ = false;
    buffer_ = Buffer();
    return rope;
}

void field_lost(const char* owner, const char* field, int version) {
    char reason[160];
    std::snprintf(reason, sizeof reason, "version %d has no place for %s.%s", version, owner,
                  field);
    assertion_failed("the field has its default value", reason, __FILE__, __LINE__);
}

}  // namespace pabal::wire
