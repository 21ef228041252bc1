// Control records: what the broker writes into logs for readers, not for applications: the ends of
// transactions (KIP-98) and the quorum's own facts (KIP-595, KIP-630, KIP-853). Clients may not
// write them. The values of the quorum's records are generated messages.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "record/attributes.h"

namespace pabal::record {

using ControlRecordKey = std::array<std::uint8_t, 4>;

ControlRecordKey control_record_key(ControlRecordType type);
// Nothing if the key is none of a control record, or of a type that is not known.
std::optional<ControlRecordType> control_record_type(ByteView key);

// The coordinator epoch that the value of a commit or abort marker carries; nothing if it is
// damaged.
std::optional<std::int32_t> marker_coordinator_epoch(ByteView value);

// A whole batch with the marker that ends a transaction.
Bytes end_transaction_marker(ControlRecordType commit_or_abort, ProducerId producer_id,
                             ProducerEpoch producer_epoch, std::int32_t coordinator_epoch,
                             WallTime timestamp);
// A whole batch with some of the quorum's records, or with one.
struct QuorumControlRecord {
    ControlRecordType type;
    Bytes value;
};
Bytes quorum_control_batch(const std::vector<QuorumControlRecord>& records, Offset base_offset,
                           LeaderEpoch leader_epoch, WallTime timestamp);
Bytes quorum_control_batch(ControlRecordType type, Bytes value, Offset base_offset,
                           LeaderEpoch leader_epoch, WallTime timestamp);

}  // namespace pabal::record
