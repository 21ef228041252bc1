// A broker of a few hundred lines that keeps every promise the checkers know: the simulator's own
// tests run on it, so that a fault of the simulator is told from a fault of the node.
#pragma once

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/big_endian.h"
#include "base/probe.h"
#include "io/gate.h"
#include "record/record_batch.h"
#include "sim/cluster/server.h"
#include "wire/api_table.h"
#include "wire/create_topics.h"
#include "wire/delete_records.h"
#include "wire/fetch.h"
#include "wire/header.h"
#include "wire/init_producer_id.h"
#include "wire/list_offsets.h"
#include "wire/metadata.h"
#include "wire/produce.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::sim {

class ToyBroker final : public Server {
public:
    explicit ToyBroker(io::Ports ports) : ports_(std::move(ports)) {}

    io::Task<Status> start() override {
        const auto recovered = recover();
        if (!recovered.ok()) {
            co_return Error{ErrorCode::kafka_storage_error, recovered.error().message};
        }
        auto listener = ports_.network.listen({"", broker_port});
        if (!listener.ok()) {
            co_return Error{ErrorCode::network_exception, listener.error().message};
        }
        listener_ = std::move(listener).value();
        ++busy_;
        io::detach(accept());
        co_return Status();
    }
    io::Task<void> stop() override {
        co_await end();
        for (auto& [name, log] : logs_) {
            if (!log.file->sync().ok()) break;
        }
    }
    io::Task<void> kill() override { co_await end(); }

private:
    struct Batch {
        std::uint64_t position = 0;
        std::uint32_t size = 0;
        Offset base;
        Offset last;
        ProducerId producer = no_producer_id;
        std::int32_t sequence = -1;
        std::int32_t last_sequence = -1;
    };
    struct Log {
        std::shared_ptr<io::File> file;
        std::uint64_t end_position = 0;
        Offset start{0};
        Offset end{0};
        std::vector<Batch> batches;
        bool synced = false;
        bool broken = false;  // A write failed and could not be taken back.
    };
    struct TopicOfToy {
        TopicId id;
        std::int32_t partitions = 0;
        bool synced = false;
    };

    static std::string log_name(const std::string& topic, std::int32_t index) {
        return topic + "-" + std::to_string(index);
    }
    std::string path(const std::string& name) const { return "/data/" + name; }

    IoStatus recover() {
        PABAL_TRY(ports_.disk.make_directories("/data"));
        PABAL_TRY(ports_.disk.sync_directory("/"));
        PABAL_TRY_ASSIGN(const bool known, ports_.disk.exists(path("topics")));
        if (known) {
            PABAL_TRY_ASSIGN(const auto text, io::read_file(ports_.disk, path("topics"), 1 << 20));
            std::size_t begin = 0;
            while (begin < text.size()) {
                const auto end = text.find('\n', begin);
                const auto line = text.substr(begin, end - begin);
                begin = end + 1;
                TopicOfToy topic;
                const auto first = line.find(' ');
                const auto second = line.find(' ', first + 1);
                const auto third = line.find(' ', second + 1);
                topic.partitions = std::stoi(line.substr(first + 1));
                topic.synced = line[second + 1] == '1';
                topic.id = TopicId(*Uuid::parse(line.substr(third + 1)));
                topics_[line.substr(0, first)] = topic;
            }
        }
        PABAL_TRY_ASSIGN(store_, ports_.open_store("/data/store"));
        for (const auto& [name, topic] : topics_) PABAL_TRY(open_logs(name, topic));
        return {};
    }

    IoStatus open_logs(const std::string& name, const TopicOfToy& topic) {
        for (std::int32_t index = 0; index < topic.partitions; ++index) {
            const auto log_path = path(log_name(name, index));
            auto& log = logs_[log_name(name, index)];
            PABAL_TRY_ASSIGN(log.file, ports_.disk.open(log_path, io::OpenMode::create));
            log.synced = topic.synced;
            PABAL_TRY_ASSIGN(const auto start, store_->get(log_name(name, index)));
            if (start) log.start = Offset(std::stoll(*start));
            PABAL_TRY(scan(log));
        }
        return ports_.disk.sync_directory("/data");
    }

