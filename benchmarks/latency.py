"""From a producer's send to a consumer's poll: 10,000 records/s of 100 B, three replicas, acks=all.

One process with a producer and a consumer, with pabal's own C++ client and with Kafka's Java
client, both with linger.ms=0 and otherwise with their defaults, at three brokers that are processes
of their own. Open loop: a record's clock starts when it is sent, and nothing waits for answers. The
Kafka brokers are warmed up first, as the JVM compiles its code; each run has five seconds that are
not counted, and ten that are. `late` is how much later than planned the sender was, which no client
is charged with: on a machine that is too small or too busy it shows there first.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.clusters import Cluster, cluster_makers, create_topic
from benchmarks.java_producer import produce_by_java
from benchmarks.report import Report
from benchmarks.servers import KafkaMissing, KafkaReference

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "release"  # As `make build` has it.
JAVA_SOURCE = Path(__file__).parent / "latency_probe" / "LatencyProbe.java"
PARTITIONS = 6
RATE = 10_000
UNCOUNTED = 5 * RATE
COUNTED = 10 * RATE
WARM_UP_RECORDS = 2_000_000
AIMS = {"p50": "≤ 1", "p99": "≤ 3", "p99.9": "≤ 5", "max": ""}


def native_probe() -> Path:
    """The program with the C++ client, built as what is installed was."""
    if not (BUILD / "CMakeCache.txt").exists():
        raise SystemExit(f"{BUILD} is missing: run `make build` first")
    subprocess.run(["cmake", "--build", str(BUILD), "--target", "latency_probe"], check=True,
                   stdout=subprocess.DEVNULL)
    return BUILD / "bin" / "latency_probe"


def by_native(probe: Path, arguments: list[str]) -> str:
    """What the C++ client's probe prints."""
    done = subprocess.run([probe, *arguments], capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def by_java(kafka: KafkaReference, arguments: list[str]) -> str:
    """What the Java client's probe prints."""
    done = kafka.tool(str(JAVA_SOURCE), *arguments, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def measure(report: Report, cluster: Cluster, client: str, probe: Callable[[list[str]], str],
            topic: str) -> None:
    """One run of one client on one cluster."""
    create_topic(cluster.bootstrap_servers, topic, PARTITIONS)
    told = probe([cluster.bootstrap_servers, topic,
                  *map(str, (PARTITIONS, RATE, UNCOUNTED, COUNTED))])
    for line in told.splitlines():
        what, *microseconds = line.split()
        for name, value in zip(AIMS, microseconds, strict=True):
            if what == "end-to-end":
                aim = AIMS[name] if client.startswith("C++") else ""
                report.add(f"{client}: {name} ms", cluster.name, float(value) / 1000, aim)
            elif name == "p99.9":
                report.add(f"{client}: late, {name} ms", cluster.name, float(value) / 1000)


def run(runs: int) -> None:
    """Print the table."""
    report = Report("End to end: 10,000 records/s of 100 B, three replicas, acks=all, linger 0")
    native = native_probe()
    clients: dict[str, Callable[[list[str]], str]] = {
        "C++ client": lambda arguments: by_native(native, arguments)
    }
    try:
        kafka = KafkaReference()
        clients["Java client"] = lambda arguments: by_java(kafka, arguments)
    except KafkaMissing:
        pass  # It was said that nothing is compared.
    for make in cluster_makers():
        print(f"load average before {make.__name__}: {os.getloadavg()[0]:.1f}", flush=True)
        cluster = make()
        try:
            create_topic(cluster.bootstrap_servers, "warm-up", PARTITIONS)
            produce_by_java(cluster.bootstrap_servers, cluster.pids, "warm-up", 100,
                            WARM_UP_RECORDS)
            for number in range(runs):
                for index, (client, probe) in enumerate(clients.items()):
                    measure(report, cluster, client, probe, f"latency-{index}-{number}")
        finally:
            cluster.close()
    report.print()
