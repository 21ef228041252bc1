#include "log/segment.h"

#include <algorithm>

#include "io/disk.h"
#include "log/batch_scanner.h"
#include "log/file_name.h"
#include "log/partition_log.h"

namespace pabal::log {
namespace {

// How many of the newest batches are remembered by place.
constexpr std::size_t recent_count = 32;

BatchPlace place_of(const BatchScanner& scanner) {
    const auto& batch = scanner.batch();
    return {batch.base_offset(), batch.last_offset(), batch.max_timestamp().milliseconds,
            scanner.position(), static_cast<std::int64_t>(batch.size())};
}

}  // namespace

Segment::Segment(io::Disk& disk, const std::string& directory, Offset base, SegmentFiles files,
                 std::int32_t index_interval_bytes, WallTime created)
    : disk_(disk),
      directory_(directory),
      base_(base),
      size_(std::max<std::int64_t>(files.log, 0)),
      files_(files),
      index_interval_bytes_(index_interval_bytes),
      file_exists_(files.log >= 0),
      created_(created) {}

Segment::~Segment() = default;

std::string Segment::path(std::string_view suffix) const {
    return file_path(directory_, base_, suffix);
}

IoError Segment::no_batch(std::int64_t position, const std::string& reason) const {
    return IoError{0, path(log_suffix) + " holds no record batch at position " +
                          std::to_string(position) + ": " + reason};
}

IoResult<std::shared_ptr<io::File>> Segment::file() const {
    if (!file_) {
        const auto mode = file_exists_ ? io::OpenMode::read_write : io::OpenMode::create;
        PABAL_TRY_ASSIGN(file_, disk_.open(path(log_suffix), mode));
    }
    return file_;
}

IoResult<bool> Segment::must_roll(std::int64_t bytes, Offset last_offset,
                                  std::int64_t max_timestamp, const LogConfig& config,
                                  WallTime now) {
    if (!can_hold(last_offset)) return true;
    if (size_ == 0) return false;
    if (size_ > std::int64_t{config.segment_bytes} - bytes) return true;

    const auto max_offsets = config.segment_index_bytes / static_cast<int>(OffsetIndex::entry_size);
    const auto max_times = config.segment_index_bytes / static_cast<int>(TimeIndex::entry_size);
    if (files_.offset_index + files_.time_index > 0) PABAL_TRY(load_indexes());
    if (offset_index_ && (std::int64_t{offset_index_->count()} >= max_offsets ||
                          std::int64_t{time_index_->count()} >= max_times - 1)) {
        return true;
    }

    PABAL_TRY_ASSIGN(const auto first, first_timestamp());
    const std::int64_t waited =
        first.value_or(-1) >= 0 ? max_timestamp - *first : now.milliseconds - created_.milliseconds;
    const Duration limit = config.segment_age - config.segment_jitter;
    return config.segment_age >= Duration() && waited > limit.to_milliseconds();
}

IoResult<std::optional<std::int64_t>> Segment::first_timestamp() const {
    if (size_ > 0 && !first_timestamp_) {
        PABAL_TRY_ASSIGN(const auto log, file());
        BatchScanner scanner(*log, 0, size_, record::header_size);
        PABAL_TRY_ASSIGN(const bool found, scanner.next());
        if (!found) return no_batch(0, scanner.reason());
        first_timestamp_ = scanner.batch().max_timestamp().milliseconds;
    }
    return size_ > 0 ? first_timestamp_ : std::nullopt;
}

std::int64_t Segment::index_bytes() const {
    if (!offset_index_) return std::max(files_.offset_index, files_.time_index);
    return std::max<std::int64_t>(offset_index_->count() * std::int64_t{OffsetIndex::entry_size},
                                  time_index_->count() * std::int64_t{TimeIndex::entry_size});
}

IoStatus Segment::create_file() {
    PABAL_TRY_ASSIGN(const auto log, file());
    if (!file_exists_) PABAL_TRY(log->truncate(0));
    file_exists_ = true;
    return {};
}

IoStatus Segment::write(std::span<const ByteView> pieces, std::int64_t bytes) {
    PABAL_TRY_ASSIGN(const auto log, file());
    auto written = log->write(static_cast<std::uint64_t>(size_), pieces);
    if (written.ok()) {
        file_exists_ = true;
        return written;
    }
    // Some of it may stand. The next append would overwrite it, but a crash before would leave it.
    if (auto cut = log->truncate(static_cast<std::uint64_t>(size_)); !cut.ok()) {
        usable_ = false;
        return IoError{written.error().errno_value,
                       written.error().message + "; and what stands of the " +
                           std::to_string(bytes) +
                           " bytes cannot be taken back: " + cut.error().message};
    }
    return written;
}

void Segment::appended(const BatchPlace& batch) {
    if (size_ == 0) {
        first_timestamp_ = batch.max_timestamp;
        max_timestamp_ = TimestampOffset{-1, base_};
    }
    const bool entry_is_due = bytes_since_index_entry_ > index_interval_bytes_ &&
                              load_indexes().ok() && max_timestamp().ok();
    if (max_timestamp_ && batch.max_timestamp > max_timestamp_->timestamp) {
        max_timestamp_ = TimestampOffset{batch.max_timestamp, batch.last_offset};
    }
    if (entry_is_due) {
        offset_index_->append(batch.last_offset, batch.position);
        time_index_->append_if_larger(*max_timestamp_);
        offset_index_->file().write_if_due();
        time_index_->file().write_if_due();
        bytes_since_index_entry_ = 0;
    }
    bytes_since_index_entry_ += batch.size;
    size_ = batch.position + batch.size;

    if (recent_.size() == recent_count) {
        recent_.erase(recent_.begin(), recent_.begin() + recent_count / 2);
    }
    recent_.push_back(batch);
}

void Segment::create_indexes() const {
    offset_index_ =
        std::make_unique<OffsetIndex>(disk_, path(offset_index_suffix), base_, files_.offset_index);
    time_index_ =
        std::make_unique<TimeIndex>(disk_, path(time_index_suffix), base_, files_.time_index);
}

IoResult<bool> Segment::last_entry_is_right() const {
    PABAL_TRY_ASSIGN(const auto last, offset_index_->last());
    if (offset_index_->count() == 0 || time_index_->count() == 0) {
        return size_ <= index_interval_bytes_;
    }
    PABAL_TRY_ASSIGN(const auto log, file());
    BatchScanner scanner(*log, last.position, size_, record::header_size);
    PABAL_TRY_ASSIGN(const bool found, scanner.next());
    return found && scanner.batch().last_offset() == last.offset;
}

IoStatus Segment::load_indexes() const {
    if (indexes_loaded_) return {};
    create_indexes();
    PABAL_TRY(offset_index_->load());
    PABAL_TRY(time_index_->load());
    PABAL_TRY(offset_index_->truncate_to_position(size_));
    PABAL_TRY_ASSIGN(const bool right, last_entry_is_right());
    if (!right) PABAL_TRY(rebuild_indexes());
    indexes_loaded_ = true;
    return {};
}

IoStatus Segment::rebuild_indexes() const {
    PABAL_TRY(offset_index_->file().truncate(0));
    PABAL_TRY(time_index_->file().truncate(0));
    files_.offset_index = files_.time_index = 0;
    PABAL_TRY(time_index_->load());
    PABAL_TRY_ASSIGN(const auto log, file());
    TimestampOffset largest{-1, base_};
    std::int64_t since_entry = 0;
    BatchScanner scanner(*log, 0, size_);
    while (true) {
        PABAL_TRY_ASSIGN(const bool found, scanner.next());
        if (!found) break;
        const BatchPlace batch = place_of(scanner);
        if (batch.max_timestamp > largest.timestamp) {
            largest = {batch.max_timestamp, batch.last_offset};
        }
        if (since_entry > index_interval_bytes_) {
            offset_index_->append(batch.last_offset, batch.position);
            time_index_->append_if_larger(largest);
            since_entry = 0;
        }
        since_entry += batch.size;
    }
    if (scanner.stop() != BatchScanner::Stop::end) {
        return no_batch(scanner.position(), scanner.reason());
    }
    bytes_since_index_entry_ = since_entry;
    max_timestamp_ = largest;
    // As Kafka's recovery does: the last entry holds the segment's largest timestamp.
    if (offset_index_->count() > 0) time_index_->append_if_larger(largest);
    return {};
}

IoResult<std::optional<BatchPlace>> Segment::find_from(std::int64_t position, Offset offset) const {
    PABAL_TRY_ASSIGN(const auto log, file());
    BatchScanner scanner(*log, position, size_);
    while (true) {
        PABAL_TRY_ASSIGN(const bool found, scanner.next());
        if (!found) break;
        if (scanner.batch().last_offset() >= offset) return std::optional(place_of(scanner));
    }
    if (scanner.stop() == BatchScanner::Stop::end) return std::optional<BatchPlace>();
    return no_batch(scanner.position(), scanner.reason());
}

IoResult<std::optional<BatchPlace>> Segment::find(Offset offset) const {
    if (!recent_.empty() && offset >= recent_.front().base_offset) {
        const auto found = std::lower_bound(
            recent_.begin(), recent_.end(), offset,
            [](const BatchPlace& batch, Offset at) { return batch.last_offset < at; });
        if (found == recent_.end()) return std::optional<BatchPlace>();
        return std::optional(*found);
    }
    if (size_ == 0) return std::optional<BatchPlace>();
    PABAL_TRY(load_indexes());
    PABAL_TRY_ASSIGN(const auto floor, offset_index_->floor_of_offset(offset));
    auto found = find_from(floor.position, offset);
    if (found.ok() || floor.position == 0) return found;
    // The index may be to blame: once more without it.
    return find_from(0, offset);
}

IoResult<std::int64_t> Segment::position_of(Offset offset) const {
    PABAL_TRY_ASSIGN(const auto found, find(offset));
    return found ? found->position : size_;
}

IoResult<std::int64_t> Segment::boundary_at_or_below(std::int64_t position) const {
    if (position >= size_) return size_;
    if (!recent_.empty() && position >= recent_.front().position) {
        const auto above = std::upper_bound(
            recent_.begin(), recent_.end(), position,
            [](std::int64_t at, const BatchPlace& batch) { return at < batch.position; });
        return (above - 1)->position;
    }
    PABAL_TRY(load_indexes());
    PABAL_TRY_ASSIGN(const auto floor, offset_index_->floor_of_position(position));
    PABAL_TRY_ASSIGN(const auto log, file());
    BatchScanner scanner(*log, floor.position, size_);
    while (true) {
        PABAL_TRY_ASSIGN(const bool found, scanner.next());
        if (!found) return no_batch(scanner.position(), scanner.reason());
        if (scanner.next_position() > position) return scanner.position();
    }
}

IoResult<std::int64_t> Segment::last_indexed_position() const {
    PABAL_TRY(load_indexes());
    PABAL_TRY_ASSIGN(const auto last, offset_index_->last());
    return last.position;
}

IoResult<TimestampOffset> Segment::max_timestamp() const {
    if (max_timestamp_) return *max_timestamp_;
    TimestampOffset largest{-1, base_};
    if (size_ > 0) {
        PABAL_TRY(load_indexes());
        largest = time_index_->last();
        PABAL_TRY_ASSIGN(const auto floor, offset_index_->floor_of_offset(largest.offset));
        PABAL_TRY_ASSIGN(const auto log, file());
        BatchScanner scanner(*log, floor.position, size_);
        while (true) {
            PABAL_TRY_ASSIGN(const bool found, scanner.next());
            if (!found) break;
            const std::int64_t timestamp = scanner.batch().max_timestamp().milliseconds;
            if (timestamp > largest.timestamp) {
                largest = {timestamp, scanner.batch().last_offset()};
            }
        }
        if (scanner.stop() != BatchScanner::Stop::end) {
            return no_batch(scanner.position(), scanner.reason());
        }
    }
    max_timestamp_ = largest;
    return largest;
}

IoResult<std::int64_t> Segment::position_before_timestamp(std::int64_t timestamp) const {
    if (size_ == 0) return std::int64_t{0};
    PABAL_TRY(load_indexes());
    PABAL_TRY_ASSIGN(const auto floor, time_index_->floor(timestamp));
    PABAL_TRY_ASSIGN(const auto place, offset_index_->floor_of_offset(floor.offset));
    return place.position;
}

IoStatus Segment::truncate(std::int64_t position, Offset offset) {
    PABAL_TRY(forget_indexes_from(position, offset));
    if (file_exists_) {
        PABAL_TRY_ASSIGN(const auto log, file());
        if (auto cut = log->truncate(static_cast<std::uint64_t>(position)); !cut.ok()) {
            usable_ = false;
            return cut;
        }
    }
    if (!transactions().empty()) PABAL_TRY(transactions().truncate_to_offset(offset));
    return {};
}

IoStatus Segment::forget_indexes_from(std::int64_t position, Offset offset) {
    size_ = position;
    while (!recent_.empty() && recent_.back().position >= position) recent_.pop_back();
    max_timestamp_.reset();
    bytes_since_index_entry_ = 0;
    if (position == 0) {
        first_timestamp_.reset();
        if (!offset_index_) create_indexes();
        PABAL_TRY(offset_index_->file().truncate(0));
        PABAL_TRY(time_index_->file().truncate(0));
        indexes_loaded_ = true;
        return time_index_->load();
    }
    PABAL_TRY(load_indexes());
    PABAL_TRY(offset_index_->truncate_to_position(position));
    return time_index_->truncate_to_offset(offset);
}

IoStatus Segment::write_indexes() {
    if (!offset_index_) return {};
    PABAL_TRY(offset_index_->file().write());
    return time_index_->file().write();
}

IoStatus Segment::close_for_appends() {
    if (size_ > 0) {
        PABAL_TRY_ASSIGN(const auto largest, max_timestamp());
        PABAL_TRY(load_indexes());
        time_index_->append_if_larger(largest);
        PABAL_TRY(write_indexes());
    }
    recent_ = {};
    return {};
}

TransactionIndex& Segment::transactions() const {
    if (!transactions_) {
        transactions_ = std::make_unique<TransactionIndex>(disk_, path(transaction_index_suffix),
                                                           files_.transaction_index);
    }
    return *transactions_;
}

void Segment::collect_files(std::vector<std::shared_ptr<io::File>>& files) const {
    const auto add = [&](const std::shared_ptr<io::File>& file) {
        if (file) files.push_back(file);
    };
    add(file_);
    if (offset_index_) add(offset_index_->file().file());
    if (time_index_) add(time_index_->file().file());
    if (transactions_) add(transactions_->file());
}

IoStatus Segment::add_suffix(std::string_view suffix, std::vector<std::string>& paths) {
    for (const auto kind : segment_suffixes) {
        const std::string old_path = path(kind);
        PABAL_TRY_ASSIGN(const bool exists, disk_.exists(old_path));
        if (!exists) continue;
        const std::string new_path = old_path + std::string(suffix);
        PABAL_TRY(disk_.rename(old_path, new_path));
        paths.push_back(new_path);
    }
    return {};
}

IoStatus Segment::remove_files() {
    // The log goes first: indexes without a log mean nothing, a log without indexes everything.
    for (const auto kind : segment_suffixes) PABAL_TRY(disk_.remove(path(kind)));
    file_exists_ = false;
    return {};
}

}  // namespace pabal::log
