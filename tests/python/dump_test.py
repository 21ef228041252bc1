"""`pabal dump` and kafka-dump-log: what the files of a broker say, line by line as Kafka's tool."""

from __future__ import annotations

import json
import os
import shlex
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pabal
from conformance.kafka import KafkaReference
from pabal import _core
from pabal.cli import main
from pabal.data_files import CorruptFileError, read_batches

DUMP = "org.apache.kafka.tools.DumpLogSegments"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

Run = Callable[..., str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a broker that has served transactions and groups of both kinds."""
    directory = tmp_path_factory.mktemp("data")
    settings = {
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.num.partitions": 1,
        "log.index.interval.bytes": 200,
    }
    with pabal.Cluster(brokers=1, config=settings, data_dir=directory) as cluster:
        cluster.create_topic("orders", partitions=2, config={"retention.ms": -1})
        for codec in CODECS:
            with cluster.producer(compression_type=codec) as producer:
                for number in range(20):
                    producer.send(
                        "orders",
                        f"{codec} {number} äöü" * 9,
                        key=f"{codec}-{number}",
                        partition=0,
                        timestamp=1_700_000_000_000 + number,
                        headers=[("h", b"1"), ("i", None)],
                    )
                producer.send("orders", None, key=b"\x01\xff", partition=1)
        with cluster.producer(transactional_id="tidy") as producer:
            with producer.transaction():
                producer.send("orders", b"kept", partition=1)
            with pytest.raises(RuntimeError, match="on purpose"), producer.transaction():
                producer.send("orders", b"dropped", partition=1).result(30)
                raise RuntimeError("on purpose")
        for protocol in ("classic", "consumer"):
            with cluster.consumer(
                "orders",
                group=f"{protocol}-readers",
                group_protocol=protocol,
                auto_offset_reset="earliest",
            ) as consumer:
                assert consumer.poll(timeout=30)
                consumer.commit()
    return directory


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(line: str, status: int = 0) -> str:
        assert main(shlex.split(line)) == status, capsys.readouterr()
        printed = capsys.readouterr()
        return printed.err if status else printed.out

    return run


def the_file(data: Path, pattern: str) -> Path:
    found = sorted(data.rglob(pattern))
    assert found, pattern
    return found[0]


def objects(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def records(text: str) -> Iterator[dict[str, object]]:
    for batch in objects(text):
        found = batch["records"]
        assert isinstance(found, list)
        yield from found


def test_records_of_a_topic(run: Run, data: Path) -> None:
    log = the_file(data, "orders-0/*.log")
    found = list(records(run(f"dump --json {log}")))
    assert [one["offset"] for one in found] == list(range(100))
    assert found[21]["key"] == "gzip-1"
    assert found[21]["value"] == "gzip 1 äöü" * 9
    assert found[21]["timestamp"] == 1_700_000_000_001
    assert found[21]["headers"] == [["h", "1"], ["i", None]]
    batches = objects(run(f"dump --json --batches {log}"))
    assert {batch["codec"] for batch in batches} == set(CODECS)
    assert all(batch["valid"] and "records" not in batch for batch in batches)
    text = run(f"dump {log}")
    assert "  99  2023-11-14T22:13:20.019Z  zstd-19: zstd 19 äöü" in text
    other = list(records(run(f"dump --json {the_file(data, 'orders-1/*.log')}")))
    assert [one["control"] for one in other if "control" in one] == ["COMMIT", "ABORT"]
    assert other[0]["key"] == {"base64": "Af8="}
    assert other[0]["value"] is None


def test_records_of_the_internal_topics(run: Run, data: Path) -> None:
    offsets = list(records(run(f"dump --json {the_file(data, '__consumer_offsets-0/*.log')}")))
    commits = [one for one in offsets if one["type"] == "OFFSET_COMMIT"]
    groups = {one["key"]["group"] for one in commits}  # type: ignore[index]
    assert groups == {"classic-readers", "consumer-readers"}
    members = [
        member
        for one in offsets
        if one["type"] == "GROUP_METADATA" and one["value"]
        for member in one["value"]["members"]  # type: ignore[index]
    ]
    assert members[0]["subscription"]["topics"] == ["orders"]
    state = list(records(run(f"dump --json {the_file(data, '__transaction_state-0/*.log')}")))
    assert {one["key"]["transactionalId"] for one in state} == {"tidy"}  # type: ignore[index]
    metadata = run(f"dump {the_file(data, '__cluster_metadata-0/*.log')}")
    assert 'TOPIC_RECORD {"name": "orders"' in metadata
    assert "LEADER_CHANGE" in metadata
    # Somebody else's decoder says so of each record, and shows what is there.
    wrong = run(f"dump --decoder offsets {the_file(data, 'orders-0/*.log')}")
    assert "(it is none of offsets: " in wrong


def test_indexes_snapshots_and_checkpoints(run: Run, data: Path) -> None:
    partition = the_file(data, "orders-0/*.log").parent
    entries = objects(run(f"dump --json {the_file(partition, '*.index')}"))
    ends = {
        batch["position"]: batch["last_offset"]
        for batch in objects(run(f"dump --json --batches {the_file(partition, '*.log')}"))
    }
    assert entries
    assert all(ends[entry["position"]] == entry["offset"] for entry in entries)
    assert objects(run(f"dump --json {the_file(partition, '*.timeindex')}"))[-1]["offset"]
    snapshot = the_file(data, "orders-1/*.snapshot")
    producers = objects(run(f"dump --json {snapshot}"))
    assert all(one["current_txn_first_offset"] == -1 for one in producers)
    assert len(producers) == len(CODECS) + 1
    (aborted,) = objects(run(f"dump --json {the_file(data, 'orders-1/*.txnindex')}"))
    assert aborted["producer_id"] in {one["producer_id"] for one in producers}
    epochs = objects(run(f"dump --json {the_file(partition, 'leader-epoch-checkpoint')}"))
    assert [one["start_offset"] for one in epochs] == [0]
    (properties,) = objects(run(f"dump --json {the_file(data, 'meta.properties')}"))
    assert properties["properties"]["version"] == "1"  # type: ignore[index]
    assert '"leaderEpoch"' in run(f"dump {the_file(data, 'quorum-state')}")
    everything = run(f"dump {data}")
    assert "orders-1" in everything
    assert "quorum-state" in everything


def test_what_is_damaged_is_told_with_its_place(run: Run, data: Path, tmp_path: Path) -> None:
    content = the_file(data, "orders-0/*.log").read_bytes()
    log = tmp_path / "00000000000000000000.log"
    second = next(
        batch.position for batch in read_batches(the_file(data, "orders-0/*.log")) if batch.position
    )
    log.write_bytes(content[: second + 40])
    assert f"{log}: at byte {second}: the last 40 bytes are no whole" in run(f"dump {log}", 1)
    log.write_bytes(content[:second] + bytes(100))
    assert f"at byte {second}: a batch of 0 bytes is none" in run(f"dump {log}", 1)
    # One flipped bit of a compressed batch: the checksum tells, and so does what inflates.
    gzip = next(
        batch for batch in read_batches(the_file(data, "orders-0/*.log")) if batch.codec == "gzip"
    )
    flipped = bytearray(content)
    flipped[gzip.position + 75] ^= 0x40
    log.write_bytes(flipped)
    assert "THE CHECKSUM IS WRONG" in _out(f"dump --batches {log}")
    assert f"at byte {gzip.position}: batch of offsets 20 to" in run(f"dump {log}", 1)
    snapshot = tmp_path / "00000000000000000100.snapshot"
    damaged = bytearray(the_file(data, "orders-1/*.snapshot").read_bytes())
    damaged[20] ^= 1
    snapshot.write_bytes(damaged)
    assert "the checksum is" in run(f"dump {snapshot}", 1)
    index = tmp_path / "00000000000000000000.index"
    index.write_bytes(bytes(11))
    assert "at byte 8: an entry of 8 bytes is cut off" in run(f"dump {index}", 1)
    epochs = tmp_path / "leader-epoch-checkpoint"
    epochs.write_text("0\n1\nzero 0\n")
    assert 'at byte 4: "zero 0" is not leader_epoch, start_offset' in run(f"dump {epochs}", 1)
    assert "No such file" in run(f"dump {tmp_path / 'no.log'}", 1)
    assert "pabal dump reads .log, .index" in run(f"dump {__file__}", 1)


def _out(line: str) -> str:
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(shlex.split(line)) == 1
    return out.getvalue()


def test_no_bytes_do_harm(data: Path, tmp_path: Path) -> None:
    """Whatever stands in a file: it is read, or `CorruptFileError` says where it is wrong."""
    import random

    dice = random.Random(7)
    log = tmp_path / "00000000000000000000.log"
    for pattern in ("orders-0/*.log", "__consumer_offsets-0/*.log", "__cluster_metadata-0/*.log"):
        content = the_file(data, pattern).read_bytes()
        for _ in range(60):
            damaged = bytearray(content)
            for _ in range(dice.randrange(1, 6)):
                damaged[dice.randrange(len(damaged))] = dice.randrange(256)
            log.write_bytes(damaged[: dice.randrange(len(damaged))])
            try:
                for batch in read_batches(log):
                    assert batch.size > 0
                    for record in batch.records():
                        if batch.control:
                            batch.control_of(record)
            except CorruptFileError as error:
                assert 0 <= error.position <= len(damaged)
            main(["dump", "--decoder", "offsets", str(log)])
            main(["dump", "--decoder", "metadata", str(log)])


def test_what_inflates_is_bounded() -> None:
    import gzip

    with pytest.raises(ValueError, match="inflate"):
        _core.inflate(1, gzip.compress(bytes(100_000)), 1000)
    with pytest.raises(ValueError, match="no codec has the number 9"):
        _core.inflate(9, b"", 10)
    assert _core.inflate(1, gzip.compress(b"content"), 1000) == b"content"
    assert _core.crc32c(b"123456789") == 0xE3069283


def test_what_kafka_prints(run: Run, data: Path) -> None:
    log = the_file(data, "orders-0/*.log")
    dumped, start, batch, *_ = run(f"kafka-dump-log --files {log}").splitlines()
    assert (dumped, start) == (f"Dumping {log}", "Log starting offset: 0")
    assert batch.startswith("baseOffset: 0 lastOffset: ")
    assert " position: 0 CreateTime: 17" in batch
    assert batch.endswith(" isvalid: true")
    deep = run(f"kafka-dump-log --print-data-log --files {log}").splitlines()
    assert " headerKeys: [h,i] key: none-0 payload: none 0 äöü" in deep[3]
    assert run("kafka-dump-log", 1).startswith("the following arguments are required: --files")


@pytest.mark.reference
def test_the_lines_are_those_of_kafkas_tool(
    kafka: KafkaReference, data: Path, run: Run, tmp_path: Path
) -> None:
    logs = sorted(data.rglob("0*.log"))
    compared = [
        (sorted(data.rglob("orders-*/*.log")), "--print-data-log"),
        (sorted(data.rglob("orders-*/*.log")), "--deep-iteration"),
        (sorted(data.rglob("orders-*/*.log")), "--print-data-log --skip-record-metadata"),
        (logs, "--max-bytes 700"),
        (sorted(data.rglob("__consumer_offsets-*/*.log")), "--offsets-decoder"),
        (sorted(data.rglob("__transaction_state-*/*.log")), "--transaction-log-decoder"),
        (
            [*data.rglob("__cluster_metadata-*/*.log"), *data.rglob("*.checkpoint")],
            "--cluster-metadata-decoder",
        ),
        (
            sorted(
                path
                for path in data.rglob("*-*/0*")
                if path.suffix in (".index", ".timeindex", ".snapshot", ".txnindex")
                and path.stat().st_size
            ),
            "",
        ),
        (sorted(path for path in data.rglob("0*.index") if path.stat().st_size),
         "--index-sanity-check"),
    ]
    for files, options in compared:
        assert files, options
        words = f"--files {','.join(map(str, files))} {options}"
        theirs = kafka.tool(DUMP, *shlex.split(words))
        assert theirs.returncode == 0, theirs.stderr
        ours = run(f"kafka-dump-log {words}")
        assert ours.splitlines() == theirs.stdout.splitlines(), options
    broken = tmp_path / "00000000000000000000.log"
    broken.write_bytes(the_file(data, "orders-0/*.log").read_bytes()[:-7])
    theirs = kafka.tool(DUMP, "--files", str(broken))
    assert run(f"kafka-dump-log --files {broken}") == theirs.stdout
    assert "invalid bytes at the end" in theirs.stdout


def test_a_magic_of_another_time(tmp_path: Path, run: Run) -> None:
    log = tmp_path / "00000000000000000000.log"
    log.write_bytes(struct.pack(">qiIBB", 0, 14, 0, 1, 0) + bytes(8))
    assert "batches of format 1 are not read" in run(f"dump {log}", 1)
    assert os.path.getsize(log) == 26
