"""Transactions of other clients and Kafka's own tools for them, at brokers of pabal."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import pabal
from conformance.kafka import KafkaReference
from pabal.process import ServerProcess

PATIENCE = 30.0
TRANSACTIONS = "org.apache.kafka.tools.TransactionsCommand"
DUMP = "org.apache.kafka.tools.DumpLogSegments"


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(brokers=3, config={"num.partitions": 3}) as running:
        yield running


def fresh() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def new_topic(servers: str, partitions: int = 3, replicas: int = 1) -> str:
    name = fresh()
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(name, partitions, replicas)])[name].result(PATIENCE)
    return name


def transactional(servers: str, name: str, **config: object) -> Producer:
    made = Producer({"bootstrap.servers": servers, "transactional.id": name, **config})
    made.init_transactions(PATIENCE)
    return made


def everything(servers: str, topic: str, partitions: int = 3, *, committed: bool) -> list[bytes]:
    """All values of a topic, as far as a reader with that isolation gets."""
    reader = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": fresh(),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
        }
    )
    try:
        reader.assign([TopicPartition(topic, index, 0) for index in range(partitions)])
        values: list[bytes] = []
        ended: set[int] = set()
        deadline = time.monotonic() + PATIENCE
        while len(ended) < partitions:
            assert time.monotonic() < deadline
            message = reader.poll(1)
            if message is None:
                continue
            if message.error() is None:
                values.append(message.value())
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise KafkaException(message.error())
        return values
    finally:
        reader.close()


def test_what_is_aborted_is_not_read_and_what_is_open_is_waited_for(cluster: pabal.Cluster) -> None:
    servers = cluster.bootstrap_servers
    topic = new_topic(servers, replicas=3)
    producer = transactional(servers, fresh())
    expected = []
    for number in range(6):
        producer.begin_transaction()
        for part in range(30):
            producer.produce(topic, f"{number}-{part}", partition=part % 3)
        if number % 2:
            producer.flush(PATIENCE)
            producer.abort_transaction(PATIENCE)
        else:
            producer.commit_transaction(PATIENCE)
            expected += [f"{number}-{part}".encode() for part in range(30)]
    producer.begin_transaction()
    for part in range(3):
        producer.produce(topic, "open", partition=part)
    producer.flush(PATIENCE)
    assert sorted(everything(servers, topic, committed=True)) == sorted(expected)
    assert len(everything(servers, topic, committed=False)) == 6 * 30 + 3
    producer.commit_transaction(PATIENCE)
    values = everything(servers, topic, committed=True)
    assert sorted(values) == sorted([*expected, b"open", b"open", b"open"])


def some(reader: Consumer, most: int) -> list[Message]:
    """At least one record."""
    deadline = time.monotonic() + PATIENCE
    while True:
        messages: list[Message] = reader.consume(most, timeout=0.2)
        if messages:
            return messages
        assert time.monotonic() < deadline


def test_a_zombie_is_fenced(cluster: pabal.Cluster) -> None:
    servers = cluster.bootstrap_servers
    topic = new_topic(servers, 1)
    name = fresh()
    zombie = transactional(servers, name)
    zombie.begin_transaction()
    zombie.produce(topic, "of the zombie")
    zombie.flush(PATIENCE)
    other = transactional(servers, name)
    other.begin_transaction()
    other.produce(topic, "of its successor")
    with pytest.raises(KafkaException) as refused:
        zombie.commit_transaction(PATIENCE)
    assert refused.value.args[0].fatal()
    other.commit_transaction(PATIENCE)
    assert everything(servers, topic, 1, committed=True) == [b"of its successor"]


def test_records_are_copied_exactly_once(cluster: pabal.Cluster) -> None:
    """Consume, transform, produce: positions and results become visible together; every now and
    then an attempt is given up and made again."""
    servers = cluster.bootstrap_servers
    source, target, group = new_topic(servers, 2), new_topic(servers, 2), fresh()
    count = 300
    feeder = Producer({"bootstrap.servers": servers})
    for number in range(count):
        feeder.produce(source, str(number), partition=number % 2)
    assert feeder.flush(PATIENCE) == 0

    name = fresh()
    copied = 0
    attempt = 0
    while copied < count:
        # Each life of the copier ends after a few transactions, the last one left open.
        reader = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
            }
        )
        reader.subscribe([source])
        producer = transactional(servers, name)
        for _ in range(3):
            messages = some(reader, 37)
            assert all(message.error() is None for message in messages)
            attempt += 1
            producer.begin_transaction()
            for message in messages:
                producer.produce(target, message.value(), partition=message.partition())
            positions = reader.position(reader.assignment())
            producer.send_offsets_to_transaction(
                [place for place in positions if place.offset >= 0],
                reader.consumer_group_metadata(),
                PATIENCE,
            )
            if attempt % 4 == 3:
                producer.flush(PATIENCE)
                break
            producer.commit_transaction(PATIENCE)
            copied += len(messages)
            if copied >= count:
                break
        if attempt % 4 == 3:
            # What it leaves open is aborted by its successor.
            transactional(servers, name)
        reader.close()
    values = everything(servers, target, 2, committed=True)
    assert sorted(values, key=int) == [str(number).encode() for number in range(count)]
    assert len(everything(servers, target, 2, committed=False)) > count


def test_a_transaction_outlives_its_coordinator(cluster: pabal.Cluster) -> None:
    servers = cluster.bootstrap_servers
    topic = new_topic(servers, replicas=3)
    name = fresh()
    producer = transactional(servers, name)
    producer.begin_transaction()
    for part in range(3):
        producer.produce(topic, "before", partition=part)
    producer.flush(PATIENCE)
    coordinator = coordinator_of(servers, name)
    cluster.broker(coordinator).kill()
    try:
        for part in range(3):
            producer.produce(topic, "after", partition=part)
        producer.commit_transaction(PATIENCE)
        values = sorted(everything(servers, topic, committed=True))
        assert values == [b"after"] * 3 + [b"before"] * 3
        producer.begin_transaction()
        producer.produce(topic, "aborted", partition=0)
        producer.flush(PATIENCE)
        producer.abort_transaction(PATIENCE)
        assert len(everything(servers, topic, committed=True)) == 6
    finally:
        cluster.broker(coordinator).start()


def coordinator_of(servers: str, name: str) -> int:
    from conformance.wire import Wire

    host, port = servers.split(",")[0].rsplit(":", 1)
    with Wire(int(port), host) as wire:
        found = wire.ask("find_coordinator", 4, key_type=1, coordinator_keys=[name])
    return int(found["coordinators"][0]["node_id"])


def test_a_transaction_that_lasts_too_long_is_aborted(cluster: pabal.Cluster) -> None:
    servers = cluster.bootstrap_servers
    topic = new_topic(servers, 1)
    producer = transactional(servers, fresh(), **{"transaction.timeout.ms": 1000})
    producer.begin_transaction()
    producer.produce(topic, "too late")
    producer.flush(PATIENCE)
    # The reader's end moves past what was aborted.
    deadline = time.monotonic() + PATIENCE
    reader = Consumer({"bootstrap.servers": servers, "group.id": fresh()})
    while reader.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE)[1] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    reader.close()
    with pytest.raises(KafkaException):
        producer.commit_transaction(PATIENCE)
    assert everything(servers, topic, 1, committed=True) == []


@pytest.mark.reference
def test_kafka_transactions_lists_describes_finds_and_aborts(
    kafka: KafkaReference, cluster: pabal.Cluster
) -> None:
    servers = cluster.bootstrap_servers
    topic, name = new_topic(servers, 2), fresh()
    producer = transactional(servers, name)
    producer.begin_transaction()
    producer.produce(topic, "open", partition=0)
    producer.produce(topic, "open", partition=1)
    producer.flush(PATIENCE)

    def tool(*arguments: str) -> str:
        result = kafka.tool(TRANSACTIONS, "--bootstrap-server", servers, *arguments, heap="256m")
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    listed = tool("list")
    assert re.search(rf"^{name}\s+\d+\s+\d+\s+Ongoing", listed, re.MULTILINE), listed
    described = tool("describe", "--transactional-id", name)
    assert re.search(rf"{name}\s.*Ongoing", described), described
    assert all(f"{topic}-{index}" in described for index in (0, 1)), described
    producers = tool("describe-producers", "--topic", topic, "--partition", "0")
    row = producers.splitlines()[1].split()
    producer_id, epoch, start = row[0], row[1], row[-1]
    assert start == "0", producers
    assert "open" in everything(servers, topic, 2, committed=False)[0].decode()
    hanging = tool("find-hanging", "--topic", topic, "--max-transaction-timeout", "0")
    assert name not in hanging
    # A transaction whose coordinator knows nothing of it: an operator ends it.
    tool("abort", "--topic", topic, "--partition", "0", "--start-offset", "0")
    producers = tool("describe-producers", "--topic", topic, "--partition", "0")
    assert producers.splitlines()[1].split()[:2] == [producer_id, epoch]
    assert producers.splitlines()[1].split()[-1] == "None"
    producer.abort_transaction(PATIENCE)


@pytest.mark.reference
def test_kafkas_own_producer_uses_transactions(
    kafka: KafkaReference, cluster: pabal.Cluster
) -> None:
    servers = cluster.bootstrap_servers
    topic = new_topic(servers, 3, replicas=3)
    result = kafka.tool(
        "org.apache.kafka.tools.ProducerPerformance",
        *("--topic", topic, "--num-records", "5000", "--record-size", "100"),
        *("--throughput", "-1", "--transactional-id", fresh()),
        *("--transaction-duration-ms", "20", "--bootstrap-server", servers),
        heap="256m",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "5000 records sent" in result.stdout
    assert len(everything(servers, topic, committed=True)) == 5000


def server_on(log_dir: Path, port: int) -> ServerProcess:
    return ServerProcess(
        {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(log_dir),
        }
    )


def states(kafka: KafkaReference, log_dir: Path) -> dict[str, str]:
    """The newest state of each transactional id, as Kafka reads the log."""
    files = [path for path in log_dir.glob("__transaction_state-*/*.log") if path.stat().st_size]
    dumped = kafka.tool(
        DUMP,
        *("--deep-iteration", "--print-data-log", "--transaction-log-decoder"),
        *("--files", ",".join(str(path) for path in files)),
    )
    assert "Could not decode" not in dumped.stdout
    found = re.findall(
        r'"transactionalId":"([^"]*)".*"transactionStatus":(\d+)', dumped.stdout
    ) or re.findall(r"transactionalId=([^,]*),.*?state=(\w+)", dumped.stdout)
    assert found, dumped.stdout[-2000:]
    return dict(found)


def test_transactions_survive_the_change_from_kafka_to_pabal_and_back(
    kafka: KafkaReference,
) -> None:
    with kafka.broker() as broker:
        servers = broker.bootstrap_servers
        topic = new_topic(servers, 1)
        name = fresh()
        producer = transactional(servers, name)
        producer.begin_transaction()
        producer.produce(topic, "of kafka")
        producer.commit_transaction(PATIENCE)
        producer.begin_transaction()
        producer.produce(topic, "of both")
        producer.flush(PATIENCE)
        broker.stop()
        server = server_on(broker.log_dir, broker.port)
        try:
            server.wait(PATIENCE)
            # It was open there and is committed here.
            producer.commit_transaction(PATIENCE)
            producer.begin_transaction()
            producer.produce(topic, "of pabal")
            producer.flush(PATIENCE)
            assert everything(servers, topic, 1, committed=True) == [b"of kafka", b"of both"]
        finally:
            server.stop(PATIENCE)
        try:
            assert set(states(kafka, broker.log_dir)) == {name}
            broker.start()
            producer.commit_transaction(PATIENCE)
            assert everything(servers, topic, 1, committed=True) == [
                b"of kafka",
                b"of both",
                b"of pabal",
            ]
        finally:
            broker.kill()
