// The consumers: each follows partitions from where they start, by fetches of random size, version
// and patience, and tells the checkers what it sees.
#include <algorithm>
#include <map>

#include "sim/client/records.h"
#include "sim/workloads/crew.h"
#include "wire/fetch.h"
#include "wire/list_offsets.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(5);
constexpr int newest_by_name = 12;
constexpr int first_with_epoch = 9;
constexpr std::int8_t read_committed = 1;

struct Consumer : PlainSeat {
    using PlainSeat::PlainSeat;

    record::Codecs codecs;
    std::map<Partition, Offset> positions;
};

class Consume final : public Crew<Consumer> {
public:
    using Crew::Crew;

    std::string name() const override { return "consumers"; }

private:
    io::Task<void> step(Consumer* consumer) override {
        const auto partition = load_.any_partition(consumer->client.random());
        co_await fetch(this, consumer, partition);
    }

    static io::Task<void> fetch(Consume* self, Consumer* consumer, Partition partition) {
        auto& load = self->load_;
        auto& client = consumer->client;
        auto& random = client.random();
        const int version = static_cast<int>(random.between(4, 17));
        const bool by_id = version > newest_by_name;
        const Offset from = consumer->positions[partition];
        wire::FetchRequest request;
        request.max_wait_ms = static_cast<std::int32_t>(random.between(0, 500));
        request.min_bytes = static_cast<std::int32_t>(random.between(0, 2000));
        request.max_bytes = static_cast<std::int32_t>(random.between(1, 1 << 20));
        request.isolation_level = static_cast<std::int8_t>(random.below(2));
        wire::FetchRequest::FetchTopic topic;
        if (by_id) {
            topic.topic_id = load.topic(partition.topic).id;
        } else {
            topic.topic = partition.topic;
        }
        wire::FetchRequest::FetchPartition wanted;
        wanted.partition = PartitionIndex(partition.index);
        wanted.fetch_offset = from;
        wanted.partition_max_bytes =
            static_cast<std::int32_t>(random.chance(1, 4) ? random.between(1, 500) : 1 << 18);
        topic.partitions.push_back(wanted);
        request.topics.push_back(std::move(topic));
        auto* leader = co_await client.route().to_leader(partition);
        if (!leader) co_return;
        // Named, so that nobody answers who leads no more or not yet (KIP-320).
        const LeaderEpoch epoch = version < first_with_epoch
                                      ? no_leader_epoch
                                      : client.route().leader_of(partition).epoch;
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        load.ledger.each([&](Checker& checker) { checker.asked(client.id(), partition, epoch); });
        auto answer = co_await leader->ask<wire::FetchResponse>(request, version, patience);
        if (!answer.ok()) {
            if (!leader->garbled_response().empty()) self->garbled(leader->garbled_response());
            client.route().forget(partition);
            co_return;
        }
        if (answer->error_code != ErrorCode::none) co_return;
        if (answer->responses.size() != 1 || answer->responses[0].partitions.size() != 1) {
            self->garbled("Fetch of one partition was not answered for one");
            co_return;
        }
        const auto& got = answer->responses[0].partitions[0];
        if (got.error_code == ErrorCode::offset_out_of_range) {
            // Deleted below us, or lost above us with the power: begin where it begins.
            consumer->positions[partition] = std::max(got.log_start_offset, Offset(0));
            if (got.log_start_offset < Offset(0)) co_await find_start(self, consumer, partition);
            co_return;
        }
        if (got.error_code != ErrorCode::none) {
            client.route().forget(partition);
            co_return;
        }
        self->see(*consumer, partition, request, got);
    }

    static io::Task<void> find_start(Consume* self, Consumer* consumer, Partition partition) {
        auto& client = consumer->client;
        wire::ListOffsetsRequest request;
        request.replica_id = no_broker;
        wire::ListOffsetsRequest::ListOffsetsTopic topic;
        topic.name = partition.topic;
        wire::ListOffsetsRequest::ListOffsetsPartition wanted;
        wanted.partition_index = PartitionIndex(partition.index);
        wanted.timestamp = -2;
        topic.partitions.push_back(wanted);
        request.topics.push_back(std::move(topic));
        const int version = static_cast<int>(client.random().between(1, 7));
        auto* leader = co_await client.route().to_leader(partition);
        if (!leader) co_return;
        auto answer = co_await leader->ask<wire::ListOffsetsResponse>(request, version, patience);
        if (!answer.ok()) co_return;
        if (answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
            self->garbled("ListOffsets of one partition was not answered for one");
            co_return;
        }
        const auto& found = answer->topics[0].partitions[0];
        if (found.error_code == ErrorCode::none) consumer->positions[partition] = found.offset;
    }

    void see(Consumer& consumer, const Partition& partition, const wire::FetchRequest& asked,
             const wire::FetchResponse::PartitionData& got) {
        ++progress_;
        const auto& wanted = asked.topics[0].partitions[0];
        const Offset from = wanted.fetch_offset;
        Sight sight;
        sight.partition = partition;
        sight.client = consumer.client.id();
        sight.asked_from = from;
        sight.leader_epoch = wanted.current_leader_epoch;
        sight.is_committed = asked.isolation_level == read_committed;
        sight.high_watermark = got.high_watermark;
        sight.last_stable_offset = got.last_stable_offset;
        sight.log_start_offset = got.log_start_offset;
        if (got.records) {
            auto records = read_records(*got.records, consumer.codecs, got.aborted_transactions);
            if (!records.ok()) {
                garbled(text(partition) + " from offset " + std::to_string(from.value()) + ": " +
                        records.error().message);
                return;
            }
            sight.records = std::move(records).value();
        }
        load_.ledger.each([&](Checker& checker) { checker.saw(sight); });
        if (!sight.records.empty()) {
            consumer.positions[partition] = sight.records.back().offset + 1;
        } else if (consumer.client.random().chance(1, 20)) {
            consumer.positions[partition] = Offset(0);  // Once more from the beginning.
        }
    }

    void garbled(const std::string& what) {
        load_.ledger.each([&](Checker& checker) { checker.response_garbled(what); });
    }
};

}  // namespace

std::unique_ptr<Workload> make_consume(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<Consume>(load, spec);
}

}  // namespace pabal::sim
