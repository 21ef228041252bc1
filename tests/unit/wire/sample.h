// Random values for every message of the schema. The generator writes one `fill` for each struct,
// which draws from a Sampler; a Sample then makes, encodes, decodes and compares messages of its
// type.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "wire/message.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::wire {

class Sampler {
public:
    explicit Sampler(Prng& random) : random_(random) {}

    // Whether numbers are small and none negative: some codecs take times for what they are.
    static inline bool tame = false;

    bool chance(std::uint64_t numerator, std::uint64_t denominator) {
        return random_.chance(numerator, denominator);
    }
    // How many elements an array shall have.
    std::size_t count() { return random_.below(4); }

    void value(bool& out) { out = chance(1, 2); }
    void value(double& out) {
        out = static_cast<double>(random_.between(-1'000'000, 1'000'000)) / 8;
    }
    void value(std::int8_t& out) { out = static_cast<std::int8_t>(number()); }
    void value(std::int16_t& out) { out = static_cast<std::int16_t>(number()); }
    void value(std::int32_t& out) { out = static_cast<std::int32_t>(number()); }
    void value(std::int64_t& out) { out = number(); }
    void value(std::uint16_t& out) { out = static_cast<std::uint16_t>(number()); }
    void value(std::uint32_t& out) { out = static_cast<std::uint32_t>(number()); }
    void value(ErrorCode& out) {
        out = static_cast<ErrorCode>(random_.between(tame ? 0 : -1, tame ? 100 : 133));
    }
    void value(Uuid& out);
    void value(std::string& out);
    void value(Bytes& out);
    void value(Rope& out);
    template <class Id>
        requires requires { typename Id::rep; }
    void value(Id& out) {
        typename Id::rep inner{};
        value(inner);
        out = Id(inner);
    }
    template <class T>
    void value(std::vector<T>& out) {
        out.resize(count());
        for (T& element : out) value(element);
    }
    template <class T>
    void nullable(std::optional<T>& out, bool null_allowed) {
        if (null_allowed && chance(1, 4))
            out.reset();
        else
            value(out.emplace());
    }

private:
    std::int64_t number();

    Prng& random_;
};

template <class T>
void fill_struct(Sampler& sampler, T& out, int version) {
    fill(sampler, out, version);
}
template <class T>
void fill_nullable_struct(Sampler& sampler, std::optional<T>& out, int version, bool null_allowed) {
    if (null_allowed && sampler.chance(1, 4))
        out.reset();
    else
        fill(sampler, out.emplace(), version);
}
template <class T>
void fill_array(Sampler& sampler, std::vector<T>& out, int version) {
    out.resize(sampler.count());
    for (T& element : out) fill(sampler, element, version);
}
template <class T>
void fill_nullable_array(Sampler& sampler, std::optional<std::vector<T>>& out, int version,
                         bool null_allowed) {
    if (null_allowed && sampler.chance(1, 4))
        out.reset();
    else
        fill_array(sampler, out.emplace(), version);
}

struct Sample {
    std::string name;
    std::string kind;  // request, response, header, record, key, value or data.
    int api_key;
    int min_version;
    int max_version;
    int first_flexible;
    // A random message of this version, encoded.
    Bytes (*encoded)(Prng& random, int version);
    // What went wrong when a random message was encoded, decoded and compared; empty if nothing.
    std::string (*round_trip)(Prng& random, int version);
    // Decodes, and when that goes well, encodes and decodes again: what went wrong, empty if
    // nothing.
    std::string (*settled)(const Bytes& frame, int version);
    // Decodes only.
    Status (*decoded)(const Bytes& frame, int version);
};

// All messages, requests and responses first.
const std::vector<Sample>& samples();

template <class M>
Sample sample_of(const char* name, const char* kind, int api_key) {
    Sample sample{name,    kind,    api_key, M::min_version, M::max_version, M::first_flexible,
                  nullptr, nullptr, nullptr, nullptr};
    sample.encoded = [](Prng& random, int version) {
        M message;
        Sampler sampler(random);
        fill(sampler, message, version);
        Writer writer;
        encode(writer, message, version);
        return *writer.take().flatten();
    };
    sample.round_trip = [](Prng& random, int version) -> std::string {
        M message;
        Sampler sampler(random);
        fill(sampler, message, version);
        Writer writer;
        encode(writer, message, version);
        Reader reader(*writer.take().flatten());
        M again;
        const Status status = decode(reader, again, version);
        if (!status.ok()) return status.error().message;
        if (reader.remaining() > 0) return std::to_string(reader.remaining()) + " bytes are left";
        return again == message ? "" : "another message came back";
    };
    sample.settled = [](const Bytes& frame, int version) -> std::string {
        Reader reader(frame);
        M message;
        if (!decode(reader, message, version).ok()) return "";
        Writer writer;
        encode(writer, message, version);
        const Bytes first = *writer.take().flatten();
        Reader second(first);
        M again;
        const Status status = decode(second, again, version);
        if (!status.ok()) return status.error().message;
        // Bytes, not values: a number that is none (NaN) differs from itself.
        Writer last;
        encode(last, again, version);
        return last.take().flatten()->text() == first.text() ? "" : "another message came back";
    };
    sample.decoded = [](const Bytes& frame, int version) {
        Reader reader(frame);
        M message;
        return decode(reader, message, version);
    };
    return sample;
}

}  // namespace pabal::wire
