"""Kafka's spellings: the same words as Kafka's own tools say, at the same broker."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import pabal
from conformance.kafka import KafkaReference
from pabal.cli import main

JAVA = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
}

Run = Callable[..., str]


@pytest.fixture
def run(pabal_cluster: pabal.Cluster, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(line: str, status: int = 0) -> str:
        words = [*line.split(), "--bootstrap-server", pabal_cluster.bootstrap_servers]
        assert main(words) == status, capsys.readouterr()
        printed = capsys.readouterr()
        return printed.err if status else printed.out

    return run


@pytest.fixture
def group(pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic) -> str:
    """A group without members that has committed 5 of the 8 records of partition 0."""
    servers = {"bootstrap.servers": pabal_cluster.bootstrap_servers, "log_level": 0}
    producer = Producer(servers)
    for number in range(8):
        producer.produce(pabal_topic.name, str(number), partition=0, timestamp=1000 * (number + 1))
    assert producer.flush(30) == 0
    name = f"readers-of-{pabal_topic.name}"
    consumer = Consumer({**servers, "group.id": name})
    consumer.commit(offsets=[TopicPartition(pabal_topic.name, 0, 5)], asynchronous=False)
    consumer.close()
    return name


def test_a_topics_life(run: Run) -> None:
    create = "kafka-topics --create --topic tooled --partitions 2 --config retention.ms=60000"
    assert run(create) == "Created topic tooled.\n"
    assert run(f"{create} --if-not-exists") == ""
    assert "Topic 'tooled' already exists" in run(create, 1)
    assert "tooled\n" in run("kafka-topics.sh --list")
    assert run("kafka-topics --alter --topic tooled --partitions 3") == ""
    head, *rows = run("kafka-topics --describe --topic tooled").splitlines()
    assert re.fullmatch(
        r"Topic: tooled\tTopicId: \S{22}\tPartitionCount: 3\tReplicationFactor: 1\t"
        "Configs: min.insync.replicas=1,retention.ms=60000",
        head,
    )
    assert [row.split("\t")[2] for row in rows] == ["Partition: 0", "Partition: 1", "Partition: 2"]
    assert run("kafka-topics --delete --topic tooled") == ""
    assert "'tooled' does not exist" in run("kafka-topics --delete --topic tooled", 1)
    assert run("kafka-topics --delete --topic tooled --if-exists") == ""


def test_settings(run: Run, pabal_topic: pabal.Topic) -> None:
    name = pabal_topic.name
    topic = f"--entity-type topics --entity-name {name}"
    added = run(f"kafka-configs --alter {topic} --add-config retention.ms=7,flush.messages=5")
    assert added == f"Completed updating config for topic {name}.\n"
    run(f"kafka-configs --alter --topic {name} --delete-config flush.messages")
    assert run(f"kafka-configs --describe {topic}").splitlines() == [
        f"Dynamic configs for topic {name} are:",
        "  retention.ms=7 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=7}",
    ]
    assert "  segment.bytes=" in run(f"kafka-configs --describe --all {topic}")
    assert "retention.mss" in run(f"kafka-configs --alter {topic} --add-config retention.mss=1", 1)
    assert "entity name" in run("kafka-configs --alter --entity-type topics --add-config a=1", 1)


@pytest.mark.parametrize(
    ("place", "offset"),
    [
        ("--to-earliest", 0),
        ("--to-latest", 8),
        ("--to-current", 5),
        ("--to-offset 3", 3),
        ("--to-offset 99", 8),
        ("--shift-by -2", 3),
        ("--shift-by -9", 0),
        ("--to-datetime 1970-01-01T00:00:04.000", 3),
        ("--to-datetime 1970-01-01T00:00:03.500+00:00", 3),
        ("--by-duration PT1H", 8),
    ],
)
def test_where_a_group_goes_on(
    run: Run, pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic, group: str, place: str,
    offset: int,
) -> None:
    reset = f"kafka-consumer-groups --reset-offsets --group {group} --topic {pabal_topic.name}:0"
    planned = run(f"{reset} {place}")
    assert planned.split()[-4:] == [group, pabal_topic.name, "0", str(offset)]
    assert [one.committed for one in pabal_cluster.group(group).partitions()] == [5]
    assert run(f"{reset} {place} --execute") == planned
    assert [one.committed for one in pabal_cluster.group(group).partitions()] == [offset]


def test_a_group_with_members_stays_where_it_is(
    run: Run, pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic, group: str
) -> None:
    servers = {"bootstrap.servers": pabal_cluster.bootstrap_servers, "log_level": 0}
    consumer = Consumer({**servers, "group.id": group})
    consumer.subscribe([pabal_topic.name])
    while not consumer.assignment():
        consumer.poll(0.1)
    reset = f"kafka-consumer-groups --reset-offsets --group {group} --all-topics --to-earliest"
    assert "still has members" in run(f"{reset} --execute", 1)
    assert "read" in run(
        f"kafka-consumer-groups --delete-offsets --group {group} --topic {pabal_topic.name}:0", 1
    )
    assert "--state" in run(f"kafka-consumer-groups --describe --group {group} --stat", 1)
    consumer.close()
    assert "does not" not in run(f"{reset} --execute")
    with pytest.raises(ValueError, match="Shift"):
        pabal_cluster.group(group).reset(pabal_topic.name, to=-1)
    with pytest.raises(TypeError, match="a place is"):
        pabal_cluster.group(group).reset(pabal_topic.name, to=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    ["kafka-topics", "kafka-topics --list --describe", "kafka-topics --create", "kafka-mirror",
     "kafka-consumer-groups --describe", "kafka-configs --describe", "kafka-topics --zookeeper x",
     "kafka-topics --create --topic x --config nonsense", "kafka-get-offsets --time soon"],
)
def test_wrong_usage_ends_with_1(run: Run, line: str) -> None:
    assert "Traceback" not in run(line, 1)


@pytest.mark.reference
def test_the_same_words_as_kafkas_tools(
    run: Run, kafka: KafkaReference, pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic,
    group: str,
) -> None:
    name = pabal_topic.name
    run(f"kafka-configs --alter --topic {name} --add-config retention.bytes=70000000")
    servers = ["--bootstrap-server", pabal_cluster.bootstrap_servers]
    for line in (
        f"kafka-topics --describe --topic {name}",
        f"kafka-configs --describe --entity-type topics --entity-name {name}",
        f"kafka-get-offsets --topic {name}",
        f"kafka-get-offsets --topic {name} --time earliest --partitions 0",
        f"kafka-consumer-groups --describe --group {group}",
        f"kafka-consumer-groups --reset-offsets --group {group} --all-topics --shift-by -1",
    ):
        tool, *words = line.split()
        theirs = kafka.tool(JAVA[tool], *words, *servers, heap="256m")
        assert theirs.returncode == 0, theirs
        # Kafka fills the last column of some tables with spaces.
        told = [text.rstrip(" ") for text in theirs.stdout.splitlines()]
        assert [text.rstrip(" ") for text in run(line).splitlines()] == told


@pytest.mark.parametrize(
    "tool", ["kafka-get-offsets", "kafka-console-producer", "kafka-console-consumer"]
)
def test_wrong_usage_is_told(run: Run, tool: str) -> None:
    assert "unrecognized arguments: --frobnicate" in run(f"{tool} --topic t --frobnicate", 1)
