"""Kafka's own ``kafka-producer-perf-test`` with its defaults and acks=all."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.servers import KafkaMissing, KafkaReference, measured


@dataclass(frozen=True)
class Produced:
    """What one run of it showed; a GB is 1e9 bytes of values."""

    cpu_seconds_per_gigabyte: float  # Of the brokers, all together.
    records_per_second: float


def produce_by_java(
    bootstrap_servers: str, pids: Sequence[int], topic: str, record_bytes: int, count: int
) -> Produced | None:
    """Produce ``count`` equal records; nothing where there is no Kafka to do it."""
    try:
        kafka = KafkaReference()
    except KafkaMissing:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as payload:
        payload.write("x" * record_bytes + "\n")
        payload.flush()
        with measured(*pids) as load:
            done = kafka.tool(
                "org.apache.kafka.tools.ProducerPerformance",
                *("--topic", topic, "--num-records", str(count), "--throughput", "-1"),
                *("--payload-file", payload.name),
                *("--producer-props", f"bootstrap.servers={bootstrap_servers}", "acks=all"),
                timeout=600,
            )
    assert done.returncode == 0, done.stderr[-2000:]
    told = re.search(rf"^{count} records sent, ([\d.]+) records/sec", done.stdout, re.MULTILINE)
    assert told, done.stdout[-2000:]
    return Produced(load.cpu / (count * record_bytes / 1e9), float(told[1]))
