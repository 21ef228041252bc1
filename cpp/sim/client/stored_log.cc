#include "sim/client/stored_log.h"

#include "record/record_batch.h"
#include "sim/trace.h"

namespace pabal::sim {

IoResult<std::vector<StoredBatch>> read_stored_log(io::Disk& disk, const std::string& directory) {
    std::vector<StoredBatch> found;
    PABAL_TRY_ASSIGN(const auto files, disk.list(directory));
    for (const auto& file : files) {
        if (!file.name.ends_with(".log")) continue;
        PABAL_TRY_ASSIGN(const auto handle,
                         disk.open(directory + "/" + file.name, io::OpenMode::read_only));
        Buffer buffer(file.size);
        PABAL_TRY_ASSIGN(const auto count, handle->read(0, buffer.view()));
        const Bytes bytes = Bytes(std::move(buffer)).slice(0, count);
        record::BatchWalker walker(bytes);
        while (true) {
            const auto position = walker.position();
            const auto next = walker.next();
            if (!next.ok()) return IoError{0, file.name + ": " + next.error().message};
            if (!*next) break;
            const auto& batch = **next;
            found.push_back(
                {batch.base_offset(), batch.last_offset(),
                 fingerprint(bytes.view().subspan(position, walker.position() - position))});
        }
    }
    return found;
}

}  // namespace pabal::sim
