#include "group/consumer/topic_pattern.h"

#include <re2/re2.h>

namespace pabal::group {
namespace {

constexpr std::int64_t memory_bytes = 1 << 20;

RE2::Options options() {
    RE2::Options made;
    made.set_log_errors(false);
    made.set_max_mem(memory_bytes);
    return made;
}

}  // namespace

struct TopicPattern::Compiled {
    explicit Compiled(const std::string& expression) : pattern(expression, options()) {}
    RE2 pattern;
};

TopicPattern::TopicPattern(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
TopicPattern::TopicPattern(TopicPattern&&) noexcept = default;
TopicPattern::~TopicPattern() = default;

Result<TopicPattern> TopicPattern::parse(const std::string& expression) {
    auto compiled = std::make_unique<Compiled>(expression);
    if (!compiled->pattern.ok()) {
        return Error{ErrorCode::invalid_regular_expression,
                     "SubscribedTopicRegex `" + expression +
                         "` is not a valid regular expression: " + compiled->pattern.error() + "."};
    }
    return TopicPattern(std::move(compiled));
}

bool TopicPattern::matches(std::string_view topic) const {
    return RE2::FullMatch(re2::StringPiece(topic.data(), topic.size()), compiled_->pattern);
}

}  // namespace pabal::group
