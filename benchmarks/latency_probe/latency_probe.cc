// How long records take from a producer's send to a consumer's poll, with pabal's own client: one
// thread sends at a fixed rate and never waits for an answer, another polls. A record carries the
// time at which it was sent, and its number.
//
// latency_probe BOOTSTRAP TOPIC PARTITIONS RATE UNCOUNTED COUNTED, where the last two are numbers
// of records. Prints "end-to-end p50 p99 p99.9 max" and "late p50 p99 p99.9 max", in microseconds:
// how much later than planned the sender was, which is not charged to the records.
#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "bindings/record_cursor.h"
#include "embedded/consumer.h"
#include "embedded/producer.h"

namespace pabal {
namespace {

constexpr std::size_t value_bytes = 100;
constexpr Duration patience = Duration::seconds(30);

struct Load {
    std::string bootstrap;
    std::string topic;
    std::int32_t partitions = 0;
    std::int64_t rate = 0;  // Records per second.
    std::size_t uncounted = 0;
    std::size_t counted = 0;
    std::size_t total() const { return uncounted + counted; }
};

// Of a record, when it is sent.
struct Stamp {
    std::int64_t sent_nanoseconds = 0;
    std::uint64_t number = 0;
};

[[noreturn]] void fail(const std::string& why) {
    fmt::print(stderr, "{}\n", why);
    std::exit(1);
}

std::int64_t now_nanoseconds() {
    return (embedded::Producer::now() - Instant()).to_nanoseconds();
}

client::Brokers::Options brokers_of(const Load& load) {
    client::Brokers::Options options;
    for (std::size_t at = 0; at < load.bootstrap.size();) {
        const auto end = std::min(load.bootstrap.find(',', at), load.bootstrap.size());
        const auto colon = load.bootstrap.rfind(':', end - 1);
        const auto port = load.bootstrap.substr(colon + 1, end - colon - 1);
        options.bootstrap.push_back(
            {load.bootstrap.substr(at, colon - at), static_cast<std::uint16_t>(std::stoi(port))});
        at = end + 1;
    }
    return options;
}

// Notes, by number, how long each record took.
void receive(const Load& load, std::vector<std::int64_t>* taken) {
    client::Consumer::Options options;
    options.brokers = brokers_of(load);
    embedded::Consumer consumer(options);
    auto& records = *consumer.records();
    for (std::int32_t index = 0; index < load.partitions; ++index)
        records.add({load.topic, PartitionIndex(index)}, 0, 0);
    for (std::size_t received = 0; received < load.total();) {
        std::vector<client::FetchedSlice> slices;
        std::uint64_t seen = 0;
        {
            const auto lock = records.lock();
            const auto error = records.take_error(lock);
            if (error) fail(error->message);
            slices = records.take(lock, load.total());
            seen = records.changes(lock);
        }
        if (slices.empty()) {
            const auto waited_from = embedded::Producer::now();
            records.wait(seen, patience);
            if (embedded::Producer::now() - waited_from >= patience)
                fail(fmt::format("{} of {} records arrived", received, load.total()));
            continue;
        }
        const auto now = now_nanoseconds();
        for (const auto& slice : slices) {
            for (bindings::RecordCursor cursor(slice); !cursor.at_end(); ++received) {
                Stamp stamp;
                std::memcpy(&stamp, cursor.next().value, sizeof stamp);
                taken->at(stamp.number) = now - stamp.sent_nanoseconds;
            }
        }
    }
}

// Whether the topic has partitions for the producer, too.
client::ProducedTopic* await_topic(const Load& load, client::RecordAccumulator* records) {
    for (;;) {
        std::uint64_t seen = 0;
        {
            const auto lock = records->lock();
            auto* topic = records->topic(lock, load.topic);
            if (!topic->lanes.empty()) return topic;
            seen = records->changes(lock);
        }
        records->wait(seen, patience);
    }
}

// Notes how much later than planned each record was sent.
void send(const Load& load, std::vector<std::int64_t>* late) {
    client::Producer::Options options;
    options.brokers = brokers_of(load);
    client::RecordAccumulator::Options collecting;
    collecting.linger = Duration();
    embedded::Producer producer(options, collecting);
    auto& records = *producer.records();
    auto* topic = await_topic(load, &records);
    const auto began = now_nanoseconds();
    for (std::size_t number = 0; number < load.total(); ++number) {
        const auto due = began + static_cast<std::int64_t>(number) * 1'000'000'000 / load.rate;
        auto now = now_nanoseconds();
        if (now < due) {
            std::this_thread::sleep_for(std::chrono::nanoseconds(due - now));
            now = now_nanoseconds();
        }
        late->at(number) = now - due;
        std::uint8_t value[value_bytes] = {};
        const Stamp stamp{now, number};
        std::memcpy(value, &stamp, sizeof stamp);
        const auto lock = records.lock();
        const auto partition = records.choose(lock, topic, std::nullopt);
        records.append(lock, &topic->lanes[static_cast<std::size_t>(partition.value())],
                       embedded::Producer::wall_now(), std::nullopt, ByteView(value));
    }
    std::uint64_t before = 0;
    {
        const auto lock = records.lock();
        before = records.flush(lock);
    }
    for (bool ended = false; !ended;) {
        std::uint64_t seen = 0;
        {
            const auto lock = records.lock();
            ended = records.ended_before(lock, before);
            seen = records.changes(lock);
            const auto failures = records.take_failures(lock);
            if (!failures.empty()) fail(failures.front().error.message);
        }
        if (!ended) records.wait(seen, patience);
    }
}

void print(const char* what, std::vector<std::int64_t> times, std::size_t uncounted) {
    times.erase(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(uncounted));
    std::sort(times.begin(), times.end());
    const auto at = [&](double share) {
        const auto index = static_cast<std::size_t>(static_cast<double>(times.size()) * share);
        return static_cast<double>(times[std::min(index, times.size() - 1)]) / 1000;
    };
    fmt::print("{} {:.1f} {:.1f} {:.1f} {:.1f}\n", what, at(0.5), at(0.99), at(0.999), at(1));
}

}  // namespace
}  // namespace pabal

int main(int count, char** arguments) {
    if (count != 7) pabal::fail("latency_probe BOOTSTRAP TOPIC PARTITIONS RATE UNCOUNTED COUNTED");
    pabal::Load load{arguments[1],
                     arguments[2],
                     std::atoi(arguments[3]),
                     std::atoll(arguments[4]),
                     static_cast<std::size_t>(std::atoll(arguments[5])),
                     static_cast<std::size_t>(std::atoll(arguments[6]))};
    if (load.partitions <= 0 || load.rate <= 0 || load.counted == 0)
        pabal::fail("there is nothing to send");
    // Threads that sleep for 100 µs wake up 50 µs later than asked without it.
    prctl(PR_SET_TIMERSLACK, 1);
    std::vector<std::int64_t> taken(load.total());
    std::vector<std::int64_t> late(load.total());
    std::thread receiver([&] { pabal::receive(load, &taken); });
    pabal::send(load, &late);
    receiver.join();
    pabal::print("end-to-end", taken, load.uncounted);
    pabal::print("late", late, load.uncounted);
    return 0;
}
