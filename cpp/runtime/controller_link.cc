#include "runtime/controller_link.h"

#include <algorithm>

#include "wire/api_table.h"
#include "wire/describe_quorum.h"
#include "wire/header.h"
#include "wire/records/default_principal_data.h"

namespace pabal::runtime {
namespace {

constexpr Duration retry_pause = Duration::milliseconds(20);
// How long the answer of a change that is committed waits for this node to learn of it.
constexpr Duration patience = Duration::seconds(5);

// The address as Envelope has it: four or sixteen bytes. What is no number stays all zero.
Bytes host_bytes(const std::string& host) {
    std::vector<std::uint8_t> parts;
    int value = -1;
    for (char c : host + ".") {
        if (c >= '0' && c <= '9') {
            value = std::max(value, 0) * 10 + (c - '0');
        } else if (c == '.' && value >= 0 && value <= 255) {
            parts.push_back(static_cast<std::uint8_t>(value));
            value = -1;
        } else {
            break;
        }
    }
    if (parts.size() != 4) parts.assign(4, 0);
    return Bytes::copy_of({parts.data(), parts.size()});
}

}  // namespace

struct ControllerLink::Waiter {
    explicit Waiter(io::Clock& clock) : gate(clock) {}
    io::Gate gate;
};

ControllerLink::ControllerLink(io::Clock* clock, Controller* controller, Quorum* quorum,
                               MetadataPublisher* publisher, Peers* peers)
    : clock_(clock),
      controller_(controller),
      quorum_(quorum),
      publisher_(publisher),
      peers_(peers) {
    quorum_->on_leader_change([this](BrokerId, LeaderEpoch) { leader_changed(); });
    publisher_->on_publish([this] {
        for (Waiter* waiter : waiters_) waiter->gate.open();
    });
}

ControllerLink::~ControllerLink() {
    ASSERT(waiters_.empty(), "all calls end before their link");
}

void ControllerLink::stop() {
    stopped_ = true;
    if (last_address_)
        for (Purpose purpose : {Purpose::heartbeat, Purpose::control, Purpose::forward})
            peers_->hang_up(*last_address_, purpose);
    for (Waiter* waiter : waiters_) waiter->gate.open();
}

std::optional<io::Address> ControllerLink::controller_address() const {
    return quorum_->leader_address();
}

// What is asked of a former controller, which may be out of reach, is asked of the new one.
void ControllerLink::leader_changed() {
    const std::optional<io::Address> address = controller_address();
    if (last_address_ && last_address_ != address)
        for (Purpose purpose : {Purpose::heartbeat, Purpose::control, Purpose::forward})
            peers_->hang_up(*last_address_, purpose);
    if (address) last_address_ = address;
    for (Waiter* waiter : waiters_) waiter->gate.open();
}

io::Task<Status> ControllerLink::wait_for_controller(Instant deadline) {
    const Instant now = clock_->now();
    if (now >= deadline)
        co_return Error{ErrorCode::request_timed_out, "no active controller answered in time"};
    if (!stopped_) {
        Waiter waiter(*clock_);
        waiters_.push_back(&waiter);
        const Instant until = std::min(deadline, now + retry_pause);
        auto opened = co_await waiter.gate.opened(until);
        static_cast<void>(opened);
        std::erase(waiters_, &waiter);
    }
    if (stopped_) co_return Error{ErrorCode::not_controller, "this node is stopping"};
    co_return Status();
}

io::Task<void> ControllerLink::news(Instant deadline) {
    if (stopped_ || clock_->now() >= deadline) co_return;
    Waiter waiter(*clock_);
    waiters_.push_back(&waiter);
    auto opened = co_await waiter.gate.opened(deadline);
    static_cast<void>(opened);
    std::erase(waiters_, &waiter);
}

io::Task<void> ControllerLink::applied(io::Address address, Instant deadline) {
    const Instant until = std::min(deadline, clock_->now() + patience);
    wire::DescribeQuorumRequest request;
    auto& topic = request.topics.emplace_back();
    topic.topic_name = "__cluster_metadata";
    topic.partitions.emplace_back().partition_index = PartitionIndex(0);
    auto described = co_await peers_->call<wire::DescribeQuorumResponse>(
        std::move(address), Purpose::forward, std::move(request), until);
    if (!described.ok() || described->topics.empty() || described->topics[0].partitions.empty())
        co_return;
    const Offset committed = described->topics[0].partitions[0].high_watermark;
    while (!stopped_ && publisher_->image()->offset() + 1 < committed && clock_->now() < until) {
        co_await news(until);
    }
}

void ControllerLink::begin_forwarded(wire::Writer& writer, wire::ApiKey api,
                                     const Client& client) const {
    wire::RequestHeader header;
    header.request_api_key = static_cast<std::int16_t>(api);
    header.request_api_version = static_cast<std::int16_t>(client.version);
    header.correlation_id = 0;
    header.client_id = client.id;
    wire::encode_request_header(writer, header);
}

wire::EnvelopeRequest ControllerLink::enclose(wire::Writer& writer, const Client& client) const {
    wire::EnvelopeRequest envelope;
    envelope.request_data = *writer.take().flatten();
    wire::DefaultPrincipalData principal;
    principal.type = "User";
    principal.name = client.principal;
    wire::Writer principal_writer;
    principal_writer.int16(0);  // The version of what follows.
    encode(principal_writer, principal, 0);
    envelope.request_principal = *principal_writer.take().flatten();
    envelope.client_host_address = host_bytes(client.host);
    return envelope;
}

Status ControllerLink::open_header(wire::Reader& reader, wire::ApiKey api, int version) {
    wire::ResponseHeader header;
    const wire::ApiRow* row = wire::find_api(api);
    return decode(reader, header, wire::response_header_version(*row, version));
}

}  // namespace pabal::runtime
