"""A raw-wire client, as thin as it can be, so that what is measured is the broker.

Requests are in versions that Apache Kafka 4.3 and pabal both serve and that are easy to spell: none
of them is flexible.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass
from functools import lru_cache

PRODUCE, FETCH, METADATA, CREATE_TOPICS = 0, 1, 3, 19


@lru_cache(maxsize=1)
def _crc32c_table() -> list[int]:
    table = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


def crc32c(data: bytes) -> int:
    """The checksum of record batches; slow, for frames that are built once."""
    table = _crc32c_table()
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def varint(value: int) -> bytes:
    """``value`` as a zig-zag varint."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record_batch(record_count: int, value: bytes, timestamp_ms: int | None = None) -> bytes:
    """One uncompressed batch of equal records without keys."""
    timestamp = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
    records = bytearray()
    for index in range(record_count):
        body = b"\0" + varint(0) + varint(index) + varint(-1) + varint(len(value)) + value + b"\0"
        records += varint(len(body)) + body
    tail = (
        struct.pack(
            ">hiqqqhii", 0, record_count - 1, timestamp, timestamp, -1, -1, -1, record_count
        )
        + records
    )
    return struct.pack(">qiibI", 0, 9 + len(tail), -1, 2, crc32c(tail)) + tail


def text(value: str | None) -> bytes:
    """A string of the classic encoding."""
    if value is None:
        return struct.pack(">h", -1)
    encoded = value.encode()
    return struct.pack(">h", len(encoded)) + encoded


def produce_body(topic: str, partition: int, batch: bytes, acks: int) -> bytes:
    """Body of Produce version 7."""
    return (
        text(None)
        + struct.pack(">hii", acks, 30_000, 1)
        + text(topic)
        + struct.pack(">iii", 1, partition, len(batch))
        + batch
    )


def fetch_body(topic: str, partition: int, offset: int, max_bytes: int, max_wait_ms: int) -> bytes:
    """Body of Fetch version 10, without a session."""
    return (
        struct.pack(">iiiibii", -1, max_wait_ms, 1, max_bytes, 0, 0, -1)
        + struct.pack(">i", 1)
        + text(topic)
        + struct.pack(">iiiqqi", 1, partition, -1, offset, -1, max_bytes)
        + struct.pack(">i", 0)
    )


@dataclass(frozen=True)
class Fetched:
    """What one Fetch brought."""

    error: int
    high_watermark: int
    size_bytes: int
    next_offset: int


@dataclass(frozen=True)
class PartitionState:
    """What metadata says of one partition."""

    index: int
    leader: int  # -1: none.
    in_sync_count: int


