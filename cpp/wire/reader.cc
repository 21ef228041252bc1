#include "wire/reader.h"

#include <bit>

#include "base/big_endian.h"
#include "base/ids.h"
#include "wire/utf8.h"

namespace pabal::wire {
namespace {

// A frame of n bytes may decode into at most `memory_factor` * n + `memory_floor` bytes of array
// elements: several times what honest requests need, and a bound for the others.
constexpr std::size_t memory_factor = 16;
constexpr std::size_t memory_floor = 1 << 20;

constexpr std::size_t max_string_bytes = 32767;

}  // namespace

Reader::Reader(Bytes frame)
    : frame_(std::move(frame)),
      at_(frame_.data()),
      end_(frame_.data() + frame_.size()),
      memory_left_(frame_.size() * memory_factor + memory_floor) {}

Status Reader::status() const {
    if (error_) return *error_;
    return {};
}

Status Reader::finish() const {
    if (error_) return *error_;
    if (at_ != end_)
        return Error{ErrorCode::invalid_request,
                     std::string(message_) + " version " + std::to_string(version_) +
                         " ends at byte " + std::to_string(position()) + ", but " +
                         std::to_string(remaining()) + " more bytes follow"};
    return {};
}

void Reader::fail(const char* field, std::string what, ErrorCode code) {
    if (error_) return;
    std::string text(message_);
    if (*message_) text += " version " + std::to_string(version_) + ": ";
    for (std::size_t i = 0; i < depth_; ++i) {
        text += scopes_[i].name;
        if (scopes_[i].index >= 0) text += "[" + std::to_string(scopes_[i].index) + "]";
        text += ".";
    }
    text += field;
    text += " at byte " + std::to_string(position()) + ": ";
    text += what;
    error_ = Error{code, std::move(text)};
    at_ = end_;
}

const std::uint8_t* Reader::take(std::size_t size, const char* field) {
    if (remaining() < size) [[unlikely]] {
        fail(field, std::to_string(size) + " bytes are needed, but " + std::to_string(remaining()) +
                        " are left");
        return nullptr;
    }
    const std::uint8_t* bytes = at_;
    at_ += size;
    return bytes;
}

bool Reader::boolean(const char* field) {
    return int8(field) != 0;
}

std::int8_t Reader::int8(const char* field) {
    const std::uint8_t* bytes = take(1, field);
    return bytes ? static_cast<std::int8_t>(*bytes) : std::int8_t{0};
}
std::int16_t Reader::int16(const char* field) {
    const std::uint8_t* bytes = take(2, field);
    return bytes ? load_big_endian<std::int16_t>(bytes) : std::int16_t{0};
}
std::int32_t Reader::int32(const char* field) {
    const std::uint8_t* bytes = take(4, field);
    return bytes ? load_big_endian<std::int32_t>(bytes) : 0;
}
std::int64_t Reader::int64(const char* field) {
    const std::uint8_t* bytes = take(8, field);
    return bytes ? load_big_endian<std::int64_t>(bytes) : 0;
}
std::uint16_t Reader::uint16(const char* field) {
    return static_cast<std::uint16_t>(int16(field));
}
std::uint32_t Reader::uint32(const char* field) {
    return static_cast<std::uint32_t>(int32(field));
}
double Reader::float64(const char* field) {
    return std::bit_cast<double>(int64(field));
}

Uuid Reader::uuid(const char* field) {
    Uuid value;
    if (const std::uint8_t* bytes = take(16, field)) std::memcpy(value.bytes.data(), bytes, 16);
    return value;
}

std::uint32_t Reader::unsigned_varint(const char* field) {
    std::uint32_t value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        const std::uint8_t* byte = take(1, field);
        if (!byte) return 0;
        value |= static_cast<std::uint32_t>(*byte & 0x7F) << shift;
        if (!(*byte & 0x80)) return value;
    }
    fail(field, "a variable-length number goes on after five bytes");
    return 0;
}

