// How the partitions follow the metadata: what lay on disk at the start, and each delta after it.

#include <algorithm>

#include "io/disk_error.h"
#include "io/gate.h"
#include "io/ports.h"
#include "log/commit_journal.h"
#include "log/journal_replay.h"
#include "metadata/broker_config.h"
#include "runtime/boot_mark.h"
#include "runtime/broker_store.h"
#include "runtime/cleaner.h"
#include "runtime/journal_writer.h"
#include "runtime/opening.h"
#include "runtime/partition_directory.h"
#include "runtime/partitions.h"

namespace pabal::runtime {
namespace {

// Kafka's words for directories that are none (KIP-858): the last byte says which.
bool is_word(const DirectoryId& directory) {
    const auto& bytes = directory.value().bytes;
    return std::all_of(bytes.begin(), bytes.end() - 1, [](std::uint8_t byte) { return byte == 0; });
}

DirectoryId lost_directory() {
    Uuid word;
    word.bytes.back() = 1;
    return DirectoryId(word);
}

// Where the metadata has the replica; nothing if it does not say.
std::optional<DirectoryId> assigned_directory(const metadata::PartitionImage& image,
                                              BrokerId broker) {
    for (std::size_t i = 0; i < image.replicas.size() && i < image.directories.size(); ++i)
        if (image.replicas[i] == broker) return image.directories[i];
    return std::nullopt;
}

}  // namespace

replication::Leadership Partitions::leadership_in(const metadata::PartitionImage& image) const {
    replication::Leadership leadership;
    leadership.leader = registered_ ? image.leader : no_broker;
    leadership.epoch = image.leader_epoch;
    leadership.partition_epoch = image.partition_epoch;
    leadership.replicas = image.replicas;
    leadership.in_sync = image.isr;
    leadership.recovering = image.leader_recovering;
    return leadership;
}

// From now on what the metadata says of partitions is said to this process.
void Partitions::obey_registration(const metadata::ClusterImage& image) {
    if (registered_) return;
    const auto* self = image.broker(broker_id());
    const bool unasked = options_.incarnation == Uuid();
    if (!unasked && (!self || self->incarnation != options_.incarnation)) return;
    registered_ = true;
    for (const auto* topic : topics()) {
        for (const auto& partition : topic->partitions) {
            if (!partition) continue;
            const auto* now = image.partition(partition->id());
            if (now) partition->lead(leadership_in(*now));
        }
    }
}

io::Task<Status> Partitions::start() {
    struct Look {
        std::vector<io::DirectoryEntry> entries;
        CheckpointFiles files;
        bool journal = false;
        IoStatus status;
    };
    std::vector<Look> looks(log_directories_.size());
    io::Disk* disk = &ports_->disk;
    std::function<void()> look = [this, disk, &looks] {
        for (std::size_t i = 0; i < looks.size(); ++i) {
            if (!log_directories_[i]->online()) continue;
            const auto& path = log_directories_[i]->path;
            auto entries = disk->list(path);
            if (!entries.ok()) {
                looks[i].status = entries.error();
                continue;
            }
            looks[i].entries = std::move(*entries);
            auto files = read_checkpoint_files(*disk, path);
            if (!files.ok()) {
                looks[i].status = files.error();
                continue;
            }
            looks[i].files = std::move(*files);
            for (const auto& entry : looks[i].entries)
                looks[i].journal = looks[i].journal || entry.name == log::journal_file;
            cleaner_->load(log_directories_[i].get());
            log_directories_[i]->machine_stayed_up = machine_stayed_up(*disk, path);
            // What happens from here on is not covered by the last run's farewell.
            if (looks[i].files.clean_shutdown)
                looks[i].status = remove_clean_shutdown_marker(*disk, path);
        }
    };
    co_await disk->run(look);

    const auto left_by = [&](const Look& each) {
        const auto& directory = log_directories_[static_cast<std::size_t>(&each - looks.data())];
        return directory->online() && each.status.ok() ? each.files.broker_epoch : BrokerEpoch(-1);
    };
    const bool agree = std::all_of(looks.begin(), looks.end(), [&](const Look& each) {
        return left_by(each) == left_by(looks.front());
    });
    if (agree) previous_broker_epoch_ = left_by(looks.front());
    std::vector<std::string> removable;
    std::vector<LeftJournal> journals(looks.size());
    bool all_clean = true;
    for (std::size_t i = 0; i < looks.size(); ++i) {
        auto* directory = log_directories_[i].get();
        if (directory->online() && !looks[i].status.ok())
            directory->failure = looks[i].status.error().message;
        if (!directory->online()) {
            log_->error("a log directory cannot be used",
                        {{"directory", directory->path}, {"why", directory->failure}});
            continue;
        }
        bool holds_partitions = false;
        for (const auto& entry : looks[i].entries) {
            if (!entry.is_directory) continue;
            if (is_deleted_directory_name(entry.name)) {
                removable.push_back(directory->path + '/' + entry.name);
                continue;
            }
            auto name = parse_partition_directory_name(entry.name);
            // The quorum's own log.
            if (!name || name->first == "__cluster_metadata") continue;
            holds_partitions = true;
            const auto [other, fresh] = found_.emplace(*name, Found{directory, false});
            if (!fresh) {
                co_return Error{ErrorCode::kafka_storage_error,
                                "partition " + entry.name + " lies in " +
                                    other->second.directory->path + " and in " + directory->path +
                                    "; remove the older one"};
            }
        }
        if (holds_partitions && !looks[i].files.clean_shutdown) all_clean = false;
        journals[i].found = looks[i].journal;
        journals[i].is_void = looks[i].files.clean_shutdown || !looks[i].files.partitions.empty();
        left_in_files_.merge(looks[i].files.partitions);
    }
    if (std::none_of(log_directories_.begin(), log_directories_.end(),
                     [](const auto& each) { return each->online(); })) {
        co_return Error{ErrorCode::kafka_storage_error,
                        "no log directory can be used: " + log_directories_.front()->failure};
    }
    clean_shutdown_ = all_clean;
    if (!all_clean) {
        auto loaded = co_await checkpoints_.load();
        if (!loaded.ok()) {
            co_return Error{ErrorCode::kafka_storage_error,
                            "the store cannot be read: " + loaded.error().message};
        }
        left_in_store_ = std::move(*loaded);
    }
    const bool any_journal =
        std::any_of(journals.begin(), journals.end(), [](const auto& each) { return each.found; });
    if (any_journal) co_await replay_journals(&journals);
    if (std::none_of(log_directories_.begin(), log_directories_.end(),
                     [](const auto& each) { return each->online(); })) {
        co_return Error{ErrorCode::kafka_storage_error,
                        "no log directory can be used: " + log_directories_.front()->failure};
    }
    if (!removable.empty()) io::detach(remove_after(std::move(removable), Duration()));
    co_return Status();
}

// What was acknowledged before a loss of power may stand in a journal alone. A journal is void
// where Kafka's files speak: since it was written somebody has closed that directory, or Kafka has
// used it.
io::Task<void> Partitions::replay_journals(std::vector<LeftJournal>* journals) {
    std::vector<log::JournalReplay> replays(log_directories_.size());
    std::vector<IoStatus> outcomes(log_directories_.size());
    io::Disk* disk = &ports_->disk;
    const auto replay = [&](const LogDirectory& directory, bool is_void,
                            log::JournalReplay& result) -> IoStatus {
        if (is_void) return log::remove_journal(*disk, directory.path);
        const auto synced = [&](const TopicPartition& id,
                                const std::string& name) -> std::optional<Offset> {
            const auto parsed = parse_partition_directory_name(name);
            if (!parsed || found_.count(*parsed) == 0) return std::nullopt;
            if (found_.at(*parsed).directory != &directory) return std::nullopt;
            const auto topic = read_partition_metadata(*disk, directory.path + '/' + name);
            if (!topic.ok() || !*topic || **topic != id.topic) return std::nullopt;
            const auto left = left_behind(id, *parsed);
            return left ? left->recovery_point : Offset(0);
        };
        PABAL_TRY_ASSIGN(result, log::replay_journal(*disk, directory.path, directory.id, synced));
        return {};
    };
    std::function<void()> work = [&] {
        for (std::size_t i = 0; i < outcomes.size(); ++i) {
            const auto& directory = *log_directories_[i];
            auto& journal = (*journals)[i];
            journal.found = journal.found && directory.online();
            if (journal.found) outcomes[i] = replay(directory, journal.is_void, replays[i]);
        }
    };
    co_await disk->run(work);
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
        if (!(*journals)[i].found) continue;
        auto& directory = *log_directories_[i];
        if (!outcomes[i].ok()) {
            directory.failure = outcomes[i].error().message;
            log_->error("a log directory cannot be used",
                        {{"directory", directory.path}, {"why", directory.failure}});
        } else if ((*journals)[i].is_void) {
            log_->info("a commit journal of an earlier time was removed",
                       {{"directory", directory.path}});
        } else {
            log_->info("the commit journal was replayed", {{"directory", directory.path},
                                                           {"frames", replays[i].frames},
                                                           {"partitions", replays[i].partitions},
                                                           {"bytes", replays[i].bytes}});
        }
    }
}

