// The transactional producers: each writes to several partitions in one transaction, often with the
// position of its group, and commits or aborts it, or is gone in the midst of it and comes again
// under the same transactional id. The producer of before goes on for a while, as one does that
// does not know that it is fenced. Half of them speak as clients did before KIP-890.
#include <map>
#include <optional>
#include <set>

#include "sim/client/records.h"
#include "sim/workloads/crew.h"
#include "wire/add_offsets_to_txn.h"
#include "wire/add_partitions_to_txn.h"
#include "wire/end_txn.h"
#include "wire/init_producer_id.h"
#include "wire/offset_fetch.h"
#include "wire/produce.h"
#include "wire/txn_offset_commit.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(5);
constexpr Duration first_wait = Duration::milliseconds(20);
constexpr Duration longest_wait = Duration::seconds(1);
// So often a producer sends a batch whose fate is unknown; then it aborts.
constexpr int attempts_max = 6;
constexpr int batches_max = 4;
constexpr int newest_by_name = 12;
// Of so many transactions one is left open, one lasts, one is aborted, and one is the producer's
// last.
constexpr std::uint64_t abandoned_one_in = 8;
constexpr std::uint64_t long_one_in = 12;
constexpr std::uint64_t aborted_one_in = 4;
constexpr std::uint64_t gone_one_in = 8;
constexpr auto transactional_id = Route::Coordinated::transactional_id;

// As the one who asked has to take an answer.
enum class Fate { done, again, fenced, failed };

Fate fate_of(ErrorCode code) {
    switch (code) {
        case ErrorCode::none:
        case ErrorCode::duplicate_sequence_number: return Fate::done;
        case ErrorCode::invalid_producer_epoch:
        case ErrorCode::producer_fenced:
        case ErrorCode::invalid_producer_id_mapping: return Fate::fenced;
        case ErrorCode::out_of_order_sequence_number:
        case ErrorCode::unknown_producer_id:
        case ErrorCode::invalid_txn_state:
        case ErrorCode::transaction_abortable:
        case ErrorCode::corrupt_message:
        case ErrorCode::invalid_record:
        case ErrorCode::invalid_request:
        case ErrorCode::unsupported_version: return Fate::failed;
        default: return Fate::again;
    }
}

// Whoever was given the transactional id once.
struct Producer {
    ProducerId id = no_producer_id;
    ProducerEpoch epoch = no_producer_epoch;
    // Each end of a transaction gives it an epoch, and brokers add partitions (KIP-890).
    bool is_newer = false;
    std::map<Partition, std::int32_t> sequences;
};

struct Seat : PlainSeat {
    using PlainSeat::PlainSeat;

    std::string id;  // Its transactional id.
    std::string group;
    Partition place;  // Of which the group commits positions.
    record::Codecs codecs;
    Producer producer;
    std::optional<Producer> fenced;
    std::int64_t next_number = 0;
    std::int64_t transaction = 0;  // The last one.
    std::int64_t position = 0;
    std::set<Partition> partitions;  // That an older client has added to the transaction.
};

class Transact final : public Crew<Seat> {
public:
    using Crew::Crew;

    std::string name() const override { return "transactional producers"; }

    void start() override {
        load_.has_transactions = true;
        Crew::start();
    }

private:
    void take_seat(int, Seat* seat) override {
        const std::string number = std::to_string(seat->client.id());
        seat->id = "transactions-" + number;
        seat->group = "readers-" + number;
        seat->place = load_.any_partition(seat->client.random());
    }

    io::Task<void> step(Seat* seat) override {
        if (!load_.may_write) co_return;
        if (seat->producer.id == no_producer_id) {
            co_await take_over(this, seat);
            co_return;
        }
        if (seat->fenced) co_await go_on_fenced(this, seat);
        co_await transact(this, seat);
        if (seat->client.random().chance(1, 4)) {
            co_await look(this, seat);
        }
    }

    // The group's position is told once no transaction holds it back.
    io::Task<void> finish(Seat* seat) override {
        bool told = false;
        while (!told && !load_.abandoned) {
            auto looked = co_await look(this, seat);
            told = looked;
            if (!told) co_await pause(seat, Duration::milliseconds(50));
        }
    }

    template <class Tell>
    void each(Tell tell) {
        load_.ledger.each(tell);
    }

