#include "raft/voters.h"

#include <algorithm>

#include "base/assert.h"
#include "wire/reader.h"
#include "wire/records/kraft_version_record.h"
#include "wire/records/voters_record.h"
#include "wire/writer.h"

namespace pabal::raft {
namespace {

constexpr int record_version = 0;

template <class Message>
Bytes encoded(Message message) {
    message.version = record_version;
    wire::Writer writer;
    encode(writer, message, record_version);
    return *writer.take().flatten();
}

template <class Message>
Result<Message> decoded(ByteView value, const char* what) {
    Message message;
    wire::Reader reader(Bytes::copy_of(value));
    const Status read = decode(reader, message, record_version);
    if (!read.ok())
        return Error{ErrorCode::corrupt_message,
                     std::string("the record of ") + what + ": " + read.error().message};
    return message;
}

template <class Entries>
auto last_before(const Entries& entries, Offset end) {
    return std::partition_point(entries.begin(), entries.end(),
                                [&](const auto& entry) { return entry.offset < end; });
}

template <class Entries>
void cut(Entries& entries, Offset end) {
    entries.erase(last_before(entries, end), entries.end());
}

// Of those below `start` the last one goes on to count.
template <class Entries>
void drop_below(Entries& entries, Offset start) {
    const auto first = last_before(entries, start);
    if (first - entries.begin() > 1) entries.erase(entries.begin(), first - 1);
}

}  // namespace

bool Voter::is(BrokerId replica, DirectoryId replica_directory) const {
    return id == replica && (directory.value().is_zero() || directory == replica_directory);
}

const Voter* find(const Voters& voters, BrokerId id) {
    const auto found =
        std::lower_bound(voters.begin(), voters.end(), id,
                         [](const Voter& voter, BrokerId wanted) { return voter.id < wanted; });
    return found != voters.end() && found->id == id ? &*found : nullptr;
}

std::string text(const Voters& voters) {
    std::string list;
    for (const Voter& voter : voters) {
        if (!list.empty()) list += ", ";
        list += std::to_string(voter.id.value());
        if (!voter.directory.value().is_zero()) list += '-' + voter.directory.value().text();
    }
    return list;
}

Bytes voters_record(const Voters& voters) {
    wire::VotersRecord message;
    for (const Voter& voter : voters) {
        auto& written = message.voters.emplace_back();
        written.voter_id = voter.id;
        written.voter_directory_id = voter.directory;
        for (const VoterEndpoint& endpoint : voter.endpoints)
            written.endpoints.push_back({endpoint.name, endpoint.host, endpoint.port});
        written.kraft_version_feature.min_supported_version = voter.lowest_level;
        written.kraft_version_feature.max_supported_version = voter.highest_level;
    }
    return encoded(std::move(message));
}

Bytes kraft_version_record(std::int16_t level) {
    wire::KRaftVersionRecord message;
    message.kraft_version = level;
    return encoded(message);
}

Result<Voters> parse_voters_record(ByteView value) {
    PABAL_TRY_ASSIGN(const auto message, decoded<wire::VotersRecord>(value, "voters"));
    Voters voters;
    for (const auto& written : message.voters) {
        Voter& voter = voters.emplace_back();
        voter.id = written.voter_id;
        voter.directory = written.voter_directory_id;
        for (const auto& endpoint : written.endpoints)
            voter.endpoints.push_back({endpoint.name, endpoint.host, endpoint.port});
        voter.lowest_level = written.kraft_version_feature.min_supported_version;
        voter.highest_level = written.kraft_version_feature.max_supported_version;
    }
    std::sort(voters.begin(), voters.end(),
              [](const Voter& a, const Voter& b) { return a.id < b.id; });
    const auto same = [](const Voter& a, const Voter& b) { return a.id == b.id; };
    if (std::adjacent_find(voters.begin(), voters.end(), same) != voters.end())
        return Error{ErrorCode::corrupt_message, "the record of voters names one of them twice"};
    return voters;
}

Result<std::int16_t> parse_kraft_version_record(ByteView value) {
    PABAL_TRY_ASSIGN(const auto message, decoded<wire::KRaftVersionRecord>(value, "kraft.version"));
    return message.kraft_version;
}

void VoterHistory::append_voters(Offset offset, Voters voters) {
    ASSERT(voters_.empty() || voters_.back().offset <= offset, "records are read in their order");
    voters_.push_back({offset, std::move(voters)});
}

void VoterHistory::append_level(Offset offset, std::int16_t level) {
    ASSERT(levels_.empty() || levels_.back().offset <= offset, "records are read in their order");
    levels_.push_back({offset, level});
}

Status VoterHistory::append(Offset offset, record::ControlRecordType type, ByteView value) {
    if (type == record::ControlRecordType::kraft_voters) {
        PABAL_TRY_ASSIGN(Voters voters, parse_voters_record(value));
        append_voters(offset, std::move(voters));
    } else if (type == record::ControlRecordType::kraft_version) {
        PABAL_TRY_ASSIGN(const std::int16_t level, parse_kraft_version_record(value));
        append_level(offset, level);
    }
    return {};
}

void VoterHistory::truncate(Offset end) {
    cut(voters_, end);
    cut(levels_, end);
}

void VoterHistory::begin_at(Offset start) {
    drop_below(voters_, start);
    drop_below(levels_, start);
}

const Voters* VoterHistory::voters_before(Offset end) const {
    const auto next = last_before(voters_, end);
    return next == voters_.begin() ? nullptr : &(next - 1)->value;
}

std::int16_t VoterHistory::level_before(Offset end) const {
    const auto next = last_before(levels_, end);
    return next == levels_.begin() ? static_voters : (next - 1)->value;
}

Offset VoterHistory::voters_offset() const {
    return voters_.empty() ? before_the_log : voters_.back().offset;
}

}  // namespace pabal::raft
