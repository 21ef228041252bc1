"""Bad input over raw sockets, at a broker in a process of its own: whatever one peer sends, or does
not, the others are served, nothing wrong is stored, and the broker's memory stays bounded."""

from __future__ import annotations

import gzip
import random
import re
import resource
import socket
import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from kio.schema.index import api_key_map

import pabal
from conformance.wire import Closed, Plain, Wire, crc32c, record_batch, varint

MIB = 1 << 20
NOW = 1_700_000_000_000
MAX_FRAME = 100 * MIB  # socket.request.max.bytes
MESSAGES = Path(__file__).parents[2] / "cpp" / "schema" / "messages"

PRODUCE, FETCH, API_VERSIONS = 0, 1, 18


class Server:
    """A broker in its own process, with one topic whose records are known."""

    def __init__(self, cluster: pabal.Cluster) -> None:
        self.port = int(cluster.bootstrap_servers.rpartition(":")[2])
        self._process = psutil.Process(cluster.broker(0).pid)
        cluster.create_topic("good")
        cluster.create_topic("target", config={"retention.ms": "-1"})
        with self.wire() as wire:
            produce(wire, "good", record_batch([b"one", b"two"], NOW))
        self.check()

    def wire(self) -> Wire:
        return Wire(self.port)

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30)

    @property
    def resident_bytes(self) -> int:
        return int(self._process.memory_info().rss)

    def check(self, limit: int = 128 * MIB) -> None:
        """It serves a new client, and its memory is within ``limit``."""
        with self.wire() as wire:
            assert values(fetch(wire, "good")) == [b"one", b"two"]
        assert self.resident_bytes < limit


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with pabal.Cluster(isolation="process", config={"node.id": 1}) as cluster:
        yield Server(cluster)


def produce(wire: Wire, topic: str, batch: bytes, version: int = 9) -> Plain:
    answer = wire.ask(
        "produce",
        version,
        acks=-1,
        timeout=10_000,
        topic_data=[{"name": topic, "partition_data": [{"index": 0, "records": batch}]}],
    )
    return answer["responses"][0]["partition_responses"][0]


def fetch(wire: Wire, topic: str, offset: int = 0, max_bytes: int = 10 * MIB) -> Plain:
    wanted = {"partition": 0, "fetch_offset": offset, "partition_max_bytes": max_bytes}
    answer = wire.ask(
        "fetch",
        11,
        replica_id=-1,
        max_wait=0,
        min_bytes=0,
        max_bytes=max_bytes,
        session_epoch=-1,
        topics=[
            {
                "topic": topic,
                "partitions": [wanted | {"current_leader_epoch": -1, "log_start_offset": -1}],
            }
        ],
    )
    return answer["responses"][0]["partitions"][0]


def values(answer: Plain) -> list[bytes]:
    """The values of all records of an answer to Fetch, whose checksums are right."""
    assert answer["error_code"] == "none", answer
    records, found = answer["records"] or b"", []
    while records:
        (size,) = struct.unpack(">i", records[8:12])
        batch, records = records[: 12 + size], records[12 + size :]
        assert struct.unpack(">I", batch[17:21])[0] == crc32c(batch[21:])
        (count,) = struct.unpack(">i", batch[57:61])
        position = 61
        for _ in range(count):
            length, position = read_varint(batch, position)
            end = position + length
            position += 1
            for _ in range(2):  # The deltas of timestamp and offset.
                _, position = read_varint(batch, position)
            size, position = read_varint(batch, position)
            position += max(size, 0)
            size, position = read_varint(batch, position)
            found.append(batch[position : position + max(size, 0)])
            position = end
    return found


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    number, shift = 0, 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number >> 1 ^ -(number & 1), position


def framed(content: bytes) -> bytes:
    return struct.pack(">i", len(content)) + content


def header(key: int, version: int, flexible: bool = False) -> bytes:
    return struct.pack(">hhih", key, version, 7, -1) + (b"\0" if flexible else b"")


