// The producers. An idempotent one sends a batch again until it knows what became of it, as a real
// one does; another gives a batch up when its fate is unknown, so that no repetition is ever its
// own.
#include <map>

#include "base/assert.h"
#include "sim/client/records.h"
#include "sim/workloads/crew.h"
#include "wire/init_producer_id.h"
#include "wire/produce.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(5);
constexpr int newest_by_name = 12;
constexpr int newest_by_id = 13;

enum class Fate { acknowledged, unknown, refused };

struct Producer : PlainSeat {
    using PlainSeat::PlainSeat;

    record::Codecs codecs;
    std::int64_t next_number = 0;
    ProducerId id = no_producer_id;
    ProducerEpoch epoch = no_producer_epoch;
    std::map<Partition, std::int32_t> sequences;
};

class Produce final : public Crew<Producer> {
public:
    using Crew::Crew;

    std::string name() const override {
        return spec_.idempotent ? "idempotent producers" : "producers";
    }

private:
    static io::Task<void> pause(Client* client, Duration duration) {
        const Instant until = client->clock().now() + duration;
        io::Sleep sleep(client->clock(), until);
        co_await sleep;
    }

    io::Task<void> step(Producer* producer) override {
        if (!load_.may_write) co_return;
        if (spec_.idempotent && producer->id == no_producer_id) {
            co_await become_idempotent(producer);
            co_return;
        }
        auto batch = next_batch(*producer);
        co_await deliver(this, producer, batch);
    }

    SentBatch next_batch(Producer& producer) {
        auto& random = producer.client.random();
        SentBatch batch;
        batch.partition = load_.any_partition(random);
        batch.client = producer.client.id();
        batch.idempotent = spec_.idempotent;
        batch.acks =
            spec_.idempotent ? std::int16_t{-1} : spec_.acks[random.below(spec_.acks.size())];
        const auto count = 1 + random.below(static_cast<std::uint64_t>(spec_.batch_records_max));
        for (std::uint64_t i = 0; i < count; ++i) batch.numbers.push_back(producer.next_number++);
        return batch;
    }

    static io::Task<void> become_idempotent(Producer* producer) {
        auto& client = producer->client;
        wire::InitProducerIdRequest request;
        request.transaction_timeout_ms = 60'000;
        const int version = static_cast<int>(client.random().between(0, 4));
        auto answer =
            co_await client.wire().ask<wire::InitProducerIdResponse>(request, version, patience);
        if (!answer.ok() || answer->error_code != ErrorCode::none) co_return;
        producer->id = answer->producer_id;
        producer->epoch = answer->producer_epoch;
        producer->sequences.clear();
    }

    // Until the batch's fate is known, or need not be.
    static io::Task<void> deliver(Produce* self, Producer* producer, SentBatch batch) {
        auto& load = self->load_;
        auto& client = producer->client;
        auto& random = client.random();
        record::BatchOptions options;
        options.compression = static_cast<record::Compression>(random.below(5));
        options.compression_level = 1;  // Another one costs time and tells nothing more.
        if (batch.idempotent) {
            options.producer_id = producer->id;
            options.producer_epoch = producer->epoch;
            options.base_sequence = producer->sequences[batch.partition];
        }
        const Bytes bytes =
            build_batch(batch, options, client.clock().wall_now(), producer->codecs);
        load.ledger.each([&](Checker& checker) { checker.sent(batch); });
        Duration wait = Duration::milliseconds(20);
        while (true) {
            while (!load.may_write && !load.abandoned) {
                co_await pause(&client, Duration::milliseconds(10));
            }
            ++load.writes_under_way;
            auto fate = co_await attempt(self, producer, batch, bytes);
            --load.writes_under_way;
            if (fate == Fate::refused && batch.idempotent) {
                producer->id = no_producer_id;
            }
            if (fate == Fate::unknown) client.route().forget(batch.partition);
            if (fate != Fate::unknown || !batch.idempotent || load.abandoned) break;
            co_await pause(&client, wait);
            if (wait < Duration::seconds(1)) wait = wait + wait;
        }
        if (batch.idempotent && producer->id != no_producer_id) {
            producer->sequences[batch.partition] = record::sequence_after(
                options.base_sequence, static_cast<std::int32_t>(batch.numbers.size()));
        }
    }

    static io::Task<Fate> attempt(Produce* self, Producer* producer, SentBatch batch, Bytes bytes) {
        auto& load = self->load_;
        auto& client = producer->client;
        const int version = static_cast<int>(client.random().between(3, newest_by_id));
        const bool by_id = version > newest_by_name;
        wire::ProduceRequest request;
        request.acks = batch.acks;
        request.timeout_ms = static_cast<std::int32_t>(patience.to_milliseconds());
        wire::ProduceRequest::TopicProduceData topic;
        if (by_id) {
            topic.topic_id = load.topic(batch.partition.topic).id;
        } else {
            topic.name = batch.partition.topic;
        }
        wire::ProduceRequest::PartitionProduceData data;
        data.index = PartitionIndex(batch.partition.index);
        data.records = Rope(bytes);
        topic.partition_data.push_back(std::move(data));
        request.topic_data.push_back(std::move(topic));
        auto* leader = co_await client.route().to_leader(batch.partition);
        if (!leader) co_return Fate::unknown;
        batch.leader_epoch = client.route().leader_of(batch.partition).epoch;
        if (batch.acks == 0) {
            auto told = co_await leader->tell(request, version, patience);
            co_return told.ok() ? Fate::acknowledged : Fate::unknown;
        }
        auto answer = co_await leader->ask<wire::ProduceResponse>(request, version, patience);
        if (!answer.ok()) {
            self->report_garbled(leader->garbled_response());
            co_return Fate::unknown;
        }
        if (answer->responses.size() != 1 || answer->responses[0].partition_responses.size() != 1) {
            load.ledger.each([](Checker& checker) {
                checker.response_garbled("Produce of one partition was not answered for one");
            });
            co_return Fate::refused;
        }
        const auto& partition = answer->responses[0].partition_responses[0];
        const Fate fate = self->fate_of(batch, partition.error_code, partition.base_offset);
        co_return fate;
    }

    void report_garbled(const std::string& what) {
        if (what.empty()) return;
        load_.ledger.each([&](Checker& checker) { checker.response_garbled(what); });
    }

    Fate fate_of(const SentBatch& batch, ErrorCode code, Offset base_offset) {
        switch (code) {
            case ErrorCode::none:
                ++progress_;
                load_.ledger.each(
                    [&](Checker& checker) { checker.acknowledged(batch, base_offset); });
                return Fate::acknowledged;
            case ErrorCode::duplicate_sequence_number: ++progress_; return Fate::acknowledged;
            case ErrorCode::out_of_order_sequence_number:
            case ErrorCode::unknown_producer_id:
            case ErrorCode::invalid_producer_epoch:
            case ErrorCode::corrupt_message:
            case ErrorCode::invalid_record:
            case ErrorCode::message_too_large:
            case ErrorCode::unsupported_version:
            case ErrorCode::invalid_request: {
                const std::string why = "error " + std::to_string(static_cast<int>(code));
                load_.ledger.each([&](Checker& checker) { checker.refused(batch, why); });
                return Fate::refused;
            }
            default: return Fate::unknown;
        }
    }
};

}  // namespace

std::unique_ptr<Workload> make_produce(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<Produce>(load, spec);
}

}  // namespace pabal::sim