    IoStatus scan(Log& log) {
        PABAL_TRY_ASSIGN(const auto size, log.file->size());
        Buffer buffer(size);
        PABAL_TRY_ASSIGN(const auto count, log.file->read(0, buffer.view()));
        const Bytes bytes = Bytes(std::move(buffer)).slice(0, count);
        record::BatchWalker walker(bytes);
        while (true) {
            const auto position = walker.position();
            const auto next = walker.next();
            if (!next.ok() || !*next) break;
            const auto& batch = **next;
            if (batch.base_offset() != log.end) break;
            if (!SABOTAGED("toy-recovery-skips-crc") && !batch.crc_is_right()) break;
            add(log, batch, position);
        }
        log.end = std::max(log.end, log.start);
        if (log.end_position == size) return {};
        REACHED("toy-recovery-truncates");
        if (SABOTAGED("toy-recovery-keeps-torn-end")) {
            log.end_position = size;
            return {};
        }
        PABAL_TRY(log.file->truncate(log.end_position));
        return log.file->sync();
    }

    static void add(Log& log, const record::RecordBatchView& view, std::uint64_t position) {
        Batch batch{position,
                    static_cast<std::uint32_t>(view.size()),
                    view.base_offset(),
                    view.last_offset(),
                    view.producer_id(),
                    view.base_sequence(),
                    view.last_sequence()};
        log.batches.push_back(batch);
        log.end = view.next_offset();
        log.end_position = position + view.size();
    }

    io::Task<void> end() {
        stopping_ = true;
        if (listener_) listener_->close();
        for (auto* stream : streams_) {
            if (stream) stream->reset();
        }
        while (busy_ > 0) {
            io::Sleep sleep(ports_.clock, ports_.clock.now() + Duration::milliseconds(1));
            co_await sleep;
        }
        listener_.reset();
        store_.reset();
    }

    io::Task<void> accept() {
        while (!stopping_) {
            auto stream = co_await listener_->accept();
            if (!stream.ok()) break;
            ++busy_;
            io::detach(serve(std::move(stream).value()));
        }
        --busy_;
    }

    io::Task<void> serve(std::unique_ptr<io::Stream> stream) {
        const auto place = streams_.size();
        streams_.push_back(stream.get());
        while (!stopping_) {
            auto frame = co_await read_frame(stream.get());
            if (frame.empty()) break;
            auto answer = co_await handle(frame);
            if (stopping_) break;
            if (answer.empty()) continue;
            const Instant deadline = ports_.clock.now() + Duration::seconds(30);
            auto sent = co_await stream->write(answer, deadline);
            if (!sent.ok()) break;
        }
        streams_[place] = nullptr;
        stream.reset();
        --busy_;
    }

    // Empty at the end.
    io::Task<Bytes> read_frame(io::Stream* stream) {
        Buffer length(4);
        MutableByteView length_view = length.view();
        auto got = co_await fill(stream, length_view);
        if (!got) co_return Bytes();
        Buffer frame(static_cast<std::size_t>(load_big_endian<std::int32_t>(length.data())));
        MutableByteView frame_view = frame.view();
        auto got_frame = co_await fill(stream, frame_view);
        if (!got_frame) co_return Bytes();
        co_return Bytes(std::move(frame));
    }
    io::Task<bool> fill(io::Stream* stream, MutableByteView into) {
        std::size_t filled = 0;
        while (filled < into.size()) {
            auto readable = co_await stream->readable(Instant::never());
            if (!readable.ok() || !*readable) co_return false;
            const auto got = stream->read_some(into.subspan(filled));
            if (!got.ok() || got->end_of_stream) co_return false;
            filled += got->count;
        }
        co_return true;
    }

