"""``pabal kafka-dump-log``: its lines are those of Kafka's tool."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from pabal.data_files import (
    Batch,
    CorruptFileError,
    StoredRecord,
    offset_index,
    producer_snapshot,
    read_batches,
    time_index,
    transaction_index,
)
from pabal.errors import PabalError
from pabal.internal_records import DECODERS, UnknownType, plain, type_name
from pabal.record_codec import Malformed

__all__ = ["add_options", "dump_log"]

_DECODERS = {
    "offsets_decoder": "offsets",
    "transaction_log_decoder": "transactions",
    "cluster_metadata_decoder": "metadata",
    "share_group_state_decoder": "share-state",
}
_STRING_DECODER = "org.apache.kafka.tools.api.StringDecoder"
_CONTROL_WORDS = {
    "LEADER_CHANGE": "LeaderChange:",
    "SNAPSHOT_HEADER": "SnapshotHeader",
    "SNAPSHOT_FOOTER": "SnapshotFooter",
    "KRAFT_VERSION": "KRaftVersion",
    "KRAFT_VOTERS": "KRaftVoters",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of Kafka's tool.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> parser.parse_args(["--files", "a.log,b.log"]).files
    'a.log,b.log'
    """
    parser.add_argument("--files", required=True, metavar="FILE,...")
    parser.add_argument("--print-data-log", action="store_true")
    parser.add_argument("--deep-iteration", action="store_true")
    parser.add_argument("--skip-record-metadata", action="store_true")
    parser.add_argument("--verify-index-only", action="store_true")
    parser.add_argument("--index-sanity-check", action="store_true")
    parser.add_argument("--max-message-size", type=int, default=5 * 1024 * 1024)
    parser.add_argument("--max-bytes", type=int, metavar="BYTES")
    for name in _DECODERS:
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true")
    for name in ("key-decoder-class", "value-decoder-class"):
        parser.add_argument(f"--{name}", choices=[_STRING_DECODER])


def dump_log(options: argparse.Namespace) -> int:
    """Print files of a log as Kafka's tool does; the exit status is returned.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> from pabal.data_files import _example
    >>> file = _example("00000000000000000000.txnindex", b"")
    >>> dump_log(parser.parse_args(["--files", file]))  # doctest: +ELLIPSIS
    Dumping ...00000000000000000000.txnindex
    0
    """
    complaints: list[str] = []
    for name in options.files.split(","):
        print(f"Dumping {name}")
        suffix = os.path.splitext(name)[1]
        if suffix in (".log", ".checkpoint"):
            _dump_batches(name, options, complaints)
        elif suffix == ".index":
            _dump_offset_index(name, options, complaints)
        elif suffix == ".timeindex":
            _dump_time_index(name, options, complaints)
        elif suffix == ".snapshot":
            _dump_producers(name)
        elif suffix == ".txnindex":
            for entry in transaction_index(name):
                print(
                    f"version: {entry.version} producerId: {entry.producer_id} "
                    f"firstOffset: {entry.first_offset} lastOffset: {entry.last_offset} "
                    f"lastStableOffset: {entry.last_stable_offset}"
                )
        else:
            print(f"Ignoring unknown file {name}", file=sys.stderr)
    sys.stdout.flush()
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 0


def _dump_batches(name: str, options: argparse.Namespace, complaints: list[str]) -> None:
    file = os.path.basename(name)
    if file.endswith(".log"):
        print(f"Log starting offset: {_number_of(file)}")
    elif file == "bootstrap.checkpoint":
        print("KRaft bootstrap snapshot")
    elif match := re.fullmatch(r"(\d{20})-(\d{10})\.checkpoint", file):
        print(f"Snapshot end offset: {int(match[1])}, epoch: {int(match[2])}")
    decoder = next((kind for option, kind in _DECODERS.items() if getattr(options, option)), None)
    contents = bool(
        options.print_data_log
        or decoder
        or options.key_decoder_class
        or options.value_decoder_class
    )
    text = _printer(decoder)
    last, gaps = -1, {}
    try:
        for batch in read_batches(name, limit=options.max_bytes):
            print(_batch_line(batch))
            if not (contents or options.deep_iteration):
                continue
            for record in batch.records():
                if record.offset != last + 1:
                    gaps[last] = record.offset
                last = record.offset
                words = [] if options.skip_record_metadata else [_record_line(batch, record)]
                if contents and not batch.control:
                    said = text(record)
                    words += ["|", *said] if options.skip_record_metadata and said else said
                print(" ".join(words))
    except CorruptFileError as error:
        rest = os.path.getsize(name) - error.position
        if "no whole batch" not in error.reason:
            raise
        print(f"Found {rest} invalid bytes at the end of {file}")
    if gaps:
        complaints.append(f"Non-consecutive offsets in {os.path.abspath(name)}")
        complaints += [f"  {before} is followed by {after}" for before, after in gaps.items()]


