// Which memory is used again, and how much of it is kept.
#include "broker/frame_buffers.h"

#include <gtest/gtest.h>

namespace pabal::broker {
namespace {

constexpr std::size_t mebibyte = 1 << 20;

TEST(FrameBuffers, a_long_frame_takes_the_memory_of_the_one_before_it) {
    FrameBuffers buffers;
    Buffer first = buffers.take(mebibyte);
    const std::uint8_t* memory = first.data();
    buffers.give_back(Bytes(std::move(first)));
    EXPECT_EQ(buffers.spare_bytes(), mebibyte);
    Buffer second = buffers.take(mebibyte - 100);
    EXPECT_EQ(second.data(), memory);
    EXPECT_EQ(buffers.spare_bytes(), 0u);
}

TEST(FrameBuffers, memory_that_somebody_holds_a_slice_of_is_not_used_again) {
    FrameBuffers buffers;
    Bytes whole(buffers.take(mebibyte));
    Bytes slice = whole.slice(5, 10);
    buffers.give_back(std::move(whole));
    EXPECT_EQ(buffers.spare_bytes(), 0u);
    EXPECT_NE(buffers.take(mebibyte).data() + 5, slice.data());
}

TEST(FrameBuffers, a_frame_never_occupies_more_than_twice_its_length) {
    FrameBuffers buffers;
    buffers.give_back(Bytes(buffers.take(mebibyte)));
    for (std::size_t length : {std::size_t{1}, std::size_t{70'000}, std::size_t{200'000}}) {
        Buffer buffer = buffers.take(length);
        EXPECT_GE(buffer.size(), length);
        EXPECT_LE(buffer.size(), 2 * length);
    }
}

TEST(FrameBuffers, what_is_kept_is_bounded) {
    FrameBuffers buffers;
    std::vector<Bytes> taken;
    for (int i = 0; i < 10; ++i) taken.emplace_back(buffers.take(mebibyte));
    taken.emplace_back(buffers.take(100 * mebibyte));
    for (Bytes& whole : taken) {
        buffers.give_back(std::move(whole));
        EXPECT_LE(buffers.spare_bytes(), FrameBuffers::max_spare_bytes);
    }
    EXPECT_EQ(buffers.spare_bytes(), FrameBuffers::max_spare_bytes);
}

}  // namespace
}  // namespace pabal::broker
