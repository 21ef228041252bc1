// Runs a fuzz target over the files it is given (a folder stands for all files in it), each also
// cut off at every length: what a corpus costs as an ordinary test, without libFuzzer.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

// Longer inputs are cut at this many lengths only.
constexpr std::size_t max_cuts = 512;

void replay(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
    const std::size_t step = std::max<std::size_t>(1, content.size() / max_cuts);
    for (std::size_t size = 0; size < content.size(); size += step) {
        // A copy of exactly this size, so that a sanitizer sees each byte read beyond it.
        const std::vector<std::uint8_t> cut(content.begin(),
                                            content.begin() + static_cast<long>(size));
        LLVMFuzzerTestOneInput(cut.data(), cut.size());
    }
    const std::vector<std::uint8_t> whole(content.begin(), content.end());
    LLVMFuzzerTestOneInput(whole.data(), whole.size());
}

}  // namespace

int main(int argument_count, char** arguments) {
    std::vector<std::filesystem::path> paths;
    for (int i = 1; i < argument_count; ++i) {
        if (std::filesystem::is_directory(arguments[i])) {
            for (const auto& entry : std::filesystem::directory_iterator(arguments[i])) {
                paths.push_back(entry.path());
            }
        } else {
            paths.emplace_back(arguments[i]);
        }
    }
    std::sort(paths.begin(), paths.end());
    for (const auto& path : paths) replay(path);
    std::printf("replayed %zu inputs\n", paths.size());
    return paths.empty() ? 1 : 0;
}
