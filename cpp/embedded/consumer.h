// client::Consumer on a thread of its own, for callers on other threads: they take records from
// what was fetched, and ask for the rest by calls that are futures.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/exported.h"
#include "base/result.h"
#include "base/time.h"
#include "client/consumer.h"
#include "client/fetched_records.h"

namespace pabal::embedded {

class PABAL_EXPORTED Consumer {
public:
    explicit Consumer(client::Consumer::Options options);
    // Stops, if that was not said before.
    ~Consumer();
    Consumer(const Consumer&) = delete;
    Consumer& operator=(const Consumer&) = delete;

    const std::shared_ptr<client::FetchedRecords>& records() const { return records_; }

    std::future<Result<std::size_t>> partition_count(std::string topic, Duration timeout);
    std::future<Result<std::vector<std::string>>> topic_names();
    std::future<Result<std::vector<std::int64_t>>> list_offsets(
        std::vector<client::Consumer::OffsetQuery> queries, Duration timeout);
    std::future<Status> commit(std::vector<client::CommittedPosition> positions, Duration timeout);
    std::future<Result<std::vector<client::CommittedPosition>>> committed(
        std::vector<client::NamedPartition> partitions, Duration timeout);
    void subscribe(std::vector<std::string> topics, std::string pattern);
    // Ready when the group knows.
    std::future<void> unsubscribe();
    struct Member {
        std::string id;
        std::int32_t epoch = 0;
    };
    Member member();
    // Leaves the group and ends everything. Twice is fine. Waits for the thread.
    void stop();

private:
    struct Parts;
    struct Waker;
    template <class T, class Make>
    std::future<T> call(Make make);

    std::shared_ptr<Waker> waker_;
    std::shared_ptr<client::FetchedRecords> records_;
    std::unique_ptr<Parts> parts_;
};

}  // namespace pabal::embedded
