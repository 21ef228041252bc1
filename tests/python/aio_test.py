"""The clients for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from clients_world import fresh

import pabal
from pabal import aio, errors


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(config={"num.partitions": 2}) as running:
        yield running


async def test_records_go_and_come(cluster: pabal.Cluster) -> None:
    topic = fresh()
    async with aio.Producer(cluster.bootstrap_servers) as producer:
        futures = [await producer.send(topic, str(number), partition=0) for number in range(500)]
        offsets = [(await future).offset for future in futures]
        assert offsets == list(range(500))
        assert (await producer.send_and_wait(topic, b"x", partition=1)).offset == 0
        assert (await producer.send_many(topic, [b"y"] * 3, partition=1)).result(20) == 3
        await producer.flush()
    seen: list[bytes] = []
    async with aio.Consumer(
        topic,
        bootstrap_servers=cluster.bootstrap_servers,
        auto_offset_reset="earliest",
        group=fresh("group"),
    ) as consumer:
        async for record in consumer:
            seen.append(record.value)
            if len(seen) == 504:
                break
        await consumer.commit()
        assert (await consumer.committed((topic, 0))).offset == 500  # type: ignore[union-attr]
        assert len(consumer.assignment()) == 2
    assert sorted(seen) == sorted([b"%d" % number for number in range(500)] + [b"x"] + [b"y"] * 3)


async def test_the_loop_goes_on_while_a_client_waits(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh()).name
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    turning = asyncio.create_task(turn())
    async with aio.Consumer(topic, bootstrap_servers=cluster.bootstrap_servers) as consumer:
        assert await consumer.poll(timeout=0.5) == []
    async with aio.Producer("127.0.0.1:1", max_block_ms=300) as producer:
        with pytest.raises(errors.BrokerNotAvailableError):
            await producer.send(topic, b"")
    turning.cancel()
    assert turns > 30


async def test_a_failed_record_is_raised_where_it_is_awaited(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh(), config={"max.message.bytes": 300}).name
    producer = aio.Producer(cluster.bootstrap_servers)
    future = await producer.send(topic, b"x" * 1000)
    with pytest.raises(errors.MessageTooLargeError):
        await future
    with pytest.raises(errors.MessageTooLargeError):
        await producer.close()
    await producer.close()


async def test_records_under_way_end_with_their_producer(tmp_path: object) -> None:
    with pabal.Cluster(isolation="process", data_dir=str(tmp_path)) as cluster:
        topic = cluster.create_topic(fresh()).name
        producer = aio.Producer(cluster.bootstrap_servers)
        await producer.send_and_wait(topic, b"first")
        cluster.broker(0).kill()
        lost = await producer.send(topic, b"second")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await producer.close(timeout=0.1)
        with pytest.raises(errors.KafkaError):
            await lost
        assert time.monotonic() - began < 5


async def test_what_a_cancelled_poll_brings_comes_with_the_next_one(
    cluster: pabal.Cluster,
) -> None:
    topic = cluster.create_topic(fresh(), partitions=1).name
    seen: list[int] = []
    cancelled = 0
    async with (
        aio.Producer(cluster.bootstrap_servers, linger_ms=0) as producer,
        aio.Consumer(
            topic, bootstrap_servers=cluster.bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer,
    ):
        for number in range(100):
            polling = asyncio.create_task(consumer.poll(timeout=60))
            await asyncio.sleep(number % 3 * 0.001)
            await producer.send(topic, str(number))
            await asyncio.sleep(number % 5 * 0.0005)
            polling.cancel()
            try:
                seen += [int(record.value) for record in await polling]
            except asyncio.CancelledError:
                cancelled += 1
        while len(seen) < 100:
            seen += [int(record.value) for record in await consumer.poll(timeout=20)]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(consumer.poll_arrow(timeout=60), 0.05)
        await producer.send_and_wait(topic, "last")
        began = time.monotonic()
        assert len(await consumer.poll_arrow(timeout=20)) == 1
        assert time.monotonic() - began < 10
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(consumer.poll(timeout=60), 0.05)
        began = time.monotonic()
    assert time.monotonic() - began < 10  # Nor does close() wait for a poll that was given up.
    assert cancelled > 0
    assert seen == list(range(100))


async def test_a_group_goes_on_behind_what_an_iteration_handed_out(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh(), partitions=1).name
    with cluster.producer() as producer:
        producer.send_many(topic, [b"0", b"1", b"2"])
    servers, group = cluster.bootstrap_servers, fresh("group")
    for number in range(3):
        async with aio.Consumer(
            topic, bootstrap_servers=servers, group=group, auto_offset_reset="earliest"
        ) as consumer:
            async for record in consumer:
                assert record.value == b"%d" % number
                break
