#include "metadata/record.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "base/varint.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::metadata {
namespace {

constexpr std::uint32_t frame_version = 1;

// Levels of metadata.version at which record versions grew.
constexpr std::int16_t controlled_shutdown_level = 7;    // 3.3-IV3
constexpr std::int16_t migration_level = 8;              // 3.4-IV0
constexpr std::int16_t directory_assignment_level = 17;  // 3.7-IV2
constexpr std::int16_t eligible_replicas_level = 23;     // 4.0-IV1
constexpr std::int16_t cordoned_directories_level = 30;  // 4.3-IV0

template <class Kind>
int version_of(const Kind&, std::int16_t) {
    return 0;
}
int version_of(const wire::RegisterBrokerRecord&, std::int16_t level) {
    if (level >= cordoned_directories_level) return 4;
    if (level >= directory_assignment_level) return 3;
    if (level >= migration_level) return 2;
    return level >= controlled_shutdown_level ? 1 : 0;
}
int version_of(const wire::PartitionRecord&, std::int16_t level) {
    if (level >= eligible_replicas_level) return 2;
    return level >= directory_assignment_level ? 1 : 0;
}
int version_of(const wire::PartitionChangeRecord&, std::int16_t level) {
    if (level >= eligible_replicas_level) return 2;
    return level >= directory_assignment_level ? 1 : 0;
}
// The lowest that can say what it says.
int version_of(const wire::BrokerRegistrationChangeRecord& record, std::int16_t) {
    if (record.cordoned_log_dirs) return 3;
    if (!record.log_dirs.empty()) return 2;
    return record.in_controlled_shutdown != 0 ? 1 : 0;
}

struct Kind {
    int api_key;
    int max_version;
    Result<Record> (*decode)(wire::Reader& reader, int version);
    std::string_view name;
};

template <class Message>
Result<Record> decode_as(wire::Reader& reader, int version) {
    Message message;
    PABAL_TRY(decode(reader, message, version));
    return Record(std::move(message));
}

template <class Message>
constexpr Kind kind(std::string_view name) {
    return {Message::api_key, Message::max_version, decode_as<Message>, name};
}

// In the order of RecordContent.
constexpr Kind kinds[] = {
    kind<wire::RegisterBrokerRecord>("REGISTER_BROKER_RECORD"),
    kind<wire::UnregisterBrokerRecord>("UNREGISTER_BROKER_RECORD"),
    kind<wire::TopicRecord>("TOPIC_RECORD"),
    kind<wire::PartitionRecord>("PARTITION_RECORD"),
    kind<wire::ConfigRecord>("CONFIG_RECORD"),
    kind<wire::PartitionChangeRecord>("PARTITION_CHANGE_RECORD"),
    kind<wire::FenceBrokerRecord>("FENCE_BROKER_RECORD"),
    kind<wire::UnfenceBrokerRecord>("UNFENCE_BROKER_RECORD"),
    kind<wire::RemoveTopicRecord>("REMOVE_TOPIC_RECORD"),
    kind<wire::DelegationTokenRecord>("DELEGATION_TOKEN_RECORD"),
    kind<wire::UserScramCredentialRecord>("USER_SCRAM_CREDENTIAL_RECORD"),
    kind<wire::FeatureLevelRecord>("FEATURE_LEVEL_RECORD"),
    kind<wire::ClientQuotaRecord>("CLIENT_QUOTA_RECORD"),
    kind<wire::ProducerIdsRecord>("PRODUCER_IDS_RECORD"),
    kind<wire::BrokerRegistrationChangeRecord>("BROKER_REGISTRATION_CHANGE_RECORD"),
    kind<wire::AccessControlEntryRecord>("ACCESS_CONTROL_ENTRY_RECORD"),
    kind<wire::RemoveAccessControlEntryRecord>("REMOVE_ACCESS_CONTROL_ENTRY_RECORD"),
    kind<wire::NoOpRecord>("NO_OP_RECORD"),
    kind<wire::ZkMigrationStateRecord>("ZK_MIGRATION_STATE_RECORD"),
    kind<wire::RemoveUserScramCredentialRecord>("REMOVE_USER_SCRAM_CREDENTIAL_RECORD"),
    kind<wire::BeginTransactionRecord>("BEGIN_TRANSACTION_RECORD"),
    kind<wire::EndTransactionRecord>("END_TRANSACTION_RECORD"),
    kind<wire::AbortTransactionRecord>("ABORT_TRANSACTION_RECORD"),
    kind<wire::RemoveDelegationTokenRecord>("REMOVE_DELEGATION_TOKEN_RECORD"),
    kind<wire::RegisterControllerRecord>("REGISTER_CONTROLLER_RECORD"),
    kind<wire::ClearElrRecord>("CLEAR_ELR_RECORD"),
};
static_assert(std::size(kinds) == std::variant_size_v<RecordContent>);

Error later_version(const std::string& what) {
    return {ErrorCode::unsupported_version,
            what + ", which this version of pabal does not know: it reads metadata.version up to " +
                std::to_string(metadata_version_4_3) +
                ". Open the directory with the version that wrote it"};
}

}  // namespace

std::string_view name(const Record& record) {
    return kinds[record.content.index()].name;
}

Bytes encode(const Record& record, std::int16_t metadata_version) {
    wire::Writer writer;
    std::visit(
        [&](const auto& message) {
            const int version = version_of(message, metadata_version);
            writer.unsigned_varint(frame_version);
            writer.unsigned_varint(static_cast<std::uint32_t>(message.api_key));
            writer.unsigned_varint(static_cast<std::uint32_t>(version));
            encode(writer, message, version);
        },
        record.content);
    return *writer.take().flatten();
}

Result<Record> decode(const Bytes& frame) {
    wire::Reader reader(frame);
    const std::uint32_t frame_is = reader.unsigned_varint("frame version");
    PABAL_TRY(reader.status());
    if (frame_is != frame_version)
        return later_version("a metadata record has frame version " + std::to_string(frame_is));
    const std::uint32_t api_key = reader.unsigned_varint("api key");
    const std::uint32_t version = reader.unsigned_varint("version");
    PABAL_TRY(reader.status());
    const auto* known =
        std::find_if(std::begin(kinds), std::end(kinds), [&](const Kind& candidate) {
            return static_cast<std::uint32_t>(candidate.api_key) == api_key;
        });
    if (known == std::end(kinds))
        return later_version("a metadata record is of kind " + std::to_string(api_key));
    if (version > static_cast<std::uint32_t>(known->max_version))
        return later_version("a " + std::string(known->name) + " has version " +
                             std::to_string(version));
    PABAL_TRY_ASSIGN(Record record, known->decode(reader, static_cast<int>(version)));
    if (reader.remaining() != 0)
        return Error{ErrorCode::corrupt_message,
                     "a " + std::string(known->name) + " is followed by " +
                         std::to_string(reader.remaining()) + " bytes that do not belong to it"};
    return record;
}

}  // namespace pabal::metadata