    io::Task<Rope> handle(Bytes frame) {
        wire::Reader reader(frame);
        wire::RequestHeader header;
        ASSERT(wire::decode_request_header(reader, header).ok(), "clients here write well");
        const wire::ApiKey key{header.request_api_key};
        const int version = header.request_api_version;
        wire::Writer writer;
        wire::begin_response(writer, *wire::find_api(key), version, header.correlation_id);
        if (key == wire::ApiKey::produce) {
            auto request = decoded<wire::ProduceRequest>(reader, version);
            auto response = co_await produce(request);
            if (request.acks == 0) co_return Rope();
            wire::encode(writer, response, version);
        } else if (key == wire::ApiKey::fetch) {
            auto request = decoded<wire::FetchRequest>(reader, version);
            const Instant until = ports_.clock.now() + Duration::milliseconds(request.max_wait_ms);
            auto response = fetch(request);
            while (empty(response) && request.min_bytes > 0 && ports_.clock.now() < until &&
                   !stopping_) {
                io::Sleep sleep(ports_.clock, ports_.clock.now() + Duration::milliseconds(5));
                co_await sleep;
                response = fetch(request);
            }
            wire::encode(writer, response, version);
        } else if (key == wire::ApiKey::init_producer_id) {
            wire::encode(writer, next_producer(), version);
        } else if (key == wire::ApiKey::list_offsets) {
            wire::encode(writer, list(decoded<wire::ListOffsetsRequest>(reader, version)), version);
        } else if (key == wire::ApiKey::delete_records) {
            wire::encode(writer, remove(decoded<wire::DeleteRecordsRequest>(reader, version)),
                         version);
        } else if (key == wire::ApiKey::create_topics) {
            wire::encode(writer, create(decoded<wire::CreateTopicsRequest>(reader, version)),
                         version);
        } else {
            wire::encode(writer, describe(decoded<wire::MetadataRequest>(reader, version)),
                         version);
        }
        co_return writer.take();
    }

    template <class Request>
    static Request decoded(wire::Reader& reader, int version) {
        Request request;
        ASSERT(decode(reader, request, version).ok(), "clients here write well");
        return request;
    }
    static bool empty(const wire::FetchResponse& response) {
        const auto& data = response.responses[0].partitions[0];
        return data.error_code == ErrorCode::none && (!data.records || data.records->empty());
    }

    std::string name_of(const std::string& name, const TopicId& id) const {
        if (!name.empty()) return name;
        for (const auto& [known, topic] : topics_) {
            if (topic.id == id) return known;
        }
        return "?";
    }
    Log* find_log(const std::string& topic, PartitionIndex index) {
        const auto entry = logs_.find(log_name(topic, index.value()));
        return entry == logs_.end() ? nullptr : &entry->second;
    }

    io::Task<wire::ProduceResponse> produce(wire::ProduceRequest request) {
        const auto& asked = request.topic_data[0];
        wire::ProduceResponse response;
        auto& topic = response.responses.emplace_back();
        topic.name = asked.name;
        topic.topic_id = asked.topic_id;
        auto& result = topic.partition_responses.emplace_back();
        result.index = asked.partition_data[0].index;
        Log* log = find_log(name_of(asked.name, asked.topic_id), result.index);
        if (!log) {
            result.error_code = ErrorCode::unknown_topic_or_partition;
            co_return response;
        }
        append(*log, *asked.partition_data[0].records->flatten(), result);
        if (result.error_code == ErrorCode::none && log->synced &&
            !SABOTAGED("toy-acknowledges-before-sync")) {
            bool synced = false;
            std::function<void()> sync = [log, &synced] { synced = log->file->sync().ok(); };
            co_await ports_.disk.run(sync);
            if (!synced) {
                log->broken = true;
                result.error_code = ErrorCode::kafka_storage_error;
            }
        }
        co_return response;
    }

