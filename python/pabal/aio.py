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
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, TypeVar

from pabal import admin as blocking_admin
from pabal import consumer as blocking_consumer
from pabal import producer as blocking_producer
from pabal._core import ArrowBatch, BulkDelivery, DeliveryFuture, Record, RecordMetadata
from pabal.admin import (
    ClusterDescription,
    ConfigEntry,
    FeatureDescription,
    GroupDescription,
    GroupListing,
    LogDir,
    Partition,
    QuorumDescription,
    Reassignment,
    Resource,
    TopicDescription,
)
from pabal.duration import Duration, seconds
from pabal.producer import Headers
from pabal.records import OffsetAndMetadata, TopicPartition

__all__ = ["Admin", "Consumer", "Producer"]

T = TypeVar("T")
Batch = TypeVar("Batch", list[Record], ArrowBatch)
# How long one wait of an iteration is; it ends earlier when records come.
_POLL_SECONDS = 1.0
# How long a cancelled poll may keep its thread.
_SLICE_SECONDS = 0.05


class _Twin:
    """What the clients here have in common: one thread, in which calls wait."""

    _loop: asyncio.AbstractEventLoop
    _pool: ThreadPoolExecutor

    def _begin_thread(self) -> None:
        self._loop = asyncio.get_running_loop()
        # One thread: a client is used by one at a time.
        self._pool = ThreadPoolExecutor(1, "pabal-aio")

    def _is_closed(self) -> bool:
        raise NotImplementedError

    async def _call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        call = functools.partial(function, *arguments, **options)
        if self._is_closed():
            return call()
        return await self._loop.run_in_executor(self._pool, call)


class Producer(_Twin):
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
        self._begin_thread()
        self._producer = blocking_producer.Producer(bootstrap_servers, **config)
        self._core = self._producer._core
        self._core.set_hook(self._watch)
        self._watched: int | None = None
        self._thread = threading.get_ident()

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
        self._producer._check_transaction()
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

    def transaction(self, timeout: Duration = 60.0) -> Transaction:
        """All that is sent in ``async with producer.transaction():`` becomes visible, or nothing of
        it, as with `pabal.Producer.transaction`.

        Examples
        --------
        >>> async def main(servers):
        ...     async with Producer(servers, transactional_id="till-1") as producer:
        ...         async with producer.transaction():
        ...             await producer.send("orders", b"tea")
        ...         return producer.outstanding
        >>> with _example_cluster() as cluster:
        ...     asyncio.run(main(cluster.bootstrap_servers))
        0
        """
        return Transaction(self, timeout)

    async def begin_transaction(self, timeout: Duration = 60.0) -> None:
        """Begin a transaction, as `transaction` does."""
        await self._call(self._producer.begin_transaction, timeout)

    async def send_offsets(
        self,
        consumer: Consumer,
        offsets: Mapping[Partition, int | OffsetAndMetadata] | None = None,
        *,
        timeout: Duration = 60.0,
    ) -> None:
        """Commit a consumer's positions with the transaction."""
        await self._call(
            self._producer.send_offsets, consumer._consumer, offsets, timeout=timeout
        )

    async def commit_transaction(self, timeout: Duration = 60.0) -> None:
        """Commit the open transaction, once all of it is delivered."""
        await self._call(self._producer.commit_transaction, timeout)

    async def abort_transaction(self, timeout: Duration = 60.0) -> None:
        """Abort the open transaction: nothing of it becomes visible."""
        await self._call(self._producer.abort_transaction, timeout)

    @property
    def outstanding(self) -> int:
        """Records that were sent and of which it is not known yet what becomes of them."""
        return self._producer.outstanding

    async def flush(self, timeout: Duration | None = None) -> None:
        """Wait until all records so far are delivered; what failed is raised."""
        await self._call(self._producer.flush, timeout)

    async def close(self, timeout: Duration | None = None) -> None:
        """Flush, and end the producer. Twice is fine."""
        if self._producer._closed:
            return
        try:
            await self._call(self._producer._settle, timeout)
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
                if type(error).__name__ == "TransactionAbortableError":
                    future.exception()  # Whoever ends the transaction knows; nobody need ask.

        sent.add_done_callback(ended)
        return future

    def _is_closed(self) -> bool:
        return self._producer._closed