    static io::Task<void> pause(Seat* seat, Duration duration) {
        const Instant until = seat->client.after(duration);
        io::Sleep sleep(seat->client.clock(), until);
        co_await sleep;
    }

    // The logs may be read meanwhile.
    static io::Task<void> await_writing(Transact* self, Seat* seat) {
        while (!self->load_.may_write && !self->load_.abandoned) {
            co_await pause(seat, Duration::milliseconds(10));
        }
    }

    // One request to the coordinator of the transactional id; nothing if it was not answered.
    template <class Response, class Request>
    static io::Task<std::optional<Response>> ask(Transact* self, Seat* seat, Request request,
                                                 int version) {
        co_await await_writing(self, seat);
        ++self->load_.writes_under_way;
        auto answer = co_await ask_now<Response>(self, seat, request, version);
        --self->load_.writes_under_way;
        co_return answer;
    }
    template <class Response, class Request>
    static io::Task<std::optional<Response>> ask_now(Transact* self, Seat* seat, Request request,
                                                     int version) {
        std::string id = seat->id;
        WireClient* coordinator =
            co_await seat->client.route().to_coordinator(std::move(id), transactional_id);
        if (!coordinator) co_return std::nullopt;
        auto answer = co_await coordinator->ask<Response>(request, version, patience);
        if (!answer.ok()) {
            self->report_garbled(coordinator->garbled_response());
            seat->client.route().forget_coordinator(seat->id, transactional_id);
            co_return std::nullopt;
        }
        co_return std::optional<Response>(std::move(*answer));
    }

    // Who has moved is looked for again.
    void heed(Seat* seat, ErrorCode code) {
        if (code == ErrorCode::not_coordinator || code == ErrorCode::coordinator_not_available)
            seat->client.route().forget_coordinator(seat->id, transactional_id);
    }

    void report_garbled(const std::string& what) {
        if (what.empty()) return;
        each([&](Checker& checker) { checker.response_garbled(what); });
    }

    // --- a producer begins, and another one ends by that

    static io::Task<void> take_over(Transact* self, Seat* seat) {
        auto& random = seat->client.random();
        wire::InitProducerIdRequest request;
        request.transactional_id = seat->id;
        request.transaction_timeout_ms = static_cast<std::int32_t>(random.between(1'000, 10'000));
        const int version = static_cast<int>(random.between(0, 5));
        auto answer = co_await ask<wire::InitProducerIdResponse>(self, seat, request, version);
        if (!answer) co_return;
        self->heed(seat, answer->error_code);
        if (answer->error_code != ErrorCode::none) co_return;
        seat->producer = Producer();
        seat->producer.id = answer->producer_id;
        seat->producer.epoch = answer->producer_epoch;
        seat->producer.is_newer = self->spec_.transaction_version >= 2 && random.chance(1, 2);
    }

    // Its successor comes as soon as it is asked for.
    void leave(Seat* seat) {
        seat->fenced = std::move(seat->producer);
        seat->producer = Producer();
    }

    // What a producer does that has not heard of its successor: all of it is refused.
    static io::Task<void> go_on_fenced(Transact* self, Seat* seat) {
        Producer old = *seat->fenced;
        if (seat->client.random().chance(1, 2)) seat->fenced.reset();
        const auto what = seat->client.random().below(3);
        if (what == 0) {
            auto batch = self->next_batch(*seat);
            batch.fenced = true;
            batch.transaction = 0;
            if (!old.is_newer) {
                auto added = co_await add(self, seat, &old, batch.partition);
                if (added == Fate::done) self->served(seat, "a part in a transaction");
            }
            co_await deliver(self, seat, &old, batch);
        } else if (what == 1) {
            auto ended = co_await end_once(self, seat, &old, true);
            if (ended == Fate::done) self->served(seat, "the end of a transaction");
        } else {
            auto committed = co_await commit_position(self, seat, &old, ++seat->position);
            if (committed == Fate::done) self->served(seat, "a position in a transaction");
        }
    }

    void served(Seat* seat, const std::string& what) {
        each([&](Checker& checker) { checker.fenced_producer_served(seat->client.id(), what); });
    }

    // --- a transaction

