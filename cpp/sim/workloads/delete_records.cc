// Now and then somebody deletes the records below some offset of a partition.
#include "wire/delete_records.h"
#include "sim/workloads/crew.h"
#include "wire/list_offsets.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(5);

class DeleteRecords final : public Crew<PlainSeat> {
public:
    using Crew::Crew;

    std::string name() const override { return "deleters"; }

private:
    io::Task<void> step(PlainSeat* seat) override {
        if (!load_.may_write) co_return;
        Client* client = &seat->client;
        const auto partition = load_.any_partition(client->random());
        co_await delete_some(this, client, partition);
    }

    static io::Task<void> delete_some(DeleteRecords* self, Client* client, Partition partition) {
        wire::ListOffsetsRequest list;
        list.replica_id = no_broker;
        wire::ListOffsetsRequest::ListOffsetsTopic listed_topic;
        listed_topic.name = partition.topic;
        wire::ListOffsetsRequest::ListOffsetsPartition latest;
        latest.partition_index = PartitionIndex(partition.index);
        latest.timestamp = -1;
        listed_topic.partitions.push_back(latest);
        list.topics.push_back(std::move(listed_topic));
        const int list_version = static_cast<int>(client->random().between(1, 9));
        auto* leader = co_await client->route().to_leader(partition);
        if (!leader) co_return;
        auto ends = co_await leader->ask<wire::ListOffsetsResponse>(list, list_version, patience);
        if (!ends.ok() || ends->topics.size() != 1 || ends->topics[0].partitions.size() != 1) {
            client->route().forget(partition);
            co_return;
        }
        const auto& end = ends->topics[0].partitions[0];
        if (end.error_code != ErrorCode::none) client->route().forget(partition);
        if (end.error_code != ErrorCode::none || end.offset <= Offset(0)) co_return;
        if (!self->load_.may_write) co_return;

        const Offset below(client->random().between(0, end.offset.value()));
        wire::DeleteRecordsRequest request;
        request.timeout_ms = static_cast<std::int32_t>(patience.to_milliseconds());
        wire::DeleteRecordsRequest::DeleteRecordsTopic topic;
        topic.name = partition.topic;
        wire::DeleteRecordsRequest::DeleteRecordsPartition wanted;
        wanted.partition_index = PartitionIndex(partition.index);
        wanted.offset = below;
        topic.partitions.push_back(wanted);
        request.topics.push_back(std::move(topic));
        auto& ledger = self->load_.ledger;
        ledger.each([&](Checker& checker) { checker.delete_asked(partition, below); });
        const int version = static_cast<int>(client->random().between(0, 2));
        ++self->load_.writes_under_way;
        auto answer = co_await leader->ask<wire::DeleteRecordsResponse>(request, version, patience);
        --self->load_.writes_under_way;
        if (!answer.ok() || answer->topics.size() != 1 ||
            answer->topics[0].partitions.size() != 1) {
            client->route().forget(partition);
            co_return;
        }
        const auto& done = answer->topics[0].partitions[0];
        if (done.error_code != ErrorCode::none) co_return;
        ++self->progress_;
        ledger.each([&](Checker& checker) { checker.deleted(partition, done.low_watermark); });
    }
};

}  // namespace

std::unique_ptr<Workload> make_delete_records(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<DeleteRecords>(load, spec);
}

}  // namespace pabal::sim
