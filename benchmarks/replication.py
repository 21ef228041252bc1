"""Three replicas of every record: what that costs the brokers, and how fast it goes.

Kafka's own kafka-producer-perf-test with acks=all fills six partitions of three brokers that are
processes of their own: CPU seconds of all three per GB (1e9 bytes of values), records per second.
The producer shares the machine with the brokers, so the fewer cores there are, the more its own
cost bounds the speed. The floor is the same bytes in pieces of 16 KB through a socket into a file,
three times, and out of a file by sendfile, twice. Both clusters are warmed up with the same load
first, as the JVM compiles its code.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from benchmarks.clusters import Cluster, cluster_makers, create_topic
from benchmarks.data_path import floors
from benchmarks.java_producer import Produced, produce_by_java
from benchmarks.report import Report

PARTITIONS = 6
TOPIC = "replicated"
PIECE = 16_000


@dataclass(frozen=True)
class Cell:
    """One size of records."""

    name: str
    record_bytes: int
    count: int
    warm_up: int
    aim: str


CELLS = (
    Cell("1 KiB", 1024, 300_000, 600_000, "≤ 0.1 × Kafka's"),
    Cell("100 B", 100, 1_500_000, 2_000_000, "≤ 0.1 × Kafka's"),
)


def measure(report: Report, cluster: Cluster, runs: int) -> None:
    """Every cell, some times."""
    create_topic(cluster.bootstrap_servers, TOPIC, PARTITIONS)

    def produce(record_bytes: int, count: int) -> Produced | None:
        return produce_by_java(cluster.bootstrap_servers, cluster.pids, TOPIC, record_bytes, count)

    for cell in CELLS:
        produce(cell.record_bytes, cell.warm_up)
    for _ in range(runs):
        for cell in CELLS:
            produced = produce(cell.record_bytes, cell.count)
            if produced is None:
                return
            cost = f"{cell.name} records: CPU s/GB, three brokers"
            report.add(cost, cluster.name, produced.cpu_seconds_per_gigabyte, cell.aim)
            into_file, out_of_file = floors(PIECE, cell.record_bytes * cell.count // PIECE)
            report.add(cost, "floor", 3 * into_file + 2 * out_of_file)
            speed = f"{cell.name} records: thousand records/s"
            report.add(speed, cluster.name, produced.records_per_second / 1000, "> Kafka's")


def run(runs: int) -> None:
    """Print the table."""
    report = Report("Three replicas, acks=all, Kafka's own producer")
    for make in cluster_makers():
        print(f"load average before {make.__name__}: {os.getloadavg()[0]:.1f}", flush=True)
        cluster = make()
        try:
            measure(report, cluster, runs)
        finally:
            cluster.close()
    report.print()
