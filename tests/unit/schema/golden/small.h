// Generated from cpp/schema/messages/7_small.api; edit that.
#pragma once

#include "wire/message.h"

namespace pabal::wire {

// A message with a little of everything.
struct SmallRequest {
    static constexpr ApiKey api_key{7};
    static constexpr int min_version = 1;
    static constexpr int max_version = 3;
    static constexpr int first_flexible = 3;

    struct Part {
        PartitionIndex index{0};
        Offset offset{-1};

        bool operator==(const Part&) const = default;
    };

    struct Limits {
        std::int8_t most = 5;

        bool operator==(const Limits&) const = default;
    };

    TopicId topic_id;
    std::optional<std::string> name;  // Null when asked by id
    std::optional<std::vector<Part>> parts;
    std::optional<std::string> note;
    Limits limits;

    bool operator==(const SmallRequest&) const = default;
};
void encode(Writer& writer, const SmallRequest& message, int version);
// Into a message as it is when made.
[[nodiscard]] Status decode(Reader& reader, SmallRequest& message, int version);

// A message with a little of everything.
struct SmallResponse {
    static constexpr ApiKey api_key{7};
    static constexpr int min_version = 1;
    static constexpr int max_version = 3;
    static constexpr int first_flexible = 3;

    struct Limits {
        std::int8_t most = 5;

        bool operator==(const Limits&) const = default;
    };

    ErrorCode error_code = ErrorCode::none;
    std::optional<Rope> records;
    std::vector<Limits> limits;

    bool operator==(const SmallResponse&) const = default;
};
void encode(Writer& writer, const SmallResponse& message, int version);
// Into a message as it is when made.
[[nodiscard]] Status decode(Reader& reader, SmallResponse& message, int version);

}  // namespace pabal::wire