def _number_of(file: str) -> int:
    stem = file.split(".")[0]
    if not stem.isdigit():
        raise CorruptFileError(file, 0, "the name of a segment is the offset that it begins with")
    return int(stem)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _optional(number: int | None) -> str:
    return "OptionalLong.empty" if number is None else f"OptionalLong[{number}]"


def _time(batch: Batch) -> str:
    return "LogAppendTime" if batch.log_append_time else "CreateTime"


def _batch_line(batch: Batch) -> str:
    if batch.magic < 2:
        head = f"offset: {batch.last_offset}"
    else:
        head = (
            f"baseOffset: {batch.base_offset} lastOffset: {batch.last_offset} "
            f"count: {batch.count} baseSequence: {batch.base_sequence} "
            f"lastSequence: {batch.sequence_of(batch.last_offset)} "
            f"producerId: {batch.producer_id} producerEpoch: {batch.producer_epoch} "
            f"partitionLeaderEpoch: {batch.leader_epoch} "
            f"isTransactional: {_flag(batch.transactional)} isControl: {_flag(batch.control)} "
            f"deleteHorizonMs: {_optional(batch.delete_horizon)}"
        )
    return (
        f"{head} position: {batch.position} {_time(batch)}: {batch.max_timestamp} "
        f"size: {batch.size} magic: {batch.magic} compresscodec: {batch.codec} "
        f"crc: {batch.crc} isvalid: {_flag(batch.valid)}"
    )


def _record_line(batch: Batch, record: StoredRecord) -> str:
    sizes = [-1 if part is None else len(part) for part in (record.key, record.value)]
    line = (
        f"| offset: {record.offset} {_time(batch)}: {record.timestamp} keySize: {sizes[0]} "
        f"valueSize: {sizes[1]} sequence: {batch.sequence_of(record.offset)} "
        f"headerKeys: [{','.join(name for name, _ in record.headers)}]"
    )
    if not batch.control:
        return line
    kind, fields = batch.control_of(record)
    if kind in ("ABORT", "COMMIT"):
        return f"{line} endTxnMarker: {kind} coordinatorEpoch: {fields['coordinatorEpoch']}"
    if kind in _CONTROL_WORDS:
        return f"{line} {_CONTROL_WORDS[kind]} {_json(fields)}"
    return f"{line} controlType: {kind}"


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))


def _printer(decoder: str | None) -> Callable[[StoredRecord], list[str]]:
    """How keys and values are said."""
    if decoder is None:
        return lambda record: [
            f"{what}: {part.decode(errors='replace')}"
            for what, part in (("key", record.key), ("payload", record.value))
            if part is not None
        ]
    decode = DECODERS[decoder]

    def metadata(record: StoredRecord) -> list[str]:
        try:
            found = decode(record)
        except Malformed as error:
            return [f"payload: Error at {record.offset}, skipping. {error}"]
        name = type_name("metadata", found.type)
        said = _json({"type": name, "version": found.version, "data": found.value})
        return [f"payload: {said}"]

    def coordinator(record: StoredRecord) -> list[str]:
        if record.key is None:
            raise PabalError(
                f"the record at offset {record.offset} has no key, so the decoder is not its own"
            )
        try:
            found = decode(record)
        except UnknownType as error:
            return [
                f"key: Unknown record type {error.kind} at offset {record.offset}, skipping."
            ]
        except Malformed as error:
            return [f"key: Error at offset {record.offset}, skipping. {error}"]
        value = "<DELETE>"
        if found.value is not None:
            value = _json({"version": str(found.version), "data": found.value})
        return [f"key: {_json({'type': str(found.type), 'data': found.key})}", f"payload: {value}"]

    return metadata if decoder == "metadata" else coordinator


