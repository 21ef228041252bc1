"""How long people wait for consumer groups: the first record, a newcomer's share, a leaver's.

Each with the defaults of librdkafka and of the servers, for both group protocols. A *newcomer*
joins, and a *leaver* leaves, some seconds after the last change, a different time in each run: at
pabal it matters whether a heartbeat of the members that stay is waiting for news just then. None is
in the first heartbeat interval of a member, nor between an automatic commit and the next heartbeat.

The members are librdkafka's, and then pabal's own, at both servers. Of librdkafka's first record
the client takes most: it waits 50 ms before it connects to a broker that it has just heard of, and
50 or 100 ms more before it asks there where the partitions begin.

A *pause* is the longest time without a record that the first member sees, while a thousand a second
come, from the newcomer's subscription until each has its share.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def stream(servers: str, topic: str) -> Iterator[None]:
    """A thousand records a second, spread over the partitions, while the body runs."""
    ended = threading.Event()

    def produce() -> None:
        with pabal.Producer(servers, linger=0) as producer:
            number = 0
            while not ended.wait(0.001):
                producer.send(topic, b"x", partition=number % PARTITIONS)
                number += 1

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Watched:
    """A member that a thread of its own polls, which notes the longest time without a record."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._share = 0
        self._last = time.perf_counter()
        self._longest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while not self._ended.is_set():
            came = self._member.poll(0.005)
            self._share = self._member.share()
            if came:
                now = time.perf_counter()
                self._longest = max(self._longest, now - self._last)
                self._last = now

    def forget(self) -> None:
        """Count from now on."""
        self._longest = 0.0

    @property
    def longest(self) -> float:
        """In seconds, since it was told to forget."""
        return self._longest

    def share(self) -> int:
        return self._share

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._member.close()


def until_share(member: Member | Watched, count: int, other: Member | None = None) -> None:
    """Await that a member has so many partitions, and poll the other one, who is not watched."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while member.share() != count:
        assert time.monotonic() < deadline, f"{member.share()} of {count} partitions"
        if other is not None:
            other.poll(0.005)
        else:
            time.sleep(0.001)


def settle(seconds: float, member: Member | None = None) -> None:
    """Let heartbeats go round."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if member is not None:
            member.poll(0.01)
        else:
            time.sleep(0.01)


def measure(report: Report, server: Server, join: Join, protocol: str, settled: float) -> None:
    """One group from its first member to its last but one."""
    servers = f"127.0.0.1:{server.port}"
    topic = filled_topic(servers)
    group = f"group-{uuid.uuid4().hex[:8]}"
    whose = "pabal's client" if join is Own else "librdkafka"

    def add(what: str, seconds: float, aim: str) -> None:
        report.add(f"{whose}, {protocol}: {what}, ms", server.name, seconds * 1000, aim)

    member = join(servers, group, protocol)
    began = time.perf_counter()
    member.subscribe(topic)
    assert member.poll(PATIENCE_SECONDS)
    add("first record through a new group", time.perf_counter() - began, "≤ 50")

    with stream(servers, topic):
        first = Watched(member)
        settle(settled)

        second = join(servers, group, protocol)
        first.forget()
        began = time.perf_counter()
        second.subscribe(topic)
        until_share(second, PARTITIONS // 2, second)
        aim = "≤ 200" if protocol == "consumer" else "≤ 250"
        add("a second member receives its partitions", time.perf_counter() - began, aim)
        until_share(first, PARTITIONS // 2, second)
        settle(0.2, second)
        add("pause of the first member meanwhile", first.longest, "≤ 20")
        settle(settled, second)

        began = time.perf_counter()
        second.close()
        until_share(first, PARTITIONS)
        add("a member's leaving taken over", time.perf_counter() - began, "≤ 200")
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
