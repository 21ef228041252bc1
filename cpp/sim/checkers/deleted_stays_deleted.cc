// deleted-stays-deleted: once DeleteRecords answered, no log start offset below its low watermark
// is ever seen again, whatever dies; and none above what was asked for.
#include <map>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class DeletedStaysDeleted final : public Checker {
public:
    const char* invariant() const override { return "deleted-stays-deleted"; }

    void delete_asked(const Partition& partition, Offset offset) override {
        auto& bounds = bounds_[partition];
        bounds.most = std::max(bounds.most, offset);
    }
    void deleted(const Partition& partition, Offset low_watermark) override {
        auto& bounds = bounds_[partition];
        bounds.least = std::max(bounds.least, low_watermark);
        check(partition, low_watermark);
    }
    void read_all(const Content& content) override {
        check(content.partition, content.log_start_offset);
    }

private:
    struct Bounds {
        Offset least{0};
        Offset most{0};
    };

    void check(const Partition& partition, Offset log_start_offset) {
        const auto& bounds = bounds_[partition];
        if (log_start_offset < bounds.least) {
            violated(text(partition) + ": the log starts at " +
                     std::to_string(log_start_offset.value()) + " again, although records below " +
                     std::to_string(bounds.least.value()) + " had been deleted");
        } else if (log_start_offset > bounds.most) {
            violated(text(partition) + ": the log starts at " +
                     std::to_string(log_start_offset.value()) +
                     ", but nobody asked to delete above " + std::to_string(bounds.most.value()));
        }
    }

    std::map<Partition, Bounds> bounds_;
};

}  // namespace

std::unique_ptr<Checker> make_deleted_stays_deleted() {
    return std::make_unique<DeletedStaysDeleted>();
}

}  // namespace pabal::sim
