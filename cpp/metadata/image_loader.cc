#include "metadata/image_loader.h"

#include <utility>

#include "metadata/record.h"

namespace pabal::metadata {

Status ImageLoader::replay(const Record& record, Offset offset, LeaderEpoch epoch,
                           WallTime timestamp) {
    if (std::holds_alternative<wire::BeginTransactionRecord>(record.content)) {
        if (before_)
            return Error{ErrorCode::corrupt_message,
                         "a metadata transaction begins inside another, at offset " +
                             std::to_string(offset.value())};
        before_ = Standing{image_, std::move(delta_)};
        delta_ = ClusterDelta();
    } else if (std::holds_alternative<wire::EndTransactionRecord>(record.content) ||
               std::holds_alternative<wire::AbortTransactionRecord>(record.content)) {
        if (!before_)
            return Error{ErrorCode::corrupt_message,
                         "a metadata transaction ends that never began, at offset " +
                             std::to_string(offset.value())};
        if (std::holds_alternative<wire::AbortTransactionRecord>(record.content)) {
            abandon_transaction();
        } else {
            before_->delta.merge(std::move(delta_));
            delta_ = std::move(before_->delta);
            before_.reset();
        }
    } else if (auto replayed = image_.replay(record, &delta_); !replayed.ok()) {
        return Error{replayed.error().code, replayed.error().message + " (at offset " +
                                                std::to_string(offset.value()) + ")"};
    }
    skip(offset, epoch, timestamp);
    return {};
}

void ImageLoader::skip(Offset offset, LeaderEpoch epoch, WallTime timestamp) {
    image_.advance(offset, epoch, timestamp);
}

void ImageLoader::abandon_transaction() {
    if (!before_) return;
    image_ = std::move(before_->image);
    delta_ = std::move(before_->delta);
    before_.reset();
}

ClusterDelta ImageLoader::take_delta() {
    return std::exchange(before_ ? before_->delta : delta_, ClusterDelta());
}

}  // namespace pabal::metadata
