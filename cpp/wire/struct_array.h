// Arrays of structs, for the generated codecs alone: each of them has a static `read` and `write`
// for its structs, which are found here by their argument types.
#pragma once

#include <optional>
#include <vector>

#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::wire {

template <class T>
void read_elements(Reader& reader, std::vector<T>& out, std::int64_t count, int version,
                   const char* field) {
    if (count == 0) return;
    out = std::vector<T>(static_cast<std::size_t>(count));
    reader.enter(field, true);
    for (T& element : out) {
        read(reader, element, version);
        if (!reader.next_element()) break;
    }
    reader.leave();
}

template <class T>
void read_array(Reader& reader, std::vector<T>& out, int version, std::size_t least_bytes,
                const char* field) {
    read_elements(reader, out, reader.array_count(least_bytes, sizeof(T), field, false), version,
                  field);
}

template <class T>
void read_nullable_array(Reader& reader, std::optional<std::vector<T>>& out, int version,
                         std::size_t least_bytes, const char* field, bool null_allowed) {
    const std::int64_t count = reader.array_count(least_bytes, sizeof(T), field, null_allowed);
    if (count >= 0)
        read_elements(reader, out.emplace(), count, version, field);
    else
        out.reset();
}

template <class T>
void read_struct(Reader& reader, T& out, int version, const char* field) {
    reader.enter(field, false);
    read(reader, out, version);
    reader.leave();
}

// A nullable struct stands behind a byte: -1 for null, else 1.
template <class T>
void read_nullable_struct(Reader& reader, std::optional<T>& out, int version, const char* field) {
    if (reader.int8(field) < 0)
        out.reset();
    else
        // emplace() alone: clang takes a nested struct with initialisers for not constructible.
        read_struct(reader, out.emplace(T{}), version, field);
}

// In a tagged field null is 0 where it is -1 elsewhere.
template <class T>
void read_tagged_struct(Reader& reader, std::optional<T>& out, int version, const char* field) {
    if (reader.int8(field) <= 0)
        out.reset();
    else
        read_struct(reader, out.emplace(T{}), version, field);
}

template <class T>
void write_array(Writer& writer, const std::vector<T>& values, int version) {
    writer.array_count(values.size());
    for (const T& value : values) write(writer, value, version);
}

template <class T>
void write_nullable_array(Writer& writer, const std::optional<std::vector<T>>& values, int version,
                          bool null_allowed) {
    if (values)
        write_array(writer, *values, version);
    else
        writer.null_array(null_allowed);
}

template <class T>
void write_nullable_struct(Writer& writer, const std::optional<T>& value, int version) {
    writer.int8(value ? 1 : -1);
    if (value) write(writer, *value, version);
}

template <class T>
void write_tagged_struct(Writer& writer, const std::optional<T>& value, int version) {
    writer.int8(value ? 1 : 0);
    if (value) write(writer, *value, version);
}

}  // namespace pabal::wire
