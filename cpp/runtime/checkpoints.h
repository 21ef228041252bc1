// What the store keeps of each partition: log start offset, recovery point, high watermark and
// where the log stood. Advisory (a lower recovery point only costs reading), but for a log start
// offset that somebody was promised: `synced` before the answer. Changes are collected and written
// in one batch at a time on the disk pool; the store is opened when the first of them is to be
// written. Keys are by topic id; a store of a newer format is refused.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "io/task.h"
#include "log/partition_log.h"

namespace pabal {
class Logger;
}
namespace pabal::io {
class Gate;
class Store;
struct Ports;
}  // namespace pabal::io

namespace pabal::runtime {

class BrokerStore;

std::string checkpoint_key(const TopicPartition& partition);
std::optional<TopicPartition> parse_checkpoint_key(std::string_view key);
std::string checkpoint_value(const log::LogCheckpoint& checkpoint);
std::optional<log::LogCheckpoint> parse_checkpoint_value(std::string_view value);

class Checkpoints {
public:
    // All outlive this object.
    Checkpoints(io::Ports* ports, BrokerStore* store, const Logger* log);
    ~Checkpoints();

    // Everything that the last run left, in one scan; opens the store.
    io::Task<IoResult<std::map<TopicPartition, log::LogCheckpoint>>> load();

    // Soon; replaces what was saved before and is not written yet.
    void save(const TopicPartition& partition, const log::LogCheckpoint& checkpoint);
    void remove(const TopicPartition& partition);
    // Everything saved until now survives a loss of power.
    io::Task<IoStatus> synced();
    // Nothing is being written any more, and what was saved is.
    io::Task<void> drained();
    // Drops what is not written yet: the node is being killed.
    void halt();

private:
    struct Waiter {
        std::uint64_t version;
        io::Gate* gate;
        IoStatus status;
    };
    void start_writing();
    io::Task<void> write_while_needed();
    void end_waits(const IoStatus& status);

    io::Ports* ports_;
    BrokerStore* store_;
    const Logger* log_;
    std::map<TopicPartition, std::optional<log::LogCheckpoint>> changes_;
    std::uint64_t saved_version_ = 0;
    std::uint64_t synced_version_ = 0;
    std::vector<Waiter*> sync_waiters_;
    std::vector<io::Gate*> drain_waiters_;
    bool writing_ = false;
    bool halted_ = false;
};

}  // namespace pabal::runtime
