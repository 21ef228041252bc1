#include "client/admin_call.h"
#include "wire/describe_quorum.h"

namespace pabal::client {

io::Task<Result<QuorumDescription>> Admin::describe_quorum(Duration timeout) {
    const std::string name = "__cluster_metadata";
    const Instant deadline = clock_->now() + timeout;
    wire::DescribeQuorumRequest request;
    auto& asked = request.topics.emplace_back();
    asked.topic_name = name;
    asked.partitions.emplace_back();
    auto response = co_await call<wire::DescribeQuorumResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    const Status status = status_of(response->error_code, response->error_message);
    if (!status.ok()) co_return status.error();
    if (response->topics.size() != 1 || response->topics.front().partitions.size() != 1) {
        co_return answered_for_another(name);
    }
    const auto& partition = response->topics.front().partitions.front();
    const Status of_partition = status_of(partition.error_code, partition.error_message);
    if (!of_partition.ok()) co_return of_partition.error();
    QuorumDescription description;
    description.leader = partition.leader_id;
    description.leader_epoch = partition.leader_epoch;
    description.high_watermark = partition.high_watermark;
    co_return description;
}

}  // namespace pabal::client
