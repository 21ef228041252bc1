"""Start to the first acknowledgement, memory and CPU of an idle broker; a command's time.

*Start* is formatting, starting, creating a topic and having one record acknowledged by a raw-wire
client. For pabal it is measured as a server process (from the exec) and inside this process (from
the ``Cluster()`` call).
"""

from __future__ import annotations

import gc
import os
import subprocess
import sysconfig
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pabal
from benchmarks.report import Report
from benchmarks.servers import Make, cpu_seconds, makers, resident_bytes
from benchmarks.wire import Connection, record_batch

IDLE_SECONDS = 10.0
BATCH = record_batch(1, b"x" * 100)


def first_acknowledgement(port: int) -> None:
    """Create a topic of one partition and have a record acknowledged."""
    with Connection(port) as connection:
        error = connection.create_topic("first", 1)
        assert error == 0, f"CreateTopics answered {error}"
        while (error := connection.produce("first", 0, BATCH)) != 0:
            assert error in (3, 5, 6), f"Produce answered {error}"


def server(report: Report, make: Make) -> None:
    """One broker process, from its exec on."""
    began = time.perf_counter()
    broker = make(None)
    try:
        first_acknowledgement(broker.port)
        report.add("process: start to first ack, ms", broker.name,
                   (time.perf_counter() - began) * 1000, "≤ 60")
        report.add("process: resident, MB", broker.name, resident_bytes(broker.pid) / 1e6)
        time.sleep(1)
        before = cpu_seconds(broker.pid)
        time.sleep(IDLE_SECONDS)
        idle = (cpu_seconds(broker.pid) - before) / IDLE_SECONDS * 100
        report.add("process: idle CPU, % of a core", broker.name, idle, "≤ 0.1")
    finally:
        broker.close()


def embedded() -> tuple[float, float]:
    """One broker in this process, from the call on: ms until the acknowledgement, and MB taken."""
    gc.collect()
    before = resident_bytes(os.getpid())
    began = time.perf_counter()
    with pabal.Cluster(brokers=1) as cluster:
        first_acknowledgement(int(cluster.bootstrap_servers.rsplit(":", 1)[1]))
        milliseconds = (time.perf_counter() - began) * 1000
        time.sleep(1)
        return milliseconds, (resident_bytes(os.getpid()) - before) / 1e6


def topic_list(report: Report) -> None:
    """The command ``pabal topic list`` from its exec to its end, the interpreter included."""
    program = Path(sysconfig.get_path("scripts")) / "pabal"
    with pabal.Cluster(brokers=1) as cluster:
        began = time.perf_counter()
        subprocess.run(
            [program, "topic", "list", "--bootstrap-server", cluster.bootstrap_servers], check=True
        )
        report.add("pabal topic list, ms", "pabal", (time.perf_counter() - began) * 1000, "≤ 150")


def run(runs: int) -> None:
    """Print the table."""
    report = Report("Start, memory, idle")
    for _ in range(runs):
        # Each in a fresh interpreter: a second start finds memory that the first one left.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as interpreter:
            milliseconds, megabytes = interpreter.submit(embedded).result()
        report.add("in process: start to first ack, ms", "pabal", milliseconds, "≤ 25")
        report.add("in process: resident over the interpreter, MB", "pabal", megabytes, "≤ 15")
        topic_list(report)
        for make in makers():
            server(report, make)
    report.print()
