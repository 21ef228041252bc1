// The Disk port as one process sees its machine's disk. Owned by the Process; when that dies, every
// call fails and changes nothing, and the files that it opened are worth nothing either.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/disk.h"
#include "sim/clock.h"
#include "sim/disk.h"

namespace pabal::sim {

class DiskPort final : public io::Disk {
public:
    DiskPort(sim::Disk& disk, sim::Clock& clock);
    ~DiskPort() override;

    // From now on nothing has an effect.
    void die() { *alive_ = false; }

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
    std::string boot_id() const override { return "boot-" + std::to_string(disk_.boots()); }
    io::Task<void> run(std::function<void()> work) override;

private:
    // An error if the process is dead, or dies by this very call.
    IoStatus admit_change(const std::string& what, const std::string& path);
    IoStatus admit(const std::string& what, const std::string& path) const;

    sim::Disk& disk_;
    sim::Clock& clock_;
    std::shared_ptr<bool> alive_;
};

}  // namespace pabal::sim
