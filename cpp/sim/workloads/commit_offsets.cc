// Groups without members that commit how far they have read, and look up where they stand. A commit
// without an answer may still take effect later: its group is looked at once more and then left.
#include "io/gate.h"
#include "sim/workloads/load.h"
#include "wire/offset_commit.h"
#include "wire/offset_fetch.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(5);

class CommitOffsets final : public Workload {
public:
    CommitOffsets(Load& load, WorkloadSpec spec) : load_(load), spec_(std::move(spec)) {}

    void start() override {
        for (int i = 0; i < spec_.clients; ++i) {
            ++busy_;
            auto& client = load_.add_client();
            client.run(work(this, &client));
        }
    }
    int busy() const override { return busy_; }
    std::uint64_t progress() const override { return commits_; }
    std::string name() const override { return "groups"; }

private:
    // Where a client's group is.
    struct Place {
        std::string group;
        Partition partition;
        std::int64_t asked = 0;
        bool uncertain = false;
    };

    static io::Task<void> work(CommitOffsets* self, Client* client) {
        std::int32_t number = 0;
        Place place = self->fresh(client, number);
        while (!self->load_.stopping) {
            const Instant until = client->after(client->draw(self->spec_.pause));
            io::Sleep sleep(client->clock(), until);
            co_await sleep;
            if (!self->load_.may_write) continue;
            // The first one of all has the topic made.
            auto* coordinator = co_await client->route().to_coordinator(place.group);
            if (!coordinator) continue;
            auto looked = co_await look(self, client, coordinator, place);
            if (!looked) {
                client->route().forget_coordinator(place.group);
                continue;
            }
            if (place.uncertain) place = self->fresh(client, ++number);
            if (!self->load_.may_write) continue;
            place.asked += client->random().between(1, 10);
            auto known = co_await commit(self, client, coordinator, place);
            place.uncertain = !known;
        }
        --self->busy_;
    }

    Place fresh(Client* client, std::int32_t number) {
        Place place;
        place.group = "group-" + std::to_string(client->id()) + "-" + std::to_string(number);
        place.partition = load_.any_partition(client->random());
        return place;
    }

    static io::Task<bool> look(CommitOffsets* self, Client* client, WireClient* coordinator,
                               Place place) {
        wire::OffsetFetchRequest request;
        wire::OffsetFetchRequest::OffsetFetchRequestGroup group;
        group.group_id = place.group;
        auto& topic = group.topics.emplace().emplace_back();
        topic.name = place.partition.topic;
        topic.partition_indexes.emplace_back(place.partition.index);
        request.groups.push_back(std::move(group));
        const int version = static_cast<int>(client->random().between(8, 9));
        auto answer =
            co_await coordinator->ask<wire::OffsetFetchResponse>(request, version, patience);
        if (!answer.ok() || answer->groups.size() != 1) co_return false;
        const auto& told = answer->groups[0];
        if (told.error_code != ErrorCode::none || told.topics.size() != 1) co_return false;
        const Offset offset = told.topics[0].partitions.at(0).committed_offset;
        self->load_.ledger.each(
            [&](Checker& checker) { checker.position_read(place.group, place.partition, offset); });
        co_return true;
    }

    // Whether it is known what became of the commit.
    static io::Task<bool> commit(CommitOffsets* self, Client* client, WireClient* coordinator,
                                 Place place) {
        wire::OffsetCommitRequest request;
        request.group_id = place.group;
        auto& topic = request.topics.emplace_back();
        topic.name = place.partition.topic;
        auto& partition = topic.partitions.emplace_back();
        partition.partition_index = PartitionIndex(place.partition.index);
        partition.committed_offset = Offset(place.asked);
        partition.committed_metadata = "";
        auto& ledger = self->load_.ledger;
        ledger.each([&](Checker& checker) {
            checker.commit_asked(place.group, place.partition, Offset(place.asked));
        });
        const int version = static_cast<int>(client->random().between(2, 9));
        ++self->load_.writes_under_way;
        auto answer =
            co_await coordinator->ask<wire::OffsetCommitResponse>(request, version, patience);
        --self->load_.writes_under_way;
        if (!answer.ok() || answer->topics.size() != 1) co_return false;
        const ErrorCode error = answer->topics[0].partitions.at(0).error_code;
        if (error != ErrorCode::none) co_return error == ErrorCode::not_coordinator;
        ++self->commits_;
        ledger.each([&](Checker& checker) {
            checker.committed(place.group, place.partition, Offset(place.asked));
        });
        co_return true;
    }

    Load& load_;
    WorkloadSpec spec_;
    int busy_ = 0;
    std::uint64_t commits_ = 0;
};

}  // namespace

std::unique_ptr<Workload> make_commit_offsets(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<CommitOffsets>(load, spec);
}

}  // namespace pabal::sim
