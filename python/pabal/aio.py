"""The clients for asyncio: the same settings, the same records, and calls that are awaited.

>>> import asyncio, pabal
>>> from pabal import aio
>>> async def main(servers):
...     async with aio.Producer(servers) as producer:
...         sent = await producer.send("orders", b"tea")
...         print((await sent).offset)
...     async with aio.Consumer(
...         "orders", bootstrap_servers=servers, auto_offset_reset="earliest"
...     ) as consumer:
...         async for record in consumer:
...             return record.value
>>> with pabal.Cluster() as cluster:
...     asyncio.run(main(cluster.bootstrap_servers))
0
b'tea'
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from pabal import consumer as blocking_consumer
from pabal import producer as blocking_producer
from pabal._core import ArrowBatch, BulkDelivery, DeliveryFuture, Record, RecordMetadata
from pabal.duration import Duration
from pabal.producer import Headers
from pabal.records import OffsetAndMetadata, TopicPartition

__all__ = ["Consumer", "Producer"]

T = TypeVar("T")
# How long one wait of an iteration is; it ends earlier when records come.
_POLL_SECONDS = 1.0


class Producer:
    """`pabal.Producer` for asyncio. Make it where the loop runs; its arguments are the same.

    Examples
    --------
    >>> async def main(servers):
    ...     async with Producer(servers, linger_ms=0) as producer:
    ...         futures = [await producer.send("orders", str(n)) for n in range(3)]
    ...         return [(await future).offset for future in futures]
    >>> with _example_cluster() as cluster:
    ...     asyncio.run(main(cluster.bootstrap_servers))
    [0, 1, 2]
    """

    def __init__(
        self, bootstrap_servers: str | Sequence[str] = "localhost:9092", **config: Any
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._producer = blocking_producer.Producer(bootstrap_servers, **config)
        self._core = self._producer._core
        self._core.set_hook(self._watch)
        self._watched: int | None = None
        self._thread = threading.get_ident()
        self._pool = ThreadPoolExecutor(1, "pabal-aio")

    async def send(
        self,
        topic: str,
        value: object = None,
        *,
        key: object = None,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Send one record; the future that is returned tells what becomes of it.

        The coroutine itself waits only while the topic is not known yet or the buffer is full.
        """
        key, value = self._producer._serialized(topic, key, value)
        if partition is None and self._producer._partitioner is not None:
            count = await self._call(self._core.partitions, topic)
            partition = self._producer._partitioner(
                topic, blocking_producer._bytes(key), blocking_producer._bytes(value), count
            )
        options = {
            "key": key,
            "partition": partition,
            "timestamp": timestamp,
            "headers": headers,
        }
        try:
            sent = self._core.send_at_once(topic, value, **options)
        except BlockingIOError:
            sent = await self._call(self._core.send, topic, value, **options)
        return self._awaitable(sent)

    async def send_and_wait(
        self, topic: str, value: object = None, **options: Any
    ) -> RecordMetadata:
        """Send one record, and wait until it is delivered."""
        return await (await self.send(topic, value, **options))

    async def send_many(
        self, topic: str, values: Sequence[object], **options: Any
    ) -> BulkDelivery:
        """Send many records with one call, as `pabal.Producer.send_many` does."""
        return await self._call(self._producer.send_many, topic, values, **options)

    async def flush(self, timeout: Duration | None = None) -> None:
        """Wait until all records so far are delivered; what failed is raised."""
        await self._call(self._producer.flush, timeout)

    async def close(self, timeout: Duration | None = None) -> None:
        """Flush, and end the producer. Twice is fine."""
        if self._producer._closed:
            return
        try:
            await self._call(self._producer.flush, timeout)
        finally:
            if self._watched is not None:
                self._loop.remove_reader(self._watched)
                self._watched = None
                self._core.drain()
            await self._call(self._producer._end)
            self._pool.shutdown(wait=False)

    async def __aenter__(self) -> Producer:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(0 if kind is not None and not issubclass(kind, Exception) else None)

    def _watch(self) -> None:
        # The loop itself sleeps on the producer's descriptor: no thread is needed.
        self._watched = self._core.descriptor
        self._loop.add_reader(self._watched, self._core.drain)

    def _awaitable(self, sent: DeliveryFuture) -> asyncio.Future[RecordMetadata]:
        future: asyncio.Future[RecordMetadata] = self._loop.create_future()

        def ended(done: DeliveryFuture) -> None:
            # The end of the producer is told in the thread that ends it.
            if threading.get_ident() != self._thread:
                self._loop.call_soon_threadsafe(ended, done)
                return
            if future.done():
                return
            error = done.exception()
            if error is None:
                future.set_result(done.result())
            else:
                future.set_exception(error)

        sent.add_done_callback(ended)
        return future

    async def _call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        call = functools.partial(function, *arguments, **options)
        if self._producer._closed:
            return call()
        return await self._loop.run_in_executor(self._pool, call)


