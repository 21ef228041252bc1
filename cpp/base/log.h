// Structured log lines: a level, the part that speaks, a sentence, and fields. Where they go (a
// stream, a test, the trace of a simulation, a Python queue) is the sink's affair, and so is the time
// that is written beside them. May be called from any thread if the sink may.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace pabal {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

std::string_view name_of(LogLevel level);

// `name=value` behind the sentence. Numbers and texts become fields alike.
struct LogField {
    LogField(std::string_view field_name, std::string_view field_value)
        : name(field_name), value(field_value) {}
    LogField(std::string_view field_name, const std::string& field_value)
        : name(field_name), value(field_value) {}
    LogField(std::string_view field_name, const char* field_value)
        : name(field_name), value(field_value) {}
    LogField(std::string_view field_name, bool field_value)
        : name(field_name), value(field_value ? "true" : "false") {}
    template <class Number>
    LogField(std::string_view field_name, Number number)
        : name(field_name), value(std::to_string(number)) {}

    std::string_view name;
    std::string value;
};

class Logger {
public:
    // `line` is the sentence with its fields, without a newline.
    using Sink = std::function<void(LogLevel level, std::string_view part, std::string_view line)>;

    // Silent.
    Logger() = default;
    Logger(LogLevel lowest, Sink sink) : lowest_(lowest), sink_(std::move(sink)) {}

    bool enabled(LogLevel level) const { return sink_ && level >= lowest_; }

    // `part` is one word: "connection", "quorum", "partition".
    void write(LogLevel level, std::string_view part, std::string_view sentence,
               std::initializer_list<LogField> fields = {}) const;

    void debug(std::string_view part, std::string_view sentence,
               std::initializer_list<LogField> fields = {}) const {
        if (enabled(LogLevel::debug)) write(LogLevel::debug, part, sentence, fields);
    }
    void info(std::string_view part, std::string_view sentence,
              std::initializer_list<LogField> fields = {}) const {
        if (enabled(LogLevel::info)) write(LogLevel::info, part, sentence, fields);
    }
    void warning(std::string_view part, std::string_view sentence,
                 std::initializer_list<LogField> fields = {}) const {
        if (enabled(LogLevel::warning)) write(LogLevel::warning, part, sentence, fields);
    }
    void error(std::string_view part, std::string_view sentence,
               std::initializer_list<LogField> fields = {}) const {
        if (enabled(LogLevel::error)) write(LogLevel::error, part, sentence, fields);
    }

private:
    LogLevel lowest_ = LogLevel::info;
    Sink sink_;
};

}  // namespace pabal
