"""The files that a broker keeps, pabal's or Kafka's: batches and records, indexes, snapshots.

They are read where they lie, without a broker; also those of a broker that runs, as far as it has
written. What is damaged raises `CorruptFileError`, which says in which file and where in it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from pabal import _core
from pabal.errors import PabalError
from pabal.record_codec import Cursor, Malformed, decode
from pabal.record_layouts import DATA

__all__ = [
    "AbortedTransaction",
    "Batch",
    "CorruptFileError",
    "StoredRecord",
    "offset_index",
    "producer_snapshot",
    "read_batches",
    "time_index",
    "transaction_index",
]

FilePath = str | os.PathLike[str]

_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_HEAD = struct.Struct(">qi")  # Base offset, and the length of what follows.
_BATCH = struct.Struct(">iBIhiqqqhii")
_BEFORE_MAGIC = 17
_LEAST = 14  # Of what any format has behind the length.
_OVERHEAD = _HEAD.size + _BATCH.size
_CHECKED_FROM = 21
_LIMIT = 1 << 30  # What one batch may inflate to.
_CONTROLS = (
    "ABORT",
    "COMMIT",
    "LEADER_CHANGE",
    "SNAPSHOT_HEADER",
    "SNAPSHOT_FOOTER",
    "KRAFT_VERSION",
    "KRAFT_VOTERS",
)
_CONTROL_LAYOUTS = {
    "LEADER_CHANGE": "LeaderChangeMessage",
    "SNAPSHOT_HEADER": "SnapshotHeaderRecord",
    "SNAPSHOT_FOOTER": "SnapshotFooterRecord",
    "KRAFT_VERSION": "KRaftVersionRecord",
    "KRAFT_VOTERS": "VotersRecord",
}


class CorruptFileError(PabalError):
    """A file is not what it should be.

    Attributes
    ----------
    path : str
        The file.
    position : int
        Where in it, in bytes.
    reason : str
        What is wrong there.

    Examples
    --------
    >>> print(CorruptFileError("orders-0/00000000000000000000.log", 412, "the batch is cut off"))
    orders-0/00000000000000000000.log: at byte 412: the batch is cut off
    """

    def __init__(self, path: FilePath, position: int, reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: at byte {position}: {reason}")
        self.path = os.fspath(path)
        self.position = position
        self.reason = reason


class StoredRecord(NamedTuple):
    """A record as it stands in a log.

    Attributes
    ----------
    offset, timestamp : int
        The timestamp is in milliseconds of the epoch.
    key, value : bytes or None
    headers : tuple of (str, bytes or None)
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class Batch:
    """A batch of records as it stands in a log.

    Attributes
    ----------
    path : str
        The file that it was read from.
    position, size : int
        Where it stands, and how long it is, in bytes.
    base_offset, last_offset : int
        Of its first record and its last one. Compaction may have taken records away.
    count : int
        How many records there are.
    leader_epoch : int
        Of the leader that appended it.
    codec : str
        ``"none"``, ``"gzip"``, ``"snappy"``, ``"lz4"`` or ``"zstd"``.
    log_append_time : bool
        Whether the timestamps are the broker's, not the producer's.
    transactional, control : bool
        Control records are written by brokers: the ends of transactions, and the quorum's own.
    delete_horizon : int or None
        When compaction may drop the tombstones that it left here.
    base_timestamp, max_timestamp : int
        Milliseconds of the epoch.
    producer_id, producer_epoch, base_sequence : int
        -1 without idempotence.
    magic : int
        The format; 2 is the one that is written since 2017. Of older ones the records are not read.
    crc : int
        The checksum that stands there.
    valid : bool
        Whether that is the checksum of the content.
    """

    path: str
    position: int
    size: int
    base_offset: int
    last_offset: int
    count: int
    leader_epoch: int
    codec: str
    log_append_time: bool
    transactional: bool
    control: bool
    delete_horizon: int | None
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    magic: int
    crc: int
    valid: bool
    content: bytes = field(repr=False)

    def sequence_of(self, offset: int) -> int:
        """The sequence number of a record of an idempotent producer; else -1.

        Examples
        --------
        >>> batch = next(read_batches(_example_log()))
        >>> batch.sequence_of(batch.last_offset)
        -1
        """
        if self.base_sequence < 0:
            return -1
        # Numbers begin again at 0 behind the greatest one.
        return (self.base_sequence + offset - self.base_offset) & 0x7FFF_FFFF

    def records(self) -> Iterator[StoredRecord]:
        """The records, inflated if need be.

        Raises
        ------
        CorruptFileError
            If they cannot be read.

        Examples
        --------
        >>> batch = next(read_batches(_example_log()))
        >>> [record.value for record in batch.records()]
        [b'hello', b'world']
        """
        if self.magic != 2:
            raise self._broken(f"batches of format {self.magic} are not read, only of 2")
        if self.codec not in _CODECS:
            raise self._broken("no such codec")
        content = self.content
        if self.codec != "none":
            try:
                content = _core.inflate(_CODECS.index(self.codec), content, _LIMIT)
            except ValueError as error:
                raise self._broken(f"the records do not inflate: {error}") from error
        cursor = Cursor(content)
        try:
            for _ in range(self.count):
                yield self._record(cursor)
            if cursor.remaining():
                raise Malformed(f"{cursor.remaining()} bytes stand behind the last record")
        except Malformed as error:
            where = f"byte {cursor.at} of the{'' if self.codec == 'none' else ' inflated'} records"
            raise self._broken(f"{where}: {error}") from error

    def _record(self, cursor: Cursor) -> StoredRecord:
        length = cursor.varint()
        end = cursor.at + length
        if length < 0 or length > cursor.remaining():
            raise Malformed(f"a record claims {length} bytes, {cursor.remaining()} remain")
        cursor.take(1)
        timestamp = self.base_timestamp + cursor.varint()
        offset = self.base_offset + cursor.varint()
        key = cursor.optional_bytes(cursor.varint())
        value = cursor.optional_bytes(cursor.varint())
        headers = []
        for _ in range(cursor.count(cursor.varint(), 2)):
            name = cursor.take(cursor.varint()).decode(errors="replace")
            headers.append((name, cursor.optional_bytes(cursor.varint())))
        if cursor.at != end:
            raise Malformed(f"a record of {length} bytes takes {cursor.at - end + length}")
        if self.log_append_time:
            timestamp = self.max_timestamp
        return StoredRecord(offset, timestamp, key, value, tuple(headers))

    def control_of(self, record: StoredRecord) -> tuple[str, dict[str, Any]]:
        """What a control record says: its type and its fields.

        Raises
        ------
        CorruptFileError
            If it cannot be read.

        Examples
        --------
        >>> marker = StoredRecord(2, 0, bytes([0, 0, 0, 1]), bytes([0, 0, 0, 0, 0, 7]), ())
        >>> next(read_batches(_example_log())).control_of(marker)
        ('COMMIT', {'coordinatorEpoch': 7})
        """
        try:
            version, kind = struct.unpack(">hh", (record.key or b"")[:4])
            if not 0 <= kind < len(_CONTROLS):
                return f"UNKNOWN({kind})", {}
            value = record.value or b""
            (version,) = struct.unpack(">h", value[:2])
            if kind < 2:
                return _CONTROLS[kind], decode(DATA["EndTxnMarker"], 0, Cursor(value, 2))
            layout = DATA[_CONTROL_LAYOUTS[_CONTROLS[kind]]]
            return _CONTROLS[kind], decode(layout, min(max(version, 0), layout.high), Cursor(value))
        except (Malformed, struct.error) as error:
            raise self._broken(
                f"the control record at offset {record.offset} cannot be read: {error}"
            ) from error

    def _broken(self, reason: str) -> CorruptFileError:
        offsets = f"{self.base_offset} to {self.last_offset}"
        return CorruptFileError(self.path, self.position, f"batch of offsets {offsets}: {reason}")


