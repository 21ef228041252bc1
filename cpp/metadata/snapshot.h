// A snapshot of the metadata log, in Kafka's checkpoint format (KIP-630): record batches, the first
// with the control record SnapshotHeader, the last with SnapshotFooter, metadata records between
// them. The same form holds the bootstrap records of a fresh cluster. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "record/control_record.h"

namespace pabal::metadata {

// Names the log prefix that a snapshot stands for.
struct SnapshotId {
    Offset end_offset{0};  // The first offset that it does not contain.
    LeaderEpoch epoch{0};  // Of the last record that it does.

    auto operator<=>(const SnapshotId&) const = default;
    // 00000000000000000042-0000000007.checkpoint
    std::string file_name() const;
    // Nothing if `name` is not that of a finished snapshot.
    static std::optional<SnapshotId> parse(std::string_view name);
};

inline constexpr std::string_view bootstrap_file = "bootstrap.checkpoint";

// The quorum's own facts in a snapshot, beside header and footer: its version and its voters.
using QuorumRecords = std::vector<record::QuorumControlRecord>;

// `records` as the metadata log frames them, in batches; the bytes of the file, piece by piece.
std::vector<Bytes> snapshot_batches(const std::vector<Bytes>& records, LeaderEpoch epoch,
                                    WallTime last_contained, WallTime now,
                                    const QuorumRecords& quorum = {});

struct SnapshotHeader {
    WallTime last_contained;
    QuorumRecords quorum;
};

// Calls `visit` with each metadata record. CORRUPT_MESSAGE if a batch is damaged, the header is
// missing or the footer is: such a snapshot was never finished.
Result<SnapshotHeader> read_snapshot(const Bytes& file,
                                     const std::function<Status(Bytes record)>& visit);

}  // namespace pabal::metadata
