#include "group/member_id.h"

#include "base/uuid.h"

namespace pabal::group {

std::string make_member_id(std::string_view name, Prng* random) {
    constexpr char digits[] = "0123456789abcdef";
    const Uuid uuid = Uuid::random(*random);
    std::string id(name);
    id += '-';
    for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) id += '-';
        id += digits[uuid.bytes[i] >> 4];
        id += digits[uuid.bytes[i] & 15];
    }
    return id;
}

}  // namespace pabal::group
