#include "os/socket_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "os/system_error.h"

namespace pabal::os {
namespace {

// Empty, with `error` set to what getaddrinfo answered, where nothing is found.
std::vector<SocketAddress> look_up(const io::Address& address, Purpose purpose, int flags,
                                   int* error) {
    addrinfo hints = {};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV | (purpose == Purpose::listen ? AI_PASSIVE : 0);
    addrinfo* found = nullptr;
    const char* host = address.host.empty() ? nullptr : address.host.c_str();
    *error = getaddrinfo(host, std::to_string(address.port).c_str(), &hints, &found);
    std::vector<SocketAddress> addresses;
    if (*error != 0) return addresses;
    for (const addrinfo* entry = found; entry; entry = entry->ai_next) {
        SocketAddress& added = addresses.emplace_back();
        std::memcpy(&added.storage, entry->ai_addr, entry->ai_addrlen);
        added.length = entry->ai_addrlen;
    }
    freeaddrinfo(found);
    // Every interface: one IPv6 socket serves both families.
    if (!host && purpose == Purpose::listen) {
        const auto v6 = std::find_if(addresses.begin(), addresses.end(),
                                     [](const auto& entry) { return entry.family() == AF_INET6; });
        if (v6 != addresses.end()) std::iter_swap(addresses.begin(), v6);
    }
    return addresses;
}

}  // namespace

io::Address SocketAddress::address() const {
    char text[INET6_ADDRSTRLEN] = {};
    if (family() == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        return io::Address{text, ntohs(v4->sin_port)};
    }
    if (family() != AF_INET6) return {};
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof text);
    } else {
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    }
    return io::Address{text, ntohs(v6->sin6_port)};
}

std::vector<SocketAddress> parse_address(const io::Address& address, Purpose purpose) {
    int error = 0;
    return look_up(address, purpose, AI_NUMERICHOST, &error);
}

IoResult<std::vector<SocketAddress>> resolve(const io::Address& address, Purpose purpose) {
    int error = 0;
    auto addresses = look_up(address, purpose, 0, &error);
    if (!addresses.empty()) return addresses;
    if (error == EAI_SYSTEM) return IoError{errno, describe(errno)};
    return IoError{EHOSTUNREACH,
                   "the name " + address.host + " is not known (" + gai_strerror(error) + ")"};
}

io::Address local_address(int socket) {
    SocketAddress address;
    if (getsockname(socket, address.get(), &address.length) != 0) return {};
    return address.address();
}

io::Address peer_address(int socket) {
    SocketAddress address;
    if (getpeername(socket, address.get(), &address.length) != 0) return {};
    return address.address();
}

}  // namespace pabal::os
