// The records of a simulation: each is numbered by its sender and its content follows from the
// number, so that a reader can tell whose it is and whether it is whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/rope.h"
#include "record/batch_builder.h"
#include "sim/checkers/checker.h"
#include "wire/fetch.h"

namespace pabal::sim {

// The value of a record: its number, then up to `largest_padding_bytes` that follow from it.
std::string value_of(const RecordId& record);
// Whose value it is.
RecordId record_of(ByteView value);

// One batch of records with those numbers.
Bytes build_batch(const SentBatch& batch, const record::BatchOptions& options, WallTime timestamp,
                  record::Codecs& codecs);
// All records of whole batches, and the markers of transactions among them; a damaged batch is an
// error. What `aborted` tells to pass over, as an answer to a committed read does, is hidden.
using AbortedTransactions = std::optional<std::vector<wire::FetchResponse::AbortedTransaction>>;
Result<std::vector<ReadRecord>> read_records(const Rope& records, record::Codecs& codecs,
                                             const AbortedTransactions& aborted = std::nullopt);

}  // namespace pabal::sim
