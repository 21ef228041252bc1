// Immutable, reference-counted byte slices. A frame is read into one Buffer; everything that is
// decoded from it (records above all) stays a slice of it, so that no record is copied between the
// socket and the file. The count is atomic: a slice may be handed to the disk pool or another
// shard.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/assert.h"

namespace pabal {

// A view of bytes that somebody else owns.
using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;

inline ByteView as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Memory of fixed size, uninitialised at first, writable until it is shared as Bytes.
class Buffer {
public:
    Buffer() = default;
    // `size` must have been checked against a bound by the caller.
    explicit Buffer(std::size_t size)
        : block_(new (::operator new(sizeof(Block) + size)) Block), size_(size) {}
    Buffer(Buffer&& other) noexcept
        : block_(std::exchange(other.block_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(block_, other.block_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Buffer() { release(block_); }

    std::uint8_t* data() { return block_ ? block_->content() : nullptr; }
    std::size_t size() const { return size_; }
    MutableByteView view() { return {data(), size_}; }

private:
    friend class Bytes;

    struct Block {
        std::atomic<std::uint32_t> references{1};
        std::uint8_t* content() { return reinterpret_cast<std::uint8_t*>(this + 1); }
    };
    static void release(Block* block) {
        if (block && block->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            block->~Block();
            ::operator delete(block);
        }
    }

    Block* block_ = nullptr;
    std::size_t size_ = 0;
};

class Bytes {
public:
    Bytes() = default;
    // Takes the buffer over; from now on nobody may write to it.
    Bytes(Buffer&& buffer)
        : block_(std::exchange(buffer.block_, nullptr)),
          data_(block_ ? block_->content() : nullptr),
          size_(std::exchange(buffer.size_, 0)) {}
    static Bytes copy_of(ByteView view) {
        Buffer buffer(view.size());
        if (!view.empty()) std::memcpy(buffer.data(), view.data(), view.size());
        return Bytes(std::move(buffer));
    }
    static Bytes copy_of(std::string_view text) { return copy_of(as_bytes(text)); }

    Bytes(const Bytes& other) noexcept
        : block_(other.block_), data_(other.data_), size_(other.size_) {
        if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
    }
    Bytes(Bytes&& other) noexcept
        : block_(std::exchange(other.block_, nullptr)),
          data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    Bytes& operator=(Bytes other) noexcept {
        std::swap(block_, other.block_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Bytes() { Buffer::release(block_); }

    const std::uint8_t* data() const { return data_; }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    const std::uint8_t* begin() const { return data_; }
    const std::uint8_t* end() const { return data_ + size_; }
    std::uint8_t operator[](std::size_t index) const { return data_[index]; }

    operator ByteView() const { return {data_, size_}; }
    ByteView view() const { return {data_, size_}; }
    std::string_view text() const { return as_text(view()); }

    // The memory again as a Buffer, to be used once more; an empty one if somebody else holds a
    // part of it. These bytes must be all of the buffer that they were made of.
    Buffer reclaim() && {
        Buffer buffer;
        if (block_ && block_->references.load(std::memory_order_acquire) == 1) {
            ASSERT(data_ == block_->content(), "only whole buffers are reclaimed");
            buffer.block_ = std::exchange(block_, nullptr);
            buffer.size_ = size_;
        }
        *this = Bytes();
        return buffer;
    }

    // The same memory, fewer bytes.
    Bytes slice(std::size_t position, std::size_t length) const {
        ASSERT(position <= size_ && length <= size_ - position, "a slice lies within its bytes");
        Bytes part = *this;
        part.data_ += position;
        part.size_ = length;
        return part;
    }
    Bytes slice(std::size_t position) const {
        ASSERT(position <= size_, "a slice lies within its bytes");
        return slice(position, size_ - position);
    }

    friend bool operator==(const Bytes& a, const Bytes& b) {
        return a.size_ == b.size_ && (a.size_ == 0 || std::memcmp(a.data_, b.data_, a.size_) == 0);
    }

private:
    Buffer::Block* block_ = nullptr;
    const std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace pabal
