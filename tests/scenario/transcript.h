// Transcripts: text files of commands and of what a machine answers, compared word for word and
// reviewed like prose. A block is a command line, further input lines if the command takes some, a
// line of four dashes, and the answer up to the next blank line. Lines that begin with '#' before a
// command are comments. A test program that is started with --rewrite writes the files anew.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pabal::scenario {

struct Command {
    std::string name;
    std::vector<std::string> words;             // Those without '='.
    std::map<std::string, std::string> values;  // NAME=VALUE.
    std::vector<std::string> input;             // The lines below the command.

    bool has(const std::string& word) const;
    std::string value(const std::string& name, const std::string& otherwise = "") const;
    std::int64_t number(const std::string& name, std::int64_t otherwise) const;
};

// The words of a line, as of a command's.
Command parse_command(const std::string& line);

// Answers one command; what it returns may have several lines.
using Answer = std::function<std::string(const Command& command)>;

// Runs each *.txt of `directory` (below tests/scenario/) with an answer of its own.
void run_transcripts(const std::string& directory, const std::function<Answer()>& make_answer);

}  // namespace pabal::scenario
