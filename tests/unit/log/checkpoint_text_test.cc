// Kafka's small text files: what is read is what was written, and damage is named.
#include "log/checkpoint_text.h"

#include <gtest/gtest.h>

namespace pabal::log {
namespace {

std::string refusal(std::string_view text) {
    const auto lines = checkpoint_lines(text);
    return lines.ok() ? "none" : lines.error().message;
}

TEST(CheckpointText, reads_what_it_wrote) {
    const std::string text = checkpoint_text({"orders 0 17", "orders 1 4"});
    EXPECT_EQ(text, "0\n2\norders 0 17\norders 1 4\n");
    const auto lines = checkpoint_lines(text);
    ASSERT_TRUE(lines.ok());
    const std::vector<std::string_view> expected{"orders 0 17", "orders 1 4"};
    EXPECT_EQ(*lines, expected);
}

TEST(CheckpointText, damage_is_named) {
    EXPECT_EQ(refusal(""), "neither version nor count");
    EXPECT_EQ(refusal("0\n"), "neither version nor count");
    EXPECT_EQ(refusal("1\n0\n"), "line 1: version is not 0");
    EXPECT_EQ(refusal("0\n2\norders 0 17\n"),
              "line 2: the count is not that of the 1 lines that follow");
    EXPECT_EQ(refusal("0\n-1\n"), "line 2: the count is not that of the 0 lines that follow");
}

}  // namespace
}  // namespace pabal::log
