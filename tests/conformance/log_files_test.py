"""Our log files and Kafka's: each reads what the other wrote."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from conformance.kafka import KafkaReference

pytestmark = pytest.mark.reference

ROOT = Path(__file__).parents[2]
BUILD = ROOT / os.environ.get("PABAL_BUILD", "build/dev")
SAMPLES = BUILD / "tests" / "conformance" / "log_samples"

DUMP = "org.apache.kafka.tools.DumpLogSegments"
TOPICS = "org.apache.kafka.tools.TopicCommand"
PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
COMPLAINTS = re.compile(
    r"mismatch|out of order|not sorted|isvalid: false|corrupt|exception|error|"
    r"non-consecutive|failed|zero size",
    re.IGNORECASE,
)


def samples(*arguments: object) -> list[str]:
    result = subprocess.run(
        [str(SAMPLES), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def read(partition: Path) -> list[str]:
    """What a partition's directory holds; of a copy, since opening one puts its files in order."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / partition.name
        shutil.copytree(partition, copy)
        return samples("read", copy)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not SAMPLES.exists():
        pytest.skip(f"{SAMPLES} is not built")
    directory = tmp_path_factory.mktemp("logs")
    samples("write", directory)
    return directory


def dump(kafka: KafkaReference, files: list[Path], *options: str) -> str:
    result = kafka.tool(DUMP, "--files", ",".join(map(str, files)), *options)
    assert result.returncode == 0, result.stderr
    # The tool takes every segment for a log's first; of any segment it says that.
    said = re.sub(r"Non-consecutive offsets in \S+\n  -1 is followed by \d+\n", "", result.stderr)
    assert not said.strip(), said
    return result.stdout


