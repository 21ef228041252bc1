// What the hot path of an append costs per byte: the checksum, and the whole validation of a batch.
// Run: build with -DPABAL_BENCHMARKS=ON in Release, then benchmarks/micro/record_bench.
#include <benchmark/benchmark.h>

#include <string>

#include "base/crc32c.h"
#include "base/prng.h"
#include "record/batch_builder.h"
#include "record/validation.h"

namespace pabal::record {
namespace {

constexpr WallTime now{1'700'000'000'000};

// Text-like: zstd makes about half of it.
std::string payload(std::size_t size) {
    Prng random(size);
    std::string text;
    while (text.size() < size) {
        text.push_back(static_cast<char>('a' + random.below(16)));
    }
    return text;
}

Bytes batch_of(std::size_t batch_size, std::size_t record_size, Compression compression) {
    Codecs codecs;
    RecordBatchBuilder builder({.compression = compression});
    const std::string text = payload(batch_size + record_size);
    while (builder.size() < batch_size) {
        const auto value = std::string_view(text).substr(builder.size() % batch_size, record_size);
        builder.append(now, as_bytes("key-0042"), as_bytes(value));
    }
    return builder.build(codecs);
}

void checksum(benchmark::State& state) {
    const std::string bytes = payload(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state) benchmark::DoNotOptimize(crc32c(as_bytes(bytes)));
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum)->Arg(100)->Arg(1 << 10)->Arg(16 << 10)->Arg(1 << 20);

void checksum_by_table(benchmark::State& state) {
    const std::string bytes = payload(16 << 10);
    for (auto _ : state) benchmark::DoNotOptimize(crc32c_by_table(0, as_bytes(bytes)));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}
BENCHMARK(checksum_by_table);

// Arguments: batch size, record size, codec. Throughput is in uncompressed bytes.
void validation(benchmark::State& state) {
    const auto compression = static_cast<Compression>(state.range(2));
    const auto batch_size = static_cast<std::size_t>(state.range(0));
    const auto record_size = static_cast<std::size_t>(state.range(1));
    const Bytes batch = batch_of(batch_size, record_size, compression);
    const auto plain_size = batch_of(batch_size, record_size, Compression::none).size();
    const ValidationRules rules{.max_message_bytes = 2 << 20};
    Codecs codecs;
    for (auto _ : state) {
        auto result = validate(batch, rules, now, codecs);
        if (!result.ok()) state.SkipWithError("refused");
        benchmark::DoNotOptimize(result);
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(plain_size));
    state.SetLabel(std::string(compression_name(compression)));
}
BENCHMARK(validation)
    ->ArgNames({"batch", "record", "codec"})
    ->Args({16 << 10, 100, 0})
    ->Args({16 << 10, 1 << 10, 0})
    ->Args({1 << 20, 100, 0})
    ->Args({1 << 20, 1 << 10, 0})
    ->Args({1 << 20, 10, 0})
    ->Args({1 << 20, 1 << 10, 1})
    ->Args({1 << 20, 1 << 10, 2})
    ->Args({1 << 20, 1 << 10, 3})
    ->Args({1 << 20, 1 << 10, 4});

}  // namespace
}  // namespace pabal::record

BENCHMARK_MAIN();
