"""Ten thousand partitions with three replicas: how long until a dead broker's leaders are replaced.

Ten topics of 1,000 partitions on three brokers that are processes of their own, a record in each
partition; then SIGKILL for one broker. *Led elsewhere*: both brokers that are left name other
leaders for all that it led, in their metadata. *Written again*: each of these partitions has taken
another record with acks=all. Kafka is given a tenth of the partitions: what it takes is its session
time-out.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from benchmarks.clusters import BROKERS, PATIENCE, Cluster, cluster_makers, wait_until
from benchmarks.report import Report
from benchmarks.wire import PRODUCE, Connection, produce_body, record_batch

TOPICS = 10
PARTITIONS = 1000
KAFKA_PARTITIONS = 100
IN_FLIGHT = 100
RECORD = record_batch(1, b"x" * 100)

Place = tuple[str, int]  # Topic and partition.


def topics() -> list[str]:
    """Their names."""
    return [f"many-{number}" for number in range(TOPICS)]


def create(connection: Connection, partitions: int) -> None:
    """Create all, and wait until every replica is in sync."""
    for topic in topics():
        error = connection.create_topic(topic, partitions, {"min.insync.replicas": "2"}, BROKERS)
        assert error == 0, f"CreateTopics answered {error}"
    for topic in topics():
        wait_until(lambda topic=topic: in_sync(connection, topic, partitions),  # type: ignore[misc]
                   f"{topic} is not in sync")


def in_sync(connection: Connection, topic: str, partitions: int) -> bool:
    """Whether all replicas of all partitions are."""
    states = connection.partitions(topic)
    return len(states) == partitions and all(
        state.leader >= 0 and state.in_sync_count == BROKERS for state in states
    )


def leaders(connection: Connection) -> dict[Place, int]:
    """Who leads what."""
    return {
        (topic, state.index): state.leader
        for topic in topics()
        for state in connection.partitions(topic)
    }


def write(connections: dict[int, Connection], places: dict[Place, int]) -> None:
    """One record to each partition, acknowledged by all; again where it is refused for now."""
    left = deque(places.items())
    deadline = time.monotonic() + PATIENCE
    while left:
        assert time.monotonic() < deadline, f"{len(left)} partitions take no records"
        sent = [left.popleft() for _ in range(min(IN_FLIGHT, len(left)))]
        for (topic, index), leader in sent:
            connections[leader].send(PRODUCE, 7, produce_body(topic, index, RECORD, -1))
        for place, leader in sent:
            if connections[leader].produce_error(connections[leader].receive()) != 0:
                left.append((place, leader))


def led_elsewhere(connection: Connection, lost: set[Place], victim: int) -> None:
    """Wait until this broker names other leaders for these partitions."""
    for topic in topics():
        indexes = {index for name, index in lost if name == topic}

        def replaced(topic: str = topic, indexes: set[int] = indexes) -> bool:
            states = connection.partitions(topic)
            return all(
                state.leader not in (-1, victim) for state in states if state.index in indexes
            )

        wait_until(replaced, f"{topic} has partitions without a leader")


def measure(report: Report, make: Callable[[], Cluster], partitions: int, controller: bool) -> None:
    """One cluster, and the loss of one broker."""
    cluster = make()
    try:
        active = cluster.controller()
        victim = active if controller else (active + 1) % BROKERS
        connections = {index: Connection(port) for index, port in enumerate(cluster.ports)}
        survivors = {index: each for index, each in connections.items() if index != victim}
        observer = next(iter(survivors.values()))
        create(observer, partitions)
        everything = leaders(observer)
        write(connections, everything)
        lost = {place for place, leader in everything.items() if leader == victim}
        assert lost, f"broker {victim} leads nothing"
        began = time.perf_counter()
        cluster.kill(victim)
        for connection in survivors.values():
            led_elsewhere(connection, lost, victim)
        replaced = time.perf_counter() - began
        write(survivors, {
            place: leader for place, leader in leaders(observer).items() if place in lost
        })
        written = time.perf_counter() - began
        label = "the active controller" if controller else "a broker"
        what = f"{label} killed"
        report.add(f"{what}: led elsewhere, s", cluster.name, replaced, "≤ 2")
        report.add(f"{what}: written again, s", cluster.name, written)
        report.add(f"{what}: leaders lost", cluster.name, len(lost))
        for connection in connections.values():
            connection.close()
    finally:
        cluster.close()


def run(runs: int) -> None:
    """Print the table."""
    del runs  # Once: to remove thirty thousand directories takes longer than all the rest.
    report = Report("Ten thousand partitions on three brokers (Kafka: one thousand)")
    for make in cluster_makers():
        partitions = PARTITIONS if make.__name__ == "Pabal" else KAFKA_PARTITIONS
        for controller in (False, True):
            measure(report, make, partitions, controller)
    report.print()
