// Who votes in the quorum: fixed by the configuration (kraft.version 0), or written in the log as
// control records, the last of which counts from the moment at which it is appended, committed or
// not (kraft.version 1, KIP-853). Values; owned by the machine, and pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "record/attributes.h"

namespace pabal::raft {

// Levels of the feature kraft.version.
inline constexpr std::int16_t static_voters = 0;
inline constexpr std::int16_t dynamic_voters = 1;

struct VoterEndpoint {
    std::string name;  // Of the listener.
    std::string host;
    std::uint16_t port = 0;

    bool operator==(const VoterEndpoint&) const = default;
};

struct Voter {
    BrokerId id = no_broker;
    DirectoryId directory;  // All zero where voters are static: any directory will do.
    std::vector<VoterEndpoint> endpoints;
    std::int16_t lowest_level = static_voters;  // Of kraft.version that it could run.
    std::int16_t highest_level = static_voters;

    bool operator==(const Voter&) const = default;
    // Whether the replica with this id and directory is this voter.
    bool is(BrokerId replica, DirectoryId replica_directory) const;
    bool runs(std::int16_t level) const { return lowest_level <= level && level <= highest_level; }
};

// Ordered by id.
using Voters = std::vector<Voter>;

const Voter* find(const Voters& voters, BrokerId id);
// Each voter as ID or, with its directory, ID-DIRECTORY.
std::string text(const Voters& voters);

// The values of the control records.
Bytes voters_record(const Voters& voters);
Bytes kraft_version_record(std::int16_t level);
// CORRUPT_MESSAGE if it cannot be read.
Result<Voters> parse_voters_record(ByteView value);
Result<std::int16_t> parse_kraft_version_record(ByteView value);

// What the control records up to each offset of the log made of the voters.
class VoterHistory {
public:
    // Of records that stand in the file with which a cluster begins, before the log.
    static constexpr Offset before_the_log{-1};

    // A record of the log or, at the offset of its last record, of a snapshot. In ascending order.
    void append_voters(Offset offset, Voters voters);
    void append_level(Offset offset, std::int16_t level);
    // The same for a record as it is read; others than these two change nothing.
    Status append(Offset offset, record::ControlRecordType type, ByteView value);
    // The log ends at `end` now: what stood behind is undone.
    void truncate(Offset end);
    // Everything below is in a snapshot.
    void begin_at(Offset start);

    // Null if none were ever written.
    const Voters* voters() const { return voters_before(Offset(INT64_MAX)); }
    const Voters* voters_before(Offset end) const;
    std::int16_t level() const { return level_before(Offset(INT64_MAX)); }
    std::int16_t level_before(Offset end) const;
    // Of the last record with voters.
    Offset voters_offset() const;

private:
    template <class Value>
    struct Entry {
        Offset offset;
        Value value;
    };

    std::vector<Entry<Voters>> voters_;
    std::vector<Entry<std::int16_t>> levels_;
};

}  // namespace pabal::raft
