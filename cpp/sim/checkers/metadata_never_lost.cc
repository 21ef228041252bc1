// metadata-never-lost: a topic whose creation was answered exists from then on, also after a loss
// of power: the metadata log is synced before anybody is told.
#include <set>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class MetadataNeverLost final : public Checker {
public:
    const char* invariant() const override { return "metadata-never-lost"; }

    void topic_created(const std::string& topic) override { topics_.insert(topic); }
    void topic_missing(const std::string& topic) override {
        if (topics_.contains(topic))
            violated("the topic " + topic + " had been created and is gone");
    }

private:
    std::set<std::string> topics_;
};

}  // namespace

std::unique_ptr<Checker> make_metadata_never_lost() {
    return std::make_unique<MetadataNeverLost>();
}

}  // namespace pabal::sim
