#include <algorithm>
#include <charconv>

#include "wire/config_table.h"

namespace pabal::wire {
namespace {

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\r\n");
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string quoted(std::string_view text) {
    // A sentence stays readable, and a field of the response in its bounds.
    constexpr std::size_t most = 100;
    std::string made = "'";
    made += text.substr(0, most);
    made += text.size() > most ? "…'" : "'";
    return made;
}

Error invalid(const ConfigRow& row, std::string_view text, std::string what) {
    std::string message(row.name);
    message += " cannot be ";
    message += row.sensitive ? std::string("what was given") : quoted(text);
    message += ": ";
    message += what;
    return {ErrorCode::invalid_config, std::move(message)};
}

std::string joined(std::span<const std::string_view> words) {
    std::string made;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) made += i + 1 == words.size() ? " or " : ", ";
        made += words[i];
    }
    return made;
}

std::string bounds(const ConfigRow& row) {
    std::string made;
    if (row.min && row.max)
        made = "between " + std::to_string(*row.min) + " and " + std::to_string(*row.max);
    else if (row.min)
        made = "at least " + std::to_string(*row.min);
    else if (row.max)
        made = "at most " + std::to_string(*row.max);
    if (row.also) made += ", or " + std::to_string(*row.also);
    return made;
}

Result<ConfigValue> parse_number(const ConfigRow& row, std::string_view text) {
    std::string_view digits = text;
    if (digits.starts_with('+')) digits.remove_prefix(1);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc::invalid_argument || end != digits.data() + digits.size() ||
        (digits.size() < text.size() && digits.starts_with('-')))
        return invalid(row, text, "it takes a whole number");
    const std::int64_t widest = row.type == ConfigType::int16   ? INT16_MAX
                                : row.type == ConfigType::int32 ? INT32_MAX
                                                                : INT64_MAX;
    if (error == std::errc::result_out_of_range || value > widest || value < -widest - 1)
        return invalid(row, text, "it takes a number of at most " + std::to_string(widest));
    const bool inside = (!row.min || value >= *row.min) && (!row.max || value <= *row.max);
    if (!inside && row.also != value) return invalid(row, text, "it takes a number " + bounds(row));
    return ConfigValue(value);
}

Status permitted(const ConfigRow& row, std::string_view word) {
    if (!row.allowed.empty() && std::ranges::find(row.allowed, word) == row.allowed.end())
        return invalid(row, word, "it takes " + joined(row.allowed));
    for (const RefusedValue& refused : row.refused)
        if (word == refused.value)
            return invalid(row, word, "not served yet, as " + std::string(refused.reason));
    return {};
}

Result<ConfigValue> parse_list(const ConfigRow& row, std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const auto comma = text.find(',');
        const std::string_view word = trimmed(text.substr(0, comma));
        text = comma == text.npos ? std::string_view() : trimmed(text.substr(comma + 1));
        if (word.empty()) return invalid(row, word, "a list has no empty elements");
        PABAL_TRY(permitted(row, word));
        if (std::ranges::find(words, word) != words.end())
            return invalid(row, word, "it stands in the list twice");
        words.emplace_back(word);
    }
    if (words.empty() && !row.allowed.empty())
        return invalid(row, text, "it takes " + joined(row.allowed));
    return ConfigValue(std::move(words));
}

bool equal_ignoring_case(std::string_view text, std::string_view lower) {
    return std::ranges::equal(text, lower, [](char a, char b) { return (a | 0x20) == b; });
}

// How many letters must be put in, taken out or replaced.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row[b.size()];
}

}  // namespace

const ConfigRow* find_config(ConfigScope scope, std::string_view name) {
    for (const ConfigRow& row : config_table())
        if (row.scope == scope && row.name == name) return &row;
    return nullptr;
}

bool is_unused_config(ConfigScope scope, std::string_view name) {
    if (scope == ConfigScope::broker && name.starts_with("listener.name.")) return true;
    return std::ranges::any_of(unused_configs(), [&](const UnusedConfig& unused) {
        return unused.scope == scope && unused.name == name;
    });
}

Result<ConfigValue> parse_config(const ConfigRow& row, std::string_view text) {
    text = trimmed(text);
    switch (row.type) {
        case ConfigType::boolean: {
            const bool is_true = equal_ignoring_case(text, "true");
            if (!is_true && !equal_ignoring_case(text, "false"))
                return invalid(row, text, "it takes true or false");
            PABAL_TRY(permitted(row, is_true ? "true" : "false"));
            return ConfigValue(is_true);
        }
        case ConfigType::int16:
        case ConfigType::int32:
        case ConfigType::int64: return parse_number(row, text);
        case ConfigType::float64: {
            double value = 0;
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), value);
            if (error != std::errc() || end != text.data() + text.size())
                return invalid(row, text, "it takes a number");
            const bool inside = (!row.min || value >= static_cast<double>(*row.min)) &&
                                (!row.max || value <= static_cast<double>(*row.max));
            if (!inside) return invalid(row, text, "it takes a number " + bounds(row));
            return ConfigValue(value);
        }
        case ConfigType::list: return parse_list(row, text);
        case ConfigType::string:
        case ConfigType::password: break;
    }
    PABAL_TRY(permitted(row, text));
    return ConfigValue(std::string(text));
}

Error unknown_config(ConfigScope scope, std::string_view name) {
    const std::string what = scope == ConfigScope::topic   ? "topic setting "
                             : scope == ConfigScope::group ? "group setting "
                                                           : "broker setting ";
    if (is_unused_config(scope, name))
        return {ErrorCode::invalid_config,
                "The " + what + quoted(name) + " is Kafka's, but not served yet"};
    std::string message = "There is no " + what + quoted(name);
    std::string_view nearest;
    std::size_t least = 4;  // Beyond three letters it is another word.
    if (name.size() <= 100) {
        for (const ConfigRow& row : config_table()) {
            if (row.scope != scope) continue;
            const std::size_t letters = distance(name, row.name);
            if (letters < least) {
                least = letters;
                nearest = row.name;
            }
        }
    }
    if (!nearest.empty()) message += "; did you mean '" + std::string(nearest) + "'?";
    return {ErrorCode::invalid_config, std::move(message)};
}

}  // namespace pabal::wire
