// From a frame to its reply: finds the row of the API table, decodes, runs the handler, encodes.
// Every API that the table says a broker serves needs its handler, or the program does not link.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/rope.h"
#include "broker/context.h"
#include "broker/request.h"
#include "io/task.h"

namespace pabal::wire {
#define PABAL_SERVED_API(Name, name) \
    struct Name##Request;            \
    struct Name##Response;
#include "wire/served_apis.inc"
#undef PABAL_SERVED_API
}  // namespace pabal::wire

namespace pabal::broker {

// The handlers, one file each: handlers/NN_name.cc. `context` and `request` outlive the task. An
// append of Produce happens before the handler first suspends: the next Produce of the connection
// is started then (law 5).
#define PABAL_SERVED_API(Name, name)                                                        \
    io::Task<wire::Name##Response> handle_##name(Context* context, RequestContext* request, \
                                                 wire::Name##Request message);
#include "wire/served_apis.inc"
#undef PABAL_SERVED_API

class Dispatch {
public:
    explicit Dispatch(Context* context);
    ~Dispatch();
    Dispatch(const Dispatch&) = delete;
    Dispatch& operator=(const Dispatch&) = delete;

    // What became of a frame.
    struct Answer {
        Rope reply;                 // With its length prefix; empty: nothing is sent.
        std::string close_because;  // Not empty: the connection is closed, nothing is sent.
    };
    struct Row;
    // A frame whose header was read, for an API and version that its listener serves.
    struct Call {
        RequestContext request;
        Bytes frame;
        std::size_t body_position = 0;
        Row* row = nullptr;  // Null: ApiVersions in a version that we do not know.
        // The next request of this kind need not wait for this one's end (law 5).
        bool pipelined() const;
    };
    // Reads the header. False: the connection is to be closed, for the reason in `close_because`.
    bool open(Bytes frame, Peer* peer, Instant received, Call* call, std::string* close_because);
    // Decodes, handles, encodes. `call` outlives the task.
    io::Task<Answer> run(Call* call);

private:
    Answer unknown_api_versions(const Call& call) const;
    void account(Row& row, const RequestContext& request, const Answer& answer);

    Context* context_;
    std::vector<std::unique_ptr<Row>> rows_;  // By API key; null where we serve nothing.
};

}  // namespace pabal::broker
