// How the voters of the quorum change (KIP-853): what administrators and nodes ask of the leader,
// and what this node asks of it for itself, when it is found elsewhere than the log says, or should
// vote and does not yet (KIP-1186).
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "metadata/features.h"
#include "runtime/quorum.h"
#include "wire/add_raft_voter.h"
#include "wire/api_versions.h"
#include "wire/remove_raft_voter.h"
#include "wire/update_raft_voter.h"

namespace pabal::runtime {
namespace {

template <class Response>
Response refusal(const Status& status) {
    Response response;
    if (status.ok()) return response;
    response.error_code = status.error().code;
    response.error_message = status.error().message;
    return response;
}

template <class Listeners>
std::vector<raft::VoterEndpoint> endpoints_of(const Listeners& listeners) {
    std::vector<raft::VoterEndpoint> endpoints;
    for (const auto& listener : listeners)
        endpoints.push_back({listener.name, listener.host, listener.port});
    return endpoints;
}

const raft::VoterEndpoint* listener_of(const raft::Voter& voter, const std::string& name) {
    for (const raft::VoterEndpoint& endpoint : voter.endpoints)
        if (endpoint.name == name) return &endpoint;
    return nullptr;
}

Error wrong_cluster(const std::optional<std::string>& given, const std::string& cluster_id) {
    return {ErrorCode::inconsistent_cluster_id, "The given id \"" + given.value_or("") +
                                                    "\" doesn't match the cluster id \"" +
                                                    cluster_id + "\""};
}

Error no_leader_here() {
    return {ErrorCode::not_leader_or_follower, "This node does not lead the metadata quorum."};
}

}  // namespace

// Where the voters of the log are reached. What one said later itself counts until the log says
// something else.
void Quorum::learn_voters() {
    if (kraft_version() == raft::static_voters || machine_.voters() == known_voters_) return;
    for (const raft::Voter& voter : machine_.voters()) {
        const raft::Voter* known = raft::find(known_voters_, voter.id);
        if (known && *known == voter) continue;
        if (const auto* listener = listener_of(voter, options_.listener))
            addresses_[voter.id] = {listener->host, listener->port};
    }
    known_voters_ = machine_.voters();
    if (options_.log && !stopped_)
        options_.log->info("voters of the metadata quorum",
                           {{"voters", raft::text(known_voters_)}});
}

// ------------------------------------------------------------------------------------- the leader

io::Task<wire::AddRaftVoterResponse> Quorum::add_voter(wire::AddRaftVoterRequest request,
                                                       Instant deadline) {
    const ErrorCode cluster = refuse_cluster(request.cluster_id);
    if (cluster == ErrorCode::inconsistent_cluster_id)
        co_return refusal<wire::AddRaftVoterResponse>(
            wrong_cluster(request.cluster_id, options_.cluster_id));
    if (cluster != ErrorCode::none || !is_leader())
        co_return refusal<wire::AddRaftVoterResponse>(no_leader_here());
    raft::Voter voter;
    voter.id = request.voter_id;
    voter.directory = request.voter_directory_id;
    voter.endpoints = endpoints_of(request.listeners);
    if (voter.id < BrokerId(0) || voter.directory.value().is_zero())
        co_return refusal<wire::AddRaftVoterResponse>(
            Error{ErrorCode::invalid_request, "Add voter request didn't include a valid voter"});
    if (!listener_of(voter, options_.listener))
        co_return refusal<wire::AddRaftVoterResponse>(
            Error{ErrorCode::invalid_request,
                  "Add voter request didn't include the endpoint for the default listener " +
                      options_.listener});
    if (adding_voter_)
        co_return refusal<wire::AddRaftVoterResponse>(
            Error{ErrorCode::request_timed_out,
                  "Request timed out waiting for leader to handle previous add voter request"});
    adding_voter_ = true;
    const bool until_committed = request.ack_when_committed;
    auto appended = co_await append_voter(std::move(voter), until_committed, deadline);
    adding_voter_ = false;
    co_return refusal<wire::AddRaftVoterResponse>(appended);
}

io::Task<Status> Quorum::append_voter(raft::Voter voter, bool until_committed, Instant deadline) {
    const LeaderEpoch in_epoch = epoch();
    co_await earlier_change(deadline);
    Status may = machine_.may_add(voter);
    if (!may.ok()) co_return may;
    auto asked = co_await ask_version(&voter, deadline);
    if (!asked.ok()) co_return asked;
    // What it lacks would delay whatever is committed from then on.
    while (!machine_.has_caught_up(voter.id, voter.directory) && epoch() == in_epoch &&
           is_leader() && !stopped_ && ports_.clock.now() < deadline)
        co_await news(deadline);
    if (stopped_ || !is_leader() || epoch() != in_epoch) co_return no_leader_here();
    const auto offset = machine_.add_voter(voter, now());
    if (!offset.ok()) co_return offset.error();
    if (!carry_out())
        co_return Error{ErrorCode::kafka_storage_error, "the disk refused the record of voters"};
    if (!until_committed) co_return Status();
    const Offset last = *offset;
    auto done = co_await committed(last, in_epoch, deadline);
    co_return done;
}

// What kraft.version the new voter could run.
io::Task<Status> Quorum::ask_version(raft::Voter* voter, Instant deadline) {
    const raft::VoterEndpoint* listener = listener_of(*voter, options_.listener);
    io::Address address{listener->host, listener->port};
    wire::ApiVersionsRequest request;
    request.client_software_name = "pabal";
    request.client_software_version = "0.1.0";
    const Instant patience = std::min(deadline, ports_.clock.now() + options_.request_timeout);
    auto response = co_await peers_.call<wire::ApiVersionsResponse>(
        std::move(address), Purpose::quorum, std::move(request), patience);
    const bool answered = response.ok() && response->error_code == ErrorCode::none;
    if (!answered) {
        const std::string why = response.ok() ? std::string(error_name(response->error_code))
                                              : response.error().message;
        co_return Error{
            ErrorCode::request_timed_out,
            "Aborted add voter operation for since API_VERSIONS returned an error " + why};
    }
    for (const auto& feature : response->supported_features) {
        if (feature.name != metadata::kraft_version_feature) continue;
        voter->lowest_level = feature.min_version;
        voter->highest_level = feature.max_version;
    }
    co_return Status();
}

io::Task<wire::RemoveRaftVoterResponse> Quorum::remove_voter(wire::RemoveRaftVoterRequest request,
                                                             Instant deadline) {
    const ErrorCode cluster = refuse_cluster(request.cluster_id);
    if (cluster == ErrorCode::inconsistent_cluster_id)
        co_return refusal<wire::RemoveRaftVoterResponse>(
            wrong_cluster(request.cluster_id, options_.cluster_id));
    if (cluster != ErrorCode::none || !is_leader())
        co_return refusal<wire::RemoveRaftVoterResponse>(no_leader_here());
    if (request.voter_id < BrokerId(0) || request.voter_directory_id.value().is_zero())
        co_return refusal<wire::RemoveRaftVoterResponse>(
            Error{ErrorCode::invalid_request, "Remove voter request didn't include a valid voter"});
    if (adding_voter_)
        co_return refusal<wire::RemoveRaftVoterResponse>(
            Error{ErrorCode::request_timed_out,
                  "Request timed out waiting for leader to handle previous add or remove voter "
                  "request"});
    const LeaderEpoch in_epoch = epoch();
    co_await earlier_change(deadline);
    const auto offset = machine_.remove_voter(request.voter_id, request.voter_directory_id, now());
    if (!offset.ok()) co_return refusal<wire::RemoveRaftVoterResponse>(offset.error());
    if (!carry_out())
        co_return refusal<wire::RemoveRaftVoterResponse>(
            Error{ErrorCode::kafka_storage_error, "the disk refused the record of voters"});
    const Offset last = *offset;
    auto done = co_await committed(last, in_epoch, deadline);
    co_return refusal<wire::RemoveRaftVoterResponse>(done);
}

// Until an earlier change, or the beginning of this epoch, is committed. Kafka's leader does not
// wait for that.
io::Task<void> Quorum::earlier_change(Instant deadline) {
    for (;;) {
        const Status may = machine_.may_change_voters("changing");
        const bool later = !may.ok() && may.error().code == ErrorCode::request_timed_out;
        if (!later || stopped_ || failed_ || ports_.clock.now() >= deadline) co_return;
        co_await news(deadline);
    }
}

// Until the record at `offset` of this leader's epoch is committed. A leader that is no voter any
// more has resigned by then.
io::Task<Status> Quorum::committed(Offset offset, LeaderEpoch in_epoch, Instant deadline) {
    while (!stopped_ && !failed_ && machine_.high_watermark() <= offset && is_leader() &&
           epoch() == in_epoch && ports_.clock.now() < deadline)
        co_await news(deadline);
    const bool ours = epoch() == in_epoch && !stopped_ && !failed_;
    if (ours && machine_.high_watermark() > offset) co_return Status();
    if (ours && is_leader())
        co_return Error{ErrorCode::request_timed_out,
                        "the change was not committed in time; it may still take effect"};
    co_return no_leader_here();
}

// Until anything has changed, at the latest until `deadline`.
io::Task<void> Quorum::news(Instant deadline) {
    io::Gate gate(ports_.clock);
    news_waits_.push_back(&gate);
    auto opened = co_await gate.opened(deadline);
    static_cast<void>(opened);
    std::erase(news_waits_, &gate);
}

wire::UpdateRaftVoterResponse Quorum::update_voter(const wire::UpdateRaftVoterRequest& request) {
    wire::UpdateRaftVoterResponse response;
    response.error_code = refuse_cluster(request.cluster_id);
    if (response.error_code != ErrorCode::none) return response;
    raft::Voter voter;
    voter.id = request.voter_id;
    voter.directory = request.voter_directory_id;
    voter.endpoints = endpoints_of(request.listeners);
    voter.lowest_level = request.kraft_version_feature.min_supported_version;
    voter.highest_level = request.kraft_version_feature.max_supported_version;
    const bool valid = voter.id >= BrokerId(0) && !voter.directory.value().is_zero() &&
                       listener_of(voter, options_.listener) && voter.lowest_level >= 0 &&
                       voter.lowest_level <= voter.highest_level;
    if (request.current_leader_epoch < epoch()) {
        response.error_code = ErrorCode::fenced_leader_epoch;
    } else if (request.current_leader_epoch > epoch()) {
        response.error_code = ErrorCode::unknown_leader_epoch;
    } else if (!is_leader()) {
        response.error_code = ErrorCode::not_leader_or_follower;
    } else if (!valid) {
        response.error_code = ErrorCode::invalid_request;
    } else {
        const Status updated = machine_.update_voter(voter, now());
        if (!updated.ok()) response.error_code = updated.error().code;
        if (!carry_out()) response.error_code = ErrorCode::kafka_storage_error;
    }
    response.current_leader.leader_id = leader();
    response.current_leader.leader_epoch = epoch();
    if (const auto address = address_of(leader())) {
        response.current_leader.host = address->host;
        response.current_leader.port = address->port;
    }
    return response;
}

Result<bool> Quorum::upgrade(std::int16_t level, bool validate_only) {
    auto raised = machine_.upgrade(level, validate_only, now());
    if (!carry_out())
        return Error{ErrorCode::kafka_storage_error, "the disk refused the record of the version"};
    return raised;
}

// --------------------------------------------------------------------------------------- for
// itself

// Now and then, over the connection to the leader that answered last.
io::Task<void> Quorum::tell_of_itself() {
    if (stopped_ || failed_ || !fetch_connection_ || !options_.votes) co_return;
    if (leader() == no_broker || leader() != fetching_from_ || ports_.clock.now() < tell_again_)
        co_return;
    if (address_of(leader()) != fetch_connection_->address()) co_return;
    const std::optional<raft::Voter> self = machine_.update_due();
    const bool joins = options_.adds_itself && caught_up_ && !machine_.votes() &&
                       kraft_version() >= raft::dynamic_voters &&
                       machine_.role() == raft::Role::follower;
    if (self && !self->endpoints.empty() && told_of_itself_ < epoch()) {
        raft::Voter told = *self;
        tell_again_ = ports_.clock.now() + options_.settings.fetch_timeout;
        co_await update_itself(std::move(told));
    } else if (joins) {
        tell_again_ = ports_.clock.now() + options_.settings.fetch_timeout;
        co_await add_itself();
    }
}

io::Task<void> Quorum::update_itself(raft::Voter self) {
    wire::UpdateRaftVoterRequest request;
    request.cluster_id = options_.cluster_id;
    request.current_leader_epoch = epoch();
    request.voter_id = self.id;
    request.voter_directory_id = self.directory;
    for (const raft::VoterEndpoint& endpoint : self.endpoints)
        request.listeners.push_back({endpoint.name, endpoint.host, endpoint.port});
    request.kraft_version_feature = {self.lowest_level, self.highest_level};
    const LeaderEpoch in_epoch = epoch();
    const Instant deadline = ports_.clock.now() + options_.request_timeout;
    rpc::Connection* connection = fetch_connection_.get();
    auto response =
        co_await connection->call<wire::UpdateRaftVoterResponse>(std::move(request), deadline);
    // Leaders before KIP-853 need not know.
    const bool unknown = !response.ok() && response.error().code == ErrorCode::unsupported_version;
    if (unknown || (response.ok() && response->error_code == ErrorCode::none))
        told_of_itself_ = in_epoch;
    if (!response.ok() && !unknown) fetch_connection_.reset();
}

// A voter of this id with another disk has to go first.
io::Task<void> Quorum::add_itself() {
    const raft::Voter* other = raft::find(machine_.voters(), options_.node_id);
    const Instant deadline = ports_.clock.now() + options_.request_timeout;
    rpc::Connection* connection = fetch_connection_.get();
    ErrorCode error = ErrorCode::none;
    bool reached = false;
    if (other) {
        wire::RemoveRaftVoterRequest request;
        request.cluster_id = options_.cluster_id;
        request.voter_id = other->id;
        request.voter_directory_id = other->directory;
        auto response =
            co_await connection->call<wire::RemoveRaftVoterResponse>(std::move(request), deadline);
        reached = response.ok();
        if (reached) error = response->error_code;
    } else {
        wire::AddRaftVoterRequest request;
        request.cluster_id = options_.cluster_id;
        request.timeout_ms = static_cast<std::int32_t>(options_.request_timeout.to_milliseconds());
        request.voter_id = options_.node_id;
        request.voter_directory_id = options_.directory_id;
        for (const raft::VoterEndpoint& endpoint : options_.settings.endpoints)
            request.listeners.push_back({endpoint.name, endpoint.host, endpoint.port});
        // Waiting for it would keep this node from fetching the record that says so.
        request.ack_when_committed = false;
        auto response =
            co_await connection->call<wire::AddRaftVoterResponse>(std::move(request), deadline);
        reached = response.ok();
        if (reached) error = response->error_code;
    }
    if (!reached) fetch_connection_.reset();
    if (options_.log && !stopped_)
        options_.log->info("asked the leader of the metadata quorum to make this node a voter",
                           {{"removes_former_disk", other != nullptr},
                            {"answer", reached ? std::string(error_name(error)) : "none"}});
}

}  // namespace pabal::runtime
