#include "broker/fetch_sessions.h"

#include <algorithm>

#include "io/gate.h"

namespace pabal::broker {
namespace {

// Unused for so long, a session may go; younger than that, it cannot be displaced.
constexpr Duration eviction_age = Duration::seconds(120);

}  // namespace

void FetchedPartition::partition_changed(bool wake) {
    session_->add_news(this, wake);
}

FetchSession::~FetchSession() {
    ASSERT(!waiting_, "a fetch keeps the session it waits in");
}

std::size_t FetchSession::KeyHash::operator()(const Key& key) const {
    const auto topic =
        key.name.empty() ? std::hash<TopicId>{}(key.id) : std::hash<std::string_view>{}(key.name);
    return topic * 31 + static_cast<std::size_t>(key.index.value());
}

FetchSession::Key FetchSession::key_of(std::string_view topic_name, const TopicId& topic_id,
                                       PartitionIndex index) const {
    if (uses_topic_ids_) return {{}, topic_id, index};
    return {topic_name, {}, index};
}

FetchedPartition* FetchSession::want(std::string_view topic_name, const TopicId& topic_id,
                                     PartitionIndex index) {
    const auto found = partitions_.find(key_of(topic_name, topic_id, index));
    if (found != partitions_.end()) {
        add_news(found->second.get());
        return found->second.get();
    }
    auto partition = std::make_unique<FetchedPartition>();
    partition->session_ = this;
    partition->index = index;
    if (uses_topic_ids_) {
        partition->topic_id = topic_id;
    } else {
        partition->topic_name = topic_name;
    }
    auto* wanted = partition.get();
    wanted->place_ = order_.size();
    order_.push_back(wanted);
    partitions_.emplace(key_of(wanted->topic_name, topic_id, index), std::move(partition));
    add_news(wanted);
    return wanted;
}

bool FetchSession::forget(std::string_view topic_name, const TopicId& topic_id,
                          PartitionIndex index) {
    const auto found = partitions_.find(key_of(topic_name, topic_id, index));
    if (found == partitions_.end()) return false;
    auto* partition = found->second.get();
    remove_news(partition);
    std::replace(fresh_.begin(), fresh_.end(), partition, static_cast<FetchedPartition*>(nullptr));
    order_[partition->place_] = nullptr;
    ++order_holes_;
    partitions_.erase(found);
    return true;
}

const std::vector<FetchedPartition*>& FetchSession::in_order() {
    if (order_holes_ > 0) {
        std::erase(order_, nullptr);
        for (std::size_t i = 0; i < order_.size(); ++i) order_[i]->place_ = i;
        order_holes_ = 0;
    }
    return order_;
}

void FetchSession::add_news(FetchedPartition* partition, bool wake) {
    if (!partition->has_news_) {
        partition->has_news_ = true;
        partition->previous_ = news_last_;
        partition->next_ = nullptr;
        (news_last_ ? news_last_->next_ : news_first_) = partition;
        news_last_ = partition;
    }
    if (!partition->fresh_) {
        partition->fresh_ = true;
        fresh_.push_back(partition);
    }
    if (waiting_ && wake) waiting_->open();
}

void FetchSession::unlink(FetchedPartition* partition) {
    (partition->previous_ ? partition->previous_->next_ : news_first_) = partition->next_;
    (partition->next_ ? partition->next_->previous_ : news_last_) = partition->previous_;
    partition->previous_ = nullptr;
    partition->next_ = nullptr;
}

void FetchSession::remove_news(FetchedPartition* partition) {
    if (!partition->has_news_) return;
    unlink(partition);
    partition->has_news_ = false;
}

void FetchSession::move_to_end(FetchedPartition* partition) {
    if (!partition->has_news_ || news_last_ == partition) return;
    unlink(partition);
    partition->previous_ = news_last_;
    news_last_->next_ = partition;
    news_last_ = partition;
}

std::vector<FetchedPartition*> FetchSession::take_fresh() {
    std::vector<FetchedPartition*> fresh;
    fresh.swap(fresh_);
    std::erase(fresh, nullptr);
    for (auto* partition : fresh) partition->fresh_ = false;
    return fresh;
}

void FetchSession::set_waiting(io::Gate* gate) {
    if (waiting_) waiting_->open();
    waiting_ = gate;
}

void FetchSession::stop_waiting(io::Gate* gate) {
    if (waiting_ == gate) waiting_ = nullptr;
}

FetchSessions::FetchSessions(std::size_t max_sessions, Prng random)
    : max_sessions_(max_sessions), random_(random) {}

std::int32_t FetchSessions::next_epoch(std::int32_t epoch) {
    if (epoch < 0) return -1;
    return epoch == INT32_MAX ? 1 : epoch + 1;
}

FetchSessions::Continued FetchSessions::resume(std::int32_t id, std::int32_t epoch,
                                               bool uses_topic_ids, Instant now) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return {ErrorCode::fetch_session_id_not_found, nullptr};
    auto& session = *found->second;
    if (session.epoch_ != epoch) return {ErrorCode::invalid_fetch_session_epoch, nullptr};
    if (session.uses_topic_ids_ != uses_topic_ids)
        return {ErrorCode::fetch_session_topic_id_error, nullptr};
    session.epoch_ = next_epoch(epoch);
    session.last_used_ = now;
    session.evictable_ = now - session.created_ > eviction_age;
    // Whoever waits with the epoch before has been overtaken.
    if (session.waiting_) session.waiting_->open();
    return {ErrorCode::none, found->second};
}

std::int32_t FetchSessions::keep(std::shared_ptr<FetchSession> session, Instant now) {
    if (sessions_.size() >= max_sessions_ && !make_room(session->size(), now)) return 0;
    std::int32_t id = 0;
    do {
        id = static_cast<std::int32_t>(random_.between(1, INT32_MAX));
    } while (sessions_.count(id) > 0);
    session->id_ = id;
    session->created_ = now;
    session->last_used_ = now;
    sessions_.emplace(id, std::move(session));
    return id;
}

bool FetchSessions::make_room(std::size_t size, Instant now) {
    if (sessions_.empty()) return false;
    const auto oldest = std::min_element(
        sessions_.begin(), sessions_.end(),
        [](const auto& a, const auto& b) { return a.second->last_used_ < b.second->last_used_; });
    auto victim = sessions_.end();
    if (now - oldest->second->last_used_ > eviction_age) {
        victim = oldest;
    } else {
        for (auto each = sessions_.begin(); each != sessions_.end(); ++each) {
            if (!each->second->evictable_ || each->second->size() >= size) continue;
            if (victim == sessions_.end() || each->second->size() < victim->second->size())
                victim = each;
        }
    }
    if (victim == sessions_.end()) return false;
    sessions_.erase(victim);
    ++evicted_count_;
    return true;
}

void FetchSessions::close(std::int32_t id) {
    sessions_.erase(id);
}

std::size_t FetchSessions::partition_count() const {
    std::size_t count = 0;
    for (const auto& [id, session] : sessions_) count += session->size();
    return count;
}

}  // namespace pabal::broker
