"""The command line against a live broker: what it prints, what it answers to mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import pabal
from conformance.kafka import KafkaBroker
from pabal.cli import main

Run = Callable[..., str]


@pytest.fixture
def run(
    pabal_cluster: pabal.Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command line; gives what it printed, or what it complained about."""
    monkeypatch.setenv("PABAL_BOOTSTRAP_SERVER", pabal_cluster.bootstrap_servers)

    def run(line: str, status: int = 0) -> str:
        assert main(line.split()) == status, capsys.readouterr()
        printed = capsys.readouterr()
        assert not (printed.out and printed.err)
        return printed.err if status else printed.out

    return run


def test_a_topics_life(run: Run, pabal_cluster: pabal.Cluster) -> None:
    created = "topic create orders --partitions 3 --config retention.ms=60000"
    assert run(created) == "orders has 3 partitions\n"
    assert run(created + " --if-not-exists") == "orders has 3 partitions\n"
    assert "already exists" in run(created, 1)
    assert run("topic list") == "orders\n"
    assert json.loads(run("topic list --json"))[0]["name"] == "orders"
    assert run("topic alter orders --partitions 4") == "orders has 4 partitions\n"
    described = run("topic describe orders").splitlines()
    assert described[1] == "  retention.ms=60000"
    assert described[2].split() == "PARTITION LEADER REPLICAS IN SYNC LOG START LOG END".split()
    assert described[6].split() == ["3", "0", "0", "0", "0", "0"]
    (orders,) = json.loads(run("topic describe orders --json"))
    assert orders["config"] == {"retention.ms": "60000"}
    assert [row["partition"] for row in orders["partitions"]] == [0, 1, 2, 3]
    assert run("topic delete orders") == "deleted orders\n"
    assert run("topic list") == ""


def test_settings(run: Run, pabal_topic: pabal.Topic) -> None:
    name = pabal_topic.name
    (one_for_all,) = json.loads(run(f"config get topic {name} --json"))
    assert (one_for_all["name"], one_for_all["from"]) == ("min.insync.replicas", "brokers")
    assert run(f"config set topic {name} retention.ms=5 cleanup.policy=delete")
    assert run(f"config get topic {name} retention.ms") == "5\n"
    assert [row["name"] for row in json.loads(run(f"config get topic {name} --json"))] == [
        "cleanup.policy",
        "min.insync.replicas",
        "retention.ms",
    ]
    assert run(f"config unset topic {name} retention.ms") == "retention.ms is back to its default\n"
    assert run(f"config get topic {name} retention.ms") == "604800000\n"
    assert "segment.bytes" in run(f"config get topic {name} --all")
    assert "node.id" in run("config get broker 0")
    assert "did you mean retention.ms?" in run(f"config get topic {name} retention.mss", 1)
    assert run(f"config set topic {name} retention.mss=1", 1).count("did you mean") == 1
    assert "NAME=VALUE" in run(f"config set topic {name} retention.ms", 1)
    assert "broker 7 is not alive" in run("config get broker 7", 1)


