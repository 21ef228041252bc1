// A disk in memory for the tests of the log: small, copyable as a whole (the moment of a crash),
// and full or broken on request. The simulated disk is the one that loses unsynced writes.
#pragma once

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "io/disk.h"

namespace pabal::log {

class MemoryDisk final : public io::Disk {
public:
    struct Content {
        std::vector<std::uint8_t> bytes;
    };

    std::map<std::string, std::shared_ptr<Content>> files;
    std::set<std::string> directories;
    std::int64_t free_space = INT64_MAX;  // Writes beyond it are cut short and fail.
    bool truncate_fails = false;
    mutable std::uint64_t reads = 0;
    mutable std::uint64_t log_reads = 0;  // Of `.log` files.
    std::uint64_t opens = 0;
    std::uint64_t syncs = 0;

    // What a killed process leaves.
    MemoryDisk() = default;
    MemoryDisk(const MemoryDisk& other) : directories(other.directories) {
        for (const auto& [path, content] : other.files)
            files[path] = std::make_shared<Content>(*content);
    }

    MemoryDisk& operator=(const MemoryDisk& other) {
        MemoryDisk copy(other);
        files.swap(copy.files);
        directories.swap(copy.directories);
        return *this;
    }

    std::vector<std::uint8_t>& bytes(const std::string& path) { return files.at(path)->bytes; }
    bool has(const std::string& path) const { return files.contains(path); }

    IoResult<std::shared_ptr<io::File>> open(std::string path, io::OpenMode mode) override {
        ++opens;
        auto found = files.find(path);
        if (found == files.end()) {
            if (mode == io::OpenMode::read_only || mode == io::OpenMode::read_write)
                return IoError{ENOENT, "open " + path + ": no such file"};
            found = files.emplace(path, std::make_shared<Content>()).first;
        } else if (mode == io::OpenMode::create_new) {
            return IoError{EEXIST, "open " + path + ": it exists"};
        }
        return std::shared_ptr<io::File>(std::make_shared<MemoryFile>(this, path, found->second));
    }
    IoResult<bool> exists(const std::string& path) override {
        return files.contains(path) || directories.contains(path);
    }
    IoResult<std::vector<io::DirectoryEntry>> list(const std::string& path) override {
        if (!directories.contains(path)) return IoError{ENOENT, "list " + path};
        std::vector<io::DirectoryEntry> entries;
        for (const auto& [name, content] : files) {
            if (name.starts_with(path + "/"))
                entries.push_back({name.substr(path.size() + 1), false, content->bytes.size()});
        }
        return entries;
    }
    IoStatus make_directories(const std::string& path) override {
        directories.insert(path);
        return {};
    }
    IoStatus rename(const std::string& from, const std::string& to) override {
        auto found = files.find(from);
        if (found == files.end()) return IoError{ENOENT, "rename " + from};
        auto content = found->second;
        files.erase(found);
        files[to] = content;
        return {};
    }
    IoStatus remove(const std::string& path) override {
        files.erase(path);
        return {};
    }
    IoStatus sync_directory(const std::string&) override { return {}; }
    IoResult<std::unique_ptr<io::DirectoryLock>> lock(const std::string&) override {
        return std::unique_ptr<io::DirectoryLock>();
    }
    IoResult<std::uint64_t> free_bytes(const std::string&) override { return std::uint64_t{0}; }
    IoResult<std::uint64_t> total_bytes(const std::string&) override { return std::uint64_t{0}; }
    io::Task<void> run(std::function<void()> work) override {
        work();
        co_return;
    }

private:
    class MemoryFile final : public io::File {
    public:
        MemoryFile(MemoryDisk* disk, std::string path, std::shared_ptr<Content> content)
            : disk_(disk), path_(std::move(path)), content_(std::move(content)) {}

        IoStatus write(std::uint64_t position, std::span<const ByteView> pieces) override {
            auto& bytes = content_->bytes;
            for (const ByteView piece : pieces) {
                const auto fits = std::min<std::int64_t>(static_cast<std::int64_t>(piece.size()),
                                                         disk_->free_space);
                disk_->free_space -= fits;
                const auto count = static_cast<std::size_t>(fits);
                if (bytes.size() < position + count) bytes.resize(position + count);
                std::copy_n(piece.begin(), count, bytes.begin() + static_cast<long>(position));
                position += count;
                if (count < piece.size()) return IoError{ENOSPC, "write " + path_ + ": disk full"};
            }
            return {};
        }
        IoResult<std::size_t> read(std::uint64_t position, MutableByteView into) const override {
            ++disk_->reads;
            if (path_.ends_with(".log")) ++disk_->log_reads;
            const auto& bytes = content_->bytes;
            if (position >= bytes.size()) return std::size_t{0};
            const auto count = std::min<std::size_t>(into.size(), bytes.size() - position);
            std::copy_n(bytes.begin() + static_cast<long>(position), count, into.begin());
            return count;
        }
        IoStatus sync() override {
            ++disk_->syncs;
            return {};
        }
        IoStatus truncate(std::uint64_t size) override {
            if (disk_->truncate_fails) return IoError{EIO, "truncate " + path_};
            content_->bytes.resize(size);
            return {};
        }
        IoResult<std::uint64_t> size() const override { return content_->bytes.size(); }
        const std::string& path() const override { return path_; }

    private:
        MemoryDisk* disk_;
        std::string path_;
        std::shared_ptr<Content> content_;
    };
};

}  // namespace pabal::log
