#include "base/log.h"

namespace pabal {
namespace {

// A value stands bare if it can be told from what follows, else in quotes, on one line.
void append_value(std::string& line, std::string_view value) {
    bool bare = !value.empty();
    for (unsigned char c : value) bare = bare && c > ' ' && c != '"' && c != '=' && c != 0x7f;
    if (bare) {
        line += value;
        return;
    }
    line += '"';
    for (char c : value) {
        if (c == '\n') {
            line += "\\n";
        } else if (c == '\r') {
            line += "\\r";
        } else {
            if (c == '"' || c == '\\') line += '\\';
            line += c;
        }
    }
    line += '"';
}

}  // namespace

std::string_view name_of(LogLevel level) {
    switch (level) {
        case LogLevel::debug: return "DEBUG";
        case LogLevel::info: return "INFO";
        case LogLevel::warning: return "WARN";
        case LogLevel::error: return "ERROR";
    }
    return "?";
}

void Logger::write(LogLevel level, std::string_view part, std::string_view sentence,
                   std::initializer_list<LogField> fields) const {
    if (!enabled(level)) return;
    std::string line(sentence);
    for (const LogField& field : fields) {
        line += ' ';
        line += field.name;
        line += '=';
        append_value(line, field.value);
    }
    sink_(level, part, line);
}

}  // namespace pabal