std::shared_ptr<const TopicConfig> Partitions::config_of(const metadata::ClusterImage& image,
                                                         std::string_view topic) {
    const metadata::ConfigView view(*config_, image);
    if (!image.config(metadata::ResourceType::topic, topic).empty())
        return std::make_shared<const TopicConfig>(make_topic_config(view, topic));
    if (!default_config_)
        default_config_ = std::make_shared<const TopicConfig>(make_topic_config(view, topic));
    return default_config_;
}

void Partitions::reconfigure(const metadata::ClusterDelta& delta,
                             const metadata::ClusterImage& image) {
    const auto renew = [&](Topic* topic) {
        topic->config = config_of(image, topic->name());
        for (const auto& partition : topic->partitions) {
            if (partition) partition->set_config(topic->config);
        }
    };
    const bool brokers_too = std::any_of(
        delta.configs.begin(), delta.configs.end(),
        [](const auto& resource) { return resource.type == metadata::ResourceType::broker; });
    if (brokers_too) {
        const metadata::ConfigView view(*config_, image);
        leader_quota_.set_rate(view.broker_integer("leader.replication.throttled.rate"));
        follower_quota_.set_rate(view.broker_integer("follower.replication.throttled.rate"));
        default_config_ = nullptr;
        for (const auto* topic : topics()) renew(by_id_.at(topic->id()).get());
        return;
    }
    for (const auto& resource : delta.configs) {
        if (resource.type != metadata::ResourceType::topic) continue;
        const auto found = by_name_.find(resource.name);
        if (found != by_name_.end()) renew(found->second);
    }
}

