// The Store port on RocksDB: one database with one column family per directory. All stores of a
// process share RocksDB's threads, block cache and write-buffer budget. Safe from every thread;
// calls may block (open and flush long: for the disk pool).
//
// What survives: memtables hold both kinds of batches and reach the disk in order, the write-ahead
// log holds only the logged ones. So after a kill every logged batch is there, and of the
// rebuildable ones those up to some moment; a loss of power may also cut the logged ones, at their
// last sync. Destruction is a kill: what is to survive is flushed first.
#pragma once

#include <memory>
#include <string>

#include "io/store.h"

namespace pabal::kv {

// The version of the layout of the database as a whole, under the key `0x00 "format"`.
constexpr int store_format = 1;

// Opens the store in `directory`, makes it if there is none. The error says what is wrong where: a
// store in use, damaged (errno 0: the caller decides whether a log brings its content back), or of
// a newer format.
IoResult<std::unique_ptr<io::Store>> open_store(const std::string& directory);

// The same for a directory that goes when its user does: nothing is ever synced, so that a loss of
// power loses all, and opening waits for no disk.
IoResult<std::unique_ptr<io::Store>> open_temporary_store(const std::string& directory);

// Removes the store in `directory`, which is not open. Whatever else is there stays.
IoStatus destroy_store(const std::string& directory);

}  // namespace pabal::kv
