#include "sim/network.h"

#include <algorithm>

#include "base/assert.h"

namespace pabal::sim {

Network::Network(Scheduler& scheduler)
    : scheduler_(scheduler),
      lane_(scheduler.add_lane("network")),
      random_(scheduler.random("network latency")),
      cut_random_(scheduler.random("network segments")) {}

Duration Network::latency() {
    const bool tail = profile.tail_one_in != 0 && random_.chance(1, profile.tail_one_in);
    const auto most = tail ? profile.latency_tail : profile.latency_most;
    return Duration::nanoseconds(
        random_.between(profile.latency_least.to_nanoseconds(),
                        std::max(most, profile.latency_least).to_nanoseconds()));
}

bool Network::is_cut(const std::string& from, const std::string& to) const {
    return !cuts_.empty() && cuts_.contains({from, to});
}

void Network::cut(const std::string& from, const std::string& to) {
    scheduler_.trace().event(scheduler_.now(), "network-cut", from, {fingerprint(as_bytes(to))});
    cuts_.emplace(from, to);
}

void Network::heal(const std::string& from, const std::string& to) {
    scheduler_.trace().event(scheduler_.now(), "network-heal", from, {fingerprint(as_bytes(to))});
    cuts_.erase({from, to});
    resume_stalled();
}

void Network::heal_all() {
    scheduler_.trace().event(scheduler_.now(), "network-heal-all", "network", {});
    cuts_.clear();
    resume_stalled();
}

HostState Network::host_state(const std::string& host) const {
    const auto entry = hosts_.find(host);
    return entry == hosts_.end() ? HostState::running : entry->second;
}

void Network::set_host_state(const std::string& host, HostState state) {
    hosts_[host] = state;
    if (state == HostState::running) resume_stalled();
}

void Network::note(std::string_view what, const Connection& connection, int end,
                   std::initializer_list<std::uint64_t> numbers) {
    scheduler_.trace().event(scheduler_.now(), what, connection.ends[end].host, numbers,
                             connection.id);
}

void Network::wake(io::Gate* gate) {
    if (gate) gate->open();
}

std::uint16_t Network::free_port(const std::string& host) {
    auto& last = last_ports_[host];
    do {
        last = last < 40000 || last == 65535 ? 40000 : static_cast<std::uint16_t>(last + 1);
    } while (listeners_.contains({host, last}));
    return last;
}

void Network::send(const ConnectionPtr& connection, int from, Pipe::Segment segment) {
    auto& pipe = connection->pipes[from];
    auto due = scheduler_.now() + latency();
    if (!pipe.under_way.empty()) due = std::max(due, pipe.under_way.back().first);
    pipe.unread_bytes += segment.bytes.size();
    pipe.under_way.emplace_back(due, std::move(segment));
    if (sabotage.swaps_segments && from == 1 && pipe.under_way.size() > 2 &&
        random_.chance(1, 50)) {
        const auto last = pipe.under_way.size() - 1;
        std::swap(pipe.under_way[last].second, pipe.under_way[last - 1].second);
    }
    arm(connection, from);
}

void Network::arm(const ConnectionPtr& connection, int from) {
    auto& pipe = connection->pipes[from];
    if (pipe.armed || pipe.stalled || pipe.under_way.empty()) return;
    pipe.armed = true;
    scheduler_.at(pipe.under_way.front().first, lane_, [this, connection, from] {
        connection->pipes[from].armed = false;
        deliver(connection, from);
    });
}

void Network::resume_stalled() {
    for (auto& [id, connection] : connections_) {
        for (int from = 0; from < 2; ++from) {
            auto& pipe = connection->pipes[from];
            if (!pipe.stalled) continue;
            pipe.stalled = false;
            if (!pipe.under_way.empty()) {
                pipe.under_way.front().first = scheduler_.now() + latency();
            }
            arm(connection, from);
        }
    }
}

void Network::deliver(const ConnectionPtr& connection, int from) {
    auto& pipe = connection->pipes[from];
    auto& sender = connection->ends[from];
    auto& receiver = connection->ends[1 - from];
    if (pipe.under_way.empty()) return;
    const auto state = host_state(receiver.host);
    if (is_cut(sender.host, receiver.host) || state == HostState::silent) {
        pipe.stalled = true;
        return;
    }
    auto segment = std::move(pipe.under_way.front().second);
    if (sabotage.repeats_segments && from == 1 && segment.kind == Pipe::Kind::data &&
        random_.chance(1, 200)) {
        pipe.unread_bytes += segment.bytes.size();
        pipe.under_way.front().second = segment;
    } else {
        pipe.under_way.pop_front();
    }
    note("network-deliver", *connection, 1 - from,
         {static_cast<std::uint64_t>(segment.kind), segment.bytes.size(),
          fingerprint(segment.bytes)});
    if (segment.kind == Pipe::Kind::reset) {
        break_end(*connection, 1 - from);
        connections_.erase(connection->id);
        return;
    }
    if (profile.resets_per_million != 0 && random_.chance(profile.resets_per_million, 1'000'000)) {
        reset(connection, from);
        reset(connection, 1 - from);
        return;
    }
    if (receiver.broken || (receiver.closed && segment.kind == Pipe::Kind::data)) {
        // Nobody is there any more: the sender learns it as a kernel would tell it.
        reset(connection, 1 - from);
        return;
    }
    if (segment.kind == Pipe::Kind::end) {
        receiver.end_arrived = true;
    } else {
        pipe.arrived.push_back(std::move(segment.bytes));
    }
    wake(receiver.readable);
    arm(connection, from);
    const bool both_ended = connection->ends[0].end_arrived && connection->ends[1].end_arrived;
    if (both_ended && connection->pipes[0].under_way.empty() &&
        connection->pipes[1].under_way.empty()) {
        connections_.erase(connection->id);
    }
}

void Network::break_end(Connection& connection, int end) {
    auto& endpoint = connection.ends[end];
    if (endpoint.broken) return;
    endpoint.broken = true;
    // What it still had to send is lost, and what it had not read.
    connection.pipes[end].under_way.clear();
    connection.pipes[1 - end].arrived.clear();
    wake(endpoint.readable);
    wake(endpoint.writable);
}

void Network::reset(const ConnectionPtr& connection, int end) {
    if (connection->ends[end].broken && connection->ends[1 - end].broken) return;
    note("network-reset", *connection, end, {});
    break_end(*connection, end);
    connection->pipes[end].stalled = false;
    send(connection, end, {Pipe::Kind::reset, {}});
}

void Network::close(const ConnectionPtr& connection, int end) {
    auto& endpoint = connection->ends[end];
    if (endpoint.closed || endpoint.broken) return;
    endpoint.closed = true;
    note("network-close", *connection, end, {});
    send(connection, end, {Pipe::Kind::end, {}});
    wake(endpoint.readable);
    wake(endpoint.writable);
}

void Network::try_connect(const ConnectionPtr& connection, std::function<void(bool)> done,
                          Duration retry_after) {
    scheduler_.at(scheduler_.now() + latency(), lane_, [this, connection, done, retry_after] {
        auto& client = connection->ends[0];
        auto& server = connection->ends[1];
        if (client.broken) return;  // It gave up.
        const auto state = host_state(server.host);
        const auto retry = [this, connection, done, retry_after] {
            scheduler_.at(scheduler_.now() + retry_after, lane_,
                          [this, connection, done, retry_after] {
                              try_connect(connection, done, retry_after + retry_after);
                          });
        };
        if (state == HostState::silent || is_cut(client.host, server.host) ||
            is_cut(server.host, client.host)) {
            retry();
            return;
        }
        const auto entry = listeners_.find({server.host, server.local.port});
        const bool accepted =
            state == HostState::running && entry != listeners_.end() && !entry->second->closed;
        note(accepted ? "network-connect" : "network-refuse", *connection, 1, {});
        if (accepted) {
            connection->accepted = true;
            entry->second->backlog.push_back(connection);
            wake(entry->second->acceptable);
        }
        scheduler_.at(scheduler_.now() + latency(), lane_, [done, accepted] { done(accepted); });
    });
}

}  // namespace pabal::sim
