#include "kv/file_system.h"

#include <string>
#include <utility>

namespace pabal::kv {
namespace {

using rocksdb::DirFsyncOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

// The files that RocksDB writes for people. IDENTITY is made as 000000.dbtmp.
bool is_dispensable(const std::string& path) {
    const std::string name = path.substr(path.rfind('/') + 1);
    return name.starts_with("OPTIONS-") || name == "IDENTITY" || name == "000000.dbtmp";
}

class UnsyncedFile final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;
    IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
        return Flush(options, debug);
    }
    IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
        return Flush(options, debug);
    }
    IOStatus RangeSync(std::uint64_t, std::uint64_t, const IOOptions&, IODebugContext*) override {
        return IOStatus::OK();
    }
};

class SyncedDirectory final : public rocksdb::FSDirectoryWrapper {
public:
    SyncedDirectory(std::unique_ptr<rocksdb::FSDirectory>&& directory, bool temporary)
        : FSDirectoryWrapper(std::move(directory)), temporary_(temporary) {}
    IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
        return temporary_ ? IOStatus::OK() : FSDirectoryWrapper::Fsync(options, debug);
    }
    IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                                 const DirFsyncOptions& reason) override {
        const bool dispensable = reason.reason == DirFsyncOptions::kFileRenamed &&
                                 is_dispensable(reason.renamed_new_name);
        if (temporary_ || dispensable) return IOStatus::OK();
        return FSDirectoryWrapper::FsyncWithDirOptions(options, debug, reason);
    }

private:
    const bool temporary_;
};

class FileSystem final : public rocksdb::FileSystemWrapper {
public:
    explicit FileSystem(bool temporary)
        : FileSystemWrapper(rocksdb::FileSystem::Default()), temporary_(temporary) {}
    const char* Name() const override { return "pabal"; }

    IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* result,
                             IODebugContext* debug) override {
        const auto status = FileSystemWrapper::NewWritableFile(path, options, result, debug);
        if (status.ok() && (temporary_ || is_dispensable(path))) {
            *result = std::make_unique<UnsyncedFile>(std::move(*result));
        }
        return status;
    }
    IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                          std::unique_ptr<rocksdb::FSDirectory>* result,
                          IODebugContext* debug) override {
        const auto status = FileSystemWrapper::NewDirectory(path, options, result, debug);
        if (status.ok()) {
            *result = std::make_unique<SyncedDirectory>(std::move(*result), temporary_);
        }
        return status;
    }

private:
    const bool temporary_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> file_system_with_fewer_syncs(bool temporary) {
    return std::make_shared<FileSystem>(temporary);
}

}  // namespace pabal::kv
