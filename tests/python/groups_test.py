"""Consumer groups as clients see them that know nothing of pabal."""

from __future__ import annotations

import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from conformance.kafka import KafkaReference

import pabal

PARTITIONS = 4
COUNT = 100
PATIENCE = 30.0

protocols = pytest.mark.parametrize("protocol", ["classic", "consumer"])


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster() as running:
        yield running


@pytest.fixture
def topic(cluster: pabal.Cluster) -> str:
    return filled_topic(cluster)


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:12]}"


def filled_topic(cluster: pabal.Cluster) -> str:
    name = f"topic-{uuid.uuid4().hex[:12]}"
    cluster.create_topic(name, partitions=PARTITIONS)
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    for number in range(COUNT):
        producer.produce(name, str(number), partition=number % PARTITIONS)
    assert producer.flush(PATIENCE) == 0
    return name


def consumer(cluster: pabal.Cluster, group: str, protocol: str, **more: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": group,
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **{name.replace("_", "."): value for name, value in more.items()},
        }
    )


def poll_until(reached: Callable[[], bool], *members: Consumer) -> None:
    """Have all members polled until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, [member.assignment() for member in members]
        for member in members:
            member.poll(0.01)


def partitions_of(*members: Consumer) -> list[int]:
    return sorted(each.partition for member in members for each in member.assignment())


def read(member: Consumer, count: int) -> int:
    received = 0
    while received < count:
        message = member.poll(PATIENCE)
        assert message is not None, f"only {received} of {count} came"
        assert message.error() is None, message.error()
        received += 1
    return received


@protocols
def test_members_share_partitions_and_take_over(
    cluster: pabal.Cluster, topic: str, group: str, protocol: str
) -> None:
    first = consumer(cluster, group, protocol)
    second = consumer(cluster, group, protocol)
    try:
        first.subscribe([topic])
        poll_until(lambda: partitions_of(first) == [0, 1, 2, 3], first)
        second.subscribe([topic])
        poll_until(
            lambda: len(partitions_of(first)) == 2
            and partitions_of(first, second) == [0, 1, 2, 3],
            first,
            second,
        )
    finally:
        second.close()
    poll_until(lambda: partitions_of(first) == [0, 1, 2, 3], first)
    first.close()


@protocols
def test_more_members_than_partitions(
    cluster: pabal.Cluster, topic: str, group: str, protocol: str
) -> None:
    members = [consumer(cluster, group, protocol) for _ in range(PARTITIONS + 2)]
    try:
        for member in members:
            member.subscribe([topic])
        poll_until(
            lambda: partitions_of(*members) == [0, 1, 2, 3]
            and max(len(partitions_of(member)) for member in members) == 1,
            *members,
        )
    finally:
        for member in members:
            member.close()


@protocols
def test_positions_are_found_again_after_a_kill(protocol: str, group: str) -> None:
    with pabal.Cluster(isolation="process") as cluster:
        topic = filled_topic(cluster)
        member = consumer(cluster, group, protocol)
        member.subscribe([topic])
        assert read(member, COUNT) == COUNT
        member.commit(asynchronous=False)
        cluster.broker(0).kill()
        cluster.broker(0).restart()
        again = consumer(cluster, group, protocol)
        committed = again.committed(
            [TopicPartition(topic, partition) for partition in range(PARTITIONS)], PATIENCE
        )
        assert [each.offset for each in committed] == [COUNT // PARTITIONS] * PARTITIONS
        # The first member finds its coordinator again and keeps what it has.
        poll_until(lambda: len(member.assignment()) == PARTITIONS, member)
        member.close()
        again.close()


@protocols
def test_groups_are_listed_described_reset_and_deleted(
    cluster: pabal.Cluster, topic: str, group: str, protocol: str
) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    member = consumer(cluster, group, protocol)
    member.subscribe([topic])
    read(member, COUNT)
    member.commit(asynchronous=False)
    described = admin.describe_consumer_groups([group])[group].result(PATIENCE)
    assert described.state == ConsumerGroupState.STABLE
    (told,) = described.members
    assert sorted(each.partition for each in told.assignment.topic_partitions) == [0, 1, 2, 3]
    listed = {each.group_id: each for each in admin.list_consumer_groups().result(PATIENCE).valid}
    assert listed[group].state == ConsumerGroupState.STABLE
    with pytest.raises(KafkaException, match="NON_EMPTY_GROUP|not empty"):
        admin.delete_consumer_groups([group])[group].result(PATIENCE)
    member.close()
    moved = [TopicPartition(topic, 0, 7)]
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, moved)])[
        group
    ].result(PATIENCE)
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[
        group
    ].result(PATIENCE)
    assert {each.partition: each.offset for each in found.topic_partitions} == {
        0: 7,
        1: 25,
        2: 25,
        3: 25,
    }
    admin.delete_consumer_groups([group])[group].result(PATIENCE)
    listed_after = {each.group_id for each in admin.list_consumer_groups().result(PATIENCE).valid}
    assert group not in listed_after


def test_subscription_by_a_regular_expression_that_the_broker_evaluates(
    cluster: pabal.Cluster, topic: str, group: str
) -> None:
    member = consumer(cluster, group, "consumer")
    try:
        member.subscribe([f"^{topic[:-1]}.$"])
        poll_until(lambda: partitions_of(member) == [0, 1, 2, 3], member)
    finally:
        member.close()


def test_an_empty_group_changes_its_protocol_and_keeps_its_positions(
    cluster: pabal.Cluster, topic: str, group: str
) -> None:
    for protocol, expected in (("classic", COUNT), ("consumer", 0), ("classic", 0)):
        member = consumer(cluster, group, protocol)
        member.subscribe([topic])
        if expected:
            read(member, expected)
            member.commit(asynchronous=False)
        poll_until(lambda: len(partitions_of(member)) == PARTITIONS, member)  # noqa: B023
        committed = member.committed([TopicPartition(topic, 0)], PATIENCE)
        assert committed[0].offset == COUNT // PARTITIONS
        member.close()


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
@pytest.mark.parametrize("order", [("classic", "consumer"), ("consumer", "classic")])
def test_members_of_both_protocols_share_a_group(
    cluster: pabal.Cluster, topic: str, group: str, order: tuple[str, str], strategy: str
) -> None:
    def member_of(protocol: str) -> Consumer:
        strategies = {"partition_assignment_strategy": strategy} if protocol == "classic" else {}
        return consumer(cluster, group, protocol, **strategies)

    def group_type() -> str:
        listed = admin.list_consumer_groups().result(PATIENCE).valid
        (found,) = (each for each in listed if each.group_id == group)
        return str(found.type.name).lower()

    def produce() -> None:
        producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
        for number in range(COUNT):
            producer.produce(topic, str(number), partition=number % PARTITIONS)
        assert producer.flush(PATIENCE) == 0

    def received_by(*members: Consumer) -> list[tuple[int, int]]:
        received: list[tuple[int, int]] = []
        deadline = time.monotonic() + PATIENCE
        while len(received) < COUNT:
            assert time.monotonic() < deadline, received
            for member in members:
                message = member.poll(0.01)
                if message is not None:
                    assert message.error() is None, message.error()
                    received.append((message.partition(), message.offset()))
        return sorted(received)

    def records(after: int) -> list[tuple[int, int]]:
        each = COUNT // PARTITIONS
        return [(p, after * each + o) for p in range(PARTITIONS) for o in range(each)]

    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    first, second = member_of(order[0]), member_of(order[1])
    first.subscribe([topic])
    assert received_by(first) == records(0)
    first.commit(asynchronous=False)
    assert group_type() == order[0]
    second.subscribe([topic])
    poll_until(
        lambda: len(partitions_of(first)) == 2 and partitions_of(first, second) == [0, 1, 2, 3],
        first,
        second,
    )
    assert group_type() == "consumer"
    produce()
    assert received_by(first, second) == records(1)
    first.commit(asynchronous=False)
    second.commit(asynchronous=False)
    # Whoever stays goes on where the others were; without members of the newer protocol the group
    # speaks the older one again.
    leaving, staying = (first, second) if order[0] == "consumer" else (second, first)
    leaving.close()
    poll_until(lambda: partitions_of(staying) == [0, 1, 2, 3], staying)
    assert group_type() == "classic"
    produce()
    assert received_by(staying) == records(2)
    staying.commit(asynchronous=False)
    committed = staying.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], PATIENCE)
    assert [each.offset for each in committed] == [3 * COUNT // PARTITIONS] * PARTITIONS
    staying.close()


def test_a_static_member_comes_back_without_a_rebalance(
    cluster: pabal.Cluster, topic: str, group: str
) -> None:
    other = consumer(cluster, group, "classic", group_instance_id="other")
    member = consumer(cluster, group, "classic", group_instance_id="one")
    try:
        other.subscribe([topic])
        member.subscribe([topic])
        poll_until(
            lambda: len(partitions_of(other)) == 2
            and partitions_of(other, member) == [0, 1, 2, 3],
            other,
            member,
        )
        mine = partitions_of(member)
        member.close()
        member = consumer(cluster, group, "classic", group_instance_id="one")
        member.subscribe([topic])
        poll_until(lambda: partitions_of(member) == mine, member, other)
        assert len(partitions_of(other)) == 2
    finally:
        member.close()
        other.close()


def test_kafka_python(cluster: pabal.Cluster, topic: str, group: str) -> None:
    from kafka import KafkaConsumer
    from kafka import TopicPartition as Partition

    member = KafkaConsumer(
        topic,
        bootstrap_servers=cluster.bootstrap_servers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=int(PATIENCE * 1000),
    )
    received = 0
    for _ in member:
        received += 1
        if received == COUNT:
            break
    assert received == COUNT
    member.commit()
    assert member.committed(Partition(topic, 3)) == COUNT // PARTITIONS
    member.close()


async def test_aiokafka(cluster: pabal.Cluster, topic: str, group: str) -> None:
    from aiokafka import AIOKafkaConsumer
    from aiokafka import TopicPartition as Partition

    member = AIOKafkaConsumer(
        topic,
        bootstrap_servers=cluster.bootstrap_servers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await member.start()
    try:
        received = 0
        while received < COUNT:
            found = await member.getmany(timeout_ms=int(PATIENCE * 1000))
            received += sum(len(records) for records in found.values())
        await member.commit()
        assert await member.committed(Partition(topic, 3)) == COUNT // PARTITIONS
    finally:
        await member.stop()


@pytest.mark.skipif(shutil.which("kcat") is None, reason="KCAT NOT TRIED: it is not installed")
def test_kcat(cluster: pabal.Cluster, topic: str, group: str) -> None:
    received = subprocess.run(
        ["kcat", "-b", cluster.bootstrap_servers, "-q", "-c", str(COUNT)]
        + ["-X", "auto.offset.reset=earliest", "-G", group, topic],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    assert len(received.split()) == COUNT


@protocols
def test_kafkas_tools(kafka: KafkaReference, group: str, protocol: str) -> None:
    console = "org.apache.kafka.tools.consumer.ConsoleConsumer"
    groups = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
    with pabal.Cluster(isolation="process") as cluster:
        topic = filled_topic(cluster)

        def tool(name: str, *arguments: str) -> str:
            done = kafka.tool(
                name, "--bootstrap-server", cluster.bootstrap_servers, "--group", group, *arguments
            )
            assert "Exception" not in done.stdout + done.stderr, done.stdout + done.stderr
            return done.stdout

        read_all = tool(
            console,
            *("--topic", topic, "--from-beginning", "--max-messages", str(COUNT)),
            *("--timeout-ms", "30000", "--command-property", f"group.protocol={protocol}"),
        )
        assert len(read_all.split()) == COUNT
        said = tool(groups, "--describe").split("\n")
        rows = [line.split() for line in said if topic in line]
        assert sorted((row[2], row[3], row[4], row[5]) for row in rows) == [
            (str(partition), "25", "25", "0") for partition in range(PARTITIONS)
        ]
        assert "Empty" in tool(groups, "--describe", "--state")
        tool(groups, "--reset-offsets", "--to-earliest", "--topic", topic, "--execute")
        tool(groups, "--delete-offsets", "--topic", f"{topic}:0")
        assert "successful" in tool(groups, "--delete")
        cluster.broker(0).stop()
        files = [
            str(path)
            for path in cluster.data_dir.glob("**/__consumer_offsets-*/*.log")
            if path.stat().st_size > 0
        ]
        dumped = kafka.tool(
            "org.apache.kafka.tools.DumpLogSegments",
            *("--deep-iteration", "--print-data-log", "--offsets-decoder"),
            *("--files", ",".join(files)),
        )
        assert dumped.stderr == ""
        assert f'"group":"{group}","topic":"{topic}"' in dumped.stdout
        # Each kind of record is known to the decoder, its value included.
        kinds = {"classic": "2", "consumer": "35678"}[protocol]
        for kind in kinds:
            known = f'"type":"{kind}","data":{{"group'
            lines = [line for line in dumped.stdout.splitlines() if known in line]
            assert any('payload: {"version"' in line for line in lines), f"kind {kind}: {lines}"


def test_settings_of_a_group(kafka: KafkaReference, group: str) -> None:
    with pabal.Cluster(isolation="process") as cluster:

        def configs(*arguments: str) -> str:
            done = kafka.tool(
                "kafka.admin.ConfigCommand",
                *("--bootstrap-server", cluster.bootstrap_servers, "--entity-type", "groups"),
                *arguments,
            )
            return done.stdout + done.stderr

        named = ("--entity-name", group)
        setting = "consumer.session.timeout.ms"
        configs(*named, "--alter", "--add-config", f"{setting}=50000")
        assert f"{setting}=50000" in configs(*named, "--describe")
        assert f"DEFAULT_CONFIG:group.{setting}=45000" in configs(*named, "--describe", "--all")
        assert group in configs("--describe")
        refused = configs(*named, "--alter", "--add-config", f"{setting}=1000000")
        assert "group.consumer.max.session.timeout.ms" in refused
        configs(*named, "--alter", "--delete-config", setting)
        assert setting not in configs(*named, "--describe")