class Transaction:
    """One transaction of a producer, made by `Producer.transaction`."""

    def __init__(self, producer: Producer, timeout: Duration) -> None:
        self._producer = producer
        self._blocking = producer._producer.transaction(timeout)

    async def __aenter__(self) -> Transaction:
        await self._producer._call(self._blocking.__enter__)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._producer._call(self._blocking.__exit__, kind, error, traceback)


class _Attempt:
    """One poll in the thread of a consumer, that a cancelled task may leave behind."""

    def __init__(self, consumer: blocking_consumer.Consumer) -> None:
        self._consumer = consumer
        self._before: list[tuple[str, int, int, int]] = []
        self.is_cancelled = False

    def poll(
        self, poll: Callable[[Duration, Any], Batch], limit: float, max_records: int | None
    ) -> Batch:
        deadline = time.monotonic() + limit
        while True:
            left = 0.0 if self.is_cancelled else max(0.0, deadline - time.monotonic())
            self._consumer._hand_back()
            self._before = self._consumer._core.positions()
            got = poll(min(left, _SLICE_SECONDS), max_records)
            if len(got) > 0 or left <= _SLICE_SECONDS:
                return got

    def hand_back(self, polled: Future[Any]) -> None:
        """After the poll, in its thread: its records are read by the next one."""
        if polled.cancelled() or polled.exception() is not None:
            return
        got = polled.result()
        if len(got) == 0 or self._is_closed():
            return
        core = self._consumer._core
        first = {(topic, partition): offset for topic, partition, offset, _ in self._before}
        if isinstance(got, list):
            first = {}
            for record in got:
                first.setdefault((record.topic, record.partition), record.offset)
        for topic, partition, position, _ in core.positions():
            offset = first.get((topic, partition), position)
            if offset != position:
                core.seek((topic, partition), offset, -1)

    def _is_closed(self) -> bool:
        return self._consumer._closed


class Consumer(_Twin):
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
        self._begin_thread()
        self._topics = topics
        self._consumer = blocking_consumer.Consumer(**config)

    async def subscribe(self, *topics: str | Iterable[str], pattern: str | None = None) -> None:
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
        return await self._polled(self._consumer.poll, timeout, max_records)

    async def poll_arrow(
        self, timeout: Duration = 0.0, max_records: int = 1_000_000
    ) -> ArrowBatch:
        """The next records as an Arrow record batch."""
        return await self._polled(self._consumer.poll_arrow, timeout, max_records)

    async def __aiter__(self) -> AsyncIterator[Record]:
        # As with `pabal.Consumer`: read is what was handed out.
        consumer = self._consumer
        while not consumer._closed:
            if not consumer._ahead:
                consumer._ahead.extend(await self.poll(timeout=_POLL_SECONDS))
            while consumer._ahead:
                yield consumer._ahead.popleft()

    async def _polled(
        self, poll: Callable[[Duration, Any], Batch], timeout: Duration, max_records: int | None
    ) -> Batch:
        await self._begin()
        limit = seconds(timeout, "timeout")
        if self._is_closed():
            return poll(limit, max_records)
        attempt = _Attempt(self._consumer)
        polled = self._pool.submit(attempt.poll, poll, limit, max_records)
        try:
            return await asyncio.wrap_future(polled)
        except asyncio.CancelledError:
            # Whatever it brings nobody gets: that is handed back before anything else is done.
            attempt.is_cancelled = True
            if not polled.cancelled():
                self._pool.submit(attempt.hand_back, polled)
            raise

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

    def _is_closed(self) -> bool:
        return self._consumer._closed