    static io::Task<void> transact(Transact* self, Seat* seat) {
        auto& random = seat->client.random();
        const std::int64_t number = ++seat->transaction;
        seat->partitions.clear();
        Producer* producer = &seat->producer;
        const auto batches = 1 + random.below(batches_max);
        Fate fate = Fate::done;
        for (std::uint64_t i = 0; fate == Fate::done && i < batches; ++i) {
            auto batch = self->next_batch(*seat);
            if (!producer->is_newer && !seat->partitions.contains(batch.partition)) {
                auto added = co_await add(self, seat, producer, batch.partition);
                fate = added;
                if (fate != Fate::done) break;
                seat->partitions.insert(batch.partition);
            }
            auto delivered = co_await deliver(self, seat, producer, batch);
            fate = delivered;
        }
        if (fate == Fate::done && random.chance(1, 2)) {
            const Offset position(++seat->position);
            self->each([&](Checker& checker) {
                checker.commit_asked(seat->group, seat->place, position);
                checker.commit_asked_in_transaction(seat->client.id(), number, seat->group,
                                                    seat->place, position);
            });
            auto committed = co_await commit_position(self, seat, producer, seat->position);
            fate = committed;
        }
        if (random.below(long_one_in) == 0) {
            const Duration longer = Duration::milliseconds(random.between(0, 12'000));
            co_await pause(seat, longer);
        }
        const bool is_abandoned = fate == Fate::fenced || random.below(abandoned_one_in) == 0;
        if (is_abandoned) {
            self->tell_end(seat, number, TransactionEnd::aborted);
            self->leave(seat);
            co_return;
        }
        const bool commits = fate == Fate::done && random.below(aborted_one_in) != 0;
        co_await end(self, seat, number, commits);
        // Nobody knows what became of a batch: its sequence cannot go on. Others are just gone.
        const bool goes = fate != Fate::done || random.below(gone_one_in) == 0;
        if (goes && seat->producer.id != no_producer_id) self->leave(seat);
    }

    SentBatch next_batch(Seat& seat) {
        auto& random = seat.client.random();
        SentBatch batch;
        batch.partition = load_.any_partition(random);
        batch.client = seat.client.id();
        batch.idempotent = true;
        batch.transaction = seat.transaction;
        const auto count = 1 + random.below(static_cast<std::uint64_t>(spec_.batch_records_max));
        for (std::uint64_t i = 0; i < count; ++i) batch.numbers.push_back(seat.next_number++);
        return batch;
    }

    static io::Task<Fate> add(Transact* self, Seat* seat, Producer* producer, Partition partition) {
        wire::AddPartitionsToTxnRequest request;
        request.v3_and_below_transactional_id = seat->id;
        request.v3_and_below_producer_id = producer->id;
        request.v3_and_below_producer_epoch = producer->epoch;
        auto& topic = request.v3_and_below_topics.emplace_back();
        topic.name = partition.topic;
        topic.partitions.emplace_back(partition.index);
        Duration wait = first_wait;
        for (int attempt = 0; attempt < attempts_max && !self->load_.abandoned; ++attempt) {
            const int version = static_cast<int>(seat->client.random().between(0, 3));
            auto answer =
                co_await ask<wire::AddPartitionsToTxnResponse>(self, seat, request, version);
            if (answer && answer->results_by_topic_v3_and_below.size() == 1) {
                const auto& results = answer->results_by_topic_v3_and_below[0];
                const ErrorCode code = results.results_by_partition.at(0).partition_error_code;
                self->heed(seat, code);
                const Fate fate = fate_of(code);
                if (fate != Fate::again) co_return fate;
            }
            co_await pause(seat, wait);
            wait = std::min(wait + wait, longest_wait);
        }
        co_return Fate::failed;
    }

    // The same batch until its fate is known, as often as a producer has the patience for.
    static io::Task<Fate> deliver(Transact* self, Seat* seat, Producer* producer, SentBatch batch) {
        record::BatchOptions options;
        options.compression_level = 1;
        options.producer_id = producer->id;
        options.producer_epoch = producer->epoch;
        options.base_sequence = producer->sequences[batch.partition];
        options.transactional = true;
        const Bytes bytes =
            build_batch(batch, options, seat->client.clock().wall_now(), seat->codecs);
        self->each([&](Checker& checker) { checker.sent(batch); });
        Duration wait = first_wait;
        for (int attempt = 0; attempt < attempts_max && !self->load_.abandoned; ++attempt) {
            co_await await_writing(self, seat);
            ++self->load_.writes_under_way;
            auto fate = co_await produce(self, seat, producer, batch, bytes);
            --self->load_.writes_under_way;
            if (fate == Fate::done) {
                producer->sequences[batch.partition] = record::sequence_after(
                    options.base_sequence, static_cast<std::int32_t>(batch.numbers.size()));
            }
            if (fate != Fate::again) co_return fate;
            seat->client.route().forget(batch.partition);
            co_await pause(seat, wait);
            wait = std::min(wait + wait, longest_wait);
        }
        co_return Fate::failed;
    }

    static io::Task<Fate> produce(Transact* self, Seat* seat, Producer* producer, SentBatch batch,
                                  Bytes bytes) {
        auto& client = seat->client;
        const int version = producer->is_newer ? static_cast<int>(client.random().between(12, 13))
                                               : static_cast<int>(client.random().between(3, 11));
        wire::ProduceRequest request;
        request.transactional_id = seat->id;
        request.acks = batch.acks;
        request.timeout_ms = static_cast<std::int32_t>(patience.to_milliseconds());
        auto& topic = request.topic_data.emplace_back();
        if (version > newest_by_name) {
            topic.topic_id = self->load_.topic(batch.partition.topic).id;
        } else {
            topic.name = batch.partition.topic;
        }
        auto& data = topic.partition_data.emplace_back();
        data.index = PartitionIndex(batch.partition.index);
        data.records = Rope(bytes);
        auto* leader = co_await client.route().to_leader(batch.partition);
        if (!leader) co_return Fate::again;
        batch.leader_epoch = client.route().leader_of(batch.partition).epoch;
        auto answer = co_await leader->ask<wire::ProduceResponse>(request, version, patience);
        if (!answer.ok()) {
            self->report_garbled(leader->garbled_response());
            co_return Fate::again;
        }
        if (answer->responses.size() != 1 || answer->responses[0].partition_responses.size() != 1) {
            self->report_garbled("Produce of one partition was not answered for one");
            co_return Fate::failed;
        }
        const auto& told = answer->responses[0].partition_responses[0];
        if (told.error_code == ErrorCode::none) {
            self->each([&](Checker& checker) { checker.acknowledged(batch, told.base_offset); });
        }
        const bool is_out_of_order = told.error_code == ErrorCode::out_of_order_sequence_number;
        if (is_out_of_order && !batch.fenced) {
            self->each([&](Checker& checker) { checker.refused(batch, "out of order"); });
        }
        co_return fate_of(told.error_code);
    }

    // The group's position, as a part of the transaction.
    static io::Task<Fate> commit_position(Transact* self, Seat* seat, Producer* producer,
                                          std::int64_t position) {
        Duration wait = first_wait;
        bool added = producer->is_newer;
        for (int attempt = 0; attempt < attempts_max && !self->load_.abandoned; ++attempt) {
            Fate fate = Fate::done;
            if (!added) {
                auto asked = co_await add_group(self, seat, producer);
                fate = asked;
                added = fate == Fate::done;
            }
            if (fate == Fate::done) {
                co_await await_writing(self, seat);
                ++self->load_.writes_under_way;
                auto told = co_await tell_position(seat, producer, position);
                --self->load_.writes_under_way;
                fate = told;
            }
            if (fate != Fate::again) co_return fate;
            co_await pause(seat, wait);
            wait = std::min(wait + wait, longest_wait);
        }
        co_return Fate::failed;
    }

    static io::Task<Fate> add_group(Transact* self, Seat* seat, Producer* producer) {
        wire::AddOffsetsToTxnRequest request;
        request.transactional_id = seat->id;
        request.producer_id = producer->id;
        request.producer_epoch = producer->epoch;
        request.group_id = seat->group;
        const int version = static_cast<int>(seat->client.random().between(0, 4));
        auto answer = co_await ask<wire::AddOffsetsToTxnResponse>(self, seat, request, version);
        if (!answer) co_return Fate::again;
        self->heed(seat, answer->error_code);
        co_return fate_of(answer->error_code);
    }

    static io::Task<Fate> tell_position(Seat* seat, Producer* producer, std::int64_t position) {
        auto& route = seat->client.route();
        std::string group = seat->group;
        auto* coordinator = co_await route.to_coordinator(std::move(group));
        if (!coordinator) co_return Fate::again;
        wire::TxnOffsetCommitRequest request;
        request.transactional_id = seat->id;
        request.group_id = seat->group;
        request.producer_id = producer->id;
        request.producer_epoch = producer->epoch;
        auto& topic = request.topics.emplace_back();
        topic.name = seat->place.topic;
        auto& partition = topic.partitions.emplace_back();
        partition.partition_index = PartitionIndex(seat->place.index);
        partition.committed_offset = Offset(position);
        partition.committed_metadata = "";
        const int version =
            producer->is_newer ? 5 : static_cast<int>(seat->client.random().between(0, 4));
        auto answer =
            co_await coordinator->ask<wire::TxnOffsetCommitResponse>(request, version, patience);
        if (!answer.ok() || answer->topics.size() != 1) {
            route.forget_coordinator(seat->group);
            co_return Fate::again;
        }
        const Fate fate = fate_of(answer->topics[0].partitions.at(0).error_code);
        if (fate == Fate::again) route.forget_coordinator(seat->group);
        co_return fate;
    }

    // --- its end

    void tell_end(Seat* seat, std::int64_t number, TransactionEnd how) {
        each([&](Checker& checker) { checker.transaction_ended(seat->client.id(), number, how); });
        ++progress_;
    }

    // Until it is known what became of it.
    static io::Task<void> end(Transact* self, Seat* seat, std::int64_t number, bool commits) {
        if (commits) {
            self->each([&](Checker& checker) { checker.commit_begun(seat->client.id(), number); });
        } else {
            self->tell_end(seat, number, TransactionEnd::aborted);
        }
        Duration wait = first_wait;
        while (!self->load_.abandoned) {
            auto fate = co_await end_once(self, seat, &seat->producer, commits);
            if (fate == Fate::done) {
                if (commits) self->tell_end(seat, number, TransactionEnd::committed);
                co_return;
            }
            if (fate != Fate::again) {
                self->leave(seat);
                co_return;
            }
            co_await pause(seat, wait);
            wait = std::min(wait + wait, longest_wait);
        }
    }

    static io::Task<Fate> end_once(Transact* self, Seat* seat, Producer* producer, bool commits) {
        wire::EndTxnRequest request;
        request.transactional_id = seat->id;
        request.producer_id = producer->id;
        request.producer_epoch = producer->epoch;
        request.committed = commits;
        const int version =
            producer->is_newer ? 5 : static_cast<int>(seat->client.random().between(0, 4));
        auto answer = co_await ask<wire::EndTxnResponse>(self, seat, request, version);
        if (!answer) co_return Fate::again;
        self->heed(seat, answer->error_code);
        const Fate fate = fate_of(answer->error_code);
        if (fate == Fate::done && producer->is_newer) {
            producer->id = answer->producer_id;
            producer->epoch = answer->producer_epoch;
            producer->sequences.clear();
        }
        co_return fate;
    }

    // --- where the group stands

    static io::Task<bool> look(Transact* self, Seat* seat) {
        auto& route = seat->client.route();
        std::string group = seat->group;
        auto* coordinator = co_await route.to_coordinator(std::move(group));
        if (!coordinator) co_return false;
        wire::OffsetFetchRequest request;
        request.require_stable = true;
        auto& asked = request.groups.emplace_back();
        asked.group_id = seat->group;
        auto& topic = asked.topics.emplace().emplace_back();
        topic.name = seat->place.topic;
        topic.partition_indexes.emplace_back(seat->place.index);
        const int version = static_cast<int>(seat->client.random().between(8, 9));
        auto answer =
            co_await coordinator->ask<wire::OffsetFetchResponse>(request, version, patience);
        const bool is_answered = answer.ok() && answer->groups.size() == 1 &&
                                 answer->groups[0].error_code == ErrorCode::none &&
                                 answer->groups[0].topics.size() == 1;
        if (!is_answered) {
            route.forget_coordinator(seat->group);
            co_return false;
        }
        const auto& told = answer->groups[0].topics[0].partitions.at(0);
        if (told.error_code != ErrorCode::none) co_return false;
        self->each([&](Checker& checker) {
            checker.position_read(seat->group, seat->place, told.committed_offset);
        });
        co_return true;
    }
};

}  // namespace

std::unique_ptr<Workload> make_transact(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<Transact>(load, spec);
}

}  // namespace pabal::sim
