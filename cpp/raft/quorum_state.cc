#include <charconv>
#include <optional>

#include "raft/quorum_state.h"

namespace pabal::raft {
namespace {

// Reads the JSON of quorum-state: one object of strings, integers, null, and one array of objects
// with one integer each. Anything else is an error with its position.
class StateReader {
public:
    explicit StateReader(std::string_view text) : text_(text) {}

    Result<QuorumState> read() {
        QuorumState state;
        std::optional<std::int64_t> version, leader, epoch, voted;
        if (!take('{')) return wrong("'{'");
        if (!take('}')) {
            do {
                auto key = string();
                if (!key || !take(':')) return wrong("a name and ':'");
                if (*key == "leaderId") {
                    leader = integer();
                    if (!leader) return wrong("a number");
                } else if (*key == "leaderEpoch") {
                    epoch = integer();
                    if (!epoch) return wrong("a number");
                } else if (*key == "votedId") {
                    voted = integer();
                    if (!voted) return wrong("a number");
                } else if (*key == "votedDirectoryId") {
                    const auto text = string();
                    const auto directory = text ? Uuid::parse(*text) : std::nullopt;
                    if (!directory) return wrong("a directory id");
                    state.voted_directory = DirectoryId(*directory);
                } else if (*key == "data_version") {
                    version = integer();
                    if (!version) return wrong("a number");
                } else if (*key == "currentVoters") {
                    if (!voters(state.voters)) return wrong("an array of voters");
                } else if (!skip_scalar()) {
                    return wrong("a value");
                }
            } while (take(','));
            if (!take('}')) return wrong("'}'");
        }
        skip_space();
        if (position_ != text_.size()) return wrong("nothing more");
        if (!version || !leader || !epoch)
            return Error{ErrorCode::invalid_config,
                         "it lacks data_version, leaderId or leaderEpoch"};
        if (*version < 0 || *version > 1)
            return Error{ErrorCode::unsupported_version,
                         "its data_version is " + std::to_string(*version) +
                             "; this version of pabal reads 0 and 1"};
        if (*epoch < 0 || *epoch >= INT32_MAX)
            return Error{ErrorCode::invalid_config,
                         "its leaderEpoch " + std::to_string(*epoch) + " is out of range"};
        state.leader = BrokerId(static_cast<std::int32_t>(*leader));
        state.epoch = LeaderEpoch(static_cast<std::int32_t>(*epoch));
        state.voted = BrokerId(static_cast<std::int32_t>(voted.value_or(-1)));
        state.data_version = static_cast<int>(*version);
        return state;
    }

private:
    Error wrong(const char* expected) const {
        return {ErrorCode::invalid_config,
                std::string("expected ") + expected + " at position " + std::to_string(position_)};
    }
    void skip_space() {
        while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n' ||
                                            text_[position_] == '\r' || text_[position_] == '\t'))
            ++position_;
    }
    bool take(char wanted) {
        skip_space();
        if (position_ >= text_.size() || text_[position_] != wanted) return false;
        ++position_;
        return true;
    }
    std::optional<std::string_view> string() {
        if (!take('"')) return std::nullopt;
        const std::size_t start = position_;
        while (position_ < text_.size() && text_[position_] != '"' && text_[position_] != '\\')
            ++position_;
        if (position_ >= text_.size() || text_[position_] == '\\') return std::nullopt;
        return text_.substr(start, position_++ - start);
    }
    std::optional<std::int64_t> integer() {
        skip_space();
        std::int64_t value = 0;
        const char* begin = text_.data() + position_;
        auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
        if (error != std::errc()) return std::nullopt;
        position_ += static_cast<std::size_t>(end - begin);
        return value;
    }
    bool skip_scalar() {
        skip_space();
        if (text_.substr(position_).starts_with("null")) {
            position_ += 4;
            return true;
        }
        if (position_ < text_.size() && text_[position_] == '"') return string().has_value();
        return integer().has_value();
    }
    bool voters(std::vector<BrokerId>& into) {
        skip_space();
        if (text_.substr(position_).starts_with("null")) {
            position_ += 4;
            return true;
        }
        if (!take('[')) return false;
        if (take(']')) return true;
        do {
            if (!take('{')) return false;
            auto key = string();
            if (!key || *key != "voterId" || !take(':')) return false;
            auto id = integer();
            if (!id || *id < INT32_MIN || *id > INT32_MAX || !take('}')) return false;
            into.emplace_back(static_cast<std::int32_t>(*id));
        } while (take(','));
        return take(']');
    }

    std::string_view text_;
    std::size_t position_ = 0;
};

}  // namespace

std::string QuorumState::text() const {
    if (data_version == 1)
        return "{\"leaderId\":" + std::to_string(leader.value()) +
               ",\"leaderEpoch\":" + std::to_string(epoch.value()) +
               ",\"votedId\":" + std::to_string(voted.value()) + ",\"votedDirectoryId\":\"" +
               voted_directory.value().text() + "\",\"data_version\":1}";
    std::string json = "{\"clusterId\":\"\",\"leaderId\":" + std::to_string(leader.value()) +
                       ",\"leaderEpoch\":" + std::to_string(epoch.value()) +
                       ",\"votedId\":" + std::to_string(voted.value()) +
                       ",\"appliedOffset\":0,\"currentVoters\":[";
    for (std::size_t i = 0; i < voters.size(); ++i) {
        if (i > 0) json += ',';
        json += "{\"voterId\":" + std::to_string(voters[i].value()) + '}';
    }
    return json + "],\"data_version\":0}";
}

Result<QuorumState> QuorumState::parse(std::string_view text) {
    return StateReader(text).read();
}

}  // namespace pabal::raft
