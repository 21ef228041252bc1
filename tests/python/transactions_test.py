"""Transactions of pabal.Producer and its twin, against pabal and against Apache Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from clients_world import fresh, read

import pabal
from pabal import aio, errors


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(config={"num.partitions": 3}) as running:
        yield running


@pytest.fixture(params=["pabal", pytest.param("kafka", marks=pytest.mark.reference)])
def servers(request: pytest.FixtureRequest, cluster: pabal.Cluster) -> str:
    if request.param == "pabal":
        return cluster.bootstrap_servers
    return str(request.getfixturevalue("kafka_broker").bootstrap_servers)


def committed(servers: str, topic: str, count: int) -> list[bytes]:
    """What a reader of committed records finds; `count` of them, and no more."""
    with pabal.Consumer(
        topic,
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    ) as consumer:
        values = [record.value for record in read(consumer, count)] if count else []
        assert consumer.poll(0.2) == []
        return sorted(values)


def test_all_becomes_visible_or_nothing(servers: str) -> None:
    topic = fresh()
    with pabal.Producer(servers, transactional_id=fresh()) as producer:
        for number in range(5):
            try:
                with producer.transaction():
                    for partition in range(1):
                        producer.send(topic, f"{number}-{partition}", partition=partition)
                    producer.send_many(topic, [f"{number}-many"] * 2, partition=0)
                    if number % 2:
                        raise LookupError("changed my mind")
            except LookupError:
                pass
    expected = [f"{n}-{what}".encode() for n in (0, 2, 4) for what in ("0", "many", "many")]
    assert committed(servers, topic, 9) == expected


def test_who_is_fenced_hears_of_it(servers: str) -> None:
    topic, name = fresh(), fresh()
    zombie = pabal.Producer(servers, transactional_id=name)
    zombie.begin_transaction()
    zombie.send(topic, b"zombie", partition=0).result(20)
    with pabal.Producer(servers, transactional_id=name) as other:
        with other.transaction():
            other.send(topic, b"other", partition=0)
        with pytest.raises(errors.ProducerFencedError, match=name):
            zombie.commit_transaction()
        with pytest.raises(RuntimeError, match="abort"):
            zombie.commit_transaction()
        zombie.close()
    assert committed(servers, topic, 1) == [b"other"]


def test_positions_count_with_what_was_made_of_the_records(servers: str) -> None:
    source, target, group = fresh(), fresh(), fresh()
    with pabal.Producer(servers) as feeder:
        feeder.send_many(source, [str(number) for number in range(100)], partition=0).result(20)
    place = pabal.TopicPartition(source, 0)
    done = 0
    with pabal.Producer(servers, transactional_id=fresh()) as producer:
        for attempt in range(100):
            with pabal.Consumer(
                source,
                bootstrap_servers=servers,
                group=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            ) as consumer:
                records = consumer.poll(timeout=20, max_records=40)
                assert records[0].offset == done
                try:
                    with producer.transaction():
                        for record in records:
                            producer.send(target, record.value, partition=0)
                        producer.send_offsets(consumer)
                        if attempt % 2 == 0:
                            raise LookupError("again")
                    done += len(records)
                    found = consumer.committed(place)
                    assert found is not None
                    assert found.offset == done
                except LookupError:
                    pass
            if done == 100:
                break
    values = committed(servers, target, 100)
    assert sorted(values, key=int) == [str(number).encode() for number in range(100)]


def test_misuse_is_told(servers: str) -> None:
    with pytest.raises(ValueError, match="enable_idempotence"):
        pabal.Producer(servers, transactional_id="t", acks=1)
    with pytest.raises(ValueError, match="empty"):
        pabal.Producer(servers, transactional_id="")
    topic = fresh()
    with pabal.Producer(servers) as plain, pytest.raises(ValueError, match="transactional_id"):
        plain.begin_transaction()
    with pabal.Producer(servers, transactional_id=fresh()) as producer:
        for call in (
            lambda: producer.send(topic, b"x"),
            lambda: producer.send_many(topic, [b"x"]),
            producer.commit_transaction,
            producer.abort_transaction,
        ):
            with pytest.raises(RuntimeError, match="transaction"):
                call()
        with producer.transaction():
            with pytest.raises(RuntimeError, match="open already"):
                producer.begin_transaction()
            with pabal.Consumer(topic, bootstrap_servers=servers, group=fresh()) as consumer:
                with pytest.raises(ValueError, match="enable_auto_commit"):
                    producer.send_offsets(consumer)
        with producer.transaction():
            pass  # Nothing was sent, and nothing is said to the cluster.
        producer.begin_transaction()
        producer.send(topic, b"left open", partition=0)
    assert committed(servers, topic, 0) == []


def test_the_twin_for_asyncio(servers: str) -> None:
    topic = fresh()

    async def main() -> None:
        async with aio.Producer(servers, transactional_id=fresh()) as producer:
            async with producer.transaction():
                await producer.send(topic, b"one", partition=0)
            with pytest.raises(LookupError):
                async with producer.transaction():
                    await producer.send(topic, b"two", partition=0)
                    raise LookupError
            with pytest.raises(RuntimeError, match="within transactions"):
                await producer.send(topic, b"three")
            async with aio.Consumer(
                topic,
                bootstrap_servers=servers,
                group=fresh(),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            ) as consumer:
                records = await consumer.poll(timeout=20)
                assert [record.value for record in records] == [b"one"]
                async with producer.transaction():
                    await producer.send_offsets(consumer)

    asyncio.run(main())
    assert committed(servers, topic, 1) == [b"one"]