    void append(Log& log, const Bytes& bytes,
                wire::ProduceResponse::PartitionProduceResponse& result) {
        const auto batch = record::RecordBatchView::parse(bytes);
        result.base_offset = Offset(-1);
        if (log.broken) {
            result.error_code = ErrorCode::kafka_storage_error;
            return;
        }
        if (!batch.ok() || !batch->crc_is_right()) {
            result.error_code = ErrorCode::corrupt_message;
            return;
        }
        if (batch->has_producer_id()) {
            const Batch* last = nullptr;
            for (const auto& known : log.batches) {
                if (known.producer != batch->producer_id()) continue;
                last = &known;
                if (known.sequence == batch->base_sequence() &&
                    !SABOTAGED("toy-forgets-producers")) {
                    REACHED("toy-answers-duplicate");
                    result.base_offset = known.base;
                    return;
                }
            }
            const auto expected =
                last ? record::sequence_after(last->last_sequence, 1) : batch->base_sequence();
            if (batch->base_sequence() != expected && !SABOTAGED("toy-forgets-producers")) {
                result.error_code = ErrorCode::out_of_order_sequence_number;
                return;
            }
        }
        const auto prefix = record::patched_prefix(*batch, log.end, LeaderEpoch(0));
        Buffer buffer(bytes.size());
        std::memcpy(buffer.data(), prefix.data(), prefix.size());
        std::memcpy(buffer.data() + prefix.size(), bytes.data() + prefix.size(),
                    bytes.size() - prefix.size());
        const Bytes patched(std::move(buffer));
        const ByteView pieces[] = {patched};
        if (!log.file->write(log.end_position, pieces).ok()) {
            REACHED("toy-write-fails");
            result.error_code = ErrorCode::kafka_storage_error;
            if (!SABOTAGED("toy-keeps-half-a-write")) {
                log.broken = !log.file->truncate(log.end_position).ok();
            } else if (const auto size = log.file->size(); size.ok()) {
                log.end_position = *size;
            }
            return;
        }
        const auto base = log.end;
        add(log, *record::RecordBatchView::parse(patched), log.end_position);
        if (SABOTAGED("toy-skips-an-offset") && base.value() % 50 == 49) ++log.end;
        result.base_offset = base;
        result.log_start_offset = log.start;
    }

    wire::FetchResponse fetch(const wire::FetchRequest& request) {
        const auto& asked = request.topics[0];
        const auto& wanted = asked.partitions[0];
        wire::FetchResponse response;
        auto& topic = response.responses.emplace_back();
        topic.topic = asked.topic;
        topic.topic_id = asked.topic_id;
        auto& data = topic.partitions.emplace_back();
        data.partition_index = wanted.partition;
        Log* log = find_log(name_of(asked.topic, asked.topic_id), wanted.partition);
        if (!log) {
            data.error_code = ErrorCode::unknown_topic_or_partition;
            data.high_watermark = Offset(-1);
            return response;
        }
        data.high_watermark = log->end;
        if (SABOTAGED("toy-high-watermark-wavers") && ports_.random.chance(1, 50)) {
            data.high_watermark = log->start;
        }
        data.last_stable_offset = log->end;
        data.log_start_offset = log->start;
        data.records.emplace();
        if (wanted.fetch_offset < log->start || wanted.fetch_offset > log->end) {
            data.error_code = ErrorCode::offset_out_of_range;
            return response;
        }
        for (const auto& batch : log->batches) {
            if (batch.last < wanted.fetch_offset) continue;
            if (!data.records->empty() &&
                data.records->size() + batch.size >
                    static_cast<std::size_t>(wanted.partition_max_bytes)) {
                break;
            }
            data.records->append(log->file->range(batch.position, batch.size));
        }
        return response;
    }

    wire::InitProducerIdResponse next_producer() {
        wire::InitProducerIdResponse response;
        response.producer_id =
            ProducerId(static_cast<std::int64_t>(ports_.random.below(1ull << 40)));
        return response;
    }

