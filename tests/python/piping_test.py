"""Records between files and topics: `pabal produce`, `pabal consume` and Kafka's consoles."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pabal
from pabal.cli import main

Run = Callable[..., str]


@pytest.fixture
def run(
    pabal_cluster: pabal.Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> Run:
    """Runs a command line with an input; gives what it printed, or what it complained about."""
    monkeypatch.setenv("PABAL_BOOTSTRAP_SERVER", pabal_cluster.bootstrap_servers)

    def run(line: str, given: bytes = b"", status: int = 0) -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert main(line.split()) == status, capsysbinary.readouterr()
        printed = capsysbinary.readouterr()
        return (printed.err if status else printed.out).decode()

    return run


def test_lines_there_and_back(run: Run, pabal_topic: pabal.Topic, tmp_path: Path) -> None:
    name = pabal_topic.name
    assert run(f"produce {name}", b"tea\ncoffee\n") == "2 records\n"
    (tmp_path / "more").write_bytes(b"ann:milk\r\nbob:a:b")
    assert json.loads(run(f"produce {name} {tmp_path}/more -K : --json"))["records"] == 2
    assert run(f"consume {name}").splitlines() == ["tea", "coffee", "milk", "a:b"]
    assert run(f"consume {name} --from 3").splitlines() == ["a:b"]
    assert run(f"consume {name} --from -2 -n 1").splitlines() == ["milk"]
    assert run(f"consume {name} --from latest") == ""
    shown = run(f"consume {name} --from 2 --format {{offset}}\\t{{key}}={{value}}")
    assert shown.splitlines() == ["2\tann=milk", "3\tbob=a:b"]
    assert run(f"consume {name} --from 2001-01-01T00:00:00Z -n 1") == "tea\n"


def test_json_there_and_back(run: Run, pabal_topic_factory: Callable[..., pabal.Topic]) -> None:
    source, target = pabal_topic_factory(partitions=2), pabal_topic_factory(partitions=2)
    records = [
        {"value": "tea", "key": "ann", "partition": 1, "timestamp": 5, "headers": {"from": "till"}},
        {"value": {"base64": "/w=="}, "partition": 0, "timestamp": 6},
        {"value": None, "key": "ann", "partition": 0, "timestamp": 7},
    ]
    text = "\n".join(map(json.dumps, records)).encode()
    assert run(f"produce {source.name} --format json", text) == "3 records\n"
    printed = run(f"consume {source.name} --json")
    told = [json.loads(line) for line in printed.splitlines()]
    first = next(record for record in told if record["partition"] == 1)
    assert first["headers"] == [["from", "till"]]
    assert (first["key"], first["value"], first["timestamp"]) == ("ann", "tea", 5)
    run(f"produce {target.name} --format json", printed.encode())
    again = run(f"consume {target.name} --json").replace(target.name, source.name)
    assert sorted(again.splitlines()) == sorted(printed.splitlines())
    assert len(run(f"consume {source.name} --partition 0").splitlines()) == 2


def test_a_group_goes_on_where_it_was(
    run: Run, pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic
) -> None:
    name = pabal_topic.name
    run(f"produce {name}", b"one\ntwo\n")
    assert run(f"consume {name} --group g-{name}").splitlines() == ["one", "two"]
    run(f"produce {name}", b"three\n")
    assert run(f"consume {name} --group g-{name}").splitlines() == ["three"]
    assert pabal_cluster.group(f"g-{name}").lag == 0


def test_following_ends_with_the_count(run: Run, pabal_topic: pabal.Topic) -> None:
    run(f"produce {pabal_topic.name}", b"1\n2\n3\n")
    assert run(f"consume {pabal_topic.name} --follow -n 2") == "1\n2\n"


def test_mistakes_are_told_in_one_line(run: Run, pabal_topic: pabal.Topic) -> None:
    name = pabal_topic.name
    assert "did you mean" in run(f"consume {name[:-1]}", status=1)
    assert "line 2 has no ':'" in run(f"produce {name} -K :", b"a:b\nc\n", status=1)
    assert "line 1 is no record" in run(f"produce {name} --format json", b"[]\n", status=1)
    assert "{value}" in run(f"consume {name} --format {{nonsense}}", status=1)
    assert "is no place" in run(f"consume {name} --from soon", status=1)
    assert "has no partition 7" in run(f"consume {name} --partition 7", status=1)
    assert "did you mean linger_ms?" in run(f"produce {name} -X lingerms=5", status=1)
    assert "NAME=VALUE" in run(f"consume {name} -X linger", status=1)


def test_whoever_reads_may_have_enough(pabal_cluster: pabal.Cluster, run: Run) -> None:
    pabal_cluster.create_topic("many")
    run("produce many", b"".join(b"%d\n" % number for number in range(50_000)))
    command = f"{sys.executable} -m pabal consume many | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )
    pabal_cluster.delete_topic("many")
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_kafkas_consoles(run: Run, pabal_topic: pabal.Topic) -> None:
    name = pabal_topic.name
    keyed = "--property parse.key=true --property key.separator=:"
    assert run(f"kafka-console-producer --topic {name} {keyed}", b"ann:tea\nbob:milk\n") == ""
    consume = f"kafka-console-consumer --topic {name} --from-beginning --timeout-ms 500"
    assert run(f"{consume} --max-messages 2").splitlines() == ["tea", "milk"]
    shown = "--property print.key=true --property print.offset=true --property print.partition=true"
    assert run(f"{consume} {shown}").splitlines() == [
        "Partition:0\tOffset:0\tann\ttea",
        "Partition:0\tOffset:1\tbob\tmilk",
    ]
    one = f"kafka-console-consumer.sh --topic {name} --partition 0 --offset 1 --max-messages 1"
    assert run(one) == "milk\n"
    headers = "--property parse.headers=true"
    run(f"kafka-console-producer --topic {name} {headers}", b"a:1,b:2\tcake\n")
    last = f"kafka-console-consumer --topic {name} --partition 0 --offset 2 --max-messages 1"
    assert run(f"{last} --property print.headers=true") == "a:1,b:2\tcake\n"
    assert "No key separator" in run(
        f"kafka-console-producer --topic {name} {keyed}", b"cake\n", status=1
    )
    assert "partition is required" in run(
        f"kafka-console-consumer --topic {name} --offset 1", status=1
    )
