#include "base/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace pabal {
namespace {

bool needs_quotes(std::string_view text) {
    return text.empty() || std::any_of(text.begin(), text.end(), [](char c) {
               return c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7F;
           });
}

void append_text(std::string& line, std::string_view text) {
    if (!needs_quotes(text)) {
        line += text;
        return;
    }
    line += '"';
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            line += '\\';
            line += c;
        } else if (c == '\n') {
            line += "\\n";
        } else if (static_cast<unsigned char>(c) < ' ' || c == 0x7F) {
            fmt::format_to(std::back_inserter(line), "\\x{:02x}", static_cast<unsigned char>(c));
        } else {
            line += c;
        }
    }
    line += '"';
}

}  // namespace

std::string_view log_level_name(LogLevel level) {
    constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
    return names[static_cast<int>(level)];
}

void LogField::append_to(std::string& line) const {
    line += ' ';
    line += key_;
    line += '=';
    switch (kind_) {
        case Kind::text: append_text(line, text_); break;
        case Kind::boolean: line += integer_ ? "true" : "false"; break;
        case Kind::integer: fmt::format_to(std::back_inserter(line), "{}", integer_); break;
        case Kind::real: fmt::format_to(std::back_inserter(line), "{:.6g}", real_); break;
    }
}

Logger Logger::with(Fields fields) const {
    Logger child = *this;
    if (!sink_) return child;
    std::string inherited = inherited_ ? *inherited_ : std::string();
    for (const LogField& field : fields) field.append_to(inherited);
    child.inherited_ = std::make_shared<const std::string>(std::move(inherited));
    return child;
}

void Logger::write(LogLevel level, std::string_view event, Fields fields) const {
    std::string line = fmt::format("level={} event=", log_level_name(level));
    append_text(line, event);
    if (inherited_) line += *inherited_;
    for (const LogField& field : fields) field.append_to(line);
    sink_->write(level, line);
}

void StreamLogSink::write(LogLevel, std::string_view line) {
    std::string whole;
    if (wall_time_) {
        const std::int64_t milliseconds = wall_time_().milliseconds;
        whole = fmt::format("time={}.{:03} ", milliseconds / 1000, milliseconds % 1000);
    }
    whole += line;
    whole += '\n';
    // One call, so that lines of several threads do not mix.
    std::fwrite(whole.data(), 1, whole.size(), stream_);
    std::fflush(stream_);
}

}  // namespace pabal