def drained(connection: socket.socket) -> bytes:
    """Everything that comes until the broker closes the connection."""
    received = bytearray()
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionError:
        pass
    return bytes(received)


def said(server: Server, content: bytes) -> bytes:
    """What the broker says to these bytes, sent by a peer that sends nothing more."""
    with server.socket() as connection:
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It was closed at the first half.
        return drained(connection)


def schema() -> list[tuple[int, str, int, int, int]]:
    """Key, name, versions and first flexible version of each API that a broker serves."""
    found = []
    for path in sorted(MESSAGES.glob("[0-9]*_*.api")):
        line = re.search(
            r"^api (\d+) (\w+) +versions (\d+)(?:-(\d+))?(?: +flexible (\d+))?"
            r".*\bto (?:broker|both)",
            path.read_text(),
            re.MULTILINE,
        )
        if line:
            high = int(line[4] or line[3])
            found.append((int(line[1]), line[2], int(line[3]), high, int(line[5] or high + 1)))
    assert len(found) >= 20
    return found


# ---- frames


@pytest.mark.parametrize("length", [-1, -(2**31), MAX_FRAME + 1, 2**31 - 1])
def test_an_impossible_length_closes_the_connection(server: Server, length: int) -> None:
    with server.socket() as connection:
        connection.sendall(struct.pack(">i", length) + b"rest")
        assert drained(connection) == b""
    server.check()


def test_a_frame_without_a_whole_header_closes_the_connection(server: Server) -> None:
    for size in range(10):
        with server.socket() as connection:
            connection.sendall(framed(header(API_VERSIONS, 0)[:size]))
            assert drained(connection) == b""
    server.check()


def test_a_header_that_lies_about_its_client_id_closes_the_connection(server: Server) -> None:
    for length in (1, 100, 32767, -2, -32768):
        assert said(server, framed(struct.pack(">hhih", API_VERSIONS, 0, 1, length))) == b""
    server.check()


def test_unknown_apis_and_versions_close_the_connection(server: Server) -> None:
    served = {key: (low, high) for key, _, low, high, _ in schema()}
    for key in [*range(-2, 100), 1000, 32767, -32768]:
        for version in (-1, 0, 5, 20, 32767):
            low, high = served.get(key, (0, -1))
            if key == API_VERSIONS or low <= version <= high:
                continue
            answer = said(server, framed(header(key, version, True) + b"\0" * 20))
            assert answer == b"", (key, version)
    server.check()


def test_frames_that_never_end_take_no_memory(server: Server) -> None:
    claims = [server.socket() for _ in range(60)]
    for connection in claims:
        connection.sendall(struct.pack(">i", MAX_FRAME) + b"\0" * 1000)
    server.check()
    for connection in claims:
        connection.close()
    server.check()


def test_random_bytes(server: Server) -> None:
    chance = random.Random(1)
    for _ in range(500):
        said(server, chance.randbytes(chance.randrange(1, 2000)))
    server.check()


def test_random_frames(server: Server) -> None:
    chance = random.Random(2)
    for _ in range(500):
        said(server, framed(chance.randbytes(chance.randrange(1, 300))))
    server.check()


# ---- bodies

