// client::Admin on a thread of its own, for callers that wait: each call is a future. The calls are
// carried out one after the other.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "client/admin.h"

namespace pabal::embedded {

class Admin {
public:
    explicit Admin(std::vector<io::Address> bootstrap);
    // No call may be under way.
    ~Admin();
    Admin(const Admin&) = delete;
    Admin& operator=(const Admin&) = delete;

    std::future<Result<TopicId>> create_topic(client::NewTopic topic, Duration timeout);
    std::future<Status> delete_topic(std::string name, Duration timeout);
    std::future<Result<client::TopicDescription>> describe_topic(std::string name,
                                                                 Duration timeout);
    std::future<Result<std::vector<client::TopicDescription>>> list_topics(Duration timeout);
    std::future<Status> create_partitions(std::string topic, std::int32_t count, Duration timeout);
    std::future<Result<std::vector<client::Config>>> describe_configs(
        client::ConfigResource resource, std::string name, Duration timeout);
    std::future<Status> alter_configs(
        client::ConfigResource resource, std::string name,
        std::vector<std::pair<std::string, std::optional<std::string>>> changes, Duration timeout);
    std::future<Result<std::vector<client::PartitionOffset>>> list_offsets(std::string topic,
                                                                           std::int64_t timestamp,
                                                                           Duration timeout);
    std::future<Result<std::vector<client::PartitionOffset>>> delete_records(
        std::string topic, std::vector<client::PartitionOffset> before, Duration timeout);
    std::future<Result<std::vector<client::GroupListing>>> list_groups(Duration timeout);
    std::future<Result<client::GroupDescription>> describe_group(std::string id, Duration timeout);
    std::future<Result<std::vector<client::CommittedOffset>>> committed_offsets(std::string group,
                                                                                Duration timeout);
    std::future<Status> delete_group(std::string id, Duration timeout);

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace pabal::embedded
