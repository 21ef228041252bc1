// A regular expression over topic names, as members of consumer groups subscribe with (KIP-848).
// RE2: matching takes linear time, whatever the expression; its memory is bounded. Google's syntax,
// which is that of Kafka's RE2/J.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pabal::group {

class TopicPattern {
public:
    // INVALID_REGULAR_EXPRESSION says what is wrong with it.
    static Result<TopicPattern> parse(const std::string& expression);
    TopicPattern(TopicPattern&&) noexcept;
    ~TopicPattern();

    // The whole name.
    bool matches(std::string_view topic) const;

private:
    struct Compiled;
    explicit TopicPattern(std::unique_ptr<Compiled> compiled);
    std::unique_ptr<Compiled> compiled_;
};

}  // namespace pabal::group
