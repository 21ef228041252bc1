// Builds what is sent: small values go into one growing buffer, records are attached as they are,
// and `take` hands out all of it as a Rope in order. Only we write, so what cannot be written (null
// where a version permits none, a field that a version lacks) is our own fault and asserted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/rope.h"
#include "base/uuid.h"

namespace pabal::wire {

class Writer {
public:
    Writer() = default;

    void boolean(bool value) { int8(value ? 1 : 0); }
    void int8(std::int8_t value);
    void int16(std::int16_t value);
    void int32(std::int32_t value);
    void int64(std::int64_t value);
    void uint16(std::uint16_t value) { int16(static_cast<std::int16_t>(value)); }
    void uint32(std::uint32_t value) { int32(static_cast<std::int32_t>(value)); }
    void float64(double value);
    void uuid(const Uuid& value);
    void unsigned_varint(std::uint32_t value);
    // As they are, without a length.
    void raw(ByteView bytes);

    // A string beyond 32767 bytes is cut at a character: what a peer sent or a record holds is
    // never that long, so this is a sentence of ours that quotes too much.
    void string(std::string_view value);
    void nullable_string(const std::optional<std::string>& value, bool null_allowed);
    void bytes(const Bytes& value);
    void nullable_bytes(const std::optional<Bytes>& value, bool null_allowed);
    // Attached, not copied, unless they are small.
    void records(const std::optional<Rope>& value, bool null_allowed);

    // Arrays of scalars and ids; instantiated in writer.cc for those that the schema has.
    template <class T>
    void array(const std::vector<T>& values);
    template <class T>
    void nullable_array(const std::optional<std::vector<T>>& values, bool null_allowed);
    void array_count(std::size_t count);
    // Instead of an array's count.
    void null_array(bool allowed);

    // Encoders of messages say here what they are about to write.
    void begin(const char* message, int version, int min_version, int max_version,
               int first_flexible);
    bool flexible() const { return flexible_; }
    void set_flexible(bool flexible) { flexible_ = flexible; }

    // Tagged fields: one `begin_tags`, then for each field in the order of tags `begin_tag`, the
    // value, `end_tag`. Only in flexible versions.
    std::size_t begin_tags();
    std::size_t begin_tag(std::size_t tags, std::uint32_t tag);
    void end_tag(std::size_t start);
    // The end of a struct that has no tagged fields; nothing if the version is not flexible.
    void no_tags() {
        if (flexible_) int8(0);
    }

    // Reserves the four bytes of the frame's length at the very beginning; `take` fills them in.
    void begin_frame();
    std::size_t size() const { return used_ + attached_bytes_; }
    // All that was written. The Writer is empty again.
    Rope take();

private:
    struct Attachment {
        std::size_t position;  // In the buffer.
        Rope::Piece piece;
    };

    // Room for `size` more bytes; they count as written.
    std::uint8_t* grow(std::size_t size);
    void length(std::int64_t size, bool short_length);
    void attach(Rope::Piece piece, std::size_t size);

    Buffer buffer_;
    std::size_t used_ = 0;
    std::vector<Attachment> attachments_;
    std::size_t attached_bytes_ = 0;
    int open_tags_ = 0;  // In a tagged field everything is copied, as its size stands before it.
    bool flexible_ = false;
    bool framed_ = false;
};

// The `field` of the struct `owner` would be lost, as this version has no place for it and it is
// not ignorable.
[[noreturn]] void field_lost(const char* owner, const char* field, int version);

}  // namespace pabal::wire
