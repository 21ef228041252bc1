// What log_files_test.py compares with Kafka: writes logs of every kind (`write DIRECTORY`), prints
// what a log holds (`read PARTITION_DIRECTORY`), appends to one (`append PARTITION_DIRECTORY
// COUNT`).
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "log/partition_log.h"
#include "os/disk.h"
#include "os/machine.h"
#include "os/power.h"
#include "record/batch_builder.h"
#include "record/control_record.h"
#include "record/record.h"
#include "record/validation.h"

namespace {

using namespace pabal;

constexpr WallTime start{1'700'000'000'000};

[[noreturn]] void fail(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::exit(1);
}

std::unique_ptr<log::PartitionLog> open_log(io::Disk& disk, const std::string& directory,
                                            log::LogConfig config = {}) {
    auto log = log::PartitionLog::open(disk, directory, config, {}, start);
    if (!log.ok()) fail(log.error().message);
    if ((*log)->repair()) fail((*log)->repair()->path + ": " + (*log)->repair()->reason);
    return std::move(*log);
}

struct Spec {
    int records = 1;
    std::int64_t time = 0;
    record::Compression compression = record::Compression::none;
    ProducerId producer = no_producer_id;
    std::int32_t sequence = -1;
    bool transactional = false;
};

record::ValidatedBatch batch(const Spec& spec) {
    record::BatchOptions options;
    options.compression = spec.compression;
    if (spec.producer != no_producer_id) {
        options.producer_id = spec.producer;
        options.producer_epoch = ProducerEpoch(0);
        options.base_sequence = spec.sequence;
        options.transactional = spec.transactional;
    }
    record::RecordBatchBuilder builder(options);
    for (int i = 0; i < spec.records; ++i) {
        const std::string key = "key-" + std::to_string(spec.time) + "-" + std::to_string(i);
        const std::string value(static_cast<std::size_t>(100 + (spec.time + i) * 37 % 900), 'v');
        builder.append(WallTime{start.milliseconds + spec.time + i}, as_bytes(key),
                       as_bytes(value));
    }
    record::Codecs codecs;
    return record::trusted(builder.build(codecs));
}

void append(log::PartitionLog& log, const record::ValidatedBatch& one, int epoch = 0,
            log::AppendOrigin origin = log::AppendOrigin::client) {
    const auto appended = log.append(one, LeaderEpoch(epoch), start, origin);
    if (!appended.ok()) fail(appended.error().message);
}

void close(log::PartitionLog& log) {
    if (auto closed = log.close(start); !closed.ok()) fail(closed.error().message);
}

void write(io::Disk& disk, const std::string& root) {
    {
        auto log = open_log(disk, root + "/plain-0");
        for (int i = 0; i < 300; ++i) append(*log, batch({.records = 1 + i % 7, .time = i * 10}));
        close(*log);
    }
    {
        // A wandering clock, several epochs and segments.
        log::LogConfig config;
        config.segment_bytes = 100'000;
        auto log = open_log(disk, root + "/rolled-0", config);
        for (int i = 0; i < 400; ++i) {
            append(*log, batch({.records = 3, .time = 10'000 + i * 10 - (i % 5) * 300}), i / 100);
        }
        close(*log);
    }
    for (int codec = 1; codec < record::compression_count; ++codec) {
        const auto compression = static_cast<record::Compression>(codec);
        auto log =
            open_log(disk, root + "/" + std::string(record::compression_name(compression)) + "-0");
        for (int i = 0; i < 50; ++i) {
            append(*log, batch({.records = 20, .time = i * 10, .compression = compression}));
        }
        close(*log);
    }
    {
        log::LogConfig config;
        config.segment_bytes = 30'000;
        auto log = open_log(disk, root + "/transactions-0", config);
        std::int32_t sequences[3] = {};
        for (int i = 0; i < 90; ++i) {
            const int producer = i % 3;
            append(*log, batch({.records = 2,
                                .time = i * 10,
                                .producer = ProducerId(1000 + producer),
                                .sequence = sequences[producer],
                                .transactional = producer != 0}));
            sequences[producer] += 2;
            if (i % 9 < 7 || producer == 0) continue;
            const auto type =
                i % 2 ? record::ControlRecordType::abort : record::ControlRecordType::commit;
            append(*log,
                   record::trusted(record::end_transaction_marker(type, ProducerId(1000 + producer),
                                                                  ProducerEpoch(0), 1, start)),
                   0, log::AppendOrigin::coordinator);
        }
        close(*log);
    }
    auto log = open_log(disk, root + "/single-0");
    append(*log, batch({}));
    close(*log);
}

void read(io::Disk& disk, const std::string& directory) {
    auto log = open_log(disk, directory);
    std::printf("log %lld %lld epoch %d\n", static_cast<long long>(log->log_start_offset().value()),
                static_cast<long long>(log->log_end_offset().value()),
                log->latest_epoch().value_or(no_leader_epoch).value());
    for (const auto& producer : log->active_producers()) {
        std::printf(
            "producer %lld epoch %d last %d open %lld\n",
            static_cast<long long>(producer.producer.value()), producer.epoch.value(),
            producer.last_sequence,
            static_cast<long long>(producer.transaction_start.value_or(Offset(-1)).value()));
    }
    const auto aborted = log->aborted_transactions(log->log_start_offset(), log->log_end_offset());
    if (!aborted.ok()) fail(aborted.error().message);
    for (const auto& transaction : *aborted) {
        std::printf("aborted %lld from %lld\n",
                    static_cast<long long>(transaction.producer.value()),
                    static_cast<long long>(transaction.first_offset.value()));
    }
    record::Codecs codecs;
    for (Offset next = log->log_start_offset(); next < log->log_end_offset();) {
        const auto found = log->read(next, log->log_end_offset(), 1 << 20, true);
        if (!found.ok()) fail(found.error().message);
        const auto bytes = found->records.flatten();
        if (!bytes || bytes->empty()) fail("nothing at " + std::to_string(next.value()));
        record::BatchWalker walker(*bytes);
        while (true) {
            const auto one = walker.next();
            if (!one.ok()) fail(one.error().message);
            if (!*one) break;
            const auto& view = **one;
            if (!view.crc_is_right()) fail("wrong checksum");
            next = view.next_offset();
            if (view.is_control()) continue;
            const auto inflated = record::inflate_records(*bytes, view, codecs, 1 << 28);
            if (!inflated.ok()) fail(inflated.error().message);
            record::RecordReader reader(view, *inflated);
            while (true) {
                const auto record = reader.next();
                if (!record.ok()) fail(record.error().message);
                if (!*record) break;
                const auto text = [](const std::optional<ByteView>& bytes_of) {
                    return bytes_of ? std::string(as_text(*bytes_of)) : std::string("null");
                };
                std::printf("record %lld %lld %s %s\n",
                            static_cast<long long>((*record)->offset.value()),
                            static_cast<long long>((*record)->timestamp.milliseconds),
                            text((*record)->key).c_str(), text((*record)->value).c_str());
            }
        }
    }
}

void append_to(io::Disk& disk, const std::string& directory, int count) {
    log::LogConfig config;
    config.segment_bytes = 200'000;
    auto log = open_log(disk, directory, config);
    const int epoch = log->latest_epoch().value_or(LeaderEpoch(0)).value();
    for (int i = 0; i < count; ++i) append(*log, batch({.records = 1, .time = i}), epoch);
    close(*log);
}

}  // namespace

int main(int count, char** words) {
    os::Disk disk(os::Machine::shared(), std::make_shared<os::Power>(), nullptr);
    if (count == 3 && !std::strcmp(words[1], "write")) {
        write(disk, words[2]);
    } else if (count == 3 && !std::strcmp(words[1], "read")) {
        read(disk, words[2]);
    } else if (count == 4 && !std::strcmp(words[1], "append")) {
        append_to(disk, words[2], std::atoi(words[3]));
    } else {
        fail("write DIRECTORY | read PARTITION_DIRECTORY | append PARTITION_DIRECTORY COUNT");
    }
}
