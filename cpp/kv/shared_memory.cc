#include "kv/shared_memory.h"

#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>

#include "kv/file_system.h"

namespace pabal::kv {
namespace {

// RocksDB's own log would be a file of its own for nobody: failures come back as statuses.
class Silence final : public rocksdb::Logger {
public:
    Silence() : rocksdb::Logger(rocksdb::InfoLogLevel::FATAL_LEVEL) {}
    void Logv(const char*, va_list) override {}
    rocksdb::Status Close() override { return rocksdb::Status::OK(); }
};

rocksdb::Options make_options() {
    auto* env = rocksdb::Env::Default();
    env->SetBackgroundThreads(1, rocksdb::Env::HIGH);  // Flushes.
    env->SetBackgroundThreads(1, rocksdb::Env::LOW);   // Compactions.

    rocksdb::Options options;
    options.create_if_missing = true;
    options.info_log = std::make_shared<Silence>();
    options.stats_dump_period_sec = 0;  // Each of these two would be a thread that ticks.
    options.stats_persist_period_sec = 0;
    options.max_background_jobs = 2;
    options.max_open_files = 64;
    options.max_file_opening_threads = 1;
    options.skip_stats_update_on_db_open = true;
    options.skip_checking_sst_file_sizes_on_db_open = true;
    options.avoid_flush_during_shutdown = true;  // Destruction is a kill.
    options.avoid_flush_during_recovery = true;  // Open soon; what the log holds stays in it.
    options.max_manifest_file_size = 1 << 20;
    options.keep_log_file_num = 1;
    options.compression = rocksdb::kNoCompression;
    options.compaction_style = rocksdb::kCompactionStyleLevel;

    options.write_buffer_size = 4 << 20;
    options.arena_block_size = 64 << 10;
    options.max_write_buffer_number = 2;
    options.target_file_size_base = 8 << 20;
    options.max_bytes_for_level_base = 32 << 20;
    options.max_total_wal_size = 8 << 20;
    options.write_buffer_manager = std::make_shared<rocksdb::WriteBufferManager>(32 << 20);

    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(8 << 20, 2);
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    table.cache_index_and_filter_blocks = true;
    table.format_version = 5;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return options;
}

const rocksdb::Options* with_file_system(const rocksdb::Options& common, bool temporary) {
    auto* options = new rocksdb::Options(common);
    // Its threads are those of the default environment.
    options->env = rocksdb::NewCompositeEnv(file_system_with_fewer_syncs(temporary)).release();
    return options;
}

}  // namespace

const rocksdb::Options& shared_options(bool temporary) {
    // Never destroyed: a store that an exiting process forgot still uses them.
    static const auto* common = new rocksdb::Options(make_options());
    static const auto* lasting = with_file_system(*common, false);
    static const auto* unsynced = with_file_system(*common, true);
    return temporary ? *unsynced : *lasting;
}

}  // namespace pabal::kv
