"""``pabal dump``: what stands in the files of a broker, read where they lie."""

from __future__ import annotations

import json
import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
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
from pabal.internal_records import DECODERS, Decoded, decoder_of, plain, type_name
from pabal.piping import _json as json_of_bytes
from pabal.record_codec import Malformed
from pabal.terminal import coloured

__all__ = ["documents", "dump"]

_CHECKPOINTS = {
    "leader-epoch-checkpoint": ("leader_epoch", "start_offset"),
    "replication-offset-checkpoint": ("topic", "partition", "offset"),
    "recovery-point-offset-checkpoint": ("topic", "partition", "offset"),
    "log-start-offset-checkpoint": ("topic", "partition", "offset"),
    "cleaner-offset-checkpoint": ("topic", "partition", "offset"),
}
_PROPERTIES = ("meta.properties", "partition.metadata")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")

Document = dict[str, Any]


def dump(options: Namespace) -> int:
    """Print what stands in files; 1 is returned if one of them is damaged."""
    status = 0
    for path in _files(options.files):
        if not options.json:
            print(coloured(str(path), "bold"))
        try:
            for document in documents(path, batches=options.batches, decoder=options.decoder):
                if options.json:
                    print(json.dumps({"file": str(path), **document}, ensure_ascii=False))
                else:
                    _print(document)
                if document.get("valid") is False:
                    status = 1
        except CorruptFileError as error:
            sys.stdout.flush()
            print(f"{coloured('pabal:', 'red', sys.stderr)} {error}", file=sys.stderr)
            status = 1
    return status


def documents(path: Path, *, batches: bool = False, decoder: str = "auto") -> Iterator[Document]:
    """What stands in a file, piece by piece, as ``pabal dump --json`` prints it.

    Parameters
    ----------
    path : Path
        A file of a broker: a segment, an index, a snapshot, a checkpoint.
    batches : bool
        Whether batches are told without their records.
    decoder : str
        What the records say: ``"offsets"``, ``"transactions"``, ``"metadata"``, ``"share-state"``
        for those of the internal topics, ``"none"`` for others, ``"auto"`` as the directory's name
        says.

    Examples
    --------
    >>> from pabal.data_files import _example_log
    >>> for document in documents(Path(_example_log())):
    ...     print(document["base_offset"], [one["value"] for one in document["records"]])
    0 ['hello', 'world']
    """
    name = path.name
    if name.endswith((".log", ".checkpoint")):
        if decoder == "auto":
            chosen = decoder_of(path.absolute().parent.name, name)
        else:
            chosen = None if decoder == "none" else decoder
        for batch in read_batches(path):
            yield _batch(batch, chosen, batches=batches)
    elif name.endswith(".index"):
        for offset, position in offset_index(path):
            yield {"kind": "offset", "offset": offset, "position": position}
    elif name.endswith(".timeindex"):
        for timestamp, offset in time_index(path):
            yield {"kind": "time", "timestamp": timestamp, "offset": offset}
    elif name.endswith(".txnindex"):
        for entry in transaction_index(path):
            yield {"kind": "aborted", **entry._asdict()}
    elif name.endswith(".snapshot"):
        for producer in producer_snapshot(path):
            yield {"kind": "producer", **{_snake(key): value for key, value in producer.items()}}
    elif name in _CHECKPOINTS:
        yield from _checkpoint(path, _CHECKPOINTS[name])
    elif name in _PROPERTIES:
        yield {"kind": "properties", "properties": dict(_properties(path))}
    elif name == "quorum-state":
        yield {"kind": "quorum", "state": _quorum_state(path)}
    else:
        raise PabalError(
            f"{path}: pabal dump reads .log, .index, .timeindex, .txnindex, .snapshot and "
            f".checkpoint files, {', '.join([*_CHECKPOINTS, *_PROPERTIES])} and quorum-state"
        )


def _files(names: list[str]) -> Iterator[Path]:
    """The files that are meant; of a directory all that can be read."""
    for name in names:
        path = Path(name)
        if not path.is_dir():
            yield path
            continue
        found = [one for one in sorted(path.rglob("*")) if one.is_file() and _known(one.name)]
        if not found:
            raise PabalError(f"no file of a broker lies in {path}")
        yield from found


def _known(name: str) -> bool:
    suffixes = (".log", ".index", ".timeindex", ".txnindex", ".snapshot", ".checkpoint")
    return (
        (name[:20].isdigit() and name.endswith(suffixes))
        or name == "bootstrap.checkpoint"
        or name in _CHECKPOINTS
        or name in _PROPERTIES
        or name == "quorum-state"
    )


