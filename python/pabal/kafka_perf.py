"""``kafka-producer-perf-test`` and ``kafka-consumer-perf-test``: Kafka's options and lines."""

from __future__ import annotations

import argparse
import random
import re
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pabal.errors import PabalError
from pabal.perf import _bytes_of
from pabal.piping import _made, given_settings

if TYPE_CHECKING:
    from pabal.consumer import Consumer
    from pabal.producer import Producer

__all__ = [
    "add_consumer_options",
    "add_producer_options",
    "consumer_perf_test",
    "producer_perf_test",
]

_MEGABYTE = 1024 * 1024
# So many latencies are kept of a run; of longer ones each second, third, … is.
_SAMPLES = 100_000
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DATE = {
    "yyyy": "%Y",
    "MM": "%m",
    "dd": "%d",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
    "SSS": "%f",
}
# What Kafka's clients have to be told, and ours knows.
_JAVA_ONLY = re.compile(r"(key|value)_(de)?serializer|receive_buffer_bytes|send_buffer_bytes")


def add_producer_options(parser: argparse.ArgumentParser) -> None:
    """The options of kafka-producer-perf-test."""
    parser.add_argument("--topic", required=True)
    parser.add_argument("--num-records", type=int, required=True, metavar="COUNT")
    parser.add_argument("--throughput", type=float, required=True, metavar="RATE")
    payload = parser.add_mutually_exclusive_group(required=True)
    payload.add_argument("--record-size", type=int, metavar="BYTES")
    payload.add_argument("--payload-file", metavar="FILE")
    payload.add_argument("--payload-monotonic", action="store_true")
    parser.add_argument("--payload-delimiter", default="\\n", metavar="TEXT")
    for name in ("--producer-props", "--command-property"):
        parser.add_argument(name, nargs="+", action="extend", default=[], metavar="NAME=VALUE")
    parser.add_argument("--producer.config", "--command-config", dest="config", metavar="FILE")
    parser.add_argument("--transactional-id", metavar="ID")
    parser.add_argument("--transaction-duration-ms", type=int, metavar="MS")
    parser.add_argument("--warmup-records", type=int, default=0, metavar="COUNT")
    parser.add_argument("--reporting-interval", type=int, default=5000, metavar="MS")


