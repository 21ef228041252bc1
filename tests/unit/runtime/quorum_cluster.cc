#include "tests/unit/runtime/quorum_cluster.h"

#include <algorithm>

#include "metadata/features.h"
#include "metadata/snapshot.h"
#include "wire/add_raft_voter.h"
#include "wire/api_table.h"
#include "wire/api_versions.h"
#include "wire/begin_quorum_epoch.h"
#include "wire/end_quorum_epoch.h"
#include "wire/fetch.h"
#include "wire/fetch_snapshot.h"
#include "wire/header.h"
#include "wire/reader.h"
#include "wire/remove_raft_voter.h"
#include "wire/update_raft_voter.h"
#include "wire/vote.h"
#include "wire/writer.h"

namespace pabal::runtime {
namespace {

constexpr char listener_name[] = "CONTROLLER";
constexpr std::uint16_t controller_port = 9093;
constexpr wire::ApiKey served[] = {
    wire::FetchRequest::api_key,
    wire::ApiVersionsRequest::api_key,
    wire::VoteRequest::api_key,
    wire::BeginQuorumEpochRequest::api_key,
    wire::EndQuorumEpochRequest::api_key,
    wire::FetchSnapshotRequest::api_key,
    wire::AddRaftVoterRequest::api_key,
    wire::RemoveRaftVoterRequest::api_key,
    wire::UpdateRaftVoterRequest::api_key,
};

wire::ApiVersionsResponse versions() {
    wire::ApiVersionsResponse response;
    for (const wire::ApiKey key : served) {
        const wire::ApiRow* row = wire::find_api(key);
        response.api_keys.push_back({static_cast<std::int16_t>(key),
                                     static_cast<std::int16_t>(row->versions.min),
                                     static_cast<std::int16_t>(row->versions.max)});
    }
    response.supported_features.push_back({std::string(metadata::kraft_version_feature), 0, 1});
    return response;
}

template <class Message>
Message read(Bytes body, int version) {
    Message message;
    wire::Reader reader(std::move(body));
    EXPECT_TRUE(decode(reader, message, version).ok());
    return message;
}

template <class Message>
void put(wire::Writer* writer, const Message& message, int version) {
    encode(*writer, message, version);
}

}  // namespace

struct QuorumCluster::Node {
    int id = 0;
    QuorumOptions options;
    std::unique_ptr<sim::Machine> machine;
    std::unique_ptr<sim::Process> process;
    std::unique_ptr<Quorum> quorum;
    std::unique_ptr<io::Listener> listener;
    std::vector<io::Stream*> streams;
    int tasks = 0;

    Instant patience() { return process->clock().now() + Duration::seconds(5); }

    static io::Task<void> accept(Node* node) {
        ++node->tasks;
        for (;;) {
            auto accepted = co_await node->listener->accept();
            if (!accepted.ok()) break;
            io::detach(converse(node, std::move(*accepted)));
        }
        --node->tasks;
    }

    static io::Task<bool> fill(io::Stream* stream, MutableByteView into) {
        std::size_t filled = 0;
        while (filled < into.size()) {
            const Instant never = Instant::never();
            auto ready = co_await stream->readable(never);
            if (!ready.ok() || !*ready) co_return false;
            auto some = stream->read_some(into.subspan(filled));
            if (!some.ok() || some->end_of_stream) co_return false;
            filled += some->count;
        }
        co_return true;
    }

    static io::Task<void> converse(Node* node, std::unique_ptr<io::Stream> stream) {
        ++node->tasks;
        node->streams.push_back(stream.get());
        for (;;) {
            Buffer length(4);
            auto has_length = co_await fill(stream.get(), length.view());
            if (!has_length) break;
            std::size_t size = 0;
            for (std::uint8_t byte : ByteView(length.view())) size = size << 8 | byte;
            Buffer frame(size);
            auto has_frame = co_await fill(stream.get(), frame.view());
            if (!has_frame) break;
            Bytes bytes(std::move(frame));
            auto reply = co_await answer(node, std::move(bytes));
            const Instant never = Instant::never();
            auto written = co_await stream->write(std::move(reply), never);
            if (!written.ok()) break;
        }
        std::erase(node->streams, stream.get());
        --node->tasks;
    }

