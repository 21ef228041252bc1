// The Store port: ordered keys and values, one per broker, for state that a log can rebuild.
// Batches of each durability have a life of their own: after the end of the process all logged ones
// are there, and of the rebuildable ones a prefix in the order of their writing; after a loss of
// power a prefix of the logged ones too, with all synced ones in it. A logged batch may so outlive
// an older rebuildable one: what one applied offset vouches for, removals included, is written with
// one durability, or a flush lies between. Safe from every thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pabal::io {

// Applied as a whole or not at all.
class StoreBatch {
public:
    void put(std::string key, std::string value);
    void remove(std::string key);
    // Removes every key in [first, last).
    void remove_range(std::string first, std::string last);
    bool empty() const { return operations_.empty(); }

    enum class Kind { put, remove, remove_range };
    struct Operation {
        Kind kind;
        std::string key;
        std::string value;  // Of put; the end of remove_range.
    };
    const std::vector<Operation>& operations() const { return operations_; }

private:
    std::vector<Operation> operations_;
};

enum class Durability {
    rebuildable,  // No write-ahead log: a crash may lose it, the log behind it brings it back.
    logged,       // Survives the end of the process, not a loss of power.
    synced,       // Survives a loss of power once the call returned.
};

class Store {
public:
    // Promises nothing about what was not flushed: an orderly end flushes first.
    virtual ~Store() = default;
    virtual IoResult<std::optional<std::string>> get(std::string_view key) = 0;
    // No key opens with a zero byte: those are the store's own.
    virtual IoStatus write(const StoreBatch& batch, Durability durability) = 0;
    // Calls `visit` for each key that starts with `prefix`, in order, until it returns false.
    virtual IoStatus scan(
        std::string_view prefix,
        const std::function<bool(std::string_view key, std::string_view value)>& visit) = 0;
    // Makes everything written so far durable.
    virtual IoStatus flush() = 0;
};

}  // namespace pabal::io
