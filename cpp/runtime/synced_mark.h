// How far the metadata log was synced, in the file `pabal-synced` beside it: one line with the
// offset and the boot of the machine, and its checksum. Overwritten after each sync of the log and
// never synced itself, so that it says at most what is true: below its offset nothing may be
// missing, whatever happened since. Owned by the Quorum; all functions block.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/result.h"

namespace pabal::io {
class Disk;
class File;
}  // namespace pabal::io

namespace pabal::runtime {

class SyncedMark {
public:
    SyncedMark(io::Disk* disk, const std::string& directory);

    struct Content {
        Offset end;      // Everything below was synced once.
        bool stayed_up;  // The machine has not gone down since.
    };
    // Nothing if there is no mark, or one that a loss of power left torn.
    IoResult<std::optional<Content>> read() const;
    // `end` is synced now, in this boot.
    IoStatus write(Offset end);
    // Before the log is cut off at `end`: durable, or a loss of power would bring back a mark that
    // demands what was cut.
    IoStatus lower(Offset end);

    const std::string& path() const { return path_; }

private:
    io::Disk* disk_;
    std::string path_;
    std::string boot_;
    std::shared_ptr<io::File> file_;  // Once it was written in this life.
};

}  // namespace pabal::runtime