class Connection:
    """One connection to a broker.

    Raises
    ------
    ConnectionError
        When the broker closes it.
    """

    def __init__(self, port: int, *, timeout: float = 60.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._correlation = 0

    def send(self, api: int, version: int, body: bytes) -> None:
        """Send a request without reading its reply."""
        self._socket.sendall(self.frame(api, version, body))

    def frame(self, api: int, version: int, body: bytes) -> bytes:
        """The whole frame of a request."""
        self._correlation += 1
        header = struct.pack(">hhi", api, version, self._correlation) + text("benchmark")
        return struct.pack(">i", len(header) + len(body)) + header + body

    def send_frame(self, frame: bytes | memoryview) -> None:
        """Send a frame that was built before."""
        self._socket.sendall(frame)

    def receive(self) -> memoryview:
        """The next reply's body."""
        (size,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(size)[4:]

    def request(self, api: int, version: int, body: bytes) -> memoryview:
        """Send a request and read its reply."""
        self.send(api, version, body)
        return self.receive()

    def _exactly(self, count: int) -> memoryview:
        buffer = bytearray(count)
        view = memoryview(buffer)
        position = 0
        while position < count:
            received = self._socket.recv_into(view[position:])
            if received == 0:
                raise ConnectionError("the broker closed the connection")
            position += received
        return view

    def create_topic(
        self,
        name: str,
        partitions: int,
        config: dict[str, str] | None = None,
        replicas: int = 1,
    ) -> int:
        """Create a topic (version 4); the error code is returned."""
        entries = (config or {}).items()
        body = (
            struct.pack(">i", 1)
            + text(name)
            + struct.pack(">ihi", partitions, replicas, 0)
            + struct.pack(">i", len(entries))
            + b"".join(text(key) + text(value) for key, value in entries)
            + struct.pack(">ib", 60_000, 0)
        )
        reply = self.request(CREATE_TOPICS, 4, body)
        position = 8
        (length,) = struct.unpack_from(">h", reply, position)
        return int(struct.unpack_from(">h", reply, position + 2 + length)[0])

    def produce(self, topic: str, partition: int, batch: bytes, acks: int = -1) -> int:
        """Produce one batch; the error code is returned."""
        return self.produce_error(
            self.request(PRODUCE, 7, produce_body(topic, partition, batch, acks))
        )

    @staticmethod
    def produce_error(reply: memoryview) -> int:
        """The error code in a reply of Produce version 7 with one partition."""
        (length,) = struct.unpack_from(">h", reply, 4)
        return int(struct.unpack_from(">h", reply, 4 + 2 + length + 8)[0])

    def fetch(
        self, topic: str, partition: int, offset: int, max_bytes: int, max_wait_ms: int = 500
    ) -> Fetched:
        """Fetch from one partition (version 10)."""
        reply = self.request(
            FETCH, 10, fetch_body(topic, partition, offset, max_bytes, max_wait_ms)
        )
        position = 4 + 2 + 4 + 4
        (length,) = struct.unpack_from(">h", reply, position)
        position += 2 + length + 4
        error, high_watermark = struct.unpack_from(">4xhq", reply, position)
        (aborted,) = struct.unpack_from(">i", reply, position + 4 + 2 + 8 + 8 + 8)
        position += 4 + 2 + 8 + 8 + 8 + 4 + max(0, aborted) * 16
        (size,) = struct.unpack_from(">i", reply, position)
        records = reply[position + 4 :]
        return Fetched(error, high_watermark, max(0, size), _next_offset(records, offset))

    def partitions(self, topic: str) -> list[PartitionState]:
        """Who leads each partition (Metadata version 1); empty if the topic is not known."""
        reply = self.request(METADATA, 1, struct.pack(">i", 1) + text(topic))
        (brokers,) = struct.unpack_from(">i", reply, 0)
        position = 4
        for _ in range(brokers):
            (host,) = struct.unpack_from(">h", reply, position + 4)
            position += 4 + 2 + host + 4
            (rack,) = struct.unpack_from(">h", reply, position)
            position += 2 + max(0, rack)
        position += 4 + 4
        (error, name) = struct.unpack_from(">hh", reply, position)
        position += 4 + name + 1
        (count,) = struct.unpack_from(">i", reply, position)
        if error:
            return []
        position += 4
        states = []
        for _ in range(count):
            error, index, leader, replicas = struct.unpack_from(">hiii", reply, position)
            position += 14 + 4 * replicas
            (in_sync,) = struct.unpack_from(">i", reply, position)
            position += 4 + 4 * in_sync
            states.append(PartitionState(index, -1 if error else leader, in_sync))
        return states

    def has_leaders(self, topic: str, partitions: int) -> bool:
        """Whether every partition of the topic has a leader."""
        states = self.partitions(topic)
        return len(states) >= partitions and all(state.leader >= 0 for state in states)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _next_offset(records: memoryview, offset: int) -> int:
    """The offset behind the last whole batch."""
    position = 0
    while position + 61 <= len(records):
        base, length = struct.unpack_from(">qi", records, position)
        if position + 12 + length > len(records):
            break
        (last_delta,) = struct.unpack_from(">i", records, position + 23)
        offset = base + last_delta + 1
        position += 12 + length
    return offset
