#include "metadata/meta_properties.h"

#include <charconv>
#include <map>
#include <optional>

namespace pabal::metadata {
namespace {

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
        text.remove_suffix(1);
    return text;
}

// Lines of Java's properties as Kafka writes them: NAME=VALUE, a backslash before special
// characters.
std::map<std::string, std::string> parse_lines(std::string_view text) {
    std::map<std::string, std::string> lines;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        const std::string_view line = trimmed(text.substr(0, end));
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
        if (line.empty() || line.front() == '#' || line.front() == '!') continue;
        std::string name, value;
        bool in_value = false;
        for (std::size_t i = 0; i < line.size(); ++i) {
            char c = line[i];
            if (c == '\\' && i + 1 < line.size()) {
                c = line[++i];
            } else if (!in_value && (c == '=' || c == ':')) {
                in_value = true;
                continue;
            }
            (in_value ? value : name) += c;
        }
        lines[std::string(trimmed(name))] = std::string(trimmed(value));
    }
    return lines;
}

Error invalid(std::string what) {
    return {ErrorCode::invalid_config, std::move(what)};
}

}  // namespace

std::string MetaProperties::text() const {
    return "#\nnode.id=" + std::to_string(node_id.value()) +
           "\ndirectory.id=" + directory_id.value().text() +
           "\nversion=1\ncluster.id=" + cluster_id + "\n";
}

Result<MetaProperties> MetaProperties::parse(std::string_view text) {
    const auto lines = parse_lines(text);
    auto line = [&](const char* name) -> std::optional<std::string> {
        auto found = lines.find(name);
        if (found == lines.end() || found->second.empty()) return std::nullopt;
        return found->second;
    };
    const auto version = line("version");
    if (!version) return invalid("it has no version");
    if (*version != "1")
        return invalid("its version is " + *version + "; this version of pabal reads version 1");
    MetaProperties properties;
    const auto cluster = line("cluster.id");
    if (!cluster) return invalid("it has no cluster.id");
    properties.cluster_id = *cluster;
    const auto node = line("node.id");
    if (!node) return invalid("it has no node.id");
    std::int32_t id = -1;
    auto [end, error] = std::from_chars(node->data(), node->data() + node->size(), id);
    if (error != std::errc() || end != node->data() + node->size() || id < 0)
        return invalid("its node.id '" + *node + "' is not a number from 0 on");
    properties.node_id = BrokerId(id);
    if (const auto directory = line("directory.id")) {
        const auto parsed = Uuid::parse(*directory);
        if (!parsed) return invalid("its directory.id '" + *directory + "' is not a UUID");
        properties.directory_id = DirectoryId(*parsed);
    }
    return properties;
}

}  // namespace pabal::metadata