    static io::Task<Rope> answer(Node* node, Bytes frame) {
        wire::Reader reader(frame);
        wire::RequestHeader header;
        EXPECT_TRUE(wire::decode_request_header(reader, header).ok());
        const int version = header.request_api_version;
        const auto key = static_cast<wire::ApiKey>(header.request_api_key);
        Bytes body = frame.slice(frame.size() - reader.remaining(), reader.remaining());
        wire::Writer writer;
        wire::begin_response(writer, *wire::find_api(key), version, header.correlation_id);
        Quorum* quorum = node->quorum.get();
        const Instant deadline = node->patience();
        if (key == wire::ApiVersionsRequest::api_key) {
            put(&writer, versions(), version);
        } else if (key == wire::FetchRequest::api_key) {
            auto request = read<wire::FetchRequest>(body, version);
            auto response = co_await quorum->fetch(std::move(request), version);
            put(&writer, response, version);
        } else if (key == wire::VoteRequest::api_key) {
            auto request = read<wire::VoteRequest>(body, version);
            auto response = co_await quorum->vote(std::move(request), version);
            put(&writer, response, version);
        } else if (key == wire::BeginQuorumEpochRequest::api_key) {
            auto request = read<wire::BeginQuorumEpochRequest>(body, version);
            auto response = co_await quorum->begin_epoch(std::move(request), version);
            put(&writer, response, version);
        } else if (key == wire::EndQuorumEpochRequest::api_key) {
            auto request = read<wire::EndQuorumEpochRequest>(body, version);
            auto response = co_await quorum->end_epoch(std::move(request), version);
            put(&writer, response, version);
        } else if (key == wire::FetchSnapshotRequest::api_key) {
            auto request = read<wire::FetchSnapshotRequest>(body, version);
            auto response = co_await quorum->fetch_snapshot(std::move(request), version);
            put(&writer, response, version);
        } else if (key == wire::AddRaftVoterRequest::api_key) {
            auto request = read<wire::AddRaftVoterRequest>(body, version);
            auto response = co_await quorum->add_voter(std::move(request), deadline);
            put(&writer, response, version);
        } else if (key == wire::RemoveRaftVoterRequest::api_key) {
            auto request = read<wire::RemoveRaftVoterRequest>(body, version);
            auto response = co_await quorum->remove_voter(std::move(request), deadline);
            put(&writer, response, version);
        } else if (key == wire::UpdateRaftVoterRequest::api_key) {
            auto request = read<wire::UpdateRaftVoterRequest>(body, version);
            put(&writer, quorum->update_voter(request), version);
        } else {
            ADD_FAILURE() << "nobody asks for API " << header.request_api_key;
        }
        co_return writer.take();
    }
};

QuorumCluster::QuorumCluster(std::uint64_t seed) : scheduler_(seed), network_(scheduler_) {}

QuorumCluster::Node& QuorumCluster::node(int id) {
    return *nodes_.at(id);
}

Quorum& QuorumCluster::quorum(int id) {
    return *node(id).quorum;
}

sim::Disk& QuorumCluster::disk(int id) {
    return node(id).machine->disk();
}

DirectoryId QuorumCluster::directory(int id) {
    return node(id).options.directory_id;
}

QuorumCluster::~QuorumCluster() {
    for (auto& [id, node] : nodes_)
        if (node->quorum) kill(id);
}

io::Address QuorumCluster::address_of(int id) {
    const raft::VoterEndpoint& own = node(id).options.settings.endpoints.at(0);
    return {own.host, own.port};
}

void QuorumCluster::move(int id, std::uint16_t port) {
    node(id).options.settings.endpoints.at(0).port = port;
}

void QuorumCluster::add_node(int id, std::function<void(QuorumOptions&)> change) {
    auto made = std::make_unique<Node>();
    made->id = id;
    QuorumOptions& options = made->options;
    options.directory = "/data";
    options.node_id = BrokerId(id);
    options.cluster_id = "the-cluster";
    options.settings.eligible = true;
    options.settings.endpoints.push_back(
        {listener_name, "node-" + std::to_string(id), controller_port});
    if (change) change(options);
    nodes_.emplace(id, std::move(made));
    replace_disk(id);
}

void QuorumCluster::replace_disk(int id) {
    Node& changed = node(id);
    Uuid directory;
    directory.bytes[15] = ++disks_;
    changed.options.directory_id = DirectoryId(directory);
    changed.machine = std::make_unique<sim::Machine>(scheduler_, network_, address_of(id).host,
                                                     1ull << 30, sim::Skew());
}

void QuorumCluster::format_standalone(int id) {
    Node& first = node(id);
    auto process = first.machine->boot();
    io::Ports ports = process->ports();
    raft::Voter self{first.options.node_id, first.options.directory_id,
                     first.options.settings.endpoints, raft::static_voters, raft::dynamic_voters};
    const metadata::QuorumRecords records{
        {record::ControlRecordType::kraft_version,
         raft::kraft_version_record(raft::dynamic_voters)},
        {record::ControlRecordType::kraft_voters, raft::voters_record({self})}};
    std::string content;
    const WallTime time{1000};
    for (const Bytes& batch : metadata::snapshot_batches({}, LeaderEpoch(0), time, time, records))
        content.append(batch.text());
    const std::string log = "/data/__cluster_metadata-0";
    EXPECT_TRUE(ports.disk.make_directories(log).ok());
    EXPECT_TRUE(ports.disk.sync_directory("/").ok());
    EXPECT_TRUE(ports.disk.sync_directory("/data").ok());
    EXPECT_TRUE(
        io::replace_file(ports.disk, log + "/" + metadata::SnapshotId{}.file_name(), content).ok());
    process->die(sim::Death::killed);
}

Status QuorumCluster::start(int id) {
    Node& started = node(id);
    started.process = started.machine->boot();
    io::Ports ports = started.process->ports();
    EXPECT_TRUE(ports.disk.make_directories("/data").ok());
    EXPECT_TRUE(ports.disk.sync_directory("/").ok());
    started.quorum = std::make_unique<Quorum>(ports, started.options);
    auto opened = started.quorum->open();
    if (!opened.ok()) return Error{ErrorCode::kafka_storage_error, opened.error().message};
    auto listening = ports.network.listen(address_of(id));
    EXPECT_TRUE(listening.ok());
    started.listener = std::move(*listening);
    Status begun;
    Node* at = &started;
    run(started, [at, &begun]() -> io::Task<void> {
        io::detach(Node::accept(at));
        begun = at->quorum->start();
        co_return;
    });
    return begun;
}

void QuorumCluster::run(Node& node, std::function<io::Task<void>()> work) {
    bool done = false;
    auto body = [](const std::function<io::Task<void>()>* task, bool* ended) -> io::Task<void> {
        auto made = (*task)();
        co_await made;
        *ended = true;
    };
    node.process->clock().post([&] { io::detach(body(&work, &done)); });
    EXPECT_TRUE(wait([&] { return done; }, Duration::seconds(60)));
}

void QuorumCluster::stop(int id) {
    Node* stopped = &node(id);
    run(*stopped, [stopped] { return stopped->quorum->stop(); });
    end(*stopped);
}

void QuorumCluster::kill(int id, sim::Death death) {
    Node* killed = &node(id);
    killed->process->die(death);
    run(*killed, [killed] { return killed->quorum->kill(); });
    end(*killed);
    if (death == sim::Death::power_lost) killed->machine->lose_power();
}

void QuorumCluster::end(Node& node) {
    Node* ended = &node;
    run(node, [ended]() -> io::Task<void> {
        ended->listener->close();
        for (io::Stream* stream : std::vector<io::Stream*>(ended->streams)) stream->close();
        co_return;
    });
    EXPECT_TRUE(wait([&] { return ended->tasks == 0; }));
    node.listener.reset();
    node.quorum.reset();
    node.process.reset();
}

int QuorumCluster::leader() {
    int best = -1;
    for (auto& [id, each] : nodes_)
        if (each->quorum && each->quorum->is_leader() &&
            (best < 0 || each->quorum->epoch() > quorum(best).epoch()))
            best = id;
    return best;
}

int QuorumCluster::wait_for_leader() {
    EXPECT_TRUE(wait([&] { return leader() >= 0; }));
    return leader();
}

bool QuorumCluster::wait(const std::function<bool()>& done, Duration limit) {
    return scheduler_.run_until(done, scheduler_.now() + limit);
}

Offset QuorumCluster::write() {
    Node* leading = &node(wait_for_leader());
    Offset written{-1};
    run(*leading, [leading, &written]() -> io::Task<void> {
        auto last = leading->quorum->propose({Bytes::copy_of("a record")});
        EXPECT_TRUE(last.ok());
        if (last.ok()) written = *last;
        co_return;
    });
    EXPECT_TRUE(wait([&] { return all_have(written); }));
    return written;
}

void QuorumCluster::take_snapshot(int id, Offset end) {
    Node* at = &node(id);
    run(*at, [at, end]() -> io::Task<void> {
        const metadata::SnapshotId snapshot{end, at->quorum->epoch()};
        const WallTime last_contained{1};
        std::vector<Bytes> nothing;
        auto taken = co_await at->quorum->snapshot(snapshot, last_contained, std::move(nothing));
        EXPECT_TRUE(taken.ok());
    });
}

bool QuorumCluster::all_have(Offset offset) {
    return std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& each) {
        const Quorum* quorum = each.second->quorum.get();
        return !quorum || quorum->high_watermark() > offset;
    });
}

