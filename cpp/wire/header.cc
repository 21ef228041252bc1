#include "wire/header.h"

#include "wire/api_table.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::wire {

int request_header_version(const ApiRow& api, int version) {
    return version >= api.first_flexible ? 2 : 1;
}

int response_header_version(const ApiRow& api, int version) {
    if (api.response_header >= 0) return api.response_header;
    return version >= api.first_flexible ? 1 : 0;
}

Status decode_request_header(Reader& reader, RequestHeader& header) {
    // The first fields are the same in every version, and say which version it is.
    Reader ahead(reader.rest());
    header.request_api_key = ahead.int16("request_api_key");
    header.request_api_version = ahead.int16("request_api_version");
    header.correlation_id = ahead.int32("correlation_id");
    PABAL_TRY(ahead.status());
    const ApiKey key{header.request_api_key};
    const int version = header.request_api_version;
    const ApiRow* api = find_api(key);
    if (!api || api->versions.empty())
        return Error{ErrorCode::unsupported_version,
                     "there is no API with the key " + std::to_string(header.request_api_key)};
    if (!api->versions.contains(version) && key != ApiKey::api_versions)
        return Error{ErrorCode::unsupported_version,
                     std::string(api->name) + " has no version " + std::to_string(version) +
                         ", only " + std::to_string(api->versions.min) + " to " +
                         std::to_string(api->versions.max)};
    return decode(reader, header, request_header_version(*api, version));
}

void encode_request_header(Writer& writer, const RequestHeader& header) {
    const ApiRow* api = find_api(ApiKey{header.request_api_key});
    ASSERT(api, "a request of ours has an API of the table");
    encode(writer, header, request_header_version(*api, header.request_api_version));
}

void begin_response(Writer& writer, const ApiRow& api, int version, std::int32_t correlation_id) {
    writer.begin_frame();
    encode(writer, ResponseHeader{correlation_id}, response_header_version(api, version));
}

void begin_request(Writer& writer, const ApiRow& api, int version, std::int32_t correlation_id,
                   std::string_view client_id) {
    writer.begin_frame();
    RequestHeader header;
    header.request_api_key = static_cast<std::int16_t>(api.key);
    header.request_api_version = static_cast<std::int16_t>(version);
    header.correlation_id = correlation_id;
    header.client_id = std::string(client_id);
    encode(writer, header, request_header_version(api, version));
}

}  // namespace pabal::wire
