// Reads Kafka's wire types from a frame that somebody else sent. Every length and count is checked
// against the bytes that are there before memory is taken, and the memory of all decoded elements
// together is bounded by the size of the frame. Byte fields and records are slices of the frame.
//
// The first failure sticks: it is kept with the path of the field and the position, whatever
// follows reads zeros, and `status` tells. Generated decoders therefore ask once, at their end. The
// frame's owner reads; a Reader belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/rope.h"
#include "base/uuid.h"

namespace pabal::wire {

class Reader {
public:
    explicit Reader(Bytes frame);

    bool ok() const { return !error_; }
    Status status() const;
    // Bytes from the beginning of the frame.
    std::size_t position() const { return static_cast<std::size_t>(at_ - frame_.data()); }
    std::size_t remaining() const { return static_cast<std::size_t>(end_ - at_); }
    // The bytes that have not been read, as a slice.
    Bytes rest() const { return frame_.slice(position(), remaining()); }
    // As `status`, and an error if bytes are left over.
    Status finish() const;

    // `field` names what is read; it must outlive the Reader.
    bool boolean(const char* field);
    std::int8_t int8(const char* field);
    std::int16_t int16(const char* field);
    std::int32_t int32(const char* field);
    std::int64_t int64(const char* field);
    std::uint16_t uint16(const char* field);
    std::uint32_t uint32(const char* field);
    double float64(const char* field);
    Uuid uuid(const char* field);
    std::uint32_t unsigned_varint(const char* field);

    // Malformed UTF-8 becomes U+FFFD, as in Kafka. At most 32767 bytes.
    void string(std::string& out, const char* field);
    void nullable_string(std::optional<std::string>& out, const char* field, bool null_allowed);
    void bytes(Bytes& out, const char* field);
    void nullable_bytes(std::optional<Bytes>& out, const char* field, bool null_allowed);
    void records(std::optional<Rope>& out, const char* field, bool null_allowed);

    // Arrays of scalars and ids; instantiated in reader.cc for those that the schema has.
    template <class T>
    void array(std::vector<T>& out, const char* field);
    template <class T>
    void nullable_array(std::optional<std::vector<T>>& out, const char* field, bool null_allowed);

    // The number of elements of an array whose elements take at least `least_bytes` of the frame
    // and `element_bytes` of memory each; -1 for null.
    std::int64_t array_count(std::size_t least_bytes, std::size_t element_bytes, const char* field,
                             bool null_allowed);

    // What is read now belongs to the array or struct `field`, for the path in an error.
    void enter(const char* field, bool array);
    // The next element begins; false after a failure.
    bool next_element();
    void leave();

    // Decoders of messages say here what they are about to read. False if the version is unknown.
    bool begin(const char* message, int version, int min_version, int max_version,
               int first_flexible);
    // Flexible versions have compact lengths and tagged fields (KIP-482).
    bool flexible() const { return flexible_; }
    void set_flexible(bool flexible) { flexible_ = flexible; }

    // Tagged fields: `tag_count`, then for each of them `begin_tag`, the field or `skip`,
    // `end_tag`. All zero when the version is not flexible.
    std::uint32_t tag_count();
    struct Tag {
        std::uint32_t number = 0;
        const std::uint8_t* outer_end = nullptr;
    };
    Tag begin_tag();
    // The rest of this tagged field: one that a newer peer knows and we do not.
    void skip() { at_ = end_; }
    void end_tag(const Tag& tag);
    // The end of a struct that has no tagged fields that we know.
    void skip_tags();

    // Records that the frame is wrong at this field. Only the first call counts.
    void fail(const char* field, std::string what, ErrorCode code = ErrorCode::invalid_request);

private:
    struct Scope {
        const char* name;
        std::int64_t index;  // -1 in a struct.
    };
    static constexpr std::size_t max_depth = 8;

    const std::uint8_t* take(std::size_t size, const char* field);
    // The length of a string, byte string or records; -1 for null.
    std::int64_t length(bool compact, bool short_length, bool null_allowed, const char* field);
    void read_text(std::string& out, std::size_t size, const char* field);

    Bytes frame_;
    const std::uint8_t* at_;
    const std::uint8_t* end_;
    bool flexible_ = false;
    std::size_t memory_left_;  // That decoded elements may still take.
    const char* message_ = "";
    int version_ = 0;
    Scope scopes_[max_depth];
    std::size_t depth_ = 0;
    std::optional<Error> error_;
};

}  // namespace pabal::wire
