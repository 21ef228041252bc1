// Tells every checker what happens, and keeps the first violation. Owned by the Simulation; clients
// write into it, nobody reads from it but the Simulation.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/checkers/checker.h"

namespace pabal::sim {

struct Violation {
    std::string invariant;  // Its id.
    std::string what;
};

class Ledger {
public:
    explicit Ledger(std::vector<std::unique_ptr<Checker>> checkers)
        : checkers_(std::move(checkers)) {
        for (auto& checker : checkers_) {
            const char* invariant = checker->invariant();
            checker->violated = [this, invariant](std::string what) {
                if (!violation_) violation_ = Violation{invariant, std::move(what)};
            };
        }
    }

    // `tell(checker)` for each.
    template <class Tell>
    void each(Tell tell) {
        for (auto& checker : checkers_) tell(*checker);
    }

    const std::optional<Violation>& violation() const { return violation_; }

private:
    std::vector<std::unique_ptr<Checker>> checkers_;
    std::optional<Violation> violation_;
};

}  // namespace pabal::sim
