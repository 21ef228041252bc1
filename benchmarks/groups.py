"""How long people wait for consumer groups: the first record, a newcomer's share, a leaver's.

Each with the defaults of librdkafka and of the servers, for both group protocols. A *newcomer*
joins, and a *leaver* leaves, some seconds after the last change, a different time in each run: at
pabal it matters whether a heartbeat of the members that stay is waiting for news just then. None is
in the first heartbeat interval of a member, nor between an automatic commit and the next heartbeat.

The members are librdkafka's, and then pabal's own, at both servers. Of librdkafka's first record
the client takes most: it waits 50 ms before it connects to a broker that it has just heard of, and
50 or 100 ms more before it asks there where the partitions begin.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Protocol

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

import pabal
from benchmarks.report import Report
from benchmarks.servers import Make, Server, makers

PARTITIONS = 4
SETTLED_SECONDS = (4.0, 5.0, 6.5)  # librdkafka commits every five seconds.
PATIENCE_SECONDS = 60.0


def filled_topic(servers: str) -> str:
    """A topic with one record in each partition."""
    name = f"groups-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)
    producer = Producer({"bootstrap.servers": servers})
    for partition in range(PARTITIONS):
        producer.produce(name, b"x", partition=partition)
    assert producer.flush(30) == 0
    return name


class Member(Protocol):
    """One consumer of a group."""

    def subscribe(self, topic: str) -> None: ...
    def poll(self, seconds: float) -> bool: ...
    def share(self) -> int: ...
    def close(self) -> None: ...


Join = Callable[[str, str, str], Member]  # Servers, group, protocol.


class Librdkafka:
    """A member with the defaults of librdkafka."""

    def __init__(self, servers: str, group: str, protocol: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": group,
                "group.protocol": protocol,
                "auto.offset.reset": "earliest",
            }
        )

    def subscribe(self, topic: str) -> None:
        self._consumer.subscribe([topic])

    def poll(self, seconds: float) -> bool:
        """Whether a record came."""
        message = self._consumer.poll(seconds)
        assert message is None or message.error() is None
        return message is not None

    def share(self) -> int:
        return len(self._consumer.assignment())

    def close(self) -> None:
        self._consumer.close()


class Own:
    """A member with the defaults of pabal's consumer."""

    def __init__(self, servers: str, group: str, protocol: str) -> None:
        self._consumer = pabal.Consumer(
            bootstrap_servers=servers,
            group_id=group,
            group_protocol=protocol,
            auto_offset_reset="earliest",
        )

    def subscribe(self, topic: str) -> None:
        self._consumer.subscribe(topic)

    def poll(self, seconds: float) -> bool:
        """Whether a record came."""
        return len(self._consumer.poll(timeout=seconds)) > 0

    def share(self) -> int:
        return len(self._consumer.assignment())

    def close(self) -> None:
        self._consumer.close()


def until_share(member: Member, count: int, other: Member | None = None) -> None:
    """Poll until a member has so many partitions."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while member.share() != count:
        assert time.monotonic() < deadline, f"{member.share()} of {count} partitions"
        member.poll(0.005)
        if other is not None:
            other.poll(0.005)


def settle(seconds: float, *members: Member) -> None:
    """Let heartbeats go round."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for member in members:
            member.poll(0.01)


def measure(report: Report, server: Server, join: Join, protocol: str, settled: float) -> None:
    """One group from its first member to its last but one."""
    servers = f"127.0.0.1:{server.port}"
    topic = filled_topic(servers)
    group = f"group-{uuid.uuid4().hex[:8]}"
    whose = "pabal's client" if join is Own else "librdkafka"

    def add(what: str, began: float, aim: str) -> None:
        taken = (time.perf_counter() - began) * 1000
        report.add(f"{whose}, {protocol}: {what}, ms", server.name, taken, aim)

    first = join(servers, group, protocol)
    began = time.perf_counter()
    first.subscribe(topic)
    assert first.poll(PATIENCE_SECONDS)
    add("first record through a new group", began, "≤ 50")
    settle(settled, first)

    second = join(servers, group, protocol)
    began = time.perf_counter()
    second.subscribe(topic)
    until_share(second, PARTITIONS // 2, first)
    add(
        "a second member receives its partitions",
        began,
        "≤ 200" if protocol == "consumer" else "≤ 250",
    )
    until_share(first, PARTITIONS // 2, second)
    settle(settled, first, second)

    began = time.perf_counter()
    second.close()
    until_share(first, PARTITIONS)
    add("a member's leaving taken over", began, "≤ 200")
    first.close()


def server_run(report: Report, make: Make, settled: float) -> None:
    """Both protocols on one broker; the first group of all creates a topic and is not counted."""
    server = make({"offsets.topic.replication.factor": "1"})
    try:
        servers = f"127.0.0.1:{server.port}"
        warm = Librdkafka(servers, "warm-up", "classic")
        warm.subscribe(filled_topic(servers))
        assert warm.poll(PATIENCE_SECONDS)
        warm.close()
        for join in (Librdkafka, Own):
            for protocol in ("classic", "consumer"):
                measure(report, server, join, protocol, settled)
    finally:
        server.close()


def run(runs: int) -> None:
    """Print the table."""
    report = Report("Consumer groups")
    for number in range(runs):
        for make in makers():
            server_run(report, make, SETTLED_SECONDS[number % len(SETTLED_SECONDS)])
    report.print()