LogDirectory* Partitions::directory_for(const metadata::PartitionImage& image,
                                        const NamedPartition& name) {
    if (const auto found = found_.find(name); found != found_.end() && !found->second.used) {
        found->second.used = true;
        return found->second.directory;
    }
    LogDirectory* offline = nullptr;
    const auto assigned = assigned_directory(image, broker_id());
    for (const auto& directory : log_directories_) {
        if (directory->online() && assigned == directory->id) return directory.get();
        const bool known = assigned == directory->id;
        if (!directory->online() && (!offline || known)) offline = directory.get();
    }
    // What lies where nothing can be read now must not begin again, empty, somewhere else.
    // Invariant: acked-never-lost.
    if (assigned && !is_word(*assigned) && offline) return offline;
    LogDirectory* emptiest = nullptr;
    for (const auto& directory : log_directories_) {
        if (!directory->online()) continue;
        if (!emptiest || directory->partition_count < emptiest->partition_count)
            emptiest = directory.get();
    }
    return emptiest ? emptiest : log_directories_.front().get();
}

// The store and Kafka's files may both speak of a partition; both told the truth once, and each of
// their numbers only grows.
std::optional<log::LogCheckpoint> Partitions::left_behind(const TopicPartition& id,
                                                          const NamedPartition& name) const {
    const auto stored = left_in_store_.find(id);
    const auto filed = left_in_files_.find(name);
    if (stored == left_in_store_.end() && filed == left_in_files_.end()) return std::nullopt;
    log::LogCheckpoint checkpoint;
    if (stored != left_in_store_.end()) checkpoint = stored->second;
    if (filed != left_in_files_.end()) {
        const auto& file = filed->second;
        if (file.recovery_point > checkpoint.recovery_point) {
            checkpoint.recovery_point = file.recovery_point;
            checkpoint.standing.reset();
        }
        checkpoint.log_start_offset = std::max(checkpoint.log_start_offset, file.log_start_offset);
        checkpoint.high_watermark = std::max(checkpoint.high_watermark, file.high_watermark);
    }
    return checkpoint;
}

