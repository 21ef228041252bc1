// What a request that no controller answered says to its client, item by item where the response
// has one error for each.
#pragma once

#include <type_traits>

#include "base/result.h"

namespace pabal::wire {
struct AlterConfigsRequest;
struct AlterConfigsResponse;
struct CreatePartitionsRequest;
struct CreatePartitionsResponse;
struct CreateTopicsRequest;
struct CreateTopicsResponse;
struct DeleteTopicsRequest;
struct DeleteTopicsResponse;
struct IncrementalAlterConfigsRequest;
struct IncrementalAlterConfigsResponse;
}  // namespace pabal::wire

namespace pabal::broker {

wire::AlterConfigsResponse refusal(const wire::AlterConfigsRequest& request, const Error& error);
wire::CreatePartitionsResponse refusal(const wire::CreatePartitionsRequest& request,
                                       const Error& error);
wire::CreateTopicsResponse refusal(const wire::CreateTopicsRequest& request, const Error& error);
wire::DeleteTopicsResponse refusal(const wire::DeleteTopicsRequest& request, const Error& error);
wire::IncrementalAlterConfigsResponse refusal(const wire::IncrementalAlterConfigsRequest& request,
                                              const Error& error);

// The others have one error for the whole.
template <class Response, class Request>
Response refuse(const Request& request, const Error& error) {
    if constexpr (requires(Response response) { response.error_code; }) {
        Response response;
        response.error_code = error.code;
        if constexpr (requires { response.error_message; }) response.error_message = error.message;
        return response;
    } else {
        return refusal(request, error);
    }
}

}  // namespace pabal::broker
