#include "record/control_record.h"

#include <utility>

#include "base/assert.h"
#include "base/big_endian.h"
#include "record/batch_builder.h"

namespace pabal::record {
namespace {

// Of keys and of marker values; later versions only add fields behind.
constexpr std::int16_t first_version = 0;
constexpr std::size_t marker_value_size = 6;

}  // namespace

ControlRecordKey control_record_key(ControlRecordType type) {
    ControlRecordKey key;
    store_big_endian(key.data(), first_version);
    store_big_endian(key.data() + 2, static_cast<std::int16_t>(type));
    return key;
}

std::optional<ControlRecordType> control_record_type(ByteView key) {
    if (key.size() < std::tuple_size_v<ControlRecordKey>) return std::nullopt;
    if (load_big_endian<std::int16_t>(key.data()) < first_version) return std::nullopt;
    const auto type = load_big_endian<std::int16_t>(key.data() + 2);
    if (type < 0 || type > static_cast<std::int16_t>(ControlRecordType::kraft_voters)) {
        return std::nullopt;
    }
    return static_cast<ControlRecordType>(type);
}

std::optional<std::int32_t> marker_coordinator_epoch(ByteView value) {
    if (value.size() < marker_value_size) return std::nullopt;
    if (load_big_endian<std::int16_t>(value.data()) < first_version) return std::nullopt;
    return load_big_endian<std::int32_t>(value.data() + 2);
}

Bytes end_transaction_marker(ControlRecordType commit_or_abort, ProducerId producer_id,
                             ProducerEpoch producer_epoch, std::int32_t coordinator_epoch,
                             WallTime timestamp) {
    ASSERT(
        commit_or_abort == ControlRecordType::commit || commit_or_abort == ControlRecordType::abort,
        "a transaction ends by commit or abort");
    BatchOptions options;
    options.producer_id = producer_id;
    options.producer_epoch = producer_epoch;
    options.transactional = true;
    options.control = true;
    std::array<std::uint8_t, marker_value_size> value;
    store_big_endian(value.data(), first_version);
    store_big_endian(value.data() + 2, coordinator_epoch);
    const ControlRecordKey key = control_record_key(commit_or_abort);
    RecordBatchBuilder builder(options);
    builder.append(timestamp, ByteView(key), ByteView(value));
    return builder.build();
}

Bytes quorum_control_batch(const std::vector<QuorumControlRecord>& records, Offset base_offset,
                           LeaderEpoch leader_epoch, WallTime timestamp) {
    BatchOptions options;
    options.base_offset = base_offset;
    options.leader_epoch = leader_epoch;
    options.control = true;
    RecordBatchBuilder builder(options);
    for (const QuorumControlRecord& record : records) {
        const ControlRecordKey key = control_record_key(record.type);
        builder.append(timestamp, ByteView(key), record.value.view());
    }
    return builder.build();
}

Bytes quorum_control_batch(ControlRecordType type, Bytes value, Offset base_offset,
                           LeaderEpoch leader_epoch, WallTime timestamp) {
    return quorum_control_batch({{type, std::move(value)}}, base_offset, leader_epoch, timestamp);
}

}  // namespace pabal::record