void Partitions::prepare_openings(Topic* topic, const std::set<PartitionIndex>& changed,
                                  std::vector<Opening>* openings,
                                  std::vector<std::shared_ptr<Partition>>* leaving) {
    topic->partitions.resize(topic->image->partitions.size());
    for (const auto index : changed) {
        const auto* image = topic->image->partition(index);
        if (!image) continue;
        const auto& replicas = image->replicas;
        auto& slot = topic->partitions[static_cast<std::size_t>(index.value())];
        if (std::find(replicas.begin(), replicas.end(), broker_id()) == replicas.end()) {
            // Reassigned: others hold it from now on.
            if (slot) {
                slot->moved_away_ = true;
                leaving->push_back(std::move(slot));
            }
            continue;
        }
        if (slot) {
            slot->lead(leadership_in(*image));
            // A follower may have its replica in a sound directory again.
            slot->judge_followers();
            continue;
        }
        const NamedPartition name(topic->name(), index.value());
        const TopicPartition id{topic->id(), index};
        const bool on_disk = found_.count(name) > 0;
        auto* directory = directory_for(*image, name);
        slot = std::make_shared<Partition>(this, topic->shared_name, id, directory, topic->config);
        slot->leadership_ = leadership_in(*image);
        ++directory->partition_count;
        ++partition_count_;
        if (!directory->online()) continue;
        if (options_.placed && assigned_directory(*image, broker_id()) != directory->id)
            options_.placed(id, directory->id);

        Opening opening;
        opening.partition = slot;
        opening.config = topic->config;
        opening.path = directory->path + '/' + partition_directory_name(topic->name(), index);
        if (on_disk) {
            opening.checkpoint = left_behind(id, name).value_or(log::LogCheckpoint());
            opening.checkpoint.clean_shutdown = clean_shutdown_;
            opening.checkpoint.writes_survived = directory->machine_stayed_up;
            opening.checkpoint.was_compacted = cleaner_->has_cleaned(directory, name);
            opening.unique = Uuid::random(ports_->random);
        }
        opening.on_disk = on_disk;
        openings->push_back(std::move(opening));
    }
}

// Runs on the disk pool.
void Partitions::open(Opening* opening) const {
    auto& disk = ports_->disk;
    const auto& id = opening->partition->id();
    const auto attempt = [&]() -> IoResult<std::unique_ptr<log::PartitionLog>> {
        bool marked = false;
        if (opening->on_disk) {
            PABAL_TRY_ASSIGN(const auto topic, read_partition_metadata(disk, opening->path));
            marked = topic.has_value();
            if (topic && *topic != id.topic) {
                // Another topic of that name, from before.
                const auto slash = opening->path.rfind('/');
                opening->set_aside =
                    set_aside_name(opening->path.substr(slash + 1), opening->unique, "stray");
                PABAL_TRY(disk.rename(opening->path,
                                      opening->path.substr(0, slash + 1) + opening->set_aside));
                opening->on_disk = false;
                opening->checkpoint = log::LogCheckpoint();
                marked = false;
            }
        }
        auto log = log::PartitionLog::open(disk, opening->path, opening->config->log,
                                           opening->checkpoint, ports_->clock.wall_now());
        if (!log.ok()) return log.error();
        if (!marked) PABAL_TRY(write_partition_metadata(disk, opening->path, id.topic));
        // What a crash left unsynced may have been acknowledged under another setting, or read:
        // it is visible from the start, so it has to be safe from the start.
        if (opening->config->log.flush_messages == 1 &&
            (*log)->recovery_point() < (*log)->log_end_offset()) {
            PABAL_TRY(
                sync_partition_names(disk, opening->partition->directory()->path, opening->path));
            const auto flushed = (*log)->flush();
            if (!flushed.ok()) return flushed.error();
        }
        return log;
    };
    opening->result.emplace(attempt());
}

