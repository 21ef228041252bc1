#include "metadata/snapshot.h"

#include <charconv>
#include <cstdio>

#include "record/batch_builder.h"
#include "record/control_record.h"
#include "record/record.h"
#include "record/record_batch.h"
#include "wire/reader.h"
#include "wire/records/snapshot_footer_record.h"
#include "wire/records/snapshot_header_record.h"
#include "wire/writer.h"

namespace pabal::metadata {
namespace {

constexpr std::size_t batch_bytes = 1 << 20;
constexpr std::string_view suffix = ".checkpoint";

template <class Message>
Bytes encoded(const Message& message) {
    wire::Writer writer;
    encode(writer, message, 0);
    return *writer.take().flatten();
}

Error corrupt(std::string what) {
    return {ErrorCode::corrupt_message, std::move(what)};
}

std::optional<std::int64_t> number(std::string_view digits) {
    std::int64_t value = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || value < 0)
        return std::nullopt;
    return value;
}

}  // namespace

std::string SnapshotId::file_name() const {
    char name[64];
    std::snprintf(name, sizeof name, "%020lld-%010d%s", static_cast<long long>(end_offset.value()),
                  epoch.value(), suffix.data());
    return name;
}

std::optional<SnapshotId> SnapshotId::parse(std::string_view name) {
    if (name.size() != 20 + 1 + 10 + suffix.size() || name[20] != '-' || !name.ends_with(suffix))
        return std::nullopt;
    const auto offset = number(name.substr(0, 20));
    const auto epoch = number(name.substr(21, 10));
    if (!offset || !epoch || *epoch > INT32_MAX) return std::nullopt;
    return SnapshotId{Offset(*offset), LeaderEpoch(static_cast<std::int32_t>(*epoch))};
}

std::vector<Bytes> snapshot_batches(const std::vector<Bytes>& records, LeaderEpoch epoch,
                                    WallTime last_contained, WallTime now,
                                    const QuorumRecords& quorum) {
    std::vector<Bytes> batches;
    Offset next{0};
    wire::SnapshotHeaderRecord header;
    header.version = 0;
    header.last_contained_log_timestamp = last_contained.milliseconds;
    QuorumRecords begin{{record::ControlRecordType::snapshot_header, encoded(header)}};
    begin.insert(begin.end(), quorum.begin(), quorum.end());
    batches.push_back(record::quorum_control_batch(begin, next, epoch, now));
    next += static_cast<std::int64_t>(begin.size());
    for (std::size_t i = 0; i < records.size();) {
        record::BatchOptions options;
        options.base_offset = next;
        options.leader_epoch = epoch;
        record::RecordBatchBuilder builder(options);
        for (; i < records.size() && builder.size() < batch_bytes; ++i, ++next)
            builder.append(now, std::nullopt, records[i].view());
        batches.push_back(builder.build());
    }
    wire::SnapshotFooterRecord footer;
    footer.version = 0;
    batches.push_back(record::quorum_control_batch(record::ControlRecordType::snapshot_footer,
                                                   encoded(footer), next, epoch, now));
    return batches;
}

Result<SnapshotHeader> read_snapshot(const Bytes& file,
                                     const std::function<Status(Bytes record)>& visit) {
    std::optional<SnapshotHeader> header;
    bool finished = false;
    record::BatchWalker walker(file);
    for (;;) {
        const std::size_t position = walker.position();
        const std::string at = " at byte " + std::to_string(position);
        PABAL_TRY_ASSIGN(const auto batch, walker.next());
        if (!batch) break;
        if (finished) return corrupt("something stands behind the snapshot's footer," + at);
        if (!batch->crc_is_right()) return corrupt("the checksum of the batch is wrong," + at);
        if (batch->compression() != record::Compression::none)
            return corrupt("the batch is compressed, which metadata never is," + at);
        if (!header && !batch->is_control())
            return corrupt("the snapshot does not begin with its header," + at);
        record::RecordReader reader(*batch, batch->records());
        for (;;) {
            PABAL_TRY_ASSIGN(const auto view, reader.next());
            if (!view) break;
            if (!batch->is_control()) {
                if (!view->value) return corrupt("a record has no value," + at);
                const auto start = static_cast<std::size_t>(view->value->data() - file.data());
                PABAL_TRY(visit(file.slice(start, view->value->size())));
                continue;
            }
            const auto type = record::control_record_type(view->key.value_or(ByteView()));
            if (type == record::ControlRecordType::snapshot_header) {
                wire::SnapshotHeaderRecord message;
                wire::Reader value(Bytes::copy_of(view->value.value_or(ByteView())));
                PABAL_TRY(decode(value, message, 0));
                header = SnapshotHeader{WallTime{message.last_contained_log_timestamp}, {}};
            } else if (!header) {
                return corrupt("the snapshot does not begin with its header," + at);
            } else if (type == record::ControlRecordType::snapshot_footer) {
                finished = true;
            } else if (type) {
                header->quorum.push_back({*type, Bytes::copy_of(view->value.value_or(ByteView()))});
            }
        }
    }
    if (!finished)
        return corrupt("the snapshot has no footer: it was never finished, or its end is lost");
    return *header;
}

}  // namespace pabal::metadata
