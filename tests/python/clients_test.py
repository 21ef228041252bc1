"""Clients that know nothing of pabal, against a broker of this process."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator

import pytest

import pabal

COUNT = 500


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(config={"num.partitions": 3}) as running:
        yield running


@pytest.fixture
def topic(cluster: pabal.Cluster) -> str:
    name = f"topic-{uuid.uuid4().hex[:12]}"
    cluster.create_topic(name, partitions=3)
    return name


def values(prefix: str) -> list[bytes]:
    return [f"{prefix}-{number}".encode() for number in range(COUNT)]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_confluent_kafka_round_trip(
    cluster: pabal.Cluster, topic: str, codec: str, acks: str
) -> None:
    from confluent_kafka import Consumer, Producer, TopicPartition

    failures: list[str] = []
    producer = Producer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "acks": acks,
            "enable.idempotence": acks == "all",
            "compression.type": codec,
        }
    )
    for number, value in enumerate(values("confluent")):
        producer.produce(
            topic,
            value,
            key=str(number),
            partition=number % 3,
            headers=[("number", str(number).encode())],
            on_delivery=lambda error, _: failures.append(str(error)) if error else None,
        )
    assert producer.flush(30) == 0
    assert failures == []

    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": "unused",
            "enable.auto.commit": False,
        }
    )
    try:
        received: list[tuple[int, int, bytes]] = []
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
        while len(received) < COUNT:
            message = consumer.poll(30)
            assert message is not None, f"only {len(received)} of {COUNT} came back"
            assert message.error() is None
            received.append((message.partition(), message.offset(), message.value()))
            assert message.headers() == [("number", message.key())]
    finally:
        consumer.close()
    expected = [
        (number % 3, number // 3, value) for number, value in enumerate(values("confluent"))
    ]
    assert sorted(received) == sorted(expected)


def test_confluent_kafka_finds_offsets_by_time(cluster: pabal.Cluster, topic: str) -> None:
    from confluent_kafka import Consumer, Producer, TopicPartition

    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "linger.ms": 0})
    for second in range(10):
        producer.produce(topic, b"x", partition=0, timestamp=1_700_000_000_000 + second * 1000)
        producer.flush(30)
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": "unused",
            "enable.auto.commit": False,
        }
    )
    try:
        places = consumer.offsets_for_times(
            [TopicPartition(topic, 0, 1_700_000_004_500)], timeout=30
        )
        assert places[0].offset == 5
        assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30) == (0, 10)
    finally:
        consumer.close()


def test_confluent_kafka_administers(cluster: pabal.Cluster) -> None:
    from confluent_kafka.admin import (
        AdminClient,
        AlterConfigOpType,
        ConfigEntry,
        ConfigResource,
        NewPartitions,
        NewTopic,
    )

    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    name = f"topic-{uuid.uuid4().hex[:12]}"
    admin.create_topics([NewTopic(name, 2, 1, config={"retention.ms": "60000"})])[name].result(30)
    admin.create_partitions([NewPartitions(name, 5)])[name].result(30)
    assert len(admin.list_topics(name, timeout=30).topics[name].partitions) == 5
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    (described,) = admin.describe_configs([resource]).values()
    assert described.result(30)["retention.ms"].value == "60000"
    resource.add_incremental_config(
        ConfigEntry("segment.bytes", "1048576", incremental_operation=AlterConfigOpType.SET)
    )
    (altered,) = admin.incremental_alter_configs([resource]).values()
    altered.result(30)
    (described,) = admin.describe_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, name)]
    ).values()
    assert described.result(30)["segment.bytes"].value == "1048576"
    admin.delete_topics([name])[name].result(30)
    assert name not in cluster.topics()


def test_kafka_python_round_trip(cluster: pabal.Cluster, topic: str) -> None:
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap_servers, acks="all")
    futures = [
        producer.send(topic, value, partition=number % 3)
        for number, value in enumerate(values("kafka-python"))
    ]
    assert [future.get(timeout=30).offset for future in futures] == [n // 3 for n in range(COUNT)]
    producer.close()
    consumer = KafkaConsumer(
        bootstrap_servers=cluster.bootstrap_servers, consumer_timeout_ms=30_000
    )
    consumer.assign([TopicPartition(topic, partition) for partition in range(3)])
    consumer.seek_to_beginning()
    received = []
    for record in consumer:
        received.append(record.value)
        if len(received) == COUNT:
            break
    consumer.close()
    assert sorted(received) == sorted(values("kafka-python"))


async def test_aiokafka_round_trip(cluster: pabal.Cluster, topic: str) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

    async with AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap_servers, acks="all", enable_idempotence=True
    ) as producer:
        sent = [
            await producer.send(topic, value, partition=number % 3)
            for number, value in enumerate(values("aiokafka"))
        ]
        for future in sent:
            await future
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap_servers)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, partition) for partition in range(3)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        received = []
        while len(received) < COUNT:
            for records in (await consumer.getmany(timeout_ms=30_000)).values():
                received += [record.value for record in records]
    finally:
        await consumer.stop()
    assert sorted(received) == sorted(values("aiokafka"))


@pytest.mark.skipif(shutil.which("kcat") is None, reason="KCAT NOT TRIED: it is not installed")
def test_kcat_round_trip(cluster: pabal.Cluster, topic: str) -> None:
    def kcat(*arguments: str, input: bytes = b"") -> bytes:
        return subprocess.run(
            ["kcat", "-b", cluster.bootstrap_servers, *arguments],
            input=input,
            check=True,
            capture_output=True,
            timeout=60,
        ).stdout

    kcat("-P", "-t", topic, "-p", "1", input=b"\n".join(values("kcat")))
    received = kcat("-C", "-t", topic, "-p", "1", "-o", "beginning", "-e", "-q")
    assert received.splitlines() == values("kcat")
    assert topic.encode() in kcat("-L")
