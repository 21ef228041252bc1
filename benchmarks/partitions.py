"""Ten thousand partitions on one broker with 1,024 descriptors: creation, memory, restart.

Ten topics of 1,000 partitions; 1 KiB in each partition, and 1 GB in each topic's first. Kafka is
given a tenth of the partitions and of the bytes, and as many descriptors as it asks for.
"""

from __future__ import annotations

import resource
import time

from benchmarks.report import Report
from benchmarks.servers import Server, makers, resident_bytes
from benchmarks.wire import PRODUCE, Connection, produce_body, record_batch

TOPICS = 10
SMALL = record_batch(1, b"x" * 950)
LARGE = record_batch(976, b"x" * 1012)
LARGE_TOTAL = 1_000_000_000


def fill(server: Server, partitions: int, large_bytes: int) -> None:
    """1 KiB into each partition, and `large_bytes` into the first of each topic."""
    with Connection(server.port) as connection:
        for topic in range(TOPICS):
            for partition in range(partitions):
                connection.send(PRODUCE, 7, produce_body(f"many-{topic}", partition, SMALL, 1))
                if partition % 100 == 99 or partition == partitions - 1:
                    for _ in range(partition % 100 + 1):
                        assert connection.produce_error(connection.receive()) == 0
            for _ in range(large_bytes // len(LARGE)):
                assert connection.produce(f"many-{topic}", 0, LARGE, 1) == 0


def until_led(server: Server, partitions: int) -> None:
    """Wait until every partition of every topic has a leader."""
    with Connection(server.port) as connection:
        for topic in range(TOPICS):
            while not connection.has_leaders(f"many-{topic}", partitions):
                time.sleep(0.005)


def until_acknowledged(server: Server) -> None:
    """Wait until a record is acknowledged by each topic: metadata may name a leader too early."""
    with Connection(server.port) as connection:
        for topic in range(TOPICS):
            while connection.produce(f"many-{topic}", 0, SMALL) != 0:
                time.sleep(0.005)


def one(report: Report, server: Server, partitions: int, large_bytes: int) -> None:
    """Create, fill, stop and start, kill and start."""
    label = f"{TOPICS * partitions:,} partitions: "
    began = time.perf_counter()
    with Connection(server.port) as connection:
        for topic in range(TOPICS):
            assert connection.create_topic(f"many-{topic}", partitions) == 0
    until_led(server, partitions)
    until_acknowledged(server)
    report.add(label + "created and led, s", server.name, time.perf_counter() - began, "≤ 5")
    fill(server, partitions, large_bytes)
    report.add(label + "resident, MB", server.name, resident_bytes(server.pid) / 1e6, "≤ 250")
    # SIGKILL first: afterwards all that was written is known to be whole.
    for how, end in (("SIGKILL", server.kill), ("clean", server.stop)):
        end()
        began = time.perf_counter()
        server.start()
        until_led(server, partitions)
        until_acknowledged(server)
        report.add(f"{label}restart after {how}, s", server.name,
                   time.perf_counter() - began, "≤ 2")


def run(runs: int) -> None:
    """Print the table."""
    del runs  # Once: ten gigabytes are written.
    report = Report("Many partitions")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for make in makers():
        is_pabal = make.__name__ == "Pabal"
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024 if is_pabal else hard, hard))
        server = make(None)
        try:
            if is_pabal:
                one(report, server, 1000, LARGE_TOTAL)
            else:
                one(report, server, 100, LARGE_TOTAL // 10)
        finally:
            server.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    report.print()
