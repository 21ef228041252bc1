#include "embedded/admin.h"

#include <deque>
#include <functional>

#include "os/node_ports.h"

namespace pabal::embedded {

// A client needs no disk and no store; its ports have them all the same, unused.
struct Admin::Parts {
    explicit Parts(std::vector<io::Address> bootstrap)
        : ports("pabal-admin", std::make_shared<os::PolicyTime>(), nullptr) {
        ports.shard().run([&] {
            admin = std::make_unique<client::Admin>(&ports.ports().clock, &ports.ports().network,
                                                    std::move(bootstrap));
        });
    }
    ~Parts() {
        ports.shard().run([this] { admin.reset(); });
    }

    // Runs the task that `make` returns, on the shard, after those that were asked for before: the
    // client has one connection, with one request under way.
    template <class T, class Make>
    std::future<T> call(Make make) {
        auto result = std::make_shared<std::promise<T>>();
        auto future = result->get_future();
        std::function<void()> run = [this, result, make = std::move(make)]() mutable {
            io::detach(finish<T>(make(), result));
        };
        ports.shard().post([this, run = std::move(run)]() mutable {
            waiting.push_back(std::move(run));
            if (waiting.size() == 1) waiting.front()();
        });
        return future;
    }

    template <class T>
    io::Task<void> finish(io::Task<T> task, std::shared_ptr<std::promise<T>> result) {
        auto value = co_await task;
        ports.shard().post([this] {
            waiting.pop_front();
            if (!waiting.empty()) waiting.front()();
        });
        result->set_value(std::move(value));
    }

    os::NodePorts ports;
    // Used on the shard only; the first of those that wait is under way.
    std::unique_ptr<client::Admin> admin;
    std::deque<std::function<void()>> waiting;
};

Admin::Admin(std::vector<io::Address> bootstrap)
    : parts_(std::make_unique<Parts>(std::move(bootstrap))) {}

Admin::~Admin() = default;

std::future<Result<TopicId>> Admin::create_topic(client::NewTopic topic, Duration timeout) {
    return parts_->call<Result<TopicId>>([this, topic = std::move(topic), timeout]() mutable {
        return parts_->admin->create_topic(std::move(topic), timeout);
    });
}

std::future<Status> Admin::delete_topic(std::string name, Duration timeout) {
    return parts_->call<Status>([this, name = std::move(name), timeout]() mutable {
        return parts_->admin->delete_topic(std::move(name), timeout);
    });
}

std::future<Result<client::TopicDescription>> Admin::describe_topic(std::string name,
                                                                    Duration timeout) {
    return parts_->call<Result<client::TopicDescription>>(
        [this, name = std::move(name), timeout]() mutable {
            return parts_->admin->describe_topic(std::move(name), timeout);
        });
}

std::future<Result<std::vector<client::TopicDescription>>> Admin::list_topics(Duration timeout) {
    return parts_->call<Result<std::vector<client::TopicDescription>>>(
        [this, timeout] { return parts_->admin->list_topics(timeout); });
}

std::future<Status> Admin::create_partitions(std::string topic, std::int32_t count,
                                             Duration timeout) {
    return parts_->call<Status>([this, topic = std::move(topic), count, timeout]() mutable {
        return parts_->admin->create_partitions(std::move(topic), count, timeout);
    });
}

std::future<Result<std::vector<client::Config>>> Admin::describe_configs(
    client::ConfigResource resource, std::string name, Duration timeout) {
    return parts_->call<Result<std::vector<client::Config>>>(
        [this, resource, name = std::move(name), timeout]() mutable {
            return parts_->admin->describe_configs(resource, std::move(name), timeout);
        });
}

std::future<Status> Admin::alter_configs(
    client::ConfigResource resource, std::string name,
    std::vector<std::pair<std::string, std::optional<std::string>>> changes, Duration timeout) {
    return parts_->call<Status>([this, resource, name = std::move(name),
                                 changes = std::move(changes), timeout]() mutable {
        return parts_->admin->alter_configs(resource, std::move(name), std::move(changes), timeout);
    });
}

std::future<Result<std::vector<client::PartitionOffset>>> Admin::list_offsets(
    std::string topic, std::int64_t timestamp, Duration timeout) {
    return parts_->call<Result<std::vector<client::PartitionOffset>>>(
        [this, topic = std::move(topic), timestamp, timeout]() mutable {
            return parts_->admin->list_offsets(std::move(topic), timestamp, timeout);
        });
}

std::future<Result<std::vector<client::PartitionOffset>>> Admin::delete_records(
    std::string topic, std::vector<client::PartitionOffset> before, Duration timeout) {
    return parts_->call<Result<std::vector<client::PartitionOffset>>>(
        [this, topic = std::move(topic), before = std::move(before), timeout]() mutable {
            return parts_->admin->delete_records(std::move(topic), std::move(before), timeout);
        });
}

std::future<Result<std::vector<client::GroupListing>>> Admin::list_groups(Duration timeout) {
    return parts_->call<Result<std::vector<client::GroupListing>>>(
        [this, timeout]() mutable { return parts_->admin->list_groups(timeout); });
}

std::future<Result<client::GroupDescription>> Admin::describe_group(std::string id,
                                                                    Duration timeout) {
    return parts_->call<Result<client::GroupDescription>>(
        [this, id = std::move(id), timeout]() mutable {
            return parts_->admin->describe_group(std::move(id), timeout);
        });
}

std::future<Result<std::vector<client::CommittedOffset>>> Admin::committed_offsets(
    std::string group, Duration timeout) {
    return parts_->call<Result<std::vector<client::CommittedOffset>>>(
        [this, group = std::move(group), timeout]() mutable {
            return parts_->admin->committed_offsets(std::move(group), timeout);
        });
}

std::future<Status> Admin::delete_group(std::string id, Duration timeout) {
    return parts_->call<Status>([this, id = std::move(id), timeout]() mutable {
        return parts_->admin->delete_group(std::move(id), timeout);
    });
}

}  // namespace pabal::embedded
