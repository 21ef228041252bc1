#include "tests/scenario/transcript.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace pabal::scenario {
namespace {

bool rewriting() {
    for (const std::string& argument : testing::internal::GetArgvs())
        if (argument == "--rewrite") return true;
    return false;
}

std::string without_blank_ends(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

void run_file(const std::filesystem::path& path, const Answer& answer) {
    std::ifstream file(path);
    ASSERT_TRUE(file.good()) << path;
    std::ostringstream rewritten;
    std::string line;
    int number = 0;
    while (std::getline(file, line)) {
        ++number;
        if (line.empty() || line.front() == '#') {
            rewritten << line << '\n';
            continue;
        }
        const int at = number;
        Command command = parse_command(line);
        rewritten << line << '\n';
        while (std::getline(file, line) && ++number && line != "----") {
            command.input.push_back(line);
            rewritten << line << '\n';
        }
        std::string expected;
        while (std::getline(file, line) && ++number && !line.empty()) expected += line + '\n';
        const std::string given = without_blank_ends(answer(command));
        rewritten << "----\n" << given << (given.empty() ? "" : "\n") << '\n';
        if (!rewriting()) {
            EXPECT_EQ(without_blank_ends(expected), given) << path.string() << ", line " << at;
        }
    }
    file.close();
    if (rewriting()) std::ofstream(path) << without_blank_ends(rewritten.str()) << '\n';
}

}  // namespace

bool Command::has(const std::string& word) const {
    return std::find(words.begin(), words.end(), word) != words.end();
}

std::string Command::value(const std::string& key, const std::string& otherwise) const {
    auto found = values.find(key);
    return found == values.end() ? otherwise : found->second;
}

std::int64_t Command::number(const std::string& key, std::int64_t otherwise) const {
    auto found = values.find(key);
    return found == values.end() ? otherwise : std::stoll(found->second);
}

Command parse_command(const std::string& line) {
    Command command;
    std::istringstream words(line);
    words >> command.name;
    for (std::string word; words >> word;) {
        const auto equals = word.find('=');
        if (equals == std::string::npos)
            command.words.push_back(word);
        else
            command.values[word.substr(0, equals)] = word.substr(equals + 1);
    }
    return command;
}

void run_transcripts(const std::string& directory, const std::function<Answer()>& make_answer) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::string(PABAL_SCENARIOS) + "/" + directory))
        if (entry.path().extension() == ".txt") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    ASSERT_FALSE(files.empty());
    for (const auto& file : files) run_file(file, make_answer());
}

}  // namespace pabal::scenario
