#include "sim/faults/fault.h"

#include <algorithm>

#include "io/gate.h"

namespace pabal::sim {
namespace {

constexpr std::uint64_t operations_until_death_max = 200;

class Kill final : public Fault {
public:
    explicit Kill(Death death) : death_(death) {}
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        for (auto* broker : stage->struck) broker->die(death_);
        co_await wait(&stage->clock, duration);
        auto going_on = co_await stage->revive();
        co_return going_on;
    }

private:
    Death death_;
};

class KillInDiskOperation final : public Fault {
public:
    explicit KillInDiskOperation(Death death) : death_(death) {}
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        for (auto* broker : stage->struck) {
            const auto operations = 1 + stage->random.below(operations_until_death_max);
            broker->die_in_disk_operation(operations, death_);
        }
        co_await wait(&stage->clock, duration);
        bool all_alive = true;
        for (auto* broker : stage->struck) {
            broker->die_in_disk_operation(0, death_);
            all_alive = all_alive && broker->is_alive();
        }
        if (all_alive) co_return true;
        auto going_on = co_await stage->revive();
        co_return going_on;
    }

private:
    Death death_;
};

class Restart final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        co_await wait(&stage->clock, duration);
        auto going_on = co_await stage->restart();
        co_return going_on;
    }
};

// In one of a thousand operations the disk answers with an error.
class DiskErrors final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        for (auto* broker : stage->struck) {
            auto& faults = broker->machine().disk().faults;
            faults.write_errors_per_million = 1000;
            faults.sync_errors_per_million = 1000;
        }
        co_await wait(&stage->clock, duration);
        for (auto* broker : stage->struck) broker->machine().disk().faults = Disk::Faults();
        co_return true;
    }
};

// Leaves a little space for a while, and gives the rest back.
class DiskFull final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        const auto capacity = stage->struck.front()->machine().disk().capacity_bytes();
        for (auto* broker : stage->struck) {
            auto& disk = broker->machine().disk();
            disk.set_capacity(disk.used_bytes() + stage->random.below(20'000));
        }
        co_await wait(&stage->clock, duration);
        for (auto* broker : stage->struck) broker->machine().disk().set_capacity(capacity);
        co_return true;
    }
};

// One of two log directories fails, and is sound again for the next run of its broker.
class DirectoryBreaks final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        for (auto* broker : stage->struck)
            broker->machine().disk().faults.broken_path = second_log_directory;
        co_await wait(&stage->clock, duration);
        for (auto* broker : stage->struck) broker->machine().disk().faults = Disk::Faults();
        auto going_on = co_await stage->restart();
        co_return going_on;
    }
};

class DiskSlow final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        for (auto* broker : stage->struck) {
            auto& faults = broker->machine().disk().faults;
            faults.job_least = Duration::milliseconds(5);
            faults.job_most = Duration::milliseconds(500);
        }
        co_await wait(&stage->clock, duration);
        for (auto* broker : stage->struck) broker->machine().disk().faults = Disk::Faults();
        co_return true;
    }
};

// The process stops, as under SIGSTOP, and goes on.
class Pause final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        for (auto* broker : stage->struck) broker->set_paused(true);
        co_await wait(&stage->clock, duration);
        for (auto* broker : stage->struck) broker->set_paused(false);
        co_return true;
    }
};

class NetworkSlow final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        auto& profile = stage->network.profile;
        const auto before = profile;
        profile.latency_most = Duration::milliseconds(stage->random.between(1, 200));
        profile.tail_one_in = 10;
        profile.latency_tail = Duration::seconds(2);
        profile.window_bytes = 1 + static_cast<std::uint32_t>(stage->random.below(8192));
        co_await wait(&stage->clock, duration);
        profile = before;
        co_return true;
    }
};

class ResetStreams final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        auto& profile = stage->network.profile;
        const auto before = profile.resets_per_million;
        profile.resets_per_million = 20'000;
        co_await wait(&stage->clock, duration);
        profile.resets_per_million = before;
        co_return true;
    }
};

// One client cannot reach a broker, or not be reached by it.
class Cut final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        const auto& clients = stage->load.clients();
        const std::string client = clients[stage->random.below(clients.size())]->host();
        const std::string broker = stage->struck.front()->machine().name();
        const auto direction = stage->random.below(3);
        if (direction != 0) stage->network.cut(client, broker);
        if (direction != 1) stage->network.cut(broker, client);
        co_await wait(&stage->clock, duration);
        stage->network.heal_all();
        co_return true;
    }
};

// The struck and the other brokers cannot reach each other, or not one way; each client stays on
// one side, or reaches both.
class Split final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration duration) override {
        const auto direction = stage->random.below(4);
        std::vector<std::string> inside, outside;
        for (auto* broker : stage->brokers) {
            const bool is_struck = std::find(stage->struck.begin(), stage->struck.end(), broker) !=
                                   stage->struck.end();
            (is_struck ? inside : outside).push_back(broker->machine().name());
        }
        for (const auto& client : stage->load.clients()) {
            const auto side = stage->random.below(4);
            if (side == 0) inside.push_back(client->host());
            if (side == 1) outside.push_back(client->host());
        }
        for (const auto& one : inside) {
            for (const auto& other : outside) {
                if (direction != 0) stage->network.cut(one, other);
                if (direction != 1) stage->network.cut(other, one);
            }
        }
        co_await wait(&stage->clock, duration);
        stage->network.heal_all();
        co_return true;
    }
};

// Policy time moves by hours, from timer to timer, while link time hardly does.
class Advance final : public Fault {
public:
    io::Task<bool> strike(Stage* stage, Duration) override {
        auto* broker = stage->struck.front();
        if (!broker->is_up()) co_return true;
        auto& clock = broker->process().clock();
        const Instant target =
            clock.policy_now() + Duration::seconds(stage->random.between(1, 7200));
        while (broker->is_up() && clock.policy_now() < target) {
            const auto next = clock.next_policy_timer();
            const Instant step = next && *next < target ? *next : target;
            if (step > clock.policy_now()) clock.advance_policy(step - clock.policy_now());
            co_await wait(&stage->clock, Duration::milliseconds(2));
        }
        co_return true;
    }
};

}  // namespace

io::Task<void> wait(io::Clock* clock, Duration duration) {
    const Instant until = clock->now() + duration;
    io::Sleep sleep(*clock, until);
    co_await sleep;
}

std::unique_ptr<Fault> make_fault(const std::string& kind) {
    if (kind == "kill") return std::make_unique<Kill>(Death::killed);
    if (kind == "power-loss") return std::make_unique<Kill>(Death::power_lost);
    if (kind == "kill-in-disk-operation") {
        return std::make_unique<KillInDiskOperation>(Death::killed);
    }
    if (kind == "power-loss-in-disk-operation") {
        return std::make_unique<KillInDiskOperation>(Death::power_lost);
    }
    if (kind == "restart") return std::make_unique<Restart>();
    if (kind == "disk-full") return std::make_unique<DiskFull>();
    if (kind == "disk-errors") return std::make_unique<DiskErrors>();
    if (kind == "directory-breaks") return std::make_unique<DirectoryBreaks>();
    if (kind == "disk-slow") return std::make_unique<DiskSlow>();
    if (kind == "pause") return std::make_unique<Pause>();
    if (kind == "network-slow") return std::make_unique<NetworkSlow>();
    if (kind == "reset-streams") return std::make_unique<ResetStreams>();
    if (kind == "cut") return std::make_unique<Cut>();
    if (kind == "split") return std::make_unique<Split>();
    if (kind == "advance") return std::make_unique<Advance>();
    return nullptr;
}

}  // namespace pabal::sim