class Admin(_Twin):
    """`pabal.Admin` for asyncio. Make it where the loop runs; its arguments are the same.

    Examples
    --------
    >>> async def main(servers):
    ...     async with Admin(servers) as admin:
    ...         await admin.create_topic("orders", partitions=3)
    ...         return await admin.list_topics()
    >>> with _example_cluster() as cluster:
    ...     asyncio.run(main(cluster.bootstrap_servers))
    ['orders']
    """

    def __init__(
        self, bootstrap_servers: str | Sequence[str] = "localhost:9092", **config: object
    ) -> None:
        self._begin_thread()
        self._admin = blocking_admin.Admin(bootstrap_servers, **config)

    async def create_topic(
        self,
        name: str,
        partitions: int | None = None,
        replication_factor: int | None = None,
        *,
        replicas: Sequence[Sequence[int]] | None = None,
        config: Mapping[str, object] | None = None,
        validate_only: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        """Create a topic; when this returns, every partition has a leader."""
        await self._call(
            self._admin.create_topic,
            name,
            partitions,
            replication_factor,
            replicas=replicas,
            config=config,
            validate_only=validate_only,
            timeout=timeout,
        )

    async def delete_topic(self, name: str, *, timeout: Duration | None = None) -> None:
        """Delete a topic with all its records."""
        await self._call(self._admin.delete_topic, name, timeout=timeout)

    async def list_topics(
        self, *, internal: bool = False, timeout: Duration | None = None
    ) -> list[str]:
        """The names of all topics; those of the cluster's own only with ``internal``."""
        return await self._call(self._admin.list_topics, internal=internal, timeout=timeout)

    async def describe_topic(
        self, name: str, *, timeout: Duration | None = None
    ) -> TopicDescription:
        """Where the partitions of a topic stand."""
        return await self._call(self._admin.describe_topic, name, timeout=timeout)

    async def create_partitions(
        self,
        topic: str,
        total: int,
        *,
        replicas: Sequence[Sequence[int]] | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Let a topic have ``total`` partitions; when this returns, every one has a leader."""
        await self._call(
            self._admin.create_partitions,
            topic,
            total,
            replicas=replicas,
            timeout=timeout,
        )

    async def describe_configs(
        self, resource: Resource, name: str | int, *, timeout: Duration | None = None
    ) -> dict[str, ConfigEntry]:
        """The settings in force, by name."""
        return await self._call(self._admin.describe_configs, resource, name, timeout=timeout)

    async def alter_configs(
        self,
        resource: Resource,
        name: str | int,
        changes: Mapping[str, object] | None = None,
        *,
        append: Mapping[str, object] | None = None,
        subtract: Mapping[str, object] | None = None,
        validate_only: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        """Change single settings; all others stay (KIP-339)."""
        await self._call(
            self._admin.alter_configs,
            resource,
            name,
            changes,
            append=append,
            subtract=subtract,
            validate_only=validate_only,
            timeout=timeout,
        )

    async def list_offsets(
        self,
        partitions: str | Iterable[Partition],
        at: Literal["earliest", "latest", "max_timestamp"] | datetime | int = "latest",
        *,
        timeout: Duration | None = None,
    ) -> dict[TopicPartition, int | None]:
        """For each partition the offset where its log starts or ends, or that belongs to a time."""
        return await self._call(self._admin.list_offsets, partitions, at, timeout=timeout)

    async def delete_records(
        self,
        before: Mapping[Partition, int | Literal["latest"]],
        *,
        timeout: Duration | None = None,
    ) -> dict[TopicPartition, int]:
        """Delete the records before an offset, and return where each log starts then."""
        return await self._call(self._admin.delete_records, before, timeout=timeout)

    async def list_groups(self, *, timeout: Duration | None = None) -> list[GroupListing]:
        """All groups of the cluster, by id."""
        return await self._call(self._admin.list_groups, timeout=timeout)

    async def describe_group(
        self, group_id: str, *, timeout: Duration | None = None
    ) -> GroupDescription:
        """A group and its members."""
        return await self._call(self._admin.describe_group, group_id, timeout=timeout)

    async def delete_group(self, group_id: str, *, timeout: Duration | None = None) -> None:
        """Delete a group with its offsets."""
        await self._call(self._admin.delete_group, group_id, timeout=timeout)

    async def list_group_offsets(
        self, group_id: str, *, timeout: Duration | None = None
    ) -> dict[TopicPartition, int]:
        """Where a group goes on, for every partition that it has committed."""
        return await self._call(self._admin.list_group_offsets, group_id, timeout=timeout)

    async def alter_group_offsets(
        self,
        group_id: str,
        offsets: Mapping[Partition, int],
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Let a group without members go on at these offsets."""
        await self._call(self._admin.alter_group_offsets, group_id, offsets, timeout=timeout)

    async def reset_group_offsets(
        self,
        group_id: str,
        *topics: str,
        to: Any,
        partitions: Iterable[int] | None = None,
        dry_run: bool = False,
        timeout: Duration | None = None,
    ) -> dict[TopicPartition, int]:
        """Let a group go on elsewhere, as `Group.reset` does; the new offsets are returned."""
        return await self._call(
            self._admin.reset_group_offsets,
            group_id,
            *topics,
            to=to,
            partitions=partitions,
            dry_run=dry_run,
            timeout=timeout,
        )

    async def delete_group_offsets(
        self,
        group_id: str,
        partitions: Iterable[Partition],
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Forget what a group has committed for these partitions."""
        await self._call(self._admin.delete_group_offsets, group_id, partitions, timeout=timeout)

    async def elect_leaders(
        self,
        partitions: Iterable[Partition] | None = None,
        *,
        unclean: bool = False,
        timeout: Duration | None = None,
    ) -> list[TopicPartition]:
        """Give partitions to their preferred leaders (KIP-460)."""
        return await self._call(
            self._admin.elect_leaders,
            partitions,
            unclean=unclean,
            timeout=timeout,
        )

    async def alter_partition_reassignments(
        self,
        replicas: Mapping[Partition, Sequence[int] | None],
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Move partitions to other brokers (KIP-455)."""
        await self._call(self._admin.alter_partition_reassignments, replicas, timeout=timeout)

    async def list_partition_reassignments(
        self,
        partitions: Iterable[Partition] | None = None,
        *,
        timeout: Duration | None = None,
    ) -> dict[TopicPartition, Reassignment]:
        """The moves that are under way, of these partitions or of all."""
        return await self._call(
            self._admin.list_partition_reassignments,
            partitions,
            timeout=timeout,
        )

    async def describe_log_dirs(
        self, brokers: Iterable[int] | None = None, *, timeout: Duration | None = None
    ) -> dict[int, tuple[LogDir, ...]]:
        """The log directories of these brokers, or of all, and how large the replicas are."""
        return await self._call(self._admin.describe_log_dirs, brokers, timeout=timeout)

    async def describe_cluster(
        self, *, fenced: bool = False, timeout: Duration | None = None
    ) -> ClusterDescription:
        """The cluster's id and its brokers."""
        return await self._call(self._admin.describe_cluster, fenced=fenced, timeout=timeout)

    async def describe_quorum(self, *, timeout: Duration | None = None) -> QuorumDescription:
        """The metadata quorum: who leads it, and how far its nodes are."""
        return await self._call(self._admin.describe_quorum, timeout=timeout)

    async def describe_features(self, *, timeout: Duration | None = None) -> FeatureDescription:
        """The features that the cluster has agreed on, and those it could (KIP-584)."""
        return await self._call(self._admin.describe_features, timeout=timeout)

    async def update_features(
        self,
        levels: Mapping[str, int],
        *,
        downgrade: Literal["safe", "unsafe"] | None = None,
        validate_only: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        """Raise features to other levels, or lower them (KIP-584)."""
        await self._call(
            self._admin.update_features,
            levels,
            downgrade=downgrade,
            validate_only=validate_only,
            timeout=timeout,
        )

    async def close(self) -> None:
        """End the client. Twice is fine."""
        await self._call(self._admin.close)
        self._pool.shutdown(wait=False)

    async def __aenter__(self) -> Admin:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _is_closed(self) -> bool:
        return self._admin._closed


def _example_cluster() -> Any:
    from pabal.cluster import Cluster

    return Cluster()
