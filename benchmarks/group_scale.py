"""Groups that are large or many: members in one group, commits a second, positions to load.

By raw wire, so that what is measured is the coordinator. *Members* join all at once, each on a
connection of its own, and do what clients do: give up at once what they are told to. *Commits* are
requests with one offset each. The positions that are *loaded* stand in one partition of
``__consumer_offsets``; the time is that from the first answer of the started broker to the answer
that has a position, by a clock that also runs in the broker before that.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.report import Report
from benchmarks.servers import Make, Server, makers
from benchmarks.wire import CREATE_TOPICS, Connection, text

OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR, CONSUMER_GROUP_HEARTBEAT = 8, 9, 10, 68
MEMBERS = 1_000
GROUPS, OFFSETS_OF_GROUP = 100_000, 10
CONNECTIONS, COMMITS_OF_CONNECTION = 100, 2_000
PATIENCE_SECONDS = 120.0


def create_topic(connection: Connection, name: str, partitions: int) -> None:
    body = struct.pack(">i", 1) + text(name) + struct.pack(">ihii", partitions, 1, 0, 0)
    connection.request(CREATE_TOPICS, 2, body + struct.pack(">ib", 30_000, 0))


def commit_body(group: str, topic: str, partitions: range, offset: int) -> bytes:
    """Body of OffsetCommit version 2, of nobody's."""
    body = text(group) + struct.pack(">i", -1) + text("") + struct.pack(">qi", -1, 1)
    body += text(topic) + struct.pack(">i", len(partitions))
    return body + b"".join(struct.pack(">iq", index, offset) + text("") for index in partitions)


