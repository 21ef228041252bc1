#include "bindings/options.h"

#include <algorithm>

namespace py = pybind11;

namespace pabal::bindings {

std::vector<io::Address> parse_bootstrap(const std::string& servers) {
    std::vector<io::Address> addresses;
    std::size_t begin = 0;
    while (begin <= servers.size()) {
        const std::size_t end = std::min(servers.find(',', begin), servers.size());
        const std::string server = servers.substr(begin, end - begin);
        begin = end + 1;
        const std::size_t colon = server.rfind(':');
        unsigned long port = 0;
        for (std::size_t at = colon + 1; colon != std::string::npos && at < server.size(); ++at) {
            const bool digit = server[at] >= '0' && server[at] <= '9';
            port =
                digit && port < 65536 ? port * 10 + static_cast<unsigned>(server[at] - '0') : 65536;
        }
        if (colon == std::string::npos || colon == 0 || port == 0 || port > 65535) {
            throw py::value_error("a bootstrap server is host:port, not \"" + server + "\"");
        }
        std::string host = server.substr(0, colon);
        if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
            host = host.substr(1, host.size() - 2);
        }
        addresses.push_back({std::move(host), static_cast<std::uint16_t>(port)});
    }
    return addresses;
}

}  // namespace pabal::bindings
