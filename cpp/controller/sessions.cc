#include "controller/sessions.h"

#include "metadata/cluster_image.h"

namespace pabal::controller {

void Sessions::begin(const metadata::ClusterImage& image, Instant now) {
    sessions_.clear();
    last_tick_ = now;
    for (const auto& [id, broker] : image.brokers())
        if (!broker.fenced) sessions_[id] = Session{broker.epoch, now, Offset(-1), false, {}};
}

void Sessions::spoke(BrokerId broker, BrokerEpoch epoch, Offset metadata_offset, Instant now) {
    Session& session = sessions_[broker];
    if (session.epoch != epoch) session = Session{};
    session.epoch = epoch;
    session.last_spoke = now;
    session.metadata_offset = metadata_offset;
    session.connected = true;
}

void Sessions::connection_lost(BrokerId broker, BrokerEpoch epoch) {
    auto found = sessions_.find(broker);
    if (found != sessions_.end() && found->second.epoch == epoch) found->second.connected = false;
}

void Sessions::fenced(BrokerId broker) {
    sessions_.erase(broker);
}

void Sessions::shutdown_began(BrokerId broker, Offset offset) {
    auto found = sessions_.find(broker);
    if (found != sessions_.end()) found->second.shutdown_offset = offset;
}

bool Sessions::is_alive(BrokerId broker) const {
    return sessions_.contains(broker);
}

bool Sessions::is_connected(BrokerId broker) const {
    auto found = sessions_.find(broker);
    return found != sessions_.end() && found->second.connected;
}

bool Sessions::others_know_of_shutdown(BrokerId broker, const metadata::ClusterImage& image) const {
    auto found = sessions_.find(broker);
    // A controller that became active since then does not know the offset, nor need it.
    if (found == sessions_.end() || !found->second.shutdown_offset) return true;
    for (const auto& [id, other] : image.brokers()) {
        if (id == broker || other.fenced) continue;
        auto session = sessions_.find(id);
        if (session == sessions_.end() || !session->second.connected) continue;
        if (session->second.metadata_offset < *found->second.shutdown_offset) return false;
    }
    return true;
}

std::vector<BrokerId> Sessions::elapsed(const metadata::ClusterImage& image, Instant now) {
    // Ten ticks late: this process was held up, and nobody could be heard.
    const Duration held_up = Duration::nanoseconds(tick.to_nanoseconds() * 10);
    if (last_tick_ && now - *last_tick_ > held_up) {
        for (auto& [id, session] : sessions_) session.last_spoke = now;
    }
    last_tick_ = now;
    std::vector<BrokerId> ended;
    for (auto session = sessions_.begin(); session != sessions_.end();) {
        const metadata::BrokerImage* broker = image.broker(session->first);
        if (now - session->second.last_spoke <= timeout_) {
            ++session;
            continue;
        }
        if (broker && !broker->fenced && broker->epoch == session->second.epoch)
            ended.push_back(session->first);
        session = sessions_.erase(session);
    }
    return ended;
}

}  // namespace pabal::controller