def test_groups(run: Run, pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic) -> None:
    from confluent_kafka import Consumer, Producer

    client = {"bootstrap.servers": pabal_cluster.bootstrap_servers, "log_level": 0}
    producer = Producer(client)
    for _ in range(10):
        producer.produce(pabal_topic.name, b"order")
    assert producer.flush(30) == 0
    consumer = Consumer(
        {
            **client,
            "group.id": "shipping",
            "client.id": "packer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([pabal_topic.name])
    messages = consumer.consume(4, 30)
    consumer.commit(messages[-1], asynchronous=False)
    try:
        group = pabal_cluster.groups()["shipping"]
        assert group.state == "Stable"
        assert group.lag == 6
        (member,) = group.members
        assert member.client_id == "packer"
        assert member.assignment == ((pabal_topic.name, 0),)
        (partition,) = group.partitions()
        assert (partition.committed, partition.end, partition.member) == (4, 10, member)
        assert "packer" in group._repr_html_()

        assert run("group list").splitlines()[1].split() == ["shipping", "classic", "Stable"]
        (described,) = json.loads(run("group describe shipping --json"))
        assert described["partitions"][0]["lag"] == 6
        assert described["members"][0]["client_id"] == "packer"
        assert run("group describe shipping").splitlines()[2].split()[:5] == [
            pabal_topic.name,
            *("0", "4", "10", "6"),
        ]
        assert "group" in run("group delete shipping", 1)
    finally:
        consumer.close()
    assert "did you mean shipping?" in run("group describe shiping", 1)
    assert run("group delete shipping") == "deleted shipping\n"
    assert run("group list") == ""


def test_offsets_and_partitions_of_a_topic(
    pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic
) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": pabal_cluster.bootstrap_servers})
    producer.produce(pabal_topic.name, b"order")
    assert producer.flush(30) == 0
    assert pabal_topic.offsets() == ((0, 1),)
    pabal_topic.add_partitions(3)
    assert pabal_topic.offsets() == ((0, 1), (0, 0), (0, 0))
    with pytest.raises(pabal.errors.InvalidPartitionsError):
        pabal_topic.add_partitions(2)


def test_mistakes_are_told_in_one_line(run: Run, pabal_topic: pabal.Topic) -> None:
    wrong = pabal_topic.name[:-1]
    assert run(f"topic describe {wrong}", 1) == (
        f"pabal: there is no topic {wrong}; did you mean {pabal_topic.name}?\n"
    )
    assert run(f"topic delete {wrong}", 1).startswith("pabal: there is no topic")
    assert "host:port" in run("topic list --bootstrap-server nowhere", 1)
    assert "localhost:1" in run("topic list --bootstrap-server localhost:1", 1)


@pytest.mark.parametrize(
    "line", ["topic", "topic create", "topic list --timeout soon", "topic list --timeout -1", "no"]
)
def test_wrong_usage_ends_with_2(line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pabal", *line.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "usage: pabal" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.reference
def test_the_same_commands_on_apache_kafka(
    kafka_broker: KafkaBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    from confluent_kafka import Consumer

    servers = kafka_broker.bootstrap_servers

    def run(line: str, status: int = 0) -> str:
        family, action, *rest = line.split()
        assert main([family, action, "--bootstrap-server", servers, *rest]) == status
        printed = capsys.readouterr()
        return printed.err if status else printed.out

    assert run("topic create pabal-orders -p 2 -c retention.ms=60000")
    assert "pabal-orders" in run("topic list").splitlines()
    assert run("topic alter pabal-orders -p 3") == "pabal-orders has 3 partitions\n"
    (orders,) = json.loads(run("topic describe pabal-orders --json"))
    assert orders["config"]["retention.ms"] == "60000"
    assert [row["log_end_offset"] for row in orders["partitions"]] == [0, 0, 0]
    assert run("config set topic pabal-orders retention.ms=5") == "retention.ms=5\n"
    assert run("config get topic pabal-orders retention.ms") == "5\n"
    assert "did you mean retention.ms?" in run("config set topic pabal-orders retention.mss=5", 1)
    assert "did you mean pabal-orders?" in run("topic describe pabal-order", 1)

    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "pabal-readers", "client.id": "reader"}
    )
    consumer.subscribe(["pabal-orders"])
    deadline = time.monotonic() + 60
    while not consumer.assignment() and time.monotonic() < deadline:
        consumer.poll(0.1)
    (described,) = json.loads(run("group describe pabal-readers --json"))
    assert described["state"] == "Stable"
    assert [row["partition"] for row in described["partitions"]] == [0, 1, 2]
    consumer.close()
    assert run("group delete pabal-readers") == "deleted pabal-readers\n"
    assert "there is no group" in run("group describe pabal-readers", 1)
    assert run("topic delete pabal-orders") == "deleted pabal-orders\n"


def test_the_page_about_the_command_line_is_true(run: Run) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    sessions = "".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL))
    for step in sessions.split("$ pabal ")[1:]:
        line, _, expected = step.partition("\n")
        printed = run(line, 1 if expected.startswith("pabal: ") else 0)
        if not line.endswith("--json"):
            assert printed == expected, line


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_both_protocols_groups_are_described(
    run: Run, pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic, protocol: str
) -> None:
    from confluent_kafka import Consumer

    pabal_topic.add_partitions(2)
    consumer = Consumer(
        {
            "bootstrap.servers": pabal_cluster.bootstrap_servers,
            "group.id": protocol,
            "group.protocol": protocol,
            "client.id": "reader",
        }
    )
    consumer.subscribe([pabal_topic.name])
    try:
        deadline = time.monotonic() + 30
        while len(consumer.assignment()) < 2 and time.monotonic() < deadline:
            consumer.poll(0.05)
        group = pabal_cluster.group(protocol)
        assert group.type == protocol
        assert group.members[0].assignment == ((pabal_topic.name, 0), (pabal_topic.name, 1))
        assert (group.epoch > 0) == (protocol == "consumer")
        (described,) = json.loads(run(f"group describe {protocol} --json"))
        assert described["members"][0]["client_id"] == "reader"
        assert group.summary().count("read by reader") == 2
    finally:
        consumer.close()
    group.delete()
