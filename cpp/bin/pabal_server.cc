// pabal-server: one broker as a process, with Kafka's property names. SIGTERM and SIGINT end it
// cleanly; another SIGINT ends it at once.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "bin/properties_file.h"
#include "embedded/broker.h"

namespace {

using pabal::LogLevel;
using Properties = std::map<std::string, std::string>;

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

pabal::WallTime wall_now() {
    auto now = std::chrono::system_clock::now().time_since_epoch();
    return {std::chrono::duration_cast<std::chrono::milliseconds>(now).count()};
}

bool read_file(const std::string& path, std::string* text) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                         &std::fclose);
    if (!file) return false;
    char bytes[4096];
    std::size_t count = 0;
    while ((count = std::fread(bytes, 1, sizeof bytes, file.get())) != 0)
        text->append(bytes, count);
    return std::ferror(file.get()) == 0;
}

pabal::Result<Properties> gather(const std::string& config_path,
                                 const std::vector<std::string>& overrides) {
    using pabal::Error;
    using pabal::ErrorCode;
    Properties properties;
    if (!config_path.empty()) {
        std::string text;
        if (!read_file(config_path, &text))
            return Error{ErrorCode::invalid_config,
                         config_path + " cannot be read: " + std::strerror(errno)};
        auto parsed = pabal::bin::parse_properties(text);
        if (!parsed.ok())
            return Error{ErrorCode::invalid_config, config_path + ": " + parsed.error().message};
        properties = std::move(*parsed);
    }
    for (const std::string& each : overrides) {
        std::size_t equals = each.find('=');
        if (equals == std::string::npos || equals == 0)
            return Error{ErrorCode::invalid_config,
                         "--override " + each + " is not of the form NAME=VALUE"};
        properties[each.substr(0, equals)] = each.substr(equals + 1);
    }
    return properties;
}

// Tells whoever started us where clients are served.
void tell_ready(int descriptor, const pabal::embedded::Broker& broker) {
    std::string line = "ready port=" +
                       std::to_string(broker.listeners().empty() ? 0 : broker.listeners()[0].port) +
                       " cluster.id=" + broker.cluster_id() + "\n";
    const char* at = line.data();
    std::size_t left = line.size();
    while (left != 0) {
        ssize_t count = write(descriptor, at, left);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        at += count;
        left -= static_cast<std::size_t>(count);
    }
    if (descriptor > 2) close(descriptor);
}

int refuse(const std::string& why) {
    std::fprintf(stderr, "pabal-server: %s\n", why.c_str());
    return exit_usage;
}

}  // namespace

int main(int argument_count, char** arguments) {
    CLI::App app("A broker of pabal, with Kafka's property names.", "pabal-server");
    std::string config_path;
    std::vector<std::string> overrides;
    std::string level_name = "info";
    std::optional<std::string> cluster_id;
    int ready_descriptor = 1;
    app.add_option("--config", config_path, "The properties file, as Kafka's server.properties");
    app.add_option("--override", overrides, "NAME=VALUE, over what the file says; may be repeated")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false);
    app.add_option("--cluster-id", cluster_id,
                   "The cluster that this broker belongs to: given to log directories that are "
                   "empty, demanded of others");
    bool standalone = false;
    bool no_initial_controllers = false;
    std::optional<std::string> initial_controllers;
    auto* alone =
        app.add_flag("--standalone", standalone,
                     "This controller is the first voter, others are added later: formats "
                     "an empty metadata log directory so, as kafka-storage does");
    auto* named = app.add_option("--initial-controllers", initial_controllers,
                                 "ID@HOST:PORT:DIRECTORY,...: these controllers are the first "
                                 "voters; the same for all of them");
    auto* none = app.add_flag("--no-initial-controllers", no_initial_controllers,
                              "This node joins a quorum that there is already");
    alone->excludes(named)->excludes(none);
    named->excludes(none);
    app.add_option("--log-level", level_name, "What is logged to stderr")
        ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
    app.add_option("--ready-fd", ready_descriptor,
                   "The descriptor that gets one line when clients are served; stdout by default");
    app.set_version_flag("--version", "pabal-server " PABAL_VERSION);
    CLI11_PARSE(app, argument_count, arguments);

    // Before any thread starts: all of them leave these signals to this one.
    sigset_t endings;
    sigemptyset(&endings);
    sigaddset(&endings, SIGTERM);
    sigaddset(&endings, SIGINT);
    pthread_sigmask(SIG_BLOCK, &endings, nullptr);
    signal(SIGPIPE, SIG_IGN);

    const std::map<std::string, LogLevel> levels = {{"debug", LogLevel::debug},
                                                    {"info", LogLevel::info},
                                                    {"warning", LogLevel::warning},
                                                    {"error", LogLevel::error}};
    pabal::StreamLogSink sink(stderr, levels.at(level_name), &wall_now);
    pabal::Logger log(sink);

    auto properties = gather(config_path, overrides);
    if (!properties.ok()) return refuse(properties.error().message);
    volatile sig_atomic_t failed = 0;
    pabal::embedded::BrokerOptions options;
    options.cluster_id = cluster_id;
    options.standalone = standalone;
    options.no_initial_controllers = no_initial_controllers;
    options.initial_controllers = initial_controllers;
    options.on_failure = [&failed](const std::string&) {
        failed = 1;
        kill(getpid(), SIGTERM);
    };
    auto made = pabal::embedded::Broker::make(*properties, log, std::move(options));
    if (!made.ok()) return refuse(made.error().message);
    std::unique_ptr<pabal::embedded::Broker> broker = std::move(*made);

    // Without a majority of the voters a start takes as long as it takes; who is told to end does.
    auto starting = broker->start();
    const timespec look_again{0, 1'000'000};
    while (starting.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
        if (sigtimedwait(&endings, nullptr, &look_again) < 0) continue;
        log.info("ending before it could serve");
        broker->kill();
        return 0;
    }
    auto started = starting.get();
    if (!started.ok()) {
        log.error("could not start", {{"reason", started.error().message}});
        return exit_failure;
    }
    tell_ready(ready_descriptor, *broker);

    int received = 0;
    sigwait(&endings, &received);
    if (!failed) log.info("ending", {{"signal", received == SIGINT ? "SIGINT" : "SIGTERM"}});
    // Who presses Ctrl-C again does not want to wait. A second SIGTERM changes nothing: supervisors
    // send it to the process and to its group.
    sigdelset(&endings, SIGTERM);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &endings, nullptr);
    broker->stop().get();
    return failed ? exit_failure : 0;
}
