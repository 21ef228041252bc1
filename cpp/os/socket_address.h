// Addresses as the kernel takes them.
#pragma once

#include <sys/socket.h>

#include <vector>

#include "base/result.h"
#include "io/network.h"

namespace pabal::os {

struct SocketAddress {
    sockaddr_storage storage = {};
    socklen_t length = sizeof(sockaddr_storage);

    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    int family() const { return storage.ss_family; }
    // An IPv4 address that an IPv6 socket shows mapped is given as IPv4.
    io::Address address() const;
};

enum class Purpose { listen, connect };

// An address, at once; nothing if `address.host` is a name.
std::vector<SocketAddress> parse_address(const io::Address& address, Purpose purpose);
// An address or a name; blocks. The error is a sentence without what was tried.
IoResult<std::vector<SocketAddress>> resolve(const io::Address& address, Purpose purpose);

io::Address local_address(int socket);
io::Address peer_address(int socket);

}  // namespace pabal::os
