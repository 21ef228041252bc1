// offsets-contiguous: the offsets of a partition have no gaps and no repetition. A read begins at
// the batch that holds the asked offset and goes on without a hole; the whole log spans exactly
// from its log start offset to its log end offset.
#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class OffsetsContiguous final : public Checker {
public:
    const char* invariant() const override { return "offsets-contiguous"; }

    void saw(const Sight& sight) override {
        if (!follows(sight.partition, sight.records) || sight.records.empty()) return;
        const Offset first = sight.records.front().offset;
        const Offset last = sight.records.back().offset;
        if (first > sight.asked_from || last < sight.asked_from) {
            violated(text(sight.partition) + ": a fetch from offset " +
                     std::to_string(sight.asked_from.value()) + " was answered with " +
                     std::to_string(first.value()) + ".." + std::to_string(last.value()));
        } else if (last >= sight.high_watermark) {
            violated(text(sight.partition) + ": a consumer was given offset " +
                     std::to_string(last.value()) + ", at or above the high watermark " +
                     std::to_string(sight.high_watermark.value()));
        }
    }

    void read_all(const Content& content) override {
        if (!follows(content.partition, content.records)) return;
        const auto count = content.log_end_offset - content.log_start_offset;
        std::int64_t found = 0;
        for (const auto& read : content.records) found += read.offset >= content.log_start_offset;
        if (count < 0 || found != count) {
            violated(text(content.partition) + ": the log is " +
                     std::to_string(content.log_start_offset.value()) + ".." +
                     std::to_string(content.log_end_offset.value()) + ", but " +
                     std::to_string(found) + " records were found in it");
        }
    }

private:
    bool follows(const Partition& partition, const std::vector<ReadRecord>& records) {
        for (std::size_t i = 1; i < records.size(); ++i) {
            if (records[i].offset == records[i - 1].offset + 1) continue;
            violated(text(partition) + ": offset " + std::to_string(records[i].offset.value()) +
                     " follows " + std::to_string(records[i - 1].offset.value()));
            return false;
        }
        return true;
    }
};

}  // namespace

std::unique_ptr<Checker> make_offsets_contiguous() {
    return std::make_unique<OffsetsContiguous>();
}

}  // namespace pabal::sim