PATTERNS = (b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x0f", b"\x80")


@pytest.mark.parametrize("api", schema(), ids=lambda api: api[1])
def test_hostile_bodies(server: Server, api: tuple[int, str, int, int, int]) -> None:
    key, name, low, high, flexible = api
    chance = random.Random(key)
    bodies = [pattern * 40 for pattern in PATTERNS]
    bodies += [b"\0\0" + pattern * 40 for pattern in PATTERNS]
    bodies += [b"\0\x01" + pattern * 40 for pattern in PATTERNS]
    bodies += [chance.randbytes(chance.randrange(80)) for _ in range(10)]
    for version in range(low, high + 1):
        for body in bodies:
            said(server, framed(header(key, version, version >= flexible) + body))
    server.check()


def valid_requests() -> dict[str, dict[str, Plain]]:
    """One request of some length for each API that is often asked."""
    batch = record_batch([b"a", b"b"], NOW)
    none = uuid.UUID(int=5)
    return {
        "produce": {
            "acks": -1,
            "timeout": 100,
            "topic_data": [
                {
                    "name": "absent",
                    "topic_id": none,
                    "partition_data": [{"index": 0, "records": batch}],
                }
            ],
        },
        "fetch": {
            "replica_id": -1,
            "max_wait": 0,
            "topics": [
                {"topic": "good", "topic_id": none, "partitions": [{"partition": 0}]},
            ],
            "forgotten_topics_data": [{"topic": "good", "topic_id": none, "partitions": [1, 2]}],
        },
        "list_offsets": {
            "replica_id": -1,
            "topics": [{"name": "good", "partitions": [{"partition_index": 0, "timestamp": -1}]}],
        },
        "metadata": {"topics": [{"topic_id": none, "name": "good"}]},
        "create_topics": {
            "topics": [
                {
                    "name": "not valid",
                    "assignments": [{"partition_index": 0, "broker_ids": [1, 2]}],
                    "configs": [{"name": "retention.ms", "value": "1"}],
                }
            ]
        },
        "delete_topics": {
            "topics": [{"name": "absent", "topic_id": None}],
            "topic_names": ["absent"],
        },
        "describe_configs": {
            "resources": [
                {"resource_type": 2, "resource_name": "good", "configuration_keys": ["segment.ms"]}
            ]
        },
        "incremental_alter_configs": {
            "resources": [
                {
                    "resource_type": 2,
                    "resource_name": "absent",
                    "configs": [{"name": "segment.ms", "config_operation": 0, "value": "x"}],
                }
            ]
        },
        "api_versions": {"client_software_name": "name", "client_software_version": "1"},
        "describe_topic_partitions": {
            "topics": [{"name": "good"}],
            "cursor": {"topic_name": "good", "partition_index": 0},
        },
    }


class Recorder(Wire):
    """Keeps the frame that would be sent."""

    def __init__(self) -> None:
        self._correlation = 0

    def send_frame(self, content: bytes) -> None:
        self.content = content


def frame_of(api: str, version: int) -> bytes:
    recorder = Recorder()
    recorder.post(api, version, **valid_requests()[api])
    return recorder.content


def versions_of(api: str) -> tuple[int, int]:
    return next((low, high) for key, _, low, high, _ in schema() if api_key_map[key] == api)


@pytest.mark.parametrize("api", valid_requests())
def test_requests_cut_at_each_byte(server: Server, api: str) -> None:
    for version in sorted(set(versions_of(api))):
        content = frame_of(api, version)
        assert said(server, framed(content)) != b"", "whole it is answered"
        for size in range(len(content)):
            # A shorter frame is malformed, and a frame that ends early is no frame.
            assert said(server, framed(content[:size])) == b"", (version, size)
            assert said(server, framed(content)[: 4 + size]) == b"", (version, size)
    server.check()


@pytest.mark.parametrize("api", valid_requests())
def test_requests_with_a_wrong_byte(server: Server, api: str) -> None:
    chance = random.Random(api)
    for version in sorted(set(versions_of(api))):
        content = frame_of(api, version)
        for position in range(8, len(content)):
            wrong = bytearray(content)
            wrong[position] ^= chance.randrange(1, 256)
            said(server, framed(bytes(wrong)))
        for size in (1, 100, 10_000):
            said(server, framed(content + chance.randbytes(size)))
    server.check()


def unsigned_varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def test_requests_do_not_grow_in_memory(server: Server) -> None:
    """Structs of three bytes on the wire are larger in memory: so many are not decoded."""
    count = 3 * MIB
    tiny = unsigned_varint(count + 1) + b"\1\1\0" * count
    requests = {
        "groups": header(15, 5, True)
        + unsigned_varint(3 * count + 1)
        + b"\1" * 3 * count
        + b"\0\0",
        "produce": header(PRODUCE, 9, True) + b"\0" + struct.pack(">hi", 1, 100) + tiny + b"\0",
        "fetch": header(FETCH, 12, True)
        + struct.pack(">iiiibii", -1, 0, 0, 1000, 0, 0, -1)
        + tiny
        + b"\1\1\0",
        "metadata": header(3, 12, True)
        + unsigned_varint(count // 6 + 1)
        + (bytes(16) + b"\2a\0") * (count // 6)
        + b"\0\0\0",
    }
    before = server.resident_bytes
    for content in requests.values():
        said(server, framed(content))
        assert server.resident_bytes < before + 128 * MIB
    with server.wire() as wire:
        for count in (2**31 - 1, 10**6):
            answer = wire.ask(
                "create_topics",
                7,
                topics=[{"name": "vast", "num_partitions": count, "replication_factor": 1}],
                timeout=10_000,
            )
            assert answer["topics"][0]["error_code"] != "none"
            answer = wire.ask(
                "create_partitions", 3, topics=[{"name": "good", "count": count}], timeout=10_000
            )
            assert answer["results"][0]["error_code"] != "none"
    server.check(256 * MIB)


# ---- records


def test_a_batch_with_a_wrong_byte_is_refused_or_stored_unharmed(server: Server) -> None:
    chance = random.Random(3)
    batch = record_batch([b"value"] * 3, NOW)
    with server.wire() as wire:
        stored = len(values(fetch(wire, "target")))
        for position in range(len(batch)):
            wrong = bytearray(batch)
            wrong[position] ^= chance.randrange(1, 256)
            answer = produce(wire, "target", bytes(wrong))
            if answer["error_code"] == "none":
                stored += 3  # The leader epoch is outside of the checksum, and set by the broker.
                assert 12 <= position < 16
            else:
                assert answer["error_code"] in (
                    "corrupt_message",
                    "invalid_record",
                    "unsupported_for_message_format",
                    "transactional_id_authorization_failed",  # The bit that makes it transactional.
                ), answer
        assert values(fetch(wire, "target"))[-stored:] == [b"value"] * stored
    server.check()


def resealed(batch: bytes, position: int, content: bytes) -> bytes:
    """The batch with other bytes at ``position``, under a checksum that is right."""
    changed = batch[:position] + content + batch[position + len(content) :]
    return changed[:17] + struct.pack(">I", crc32c(changed[21:])) + changed[21:]


def test_a_batch_that_lies_under_a_right_checksum_is_refused(server: Server) -> None:
    batch = record_batch([b"value"] * 3, NOW)
    lies = {
        "too few counted": resealed(batch, 57, struct.pack(">i", 2)),
        "too many counted": resealed(batch, 57, struct.pack(">i", 4)),
        "very many counted": resealed(
            resealed(batch, 57, b"\x7f\xff\xff\xff"), 23, b"\x7f\xff\xff\xfe"
        ),
        "negative count": resealed(batch, 57, struct.pack(">i", -3)),
        "no records": resealed(batch, 57, struct.pack(">i", 0)),
        "last offset delta": resealed(batch, 23, struct.pack(">i", 7)),
        "record length": resealed(batch, 61, varint(10**6)),
        "negative record length": resealed(batch, 61, varint(-1)),
        "value length": resealed(batch, 66, varint(60)),
        "control": resealed(batch, 21, struct.pack(">h", 32)),
        "no such codec": resealed(batch, 21, struct.pack(">h", 7)),
        "not gzip": resealed(batch, 21, struct.pack(">h", 1)),
        "not snappy": resealed(batch, 21, struct.pack(">h", 2)),
        "not lz4": resealed(batch, 21, struct.pack(">h", 3)),
        "not zstd": resealed(batch, 21, struct.pack(">h", 4)),
        "transactional without a producer": resealed(batch, 21, struct.pack(">h", 16)),
        "producer without an epoch": resealed(batch, 43, struct.pack(">q", 5)),
        "bytes behind": resealed(
            batch[:8] + struct.pack(">i", len(batch) - 12 + 5) + batch[12:] + b"12345", 0, b""
        ),
    }
    with server.wire() as wire:
        before = values(fetch(wire, "target"))
        for what, lie in lies.items():
            answer = produce(wire, "target", lie)
            assert answer["error_code"] in (
                "invalid_record",
                "corrupt_message",
                "unsupported_compression_type",
                "transactional_id_authorization_failed",
            ), (what, answer)
        assert values(fetch(wire, "target")) == before
    server.check()


def test_records_in_wrong_numbers_sizes_and_times_are_refused(server: Server) -> None:
    good = record_batch([b"value"], NOW)
    later = (1 << 62) - 1
    refused = {
        "two batches": (good * 2, "invalid_record"),
        "nothing": (b"", "invalid_record"),
        "half a batch": (good[:-1], "invalid_record"),
        "half a header": (good[:30], "invalid_record"),
        "too large": (record_batch([b"x" * 1_048_588], NOW), "message_too_large"),
        "far future": (record_batch([b"value"], later), "invalid_timestamp"),
        "old format": (good[:16] + b"\x01" + good[17:], "invalid_record"),
        "newer format": (good[:16] + b"\x03" + good[17:], "corrupt_message"),
        "a gap": (
            record_batch([b"x"], NOW, producer_id=77, producer_epoch=-1, sequence=0),
            "invalid_record",
        ),
    }
    with server.wire() as wire:
        before = values(fetch(wire, "target"))
        for what, (batch, expected) in refused.items():
            answer = produce(wire, "target", batch)
            assert answer["error_code"] == expected, (what, answer)
        assert values(fetch(wire, "target")) == before
    server.check()


def test_a_bomb_is_not_inflated_into_memory(server: Server) -> None:
    value = bytes(300 * MIB)
    body = b"\0\0\0\x01" + varint(len(value))
    packed = gzip.compress(varint(len(body) + len(value) + 1) + body + value + b"\0", 6)
    checked = struct.pack(">hiqqqhii", 1, 0, NOW, NOW, -1, -1, -1, 1) + packed
    batch = struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, crc32c(checked)) + checked
    del value
    assert len(batch) < MIB
    before = server.resident_bytes
    with server.wire() as wire:
        answer = produce(wire, "target", batch)
    assert answer["error_code"] in ("invalid_record", "message_too_large"), answer
    assert server.resident_bytes < before + 64 * MIB
    server.check()


# ---- requests that cannot be met


def test_topics_offsets_and_settings_that_are_not_there(server: Server) -> None:
    with server.wire() as wire:
        for topic in ("absent", "in valid", "", "x" * 300):
            assert produce(wire, topic, record_batch([b"x"], NOW))["error_code"] in (
                "unknown_topic_or_partition",
                "invalid_topic_exception",
            )
            assert fetch(wire, topic)["error_code"] in (
                "unknown_topic_or_partition",
                "invalid_topic_exception",
            )
        for offset in (3, 10**12, 2**63 - 1, -1, -(2**63)):
            assert fetch(wire, "good", offset)["error_code"] == "offset_out_of_range"
        for name, value in {
            "retention.ms": "soon",
            "segment.bytes": "1",
            "no.such": "1",
            "cleanup.policy": "shred",
            "compression.type": "rar",
            "max.message.bytes": "-5",
            "min.insync.replicas": "0",
            "message.timestamp.type": "",
        }.items():
            answer = wire.ask(
                "create_topics",
                7,
                topics=[
                    {
                        "name": "unmade",
                        "num_partitions": 1,
                        "replication_factor": 1,
                        "configs": [{"name": name, "value": value}],
                    }
                ],
                timeout=10_000,
            )
            assert answer["topics"][0]["error_code"] == "invalid_config", (name, answer)
            assert name in answer["topics"][0]["error_message"]
    server.check()


# ---- peers that take their time


def test_requests_that_come_byte_by_byte(server: Server) -> None:
    content = framed(frame_of("metadata", 12))
    connections = [server.socket() for _ in range(50)]
    for position in range(len(content)):
        for connection in connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(content[position : position + 1])
    for connection in connections:
        connection.shutdown(socket.SHUT_WR)
        answer = drained(connection)
        assert struct.unpack(">i", answer[:4])[0] == len(answer) - 4 > 0
        connection.close()
    server.check()


def test_many_idle_connections_cost_little(server: Server) -> None:
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100
    count = min(800, room)
    server.check()
    before = server.resident_bytes
    idle = [server.socket() for _ in range(count)]
    asked = framed(frame_of("api_versions", 3))
    for connection in idle:
        connection.sendall(asked)
    for connection in idle:
        (length,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
        connection.recv(length, socket.MSG_WAITALL)
    server.check()
    assert server.resident_bytes - before < count * 8192
    for connection in idle:
        connection.close()
    server.check()


def test_half_frames_wait_without_harm(server: Server) -> None:
    chance = random.Random(4)
    whole = framed(frame_of("produce", 9))
    waiting = [server.socket() for _ in range(100)]
    for connection in waiting:
        connection.sendall(whole[: chance.randrange(1, len(whole))])
    server.check()
    for connection in waiting:
        connection.close()
    server.check()


def test_what_was_asked_before_the_sending_side_closed_is_answered(server: Server) -> None:
    for count in (1, 5, 100):
        answers = said(server, framed(frame_of("metadata", 12)) * count)
        found = 0
        while answers:
            answers = answers[4 + struct.unpack(">i", answers[:4])[0] :]
            found += 1
        assert found == count
    server.check()


def until_blocked(connection: socket.socket, content: bytes, alive: Callable[[], None]) -> int:
    """Send again and again until the broker reads no more; how many bytes it was sent."""
    connection.setblocking(False)
    sent, refusals = 0, 0
    while refusals < 3:
        try:
            sent += connection.send(content[sent % len(content) :])
            refusals = 0
        except BlockingIOError:
            refusals += 1
            alive()
        assert sent < 256 * MIB, "the broker reads on although its answers are not taken"
    return sent


@pytest.mark.parametrize("api", ["metadata", "fetch", "api_versions", "produce"])
def test_a_peer_that_never_reads_is_not_read_either(server: Server, api: str) -> None:
    server.check()
    before = server.resident_bytes
    with server.socket() as connection:
        content = framed(frame_of(api, versions_of(api)[1])) * 100
        until_blocked(connection, content, server.check)
        assert server.resident_bytes < before + 64 * MIB
    server.check()


def test_large_answers_that_are_not_taken_stay_in_their_files(server: Server) -> None:
    with server.wire() as wire:
        made = wire.ask(
            "create_topics",
            7,
            topics=[{"name": "large", "num_partitions": 1, "replication_factor": 1}],
            timeout=10_000,
        )
        assert made["topics"][0]["error_code"] == "none"
        large = record_batch([bytes(MIB - 200)], NOW)
        for _ in range(16):
            assert produce(wire, "large", large)["error_code"] == "none"
    server.check()
    before = server.resident_bytes
    recorder = Recorder()
    recorder.post(
        "fetch",
        11,
        replica_id=-1,
        max_bytes=50 * MIB,
        session_epoch=-1,
        topics=[
            {
                "topic": "large",
                "partitions": [
                    {
                        "partition": 0,
                        "current_leader_epoch": -1,
                        "log_start_offset": -1,
                        "partition_max_bytes": 50 * MIB,
                    }
                ],
            }
        ],
    )
    connections = [server.socket() for _ in range(20)]
    for connection in connections:
        connection.sendall(framed(recorder.content) * 50)
    server.check()
    assert server.resident_bytes < before + 64 * MIB
    for connection in connections:
        connection.close()
    server.check()


def test_connections_that_are_reset_at_once(server: Server) -> None:
    content = framed(frame_of("metadata", 12)) * 20
    for index in range(300):
        connection = server.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if index % 2:
            connection.sendall(content)
        connection.close()
    server.check()


def test_pipelined_requests_are_answered_in_their_order(server: Server) -> None:
    chance = random.Random(5)
    frames = [frame_of(chance.choice(["metadata", "fetch", "api_versions"]), 4) for _ in range(200)]
    with server.socket() as connection:
        for number, content in enumerate(frames):
            connection.sendall(framed(content[:4] + struct.pack(">i", number) + content[8:]))
        for number in range(len(frames)):
            (length,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
            answer = connection.recv(length, socket.MSG_WAITALL)
            assert struct.unpack(">i", answer[:4])[0] == number
    server.check()


def test_a_closed_connection_says_nothing_more(server: Server) -> None:
    """What follows a refused frame is not answered."""
    good = framed(frame_of("metadata", 12))
    with server.wire() as wire:
        wire.send(good + framed(b"\xff" * 20) + good * 3)
        wire.receive_frame()
        with pytest.raises(Closed):
            wire.receive_frame()
    server.check()


@pytest.fixture(scope="module")
def strict_server() -> Iterator[Server]:
    """Small bounds: what waits for too long is closed, what is too much waits."""
    config = {
        "node.id": 1,
        "connections.max.idle.ms": 1000,
        "queued.max.request.bytes": MIB,
        "socket.request.max.bytes": 4 * MIB,
        "max.connections.per.ip": 50,
    }
    with pabal.Cluster(isolation="process", config=config) as cluster:
        yield Server(cluster)


def test_idle_peers_are_let_go(strict_server: Server) -> None:
    whole = framed(frame_of("metadata", 12))
    beginnings = (b"", b"\0", whole[:3], whole[:4], whole[:20], framed(bytes(4 * MIB))[:1000])
    connections = [strict_server.socket() for _ in beginnings]
    for connection, begun in zip(connections, beginnings, strict=True):
        connection.sendall(begun)
    for connection in connections:
        assert drained(connection) == b""
        connection.close()
    strict_server.check()


def test_a_peer_that_never_reads_is_let_go(strict_server: Server) -> None:
    with strict_server.socket() as connection:
        until_blocked(connection, framed(frame_of("metadata", 12)) * 100, lambda: None)
        connection.setblocking(True)
        with pytest.raises(ConnectionError):
            while True:  # Blocks until the broker gives up.
                connection.sendall(b"\0" * 65536)
    strict_server.check()


def test_frames_beyond_the_memory_for_requests_wait_their_turn(strict_server: Server) -> None:
    claims = [strict_server.socket() for _ in range(20)]
    for connection in claims:
        connection.sendall(struct.pack(">i", MIB - 100) + b"\0" * 5000)
    strict_server.check()  # As the peers that keep the memory are let go.
    for connection in claims:
        connection.close()
    with strict_server.wire() as wire:  # Larger than all of it: alone it may.
        wire.send_frame(frame_of("metadata", 12) + bytes(3 * MIB))
        assert wire.receive_frame()
    strict_server.check()


def test_connections_of_one_host_are_bounded(strict_server: Server) -> None:
    strict_server.check()
    connections = [strict_server.socket() for _ in range(70)]
    asked = framed(frame_of("api_versions", 3))
    served = 0
    for connection in connections:
        try:
            connection.sendall(asked)
            served += len(connection.recv(4, socket.MSG_WAITALL)) == 4
        except ConnectionError:
            pass
        connection.close()
    assert 0 < served <= 50
    strict_server.check()
