#include "runtime/metadata_publisher.h"

#include <deque>
#include <utility>

#include "base/log.h"
#include "base/probe.h"
#include "io/gate.h"
#include "log/partition_log.h"
#include "metadata/broker_config.h"
#include "metadata/image_loader.h"
#include "metadata/record.h"
#include "metadata/snapshot.h"
#include "runtime/quorum.h"

namespace pabal::runtime {
namespace {

using metadata::ClusterDelta;
using metadata::ClusterImage;
using metadata::ImageLoader;

Status replay(ImageLoader* loader, const MetadataEntry& entry) {
    if (entry.control) {
        loader->skip(entry.offset, entry.epoch, entry.timestamp);
        return {};
    }
    PABAL_TRY_ASSIGN(const metadata::Record record, metadata::decode(entry.value));
    return loader->replay(record, entry.offset, entry.epoch, entry.timestamp);
}

std::int16_t level_of(const ClusterImage& image) {
    return image.metadata_version() > 0 ? image.metadata_version() : metadata::metadata_version_4_3;
}

}  // namespace

struct MetadataPublisher::State {
    // Proposed here, not yet published.
    struct Pending {
        Offset last;
        ClusterImage image;  // With everything up to `last`.
        ClusterDelta delta;
    };

    ImageLoader loader;  // With everything below `next`, all of it committed.
    Offset next{0};
    std::deque<Pending> pending;
    std::vector<ImageSubscriber> subscribers;
    std::vector<std::function<void()>> publish_actions;
    std::function<void(IoError)> failure_action;
    Offset committed_end{0};
    bool first_image = true;  // None was published so far.
    bool publishing = false;
    bool snapshotting = false;  // A file is being written on the disk pool.
    bool stopping = false;
    bool failed = false;
    io::TimerId snapshot_timer = 0;
    io::Gate* idle_gate = nullptr;  // Opened when nothing is being done, if somebody waits.
};

MetadataPublisher::MetadataPublisher(io::Ports ports, const metadata::BrokerConfig& config,
                                     Quorum* quorum, const Logger* log)
    : ports_(std::move(ports)),
      config_(config),
      quorum_(quorum),
      log_(log),
      image_(std::make_shared<const ClusterImage>()),
      state_(std::make_unique<State>()) {
    quorum_->on_commit([this](Offset high_watermark) { committed(high_watermark); });
    quorum_->on_failure([this](IoError error) {
        if (log_) log_->error("metadata log failed", {{"reason", error.message}});
        fail(std::move(error));
    });
}

MetadataPublisher::~MetadataPublisher() = default;

void MetadataPublisher::subscribe(ImageSubscriber subscriber) {
    state_->subscribers.push_back(std::move(subscriber));
}

void MetadataPublisher::on_publish(std::function<void()> action) {
    state_->publish_actions.push_back(std::move(action));
}

void MetadataPublisher::on_failure(std::function<void(IoError)> action) {
    state_->failure_action = std::move(action);
}

bool MetadataPublisher::ready() const {
    return !state_->first_image;
}

Status MetadataPublisher::open() {
    auto opened = quorum_->open();
    if (opened.ok())
        opened = quorum_->read_snapshot(
            [this](const MetadataEntry& entry) { return replay(&state_->loader, entry); });
    if (!opened.ok()) return Error{ErrorCode::kafka_storage_error, opened.error().message};
    if (const auto snapshot = quorum_->latest_snapshot()) state_->next = snapshot->end_offset;
    static_cast<void>(state_->loader.take_delta());
    if (const auto* repair = quorum_->repair(); repair && log_) {
        log_->warning("the metadata log was cut off at its first damaged batch",
                      {{"file", repair->path},
                       {"position", repair->position},
                       {"offset", repair->offset.value()},
                       {"dropped_bytes", repair->dropped_bytes},
                       {"why", repair->reason}});
    }
    schedule_snapshot();
    return {};
}

// Reads on in the log, up to `end`; where the log begins later, its snapshot replaces all.
IoStatus MetadataPublisher::follow(ImageLoader* loader, Offset* next, Offset end,
                                   ClusterDelta* delta) const {
    auto visit = [&](const MetadataEntry& entry) { return replay(loader, entry); };
    if (*next < quorum_->log_start_offset()) {
        REACHED("metadata-is-read-from-a-fetched-snapshot");
        const ClusterImage before = loader->image();
        *loader = ImageLoader();
        PABAL_TRY(quorum_->read_snapshot(visit));
        *next = quorum_->latest_snapshot()->end_offset;
        static_cast<void>(loader->take_delta());
        *delta = ClusterDelta::between(before, loader->image());
    }
    if (*next < end) {
        PABAL_TRY(quorum_->read(*next, end, visit));
        *next = end;
    }
    delta->merge(loader->take_delta());
    return {};
}

Result<MetadataPublisher::Head> MetadataPublisher::head() const {
    ImageLoader loader = state_->loader;
    Offset next = state_->next;
    Head head;
    auto read = follow(&loader, &next, quorum_->log_end_offset(), &head.delta);
    if (!read.ok()) return Error{ErrorCode::kafka_storage_error, read.error().message};
    head.abandoned_transaction = loader.in_transaction();
    loader.abandon_transaction();
    head.delta.merge(loader.take_delta());
    head.image = loader.image();
    return head;
}

void MetadataPublisher::proposed(Offset last, ClusterImage image, ClusterDelta delta) {
    state_->pending.push_back({last, std::move(image), std::move(delta)});
}

void MetadataPublisher::forget_proposed() {
    state_->pending.clear();
    committed(state_->committed_end);
}

void MetadataPublisher::fail(IoError error) {
    if (state_->failed) return;
    state_->failed = true;
    for (const auto& action : state_->publish_actions) action();
    if (state_->failure_action) state_->failure_action(std::move(error));
}

void MetadataPublisher::committed(Offset high_watermark) {
    State& state = *state_;
    state.committed_end = high_watermark;
    if (state.publishing || state.stopping || state.failed) return;
    if (state.pending.empty() ? state.next >= high_watermark
                              : state.pending.front().last >= high_watermark)
        return;
    state.publishing = true;
    io::detach(publish());
}

bool MetadataPublisher::take_news(ClusterDelta* delta, ImagePointer* image) {
    State& state = *state_;
    if (!state.pending.empty()) {
        if (state.pending.front().last >= state.committed_end) return false;
        while (!state.pending.empty() && state.pending.front().last < state.committed_end) {
            State::Pending& next = state.pending.front();
            if (!state.first_image) delta->merge(std::move(next.delta));
            state.loader = ImageLoader(std::move(next.image));
            state.next = next.last + 1;
            state.pending.pop_front();
        }
    } else {
        if (state.next >= std::max(state.committed_end, quorum_->log_start_offset())) return false;
        auto read = follow(&state.loader, &state.next, state.committed_end, delta);
        if (!read.ok()) {
            fail(read.error());
            return false;
        }
    }
    *image = std::make_shared<const ClusterImage>(state.loader.image());
    // Before, nobody knew anything: all of it is news.
    if (state.first_image) *delta = ClusterDelta::all_of(**image);
    return true;
}

io::Task<void> MetadataPublisher::publish() {
    State& state = *state_;
    while (!state.stopping && !state.failed) {
        ClusterDelta merged;
        ImagePointer image;
        if (!take_news(&merged, &image)) break;
        const bool worth_telling = state.first_image || !merged.empty();
        state.first_image = false;
        auto delta = std::make_shared<const ClusterDelta>(std::move(merged));
        for (std::size_t i = 0; worth_telling && i < state.subscribers.size(); ++i) {
            ImageSubscriber subscriber = state.subscribers[i];
            std::shared_ptr<const ClusterDelta> news = delta;
            ImagePointer told = image;
            co_await subscriber(news, told);
        }
        image_ = image;
        for (const auto& action : state.publish_actions) action();
        if (snapshot_is_due()) io::detach(take_snapshot());
    }
    state.publishing = false;
    if (state.idle_gate) state.idle_gate->open();
}

bool MetadataPublisher::snapshot_is_due() const {
    return !state_->snapshotting && !state_->stopping && !state_->failed &&
           quorum_->bytes_since_snapshot() >=
               config_.integer("metadata.log.max.record.bytes.between.snapshots");
}

// The other reason for a snapshot: the last one has become old.
void MetadataPublisher::schedule_snapshot() {
    const std::int64_t interval = config_.integer("metadata.log.max.snapshot.interval.ms");
    if (interval == 0 || state_->stopping) return;
    state_->snapshot_timer = ports_.clock.at_policy(
        ports_.clock.policy_now() + Duration::milliseconds(interval), [this] {
            if (!state_->snapshotting && !state_->failed && ready() &&
                quorum_->bytes_since_snapshot() > 0)
                io::detach(take_snapshot());
            schedule_snapshot();
        });
}

io::Task<void> MetadataPublisher::take_snapshot() {
    state_->snapshotting = true;
    const ImagePointer image = image_;
    std::vector<Bytes> frames;
    for (const metadata::Record& record : image->records())
        frames.push_back(metadata::encode(record, level_of(*image)));
    const metadata::SnapshotId id{image->offset() + 1, image->epoch()};
    const WallTime last_contained = image->timestamp();
    auto written = co_await quorum_->snapshot(id, last_contained, std::move(frames));
    if (log_ && written.ok())
        log_->info("metadata snapshot written", {{"end_offset", id.end_offset}});
    if (log_ && !written.ok())
        log_->error("metadata snapshot failed", {{"reason", written.error().message}});
    state_->snapshotting = false;
    if (state_->idle_gate) state_->idle_gate->open();
}

io::Task<void> MetadataPublisher::stop() {
    state_->stopping = true;
    ports_.clock.cancel(state_->snapshot_timer);
    while (state_->publishing || state_->snapshotting) {
        io::Gate idle(ports_.clock);
        state_->idle_gate = &idle;
        const Instant never = Instant::never();
        auto opened = co_await idle.opened(never);
        static_cast<void>(opened);
        state_->idle_gate = nullptr;
    }
}

}  // namespace pabal::runtime
