// Groups without members that commit how far they have read, and look up where they stand. A commit
// without an answer may still take effect later: its group is looked at once more and then left.
#include "sim/workloads/crew.h"
#include "wire/offset_commit.h"
#include "wire/offset_fetch.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(5);

// Where a client's group is.
struct Place {
    std::string group;
    Partition partition;
    std::int64_t asked = 0;
    bool uncertain = false;
};

struct Committer : PlainSeat {
    using PlainSeat::PlainSeat;

    Place place;
    std::int32_t number = 0;  // Of its group, among those that it had.
};

class CommitOffsets final : public Crew<Committer> {
public:
    using Crew::Crew;

    std::string name() const override { return "groups"; }

private:
    void take_seat(int, Committer* seat) override { seat->place = fresh(&seat->client, 0); }

    io::Task<void> step(Committer* seat) override {
        Client* client = &seat->client;
        Place& place = seat->place;
        if (!load_.may_write) co_return;
        // The first one of all has the topic made.
        auto* coordinator = co_await client->route().to_coordinator(place.group);
        if (!coordinator) co_return;
        auto looked = co_await look(this, client, coordinator, place);
        if (!looked) {
            client->route().forget_coordinator(place.group);
            co_return;
        }
        if (place.uncertain) place = fresh(client, ++seat->number);
        if (!load_.may_write) co_return;
        place.asked += client->random().between(1, 10);
        auto known = co_await commit(this, client, coordinator, place);
        place.uncertain = !known;
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
        ++self->progress_;
        ledger.each([&](Checker& checker) {
            checker.committed(place.group, place.partition, Offset(place.asked));
        });
        co_return true;
    }
};

}  // namespace

std::unique_ptr<Workload> make_commit_offsets(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<CommitOffsets>(load, spec);
}

}  // namespace pabal::sim
