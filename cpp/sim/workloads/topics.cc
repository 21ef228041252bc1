// Creating the topics of a scenario, waiting until all replicas are in sync, and reading all of
// them from end to end.
#include <algorithm>
#include <map>

#include "io/gate.h"
#include "sim/client/records.h"
#include "sim/workloads/load.h"
#include "wire/create_topics.h"
#include "wire/fetch.h"
#include "wire/list_offsets.h"
#include "wire/metadata.h"
#include "wire/update_features.h"

namespace pabal::sim {
namespace {

constexpr Duration patience_of_one = Duration::seconds(5);
// Of ListOffsets.
constexpr std::int64_t latest = -1;
constexpr std::int64_t earliest = -2;
// Levels of isolation.
constexpr std::int8_t read_uncommitted = 0;
constexpr std::int8_t read_committed = 1;
// Of an update of features: to a lower level, if nothing is lost by it.
constexpr std::int8_t safe_downgrade = 2;

io::Task<void> wait(Client* client, Duration duration) {
    const Instant until = client->after(duration);
    io::Sleep sleep(client->clock(), until);
    co_await sleep;
}

Error failed(const std::string& what) {
    return Error{ErrorCode::unknown_server_error, what};
}

io::Task<Status> create_once(Load* load, Client* client, TopicSpec spec) {
    wire::CreateTopicsRequest request;
    request.timeout_ms = static_cast<std::int32_t>(patience_of_one.to_milliseconds());
    wire::CreateTopicsRequest::CreatableTopic topic;
    topic.name = spec.name;
    topic.num_partitions = spec.partitions;
    topic.replication_factor = spec.replication_factor;
    for (const auto& [name, value] : spec.config) topic.configs.push_back({name, value});
    request.topics.push_back(std::move(topic));
    auto answer =
        co_await client->wire().ask<wire::CreateTopicsResponse>(request, 7, patience_of_one);
    if (!answer.ok()) co_return failed(answer.error().message);
    if (answer->topics.size() != 1) co_return failed("CreateTopics was not answered for one topic");
    const auto& created = answer->topics[0];
    if (created.error_code != ErrorCode::none &&
        created.error_code != ErrorCode::topic_already_exists) {
        co_return Error{created.error_code, created.error_message.value_or("no reason given")};
    }
    if (created.error_code == ErrorCode::none) {
        load->ledger.each([&](Checker& checker) { checker.topic_created(spec.name); });
    }
    co_return Status();
}

io::Task<Result<TopicId>> find_id(Client* client, std::string name) {
    wire::MetadataRequest request;
    request.topics.emplace();
    wire::MetadataRequest::MetadataRequestTopic wanted;
    wanted.name = name;
    request.topics->push_back(wanted);
    request.allow_auto_topic_creation = false;
    auto answer = co_await client->wire().ask<wire::MetadataResponse>(request, 12, patience_of_one);
    if (!answer.ok()) co_return failed(answer.error().message);
    if (answer->topics.size() != 1) co_return failed("Metadata was not answered for one topic");
    if (answer->topics[0].error_code != ErrorCode::none) {
        co_return Error{answer->topics[0].error_code, "the topic " + name + " is not there"};
    }
    co_return answer->topics[0].topic_id;
}

io::Task<Result<TopicId>> create_and_find(Load* load, Client* client, TopicSpec spec) {
    auto created = co_await create_once(load, client, spec);
    if (!created.ok()) co_return created.error();
    auto id = co_await find_id(client, spec.name);
    co_return id;
}

io::Task<Result<Offset>> find_offset(Client* client, Partition partition, std::int64_t which,
                                     std::int8_t isolation) {
    wire::ListOffsetsRequest request;
    request.isolation_level = isolation;
    request.replica_id = no_broker;
    wire::ListOffsetsRequest::ListOffsetsTopic topic;
    topic.name = partition.topic;
    wire::ListOffsetsRequest::ListOffsetsPartition wanted;
    wanted.partition_index = PartitionIndex(partition.index);
    wanted.timestamp = which;
    topic.partitions.push_back(wanted);
    request.topics.push_back(std::move(topic));
    auto* leader = co_await client->route().to_leader(partition);
    if (!leader) co_return failed("nobody is known to lead it");
    auto answer = co_await leader->ask<wire::ListOffsetsResponse>(request, 7, patience_of_one);
    if (!answer.ok()) co_return failed(answer.error().message);
    if (answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
        co_return failed("ListOffsets of one partition was not answered for one");
    }
    const auto& found = answer->topics[0].partitions[0];
    if (found.error_code != ErrorCode::none) {
        co_return Error{found.error_code, "ListOffsets failed"};
    }
    co_return found.offset;
}

io::Task<Result<std::vector<ReadRecord>>> read_batches(Client* client, Partition partition,
                                                       Offset from, std::int8_t isolation,
                                                       record::Codecs* codecs) {
    wire::FetchRequest request;
    request.isolation_level = isolation;
    request.min_bytes = 1;
    request.max_wait_ms = 100;
    wire::FetchRequest::FetchTopic topic;
    topic.topic = partition.topic;
    wire::FetchRequest::FetchPartition wanted;
    wanted.partition = PartitionIndex(partition.index);
    wanted.fetch_offset = from;
    wanted.partition_max_bytes = 1 << 20;
    topic.partitions.push_back(wanted);
    request.topics.push_back(std::move(topic));
    auto* leader = co_await client->route().to_leader(partition);
    if (!leader) co_return failed("nobody is known to lead it");
    auto answer = co_await leader->ask<wire::FetchResponse>(request, 11, patience_of_one);
    if (!answer.ok()) co_return failed(answer.error().message);
    if (answer->responses.size() != 1 || answer->responses[0].partitions.size() != 1) {
        co_return failed("Fetch of one partition was not answered for one");
    }
    const auto& got = answer->responses[0].partitions[0];
    if (got.error_code != ErrorCode::none) co_return Error{got.error_code, "Fetch failed"};
    if (!got.records) co_return std::vector<ReadRecord>();
    auto records = read_records(*got.records, *codecs, got.aborted_transactions);
    co_return records;
}

// Nothing if no transaction is open in the partition, whose log ends at `end`.
io::Task<Status> check_stable(Client* client, Partition partition, Offset end) {
    auto stable = co_await find_offset(client, partition, latest, read_committed);
    if (!stable.ok()) co_return stable.error();
    if (*stable >= end) co_return Status();
    co_return failed("a transaction that began at offset " + std::to_string(stable->value()) +
                     " of " + text(partition) + " hangs; the log ends at " +
                     std::to_string(end.value()));
}

io::Task<Status> find_open_transaction(Client* client, Partition partition) {
    auto end = co_await find_offset(client, partition, latest, read_uncommitted);
    if (!end.ok()) co_return end.error();
    const Offset at = *end;
    auto stable = co_await check_stable(client, partition, at);
    co_return stable;
}

io::Task<Result<Content>> read_partition(Client* client, Partition partition,
                                         bool has_transactions) {
    record::Codecs codecs;
    Content content;
    content.partition = partition;
    auto start = co_await find_offset(client, partition, earliest, read_uncommitted);
    if (!start.ok()) co_return start.error();
    auto end = co_await find_offset(client, partition, latest, read_uncommitted);
    if (!end.ok()) co_return end.error();
    if (has_transactions) {
        const Offset at = *end;
        auto stable = co_await check_stable(client, partition, at);
        content.is_committed = stable.ok();
    }
    const std::int8_t isolation = content.is_committed ? read_committed : read_uncommitted;
    content.log_start_offset = *start;
    content.log_end_offset = *end;
    Offset next = *start;
    int empty = 0;
    while (next < *end) {
        auto records = co_await read_batches(client, partition, next, isolation, &codecs);
        if (!records.ok()) co_return records.error();
        if (records->empty()) {
            if (++empty == 20) {
                co_return failed("nothing is read at offset " + std::to_string(next.value()) +
                                 " although the log ends at " + std::to_string(end->value()));
            }
            continue;
        }
        for (const auto& read : *records) {
            // What comes in meanwhile (acks=0 still under way) is not of this content.
            const bool within = read.offset >= next && read.offset < *end;
            if (within) content.records.push_back(read);
        }
        const Offset after = records->back().offset + 1;
        if (after <= next) co_return failed("a fetch does not come forward");
        next = after;
    }
    co_return content;
}

// What this broker finds missing; nothing if it says that everything is in sync. `leaders` are whom
// the brokers before it named.
io::Task<Status> ask_if_in_sync(WireClient* broker, std::map<Partition, BrokerId>* leaders) {
    wire::MetadataRequest request;
    request.topics.reset();
    request.allow_auto_topic_creation = false;
    auto answer = co_await broker->ask<wire::MetadataResponse>(request, 12, patience_of_one);
    if (!answer.ok()) co_return failed(answer.error().message);
    for (const auto& topic : answer->topics) {
        for (const auto& told : topic.partitions) {
            const Partition partition{topic.name.value_or(""), told.partition_index.value()};
            if (told.leader_id == no_broker) co_return failed(text(partition) + " has no leader");
            if (told.isr_nodes.size() != told.replica_nodes.size()) {
                co_return failed(text(partition) + " has " + std::to_string(told.isr_nodes.size()) +
                                 " of " + std::to_string(told.replica_nodes.size()) +
                                 " replicas in sync");
            }
            const auto [entry, first] = leaders->emplace(partition, told.leader_id);
            if (!first && entry->second != told.leader_id) {
                co_return failed("brokers name different leaders of " + text(partition));
            }
        }
    }
    co_return Status();
}

}  // namespace

io::Task<Status> await_in_sync(Client* client, Duration patience) {
    const Instant deadline = client->after(patience);
    while (true) {
        std::map<Partition, BrokerId> leaders;
        Status status;
        for (std::size_t id = 0; status.ok() && id < client->route().broker_count(); ++id) {
            auto* broker = &client->route().broker(BrokerId(static_cast<std::int32_t>(id)));
            auto asked = co_await ask_if_in_sync(broker, &leaders);
            if (!asked.ok()) {
                status = failed("broker " + std::to_string(id) + ": " + asked.error().message);
            }
        }
        if (status.ok()) co_return status;
        if (client->clock().now() >= deadline) co_return status;
        co_await wait(client, Duration::milliseconds(50));
    }
}

io::Task<Status> create_topics(Load* load, Client* client, std::vector<TopicSpec> specs,
                               Duration patience) {
    const Instant deadline = client->after(patience);
    for (const auto& spec : specs) {
        while (true) {
            auto id = co_await create_and_find(load, client, spec);
            if (id.ok()) {
                load->topics.push_back({spec, *id});
                break;
            }
            if (client->clock().now() >= deadline) {
                co_return failed("the topic " + spec.name +
                                 " cannot be created: " + id.error().message);
            }
            co_await wait(client, Duration::milliseconds(50));
        }
    }
    co_return Status();
}

io::Task<Status> await_stable(Load* load, Client* client, Duration patience) {
    const Instant deadline = client->after(patience);
    for (const auto& topic : load->topics) {
        for (std::int32_t index = 0; index < topic.spec.partitions; ++index) {
            const Partition partition{topic.spec.name, index};
            while (true) {
                auto stable = co_await find_open_transaction(client, partition);
                if (stable.ok()) break;
                client->route().forget(partition);
                if (client->clock().now() >= deadline) co_return stable;
                co_await wait(client, Duration::milliseconds(50));
            }
        }
    }
    co_return Status();
}

io::Task<Status> set_features(Client* client, std::map<std::string, std::int16_t> levels,
                              Duration patience) {
    wire::UpdateFeaturesRequest request;
    request.timeout_ms = static_cast<std::int32_t>(patience_of_one.to_milliseconds());
    for (const auto& [name, level] : levels) {
        auto& update = request.feature_updates.emplace_back();
        update.feature = name;
        update.max_version_level = level;
        update.upgrade_type = safe_downgrade;
    }
    const Instant deadline = client->after(patience);
    while (true) {
        auto* broker = &client->wire();
        auto answer =
            co_await broker->ask<wire::UpdateFeaturesResponse>(request, 1, patience_of_one);
        if (answer.ok() && answer->error_code == ErrorCode::none) {
            const auto refused =
                std::find_if(answer->results.begin(), answer->results.end(),
                             [](const auto& each) { return each.error_code != ErrorCode::none; });
            if (refused == answer->results.end()) co_return Status();
        }
        if (client->clock().now() >= deadline) {
            co_return failed("the features cannot be set: " +
                             (answer.ok() ? answer->error_message.value_or("no reason given")
                                          : answer.error().message));
        }
        co_await wait(client, Duration::milliseconds(50));
    }
}

io::Task<Status> read_everything(Load* load, Client* client, Duration patience) {
    const Instant deadline = client->after(patience);
    for (const auto& topic : load->topics) {
        for (std::int32_t index = 0; index < topic.spec.partitions; ++index) {
            const Partition partition{topic.spec.name, index};
            while (true) {
                auto content = co_await read_partition(client, partition, load->has_transactions);
                if (content.ok()) {
                    load->ledger.each([&](Checker& checker) { checker.read_all(*content); });
                    break;
                }
                client->route().forget(partition);
                if (client->clock().now() >= deadline) {
                    if (content.error().code == ErrorCode::unknown_topic_or_partition) {
                        load->ledger.each(
                            [&](Checker& checker) { checker.topic_missing(topic.spec.name); });
                    }
                    if (content.error().code == ErrorCode::corrupt_message) {
                        load->ledger.each([&](Checker& checker) {
                            checker.response_garbled(text(partition) + ": " +
                                                     content.error().message);
                        });
                    }
                    co_return failed(text(partition) +
                                     " cannot be read: " + content.error().message);
                }
                co_await wait(client, Duration::milliseconds(50));
            }
        }
    }
    co_return Status();
}

}  // namespace pabal::sim
