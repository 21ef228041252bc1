"""The consumer: records from a cluster, pabal's or Apache Kafka's, alone or in a group."""

from __future__ import annotations

import atexit
import re
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from pabal import _core
from pabal._core import ArrowBatch, Record
from pabal.client_config import (
    CONSUMER,
    bootstrap_text,
    check_callable,
    group_options,
    mapping_of,
    resolve,
)
from pabal.duration import Duration, seconds
from pabal.records import OffsetAndMetadata, TopicPartition
from pabal.serializers import Deserializer, deserialized

__all__ = ["ArrowBatch", "Consumer", "OffsetAndMetadata", "Record", "TopicPartition"]

_LOG_START = -2
_LOG_END = -1

Partition = tuple[str, int]
Batch = TypeVar("Batch", list[Record], ArrowBatch)
RebalanceListener = Callable[[list[TopicPartition]], object]


class Consumer:
    """Reads records, fetched ahead in the background.

    Parameters
    ----------
    *topics : str
        Topics to subscribe to as a member of ``group_id``, or, without a group, to read all
        partitions of.
    bootstrap_servers : str or list of str
        ``host:port`` of some brokers of the cluster.
    key_deserializer, value_deserializer : callable, optional
        From bytes to objects; see `pabal.serializers`. They run in `poll`.
    on_assigned, on_revoked, on_lost : callable, optional
        Called by `poll` with a list of `TopicPartition` when the group gives or takes partitions.
        ``on_revoked`` runs before others get them: the time to commit. ``on_lost``: others may have
        them already; ``on_revoked`` is called if there is none.
    **config
        Kafka's consumer settings by their names with underscores: ``group_id``,
        ``auto_offset_reset``, ``enable_auto_commit``, ``max_poll_records``, ``isolation_level``...
        Times are milliseconds or a `timedelta`. ``group`` is short for ``group_id``.
        ``group_protocol`` is ``"consumer"`` (KIP-848), or ``"classic"``, which
        ``partition_assignment_strategy``, ``session_timeout_ms`` and ``heartbeat_interval_ms``
        belong to and choose.

    Raises
    ------
    TypeError, ValueError
        If a setting is unknown (the message has the nearest name) or its value is wrong.

    Examples
    --------
    >>> import pabal
    >>> with pabal.Cluster() as cluster:
    ...     with cluster.producer() as producer:
    ...         _ = producer.send("orders", b"one coffee", key=b"table-7")
    ...     with pabal.Consumer(
    ...         "orders",
    ...         bootstrap_servers=cluster.bootstrap_servers,
    ...         group="kitchen",
    ...         auto_offset_reset="earliest",
    ...     ) as consumer:
    ...         [record.value for record in consumer.poll(timeout=10)]
    [b'one coffee']
    """

    def __init__(
        self,
        *topics: str,
        bootstrap_servers: str | Sequence[str] = "localhost:9092",
        key_deserializer: Deserializer | None = None,
        value_deserializer: Deserializer | None = None,
        on_assigned: RebalanceListener | None = None,
        on_revoked: RebalanceListener | None = None,
        on_lost: RebalanceListener | None = None,
        **config: Any,
    ) -> None:
        if "group" in config:
            config["group_id"] = config.pop("group")
        options = resolve("Consumer", CONSUMER, config)
        self._protocol = group_options(options)
        group = options["group_id"]
        self._group = None if group is None else str(group)
        if self._group == "":
            raise ValueError("group_id is not empty; leave it out to read without a group")
        self._auto_commit = bool(options["enable_auto_commit"]) and self._group is not None
        self._auto_commit_seconds = _number(options["auto_commit_interval_ms"]) / 1000
        self._max_poll_records = int(_number(options["max_poll_records"]))
        self._call_seconds = _number(options["default_api_timeout_ms"]) / 1000
        self._look_seconds = _number(options["metadata_max_age_ms"]) / 1000
        self._bootstrap = bootstrap_text(bootstrap_servers)
        self._listeners = {
            "assigned": on_assigned,
            "revoked": on_revoked,
            "lost": on_lost if on_lost is not None else on_revoked,
        }
        self._closed = False
        self._in_listener = False
        self._next_commit = time.monotonic() + self._auto_commit_seconds
        self._committed: dict[Partition, int] = {}
        self._topics: tuple[str, ...] = ()
        # What an iteration polled and has not handed out: it counts as not read.
        self._ahead: deque[Record] = deque()
        # In the classic protocol members match patterns themselves, now and again.
        self._pattern: re.Pattern[str] | None = None
        self._next_look = 0.0
        check_callable("key_deserializer", key_deserializer)
        check_callable("value_deserializer", value_deserializer)
        self._core = _core.Consumer(
            self._bootstrap,
            options,
            _called(key_deserializer, "key"),
            _called(value_deserializer, "value"),
        )
        _open_consumers.add(self)
        if topics:
            try:
                self.subscribe(*topics)
            except BaseException:
                self._core.stop()
                raise

    def subscribe(
        self, *topics: str | Iterable[str], pattern: str | re.Pattern[str] | None = None
    ) -> None:
        """Read these topics, or all whose name matches ``pattern`` as a whole.

        One list of names will do, too, as other clients have it.

        With a group the partitions are shared with its other members, and brokers match the
        pattern; in the classic protocol the members do, every ``metadata_max_age_ms``. Without a
        group all partitions are read; a pattern is matched now.

        Examples
        --------
        >>> with _example_cluster() as cluster:
        ...     _ = cluster.create_topic("orders-1"), cluster.create_topic("orders-2")
        ...     with cluster.consumer() as consumer:
        ...         consumer.subscribe(pattern="orders-.*")
        ...         sorted(place.topic for place in consumer.assignment())
        ['orders-1', 'orders-2']
        """
        names = _names(topics)
        if bool(names) == (pattern is not None):
            raise TypeError("subscribe() takes topics or a pattern")
        text = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
        self._hand_back()
        self._pattern = None
        if self._group is not None and text is not None and self._protocol == "classic":
            self._pattern = re.compile(text)
            self._matched: list[str] | None = None
            self._match()
        elif self._group is not None:
            self._core.subscribe(names, text or "")
        else:
            if text is not None:
                names = self._matching(re.compile(text))
            self._core.assign(
                [
                    (topic, partition)
                    for topic in names
                    for partition in range(self._core.partitions(topic, self._call_seconds))
                ]
            )
        self._topics = tuple(names) if text is None else (text,)

    def _matching(self, pattern: re.Pattern[str]) -> list[str]:
        return sorted(name for name in self._core.topics() if pattern.fullmatch(name))

    def _match(self) -> None:
        """Subscribe to what matches the pattern by now."""
        assert self._pattern is not None
        self._next_look = time.monotonic() + self._look_seconds
        matched = self._matching(self._pattern)
        if matched != self._matched:
            self._matched = matched
            self._core.subscribe(matched, "")

    def unsubscribe(self) -> None:
        """Read nothing any more, and leave the group."""
        self._give_up()
        self._ahead.clear()
        self._core.unsubscribe()
        self._pattern = None
        self._topics = ()

    def assign(self, partitions: Iterable[Partition]) -> None:
        """Read exactly these partitions, whatever a group would say.

        Positions are those that the group committed, if there is one; else where
        ``auto_offset_reset`` says.

        Examples
        --------
        >>> with _example_cluster() as cluster:
        ...     _ = cluster.create_topic("orders", partitions=3)
        ...     with cluster.consumer() as consumer:
        ...         consumer.assign([("orders", 0), ("orders", 2)])
        ...         consumer.seek_to_beginning()
        ...         consumer.position(("orders", 2))
        0
        """
        places = [_place(partition) for partition in partitions]
        self._hand_back()
        before = {(topic, partition) for topic, partition in self._core.assignment()}
        self._core.assign(places)
        fresh = [place for place in places if place not in before]
        if self._group is not None and fresh:
            for topic, partition, offset, _, _ in self._core.committed(fresh, self._call_seconds):
                if offset >= 0:
                    self._go_to((topic, partition), offset, _LOG_END)

    def assignment(self) -> list[TopicPartition]:
        """The partitions that are read now."""
        return [TopicPartition(*place) for place in self._core.assignment()]

    def poll(self, timeout: Duration = 0.0, max_records: int | None = None) -> list[Record]:
        """The next records; an empty list if none come in time.

        Parameters
        ----------
        timeout : timedelta or float
            How long to wait for the first record, in seconds.
        max_records : int, optional
            How many at most; ``max_poll_records`` without it.

        Raises
        ------
        pabal.errors.KafkaError
            If records cannot be fetched; the message says of which partition and why.
        pabal.serializers.SerializationError
            If a record cannot be deserialized; it names topic, partition, offset and field. `seek`
            behind it to go on.
        """
        return self._polled(self._core.poll, timeout, max_records)

    def poll_arrow(
        self, timeout: Duration = 0.0, max_records: int = 1_000_000
    ) -> ArrowBatch:
        """The next records as an Arrow record batch, without a Python object for each.

        Pass it to ``pyarrow.record_batch``, ``polars.DataFrame``, ``duckdb`` or whatever takes
        Arrow's PyCapsules. Its columns are topic (a dictionary), partition, offset, timestamp, key,
        value and headers; deserializers are not applied.

        Parameters
        ----------
        timeout : timedelta or float
            How long to wait for the first record, in seconds.
        max_records : int
            How many at most.

        Examples
        --------
        >>> with _example_cluster() as cluster:
        ...     with cluster.producer() as producer:
        ...         _ = producer.send_many("orders", [b"tea", b"coffee"])
        ...     with cluster.consumer("orders", auto_offset_reset="earliest") as consumer:
        ...         batch = consumer.poll_arrow(timeout=10)
        ...         len(batch), batch.column_names
        (2, ['topic', 'partition', 'offset', 'timestamp', 'key', 'value', 'headers'])
        """
        return self._polled(self._core.poll_arrow, timeout, max_records)

    def _polled(
        self, poll: Callable[[float, int], Batch], timeout: Duration, max_records: int | None
    ) -> Batch:
        if self._in_listener:
            raise RuntimeError("a rebalance listener cannot poll")
        limit = seconds(timeout, "timeout")
        most = self._max_poll_records if max_records is None else max_records
        if most < 1:
            raise ValueError(f"max_records is at least 1, not {most}")
        self._hand_back()
        if self._auto_commit:
            self._commit_in_time()
        if self._pattern is not None and time.monotonic() >= self._next_look:
            self._match()
        deadline = time.monotonic() + limit
        while True:
            # A rebalance ends the wait: it is dealt with here, in the thread of its listeners.
            got = poll(limit, most)
            if len(got) > 0 or not self._rebalanced():
                return got
            limit = max(0.0, deadline - time.monotonic())

    def __iter__(self) -> Iterator[Record]:
        """Records one by one, without an end; Ctrl-C ends it.

        Read is what was handed out: after a ``break`` the next record comes next, here or to
        whoever follows in the group.

        Examples
        --------
        >>> with _example_cluster() as cluster:
        ...     with cluster.producer() as producer:
        ...         _ = producer.send_many("orders", [b"tea", b"coffee"])
        ...     with cluster.consumer("orders", auto_offset_reset="earliest") as consumer:
        ...         for record in consumer:
        ...             break
        ...         consumer.position(("orders", 0))
        1
        """
        while not self._closed:
            if not self._ahead:
                self._ahead.extend(self.poll(timeout=1.0))
            while self._ahead:
                yield self._ahead.popleft()

    def _next_ahead(self) -> dict[Partition, int]:
        """The first records that an iteration has not handed out."""
        first: dict[Partition, int] = {}
        for record in tuple(self._ahead):  # Tasks of asyncio may go on meanwhile.
            first.setdefault((record.topic, record.partition), record.offset)
        return first

    def _hand_back(self) -> None:
        """What an iteration has not handed out is polled anew."""
        first = self._next_ahead()
        self._ahead.clear()
        for place, offset in first.items():
            try:
                self._core.seek(place, offset, _LOG_END)
            except ValueError:
                pass  # It is not read here any more.

    def _go_to(self, place: Partition, offset: int, reset_to: int) -> None:
        if self._ahead:
            self._ahead = deque(
                record
                for record in tuple(self._ahead)
                if (record.topic, record.partition) != place
            )
        self._core.seek(place, offset, reset_to)

    def _positions(self) -> list[tuple[str, int, int, int]]:
        """Topic, partition, the offset of the next record, and the epoch of the last one."""
        positions = self._core.positions()
        if not self._ahead:
            return positions
        first = self._next_ahead()
        return [
            (topic, partition, first[topic, partition], -1)
            if (topic, partition) in first
            else (topic, partition, offset, epoch)
            for topic, partition, offset, epoch in positions
        ]

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on at ``offset``.

        Examples
        --------
        >>> with _example_cluster() as cluster:
        ...     with cluster.producer() as producer:
        ...         _ = producer.send_many("orders", [b"tea", b"coffee"])
        ...     with cluster.consumer("orders") as consumer:
        ...         consumer.seek(("orders", 0), 1)
        ...         consumer.poll(timeout=10)[0].value
        b'coffee'
        """
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
            raise ValueError(f"an offset is a number from 0, not {offset!r}")
        self._go_to(_place(partition), offset, _LOG_END)

    def seek_to_beginning(self, *partitions: Partition) -> None:
        """Go on with the first record that there is; of all partitions, if none is named."""
        self._reset(partitions, _LOG_START)

    def seek_to_end(self, *partitions: Partition) -> None:
        """Go on with the next record that comes; of all partitions, if none is named."""
        self._reset(partitions, _LOG_END)

    def _reset(self, partitions: Sequence[Partition], to: int) -> None:
        places = [_place(p) for p in partitions] or self._core.assignment()
        offsets = self._core.list_offsets([(*place, to) for place in places], self._call_seconds)
        for place, offset in zip(places, offsets, strict=True):
            self._go_to(place, offset, to)

    def seek_to_time(self, moment: datetime | int, *partitions: Partition) -> None:
        """Go on with the first record that is not older than ``moment``.

        Parameters
        ----------
        moment : datetime or int
            Milliseconds since 1970, if it is a number.
        *partitions
            All that are assigned, if none is named. Where every record is older, it goes on at the
            end.
        """
        places = [_place(p) for p in partitions] or self._core.assignment()
        found = self.offsets_for_times({TopicPartition(*place): moment for place in places})
        ends = [place for place in places if found[TopicPartition(*place)] is None]
        if ends:
            self._reset(ends, _LOG_END)
        for place in places:
            offset = found[TopicPartition(*place)]
            if offset is not None:
                self._go_to(place, offset, _LOG_END)

    def offsets_for_times(
        self, moments: Mapping[Partition, datetime | int]
    ) -> dict[TopicPartition, int | None]:
        """For each partition the first offset whose record is not older; None if all are."""
        given = mapping_of(moments, "moments by partition")
        asked = [(*_place(place), _milliseconds(moment)) for place, moment in given.items()]
        self._know({topic for topic, _, _ in asked})
        offsets = self._core.list_offsets(asked, self._call_seconds)
        return {
            TopicPartition(topic, partition): None if offset < 0 else offset
            for (topic, partition, _), offset in zip(asked, offsets, strict=True)
        }

    def beginning_offsets(self, *partitions: Partition) -> dict[TopicPartition, int]:
        """Where the logs start; of all assigned partitions, if none is named."""
        return self._listed(partitions, _LOG_START)

    def end_offsets(self, *partitions: Partition) -> dict[TopicPartition, int]:
        """The offsets behind the last records that may be read."""
        return self._listed(partitions, _LOG_END)

    def _listed(self, partitions: Sequence[Partition], what: int) -> dict[TopicPartition, int]:
        places = [_place(p) for p in partitions] or self._core.assignment()
        self._know({topic for topic, _ in places})
        offsets = self._core.list_offsets([(*place, what) for place in places], self._call_seconds)
        return {TopicPartition(*p): offset for p, offset in zip(places, offsets, strict=True)}

    def _know(self, topics: set[str]) -> None:
        for topic in topics:
            self._core.partitions(topic, self._call_seconds)

    def position(self, partition: Partition, timeout: Duration = 30.0) -> int:
        """The offset of the next record that `poll` returns of this partition.

        Raises
        ------
        TimeoutError
            If it has to be looked up and that takes longer.
        """
        place = _place(partition)
        if self._ahead and (ahead := self._next_ahead().get(place)) is not None:
            return ahead
        deadline = time.monotonic() + seconds(timeout, "timeout")
        while (offset := self._core.state(place)[0]) < 0:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"the position in {place[0]}-{place[1]} is not known in time")
            time.sleep(0.001)
        return offset

    def lag(self, partition: Partition) -> int | None:
        """How many records the partition has that were not polled; None before the first fetch.

        Examples
        --------
        >>> with _example_cluster() as cluster:
        ...     with cluster.producer() as producer:
        ...         _ = producer.send_many("orders", [b"tea", b"coffee"])
        ...     with cluster.consumer("orders", auto_offset_reset="earliest") as consumer:
        ...         _ = consumer.poll(timeout=10, max_records=1)
        ...         consumer.lag(("orders", 0))
        1
        """
        place = _place(partition)
        position, high_watermark, stable, _ = self._core.state(place)
        if self._ahead:
            position = self._next_ahead().get(place, position)
        if position < 0 or high_watermark < 0:
            return None
        return max(0, (stable if 0 <= stable < high_watermark else high_watermark) - position)

    def pause(self, *partitions: Partition) -> None:
        """Poll no records of these partitions until `resume`."""
        places = [_place(partition) for partition in partitions]
        self._hand_back()
        self._core.pause(places, True)

    def resume(self, *partitions: Partition) -> None:
        """Poll records of these partitions again."""
        self._core.pause([_place(partition) for partition in partitions], False)

    def paused(self) -> list[TopicPartition]:
        """The partitions that are paused."""
        return [TopicPartition(*place) for place in self._core.paused()]

    def commit(
        self,
        offsets: Mapping[Partition, int | OffsetAndMetadata] | None = None,
        *,
        wait: bool = True,
        timeout: Duration = 30.0,
    ) -> None:
        """Commit positions for the group: where a later member goes on.

        Parameters
        ----------
        offsets : mapping, optional
            For each partition the offset of the next record to read. Without it, behind the last
            record that was polled of every partition.
        wait : bool
            Whether to wait until they are stored. Without waiting, an error is raised by the next
            `commit`, or by `close`.
        timeout : timedelta or float
            How long it may take, in seconds.

        Raises
        ------
        pabal.errors.KafkaError
            If the group does not take them, e.g. since it has given the partitions to others.

        Examples
        --------
        >>> with _example_cluster() as cluster:
        ...     with cluster.consumer(group="kitchen") as consumer:
        ...         _ = cluster.create_topic("orders")
        ...         consumer.assign([("orders", 0)])
        ...         consumer.commit({("orders", 0): 5})
        ...         consumer.committed(("orders", 0))
        OffsetAndMetadata(offset=5, metadata='', leader_epoch=-1)
        """
        if self._group is None:
            raise ValueError("only a consumer with a group_id commits")
        self._end_commit(timeout if wait else None)
        positions = self._given(offsets)
        if not positions:
            return
        limit = seconds(timeout, "timeout")
        if wait:
            self._core.commit(positions, limit)
        else:
            self._core.begin_commit(positions, limit)
        self._committed.update({(p[0], p[1]): p[2] for p in positions})

    def _of_transaction(
        self, offsets: Mapping[Partition, int | OffsetAndMetadata] | None
    ) -> tuple[str, str, int, list[tuple[str, int, int, int, str]]]:
        """Who reads, and how far, for a producer that commits it."""
        if self._group is None:
            raise ValueError("only a consumer with a group_id has positions to commit")
        if self._auto_commit:
            raise ValueError(
                "positions that belong to transactions are committed by these alone: make the "
                "consumer with enable_auto_commit=False"
            )
        member, generation = self._core.member()
        if generation <= 0:
            member, generation = "", -1  # It is no member: it was told what to read.
        return self._group, member, generation, self._given(offsets)

    def _given(
        self, offsets: Mapping[Partition, int | OffsetAndMetadata] | None
    ) -> list[tuple[str, int, int, int, str]]:
        if offsets is None:
            return [(*position, "") for position in self._positions()]
        positions = []
        for partition, value in mapping_of(offsets, "offsets by partition").items():
            given = value if isinstance(value, OffsetAndMetadata) else OffsetAndMetadata(value)
            positions.append(
                (*_place(partition), given.offset, given.leader_epoch, given.metadata)
            )
        return positions

    def committed(
        self, partition: Partition, *, timeout: Duration = 30.0
    ) -> OffsetAndMetadata | None:
        """What the group committed for this partition; None if nothing."""
        if self._group is None:
            raise ValueError("only a consumer with a group_id has committed positions")
        found = self._core.committed([_place(partition)], seconds(timeout, "timeout"))
        _, _, offset, epoch, metadata = found[0]
        return None if offset < 0 else OffsetAndMetadata(offset, metadata, epoch)

    @property
    def member_id(self) -> str:
        """The id that the group knows this member by."""
        return self._core.member()[0]

    def _commit_in_time(self) -> None:
        now = time.monotonic()
        if now < self._next_commit:
            return
        self._next_commit = now + self._auto_commit_seconds
        positions = self._uncommitted()
        if positions and self._core.commit_ended() is not None:
            self._core.begin_commit(positions, self._call_seconds)
            self._committed.update({(p[0], p[1]): p[2] for p in positions})

    def _uncommitted(self) -> list[tuple[str, int, int, int, str]]:
        return [
            (topic, partition, offset, epoch, "")
            for topic, partition, offset, epoch in self._positions()
            if self._committed.get((topic, partition)) != offset
        ]

    def _end_commit(self, timeout: Duration | None) -> None:
        """The end of a commit that nobody waited for."""
        deadline = time.monotonic() + (0 if timeout is None else seconds(timeout, "timeout"))
        while (ended := self._core.commit_ended()) is None:
            if time.monotonic() >= deadline:
                if timeout is None:
                    return
                raise TimeoutError("an earlier commit does not end in time")
            time.sleep(0.001)
        code, message = ended
        if code != 0:
            from pabal import errors

            raise errors.error_class(code)(message)

    def _rebalanced(self) -> bool:
        """Deal with what the group wants of this member; False if it wants nothing."""
        rebalance = self._core.rebalance()
        if rebalance is None:
            return False
        kind, places = rebalance
        try:
            if kind == "revoked" and self._auto_commit:
                self._commit_of(places)
            self._tell(kind, places)
        finally:
            for place in places:
                self._committed.pop(place, None)
            self._core.rebalance_done()
        return True

    def _tell(self, kind: str, places: list[Partition]) -> None:
        listener = self._listeners[kind]
        if listener is None:
            return
        self._in_listener = True
        try:
            listener([TopicPartition(*place) for place in places])
        finally:
            self._in_listener = False

    def _commit_of(self, places: Iterable[Partition]) -> None:
        from pabal import errors

        given = set(places)
        positions = [p for p in self._uncommitted() if (p[0], p[1]) in given]
        if not positions:
            return
        try:
            self._end_commit(5)
        except (errors.KafkaError, TimeoutError):
            pass  # The positions at hand are newer.
        try:
            self._core.commit(positions, 5.0)
        except errors.KafkaError:
            pass  # They are read again: that is what automatic commits promise.

    def _give_up(self) -> None:
        """What is read now goes to others."""
        places = self._core.assignment()
        if self._auto_commit:
            self._commit_of(places)
        if self._group is not None and self._topics and places:
            self._tell("revoked", places)

    def close(self) -> None:
        """Commit, if that is automatic, leave the group, and end the consumer. Twice is fine."""
        if self._closed:
            return
        self._closed = True
        _open_consumers.discard(self)
        try:
            self._give_up()
            self._end_commit(5)
        finally:
            self._ahead.clear()
            self._core.stop()

    def __enter__(self) -> Consumer:
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
        try:
            self.close()
        except Exception as second:
            if error is not None and hasattr(error, "add_note"):
                error.add_note(f"closing the consumer: {second}")

    def __repr__(self) -> str:
        if self._closed:
            return f"<pabal.Consumer {self._bootstrap} closed>"
        group = "" if self._group is None else f" group={self._group!r}"
        count = len(self._core.assignment())
        return f"<pabal.Consumer {self._bootstrap}{group} {count} partitions>"

    def __reduce__(self) -> str:
        raise TypeError("a consumer cannot be pickled; make one where it is needed")


def _called(
    deserializer: Deserializer | None, field: str
) -> Callable[[bytes | None, str, int, int], object] | None:
    if deserializer is None:
        return None

    def call(data: bytes | None, topic: str, partition: int, offset: int) -> object:
        return deserialized(deserializer, data, topic, partition, offset, field)

    return call


def _names(topics: tuple[str | Iterable[str], ...]) -> list[str]:
    """What was listed one by one, or as one list."""
    listed: Iterable[object] = topics
    if len(topics) == 1 and isinstance(topics[0], Iterable) and not isinstance(topics[0], str):
        (listed,) = topics
    names: list[str] = []
    for name in listed:
        if not isinstance(name, str) or not name:
            raise TypeError(f"a topic is a str that is not empty, and {name!r} is not")
        names.append(name)
    return names


def _place(partition: Partition) -> tuple[str, int]:
    topic, index = partition
    return topic, index


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return value


def _milliseconds(moment: datetime | int) -> int:
    """A moment as Kafka counts time; one without a zone is local."""
    return int(moment.timestamp() * 1000) if isinstance(moment, datetime) else moment


def _example_cluster() -> Any:
    from pabal.cluster import Cluster

    return Cluster()


_open_consumers: weakref.WeakSet[Consumer] = weakref.WeakSet()


@atexit.register
def _close_open_consumers() -> None:
    for consumer in list(_open_consumers):
        try:
            consumer.close()
        except Exception:  # noqa: S110, BLE001 - nobody is left to be told
            pass