void Partitions::finish(Opening* opening) {
    auto& partition = *opening->partition;
    if (!opening->set_aside.empty()) {
        log_->warning("a directory of another topic was set aside",
                      {{"directory", opening->path}, {"now", opening->set_aside}});
    }
    // It went while others were opened.
    if (!partition.directory()->online()) return;
    if (opening->result && opening->result->ok()) {
        auto log = std::move(*opening->result).value();
        if (const auto& repair = log->repair()) {
            log_->warning("a log was cut off at its first damaged batch",
                          {{"file", repair->path},
                           {"position", repair->position},
                           {"offset", repair->offset.value()},
                           {"dropped_bytes", repair->dropped_bytes},
                           {"why", repair->reason}});
        }
        partition.opened(std::move(log), opening->checkpoint.high_watermark);
        return;
    }
    partition.directory()->all_opened = false;
    const auto error =
        opening->result ? opening->result->error() : IoError{0, "the disk pool did not open it"};
    log_->error("a partition cannot be opened; it stays offline",
                {{"topic", partition.topic_name()},
                 {"partition", partition.id().partition.value()},
                 {"directory", opening->path},
                 {"why", error.message}});
    if (stopping_) return;
    if (io::may_pass(error)) {
        if (partition.reopening_) return;
        partition.reopening_ = true;
        io::detach(reopen(opening->partition, opening->checkpoint));
    } else if (io::is_disk_failure(error)) {
        give_up(partition.directory(), error.message);
    } else if (options_.placed) {
        // Damaged: one of the other replicas may be sound.
        options_.placed(partition.id(), lost_directory());
    }
}

io::Task<void> Partitions::apply(std::shared_ptr<const metadata::ClusterDelta> delta,
                                 std::shared_ptr<const metadata::ClusterImage> image) {
    if (stopping_) co_return;
    image_ = image;
    obey_registration(*image);
    reconfigure(*delta, *image);

    std::vector<std::unique_ptr<Topic>> created;
    std::vector<Opening> openings;
    std::vector<std::shared_ptr<Partition>> deleted;
    for (const auto& [id, topic_delta] : delta->topics) {
        const auto found = by_id_.find(id);
        if (topic_delta.deleted) {
            if (found == by_id_.end()) continue;
            for (auto& partition : found->second->partitions) {
                if (partition) deleted.push_back(std::move(partition));
            }
            by_name_.erase(found->second->name());
            by_id_.erase(found);
            continue;
        }
        auto topic_image = image->topic(id);
        if (!topic_image) continue;
        Topic* topic = nullptr;
        if (found != by_id_.end()) {
            topic = found->second.get();
        } else {
            created.push_back(std::make_unique<Topic>());
            topic = created.back().get();
            topic->shared_name = std::make_shared<const std::string>(topic_image->name);
            topic->config = config_of(*image, topic_image->name);
        }
        topic->image = std::move(topic_image);
        prepare_openings(topic, topic_delta.partitions, &openings, &deleted);
    }
    if (!deleted.empty()) co_await delete_partitions(std::move(deleted));
    if (!openings.empty()) {
        const std::size_t count = openings.size();
        std::function<void(std::size_t, std::size_t)> work = [this, &openings](std::size_t first,
                                                                               std::size_t last) {
            for (std::size_t i = first; i < last; ++i) open(&openings[i]);
        };
        co_await in_chunks(count, work);
        for (auto& opening : openings) finish(&opening);
    }
    for (auto& topic : created) {
        by_name_.emplace(topic->name(), topic.get());
        const auto id = topic->id();
        by_id_.emplace(id, std::move(topic));
    }
    if (!delta->brokers.empty())
        each_partition([](Partition& partition) { partition.judge_followers(); });
    if (first_delta_ && !stopping_) co_await finish_first_delta();
}

io::Task<void> Partitions::delete_partitions(std::vector<std::shared_ptr<Partition>> partitions) {
    struct Renaming {
        std::string from;
        std::string to;
        IoStatus status;
    };
    std::vector<Renaming> renamings;
    std::vector<JournalWriter*> journals;
    Duration delay;
    for (const auto& partition : partitions) {
        partition->deleted_ = true;
        const auto gone = partition->shut();
        checkpoints_.remove(partition->id());
        auto* directory = partition->directory();
        // It may come again, and begin anew.
        if (partition->journaled_) {
            directory->journal->forget(partition->id(), partition->directory_name_);
            journals.push_back(directory->journal);
        }
        --directory->partition_count;
        --partition_count_;
        delay = partition->config_->log.file_delete_delay;
        const auto name =
            partition_directory_name(partition->topic_name(), partition->id().partition);
        const auto aside = set_aside_name(name, Uuid::random(ports_->random), "delete");
        if (directory->online())
            renamings.push_back({directory->path + '/' + name, directory->path + '/' + aside, {}});
    }
    for (auto* journal : journals) {
        const bool forgotten = co_await journal->written();
        static_cast<void>(forgotten);  // Or the directory is offline.
    }
    io::Disk* disk = &ports_->disk;
    std::function<void(std::size_t, std::size_t)> work = [disk, &renamings](std::size_t first,
                                                                            std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
            auto& each = renamings[i];
            const auto exists = disk->exists(each.from);
            if (exists.ok() && *exists) each.status = disk->rename(each.from, each.to);
        }
    };
    const std::size_t count = renamings.size();
    co_await in_chunks(count, work);
    std::vector<std::string> removable;
    for (auto& each : renamings) {
        if (!each.status.ok()) {
            log_->error(
                "a deleted partition cannot be renamed; it is set aside at "
                "the next start",
                {{"directory", each.from}, {"why", each.status.error().message}});
            continue;
        }
        removable.push_back(std::move(each.to));
    }
    if (!removable.empty() && !stopping_) io::detach(remove_after(std::move(removable), delay));
}