def _dump_offset_index(
    name: str, options: argparse.Namespace, complaints: list[str]
) -> None:
    entries = list(offset_index(name))
    if not entries:
        print(f"{name} is empty.")
        return
    if options.index_sanity_check:
        _check_order(name, [offset for offset, _ in entries])
        print(f"{name} passed sanity check.")
        return
    log = _log_of(name)
    wrong = []
    for offset, position in entries:
        found = _batch_at(log, position)
        if found is None or found.last_offset != offset:
            at = "none" if found is None else str(found.last_offset)
            wrong.append(f"  Index offset: {offset}, log offset: {at}")
        if not options.verify_index_only:
            print(f"offset: {offset} position: {position}")
    if wrong:
        complaints += [f"Mismatches in :{os.path.abspath(name)}", *reversed(wrong)]


def _dump_time_index(name: str, options: argparse.Namespace, complaints: list[str]) -> None:
    entries = list(time_index(name))
    if options.index_sanity_check:
        _check_order(name, [offset for _, offset in entries])
        print(f"{name} passed sanity check.")
        return
    log = _log_of(name)
    index = f"{name.removesuffix('.timeindex')}.index"
    positions = list(offset_index(index)) if os.path.exists(index) else []
    wrong: list[str] = []
    disordered: list[str] = []
    missing: list[str] = []
    before = -1
    for timestamp, offset in entries:
        start = max((at for known, at in positions if known <= offset), default=0)
        batches = read_batches(log, start=start)
        batch = next((one for one in batches if one.last_offset >= offset), None)
        if batch is None or batch.last_offset != offset:
            at = -1 if batch is None else batch.last_offset
            missing.append(f"Indexed offset: {offset}, found log offset: {at}")
        else:
            most = max((record.timestamp for record in batch.records()), default=-1)
            if most != timestamp:
                wrong.append(f"  Index timestamp: {timestamp}, log timestamp: {most}")
            if before >= timestamp:
                disordered.append(
                    f"  Index timestamp: {timestamp}, Previously indexed timestamp: {before}"
                )
        if not options.verify_index_only:
            print(f"timestamp: {timestamp} offset: {offset}")
        before = timestamp
    if wrong:
        complaints += [f"Found timestamp mismatch in :{os.path.abspath(name)}", *wrong]
    if disordered:
        complaints += [f"Found out of order timestamp in :{os.path.abspath(name)}", *disordered]
    if missing:
        complaints += ["The following indexed offsets are not found in the log.", *missing]


def _check_order(name: str, offsets: list[int]) -> None:
    if offsets != sorted(offsets):
        raise CorruptFileError(name, 0, "the offsets of its entries do not grow")


def _log_of(name: str) -> str:
    log = f"{os.path.splitext(name)[0]}.log"
    if not os.path.exists(log):
        raise CorruptFileError(name, 0, f"its segment {log} is missing")
    return log


def _batch_at(log: str, position: int) -> Batch | None:
    try:
        return next(iter(read_batches(log, start=position)), None)
    except CorruptFileError:
        return None


def _dump_producers(name: str) -> None:
    try:
        entries = producer_snapshot(name)
    except CorruptFileError as error:
        print(error, file=sys.stderr)
        return
    for entry in entries:
        start = entry["currentTxnFirstOffset"]
        line = (
            f"producerId: {entry['producerId']} producerEpoch: {entry['epoch']} "
            f"coordinatorEpoch: {entry['coordinatorEpoch']} "
            f"currentTxnFirstOffset: {_optional(None if start < 0 else start)} "
            f"lastTimestamp: {entry['timestamp']}"
        )
        if entry["lastOffset"] >= 0:
            last, delta = entry["lastSequence"], entry["offsetDelta"]
            line += (
                f" firstSequence: {(last - delta) & 0x7FFF_FFFF} lastSequence: {last} "
                f"lastOffset: {entry['lastOffset']} offsetDelta: {delta} "
                f"timestamp: {entry['timestamp']}"
            )
        print(line)
