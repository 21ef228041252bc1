#include "kv/rocks_store.h"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>
#include <rocksdb/status.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "kv/shared_memory.h"

namespace pabal::kv {
namespace {

using namespace std::string_literals;

// Keys that open with a zero byte are the store's own.
const std::string format_key = "\0format"s;

rocksdb::Slice slice(std::string_view text) {
    return {text.data(), text.size()};
}

IoError store_error(const rocksdb::Status& status, std::string what) {
    what += ": ";
    if (status.IsNoSpace()) return IoError{ENOSPC, what + "no space left on device"};
    if (status.IsCorruption() || status.IsNotSupported() || status.IsInvalidArgument()) {
        return IoError{0,
                       what + "it is damaged or not a store of ours (" + status.ToString() + ")"};
    }
    if (status.IsIOError() && status.ToString().find("lock") != std::string::npos) {
        return IoError{EAGAIN, what + "another broker uses it (" + status.ToString() + ")"};
    }
    return IoError{EIO, what + status.ToString()};
}

class RocksStore final : public io::Store {
public:
    RocksStore(std::string directory, std::unique_ptr<rocksdb::DB> database)
        : directory_(std::move(directory)), database_(std::move(database)) {}

    IoResult<std::optional<std::string>> get(std::string_view key) override {
        std::string value;
        const auto status = database_->Get(rocksdb::ReadOptions(), slice(key), &value);
        if (status.IsNotFound()) return std::optional<std::string>();
        if (!status.ok()) return failure(status, "read from");
        return std::optional<std::string>(std::move(value));
    }

    IoStatus write(const io::StoreBatch& batch, io::Durability durability) override {
        for (const auto& operation : batch.operations()) {
            ASSERT(operation.key.empty() || operation.key[0] != '\0',
                   "keys that open with a zero byte are the store's own");
        }
        return write_any(batch, durability);
    }

    IoStatus write_any(const io::StoreBatch& batch, io::Durability durability) {
        rocksdb::WriteBatch operations;
        for (const auto& operation : batch.operations()) {
            switch (operation.kind) {
                case io::StoreBatch::Kind::put:
                    operations.Put(slice(operation.key), slice(operation.value));
                    break;
                case io::StoreBatch::Kind::remove: operations.Delete(slice(operation.key)); break;
                case io::StoreBatch::Kind::remove_range:
                    if (operation.key >= operation.value) break;  // Empty, which RocksDB refuses.
                    operations.DeleteRange(slice(operation.key), slice(operation.value));
                    break;
            }
        }
        rocksdb::WriteOptions options;
        options.disableWAL = durability == io::Durability::rebuildable;
        options.sync = durability == io::Durability::synced;
        if (options.disableWAL) unlogged_.store(true, std::memory_order_release);
        const auto status = database_->Write(options, &operations);
        if (!status.ok()) return failure(status, "write to");
        return {};
    }

    IoStatus scan(std::string_view prefix,
                  const std::function<bool(std::string_view, std::string_view)>& visit) override {
        rocksdb::ReadOptions options;
        options.fill_cache = false;
        options.verify_checksums = true;
        // The prefix's end, if it has one, spares the iterator a look at what follows.
        std::string end(prefix);
        while (!end.empty() && end.back() == '\xff') end.pop_back();
        if (!end.empty()) end.back() = static_cast<char>(end.back() + 1);
        const rocksdb::Slice upper_bound = slice(end);
        if (!end.empty()) options.iterate_upper_bound = &upper_bound;
        const std::unique_ptr<rocksdb::Iterator> cursor(database_->NewIterator(options));
        for (cursor->Seek(slice(prefix)); cursor->Valid(); cursor->Next()) {
            const std::string_view key(cursor->key().data(), cursor->key().size());
            if (!key.empty() && key[0] == '\0') continue;
            if (!visit(key, {cursor->value().data(), cursor->value().size()})) return {};
        }
        if (!cursor->status().ok()) return failure(cursor->status(), "read from");
        return {};
    }

    IoStatus flush() override {
        // Cleared first: what is written meanwhile needs another flush.
        if (unlogged_.exchange(false, std::memory_order_acq_rel)) {
            rocksdb::FlushOptions options;
            options.allow_write_stall = true;
            const auto status = database_->Flush(options);
            if (!status.ok()) {
                unlogged_.store(true, std::memory_order_release);
                return failure(status, "flush");
            }
            return {};
        }
        const auto status = database_->SyncWAL();
        if (!status.ok()) return failure(status, "sync");
        return {};
    }

private:
    IoError failure(const rocksdb::Status& status, const char* verb) const {
        return store_error(status, std::string("cannot ") + verb + " the store " + directory_);
    }

    const std::string directory_;
    std::atomic<bool> unlogged_{false};  // Has something been written that no log holds?
    std::unique_ptr<rocksdb::DB> database_;
};

// Whose database is this, and do we know its format? A fresh one becomes ours.
IoStatus check_format(RocksStore& store, const std::string& directory) {
    PABAL_TRY_ASSIGN(const auto found, store.get(format_key));
    if (!found) {
        bool empty = true;
        PABAL_TRY(store.scan("", [&empty](std::string_view, std::string_view) {
            empty = false;
            return false;
        }));
        if (!empty) {
            return IoError{0, "cannot open the store " + directory +
                                  ": it has content but no format, so it is not a store of ours"};
        }
        io::StoreBatch batch;
        batch.put(format_key, std::to_string(store_format));
        return store.write_any(batch, io::Durability::logged);
    }
    int version = 0;
    for (const char digit : *found) {
        if (digit < '0' || digit > '9' || version > 1'000'000) {
            return IoError{0, "cannot open the store " + directory + ": its format is unreadable"};
        }
        version = version * 10 + (digit - '0');
    }
    if (version > store_format) {
        return IoError{0, "cannot open the store " + directory + ": it has format " +
                              std::to_string(version) + ", this version of pabal knows up to " +
                              std::to_string(store_format) + "; use the newer version"};
    }
    return {};
}

IoResult<std::unique_ptr<io::Store>> open_with(const rocksdb::Options& options,
                                               const std::string& directory) {
    rocksdb::DB* opened = nullptr;
    const auto status = rocksdb::DB::Open(options, directory, &opened);
    std::unique_ptr<rocksdb::DB> database(opened);
    if (!status.ok()) return store_error(status, "cannot open the store " + directory);
    auto store = std::make_unique<RocksStore>(directory, std::move(database));
    PABAL_TRY(check_format(*store, directory));
    return std::unique_ptr<io::Store>(std::move(store));
}

}  // namespace

IoResult<std::unique_ptr<io::Store>> open_store(const std::string& directory) {
    return open_with(shared_options(false), directory);
}

IoResult<std::unique_ptr<io::Store>> open_temporary_store(const std::string& directory) {
    return open_with(shared_options(true), directory);
}

IoStatus destroy_store(const std::string& directory) {
    const auto status = rocksdb::DestroyDB(directory, shared_options(false));
    if (!status.ok()) return store_error(status, "cannot remove the store " + directory);
    return {};
}

}  // namespace pabal::kv
