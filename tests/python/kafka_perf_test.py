"""kafka-producer-perf-test and kafka-consumer-perf-test: Kafka's options and shape of lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import pabal
from conformance.kafka import KafkaReference
from pabal.cli import main

PRODUCER = "org.apache.kafka.tools.ProducerPerformance"
CONSUMER = "org.apache.kafka.tools.ConsumerPerformance"
TOTAL = re.compile(
    r"(\d+)( steady state)? records sent, \d+\.\d{6} records/sec \(\d+\.\d\d MB/sec\), "
    r"\d+\.\d\d ms avg latency, \d+\.\d\d ms max latency, \d+ ms 50th, \d+ ms 95th, \d+ ms 99th, "
    r"\d+ ms 99\.9th\."
)
WINDOW = re.compile(
    r"\d+ records sent, \d+\.\d records/sec \(\d+\.\d\d MB/sec\), \d+\.\d ms avg latency, "
    r"\d+\.\d ms max latency\."
)

Run = Callable[..., list[str]]


@pytest.fixture
def run(pabal_cluster: pabal.Cluster, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(line: str, status: int = 0) -> list[str]:
        words = [*shlex.split(line), "--bootstrap-server", pabal_cluster.bootstrap_servers]
        assert main(words) == status, capsys.readouterr()
        printed = capsys.readouterr()
        return (printed.err if status else printed.out).splitlines()

    return run


def held(topic: pabal.Topic) -> int:
    return sum(end - start for start, end in topic.offsets())


def values(cluster: pabal.Cluster, topic: pabal.Topic, count: int) -> list[bytes | None]:
    with cluster.consumer(topic.name, auto_offset_reset="earliest") as consumer:
        found: list[bytes | None] = []
        for record in consumer:
            found.append(record.value)
            if len(found) == count:
                return found
    raise AssertionError("a consumer ended by itself")


def test_producing(run: Run, pabal_topic: pabal.Topic) -> None:
    tool = f"kafka-producer-perf-test --topic {pabal_topic.name} --record-size 50 --throughput -1"
    (line,) = run(f"{tool} --num-records 3000 --command-property acks=1 linger.ms=1")
    match = TOTAL.fullmatch(line)
    assert match and match[1] == "3000", line
    assert held(pabal_topic) == 3000
    first, *windows, all_of_them, steady = run(
        f"{tool} --num-records 600 --warmup-records 200 --reporting-interval 100 "
        "--throughput 1000"
    )
    assert first.startswith("Warmup first 200 records. Steady state results will print after")
    assert windows
    assert all(WINDOW.fullmatch(one) or one == "In steady state." for one in windows), windows
    found = [TOTAL.fullmatch(one) for one in (all_of_them, steady)]
    assert [one and one.groups() for one in found] == [("600", None), ("400", " steady state")]


def test_what_is_sent(
    run: Run, pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic, tmp_path: Path
) -> None:
    tool = f"kafka-producer-perf-test --topic {pabal_topic.name} --throughput -1"
    run(f"{tool} --num-records 3 --payload-monotonic")
    lines = tmp_path / "payloads"
    lines.write_text("one;two")
    properties = tmp_path / "producer.properties"
    properties.write_text(
        "# of a Java client\n"
        "key.serializer=org.apache.kafka.common.serialization.StringSerializer\n"
        "linger.ms = 1\n"
    )
    read, count, _ = run(
        f"{tool} --num-records 4 --payload-file {lines} --payload-delimiter ';' "
        f"--producer.config {properties}"
    )
    assert read == f"Reading payloads from: {lines}"
    assert count == "Number of records read: 2"
    run(f"{tool} --num-records 5 --record-size 7 --transaction-duration-ms 1")
    found = values(pabal_cluster, pabal_topic, 12)
    assert found[:3] == [b"0", b"1", b"2"]
    assert set(found[3:7]) <= {b"one", b"two"}
    assert all(value is not None and re.fullmatch(rb"[A-Z]{7}", value) for value in found[7:])


def test_consuming(run: Run, pabal_topic: pabal.Topic) -> None:
    name = pabal_topic.name
    run(
        f"kafka-producer-perf-test --topic {name} --num-records 2000 --record-size 50 "
        "--throughput -1"
    )
    tool = "kafka-consumer-perf-test"
    head, row = run(f"{tool} --topic {name} --num-records 2000")
    cells = dict(zip(head.split(", "), row.split(", "), strict=True))
    assert list(cells)[:3] == ["start.time", "end.time", "data.consumed.in.MB"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d:\d{3}", cells["start.time"])
    assert cells["data.consumed.in.nMsg"] == "2000"
    assert cells["data.consumed.in.MB"] == f"{100_000 / 1024 / 1024:.4f}"
    (only,) = run(f"{tool} --include {name[:-1]}. --messages 5 --hide-header")
    assert only.split(", ")[4] == "5"
    warning, rows = run(f"{tool} --topic {name} --num-records 2001 --timeout 500 --hide-header")
    assert warning.startswith("WARNING: Exiting before consuming the expected number of records")
    assert rows.split(", ")[4] == "2000"
    detailed = run(
        f"{tool} --topic {name} --num-records 2000 --show-detailed-stats --reporting-interval 1 "
        "--date-format HH:mm"
    )
    assert detailed[0].startswith("time, threadId, ")
    assert re.match(r"\d\d:\d\d, 0, \d+\.\d{4}, ", detailed[1])


def test_wrong_usage(run: Run, pabal_topic: pabal.Topic) -> None:
    tool = f"kafka-producer-perf-test --topic {pabal_topic.name}"
    (line,) = run(f"{tool} --num-records 5 --warmup-records 5 --record-size 1 --throughput -1", 1)
    assert "must be strictly fewer" in line
    line = run(f"{tool} --num-records 5 --throughput -1", 1)[0]
    assert "one of the arguments --record-size --payload-file" in line
    (line,) = run(
        f"{tool} --num-records 5 --record-size 1 --throughput -1 --producer-props lingr.ms=1", 1
    )
    assert "did you mean linger_ms?" in line


@pytest.mark.reference
def test_the_lines_have_the_shape_of_kafkas(
    kafka: KafkaReference, run: Run, pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic
) -> None:
    def shapes(lines: list[str]) -> list[str]:
        return [re.sub(r"\d+", "9", line) for line in lines if line.strip()]

    servers = ("--bootstrap-server", pabal_cluster.bootstrap_servers)
    for tool, java, words in (
        (
            "kafka-producer-perf-test",
            PRODUCER,
            f"--topic {pabal_topic.name} --num-records 900 --record-size 20 --throughput -1 "
            "--warmup-records 100",
        ),
        (
            "kafka-consumer-perf-test",
            CONSUMER,
            f"--topic {pabal_topic.name} --num-records 900 --timeout 30000",
        ),
    ):
        theirs = kafka.tool(java, *shlex.split(words), *servers)
        assert theirs.returncode == 0, theirs.stderr
        assert shapes(run(f"{tool} {words}")) == shapes(theirs.stdout.splitlines())
