// Delivers what a record accumulator collects: learns who leads, sends batches to the leaders with
// several requests under way, tries again what may succeed later, and says of each batch how it
// ended. Idempotent by default: the brokers drop what a lost answer made us send twice, and the
// order within a partition survives retries (KIP-98, KIP-679).
//
// Lives on one shard; whoever owns it awaits `stop` before it goes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"
#include "client/brokers.h"
#include "client/record_accumulator.h"
#include "client/task_group.h"
#include "client/transactions.h"
#include "io/clock.h"
#include "io/network.h"
#include "io/task.h"
#include "record/attributes.h"
#include "record/compression.h"

namespace pabal::wire {
struct ProduceResponse;
}

namespace pabal::client {

class Producer {
public:
    struct Options {
        Brokers::Options brokers;
        std::int16_t acks = -1;
        bool idempotent = true;
        record::Compression compression = record::Compression::none;
        int compression_level = record::default_compression_level;
        int max_in_flight = 5;
        int retries = INT32_MAX;
        std::size_t max_request_size = 1u << 20;
        Duration delivery_timeout = Duration::seconds(120);
        Duration request_timeout = Duration::seconds(30);
        Duration retry_backoff = Duration::milliseconds(100);
        Duration retry_backoff_max = Duration::seconds(1);
        Duration metadata_max_age = Duration::seconds(300);
        // A producer with one writes within transactions only: between `init_transactions` and each
        // `end_transaction`. Its epoch is its coordinator's affair.
        std::string transactional_id;
        Duration transaction_timeout = Duration::seconds(60);
    };

    Producer(io::Clock* clock, io::Network* network, Prng random, Options options,
             std::shared_ptr<RecordAccumulator> accumulator);
    ~Producer();

    // The accumulator has news, or time has passed: sends what can be sent.
    void pump();
    // Ends all that is under way; batches that did not arrive fail.
    io::Task<void> stop();

    // --- with a transactional id
    // Before the first record: fences whoever had the id before, and has its transaction aborted.
    io::Task<Status> init_transactions(Duration timeout);
    io::Task<Status> send_positions(GroupPositions positions, Duration timeout);
    // Runs one of these calls for a caller that does not wait here; before `stop`.
    void carry_out(io::Task<Status> call, std::function<void(Status)> done);
    // Nothing is sent any more of the open transaction, which shall be aborted; what is collected
    // fails.
    void give_transaction_up();
    // When everything that was sent has ended. To commit is refused with the first failure of the
    // transaction, if there was one; then it can be aborted only.
    io::Task<Status> end_transaction(bool commit, Duration timeout);

private:
    // The way to one broker.
    struct Link {
        BrokerId broker;
        std::shared_ptr<Channel> channel;
        bool connecting = false;
        int in_flight = 0;
        Instant not_before;
        int failures = 0;
    };
    // A request in the making.
    struct Draft {
        Link* link = nullptr;
        std::vector<std::unique_ptr<Batch>> batches;
        std::size_t size_bytes = 0;
    };

    bool pump_once();
    bool add(Lane* lane, std::map<BrokerId, Draft>* drafts);
    Link* link_to(BrokerId broker);
    void send(Draft draft);
    Rope seal(Batch* batch);
    bool ready_for_idempotence();
    void restart_sequences(Lane* lane);

    io::Task<void> connect(Link* link);
    io::Task<void> refresh();
    io::Task<void> init_producer_id();
    io::Task<void> deliver(Link* link, std::vector<std::unique_ptr<Batch>> batches,
                           std::vector<Rope> records);

    void answered(wire::ProduceResponse& response, std::vector<std::unique_ptr<Batch>> batches);
    void refused(std::unique_ptr<Batch> batch, Error error, bool leader_known);
    void retry(std::unique_ptr<Batch> batch, Error error, bool at_once);
    void give_up(std::unique_ptr<Batch> batch, Error error);
    void expire();
    void want_metadata();
    bool is_transactional() const { return transactions_.has_value(); }
    void fail_transaction(const Error& error);
    void fail_lane(Lane* lane);
    void wake_at(Instant when);
    void landed(Batch* batch);
    Duration backoff(int attempts);

    io::Clock& clock_;
    Options options_;
    Prng random_;
    std::shared_ptr<RecordAccumulator> accumulator_;
    Brokers brokers_;
    TaskGroup tasks_;
    record::Codecs codecs_;

    std::map<BrokerId, std::unique_ptr<Link>> links_;
    std::vector<Lane*> retrying_;  // Lanes with batches that were sent before.
    std::size_t turn_ = 0;         // Which lane comes first, so that none starves.
    bool stopping_ = false;
    bool pumping_ = false;

    bool refreshing_ = false;
    bool metadata_wanted_ = false;
    Instant refresh_not_before_;
    Instant refreshed_;
    int refresh_failures_ = 0;

    ProducerId producer_id_ = no_producer_id;
    ProducerEpoch producer_epoch_ = no_producer_epoch;
    bool asking_producer_id_ = false;
    Instant ask_not_before_;
    int ask_failures_ = 0;

    std::optional<Transactions> transactions_;
    bool transaction_begun_ = false;           // Something of it was sent.
    std::optional<Error> transaction_failed_;  // Then it can only be aborted.

    io::TimerId timer_ = 0;
    Instant timer_at_ = Instant::never();
};

}  // namespace pabal::client
