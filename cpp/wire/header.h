// What precedes every request and response: which API, which version, which of the requests in
// flight. Header versions follow from the API's row (api_table.h).
#pragma once

#include "wire/request_header.h"
#include "wire/response_header.h"

namespace pabal::wire {

struct ApiRow;

// Reads the header of a request, of the version that its first two fields ask for. Fails with
// UNSUPPORTED_VERSION for an unknown API, and for a version beyond our codecs, with `header` filled
// up to and including the correlation id; ApiVersions of any version is let through.
[[nodiscard]] Status decode_request_header(Reader& reader, RequestHeader& header);

// For our own clients.
void encode_request_header(Writer& writer, const RequestHeader& header);

// Begins a response in `writer`: the length of the frame, which Writer::take fills in, and the
// header. The body follows with `encode`.
void begin_response(Writer& writer, const ApiRow& api, int version, std::int32_t correlation_id);
// The same for a request.
void begin_request(Writer& writer, const ApiRow& api, int version, std::int32_t correlation_id,
                   std::string_view client_id);

int request_header_version(const ApiRow& api, int version);
int response_header_version(const ApiRow& api, int version);

}  // namespace pabal::wire
