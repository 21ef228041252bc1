// A log of records with keys beside a model that remembers all of them: whatever was cleaned, what
// is left is compared with it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/prng.h"
#include "io/disk.h"
#include "log/compaction.h"
#include "log/partition_log.h"
#include "record/batch_builder.h"
#include "record/compression.h"
#include "record/record.h"
#include "record/validation.h"

namespace pabal::log {

struct KeyedRecord {
    std::string key;
    std::optional<std::string> value;
    std::int64_t timestamp = 0;

    bool operator==(const KeyedRecord&) const = default;
};
using KeyedRecords = std::map<std::int64_t, KeyedRecord>;  // By offset.

inline Bytes keyed_batch(const std::vector<KeyedRecord>& records, record::BatchOptions options) {
    record::RecordBatchBuilder builder(options);
    for (const auto& each : records) {
        const record::RecordHeader header{"h", as_bytes(each.key)};
        std::optional<ByteView> value;
        if (each.value) value = as_bytes(*each.value);
        builder.append(WallTime{each.timestamp}, as_bytes(each.key), value, {&header, 1});
    }
    record::Codecs codecs;
    return builder.build(codecs);
}

// Everything that a reader of the whole log finds; the answer is empty, or says what cannot be.
using Horizons = std::map<std::int64_t, WallTime>;  // Of tombstones, by offset.
inline std::string read_all(const PartitionLog& log, KeyedRecords& found,
                            Horizons* horizons = nullptr) {
    record::Codecs codecs;
    found.clear();
    Offset next = log.log_start_offset();
    while (next < log.log_end_offset()) {
        const auto read = log.read(next, log.log_end_offset(), 1 << 20, true);
        if (!read.ok()) return read.error().message;
        if (read->records.empty()) return "nothing at " + std::to_string(next.value());
        const auto bytes = read->records.flatten();
        if (!bytes) return "the file cannot be read";
        record::BatchWalker walker(*bytes);
        while (true) {
            const auto batch = walker.next();
            if (!batch.ok()) return batch.error().message;
            if (!*batch) break;
            if (!(*batch)->crc_is_right()) return "wrong checksum";
            if ((*batch)->last_offset() < next) return "a batch below what was asked for";
            const auto records = record::inflate_records(*bytes, **batch, codecs, 1 << 24);
            if (!records.ok()) return records.error().message;
            record::RecordReader reader(**batch, *records);
            while (true) {
                const auto each = reader.next();
                if (!each.ok()) return each.error().message;
                if (!*each) break;
                if ((*batch)->is_control()) continue;
                KeyedRecord kept;
                kept.key = as_text(*(*each)->key);
                if ((*each)->value) kept.value = as_text(*(*each)->value);
                kept.timestamp = (*each)->timestamp.milliseconds;
                int headers = 0;
                (*each)->for_each_header([&](const record::RecordHeader& header) {
                    if (header.key == "h" && as_text(*header.value) == kept.key) ++headers;
                });
                if (headers != 1) return "a record lost its header";
                found[(*each)->offset.value()] = kept;
                const auto horizon = (*batch)->delete_horizon();
                if (horizons && horizon) horizons->emplace((*each)->offset.value(), *horizon);
            }
            next = (*batch)->next_offset();
        }
    }
    return {};
}

struct CleanOutcome {
    IoStatus status;
    bool cleaned = false;
    bool replaced_all = true;
    Offset clean_end;
};

// One whole cleaning, as the broker does it.
inline CleanOutcome clean(PartitionLog& log, std::optional<Offset> cleaned_up_to, Offset stable,
                          WallTime now, const CompactionMeans& means = {},
                          std::int64_t step_bytes = 500) {
    CleanOutcome outcome;
    const auto range = log.cleanable(cleaned_up_to, stable, now);
    if (!range.ok()) return {range.error(), false, false, Offset()};
    if (range->end <= range->first_dirty) return outcome;
    auto compaction = log.prepare_compaction(*range, means, now);
    if (!compaction.ok()) return {compaction.error(), false, false, Offset()};
    while (true) {
        const auto progress = (*compaction)->step(step_bytes);
        if (!progress.ok()) {
            (*compaction)->discard();
            return {progress.error(), false, false, Offset()};
        }
        if (*progress == Compaction::Progress::finished) break;
        if (*progress != Compaction::Progress::segment_ready) continue;
        const auto replaced = log.replace_segments(**compaction, now);
        if (!replaced.ok()) return {replaced.error(), false, false, Offset()};
        if (!*replaced) {
            (*compaction)->discard();
            outcome.replaced_all = false;
            return outcome;
        }
    }
    outcome.cleaned = true;
    outcome.clean_end = (*compaction)->clean_end();
    return outcome;
}

}  // namespace pabal::log
