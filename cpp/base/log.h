// Structured log lines: a level, an event in plain words, and fields as key=value (logfmt). A
// Logger is a value handed down the tree; each step may add fields (`with`), such as node_id. Lines
// go to a sink that the process chose; what is below its level costs one comparison and formats
// nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/time.h"

namespace pabal {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

std::string_view log_level_name(LogLevel level);

// One key=value of a line; views what it is given until the line is written.
class LogField {
public:
    LogField(std::string_view key, std::string_view value)
        : key_(key), kind_(Kind::text), text_(value) {}
    LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
    LogField(std::string_view key, const std::string& value)
        : LogField(key, std::string_view(value)) {}
    LogField(std::string_view key, bool value) : key_(key), kind_(Kind::boolean), integer_(value) {}
    LogField(std::string_view key, double value) : key_(key), kind_(Kind::real), real_(value) {}
    template <class Integer>
        requires std::is_integral_v<Integer>
    LogField(std::string_view key, Integer value)
        : key_(key), kind_(Kind::integer), integer_(static_cast<std::int64_t>(value)) {}
    // Offset, LeaderEpoch, BrokerId…: types of their own around a number.
    template <class Id>
        requires std::is_integral_v<typename Id::rep>
    LogField(std::string_view key, Id id) : LogField(key, id.value()) {}

    // Appends " key=value", quoted where it must be.
    void append_to(std::string& line) const;

private:
    enum class Kind : std::uint8_t { text, boolean, integer, real };

    std::string_view key_;
    Kind kind_;
    std::string_view text_;
    union {
        std::int64_t integer_ = 0;
        double real_;
    };
};

// Where lines go. `write` may be called from any thread of the process.
class LogSink {
public:
    explicit LogSink(LogLevel least) : least_(least) {}
    virtual ~LogSink() = default;

    LogLevel least_level() const { return least_.load(std::memory_order_relaxed); }
    void set_least_level(LogLevel least) { least_.store(least, std::memory_order_relaxed); }

    // `line` has no line end: level=info event="…" key=value ….
    virtual void write(LogLevel level, std::string_view line) = 0;

private:
    std::atomic<LogLevel> least_;
};

class Logger {
public:
    using Fields = std::initializer_list<LogField>;

    // Logs nothing.
    Logger() = default;
    // The sink must outlive the logger and all that descend from it.
    explicit Logger(LogSink& sink) : sink_(&sink) {}

    // A logger that adds these fields to each of its lines.
    Logger with(Fields fields) const;

    bool writes(LogLevel level) const { return sink_ && level >= sink_->least_level(); }

    void debug(std::string_view event, Fields fields = {}) const {
        if (writes(LogLevel::debug)) write(LogLevel::debug, event, fields);
    }
    void info(std::string_view event, Fields fields = {}) const {
        if (writes(LogLevel::info)) write(LogLevel::info, event, fields);
    }
    // Something an operator should look at; the broker goes on.
    void warning(std::string_view event, Fields fields = {}) const {
        if (writes(LogLevel::warning)) write(LogLevel::warning, event, fields);
    }
    // Something is lost or refused until somebody acts.
    void error(std::string_view event, Fields fields = {}) const {
        if (writes(LogLevel::error)) write(LogLevel::error, event, fields);
    }

private:
    void write(LogLevel level, std::string_view event, Fields fields) const;

    LogSink* sink_ = nullptr;
    std::shared_ptr<const std::string> inherited_;  // Fields of `with`, as they stand in the line.
};

// Writes to a stream such as stderr, one line at a time, flushed.
class StreamLogSink final : public LogSink {
public:
    // `wall_time` stamps each line; without it lines carry no time.
    StreamLogSink(std::FILE* stream, LogLevel least, WallTime (*wall_time)() = nullptr)
        : LogSink(least), stream_(stream), wall_time_(wall_time) {}

    void write(LogLevel level, std::string_view line) override;

private:
    std::FILE* stream_;
    WallTime (*wall_time_)();
};

// Keeps its lines, for tests; of one thread only.
class KeptLogSink final : public LogSink {
public:
    explicit KeptLogSink(LogLevel least = LogLevel::debug) : LogSink(least) {}

    void write(LogLevel, std::string_view line) override { lines_.emplace_back(line); }
    const std::vector<std::string>& lines() const { return lines_; }

private:
    std::vector<std::string> lines_;
};

}  // namespace pabal
