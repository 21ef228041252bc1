// What a producer asks of coordinators for its transactional id: who it is, which positions of a
// group belong to its transaction, and that it ends (KIP-98, KIP-890). Asks again while a
// coordinator moves, loads or is busy, until the deadline. Owned by a producer, on its shard.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"
#include "client/brokers.h"
#include "client/find_coordinator.h"
#include "io/clock.h"
#include "io/task.h"

namespace pabal::client {

// What the cluster knows a producer by.
struct ProducerIdentity {
    ProducerId id = no_producer_id;
    ProducerEpoch epoch = no_producer_epoch;
};

// Where a group goes on reading, and the member that has read so far: -1 and no id for none.
struct GroupPositions {
    struct Position {
        std::string topic;
        PartitionIndex partition;
        Offset offset;
        LeaderEpoch leader_epoch = no_leader_epoch;
        std::string metadata;
    };
    std::string group;
    std::string member_id;
    std::int32_t generation = -1;
    std::vector<Position> positions;
};

class Transactions {
public:
    struct Options {
        std::string transactional_id;
        Duration transaction_timeout = Duration::seconds(60);
        Duration request_timeout = Duration::seconds(30);
        Duration retry_backoff = Duration::milliseconds(100);
        Duration retry_backoff_max = Duration::seconds(1);
    };

    // Both outlive this object.
    Transactions(io::Clock* clock, Brokers* brokers, Prng random, Options options);

    const std::string& transactional_id() const { return options_.transactional_id; }
    // Fences whoever had the id before. UNSUPPORTED_VERSION: the brokers are older than Kafka 4.0.
    io::Task<Result<ProducerIdentity>> init(Instant deadline);
    io::Task<Status> send_positions(ProducerIdentity self, GroupPositions positions,
                                    Instant deadline);
    // Who the producer is in its next transaction.
    io::Task<Result<ProducerIdentity>> end(ProducerIdentity self, bool commit, Instant deadline);
    // Nothing is asked again.
    void stop() { stopped_ = true; }

private:
    // Whether it is worth asking again after this; waits then.
    io::Task<bool> again(Error error, int attempt, Instant deadline);
    template <class Response, class Request, class CodeOf>
    io::Task<Result<Response>> ask(CoordinatorKind kind, std::string key, Request request,
                                   CodeOf code_of, Instant deadline);
    Error refused(ErrorCode code, const char* what) const;

    io::Clock& clock_;
    Brokers& brokers_;
    Prng random_;
    Options options_;
    bool stopped_ = false;
};

}  // namespace pabal::client