class AbortedTransaction(NamedTuple):
    """An entry of a transaction index.

    Attributes
    ----------
    version, producer_id, first_offset, last_offset, last_stable_offset : int
    """

    version: int
    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


def read_batches(path: FilePath, *, start: int = 0, limit: int | None = None) -> Iterator[Batch]:
    """The batches of a segment (``.log``) or a metadata snapshot (``.checkpoint``).

    Parameters
    ----------
    path : str or path-like
        The file.
    start : int
        Where to begin, in bytes; a batch must begin there.
    limit : int, optional
        How many bytes of the file are read at most.

    Yields
    ------
    Batch
        One after the other; a wrong checksum is told by `Batch.valid`.

    Raises
    ------
    CorruptFileError
        Where no whole batch stands, once those before it were given.

    Examples
    --------
    >>> for batch in read_batches(_example_log()):
    ...     print(batch.base_offset, batch.count, batch.codec, batch.valid)
    0 2 none True
    """
    name = os.fspath(path)
    with open(name, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        if limit is not None:
            end = min(end, start + limit)
        at = start
        file.seek(at)
        while end - at >= _BEFORE_MAGIC + 1:
            batch = _batch(name, file, at, end)
            if batch is None:
                break
            yield batch
            at += batch.size
        if at < end and limit is None:
            raise CorruptFileError(name, at, f"the last {end - at} bytes are no whole batch")


def _batch(name: str, file: IO[bytes], at: int, end: int) -> Batch | None:
    """The batch at `at`; none if the file ends within it."""
    head = file.read(_HEAD.size)
    base_offset, length = _HEAD.unpack(head)
    if length < _LEAST:
        raise CorruptFileError(name, at, f"a batch of {length} bytes is none")
    if length > end - at - _HEAD.size:
        return None
    body = file.read(length)
    magic = body[4]
    if magic != 2:
        return Batch(
            path=name,
            position=at,
            size=_HEAD.size + length,
            base_offset=base_offset,
            last_offset=base_offset,
            count=-1,
            leader_epoch=-1,
            codec="none",
            log_append_time=False,
            transactional=False,
            control=False,
            delete_horizon=None,
            base_timestamp=-1,
            max_timestamp=-1,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=-1,
            magic=magic,
            crc=0,
            valid=magic < 2,
            content=b"",
        )
    if length < _BATCH.size:
        raise CorruptFileError(name, at, f"a batch of {length} bytes is cut off in its header")
    epoch, _, crc, attributes, delta, base, most, producer, producer_epoch, sequence, count = (
        _BATCH.unpack_from(body)
    )
    codec = attributes & 7
    return Batch(
        path=name,
        position=at,
        size=_HEAD.size + length,
        base_offset=base_offset,
        last_offset=base_offset + delta,
        count=count,
        leader_epoch=epoch,
        codec=_CODECS[codec] if codec < len(_CODECS) else f"codec {codec}",
        log_append_time=bool(attributes & 8),
        transactional=bool(attributes & 16),
        control=bool(attributes & 32),
        delete_horizon=base if attributes & 64 else None,
        base_timestamp=base,
        max_timestamp=most,
        producer_id=producer,
        producer_epoch=producer_epoch,
        base_sequence=sequence,
        magic=magic,
        crc=crc,
        valid=_core.crc32c(body[_CHECKED_FROM - _HEAD.size :]) == crc,
        content=body[_BATCH.size :],
    )


def offset_index(path: FilePath) -> Iterator[tuple[int, int]]:
    """The entries of an ``.index``: offsets, and where in the segment their batches stand.

    Raises
    ------
    CorruptFileError
        Behind the entries, if the file ends within one.

    Examples
    --------
    >>> list(offset_index(_example("00000000000000000000.index", bytes(4 * [0, 0, 0, 9]))))
    [(9, 9), (9, 9)]
    """
    base = _base_offset(path)
    for number, (relative, position) in enumerate(_entries(path, ">ii")):
        # A broker writes files of full length first; what is not written yet is zero.
        if relative == 0 and number > 0:
            return
        yield base + relative, position


def time_index(path: FilePath) -> Iterator[tuple[int, int]]:
    """The entries of a ``.timeindex``: timestamps, and the offsets that have them.

    Raises
    ------
    CorruptFileError
        Behind the entries, if the file ends within one.

    Examples
    --------
    >>> list(time_index(_example("00000000000000000003.timeindex", bytes(11 * [0]) + b"\\x05")))
    [(0, 8)]
    """
    base = _base_offset(path)
    for number, (timestamp, relative) in enumerate(_entries(path, ">qi")):
        if relative == 0 and number > 0:
            return
        yield timestamp, base + relative


def transaction_index(path: FilePath) -> Iterator[AbortedTransaction]:
    """The entries of a ``.txnindex``: the transactions that were aborted.

    Raises
    ------
    CorruptFileError
        Behind the entries, if the file ends within one.

    Examples
    --------
    >>> list(transaction_index(_example("00000000000000000000.txnindex", b"")))
    []
    """
    for entry in _entries(path, ">hqqqq"):
        yield AbortedTransaction(*entry)


def producer_snapshot(path: FilePath) -> Sequence[dict[str, Any]]:
    """The producers that a ``.snapshot`` of a partition knows.

    Raises
    ------
    CorruptFileError
        If it is damaged.

    Examples
    --------
    >>> producer_snapshot(_example("00000000000000000005.snapshot", b"\\0\\1"))
    Traceback (most recent call last):
      ...
    pabal.data_files.CorruptFileError: ...snapshot: at byte 2: ...
    """
    with open(os.fspath(path), "rb") as file:
        content = file.read()
    cursor = Cursor(content)
    try:
        version = cursor.number(">h")
        if version != 1:
            raise Malformed(f"snapshots of version {version} are not read, only of 1")
        snapshot = decode(DATA["ProducerSnapshot"], version, cursor)
        if cursor.remaining():
            raise Malformed(f"{cursor.remaining()} bytes stand behind the last producer")
        found = _core.crc32c(content[6:])
        if found != snapshot["crc"]:
            raise Malformed(f"the checksum is {snapshot['crc']}, that of the content {found}")
    except Malformed as error:
        raise CorruptFileError(path, cursor.at, str(error)) from error
    entries: list[dict[str, Any]] = snapshot["producerEntries"]
    return entries


def _base_offset(path: FilePath) -> int:
    stem = os.path.basename(os.fspath(path)).split(".")[0]
    if not stem.isdigit():
        raise CorruptFileError(path, 0, "the name of an index begins with an offset")
    return int(stem)


def _entries(path: FilePath, form: str) -> Iterator[tuple[int, ...]]:
    entry = struct.Struct(form)
    with open(os.fspath(path), "rb") as file:
        at = 0
        while len(words := file.read(entry.size)) == entry.size:
            yield entry.unpack(words)
            at += entry.size
    if words:
        raise CorruptFileError(path, at, f"an entry of {entry.size} bytes is cut off")


def _example(name: str, content: bytes) -> str:
    """A file for the examples above."""
    import tempfile

    path = os.path.join(tempfile.mkdtemp(prefix="pabal-example-"), name)
    with open(path, "wb") as file:
        file.write(content)
    return path


def _example_log() -> str:
    body = struct.pack(">hiqqqhii", 0, 1, 1000, 1001, -1, -1, -1, 2)
    body += b"\x16\0\0\0\x01\x0ahello\0" + b"\x16\0\x02\x02\x01\x0aworld\0"
    head = struct.pack(">qiiBI", 0, len(body) + 9, 0, 2, _core.crc32c(body))
    return _example("00000000000000000000.log", head + body)
