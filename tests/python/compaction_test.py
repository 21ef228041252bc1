"""A compacted topic, as its clients see it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

import pabal

PATIENCE = 30.0
SETTINGS = {
    "cleanup.policy": "compact",
    "segment.ms": "100",  # Of the records' own time: with a second between them, each begins one.
    "min.cleanable.dirty.ratio": "0.01",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(config={"log.cleaner.backoff.ms": 50}) as running:
        yield running


def produce(cluster: pabal.Cluster, topic: str, records: list[tuple[str, str | None]]) -> None:
    producer = Producer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "enable.idempotence": True,
            "compression.type": "zstd",
        }
    )
    begin = int((time.time() - 100_000) * 1000)
    for number, (key, value) in enumerate(records):
        producer.produce(topic, value, key=key, timestamp=begin + number * 1000)
        assert producer.flush(PATIENCE) == 0


def read(cluster: pabal.Cluster, topic: str) -> list[tuple[int, str, str | None]]:
    """Offset, key and value of all records."""
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": "reader",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    try:
        while True:
            message = consumer.poll(PATIENCE)
            assert message is not None
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                return found
            value = message.value()
            text = None if value is None else value.decode()
            found.append((message.offset(), message.key().decode(), text))
    finally:
        consumer.close()


def wait_until_clean(cluster: pabal.Cluster, topic: str, up_to: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        for path in Path(cluster.data_dir).glob("**/cleaner-offset-checkpoint"):
            if f"{topic} 0 {up_to}\n" in path.read_text():
                return
        assert time.monotonic() < deadline, "the topic was not compacted"
        time.sleep(0.02)


def test_the_newest_value_of_each_key_stays_at_its_offset(cluster: pabal.Cluster) -> None:
    cluster.create_topic("table", partitions=1, config=SETTINGS)
    records: list[tuple[str, str | None]] = [
        (f"key-{number % 5}", f"value-{number}") for number in range(30)
    ]
    records[24] = ("key-4", None)
    produce(cluster, "table", records)
    wait_until_clean(cluster, "table", 29)
    found = read(cluster, "table")
    newest = {key: offset for offset, (key, _) in enumerate(records[:29])}
    expected = sorted([*newest.values(), 29])
    assert [offset for offset, _, _ in found] == expected
    assert [(key, value) for _, key, value in found] == [records[offset] for offset in expected]


def test_tombstones_go_after_their_time_on_the_clock_of_the_cluster() -> None:
    with pabal.Cluster(config={"log.cleaner.backoff.ms": 1000}) as cluster:
        topic = "table"
        cluster.create_topic(topic, partitions=1, config=SETTINGS)
        produce(cluster, topic, [("gone", "value"), ("gone", None), ("kept", "value"), ("a", "1")])
        cluster.clock.advance(2)
        wait_until_clean(cluster, topic, 3)
        assert (1, "gone", None) in read(cluster, topic)
        cluster.clock.advance(hours=25)
        produce(cluster, topic, [("a", "2"), ("a", "3")])
        cluster.clock.advance(2)
        wait_until_clean(cluster, topic, 5)
        assert read(cluster, topic) == [(2, "kept", "value"), (4, "a", "2"), (5, "a", "3")]


def test_a_record_without_a_key_is_refused(cluster: pabal.Cluster) -> None:
    cluster.create_topic("keyed", partitions=1, config=SETTINGS)
    errors: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    producer.produce("keyed", "value", on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(PATIENCE) == 0
    assert [error.name() for error in errors] == ["INVALID_RECORD"]
    assert read(cluster, "keyed") == []


def test_settings_are_told_and_contradictions_refused(cluster: pabal.Cluster) -> None:
    cluster.create_topic("told", partitions=1, config=SETTINGS)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    resource = ConfigResource(ResourceType.TOPIC, "told")
    told = admin.describe_configs([resource])[resource].result(PATIENCE)
    assert told["cleanup.policy"].value == "compact"
    assert told["delete.retention.ms"].value == "86400000"
    assert told["min.compaction.lag.ms"].value == "0"
    resource.add_incremental_config(_set("max.compaction.lag.ms", "10"))
    resource.add_incremental_config(_set("min.compaction.lag.ms", "11"))
    with pytest.raises(KafkaException) as refused:
        admin.incremental_alter_configs([resource])[resource].result(PATIENCE)
    assert refused.value.args[0].name() == "INVALID_CONFIG"


def test_the_offsets_of_groups_are_compacted(cluster: pabal.Cluster) -> None:
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": "committer"})
    cluster.create_topic("committed", partitions=1)
    consumer.commit(offsets=[TopicPartition("committed", 0, 0)], asynchronous=False)
    consumer.close()
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    resource = ConfigResource(ResourceType.TOPIC, "__consumer_offsets")
    told = admin.describe_configs([resource])[resource].result(PATIENCE)
    assert told["cleanup.policy"].value == "compact"
    assert told["compression.type"].value == "producer"
    assert told["segment.bytes"].value == "104857600"


def _set(name: str, value: str) -> object:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry

    return ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
