// DescribeQuorum: who votes and who follows in the metadata quorum, and how far they are. The
// leader knows; a broker asks it for its client.
//
// 1     when replicas fetched and were caught up (KIP-836) · 2 directory ids and listeners
// (KIP-853)
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "runtime/controller.h"
#include "wire/describe_quorum.h"

namespace pabal::broker {

io::Task<wire::DescribeQuorumResponse> handle_describe_quorum(Context* context,
                                                              RequestContext* request,
                                                              wire::DescribeQuorumRequest message) {
    const std::int32_t timeout_ms = 0;
    auto response = co_await ask_controller<wire::DescribeQuorumResponse>(
        context, request, std::move(message), timeout_ms);
    // What earlier versions have no place for.
    if (request->version < 2) {
        response.nodes.clear();
        response.error_message.reset();
    }
    for (auto& topic : response.topics) {
        for (auto& partition : topic.partitions) {
            request->failed(partition.error_code);
            if (request->version < 2) partition.error_message.reset();
            for (auto* replicas : {&partition.current_voters, &partition.observers}) {
                for (auto& replica : *replicas) {
                    if (request->version < 2) replica.replica_directory_id = DirectoryId();
                    if (request->version < 1) {
                        replica.last_fetch_timestamp = -1;
                        replica.last_caught_up_timestamp = -1;
                    }
                }
            }
        }
    }
    co_return response;
}

}  // namespace pabal::broker
