#include "group/consumer/metadata_hash.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf16.h"
#include "metadata/cluster_image.h"

namespace pabal::group {
namespace {

// What Kafka's hash stream is fed with: numbers in little-endian order, text as UTF-16.
class Stream {
public:
    template <class Number>
    void put(Number number) {
        for (std::size_t i = 0; i < sizeof number; ++i)
            bytes_.push_back(static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * i)));
    }
    std::int64_t hash() const { return static_cast<std::int64_t>(xxh3(as_bytes(bytes_))); }

private:
    std::string bytes_;
};

std::vector<std::uint16_t> units_of(std::string_view text) {
    std::vector<std::uint16_t> units;
    each_utf16_unit(text, [&](std::uint16_t unit) { units.push_back(unit); });
    return units;
}

void put_text(Stream* stream, const std::vector<std::uint16_t>& units) {
    for (const std::uint16_t unit : units) stream->put(unit);
    stream->put(static_cast<std::uint32_t>(units.size()));
}

std::vector<std::vector<std::uint16_t>> racks_of(const metadata::PartitionImage& partition,
                                                 const metadata::ClusterImage& image) {
    std::vector<std::vector<std::uint16_t>> racks;
    for (const BrokerId replica : partition.replicas) {
        const auto* broker = image.broker(replica);
        if (broker && broker->rack) racks.push_back(units_of(*broker->rack));
    }
    std::sort(racks.begin(), racks.end());
    return racks;
}

std::int64_t hash_of(const metadata::TopicImage& topic, const metadata::ClusterImage& image) {
    Stream stream;
    stream.put(std::uint8_t{0});  // The version of all this.
    for (const std::size_t half : {0, 8}) {
        std::uint64_t number = 0;
        for (std::size_t i = 0; i < 8; ++i) number = number << 8 | topic.id.value().bytes[half + i];
        stream.put(number);
    }
    put_text(&stream, units_of(topic.name));
    stream.put(static_cast<std::uint32_t>(topic.partitions.size()));
    for (std::size_t i = 0; i < topic.partitions.size(); ++i) {
        stream.put(static_cast<std::uint32_t>(i));
        for (const auto& rack : racks_of(topic.partitions[i], image)) {
            stream.put(static_cast<std::uint32_t>(rack.size()));
            put_text(&stream, rack);
        }
    }
    return stream.hash();
}

}  // namespace

std::int64_t metadata_hash(const std::set<TopicId>& topics, const metadata::ClusterImage& image) {
    std::map<std::string, std::int64_t> hashes;  // By name: the order that counts.
    for (const TopicId& id : topics) {
        if (auto topic = image.topic(id)) hashes[topic->name] = hash_of(*topic, image);
    }
    if (hashes.empty()) return 0;
    Stream stream;
    for (const auto& [name, hash] : hashes) stream.put(hash);
    return stream.hash();
}

}  // namespace pabal::group
