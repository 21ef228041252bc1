// DescribeLogDirs (KIP-113): what lies in each of log.dirs. Null topics ask for all.
//
// 3     an error for the whole · 4 total and usable bytes (KIP-827)
// 5     cordoned (KIP-1066): never
#include <map>
#include <set>

#include "broker/dispatch.h"
#include "io/ports.h"
#include "runtime/partitions.h"
#include "wire/describe_log_dirs.h"

namespace pabal::broker {
namespace {

using DirectoryResult = wire::DescribeLogDirsResponse::DescribeLogDirsResult;

// Which partitions are asked for; all if none are named.
class Wishes {
public:
    explicit Wishes(const wire::DescribeLogDirsRequest& message) {
        if (!message.topics) return;
        all_ = false;
        for (const auto& topic : *message.topics)
            topics_[topic.topic].insert(topic.partitions.begin(), topic.partitions.end());
    }
    bool includes(const std::string& topic, PartitionIndex index) const {
        if (all_) return true;
        const auto found = topics_.find(topic);
        return found != topics_.end() && found->second.count(index) > 0;
    }

private:
    bool all_ = true;
    std::map<std::string, std::set<PartitionIndex>> topics_;
};

void add_partitions(const std::vector<const runtime::Topic*>& topics, const Wishes& wishes,
                    const runtime::LogDirectory* directory, DirectoryResult* result) {
    for (const auto* topic : topics) {
        bool named = false;
        for (const auto& partition : topic->partitions) {
            if (!partition || partition->directory() != directory || !partition->log()) continue;
            const auto index = partition->id().partition;
            if (!wishes.includes(topic->name(), index)) continue;
            if (!named) result->topics.emplace_back().name = topic->name();
            named = true;
            auto& described = result->topics.back().partitions.emplace_back();
            described.partition_index = index;
            described.partition_size = partition->log()->size_bytes();
            // How far the log ends below the high watermark: a leader's never does.
            described.offset_lag = std::max<std::int64_t>(
                partition->high_watermark() - partition->log()->log_end_offset(), 0);
        }
    }
}

}  // namespace

io::Task<wire::DescribeLogDirsResponse> handle_describe_log_dirs(
    Context* context, RequestContext* request, wire::DescribeLogDirsRequest message) {
    struct Space {
        std::string path;
        std::int64_t total = -1;
        std::int64_t usable = -1;
    };
    std::vector<Space> spaces;
    for (const auto& directory : context->partitions.log_directories())
        spaces.push_back({directory->path, -1, -1});
    io::Disk* disk = &context->partitions.ports().disk;
    std::function<void()> look = [disk, &spaces] {
        for (auto& space : spaces) {
            const auto total = disk->total_bytes(space.path);
            const auto usable = disk->free_bytes(space.path);
            if (total.ok()) space.total = static_cast<std::int64_t>(*total);
            if (usable.ok()) space.usable = static_cast<std::int64_t>(*usable);
        }
    };
    co_await disk->run(look);

    wire::DescribeLogDirsResponse response;
    const Wishes wishes(message);
    const auto topics = context->partitions.topics();
    std::size_t place = 0;
    for (const auto& directory : context->partitions.log_directories()) {
        const auto& space = spaces[place++];
        auto& result = response.results.emplace_back();
        result.log_dir = directory->path;
        if (!directory->online()) {
            result.error_code = ErrorCode::kafka_storage_error;
            request->failed(result.error_code);
            continue;
        }
        result.total_bytes = space.total;
        result.usable_bytes = space.usable;
        add_partitions(topics, wishes, directory.get(), &result);
    }
    co_return response;
}

}  // namespace pabal::broker
