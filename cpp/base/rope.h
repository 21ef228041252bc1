// What is to be sent, without copying it: byte slices and ranges of files, in order. A handler
// builds one, the Network port writes it as one gathered write; ranges of files leave by sendfile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/bytes.h"

namespace pabal {

// An open file as the Disk port hands it out. Opaque here; while a handle lives, the bytes of the
// ranges that name it stay readable, even if the file was removed meanwhile.
class FileHandle {
public:
    virtual ~FileHandle() = default;
    // Reads exactly `into.size()` bytes; false if the file is shorter or the disk failed. Blocks.
    virtual bool read_exactly(std::uint64_t position, MutableByteView into) const = 0;
};

struct FileRange {
    std::shared_ptr<const FileHandle> file;
    std::uint64_t position = 0;
    std::uint32_t length = 0;

    bool operator==(const FileRange&) const = default;
};

class Rope {
public:
    using Piece = std::variant<Bytes, FileRange>;

    Rope() = default;
    Rope(Bytes bytes) { append(std::move(bytes)); }

    void append(Bytes bytes) {
        if (bytes.empty()) return;
        size_ += bytes.size();
        pieces_.emplace_back(std::move(bytes));
    }
    void append(FileRange range) {
        if (range.length == 0) return;
        size_ += range.length;
        pieces_.emplace_back(std::move(range));
    }
    void append(Rope rope) {
        size_ += rope.size_;
        for (auto& piece : rope.pieces_) pieces_.push_back(std::move(piece));
    }

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    const std::vector<Piece>& pieces() const { return pieces_; }

    // All bytes in one piece: a slice if there is only one, else a copy. Nothing if a file range
    // could not be read. Blocks on files; for tests and cold paths.
    std::optional<Bytes> flatten() const;

    bool operator==(const Rope&) const = default;

private:
    std::vector<Piece> pieces_;
    std::size_t size_ = 0;
};

}  // namespace pabal