std::int64_t Reader::length(bool compact, bool short_length, bool null_allowed, const char* field) {
    const std::int64_t size = compact        ? static_cast<std::int64_t>(unsigned_varint(field)) - 1
                              : short_length ? int16(field)
                                             : int32(field);
    if (error_) return 0;
    if (size >= 0) {
        if (static_cast<std::uint64_t>(size) > remaining()) {
            fail(field, std::to_string(size) + " bytes are announced, but " +
                            std::to_string(remaining()) + " are left");
            return 0;
        }
        return size;
    }
    if (size < -1) {
        fail(field, "the length is " + std::to_string(size));
        return 0;
    }
    if (!null_allowed) {
        fail(field, "is null, which this version does not permit");
        return 0;
    }
    return -1;
}

void Reader::read_text(std::string& out, std::size_t size, const char* field) {
    if (size > max_string_bytes) {
        fail(field, "a string of " + std::to_string(size) + " bytes; 32767 is the most");
        return;
    }
    const std::string_view text(reinterpret_cast<const char*>(at_), size);
    if (is_utf8(text)) {
        out.assign(text);
    } else {
        out = repaired_utf8(text);
        if (out.size() > max_string_bytes) {
            fail(field, "is no UTF-8, and too long to be repaired");
            return;
        }
    }
    at_ += size;
}

void Reader::string(std::string& out, const char* field) {
    const std::int64_t size = length(flexible_, true, false, field);
    if (size > 0) read_text(out, static_cast<std::size_t>(size), field);
}

void Reader::nullable_string(std::optional<std::string>& out, const char* field,
                             bool null_allowed) {
    const std::int64_t size = length(flexible_, true, null_allowed, field);
    if (size < 0) {
        out.reset();
        return;
    }
    read_text(out.emplace(), static_cast<std::size_t>(size), field);
}

void Reader::bytes(Bytes& out, const char* field) {
    const std::int64_t size = length(flexible_, false, false, field);
    out = frame_.slice(position(), static_cast<std::size_t>(size));
    at_ += size;
}

void Reader::nullable_bytes(std::optional<Bytes>& out, const char* field, bool null_allowed) {
    const std::int64_t size = length(flexible_, false, null_allowed, field);
    if (size < 0) {
        out.reset();
        return;
    }
    out = frame_.slice(position(), static_cast<std::size_t>(size));
    at_ += size;
}

void Reader::records(std::optional<Rope>& out, const char* field, bool null_allowed) {
    const std::int64_t size = length(flexible_, false, null_allowed, field);
    if (size < 0) {
        out.reset();
        return;
    }
    out.emplace(frame_.slice(position(), static_cast<std::size_t>(size)));
    at_ += size;
}

std::int64_t Reader::array_count(std::size_t least_bytes, std::size_t element_bytes,
                                 const char* field, bool null_allowed) {
    const std::int64_t count =
        flexible_ ? static_cast<std::int64_t>(unsigned_varint(field)) - 1 : int32(field);
    if (error_) return 0;
    if (count < 0) {
        if (count == -1 && null_allowed) return -1;
        fail(field, count == -1 ? std::string("is null, which this version does not permit")
                                : "the number of elements is " + std::to_string(count));
        return 0;
    }
    const std::size_t elements = static_cast<std::size_t>(count);
    if (elements > remaining() / least_bytes) {
        fail(field, std::to_string(count) + " elements are announced, but " +
                        std::to_string(remaining()) + " bytes are left");
        return 0;
    }
    if (elements * element_bytes > memory_left_) {
        fail(field, std::to_string(count) + " elements would take more memory than a frame of " +
                        std::to_string(frame_.size()) + " bytes may");
        return 0;
    }
    memory_left_ -= elements * element_bytes;
    return count;
}

