// client::Admin on a thread of its own, for callers that wait: each call is a future. The calls are
// carried out one after the other, since the client has one connection with one request under way.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/exported.h"
#include "client/admin.h"
#include "io/task.h"

namespace pabal::embedded {

class PABAL_EXPORTED Admin {
public:
    Admin(std::vector<io::Address> bootstrap, client::Admin::Options options);
    // Whoever waits for a call that is under way has to stop waiting.
    ~Admin();
    Admin(const Admin&) = delete;
    Admin& operator=(const Admin&) = delete;

    // One call of the client: ask(&client::Admin::delete_topic, name, timeout).
    template <class T, class... Parameters>
    std::future<T> ask(io::Task<T> (client::Admin::*call)(Parameters...),
                       std::type_identity_t<Parameters>... arguments) {
        auto result = std::make_shared<std::promise<T>>();
        auto future = result->get_future();
        post([parts = parts_.get(), call, result,
              held = std::make_tuple(std::move(arguments)...)](client::Admin* admin) mutable {
            auto begin = [&](auto&... each) { return (admin->*call)(std::move(each)...); };
            return finish<T>(parts, std::apply(begin, held), result);
        });
        return future;
    }

private:
    struct Parts;

    // Neither knows the object, which may be gone by then.
    template <class T>
    static io::Task<void> finish(Parts* parts, io::Task<T> task,
                                 std::shared_ptr<std::promise<T>> result) {
        auto value = co_await task;
        ended(parts);
        result->set_value(std::move(value));
    }
    // Begins `call` on the shard when those before it have ended.
    void post(std::function<io::Task<void>(client::Admin* admin)> call);
    static void ended(Parts* parts);

    std::unique_ptr<Parts> parts_;
};

}  // namespace pabal::embedded
