"""What it costs that an acknowledgement means "synced to disk": ``flush.messages=1``, acks=all.

The device comes first: what one fdatasync of 4 KiB takes on blocks that were written before and at
the growing end of a file, and how fast it writes in sequence. Then one record at a time, many
partitions at once, and half of the device's rate, each with and without the setting; how many syncs
a thousand acknowledgements cost is read from pabal's metrics.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import tempfile
import time
import urllib.request
from collections import deque
from pathlib import Path

from benchmarks.data_path import round_trips
from benchmarks.report import Report
from benchmarks.servers import Server, makers
from benchmarks.wire import PRODUCE, Connection, produce_body, record_batch

BLOCK = 4096
PARTITIONS = 50
PACED_PARTITIONS = 8
PACED_BATCH = record_batch(60, b"x" * 1012)
PACED_SECONDS = 4.0
IN_FLIGHT = 5
TOPICS = {"plain": {}, "synced": {"flush.messages": "1"}}
SYNCS = ("pabal_log_file_syncs_total", "pabal_journal_syncs_total")


def sync_times(overwrite: bool, count: int = 300) -> list[float]:
    """Seconds of one write of 4 KiB and its fdatasync, sorted."""
    times = []
    with tempfile.TemporaryDirectory(prefix="pabal-benchmark-") as directory:
        descriptor = os.open(Path(directory, "file"), os.O_RDWR | os.O_CREAT)
        try:
            if overwrite:
                os.pwrite(descriptor, bytes(count * BLOCK), 0)
                os.fdatasync(descriptor)
            block = os.urandom(BLOCK)
            for index in range(count):
                began = time.perf_counter()
                os.pwrite(descriptor, block, index * BLOCK)
                os.fdatasync(descriptor)
                times.append(time.perf_counter() - began)
        finally:
            os.close(descriptor)
    return sorted(times)


def sequential_rate(total: int = 512 << 20) -> float:
    """Bytes a second that end on the disk."""
    chunk = os.urandom(4 << 20)
    with tempfile.TemporaryDirectory(prefix="pabal-benchmark-") as directory:
        descriptor = os.open(Path(directory, "file"), os.O_WRONLY | os.O_CREAT)
        try:
            began = time.perf_counter()
            for position in range(0, total, len(chunk)):
                os.pwrite(descriptor, chunk, position)
                os.fdatasync(descriptor)
            return total / (time.perf_counter() - began)
        finally:
            os.close(descriptor)


def spread_rounds(server: Server, topic: str, rounds: int) -> float:
    """One record for each of many partitions on connections of their own; acknowledgements/s."""
    batch = record_batch(1, b"x" * 100)
    connections = [Connection(server.port) for _ in range(PARTITIONS)]
    try:
        frames = [
            connection.frame(PRODUCE, 7, produce_body(topic, index, batch, -1))
            for index, connection in enumerate(connections)
        ]
        began = time.perf_counter()
        for _ in range(rounds):
            for connection, frame in zip(connections, frames, strict=True):
                connection.send_frame(frame)
            for connection in connections:
                assert connection.produce_error(connection.receive()) == 0
        return rounds * PARTITIONS / (time.perf_counter() - began)
    finally:
        for connection in connections:
            connection.close()


def paced(server: Server, topic: str, bytes_per_second: float) -> tuple[float, float]:
    """Batches at this rate, some ahead of their answers; MB/s, and the p50 in ms."""
    connections = [Connection(server.port) for _ in range(PACED_PARTITIONS)]
    waiting: list[deque[float]] = [deque() for _ in connections]
    times: list[float] = []
    try:
        frames = [
            memoryview(connection.frame(PRODUCE, 7, produce_body(topic, index, PACED_BATCH, -1)))
            for index, connection in enumerate(connections)
        ]
        began = time.perf_counter()
        number = 0

        def take(index: int) -> None:
            assert connections[index].produce_error(connections[index].receive()) == 0
            times.append(time.perf_counter() - waiting[index].popleft())

        while time.perf_counter() - began < PACED_SECONDS:
            due = began + number * len(PACED_BATCH) / bytes_per_second
            while (left := due - time.perf_counter()) > 0:
                time.sleep(min(left, 0.0005))
            index = number % PACED_PARTITIONS
            if len(waiting[index]) == IN_FLIGHT:
                take(index)
            waiting[index].append(time.perf_counter())
            connections[index].send_frame(frames[index])
            number += 1
        for index, sent in enumerate(waiting):
            while sent:
                take(index)
        elapsed = time.perf_counter() - began
    finally:
        for connection in connections:
            connection.close()
    return number * len(PACED_BATCH) / elapsed / 1e6, statistics.median(times) * 1000


def counters(port: int) -> dict[str, int]:
    """What the broker's metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {name: int(value) for name, value in re.findall(r"^(pabal_\w+) (\d+)$", text, re.M)}


def syncs_per_thousand(before: dict[str, int], after: dict[str, int]) -> float:
    """Syncs of files and journals for a thousand acknowledgements that waited for them."""
    syncs = sum(after[name] - before[name] for name in SYNCS)
    name = "pabal_durable_acknowledgements_total"
    return 1000 * syncs / max(after[name] - before[name], 1)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(server: Server, report: Report, rate: float, metrics: int | None) -> None:
    """One run of everything on one server."""
    single: dict[str, float] = {}
    for topic in TOPICS:
        single[topic], p99 = round_trips(server, topic, 1000)
        report.add(f"one record at a time, {topic}: p50 ms", server.name, single[topic])
        report.add(f"one record at a time, {topic}: p99 ms", server.name, p99)
        before = counters(metrics) if metrics else {}
        told = spread_rounds(server, topic, 60)
        report.add(f"{PARTITIONS} partitions, {topic}: acknowledgements/s", server.name, told)
        if metrics and topic == "synced":
            syncs = syncs_per_thousand(before, counters(metrics))
            what = f"{PARTITIONS} partitions: fdatasyncs per 1,000 acknowledgements"
            report.add(what, server.name, syncs)
        speed, p50 = paced(server, topic, rate / 2)
        report.add(f"half the device's rate, {topic}: MB/s", server.name, speed)
        report.add(f"half the device's rate, {topic}: p50 ms", server.name, p50)
    report.add("added to one record's p50: ms", server.name, single["synced"] - single["plain"])


def run(runs: int) -> None:
    """Print the device's figures and the table."""
    report = Report("Synced before it is acknowledged: flush.messages=1")
    overwriting = statistics.median(sync_times(overwrite=True))
    extending = statistics.median(sync_times(overwrite=False))
    rate = sequential_rate()
    print(
        f"\nThe device: fdatasync of 4 KiB {overwriting * 1e6:.0f} µs p50 over written blocks, "
        f"{extending * 1e6:.0f} µs at a file's end; {rate / 1e6:.0f} MB/s in sequence. "
        f"Aim: added p50 ≤ {2 * overwriting * 1000 + 0.2:.2f} ms."
    )
    for make in makers():
        metrics = free_port() if make.__name__ == "Pabal" else None
        extra = {"pabal.metrics.listener": f"127.0.0.1:{metrics}"} if metrics else {}
        server = make(extra)
        try:
            with Connection(server.port) as connection:
                for topic, config in TOPICS.items():
                    assert connection.create_topic(topic, PARTITIONS, config) == 0
                    while not connection.has_leaders(topic, PARTITIONS):
                        time.sleep(0.01)
            for topic in TOPICS:
                round_trips(server, topic, 2000)
                spread_rounds(server, topic, 20)
            for _ in range(runs):
                measure(server, report, rate, metrics)
        finally:
            server.close()
    report.print()
