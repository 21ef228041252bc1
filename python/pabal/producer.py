"""The producer: records on their way to a cluster, pabal's or Apache Kafka's."""

from __future__ import annotations

import atexit
import os
import select
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol

from pabal import _core
from pabal._core import BulkDelivery, DeliveryFuture, RecordMetadata
from pabal.client_config import PRODUCER, bootstrap_text, check_callable, resolve
from pabal.duration import Duration, seconds
from pabal.serializers import Serializer, serialized

if TYPE_CHECKING:
    from pabal.consumer import Consumer, Partition
    from pabal.records import OffsetAndMetadata

__all__ = ["BulkDelivery", "DeliveryFuture", "Producer", "RecordMetadata", "Transaction"]

Headers = Mapping[str, "bytes | str | None"] | Iterable[tuple[str, "bytes | str | None"]]
# How long the end of a producer waits for callbacks that are running.
_LONGEST_CALLBACK = 5.0
# And for the abort of a transaction that was left open.
_LONGEST_ABORT = 5.0

# Of the transaction: none before the producer knows who it is, ready between two.
_State = Literal["none", "ready", "open", "broken"]
# Topic, partition, offset, leader epoch, metadata.
Position = tuple[str, int, int, int, str]

Partitioner = Callable[[str, "bytes | None", "bytes | None", int], int]