def _snake(name: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", name).lower()


def _batch(batch: Batch, decoder: str | None, *, batches: bool) -> Document:
    document: Document = {
        "kind": "batch",
        "position": batch.position,
        "bytes": batch.size,
        "base_offset": batch.base_offset,
        "last_offset": batch.last_offset,
        "count": batch.count,
        "leader_epoch": batch.leader_epoch,
        "timestamp_type": "LogAppendTime" if batch.log_append_time else "CreateTime",
        "max_timestamp": batch.max_timestamp,
        "codec": batch.codec,
        "producer_id": batch.producer_id,
        "producer_epoch": batch.producer_epoch,
        "base_sequence": batch.base_sequence,
        "transactional": batch.transactional,
        "control": batch.control,
        "delete_horizon": batch.delete_horizon,
        "magic": batch.magic,
        "crc": batch.crc,
        "valid": batch.valid,
    }
    if not batches:
        document["records"] = [_record(batch, record, decoder) for record in batch.records()]
    return document


def _record(batch: Batch, record: StoredRecord, decoder: str | None) -> Document:
    document: Document = {"offset": record.offset, "timestamp": record.timestamp}
    if batch.control:
        kind, fields = batch.control_of(record)
        return {**document, "control": kind, "data": plain(fields)}
    if decoder is not None:
        try:
            decoded = DECODERS[decoder](record)
        except Malformed as error:
            document["error"] = f"it is none of {decoder}: {error}"
        else:
            return {**document, **_decoded(decoder, decoded)}
    document["key"] = json_of_bytes(record.key)
    document["value"] = json_of_bytes(record.value)
    document["headers"] = [[name, json_of_bytes(value)] for name, value in record.headers]
    return document


def _decoded(decoder: str, decoded: Decoded) -> Document:
    said: Document = {"type": type_name(decoder, decoded.type), "version": decoded.version}
    if decoded.key is not None:
        said["key"] = plain(decoded.key)
    said["value"] = plain(decoded.value)
    return said


def _checkpoint(path: Path, names: tuple[str, ...]) -> Iterator[Document]:
    """Kafka's text files of numbers: a version, a count, and so many lines."""
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.splitlines()
    if len(lines) < 2 or lines[0] != "0" or not lines[1].isdigit():
        raise CorruptFileError(path, 0, "it begins with a version, 0, and the count of its lines")
    if len(lines) - 2 != int(lines[1]):
        raise CorruptFileError(path, len(lines[0]) + 1, f"it says {lines[1]} lines, not the truth")
    at = len(lines[0]) + len(lines[1]) + 2
    for line in lines[2:]:
        words = line.split(" ")
        if len(words) != len(names) or not all(
            word.removeprefix("-").isdigit()
            for word, name in zip(words, names, strict=True)
            if name != "topic"
        ):
            raise CorruptFileError(path, at, f'"{line}" is not {", ".join(names)}')
        values = {
            name: word if name == "topic" else int(word)
            for name, word in zip(names, words, strict=True)
        }
        yield {"kind": "checkpoint", **values}
        at += len(line.encode()) + 1


def _properties(path: Path) -> Iterator[tuple[str, str]]:
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            # partition.metadata has a colon between name and value.
            name, _, value = line.partition("=" if "=" in line else ":")
            yield name.strip(), value.strip()


def _quorum_state(path: Path) -> object:
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise CorruptFileError(path, error.pos, f"it is not JSON: {error.msg}") from error


def _print(document: Document) -> None:
    kind = document["kind"]
    if kind == "batch":
        _print_batch(document)
    elif kind == "properties":
        for name, value in document["properties"].items():
            print(f"  {name}={value}")
    elif kind == "quorum":
        print(f"  {json.dumps(document['state'], ensure_ascii=False)}")
    else:
        words = []
        for name, value in document.items():
            if name != "kind":
                shown = _moment(value) if name == "timestamp" else value
                words.append(f"{name.replace('_', ' ')} {shown}")
        print(f"  {', '.join(words)}")


def _print_batch(batch: Document) -> None:
    words = [
        f"offsets {batch['base_offset']}–{batch['last_offset']}",
        f"{batch['count']} record{'' if batch['count'] == 1 else 's'}",
        f"{batch['bytes']} bytes at {batch['position']}",
        f"leader epoch {batch['leader_epoch']}",
    ]
    if batch["codec"] != "none":
        words.append(batch["codec"])
    if batch["producer_id"] >= 0:
        sequence = "" if batch["base_sequence"] < 0 else f" from number {batch['base_sequence']}"
        words.append(f"producer {batch['producer_id']}:{batch['producer_epoch']}{sequence}")
    words += [word for word in ("transactional", "control") if batch[word]]
    print(f"  {coloured(', '.join(words), 'dim')}", end="")
    print("" if batch["valid"] else f"  {coloured('THE CHECKSUM IS WRONG', 'red')}")
    for record in batch.get("records", ()):
        print(f"    {record['offset']}  {_moment(record['timestamp'])}  {_said(record)}")


def _said(record: Document) -> str:
    if "control" in record:
        return f"{record['control']} {_line(record['data'])}"
    if "type" in record:
        words = [record["type"]]
        words += [_line(record["key"])] if "key" in record else []
        return " ".join([*words, "deleted" if record["value"] is None else _line(record["value"])])
    words = [f"({record['error']})"] if "error" in record else []
    if record["key"] is not None:
        words.append(f"{_shown(record['key'])}:")
    words.append("null" if record["value"] is None else _shown(record["value"]))
    words += [f"[{name}={_shown(value)}]" for name, value in record["headers"]]
    return " ".join(words)


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shown(value: object) -> str:
    """Text as it is; control characters, which a terminal would obey, by their numbers."""
    if not isinstance(value, str):
        return _line(value)
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", value)


def _moment(milliseconds: int) -> str:
    if milliseconds < 0:
        return "no time"
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