def until_coordinated(connection: Connection, group: str) -> None:
    """Until the group's partition is served."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while position(connection, group, "none") is None:
        assert time.monotonic() < deadline
        connection.request(FIND_COORDINATOR, 1, text(group) + b"\0")
        time.sleep(0.01)


def position(connection: Connection, group: str, topic: str) -> int | None:
    """Where a group stands in partition 0; None while nobody can tell."""
    body = text(group) + struct.pack(">i", 1) + text(topic) + struct.pack(">ii", 1, 0)
    reply = connection.request(OFFSET_FETCH, 2, body)
    if struct.unpack(">h", reply[-2:])[0] != 0:
        return None
    at = 4 + 2 + len(topic) + 4 + 4
    offset: int
    (offset,) = struct.unpack(">q", reply[at : at + 8])
    return offset


def exchange(port: int, batches: list[bytes], replies_each: int) -> None:
    """Send each batch on a connection of its own; until all replies are there."""
    selector = selectors.DefaultSelector()
    left: dict[socket.socket, tuple[memoryview, int, bytes]] = {}
    for batch in batches:
        stream = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        stream.setblocking(False)
        left[stream] = (memoryview(batch), replies_each, b"")
        selector.register(stream, selectors.EVENT_READ | selectors.EVENT_WRITE)
    while left:
        for key, events in selector.select(PATIENCE_SECONDS):
            peer = key.fileobj
            assert isinstance(peer, socket.socket)
            to_send, replies, rest = left[peer]
            if events & selectors.EVENT_WRITE:
                with contextlib.suppress(BlockingIOError):
                    to_send = to_send[peer.send(to_send) :]
                if not to_send:
                    selector.modify(peer, selectors.EVENT_READ)
            if events & selectors.EVENT_READ:
                rest += peer.recv(1 << 16)
                size = 4 + struct.unpack(">i", rest[:4])[0]
                whole = len(rest) // size  # All replies are alike.
                replies -= whole
                rest = rest[whole * size :]
            left[peer] = (to_send, replies, rest)
            if replies == 0:
                selector.unregister(peer)
                peer.close()
                del left[peer]


def measure_commits(report: Report, server: Server) -> None:
    connection = Connection(server.port)
    topic = f"commits-{uuid.uuid4().hex[:8]}"
    create_topic(connection, topic, 1)
    until_coordinated(connection, "group-0")
    batches = [
        b"".join(
            [connection.frame(OFFSET_COMMIT, 2, commit_body(f"group-{index}", topic, range(1), 7))]
            * COMMITS_OF_CONNECTION
        )
        for index in range(CONNECTIONS)
    ]
    began = time.perf_counter()
    exchange(server.port, batches, COMMITS_OF_CONNECTION)
    taken = time.perf_counter() - began
    count = CONNECTIONS * COMMITS_OF_CONNECTION
    report.add("offset commits a second", server.name, count / taken, "≥ 100,000")
    connection.close()


def measure_load(report: Report, server: Server) -> None:
    connection = Connection(server.port)
    topic = f"load-{uuid.uuid4().hex[:8]}"
    create_topic(connection, topic, OFFSETS_OF_GROUP)
    until_coordinated(connection, "group-0")
    per_connection = GROUPS // CONNECTIONS
    batches = [
        b"".join(
            connection.frame(
                OFFSET_COMMIT,
                2,
                commit_body(
                    f"loaded-{first * per_connection + index}", topic, range(OFFSETS_OF_GROUP), 9
                ),
            )
            for index in range(per_connection)
        )
        for first in range(CONNECTIONS)
    ]
    exchange(server.port, batches, per_connection)
    connection.close()
    server.stop()
    server.start()
    began = time.perf_counter()
    connection = Connection(server.port)
    last = f"loaded-{GROUPS - 1}"
    while position(connection, last, topic) != 9:
        assert time.perf_counter() - began < PATIENCE_SECONDS
        time.sleep(0.002)
    report.add(
        "start to a position of 100,000 groups with 1,000,000 offsets, ms",
        server.name,
        (time.perf_counter() - began) * 1000,
        "≤ 1000",
    )
    connection.close()


# --- members


def varuint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def compact(value: str) -> bytes:
    return varuint(len(value.encode()) + 1) + value.encode()


@dataclass
class Member:
    """One client of the consumer group protocol, reduced to what it says to the coordinator."""

    id: str
    stream: socket.socket
    epoch: int = 0
    held: dict[bytes, list[int]] = field(default_factory=dict)
    waiting: bool = False
    buffered: bytes = b""

    def heartbeat(self, group: str, topic: str, *, acknowledges: bool) -> None:
        body = compact(group) + compact(self.id) + struct.pack(">i", self.epoch) + b"\0\0"
        joins = self.epoch == 0
        body += struct.pack(">i", 300_000 if joins else -1)
        body += b"\x02" + compact(topic) if joins else b"\0"
        body += b"\0"
        if joins:
            body += b"\x01"
        elif acknowledges:
            body += varuint(len(self.held) + 1)
            for topic_id, partitions in self.held.items():
                body += topic_id + varuint(len(partitions) + 1)
                body += b"".join(struct.pack(">i", each) for each in partitions) + b"\0"
        else:
            body += b"\0"
        header = struct.pack(">hhi", CONSUMER_GROUP_HEARTBEAT, 0, 1) + text("benchmark") + b"\0"
        frame = header + body + b"\0"
        self.stream.sendall(struct.pack(">i", len(frame)) + frame)
        self.waiting = True

    def heard(self, reply: memoryview) -> bool:
        """Whether it has something to acknowledge now."""
        error, at = struct.unpack(">h", reply[9:11])[0], 11
        assert error == 0, error
        at += 1 + max(reply[at] - 1, 0)
        at += reply[at]  # The member's id.
        epoch = struct.unpack(">i", reply[at : at + 4])[0]
        at += 8
        changed = bool(epoch != self.epoch)
        self.epoch = epoch
        self.waiting = False
        if reply[at] == 0xFF:
            return changed
        held: dict[bytes, list[int]] = {}
        count, at = reply[at + 1] - 1, at + 2
        for _ in range(count):
            topic_id, at = bytes(reply[at : at + 16]), at + 16
            size, shift = 0, 0
            while True:
                size |= (reply[at] & 0x7F) << shift
                shift, at = shift + 7, at + 1
                if reply[at - 1] < 0x80:
                    break
            held[topic_id] = list(struct.unpack(f">{size - 1}i", reply[at : at + 4 * (size - 1)]))
            at += 4 * (size - 1) + 1
        changed = changed or held != self.held
        self.held = held
        return changed


def frames(member: Member) -> Iterator[memoryview]:
    member.buffered += member.stream.recv(1 << 16)
    while len(member.buffered) >= 4:
        size = struct.unpack(">i", member.buffered[:4])[0]
        if len(member.buffered) < 4 + size:
            return
        yield memoryview(member.buffered[4 : 4 + size])
        member.buffered = member.buffered[4 + size :]


def measure_members(report: Report, server: Server) -> None:
    connection = Connection(server.port)
    topic, group = f"members-{uuid.uuid4().hex[:8]}", f"large-{uuid.uuid4().hex[:8]}"
    create_topic(connection, topic, MEMBERS)
    until_coordinated(connection, group)
    selector = selectors.DefaultSelector()
    members = [
        Member(str(uuid.uuid4()), socket.create_connection(("127.0.0.1", server.port), 60))
        for _ in range(MEMBERS)
    ]
    for member in members:
        selector.register(member.stream, selectors.EVENT_READ, member)
    began = time.perf_counter()
    for member in members:
        member.heartbeat(group, topic, acknowledges=False)
    beats: dict[str, float] = {}
    while True:
        for key, _ in selector.select(0.05):
            member = key.data
            for reply in frames(member):
                if member.heard(reply):
                    member.heartbeat(group, topic, acknowledges=True)
                beats[member.id] = time.perf_counter()
        owners = [each for member in members for parts in member.held.values() for each in parts]
        settled = len(owners) == MEMBERS and len({member.epoch for member in members}) == 1
        if settled and all(len(member.held) == 1 for member in members):
            break
        now = time.perf_counter()
        assert now - began < PATIENCE_SECONDS, f"{len(set(owners))} partitions assigned"
        for member in members:
            # Heartbeats go on, those without news four times an interval.
            if not member.waiting and now - beats[member.id] > 0.25:
                member.heartbeat(group, topic, acknowledges=False)
    assert len(set(owners)) == MEMBERS
    report.add(
        "1,000 members over 1,000 partitions to a stable assignment, ms",
        server.name,
        (time.perf_counter() - began) * 1000,
        "≤ 2000",
    )
    for member in members:
        member.stream.close()
    connection.close()


def server_run(report: Report, make: Make) -> None:
    server = make(
        {
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "max.connections.per.ip": "10000",
        }
    )
    try:
        measure_commits(report, server)
        measure_members(report, server)
        measure_load(report, server)
    finally:
        server.close()


def run(runs: int) -> None:
    """Print the table."""
    report = Report("Large groups, and many")
    for _ in range(runs):
        for make in makers():
            server_run(report, make)
    report.print()