class SpeaksArrow(Protocol):
    """Whoever hands out a stream of Arrow's record batches."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


class Producer:
    """Sends records, in batches and in the background.

    Parameters
    ----------
    bootstrap_servers : str or list of str
        ``host:port`` of some brokers of the cluster.
    key_serializer, value_serializer : callable, optional
        From objects to bytes; see `pabal.serializers`. Without them keys and values are bytes, str
        (sent as UTF-8), buffers or None.
    partitioner : {"sticky", "round_robin"} or callable, optional
        Who chooses the partition where `send` names none. ``"sticky"``: a key goes where the Java
        client puts it (murmur2), a record without one to the partition whose batch is being filled.
        A callable gets ``(topic, key, value, partitions)`` with key and value in bytes, and runs in
        the thread that sends.
    transactional_id : str, optional
        Makes what is sent part of transactions; see `transaction`. Of all producers with the same
        one, in whatever process, the newest may write.
    **config
        Kafka's producer settings by their names with underscores: ``acks``, ``linger_ms``,
        ``batch_size``, ``compression_type``, ``delivery_timeout_ms``... Times are milliseconds or a
        `timedelta`.

    Raises
    ------
    TypeError, ValueError
        If a setting is unknown (the message has the nearest name) or its value is wrong.

    Examples
    --------
    >>> import pabal
    >>> with pabal.Cluster() as cluster:
    ...     with pabal.Producer(cluster.bootstrap_servers, acks="all", linger_ms=0) as producer:
    ...         future = producer.send("orders", b"one coffee", key=b"table-7")
    ...         future.result().offset
    0
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] = "localhost:9092",
        *,
        key_serializer: Serializer | None = None,
        value_serializer: Serializer | None = None,
        partitioner: str | Partitioner = "sticky",
        **config: object,
    ) -> None:
        options = resolve("Producer", PRODUCER, config)
        acks = {"0": 0, "1": 1, "all": -1, "-1": -1}[str(options["acks"])]
        options["acks"] = acks
        in_flight = options["max_in_flight_requests_per_connection"]
        assert isinstance(in_flight, int)
        if options["enable_idempotence"] is None:
            options["enable_idempotence"] = acks == -1 and in_flight <= 5
        self._transactional_id = options["transactional_id"]
        if self._transactional_id == "":
            raise ValueError("transactional_id is a name, not an empty str")
        if self._transactional_id is not None and not options["enable_idempotence"]:
            raise ValueError(
                "transactional_id needs acks=all, max_in_flight_requests_per_connection <= 5 and "
                "enable_idempotence"
            )
        if options["enable_idempotence"] and (acks != -1 or in_flight > 5):
            raise ValueError(
                "enable_idempotence needs acks=all and max_in_flight_requests_per_connection <= 5"
            )
        self._partitioner: Partitioner | None = None
        if callable(partitioner):
            self._partitioner = partitioner
        elif partitioner not in ("sticky", "round_robin"):
            raise ValueError(
                f'partitioner is "sticky", "round_robin" or a callable, not {partitioner!r}'
            )
        options["round_robin"] = partitioner == "round_robin"
        check_callable("key_serializer", key_serializer)
        check_callable("value_serializer", value_serializer)
        self._key_serializer = key_serializer
        self._value_serializer = value_serializer
        self._bootstrap = bootstrap_text(bootstrap_servers)
        self._closed = False
        self._core = _core.Producer(self._bootstrap, options)
        self._send = self._core.send
        self._transaction: _State = "none"
        self._sent_positions: list[tuple[Consumer, list[Position]]] = []
        plain = key_serializer is None and value_serializer is None and self._partitioner is None
        if plain and self._transactional_id is None:
            # Nothing is left to do here: what is called is native.
            self.__dict__["send"] = self._send
        self._watcher = _Watcher(self._core)
        self._core.set_hook(self._watcher.start)
        _open_producers.add(self)

    def send(
        self,
        topic: str,
        value: object = None,
        *,
        key: object = None,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
    ) -> DeliveryFuture:
        """Send one record; what becomes of it is told by the future that is returned.

        Waits only while the topic is not known yet or the buffer is full, for ``max_block_ms`` at
        most.

        Parameters
        ----------
        topic : str
            The topic's name.
        value, key : bytes, str, buffer or None
            What the serializers take, if there are any. A value of None is a tombstone.
        partition : int, optional
            Where the record goes, whatever the partitioner would say.
        timestamp : int, optional
            Milliseconds since 1970; now, without it.
        headers : mapping or pairs of a str and bytes, optional
            Kept in their order.

        Raises
        ------
        TypeError, ValueError
            If an argument is none of these.
        pabal.errors.MessageTooLargeError
            If the record is larger than ``max_request_size``.
        pabal.errors.KafkaError
            If the topic is not known after ``max_block_ms``.
        TimeoutError
            If the buffer stays full for that long.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.producer() as producer:
        ...     sent = producer.send("orders", "tea", headers={"waiter": b"Kim"}, timestamp=1000)
        ...     sent.result(timeout=10)
        pabal._core.RecordMetadata(topic='orders', partition=0, offset=0, timestamp=1000)
        """
        self._check_transaction()
        key_data, value_data = self._serialized(topic, key, value)
        if partition is None and self._partitioner is not None:
            partition = self._partitioner(
                topic, _bytes(key_data), _bytes(value_data), self._core.partitions(topic)
            )
        return self._send(
            topic,
            value_data,
            key=key_data,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
        )

    def send_many(
        self,
        topic: str,
        values: Sequence[object],
        *,
        keys: Sequence[object] | None = None,
        partition: int | None = None,
        timestamps: Sequence[int] | None = None,
    ) -> BulkDelivery:
        """Send many records with one call, the fastest way.

        Parameters
        ----------
        topic : str
            The topic's name.
        values : sequence
            One value per record, as `send` takes them.
        keys : sequence, optional
            One key per record.
        partition : int, optional
            Where all of them go.
        timestamps : sequence of int, optional
            One per record, in milliseconds since 1970.

        Returns
        -------
        BulkDelivery
            Its ``result(timeout=None)`` waits for all of them and returns how many there were; the
            first error is raised.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.producer() as producer:
        ...     producer.send_many("orders", [b"tea", b"coffee"], keys=[b"1", b"2"]).result()
        2
        """
        self._check_transaction()
        if self._key_serializer is not None and keys is not None:
            keys = [serialized(self._key_serializer, key, topic, "key") for key in keys]
        if self._value_serializer is not None:
            values = [
                serialized(self._value_serializer, value, topic, "value") for value in values
            ]
        if self._partitioner is not None and partition is None:
            return self._send_each(topic, values, keys, timestamps)
        return self._core.send_many(topic, values, keys, partition, timestamps)

    def send_arrow(
        self, topic: str, data: SpeaksArrow, *, partition: int | None = None
    ) -> BulkDelivery:
        """Send the rows of a table, a frame or an array that speaks Arrow, without copying them.

        Parameters
        ----------
        topic : str
            The topic's name.
        data : pyarrow.Table, polars.DataFrame, pandas.DataFrame, `ArrowBatch`...
            Whatever has ``__arrow_c_stream__``. Its columns ``value``, ``key`` (binary or text) and
            ``timestamp`` are sent, other ones are not; an array that is no table is its values.
            Serializers are not applied, nor a partitioner that is a callable.
        partition : int, optional
            Where all of them go.

        Returns
        -------
        BulkDelivery
            As from `send_many`.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.producer() as producer:
        ...     _ = producer.send_many("orders", [b"tea", b"coffee"]).result()
        ...     with cluster.consumer("orders", auto_offset_reset="earliest") as consumer:
        ...         producer.send_arrow("copy", consumer.poll_arrow(timeout=10)).result()
        2
        """
        self._check_transaction()
        if not hasattr(data, "__arrow_c_stream__"):
            raise TypeError(f"data speaks Arrow (__arrow_c_stream__), not {type(data).__name__}")
        return self._core.send_arrow(topic, data, partition)

    def _send_each(
        self,
        topic: str,
        values: Sequence[object],
        keys: Sequence[object] | None,
        timestamps: Sequence[int] | None,
    ) -> BulkDelivery:
        assert self._partitioner is not None
        count = self._core.partitions(topic)
        by_partition: dict[int, list[int]] = {}
        for index, value in enumerate(values):
            key = None if keys is None else keys[index]
            chosen = self._partitioner(topic, _bytes(key), _bytes(value), count)
            by_partition.setdefault(chosen, []).append(index)
        sent: BulkDelivery | None = None
        for chosen, indexes in by_partition.items():
            part = self._core.send_many(
                topic,
                [values[index] for index in indexes],
                None if keys is None else [keys[index] for index in indexes],
                chosen,
                None if timestamps is None else [timestamps[index] for index in indexes],
            )
            sent = part if sent is None else sent.joined(part)
        return sent if sent is not None else self._core.send_many(topic, [], None, None, None)

    def transaction(self, timeout: Duration = 60.0) -> Transaction:
        """All that is sent in ``with producer.transaction():`` becomes visible, or nothing of it.

        At the end of the block the transaction is committed; an exception aborts it. Consumers with
        ``isolation_level="read_committed"`` see what is committed only. The first one introduces
        the producer to the cluster: whoever had its ``transactional_id`` before may not write any
        more, and what that one has left open is aborted.

        Parameters
        ----------
        timeout : timedelta or float
            How long its beginning and its end may take each, in seconds.

        Raises
        ------
        pabal.errors.ProducerFencedError
            If another producer has the ``transactional_id`` now, or the transaction lasted longer
            than ``transaction_timeout_ms``. Close this producer.
        pabal.errors.KafkaError
            If a record could not be delivered: the transaction is aborted.

        Examples
        --------
        >>> with _example_cluster() as cluster:
        ...     with cluster.producer(transactional_id="till-1") as producer:
        ...         with producer.transaction():
        ...             _ = producer.send("orders", b"tea")
        ...             _ = producer.send("bills", b"3.50")
        ...         try:
        ...             with producer.transaction():
        ...                 _ = producer.send("orders", b"coffee")
        ...                 raise RuntimeError("out of beans")
        ...         except RuntimeError:
        ...             pass
        ...     with cluster.consumer(
        ...         "orders", auto_offset_reset="earliest", isolation_level="read_committed"
        ...     ) as consumer:
        ...         [record.value for record in consumer.poll(timeout=10)]
        [b'tea']
        """
        return Transaction(self, seconds(timeout, "timeout"))

    def begin_transaction(self, timeout: Duration = 60.0) -> None:
        """Begin a transaction, as `transaction` does."""
        if self._transactional_id is None:
            raise ValueError("transactions need a producer with a transactional_id")
        if self._transaction in ("open", "broken"):
            raise RuntimeError("a transaction is open already: commit or abort it first")
        if self._transaction == "none":
            self._core.init_transactions(seconds(timeout, "timeout"))
        self._transaction = "open"

    def send_offsets(
        self,
        consumer: Consumer,
        offsets: Mapping[Partition, int | OffsetAndMetadata] | None = None,
        *,
        timeout: Duration = 60.0,
    ) -> None:
        """Commit a consumer's positions with the transaction: what was read counts as read if and
        only if what was made of it becomes visible.

        Parameters
        ----------
        consumer : Consumer
            A member of a group, with ``enable_auto_commit=False``.
        offsets : mapping, optional
            As `Consumer.commit` takes them; without it, behind the last record that was polled of
            every partition.
        timeout : timedelta or float
            How long it may take, in seconds.

        Examples
        --------
        >>> with _example_cluster() as cluster:
        ...     with cluster.producer() as till:
        ...         _ = till.send("orders", b"tea")
        ...     with cluster.producer(transactional_id="kitchen-1") as producer:
        ...         with cluster.consumer(
        ...             "orders",
        ...             group="kitchen",
        ...             enable_auto_commit=False,
        ...             auto_offset_reset="earliest",
        ...         ) as consumer:
        ...             records = consumer.poll(timeout=10)
        ...             with producer.transaction():
        ...                 for record in records:
        ...                     _ = producer.send("served", record.value)
        ...                 producer.send_offsets(consumer)
        ...             consumer.committed(("orders", 0)).offset
        1
        """
        if self._transaction != "open":
            raise RuntimeError("positions are sent within a transaction")
        group, member, generation, positions = consumer._of_transaction(offsets)
        if not positions:
            return
        limit = seconds(timeout, "timeout")
        try:
            self._core.send_positions(group, member, generation, positions, limit)
        except BaseException:
            self._transaction = "broken"
            raise
        self._sent_positions.append((consumer, positions))

    def commit_transaction(self, timeout: Duration = 60.0) -> None:
        """Commit the open transaction, once all of it is delivered. After an error it can be
        aborted only.
        """
        if self._transaction != "open":
            raise RuntimeError(
                "the transaction has failed: abort it"
                if self._transaction == "broken"
                else "no transaction is open"
            )
        try:
            self.flush(timeout)
            self._core.end_transaction(True, seconds(timeout, "timeout"))
        except BaseException:
            self._transaction = "broken"
            raise
        self._transaction = "ready"
        for consumer, positions in self._sent_positions:
            consumer._committed.update({(p[0], p[1]): p[2] for p in positions})
        self._sent_positions.clear()

    def abort_transaction(self, timeout: Duration = 60.0) -> None:
        """Abort the open transaction: nothing of it becomes visible."""
        if self._transaction not in ("open", "broken"):
            raise RuntimeError("no transaction is open")
        limit = seconds(timeout, "timeout")
        self._transaction = "broken"
        self._sent_positions.clear()
        self._core.give_transaction_up()
        if self._core.flush(limit) is None:
            raise TimeoutError(f"records are still under way after {limit} seconds")
        self._core.end_transaction(False, limit)
        self._transaction = "ready"

    def _check_transaction(self) -> None:
        if self._transactional_id is not None and self._transaction != "open":
            raise RuntimeError(
                "a producer with a transactional_id sends within transactions: "
                "with producer.transaction(): ..."
            )

    def partitions_for(self, topic: str) -> int:
        """How many partitions ``topic`` has.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.producer() as producer:
        ...     producer.partitions_for("orders")
        1
        """
        return self._core.partitions(topic)

    @property
    def outstanding(self) -> int:
        """Records that were sent and of which it is not known yet what becomes of them."""
        return self._core.outstanding

    def flush(self, timeout: Duration | None = None) -> None:
        """Send what is waiting, and wait until all records so far are delivered.

        Parameters
        ----------
        timeout : timedelta or float, optional
            How long to wait, in seconds; without it until ``delivery_timeout_ms`` decides.

        Raises
        ------
        pabal.errors.KafkaError
            If records could not be delivered since the last flush; the message says how many, in
            which partitions and why. What failed in different ways is raised as the first of them.
        TimeoutError
            If some are still under way.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.producer() as producer:
        ...     futures = [producer.send("orders", str(number)) for number in range(3)]
        ...     producer.flush()
        ...     all(future.done() for future in futures)
        True
        """
        limit = None if timeout is None else seconds(timeout, "timeout")
        failures = self._core.flush(limit)
        if failures is None:
            raise TimeoutError(
                f"{self.outstanding} records are still under way after {limit} seconds"
            )
        raise_failures(failures)

    def close(self, timeout: Duration | None = None) -> None:
        """Flush, and end the producer. Twice is fine.

        Parameters
        ----------
        timeout : timedelta or float, optional
            How long to wait for deliveries, in seconds; what is under way then is lost, which
            raises `TimeoutError`. 0 waits for nothing.
        """
        if self._closed:
            return
        try:
            self._settle(timeout)
        finally:
            self._end()

    def _settle(self, timeout: Duration | None) -> None:
        if self._transaction in ("open", "broken"):
            self._abort_at_end()
        self.flush(timeout)

    def _abort_at_end(self) -> None:
        # If it cannot be told any more, the cluster finds out: by another producer or by time.
        try:
            self.abort_transaction(_LONGEST_ABORT)
        except Exception:  # noqa: S110, BLE001 - nothing of it is visible in any case
            pass

    def _end(self) -> None:
        self._closed = True
        _open_producers.discard(self)
        self._core.stop()
        self._watcher.join()

    def __enter__(self) -> Producer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        # What is on its way already is more to the point than what the flush would say.
        try:
            self.close(None if issubclass(kind, Exception) else 0)
        except Exception as second:
            if error is not None and hasattr(error, "add_note"):
                error.add_note(f"closing the producer: {second}")

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.outstanding} records under way"
        return f"<pabal.Producer {self._bootstrap} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("a producer cannot be pickled; make one where it is needed")

    def _serialized(self, topic: str, key: object, value: object) -> tuple[object, object]:
        if self._key_serializer is not None:
            key = serialized(self._key_serializer, key, topic, "key")
        if self._value_serializer is not None:
            value = serialized(self._value_serializer, value, topic, "value")
        return key, value


