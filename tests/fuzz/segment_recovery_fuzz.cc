// Recovery of whatever stands in a partition's directory. The input is a directory: flags, a
// recovery point, the sizes of three small files, those files, and the rest is the `.log`. Opening
// it may fail with an error; if it does not, the log can be read to its end, goes on, and is found
// again as it was.
#include <cstdlib>
#include <cstring>

#include "base/crc32c.h"
#include "log/big_endian.h"
#include "log/partition_log.h"
#include "record/batch_builder.h"
#include "record/record_batch.h"
#include "record/validation.h"
#include "tests/unit/log/memory_disk.h"

namespace {

using namespace pabal;

const std::string directory = "/data/t-0";
constexpr WallTime now{1'700'000'000'000};

// Most inputs would end at the first checksum: this makes them right wherever a batch stands.
void correct_checksums(std::vector<std::uint8_t>& log) {
    std::size_t position = 0;
    while (true) {
        const auto batch = record::RecordBatchView::parse(ByteView(log).subspan(position));
        if (!batch.ok() || !batch->is_whole()) return;
        log::put_big_endian(log.data() + position + record::crc_position, batch->computed_crc());
        position += batch->size();
        if (log.size() - position < record::header_size) return;
    }
}

void require(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 9) return 0;
    const std::uint8_t flags = data[0];
    const auto number = [&](std::size_t at) { return std::size_t{data[at]} << 8 | data[at + 1]; };
    log::LogCheckpoint checkpoint;
    checkpoint.recovery_point = Offset(static_cast<std::int64_t>(number(1)));
    checkpoint.clean_shutdown = flags & 1;
    checkpoint.writes_survived = flags & 16;
    log::LogConfig config;
    config.compacted = flags & 2;
    config.index_interval_bytes = 100;

    log::MemoryDisk disk;
    disk.directories.insert(directory);
    ByteView rest(data + 9, size - 9);
    const auto add = [&](const char* name, std::size_t length) {
        length = std::min(length, rest.size());
        auto content = std::make_shared<log::MemoryDisk::Content>();
        content->bytes.assign(rest.begin(), rest.begin() + static_cast<long>(length));
        rest = rest.subspan(length);
        if (length > 0) disk.files[directory + "/" + name] = content;
    };
    add("00000000000000000000.index", number(3));
    add("00000000000000000000.timeindex", number(5));
    add((flags & 4) ? "leader-epoch-checkpoint" : "00000000000000000002.snapshot", number(7));
    add("00000000000000000000.log", rest.size());
    if ((flags & 8) && disk.has(directory + "/00000000000000000000.log"))
        correct_checksums(disk.bytes(directory + "/00000000000000000000.log"));

    auto opened = log::PartitionLog::open(disk, directory, config, checkpoint, now);
    if (!opened.ok()) return 0;
    auto log = std::move(*opened);
    (void)log->find_timestamp(WallTime{0}, log->log_end_offset());
    (void)log->find_max_timestamp(log->log_end_offset());
    (void)log->aborted_transactions(Offset(0), log->log_end_offset());
    // What a clean stop vouched for is not read before it is asked for.
    const bool checked = !checkpoint.clean_shutdown;
    for (Offset next = log->log_start_offset(); next < log->log_end_offset();) {
        const auto read = log->read(next, log->log_end_offset(), 100'000, true);
        require(read.ok() || !checked);
        if (!read.ok()) return 0;
        const auto bytes = read->records.flatten();
        if (!bytes || bytes->empty()) break;
        record::BatchWalker walker(*bytes);
        const Offset before = next;
        while (true) {
            const auto batch = walker.next();
            require(batch.ok() || !checked);
            if (!batch.ok() || !*batch) break;
            require((*batch)->crc_is_right() || !checked);
            next = (*batch)->next_offset();
        }
        require(next > before || !checked);
        if (next <= before) return 0;
    }
    const Offset end = log->log_end_offset();
    record::RecordBatchBuilder builder;
    builder.append(now, as_bytes("k"), as_bytes("v"));
    const auto appended = log->append(record::trusted(builder.build()), LeaderEpoch(1 << 20), now);
    if (!checked) return 0;
    require(appended.ok());
    require(log->truncate_to(end).ok());
    log.reset();
    checkpoint.recovery_point = Offset(0);
    auto again = log::PartitionLog::open(disk, directory, config, checkpoint, now);
    require(again.ok());
    require((*again)->log_end_offset() == end);
    return 0;
}
