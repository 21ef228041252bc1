// Creates and deletes topics and gives them more partitions. Pure: the image and chance are
// arguments. Judged against everything that was proposed before, committed or not.
#pragma once

#include "base/prng.h"
#include "controller/outcome.h"
#include "metadata/broker_config.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"

namespace pabal::controller {

class Topics {
public:
    // `config` is what the controller's node was started with; it must outlive this.
    Topics(const metadata::BrokerConfig& config, Prng random) : config_(config), random_(random) {}

    // Topics of one request stand or fall one by one; a request of more than
    // max_records_per_request records fails as a whole with POLICY_VIOLATION.
    Outcome<wire::CreateTopicsResponse> create(const wire::CreateTopicsRequest& request,
                                               const metadata::ClusterImage& image);
    // By name or by id (KIP-516). Before version 4 disabled deletion is an INVALID_REQUEST.
    Outcome<wire::DeleteTopicsResponse> remove(const wire::DeleteTopicsRequest& request,
                                               int version,
                                               const metadata::ClusterImage& image) const;
    // Partitions are never taken away: INVALID_PARTITIONS.
    Outcome<wire::CreatePartitionsResponse> add_partitions(
        const wire::CreatePartitionsRequest& request, const metadata::ClusterImage& image);

private:
    struct Planned;
    Result<Planned> plan(const wire::CreateTopicsRequest::CreatableTopic& topic,
                         const metadata::ClusterImage& image);
    Result<std::vector<metadata::Record>> plan_partitions(
        const wire::CreatePartitionsRequest::CreatePartitionsTopic& topic,
        const metadata::ClusterImage& image);
    metadata::Record partition_record(const metadata::ClusterImage& image, TopicId topic,
                                      std::size_t index, std::vector<BrokerId> replicas);

    const metadata::BrokerConfig& config_;
    Prng random_;
};

}  // namespace pabal::controller