class Transaction:
    """One transaction of a producer, made by `Producer.transaction`."""

    def __init__(self, producer: Producer, timeout: float) -> None:
        self._producer = producer
        self._timeout = timeout

    def __enter__(self) -> Transaction:
        self._producer.begin_transaction(self._timeout)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            try:
                self._producer.commit_transaction(self._timeout)
                return
            except BaseException as failure:
                self._abort(failure)
                raise
        self._abort(error)

    def _abort(self, reason: BaseException | None) -> None:
        if self._producer._transaction not in ("open", "broken"):
            return
        try:
            self._producer.abort_transaction(self._timeout)
        except Exception as second:
            # Why the transaction had to be aborted is more to the point.
            if reason is not None and hasattr(reason, "add_note"):
                reason.add_note(f"aborting the transaction: {second}")


def raise_failures(failures: Sequence[tuple[str, int, int, str, int]]) -> None:
    """Raise what became of records that were not delivered; nothing if there is nothing."""
    if not failures:
        return
    from pabal import errors

    total = sum(count for *_, count in failures)
    reasons = "; ".join(
        f"{count} of {topic}-{partition}: {message}"
        for topic, partition, _, message, count in failures[:5]
    )
    more = f"; and {len(failures) - 5} more reasons" if len(failures) > 5 else ""
    error = errors.error_class(failures[0][2])
    raise error(f"{total} records were not delivered: {reasons}{more}")