def add_consumer_options(parser: argparse.ArgumentParser) -> None:
    """The options of kafka-consumer-perf-test."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--topic")
    source.add_argument("--include", metavar="REGEX")
    parser.add_argument(
        "--num-records", "--messages", dest="count", type=int, required=True, metavar="COUNT"
    )
    parser.add_argument("--group")
    parser.add_argument("--fetch-size", type=int, default=1024 * 1024, metavar="BYTES")
    parser.add_argument("--socket-buffer-size", type=int, metavar="BYTES")
    parser.add_argument("--from-latest", action="store_true")
    parser.add_argument("--hide-header", action="store_true")
    parser.add_argument("--show-detailed-stats", action="store_true")
    parser.add_argument("--reporting-interval", type=int, default=5000, metavar="MS")
    parser.add_argument("--date-format", default="yyyy-MM-dd HH:mm:ss:SSS", metavar="FORMAT")
    for name in ("--command-property", "--consumer-property"):
        parser.add_argument(name, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--consumer.config", "--command-config", dest="config", metavar="FILE")


def _settings(file: str | None, words: list[str]) -> dict[str, Any]:
    lines: list[str] = []
    if file is not None:
        with open(file, encoding="utf-8") as config:
            stripped = (line.strip() for line in config)
            lines = [line for line in stripped if line and line[0] not in "#!"]
    settings = given_settings([re.sub(r"\s*[=:]\s*", "=", line, count=1) for line in lines])
    settings.update(given_settings(words))
    return {name: value for name, value in settings.items() if not _JAVA_ONLY.fullmatch(name)}


def _bootstrap(options: argparse.Namespace, settings: dict[str, Any]) -> str:
    import os

    in_settings = settings.pop("bootstrap_servers", None)
    servers = (
        options.bootstrap_server or in_settings or os.environ.get("PABAL_BOOTSTRAP_SERVER")
    )
    if not servers:
        raise PabalError("give --bootstrap-server HOST:PORT")
    return str(servers)


class _Latencies:
    """Of records in milliseconds: all are counted, some kept."""

    def __init__(self, expected: int) -> None:
        self._every = -(-expected // _SAMPLES)
        self._kept: list[float] = []
        self.count = self.size = 0
        self._total = self._most = 0.0

    def took(self, seconds: float, size: int) -> None:
        milliseconds = seconds * 1000
        if self.count % self._every == 0:
            self._kept.append(milliseconds)
        self.count += 1
        self.size += size
        self._total += milliseconds
        self._most = max(self._most, milliseconds)

    def rates(self, seconds: float, digits: int) -> str:
        rate = self.count / seconds
        return f"{rate:.{digits}f} records/sec ({self.size / seconds / _MEGABYTE:.2f} MB/sec)"

    def means(self, digits: int) -> str:
        mean = self._total / self.count if self.count else 0.0
        return (
            f"{mean:.{digits}f} ms avg latency, {self._most:.{digits}f} ms max latency"
        )

    def percentiles(self) -> str:
        kept = sorted(self._kept)
        return ", ".join(
            f"{int(kept[min(int(share * len(kept)), len(kept) - 1)] if kept else 0)} ms {name}"
            for share, name in ((0.5, "50th"), (0.95, "95th"), (0.99, "99th"), (0.999, "99.9th"))
        )


class _Statistics:
    """What Kafka's producer test prints: a line each interval, one at the end."""

    def __init__(self, expected: int, interval: float, *, steady: bool = False) -> None:
        self._began = self._window_began = time.perf_counter()
        self._all = _Latencies(expected)
        self._window = _Latencies(expected)
        self._interval = interval
        self._steady = steady
        self.silent = False

    def took(self, now: float, seconds: float, size: int) -> None:
        self._all.took(seconds, size)
        self._window.took(seconds, size)
        elapsed = now - self._window_began
        if elapsed < self._interval:
            return
        if self._steady and self._all.count == self._window.count:
            print("In steady state.")
        if not self.silent:
            print(
                f"{self._window.count} records sent, {self._window.rates(elapsed, 1)}, "
                f"{self._window.means(1)}.",
                flush=True,
            )
        self._window_began, self._window = now, _Latencies(1)

    def print_total(self) -> None:
        elapsed = max(time.perf_counter() - self._began, 1e-9)
        print(
            f"{self._all.count}{' steady state' if self._steady else ''} records sent, "
            f"{self._all.rates(elapsed, 6)}, {self._all.means(2)}, {self._all.percentiles()}."
        )


def _payloads(options: argparse.Namespace) -> Callable[[int], bytes]:
    if options.payload_monotonic:
        return lambda number: str(number).encode()
    if options.payload_file is not None:
        print(f"Reading payloads from: {options.payload_file}")
        with open(options.payload_file, encoding="utf-8", newline="") as file:
            text = file.read()
        if not text:
            raise PabalError("File does not exist or empty file provided.")
        delimiter = "\n" if options.payload_delimiter == "\\n" else options.payload_delimiter
        words = [word.encode() for word in re.split(delimiter, text)]
        if not words[-1]:
            words.pop()
        print(f"Number of records read: {len(words)}")
        return lambda _: random.choice(words)
    dice = random.Random(0)
    made = [bytes(dice.choices(_LETTERS, k=options.record_size)) for _ in range(64)]
    return lambda number: made[number & 63]


def _check_numbers(options: argparse.Namespace) -> None:
    if options.num_records <= 0:
        raise PabalError("--num-records should be greater than zero.")
    if options.warmup_records >= options.num_records:
        raise PabalError(
            "The value for --warmup-records must be strictly fewer than the number of records in "
            "the test, --num-records."
        )
    if options.record_size is not None and options.record_size <= 0:
        raise PabalError("--record-size should be greater than zero.")
    if options.transaction_duration_ms is not None and options.transaction_duration_ms <= 0:
        raise PabalError("--transaction-duration-ms should be greater than zero.")
    if options.reporting_interval <= 0:
        raise PabalError("--reporting-interval should be greater than zero.")


