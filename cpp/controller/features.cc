#include "controller/features.h"

#include <algorithm>
#include <set>
#include <string>

#include "controller/eligible_leaders.h"
#include "metadata/cluster_image.h"
#include "metadata/features.h"
#include "metadata/record.h"

namespace pabal::controller {
namespace {

using metadata::ClusterImage;
using metadata::Record;
using metadata::VersionRange;

enum class Change : std::int8_t {
    unknown = 0,
    upgrade = 1,
    safe_downgrade = 2,
    unsafe_downgrade = 3
};

// Levels of metadata.version at which the records of the log changed: below one of them the log
// could not hold what it held above.
constexpr std::int16_t levels_that_changed_records[] = {
    8,   // 3.4-IV0, migration
    11,  // 3.5-IV2, SCRAM
    13,  // 3.6-IV1, transactions
    14,  // 3.6-IV2, delegation tokens
    15,  // 3.7-IV0, controller registrations
    17,  // 3.7-IV2, directories
    23,  // 4.0-IV1, eligible leader replicas
    30,  // 4.3-IV0, cordoned directories
};

const VersionRange* served(std::string_view feature) {
    static const auto supported = metadata::supported_features();
    for (const auto& row : supported)
        if (row.name == feature) return &row.versions;
    return nullptr;
}

// Why a node with these features could not run `level`; empty if it could. A node that does not
// name a feature runs it at level 0 only.
std::string refusal(const std::string& who, const std::map<std::string, VersionRange>& features,
                    const std::string& feature, std::int16_t level) {
    VersionRange range;
    if (auto found = features.find(feature); found != features.end()) range = found->second;
    if (level == 0 || (range.min <= level && level <= range.max)) return "";
    if (range.max == 0) return who + " does not support this feature.";
    return who + " only supports versions " + std::to_string(range.min) + "-" +
           std::to_string(range.max);
}

Result<std::optional<Record>> plan(const wire::UpdateFeaturesRequest::FeatureUpdateKey& asked,
                                   Change change, const ClusterImage& image,
                                   const KraftVersion& kraft) {
    const std::int16_t level = asked.max_version_level;
    auto invalid = [&](const std::string& why) {
        return Error{ErrorCode::invalid_update_version,
                     "Invalid update version " + std::to_string(level) + " for feature " +
                         asked.feature + ". " + why};
    };
    if (change != Change::upgrade && change != Change::safe_downgrade &&
        change != Change::unsafe_downgrade)
        return invalid("The controller does not support the given upgrade type.");
    if (level < 0) return invalid("A feature version cannot be less than 0.");
    const VersionRange* range = served(asked.feature);
    if (!range || range->max == 0) {
        if (level != 0) return invalid("The local controller does not support this feature.");
    } else if (level < range->min || level > range->max) {
        return invalid("The local controller only supports versions " + std::to_string(range->min) +
                       "-" + std::to_string(range->max));
    }
    for (const auto& [id, broker] : image.brokers()) {
        const std::string why =
            refusal("Broker " + std::to_string(id.value()), broker.features, asked.feature, level);
        if (!why.empty()) return invalid(why);
    }
    for (const auto& [id, controller] : image.controllers()) {
        const std::string why = refusal("Controller " + std::to_string(id.value()),
                                        controller.features, asked.feature, level);
        if (!why.empty()) return invalid(why);
    }
    const bool of_quorum = asked.feature == metadata::kraft_version_feature;
    const std::int16_t current = of_quorum ? kraft.level : image.feature(asked.feature);
    if (level < current && change == Change::upgrade)
        return invalid(
            "Can't downgrade the version of this feature without setting the upgrade "
            "type to either safe or unsafe downgrade.");
    if (level > current && change != Change::upgrade)
        return invalid("Can't downgrade to a newer version.");
    if (of_quorum && level != current) {
        PABAL_TRY(kraft.change);
        // The quorum writes its own record; this one is what the answer waits for.
        return std::optional<Record>(wire::NoOpRecord());
    }
    constexpr std::int16_t eligible_leaders_level = 23;  // 4.0-IV1
    if (asked.feature == metadata::eligible_leaders_feature && level > 0 &&
        image.metadata_version() < eligible_leaders_level)
        return invalid("It depends on metadata.version level " +
                       std::to_string(eligible_leaders_level) + ".");
    if (asked.feature == "metadata.version" && level < current) {
        const bool loses = std::any_of(
            std::begin(levels_that_changed_records), std::end(levels_that_changed_records),
            [&](std::int16_t changed) { return level < changed && changed <= current; });
        const std::string what = "Invalid metadata.version " + std::to_string(level) + ". ";
        if (loses && change == Change::unsafe_downgrade)
            return Error{ErrorCode::invalid_update_version,
                         what + "Unsafe metadata downgrade is not supported in this version."};
        if (loses)
            return Error{ErrorCode::invalid_update_version,
                         what +
                             "Refusing to perform the requested downgrade because it might "
                             "delete metadata information."};
    }
    if (level == current) return std::optional<Record>();
    wire::FeatureLevelRecord record;
    record.name = asked.feature;
    record.feature_level = level;
    return std::optional<Record>(std::move(record));
}

}  // namespace

Outcome<wire::UpdateFeaturesResponse> update_features(const wire::UpdateFeaturesRequest& request,
                                                      int version,
                                                      const metadata::BrokerConfig& config,
                                                      const ClusterImage& image,
                                                      const KraftVersion& kraft) {
    Outcome<wire::UpdateFeaturesResponse> outcome;
    auto& response = outcome.response;
    std::set<std::string> seen;
    for (const auto& asked : request.feature_updates) {
        Change change = static_cast<Change>(asked.upgrade_type);
        // Version 0 knows one kind of downgrade.
        if (version == 0) change = asked.allow_downgrade ? Change::safe_downgrade : Change::upgrade;
        auto planned = seen.insert(asked.feature).second
                           ? plan(asked, change, image, kraft)
                           : Result<std::optional<Record>>(
                                 Error{ErrorCode::invalid_request,
                                       "Feature '" + asked.feature + "' stands more than once."});
        auto& result = response.results.emplace_back();
        result.feature = asked.feature;
        if (!planned.ok()) {
            result.error_code = planned.error().code;
            result.error_message = planned.error().message;
            if (response.error_code == ErrorCode::none) {
                response.error_code = planned.error().code;
                response.error_message = planned.error().message;
            }
            continue;
        }
        if (!*planned) continue;
        if (asked.feature == metadata::eligible_leaders_feature) {
            if (asked.max_version_level > 0)
                agree_on_min_in_sync(config, image, outcome.records);
            else
                forget_eligible({metadata::ResourceType::broker, ""}, image, outcome.records);
        }
        outcome.records.push_back(std::move(**planned));
    }
    if (response.error_code != ErrorCode::none) {
        outcome.records.clear();
        // KIP-1022: from version 2 on one error speaks for all.
        for (auto& result : response.results)
            if (result.error_code == ErrorCode::none) {
                result.error_code = response.error_code;
                result.error_message = "No feature was changed, since another one was refused: " +
                                       *response.error_message;
            }
        if (version < 2) {
            response.error_code = ErrorCode::none;
            response.error_message.reset();
        }
    }
    if (version >= 2) response.results.clear();
    if (request.validate_only) outcome.records.clear();
    return outcome;
}

}  // namespace pabal::controller
