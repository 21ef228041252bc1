// The id that a coordinator gives to a new member: what it calls itself, and a random UUID.
#pragma once

#include <string>
#include <string_view>

#include "base/prng.h"

namespace pabal::group {

std::string make_member_id(std::string_view name, Prng* random);

}  // namespace pabal::group
