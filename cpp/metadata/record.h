// One record of the metadata log, and its frame: the value of a log record is a frame version (1),
// the number of the record's kind and its version, each an unsigned varint, then the message. Pure.
#pragma once

#include <string_view>
#include <variant>

#include "base/bytes.h"
#include "base/result.h"
#include "wire/records/abort_transaction_record.h"
#include "wire/records/access_control_entry_record.h"
#include "wire/records/begin_transaction_record.h"
#include "wire/records/broker_registration_change_record.h"
#include "wire/records/clear_elr_record.h"
#include "wire/records/client_quota_record.h"
#include "wire/records/config_record.h"
#include "wire/records/delegation_token_record.h"
#include "wire/records/end_transaction_record.h"
#include "wire/records/feature_level_record.h"
#include "wire/records/fence_broker_record.h"
#include "wire/records/no_op_record.h"
#include "wire/records/partition_change_record.h"
#include "wire/records/partition_record.h"
#include "wire/records/producer_ids_record.h"
#include "wire/records/register_broker_record.h"
#include "wire/records/register_controller_record.h"
#include "wire/records/remove_access_control_entry_record.h"
#include "wire/records/remove_delegation_token_record.h"
#include "wire/records/remove_topic_record.h"
#include "wire/records/remove_user_scram_credential_record.h"
#include "wire/records/topic_record.h"
#include "wire/records/unfence_broker_record.h"
#include "wire/records/unregister_broker_record.h"
#include "wire/records/user_scram_credential_record.h"
#include "wire/records/zk_migration_state_record.h"

namespace pabal::metadata {

using RecordContent = std::variant<
    wire::RegisterBrokerRecord, wire::UnregisterBrokerRecord, wire::TopicRecord,
    wire::PartitionRecord, wire::ConfigRecord, wire::PartitionChangeRecord, wire::FenceBrokerRecord,
    wire::UnfenceBrokerRecord, wire::RemoveTopicRecord, wire::DelegationTokenRecord,
    wire::UserScramCredentialRecord, wire::FeatureLevelRecord, wire::ClientQuotaRecord,
    wire::ProducerIdsRecord, wire::BrokerRegistrationChangeRecord, wire::AccessControlEntryRecord,
    wire::RemoveAccessControlEntryRecord, wire::NoOpRecord, wire::ZkMigrationStateRecord,
    wire::RemoveUserScramCredentialRecord, wire::BeginTransactionRecord, wire::EndTransactionRecord,
    wire::AbortTransactionRecord, wire::RemoveDelegationTokenRecord, wire::RegisterControllerRecord,
    wire::ClearElrRecord>;

struct Record {
    RecordContent content;

    Record() = default;
    template <class Kind>
    Record(Kind kind) : content(std::move(kind)) {}
};

// The level of metadata.version that this code writes and finalises: that of Kafka 4.3.
inline constexpr std::int16_t metadata_version_4_3 = 30;
// The lowest level whose records it writes: that of Kafka 3.3, the first with KRaft for production.
inline constexpr std::int16_t lowest_metadata_version = 7;

// Kafka's name of the kind, such as PARTITION_RECORD.
std::string_view name(const Record& record);

// In the version that goes with the level of metadata.version.
Bytes encode(const Record& record, std::int16_t metadata_version);
// UNSUPPORTED_VERSION for kinds and versions of a later Kafka; CORRUPT_MESSAGE for what is none.
Result<Record> decode(const Bytes& frame);

}  // namespace pabal::metadata
