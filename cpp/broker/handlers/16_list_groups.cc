// ListGroups: the groups that this broker coordinates.
//
// 4 states, and a filter of them (KIP-518) · 5 types, and a filter of them (KIP-848)
#include <algorithm>

#include "broker/dispatch.h"
#include "runtime/group_coordinator.h"
#include "wire/list_groups.h"

namespace pabal::broker {
namespace {

bool same_word(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
        return (x >= 'A' && x <= 'Z' ? x + 32 : x) == (y >= 'A' && y <= 'Z' ? y + 32 : y);
    });
}

bool passes(const std::vector<std::string>& filter, std::string_view word) {
    return filter.empty() || std::any_of(filter.begin(), filter.end(), [&](const auto& wanted) {
               return same_word(wanted, word);
           });
}

}  // namespace

io::Task<wire::ListGroupsResponse> handle_list_groups(Context* context, RequestContext*,
                                                      wire::ListGroupsRequest message) {
    wire::ListGroupsResponse response = co_await context->groups.list();
    std::erase_if(response.groups, [&](const auto& group) {
        return !passes(message.states_filter, group.group_state) ||
               !passes(message.types_filter, group.group_type);
    });
    co_return response;
}

}  // namespace pabal::broker
