// What the log adds to a write: CPU and time per GB of appends and of look-ups for reads, with the
// raw pwritev of the same bytes beside them; then what opening many small logs costs, in time and
// memory. Run: build with -DPABAL_BENCHMARKS=ON in Release, then benchmarks/micro/log_append_bench
// [DIRECTORY].
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "log/partition_log.h"
#include "os/disk.h"
#include "os/machine.h"
#include "os/power.h"
#include "record/batch_builder.h"
#include "record/validation.h"

namespace {

using namespace pabal;

constexpr WallTime now{1'700'000'000'000};
constexpr std::int64_t gigabyte = 1'000'000'000;

struct Stopwatch {
    std::chrono::steady_clock::time_point wall = std::chrono::steady_clock::now();
    double cpu = cpu_seconds();

    static double cpu_seconds() {
        rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        const auto seconds = [](const timeval& time) {
            return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
        };
        return seconds(usage.ru_utime) + seconds(usage.ru_stime);
    }
    double wall_seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count();
    }
    void print(const char* what, std::int64_t bytes) const {
        const double gigabytes = static_cast<double>(bytes) / gigabyte;
        std::printf("%-34s %8.0f MB/s  %6.3f CPU-s/GB\n", what, gigabytes * 1000 / wall_seconds(),
                    (cpu_seconds() - cpu) / gigabytes);
    }
};

[[noreturn]] void fail(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::exit(1);
}

record::ValidatedBatch batch_of(std::size_t size) {
    record::RecordBatchBuilder builder;
    const std::string value(1000, 'v');
    while (builder.size() + 1030 < size) builder.append(now, as_bytes("key-0042"), as_bytes(value));
    return record::trusted(builder.build());
}

std::unique_ptr<log::PartitionLog> open_log(io::Disk& disk, const std::string& directory,
                                            log::LogCheckpoint checkpoint = {}) {
    auto log = log::PartitionLog::open(disk, directory, {}, checkpoint, now);
    if (!log.ok()) fail(log.error().message);
    return std::move(*log);
}

void raw_writes(const char* what, const std::string& path, const Bytes& batch) {
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (file < 0) fail("cannot open " + path);
    const Stopwatch watch;
    std::int64_t position = 0;
    while (position < gigabyte) {
        const iovec pieces[] = {{const_cast<std::uint8_t*>(batch.data()), 16},
                                {const_cast<std::uint8_t*>(batch.data()) + 16, batch.size() - 16}};
        if (pwritev(file, pieces, 2, position) != static_cast<ssize_t>(batch.size())) {
            fail("cannot write " + path);
        }
        position += static_cast<std::int64_t>(batch.size());
    }
    watch.print(what, position);
    close(file);
    std::filesystem::remove(path);
}

void appends(io::Disk& disk, const std::string& root, std::size_t batch_size) {
    const auto batch = batch_of(batch_size);
    std::printf("batches of %zu bytes\n", batch.bytes.size());
    // The first pages that the kernel hands out are the dearest: once for nothing.
    raw_writes("  raw pwritev, memory cold", root + "/raw", batch.bytes);
    raw_writes("  raw pwritev", root + "/raw", batch.bytes);
    auto log = open_log(disk, root + "/append-0");
    {
        const Stopwatch watch;
        while (log->size_bytes() < gigabyte) {
            auto appended = log->append(batch, LeaderEpoch(0), now);
            if (!appended.ok()) fail(appended.error().message);
        }
        watch.print("  append", log->size_bytes());
    }
    const auto read_all = [&](const char* what, std::int32_t max_bytes) {
        const Stopwatch watch;
        std::int64_t bytes = 0;
        for (Offset next(0); next < log->log_end_offset();) {
            auto read = log->read(next, log->log_end_offset(), max_bytes, true);
            if (!read.ok()) fail(read.error().message);
            const auto size = static_cast<std::int64_t>(read->records.size());
            bytes += size;
            next += size / static_cast<std::int64_t>(batch.bytes.size()) * batch.record_count;
        }
        watch.print(what, bytes);
    };
    read_all("  find 1 MB to read, no bytes moved", 1 << 20);
    const Stopwatch watch;
    log.reset();
    log = open_log(disk, root + "/append-0");
    watch.print("  recovery, page cache warm", log->size_bytes());
    log.reset();
    std::filesystem::remove_all(root + "/append-0");
}

std::int64_t heap_bytes() {
    return static_cast<std::int64_t>(mallinfo2().uordblks);
}

void many_logs(io::Disk& disk, const std::string& root) {
    constexpr int count = 10'000;
    const auto batch = batch_of(2100);
    std::vector<std::unique_ptr<log::PartitionLog>> logs(count);
    std::vector<log::LogCheckpoint> checkpoints(count);
    const auto directory = [&](int i) { return root + "/many-" + std::to_string(i); };
    const auto report = [&](const char* what, const Stopwatch& watch, std::int64_t heap) {
        std::printf("  %-34s %7.1f us and %6.0f bytes each\n", what,
                    watch.wall_seconds() * 1e6 / count,
                    static_cast<double>(heap_bytes() - heap) / count);
    };
    std::printf("%d logs\n", count);
    const std::int64_t heap = heap_bytes();
    {
        const Stopwatch watch;
        for (int i = 0; i < count; ++i) logs[i] = open_log(disk, directory(i));
        report("made", watch, heap);
    }
    {
        const Stopwatch watch;
        for (auto& log : logs) {
            if (!log->append(batch, LeaderEpoch(0), now).ok()) fail("cannot append");
        }
        report("one batch appended", watch, heap);
    }
    logs = std::vector<std::unique_ptr<log::PartitionLog>>(count);
    {
        const Stopwatch watch;
        for (int i = 0; i < count; ++i) logs[i] = open_log(disk, directory(i));
        report("opened after a kill, all scanned", watch, heap);
    }
    {
        const Stopwatch watch;
        for (int i = 0; i < count; ++i) {
            if (!logs[i]->close(now, false).ok()) fail("cannot close");
            checkpoints[i] = logs[i]->checkpoint();
            checkpoints[i].clean_shutdown = true;
        }
        report("closed without sync", watch, heap);
    }
    logs = std::vector<std::unique_ptr<log::PartitionLog>>(count);
    const Stopwatch watch;
    for (int i = 0; i < count; ++i) logs[i] = open_log(disk, directory(i), checkpoints[i]);
    report("opened after a clean stop", watch, heap);
}

}  // namespace

int main(int count, char** words) {
    std::string pattern = std::string(count > 1 ? words[1] : "/tmp") + "/pabal-log-XXXXXX";
    if (!mkdtemp(pattern.data())) fail("cannot make " + pattern);
    os::Disk disk(os::Machine::shared(), std::make_shared<os::Power>(), nullptr);
    appends(disk, pattern, 1'000'000);
    appends(disk, pattern, 16'384);
    many_logs(disk, pattern);
    std::filesystem::remove_all(pattern);
}
