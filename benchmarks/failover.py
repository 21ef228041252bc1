"""Three brokers: start to the first acknowledgement of all, and how long none comes when one goes.

A loss is measured by one confluent-kafka producer with acks=all that sends a record each
millisecond, to the partitions that the lost broker led: the longest time between two
acknowledgements of one of them. The start is measured by pabal's own producer, at Kafka too: a
librdkafka that begins waits half a second or a whole one for its producer id, whatever the broker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pabal
from benchmarks.clusters import (
    BROKERS,
    PATIENCE,
    Cluster,
    cluster_makers,
    create_topic,
    wait_until,
)
from benchmarks.report import Report

PARTITIONS = 3
TOPIC = "failover"
CLIENT = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 0,
    # So that the brokers are measured, not the client's patience.
    "retry.backoff.ms": 10,
    "retry.backoff.max.ms": 20,
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 20,
    "topic.metadata.refresh.fast.interval.ms": 20,
    "message.timeout.ms": int(PATIENCE * 1000),
}


class Acknowledgements:
    """A producer at work, and when each partition was acknowledged."""

    def __init__(self, servers: str) -> None:
        from confluent_kafka import Producer

        self._producer = Producer({**CLIENT, "bootstrap.servers": servers})
        self._over = threading.Event()
        self._times: dict[int, list[float]] = {index: [] for index in range(PARTITIONS)}
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._over.is_set():
            try:
                self._producer.produce(
                    TOPIC, b"x" * 100, partition=number % PARTITIONS, on_delivery=self._delivered
                )
                number += 1
            except BufferError:
                pass
            self._producer.poll(0.001)
        self._producer.flush(PATIENCE)

    def _delivered(self, error: object, message: Any) -> None:
        if error is not None:
            self.failures.append(str(error))
        else:
            self._times[message.partition()].append(time.perf_counter())

    def flows(self, partitions: list[int], since: float) -> bool:
        """Whether each has been acknowledged some time after ``since``, and goes on."""
        now = time.perf_counter()
        recent = [[at for at in self._times[index][-50:] if at > since] for index in partitions]
        return all(len(times) >= 20 and now - times[-1] < 0.2 for times in recent)

    def longest_gap(self, partitions: list[int], since: float) -> float:
        longest = 0.0
        for index in partitions:
            times = [since, *(at for at in self._times[index] if at > since)]
            longest = max(longest, *(b - a for a, b in zip(times, times[1:], strict=False)))
        return longest

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def first_acknowledgement(servers: str) -> None:
    """Send a record to each partition, and wait until all replicas in sync have it."""
    with pabal.Producer(bootstrap_servers=servers, acks="all") as producer:
        sent = [producer.send(TOPIC, b"x", partition=index) for index in range(PARTITIONS)]
        for each in sent:
            each.result(timeout=PATIENCE)


def leaders(servers: str) -> dict[int, int]:
    from confluent_kafka.admin import AdminClient

    found = AdminClient({"bootstrap.servers": servers}).list_topics(TOPIC, timeout=PATIENCE)
    return {index: state.leader for index, state in found.topics[TOPIC].partitions.items()}


def gap(cluster: Cluster, victim: int, end: Callable[[int], None]) -> tuple[float, int]:
    """Seconds without an acknowledgement of what ``victim`` led, and how many records failed."""
    found = leaders(cluster.bootstrap_servers)
    led = [index for index, leader in found.items() if leader == victim]
    assert led, f"broker {victim} leads nothing"
    traffic = Acknowledgements(cluster.bootstrap_servers)
    try:
        began = time.perf_counter()
        wait_until(lambda: traffic.flows(led, began), "nothing is acknowledged")
        since = time.perf_counter()
        end(victim)
        ended = time.perf_counter()
        wait_until(lambda: traffic.flows(led, ended), "nothing is acknowledged any more")
        return traffic.longest_gap(led, since), len(traffic.failures)
    finally:
        traffic.end()


def measure(report: Report, make: Callable[[], Cluster]) -> None:
    """One cluster for each way of losing a broker."""
    for what, aim in (
        ("SIGKILL of a leader", "≤ 500"),
        ("SIGKILL of the active controller, which leads", "≤ 500"),
        ("controlled stop of a leader", "≤ 50"),
    ):
        began = time.perf_counter()
        cluster = make()
        try:
            create_topic(cluster.bootstrap_servers, TOPIC, PARTITIONS)
            first_acknowledgement(cluster.bootstrap_servers)
            started = (time.perf_counter() - began) * 1000
            report.add(f"start of {BROKERS} processes to first ack of all, ms", cluster.name,
                       started, "≤ 500")
            controller = cluster.controller()
            victim = controller if "controller" in what else (controller + 1) % BROKERS
            end = cluster.stop if "stop" in what else cluster.kill
            seconds, failed = gap(cluster, victim, end)
            report.add(f"{what}: no ack for, ms", cluster.name, seconds * 1000, aim)
            report.add(f"{what}: records that failed", cluster.name, failed, "0")
        finally:
            cluster.close()


def embedded(report: Report) -> None:
    """Three brokers in this process."""
    began = time.perf_counter()
    with pabal.Cluster(brokers=BROKERS) as cluster:
        create_topic(cluster.bootstrap_servers, TOPIC, PARTITIONS)
        first_acknowledgement(cluster.bootstrap_servers)
        report.add(f"{BROKERS} brokers in process: start to first ack of all, ms", "pabal",
                   (time.perf_counter() - began) * 1000, "≤ 150")


def run(runs: int) -> None:
    """Print the table."""
    report = Report("Three brokers: start, and the loss of one")
    for _ in range(runs):
        embedded(report)
        for make in cluster_makers():
            measure(report, make)
    report.print()
