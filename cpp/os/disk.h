// The Disk port on a file system. Owned by a node's ports; its files may outlive it. Everything but
// `run` may be called from any thread.
#pragma once

#include <memory>
#include <string>

#include "io/disk.h"
#include "os/open_files.h"

namespace pabal::os {

class Machine;
class Power;
class Shard;

class File final : public io::File {
public:
    File(std::shared_ptr<Machine> machine, std::shared_ptr<const Power> power, std::string path,
         int open_flags);

    IoStatus write(std::uint64_t position, std::span<const ByteView> pieces) override;
    IoResult<std::size_t> read(std::uint64_t position, MutableByteView into) const override;
    IoStatus sync() override;
    IoStatus truncate(std::uint64_t size) override;
    IoResult<std::uint64_t> size() const override;
    const std::string& path() const override { return file_.path(); }

    // For the Network port: a descriptor that stays open as long as the pin and this file live.
    IoResult<NamedFile::Pin> pin() const { return file_.pin(); }

private:
    IoStatus writable(const char* verb) const;

    std::shared_ptr<Machine> machine_;
    std::shared_ptr<const Power> power_;
    mutable NamedFile file_;
};

class Disk final : public io::Disk {
public:
    Disk(std::shared_ptr<Machine> machine, std::shared_ptr<const Power> power, Shard* shard)
        : machine_(std::move(machine)), power_(std::move(power)), shard_(shard) {}

    IoResult<std::shared_ptr<io::File>> open(std::string path, io::OpenMode mode) override;
    IoResult<bool> exists(const std::string& path) override;
    IoResult<std::vector<io::DirectoryEntry>> list(const std::string& path) override;
    IoStatus make_directories(const std::string& path) override;
    IoStatus rename(const std::string& from, const std::string& to) override;
    IoStatus remove(const std::string& path) override;
    IoStatus sync_directory(const std::string& path) override;
    IoStatus sync_file_system(const std::string& path) override;
    IoResult<std::unique_ptr<io::DirectoryLock>> lock(const std::string& path) override;
    IoResult<std::uint64_t> free_bytes(const std::string& path) override;
    IoResult<std::uint64_t> total_bytes(const std::string& path) override;
    std::string boot_id() const override;
    io::Task<void> run(std::function<void()> work) override;

private:
    std::shared_ptr<Machine> machine_;
    std::shared_ptr<const Power> power_;
    Shard* shard_;
};

}  // namespace pabal::os