def _bytes(data: object) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    return bytes(memoryview(data))  # type: ignore[arg-type]


class _Watcher:
    """The thread that calls callbacks of futures; it runs once there are some."""

    def __init__(self, core: _core.Producer) -> None:
        self._core = weakref.ref(core)
        self._thread: threading.Thread | None = None

    def join(self) -> None:
        # The interpreter must not end while a callback runs.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_LONGEST_CALLBACK)

    def start(self) -> None:
        core = self._core()
        if core is None:
            return
        # A descriptor of its own: the producer may close its own at any time, and rings before.
        descriptor = os.dup(core.descriptor)
        self._thread = threading.Thread(
            target=_Watcher._run, args=(self._core, descriptor), name="pabal-callbacks", daemon=True
        )
        self._thread.start()

    @staticmethod
    def _run(watched: weakref.ref[_core.Producer], descriptor: int) -> None:
        try:
            while True:
                select.select([descriptor], [], [])
                core = watched()
                if core is None or core.stopped:
                    return
                core.drain()
                del core
        finally:
            os.close(descriptor)


def _example_cluster() -> object:
    from pabal.cluster import Cluster

    return Cluster()


_open_producers: weakref.WeakSet[Producer] = weakref.WeakSet()


@atexit.register
def _close_open_producers() -> None:
    for producer in list(_open_producers):
        try:
            producer.close(timeout=5)
        except Exception:  # noqa: S110, BLE001 - nobody is left to be told
            pass