    wire::ListOffsetsResponse list(const wire::ListOffsetsRequest& request) {
        const auto& asked = request.topics[0];
        wire::ListOffsetsResponse response;
        auto& topic = response.topics.emplace_back();
        topic.name = asked.name;
        auto& found = topic.partitions.emplace_back();
        found.partition_index = asked.partitions[0].partition_index;
        Log* log = find_log(asked.name, found.partition_index);
        if (!log) {
            found.error_code = ErrorCode::unknown_topic_or_partition;
        } else {
            found.offset = asked.partitions[0].timestamp == -2 ? log->start : log->end;
        }
        return response;
    }

    wire::DeleteRecordsResponse remove(const wire::DeleteRecordsRequest& request) {
        const auto& asked = request.topics[0];
        const auto& wanted = asked.partitions[0];
        wire::DeleteRecordsResponse response;
        auto& topic = response.topics.emplace_back();
        topic.name = asked.name;
        auto& done = topic.partitions.emplace_back();
        done.partition_index = wanted.partition_index;
        done.low_watermark = Offset(-1);
        Log* log = find_log(asked.name, wanted.partition_index);
        if (!log || wanted.offset > log->end) {
            done.error_code = ErrorCode::offset_out_of_range;
            return response;
        }
        const auto start = std::max(log->start, wanted.offset);
        io::StoreBatch batch;
        batch.put(log_name(asked.name, wanted.partition_index.value()),
                  std::to_string(start.value()));
        // The start must not outlive the records above it: they are synced first.
        const auto durability = SABOTAGED("toy-deletes-unsynced") ? io::Durability::rebuildable
                                                                  : io::Durability::synced;
        if (!log->file->sync().ok() || !store_->write(batch, durability).ok()) {
            done.error_code = ErrorCode::kafka_storage_error;
            return response;
        }
        log->start = start;
        done.low_watermark = start;
        return response;
    }

    wire::CreateTopicsResponse create(const wire::CreateTopicsRequest& request) {
        const auto& asked = request.topics[0];
        wire::CreateTopicsResponse response;
        auto& result = response.topics.emplace_back();
        result.name = asked.name;
        if (topics_.contains(asked.name)) {
            result.error_code = ErrorCode::topic_already_exists;
            return response;
        }
        TopicOfToy topic;
        topic.id = TopicId(Uuid::random(ports_.random));
        topic.partitions = asked.num_partitions;
        for (const auto& config : asked.configs) {
            topic.synced = topic.synced || (config.name == "flush.messages" && config.value == "1");
        }
        std::string text;
        const auto line = [](const std::string& name, const TopicOfToy& known) {
            return name + " " + std::to_string(known.partitions) + " " +
                   (known.synced ? "1 " : "0 ") + known.id.value().text() + "\n";
        };
        for (const auto& [name, known] : topics_) text += line(name, known);
        text += line(asked.name, topic);
        if (!open_logs(asked.name, topic).ok() ||
            !io::replace_file(ports_.disk, path("topics"), text).ok()) {
            result.error_code = ErrorCode::kafka_storage_error;
            return response;
        }
        topics_[asked.name] = topic;
        return response;
    }

    wire::MetadataResponse describe(const wire::MetadataRequest& request) {
        wire::MetadataResponse response;
        auto& topic = response.topics.emplace_back();
        topic.name = (*request.topics)[0].name;
        const auto known = topics_.find(*topic.name);
        if (known == topics_.end()) {
            topic.error_code = ErrorCode::unknown_topic_or_partition;
        } else {
            topic.topic_id = known->second.id;
        }
        return response;
    }

    io::Ports ports_;
    std::unique_ptr<io::Store> store_;
    std::unique_ptr<io::Listener> listener_;
    std::map<std::string, TopicOfToy> topics_;
    std::map<std::string, Log> logs_;
    std::vector<io::Stream*> streams_;
    int busy_ = 0;
    bool stopping_ = false;
};

inline MakeServer toy_brokers() {
    return [](ServerSeat seat) -> Result<std::unique_ptr<Server>> {
        return std::unique_ptr<Server>(std::make_unique<ToyBroker>(seat.ports));
    };
}

}  // namespace pabal::sim