def producer_perf_test(options: argparse.Namespace) -> int:
    """Send records and print what Kafka's kafka-producer-perf-test prints.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_producer_options(parser)
    >>> words = "--topic orders --num-records 0 --record-size 9 --throughput -1"
    >>> producer_perf_test(parser.parse_args(words.split()))
    Traceback (most recent call last):
      ...
    pabal.errors.PabalError: --num-records should be greater than zero.
    """
    from pabal.producer import Producer

    _check_numbers(options)
    settings = _settings(options.config, [*options.producer_props, *options.command_property])
    settings.setdefault("client_id", "perf-producer-client")
    duration = options.transaction_duration_ms
    if options.transactional_id is not None:
        settings["transactional_id"] = options.transactional_id
    if duration is not None:
        settings.setdefault("transactional_id", f"performance-producer-{uuid.uuid4()}")
    transactional = "transactional_id" in settings
    payload = _payloads(options)
    with _made(Producer, _bootstrap(options, settings), **settings) as producer:
        producer.partitions_for(options.topic)
        seconds = (duration or 3000) / 1000 if transactional else None
        statistics = _send(options, producer, payload, seconds)
    # Once the producer is closed all has been counted.
    for one in statistics:
        one.print_total()
    return 0


def _send(
    options: argparse.Namespace,
    producer: Producer,
    payload: Callable[[int], bytes],
    transaction: float | None,
) -> list[_Statistics]:
    warmup = max(options.warmup_records, 0)
    if warmup:
        print(
            f"Warmup first {warmup} records. Steady state results will print after the complete "
            "test summary."
        )
    interval = options.reporting_interval / 1000
    watching = [_Statistics(options.num_records, interval)]

    def told(began: float, size: int, statistics: list[_Statistics]) -> Callable[[Any], None]:
        def ended(future: Any) -> None:
            if future.exception() is None:
                now = time.perf_counter()
                for one in statistics:
                    one.took(now, now - began, size)

        return ended

    began = time.perf_counter()
    open_since: float | None = None
    for number in range(options.num_records):
        if number == warmup and warmup:
            watching[0].silent = True
            steady = _Statistics(options.num_records - warmup, interval, steady=True)
            watching = [*watching, steady]
        if transaction is not None and open_since is None:
            producer.begin_transaction()
            open_since = time.perf_counter()
        content = payload(number)
        now = time.perf_counter()
        future = producer.send(options.topic, content)
        future.add_done_callback(told(now, len(content), watching))
        if transaction is not None and open_since is not None and now - open_since >= transaction:
            producer.commit_transaction()
            open_since = None
        if options.throughput > 0:
            ahead = began + (number + 1) / options.throughput - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
    if open_since is not None:
        producer.commit_transaction()
    producer.flush()
    return watching


def consumer_perf_test(options: argparse.Namespace) -> int:
    """Read records and print what Kafka's kafka-consumer-perf-test prints.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_consumer_options(parser)
    >>> words = "--topic orders --num-records 9 --date-format week-of-YYYY"
    >>> consumer_perf_test(parser.parse_args(words.split()))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
      ...
    pabal.errors.PabalError: --date-format knows yyyy, MM, ...
    """
    from pabal.consumer import Consumer

    moment = _moments(options.date_format)
    settings = _settings(options.config, [*options.consumer_property, *options.command_property])
    settings.setdefault("client_id", "perf-consumer-client")
    settings["group_id"] = options.group or f"perf-consumer-{random.randrange(100_000)}"
    settings["max_partition_fetch_bytes"] = options.fetch_size
    settings["auto_offset_reset"] = "latest" if options.from_latest else "earliest"
    settings.setdefault("allow_auto_create_topics", False)
    progress = _ConsumerProgress(options, moment)
    servers = _bootstrap(options, settings)
    with _made(
        Consumer, bootstrap_servers=servers, on_assigned=progress.assigned, **settings
    ) as consumer:
        progress.read(consumer)
    return 0