std::vector<int> QuorumCluster::voters(int id) {
    std::vector<int> ids;
    for (const raft::Voter& voter : quorum(id).voters()) ids.push_back(voter.id.value());
    return ids;
}

ErrorCode QuorumCluster::add_voter(int at, int id) {
    Node* asked = &node(at);
    ErrorCode error = ErrorCode::unknown_server_error;
    wire::AddRaftVoterRequest request;
    request.voter_id = BrokerId(id);
    request.voter_directory_id = directory(id);
    const io::Address address = address_of(id);
    request.listeners.push_back({listener_name, address.host, address.port});
    run(*asked, [asked, request, &error]() -> io::Task<void> {
        wire::AddRaftVoterRequest copy = request;
        const Instant deadline = asked->patience();
        auto response = co_await asked->quorum->add_voter(std::move(copy), deadline);
        error = response.error_code;
    });
    return error;
}

ErrorCode QuorumCluster::remove_voter(int at, int id) {
    Node* asked = &node(at);
    ErrorCode error = ErrorCode::unknown_server_error;
    wire::RemoveRaftVoterRequest request;
    request.voter_id = BrokerId(id);
    request.voter_directory_id = directory(id);
    run(*asked, [asked, request, &error]() -> io::Task<void> {
        wire::RemoveRaftVoterRequest copy = request;
        const Instant deadline = asked->patience();
        auto response = co_await asked->quorum->remove_voter(std::move(copy), deadline);
        error = response.error_code;
    });
    return error;
}

}  // namespace pabal::runtime