class Consumer:
    """`pabal.Consumer` for asyncio. Make it where the loop runs; its arguments are the same.

    Topics are subscribed to when it is entered, or by `subscribe`. Rebalance listeners are called
    in the thread that polls, not in the loop's.

    Examples
    --------
    >>> async def main(cluster):
    ...     with cluster.producer() as producer:
    ...         _ = producer.send("orders", b"tea")
    ...     async with Consumer(
    ...         "orders",
    ...         bootstrap_servers=cluster.bootstrap_servers,
    ...         auto_offset_reset="earliest",
    ...     ) as consumer:
    ...         return [record.value for record in await consumer.poll(timeout=10)]
    >>> with _example_cluster() as cluster:
    ...     asyncio.run(main(cluster))
    [b'tea']
    """

    def __init__(self, *topics: str, **config: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._topics = topics
        self._consumer = blocking_consumer.Consumer(**config)
        # One thread: a consumer is used by one at a time.
        self._pool = ThreadPoolExecutor(1, "pabal-aio")

    async def subscribe(self, *topics: str, pattern: str | None = None) -> None:
        """Read these topics, or all whose name matches ``pattern``."""
        self._topics = ()
        await self._call(self._consumer.subscribe, *topics, pattern=pattern)

    async def assign(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Read exactly these partitions."""
        self._topics = ()
        await self._call(self._consumer.assign, partitions)

    async def poll(
        self, timeout: Duration = 0.0, max_records: int | None = None
    ) -> list[Record]:
        """The next records; an empty list if none come in time."""
        await self._begin()
        return await self._call(self._consumer.poll, timeout, max_records)

    async def poll_arrow(
        self, timeout: Duration = 0.0, max_records: int = 1_000_000
    ) -> ArrowBatch:
        """The next records as an Arrow record batch."""
        await self._begin()
        return await self._call(self._consumer.poll_arrow, timeout, max_records)

    async def __aiter__(self) -> AsyncIterator[Record]:
        while not self._consumer._closed:
            for record in await self.poll(timeout=_POLL_SECONDS):
                yield record

    async def seek(self, partition: tuple[str, int], offset: int) -> None:
        """Go on at ``offset``."""
        await self._call(self._consumer.seek, partition, offset)

    async def seek_to_beginning(self, *partitions: tuple[str, int]) -> None:
        """Go on with the first record that there is."""
        await self._call(self._consumer.seek_to_beginning, *partitions)

    async def seek_to_end(self, *partitions: tuple[str, int]) -> None:
        """Go on with the next record that comes."""
        await self._call(self._consumer.seek_to_end, *partitions)

    async def seek_to_time(
        self, moment: datetime | int, *partitions: tuple[str, int]
    ) -> None:
        """Go on with the first record that is not older than ``moment``."""
        await self._call(self._consumer.seek_to_time, moment, *partitions)

    async def position(self, partition: tuple[str, int]) -> int:
        """The offset of the next record that `poll` returns of this partition."""
        return await self._call(self._consumer.position, partition)

    async def commit(
        self, offsets: Mapping[tuple[str, int], int | OffsetAndMetadata] | None = None
    ) -> None:
        """Commit positions for the group."""
        await self._call(self._consumer.commit, offsets)

    async def committed(self, partition: tuple[str, int]) -> OffsetAndMetadata | None:
        """What the group committed for this partition; None if nothing."""
        return await self._call(self._consumer.committed, partition)

    def assignment(self) -> list[TopicPartition]:
        """The partitions that are read now."""
        return self._consumer.assignment()

    def pause(self, *partitions: tuple[str, int]) -> None:
        """Poll no records of these partitions until `resume`."""
        self._consumer.pause(*partitions)

    def resume(self, *partitions: tuple[str, int]) -> None:
        """Poll records of these partitions again."""
        self._consumer.resume(*partitions)

    async def close(self) -> None:
        """Leave the group, and end the consumer. Twice is fine."""
        await self._call(self._consumer.close)
        self._pool.shutdown(wait=False)

    async def __aenter__(self) -> Consumer:
        await self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _begin(self) -> None:
        topics, self._topics = self._topics, ()
        if topics:
            await self._call(self._consumer.subscribe, *topics)

    async def _call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        call = functools.partial(function, *arguments, **options)
        if self._consumer._closed:
            return call()
        return await self._loop.run_in_executor(self._pool, call)


def _example_cluster() -> Any:
    from pabal.cluster import Cluster

    return Cluster()