io::Task<void> Partitions::finish_first_delta() {
    first_delta_ = false;
    // Directories that the metadata does not know: kept, but out of the way.
    std::vector<std::pair<std::string, std::string>> strays;
    for (const auto& [name, found] : found_) {
        if (found.used) continue;
        const auto directory = partition_directory_name(name.first, PartitionIndex(name.second));
        const auto prefix = found.directory->path + '/';
        strays.emplace_back(
            prefix + directory,
            prefix + set_aside_name(directory, Uuid::random(ports_->random), "stray"));
    }
    found_.clear();
    io::Disk* disk = &ports_->disk;
    if (!strays.empty()) {
        std::vector<std::string> failures(strays.size());
        std::function<void()> work = [disk, &strays, &failures] {
            for (std::size_t i = 0; i < strays.size(); ++i) {
                const auto renamed = disk->rename(strays[i].first, strays[i].second);
                if (!renamed.ok()) failures[i] = renamed.error().message;
            }
        };
        co_await disk->run(work);
        for (std::size_t i = 0; i < strays.size(); ++i) {
            log_->warning("the metadata knows nothing of a directory; it is set aside",
                          {{"directory", strays[i].first},
                           {"now", strays[i].second},
                           {"failure", failures[i]}});
        }
    }
    // What a topic that is gone left in the store.
    for (const auto& [id, checkpoint] : left_in_store_) {
        if (!find(id)) checkpoints_.remove(id);
    }
    left_in_store_.clear();
    journals_ready_ = left_in_files_.empty();
    if (!left_in_files_.empty()) {
        left_in_files_.clear();
        each_partition([&](Partition& partition) { save_checkpoint(partition); });
        io::detach(import_files());
    }
    io::detach(mark_boot());
    io::detach(retain_for_ever());
    if (config_->boolean("log.cleaner.enable")) io::detach(cleaner_->run());
    io::detach(watch_followers());
    if (log_directories_.size() > 1) io::detach(watch_directories());
    io::detach(save_high_watermarks());
}

io::Task<void> Partitions::mark_boot() {
    const Background background(this);
    io::Disk* disk = &ports_->disk;
    std::vector<std::string> directories;
    for (const auto& directory : log_directories_) {
        // A log that is still shut may be torn since an earlier boot.
        const bool whole = directory->online() && directory->all_opened;
        if (whole && !directory->machine_stayed_up) directories.push_back(directory->path);
    }
    if (directories.empty()) co_return;
    std::string failure;
    std::function<void()> work = [disk, &directories, &failure] {
        for (const auto& directory : directories) {
            const auto written = write_boot_mark(*disk, directory);
            if (!written.ok()) failure = written.error().message;
        }
    };
    co_await disk->run(work);
    if (!failure.empty()) log_->warning("cannot note the machine's boot", {{"why", failure}});
}

// Once the store has what Kafka's files said, the files must not speak any more: after a crash they
// would speak of topics that were deleted and made again.
io::Task<void> Partitions::import_files() {
    const Background background(this);
    const auto synced = co_await checkpoints_.synced();
    if (!synced.ok()) co_return;
    io::Disk* disk = &ports_->disk;
    IoStatus status;
    std::function<void()> work = [this, disk, &status] {
        for (const auto& directory : log_directories_) {
            const auto cleared = clear_checkpoint_files(*disk, directory->path);
            if (!cleared.ok()) status = cleared;
        }
    };
    co_await disk->run(work);
    journals_ready_ = status.ok();
    if (!status.ok()) {
        log_->warning("cannot clear the checkpoint files of the last run",
                      {{"why", status.error().message}});
    }
}

}  // namespace pabal::runtime