namespace {

template <class T>
struct Element;
template <>
struct Element<std::int8_t> {
    static constexpr std::size_t least_bytes = 1;
    static void read(Reader& reader, std::int8_t& out, const char* field) {
        out = reader.int8(field);
    }
};
template <>
struct Element<std::int16_t> {
    static constexpr std::size_t least_bytes = 2;
    static void read(Reader& reader, std::int16_t& out, const char* field) {
        out = reader.int16(field);
    }
};
template <>
struct Element<std::int32_t> {
    static constexpr std::size_t least_bytes = 4;
    static void read(Reader& reader, std::int32_t& out, const char* field) {
        out = reader.int32(field);
    }
};
template <>
struct Element<std::int64_t> {
    static constexpr std::size_t least_bytes = 8;
    static void read(Reader& reader, std::int64_t& out, const char* field) {
        out = reader.int64(field);
    }
};
template <>
struct Element<Uuid> {
    static constexpr std::size_t least_bytes = 16;
    static void read(Reader& reader, Uuid& out, const char* field) { out = reader.uuid(field); }
};
template <>
struct Element<std::string> {
    static constexpr std::size_t least_bytes = 1;
    static void read(Reader& reader, std::string& out, const char* field) {
        reader.string(out, field);
    }
};
template <class Id>
    requires requires { typename Id::rep; }
struct Element<Id> {
    using Rep = Element<typename Id::rep>;
    static constexpr std::size_t least_bytes = Rep::least_bytes;
    static void read(Reader& reader, Id& out, const char* field) {
        typename Id::rep value{};
        Rep::read(reader, value, field);
        out = Id(value);
    }
};

template <class T>
void read_elements(Reader& reader, std::vector<T>& out, std::int64_t count, const char* field) {
    out = std::vector<T>(static_cast<std::size_t>(count));
    for (T& element : out) {
        Element<T>::read(reader, element, field);
        if (!reader.ok()) break;
    }
}

}  // namespace

template <class T>
void Reader::array(std::vector<T>& out, const char* field) {
    const std::int64_t count = array_count(Element<T>::least_bytes, sizeof(T), field, false);
    read_elements(*this, out, count, field);
}

template <class T>
void Reader::nullable_array(std::optional<std::vector<T>>& out, const char* field,
                            bool null_allowed) {
    const std::int64_t count = array_count(Element<T>::least_bytes, sizeof(T), field, null_allowed);
    if (count < 0) {
        out.reset();
        return;
    }
    read_elements(*this, out.emplace(), count, field);
}

#define PABAL_ARRAY_OF(T)                                         \
    template void Reader::array<T>(std::vector<T>&, const char*); \
    template void Reader::nullable_array<T>(std::optional<std::vector<T>>&, const char*, bool);
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

void Reader::enter(const char* field, bool array) {
    ASSERT(depth_ < max_depth, "the schema nests less deeply than a path has places");
    scopes_[depth_++] = {field, array ? 0 : -1};
}

bool Reader::next_element() {
    ++scopes_[depth_ - 1].index;
    return !error_;
}

void Reader::leave() {
    --depth_;
}

bool Reader::begin(const char* message, int version, int min_version, int max_version,
                   int first_flexible) {
    message_ = message;
    version_ = version;
    flexible_ = version >= first_flexible;
    if (version >= min_version && version <= max_version) return !error_;
    fail("the version",
         "is not one of " + std::to_string(min_version) + " to " + std::to_string(max_version),
         ErrorCode::unsupported_version);
    return false;
}

std::uint32_t Reader::tag_count() {
    if (!flexible_) return 0;
    const std::uint32_t count = unsigned_varint("tagged fields");
    if (count > remaining() / 2) {
        fail("tagged fields", std::to_string(count) + " are announced, but " +
                                  std::to_string(remaining()) + " bytes are left");
        return 0;
    }
    return count;
}

Reader::Tag Reader::begin_tag() {
    Tag tag{unsigned_varint("tag"), end_};
    const std::uint32_t size = unsigned_varint("size of a tagged field");
    if (size > remaining()) {
        fail("size of a tagged field", std::to_string(size) + " bytes are announced, but " +
                                           std::to_string(remaining()) + " are left");
        return tag;
    }
    end_ = at_ + size;
    return tag;
}

void Reader::end_tag(const Tag& tag) {
    if (at_ != end_)
        fail("tagged field", "tag " + std::to_string(tag.number) + " holds " +
                                 std::to_string(remaining()) + " bytes more than its value");
    end_ = tag.outer_end;
    if (error_) at_ = end_;
}

void Reader::skip_tags() {
    for (std::uint32_t count = tag_count(); count > 0 && ok(); --count) {
        const Tag tag = begin_tag();
        skip();
        end_tag(tag);
    }
}

}  // namespace pabal::wire