def test_kafka_dump_log_reads_our_segments_without_complaint(
    kafka: KafkaReference, ours: Path
) -> None:
    logs = sorted(ours.glob("*/*.log"))
    assert len(logs) >= 12
    said = dump(kafka, logs, "--deep-iteration", "--print-data-log")
    # The values are letters only, so that nothing in them looks like a complaint.
    complaints = [line for line in said.splitlines() if COMPLAINTS.search(line)]
    assert not complaints, complaints[:10]
    assert said.count("Dumping ") == len(logs)
    for partition in sorted(ours.iterdir()):
        records = [line for line in read(partition) if line.startswith("record ")]
        assert records
        for line in records[:: max(1, len(records) // 20)]:
            _, offset, timestamp, key, value = line.split(" ")
            assert f"| offset: {offset} CreateTime: {timestamp} " in said
            assert f" key: {key} payload: {value}" in said


def test_kafka_dump_log_finds_our_indexes_right(kafka: KafkaReference, ours: Path) -> None:
    indexes = sorted([*ours.glob("*/*.index"), *ours.glob("*/*.timeindex")])
    assert len(indexes) >= 10
    said = dump(kafka, indexes)
    complaints = [line for line in said.splitlines() if COMPLAINTS.search(line)]
    assert not complaints, complaints[:10]
    assert said.count("offset: ") > 100
    assert said.count("timestamp: ") > 100
    said = dump(kafka, indexes, "--index-sanity-check")
    assert said.count("passed sanity check") == len(indexes)


def test_kafka_dump_log_reads_our_snapshots_and_transaction_indexes(
    kafka: KafkaReference, ours: Path
) -> None:
    partition = ours / "transactions-0"
    snapshots = sorted(partition.glob("*.snapshot"))
    assert snapshots
    said = dump(kafka, snapshots)
    known = [line.split() for line in read(partition) if line.startswith("producer ")]
    assert len(known) == 3
    for _, producer, _, epoch, _, last, _, start in known:
        # The last snapshot is the one of the log's end.
        line = next(
            line for line in reversed(said.splitlines()) if f"producerId: {producer} " in line
        )
        assert f"producerEpoch: {epoch} " in line
        assert f"lastSequence: {last} " in line
        if start != "-1":
            assert f"currentTxnFirstOffset: {start}" in line or f"Optional[{start}]" in line or (
                f"OptionalLong[{start}]" in line
            )
    indexes = sorted(partition.glob("*.txnindex"))
    assert indexes
    said = dump(kafka, indexes)
    aborted = [line.split() for line in read(partition) if line.startswith("aborted ")]
    assert len(aborted) == said.count("producerId: ") > 3
    for _, producer, _, first in aborted:
        assert re.search(rf"producerId: {producer} firstOffset: {first} ", said)


def fields(said: str) -> list[tuple[int, int, str, str]]:
    pattern = r"^\| offset: (\d+) (?:CreateTime|LogAppendTime): (-?\d+).* key: (.*) payload: (.*)$"
    return [
        (int(offset), int(timestamp), key, value)
        for offset, timestamp, key, value in re.findall(pattern, said, re.MULTILINE)
    ]


def produce(kafka: KafkaReference, servers: str, topic: str, lines: list[str], *more: str) -> None:
    result = kafka.tool(
        PRODUCER,
        *("--bootstrap-server", servers, "--topic", topic),
        *("--reader-property", "parse.key=true", "--reader-property", "key.separator=:"),
        *more,
        input="".join(line + "\n" for line in lines),
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_each_goes_on_where_the_other_stopped(kafka: KafkaReference) -> None:
    """Kafka writes, we read it and append to it, Kafka serves what both wrote."""
    if not SAMPLES.exists():
        pytest.skip(f"{SAMPLES} is not built")
    lines = [f"k{i}:{'v' * (i % 700)}" for i in range(2000)]
    settings = {"log.segment.bytes": "1048576", "log.index.interval.bytes": "4096"}
    with kafka.broker(settings) as broker:
        created = kafka.tool(
            TOPICS,
            *("--bootstrap-server", broker.bootstrap_servers, "--create", "--topic", "shared"),
            *("--partitions", "1", "--replication-factor", "1"),
            *("--config", "segment.bytes=1048576"),
        )
        assert created.returncode == 0, created.stdout + created.stderr
        for part, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
            produce(
                kafka,
                broker.bootstrap_servers,
                "shared",
                lines[part * 400 : part * 400 + 400],
                *("--compression-codec", codec, "--batch-size", "2000"),
            )
        partition = broker.log_dir / "shared-0"

        # As a kill leaves it: preallocated indexes and all.
        broker.kill()
        assert (partition / "00000000000000000000.index").stat().st_size == 10 << 20
        killed = read(partition)
        assert killed[0].startswith("log 0 2000 ")
        broker.start()
        broker.stop()

        files = sorted(partition.glob("*.log"))
        theirs = fields(dump(kafka, files, "--deep-iteration", "--print-data-log"))
        assert [(key, value) for _, _, key, value in theirs] == [
            tuple(line.split(":")) for line in lines
        ]
        expected = [
            f"record {offset} {timestamp} {key} {value}" for offset, timestamp, key, value in theirs
        ]
        assert [line for line in killed if line.startswith("record ")] == expected
        ours = read(partition)
        assert [line for line in ours if line.startswith("record ")] == expected
        assert sum(line.startswith("producer ") for line in ours) == 5

        samples("append", partition, 500)
        broker.start()
        produce(kafka, broker.bootstrap_servers, "shared", ["last:one"])
        consumed = kafka.tool(
            CONSUMER,
            *("--bootstrap-server", broker.bootstrap_servers, "--topic", "shared"),
            *("--from-beginning", "--max-messages", "2501", "--timeout-ms", "30000"),
            *("--formatter-property", "print.key=true"),
            *("--formatter-property", "print.offset=true"),
        )
        got = consumed.stdout.splitlines()
        assert len(got) == 2501, consumed.stderr
        assert [int(line.split("\t")[0].removeprefix("Offset:")) for line in got] == list(
            range(2501)
        )
        assert got[2000].split("\t")[1].startswith("key-0-0")
        assert got[-1].split("\t")[1:] == ["last", "one"]