class _ConsumerProgress:
    """What was read, and when it was told last."""

    def __init__(self, options: argparse.Namespace, moment: Callable[[float], str]) -> None:
        self._options = options
        self._moment = moment
        self._records = self._size = 0
        self._told_records = self._told_size = 0
        self._began = self._told = time.time()
        self._joining_since: float | None = self._began
        self._joining = self._joining_in_round = 0.0

    def assigned(self, _: object) -> None:
        """The group has given partitions: what came before was joining."""
        if self._joining_since is not None:
            took = time.time() - self._joining_since
            self._joining += took
            self._joining_in_round += took
            self._joining_since = None

    def read(self, consumer: Consumer) -> None:
        options = self._options
        if not options.hide_header:
            first = "time, threadId" if options.show_detailed_stats else "start.time, end.time"
            print(
                f"{first}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, "
                "rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
            )
        if options.include is None:
            consumer.subscribe(options.topic)
        else:
            consumer.subscribe(pattern=options.include)
        patience = options.timeout / 1000
        heard = time.time()
        while self._records < options.count:
            batch = consumer.poll_arrow(timeout=0.1, max_records=options.count - self._records)
            now = time.time()
            if len(batch):
                heard = now
                self._records += len(batch)
                self._size += _bytes_of(batch)
                if now - self._told >= options.reporting_interval / 1000:
                    self._tell(now)
            elif now - heard > patience:
                print(
                    "WARNING: Exiting before consuming the expected number of records: timeout "
                    f"({options.timeout:g} ms) exceeded. You can use the --timeout option to "
                    "increase the timeout."
                )
                break
        if not options.show_detailed_stats:
            self._sum_up(time.time())

    def _tell(self, now: float) -> None:
        if self._options.show_detailed_stats:
            took = now - self._told
            fetching = took - self._joining_in_round
            size = (self._size - self._told_size) / _MEGABYTE
            records = self._records - self._told_records
            rates = (size / fetching, records / fetching) if fetching > 0 else (0.0, 0.0)
            print(
                f"{self._moment(now)}, 0, {self._size / _MEGABYTE:.4f}, {size / took:.4f}, "
                f"{self._records}, {records / took:.4f}, {self._joining_in_round * 1000:.0f}, "
                f"{fetching * 1000:.0f}, {rates[0]:.4f}, {rates[1]:.4f}",
                flush=True,
            )
        self._told, self._told_size, self._told_records = now, self._size, self._records
        self._joining_in_round = 0.0

    def _sum_up(self, now: float) -> None:
        took = max(now - self._began, 1e-9)
        fetching = max(took - self._joining, 1e-9)
        size = self._size / _MEGABYTE
        print(
            f"{self._moment(self._began)}, {self._moment(now)}, {size:.4f}, {size / took:.4f}, "
            f"{self._records}, {self._records / took:.4f}, {self._joining * 1000:.0f}, "
            f"{fetching * 1000:.0f}, {size / fetching:.4f}, {self._records / fetching:.4f}"
        )


def _moments(form: str) -> Callable[[float], str]:
    """How a moment is written, in the letters of Java's SimpleDateFormat."""
    parts = re.findall(r"[A-Za-z]+|[^A-Za-z]+", form)
    if any(part not in _DATE for part in parts if part.isalpha()):
        raise PabalError(f"--date-format knows {', '.join(_DATE)}, not {form}")

    def write(seconds: float) -> str:
        from datetime import datetime

        moment = datetime.fromtimestamp(seconds)
        shown = (moment.strftime(_DATE[part]) if part in _DATE else part for part in parts)
        return "".join(
            text[:3] if part == "SSS" else text for part, text in zip(parts, shown, strict=True)
        )

    return write
