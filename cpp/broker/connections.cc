#include "broker/connections.h"

#include <algorithm>

#include "metadata/broker_config.h"
#include "metadata/cluster_image.h"
#include "runtime/controller.h"

namespace pabal::broker {
namespace {

// After accept failed (no descriptor is left, say) the next try waits for so long.
constexpr Duration accept_retry = Duration::milliseconds(100);

}  // namespace

Connections::Connections(Context* context, Dispatch* dispatch)
    : context_(context),
      budget_(context->clock, context->config.integer("queued.max.request.bytes")),
      max_idle_(Duration::milliseconds(context->config.integer("connections.max.idle.ms"))) {
    Metrics& metrics = context->metrics;
    shared_.context = context;
    shared_.dispatch = dispatch;
    shared_.budget = &budget_;
    shared_.frame_buffers = &frame_buffers_;
    shared_.max_frame_bytes =
        static_cast<std::int32_t>(context->config.integer("socket.request.max.bytes"));
    shared_.bytes_in =
        &metrics.counter("pabal_network_received_bytes_total", "Bytes read from clients.");
    shared_.bytes_out =
        &metrics.counter("pabal_network_sent_bytes_total", "Bytes written to clients.");
    shared_.refused = &metrics.counter("pabal_connections_refused_total",
                                       "Connections closed for what their peer sent.");
    open_ = &metrics.gauge("pabal_connections", "Open client connections.");
    accepted_ = &metrics.counter("pabal_connections_accepted_total", "Connections accepted.");
}

Connections::~Connections() {
    ASSERT(connections_.empty() && accepting_count_ == 0, "connections end before their node");
}

void Connections::serve(std::unique_ptr<io::Listener> listener, std::string name,
                        ListenerRole role) {
    auto accepting = std::make_unique<Accepting>();
    accepting->listener = std::move(listener);
    accepting->name = std::move(name);
    accepting->role = role;
    listeners_.push_back(std::move(accepting));
    accepting_count_ += 1;
    io::detach(accept_from(listeners_.back().get()));
}

std::int64_t Connections::limit(std::string_view name) const {
    auto image = context_->image();
    return metadata::ConfigView(context_->config, *image).broker_integer(name);
}

io::Task<void> Connections::accept_from(Accepting* accepting) {
    while (!stops(accepting->role)) {
        if (static_cast<std::int64_t>(connections_.size()) >= limit("max.connections")) {
            io::Gate room(context_->clock);
            waiting_for_room_.push_back(&room);
            context_->log.warning("no more connections are accepted for now: max.connections",
                                  {{"listener", accepting->name}, {"open", connections_.size()}});
            co_await room.opened(Instant::never());
            continue;
        }
        auto stream = co_await accepting->listener->accept();
        if (stops(accepting->role)) break;
        if (stream.ok()) {
            admit(std::move(*stream), *accepting);
            continue;
        }
        context_->log.warning("could not accept a connection",
                              {{"listener", accepting->name}, {"reason", stream.error().message}});
        io::Gate pause(context_->clock);
        waiting_for_room_.push_back(&pause);
        co_await pause.opened(context_->clock.now() + accept_retry);
        std::erase(waiting_for_room_, &pause);
    }
    accepting_count_ -= 1;
    note_end();
}

void Connections::admit(std::unique_ptr<io::Stream> stream, const Accepting& accepting) {
    Peer peer;
    peer.address = io::text(stream->peer());
    peer.host = stream->peer().host;
    peer.listener_name = accepting.name;
    peer.role = accepting.role;
    peer.told_of_cluster = context_->clock.now();
    std::size_t& from_host = per_host_[peer.host];
    if (static_cast<std::int64_t>(from_host) >= limit("max.connections.per.ip")) {
        context_->log.warning("refused a connection: max.connections.per.ip",
                              {{"peer", peer.address}, {"open", from_host}});
        if (from_host == 0) per_host_.erase(peer.host);
        stream->close();
        return;
    }
    from_host += 1;
    accepted_->add();
    open_->add(1);
    std::uint64_t id = next_id_++;
    connections_.emplace(id,
                         std::make_unique<Connection>(shared_, std::move(stream), std::move(peer)));
    arm_sweep();
    io::detach(serve_connection(id));
}

io::Task<void> Connections::serve_connection(std::uint64_t id) {
    Connection* connection = connections_.find(id)->second.get();
    co_await connection->run();
    if (const Peer& peer = connection->peer(); peer.heartbeat_of != no_broker && !stopping_)
        context_->controller.connection_lost(peer.heartbeat_of, peer.heartbeat_epoch);
    auto host = per_host_.find(connection->peer().host);
    if (--host->second == 0) per_host_.erase(host);
    connections_.erase(id);
    open_->add(-1);
    if (!stopping_ && !waiting_for_room_.empty()) {
        waiting_for_room_.back()->open();
        waiting_for_room_.pop_back();
    }
    note_end();
}

void Connections::close_listeners() {
    for (auto& accepting : listeners_)
        if (stops(accepting->role)) accepting->listener->close();
    std::vector<io::Gate*> waiting = std::move(waiting_for_room_);
    waiting_for_room_.clear();
    for (io::Gate* gate : waiting) gate->open();
}

void Connections::stop() {
    stopping_ = true;
    close_listeners();
    for_each([](Connection& connection) { connection.stop(); });
    budget_.close();
}

void Connections::stop_clients() {
    clients_stopping_ = true;
    close_listeners();
    for_each([](Connection& connection) {
        if (connection.peer().role == ListenerRole::broker) connection.stop();
    });
}

void Connections::reset() {
    stopping_ = true;
    close_listeners();
    for_each([](Connection& connection) { connection.reset(); });
    budget_.close();
}

io::Task<bool> Connections::ended(Instant deadline) {
    while (!connections_.empty() || accepting_count_ != 0) {
        io::Gate gate(context_->clock);
        waiting_for_end_.push_back(&gate);
        bool opened = co_await gate.opened(deadline);
        if (!opened) {
            std::erase(waiting_for_end_, &gate);
            co_return false;
        }
    }
    if (sweep_timer_ != 0) context_->clock.cancel(sweep_timer_);
    sweep_timer_ = 0;
    co_return true;
}

void Connections::note_end() {
    if (!connections_.empty() || accepting_count_ != 0) return;
    std::vector<io::Gate*> waiting = std::move(waiting_for_end_);
    waiting_for_end_.clear();
    for (io::Gate* gate : waiting) gate->open();
}

// One timer for all connections, while there are any: it costs a request nothing.
void Connections::arm_sweep() {
    if (sweep_timer_ != 0 || stopping_ || max_idle_ <= Duration() || connections_.empty()) return;
    Duration interval = std::clamp(Duration::nanoseconds(max_idle_.to_nanoseconds() / 4),
                                   Duration::milliseconds(10), Duration::seconds(60));
    sweep_timer_ = context_->clock.at(context_->clock.now() + interval, [this] {
        sweep_timer_ = 0;
        sweep();
        arm_sweep();
    });
}

void Connections::sweep() {
    Instant now = context_->clock.now();
    for_each([&](Connection& connection) {
        Instant since = connection.idle_since();
        if (since == Instant::never() || now - since < max_idle_) return;
        context_->log.debug("closing an idle connection", {{"peer", connection.peer().address}});
        connection.expire();
    });
}

void Connections::for_each(const std::function<void(Connection&)>& action) {
    // An action may end connections.
    std::vector<std::uint64_t> ids;
    ids.reserve(connections_.size());
    for (auto& [id, connection] : connections_) ids.push_back(id);
    for (std::uint64_t id : ids) {
        auto found = connections_.find(id);
        if (found != connections_.end()) action(*found->second);
    }
}

}  // namespace pabal::broker
