"""How fast a cluster and this client are: ``pabal perf produce`` and ``pabal perf consume``.

What is printed is what Kafka's kafka-producer-perf-test and kafka-consumer-perf-test print, and the
processor's time that this process took.
"""

from __future__ import annotations

import math
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from pabal.errors import PabalError
from pabal.piping import _made, _reader, _servers, given_settings
from pabal.terminal import print_json

__all__ = ["Latencies", "consume", "produce"]

_MEGABYTE = 1024 * 1024
# One record of so many tells its latency; at a low rate each does.
_SAMPLED = 100
# How much is sent between two looks at the clock.
_CHUNK = 100
_WAIT = 0.1


class Latencies:
    """How long records took from `send` to the acknowledgement, in milliseconds.

    Examples
    --------
    >>> latencies = Latencies()
    >>> for number in range(1, 101):
    ...     latencies.took(number / 1000)
    >>> latencies.average, latencies.most, latencies.percentile(50)
    (50.5, 100.0, 50.0)
    """

    def __init__(self) -> None:
        self._all: list[float] = []

    def took(self, seconds: float) -> None:
        """One more record did."""
        self._all.append(seconds * 1000)

    @property
    def average(self) -> float:
        """The mean; 0 of none."""
        return sum(self._all) / len(self._all) if self._all else 0.0

    @property
    def most(self) -> float:
        """The longest."""
        return max(self._all, default=0.0)

    def percentile(self, share: float) -> float:
        """What so many of a hundred did not exceed."""
        if not self._all:
            return 0.0
        rank = math.ceil(len(self._all) * share / 100)
        return sorted(self._all)[max(rank, 1) - 1]


class _Progress:
    """Says now and then on the standard error how far it is, where somebody looks."""

    def __init__(self, show: Callable[[], str], every: float) -> None:
        self._show = show
        self._every = every
        self._next = time.monotonic() + every
        self._visible = sys.stderr.isatty()

    def look(self, now: float) -> None:
        if self._visible and now >= self._next:
            self._next = now + self._every
            print(f"\r\x1b[K{self._show()}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._visible:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def produce(options: Namespace) -> int:
    """Send records as fast as they go, or as fast as was asked for."""
    from pabal.producer import Producer

    settings = given_settings(options.client_config)
    if options.acks is not None:
        settings["acks"] = options.acks
    if options.compression is not None:
        settings["compression_type"] = options.compression
    settings.setdefault("client_id", "pabal-perf")
    latencies = Latencies()
    sent = 0
    with _made(Producer, _servers(options), **settings) as producer:
        producer.partitions_for(options.topic)
        # Random bytes, so that compression has nothing to gain that real data had not.
        payloads = [os.urandom(options.record_size) for _ in range(64)]
        began, cpu = time.perf_counter(), time.process_time()
        progress = _Progress(
            lambda: _rates(sent, options.record_size, time.perf_counter() - began), 0.5
        )
        while sent < options.count:
            chunk = min(_CHUNK, options.count - sent)
            if options.throughput is not None:
                ahead = began + sent / options.throughput - time.perf_counter()
                if ahead > 0:
                    time.sleep(ahead)
                chunk = min(chunk, max(1, int(options.throughput * 0.01)))
            for number in range(sent, sent + chunk):
                future = producer.send(options.topic, payloads[number & 63])
                if number % _SAMPLED == 0:
                    _tell(future, latencies)
            sent += chunk
            progress.look(time.monotonic())
        producer.flush()
        took = time.perf_counter() - began
        cpu = time.process_time() - cpu
        progress.end()
    percentiles = {share: latencies.percentile(share) for share in (50, 95, 99, 99.9)}
    if options.json:
        return print_json(
            {
                "records": sent,
                "seconds": took,
                "records_per_second": sent / took,
                "megabytes_per_second": sent * options.record_size / took / _MEGABYTE,
                "latency_average_ms": latencies.average,
                "latency_max_ms": latencies.most,
                **{f"latency_{share:g}_ms": value for share, value in percentiles.items()},
                "cpu_seconds": cpu,
            }
        )
    print(
        f"{_rates(sent, options.record_size, took)}, {latencies.average:.2f} ms avg latency, "
        f"{latencies.most:.2f} ms max latency, "
        + ", ".join(f"{value:.0f} ms {share:g}th" for share, value in percentiles.items())
        + f". CPU {cpu:.2f} s, {cpu / sent * 1e6:.2f} µs a record."
    )
    return 0


def _tell(future: Any, latencies: Latencies) -> None:
    began = time.perf_counter()

    def ended(done: Any) -> None:
        if done.exception() is None:
            latencies.took(time.perf_counter() - began)

    future.add_done_callback(ended)


def _rates(records: int, size: int, seconds: float) -> str:
    rate = records / seconds if seconds > 0 else 0.0
    return (
        f"{records} records sent, {rate:.1f} records/sec ({rate * size / _MEGABYTE:.2f} MB/sec)"
    )


def consume(options: Namespace) -> int:
    """Read records as fast as they come."""
    began, started, cpu = time.perf_counter(), time.time(), time.process_time()
    records = size = 0
    assigned: float | None = None
    with _reader(options) as (consumer, ends):
        poll = consumer.poll if options.objects else consumer.poll_arrow
        progress = _Progress(lambda: f"{records} records read", 0.5)
        heard = time.perf_counter()
        while options.count is None or records < options.count:
            most = 100_000 if options.count is None else options.count - records
            got = poll(timeout=_WAIT, max_records=most)
            now = time.perf_counter()
            if assigned is None and consumer.assignment():
                assigned = now
            if len(got):
                heard = now
                records += len(got)
                size += _bytes_of(got)
            elif options.count is None and ends.reached():
                break
            elif now - heard > options.timeout:
                raise PabalError(
                    f"only {records} of {options.count} records came; the next one did not within "
                    f"{options.timeout:g} s"
                )
            progress.look(time.monotonic())
        progress.end()
        took = time.perf_counter() - began
        cpu = time.process_time() - cpu
    joining = 0.0 if assigned is None else assigned - began
    fetching = max(took - joining, 1e-9)
    megabytes = size / _MEGABYTE
    if options.json:
        return print_json(
            {
                "records": records,
                "bytes": size,
                "seconds": took,
                "records_per_second": records / took,
                "megabytes_per_second": megabytes / took,
                "rebalance_seconds": joining,
                "fetch_seconds": fetching,
                "cpu_seconds": cpu,
            }
        )
    print(
        "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, "
        "rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec, cpu.s"
    )
    print(
        f"{_moment(started)}, {_moment(started + took)}, {megabytes:.4f}, {megabytes / took:.4f}, "
        f"{records}, {records / took:.4f}, {joining * 1000:.0f}, {fetching * 1000:.0f}, "
        f"{megabytes / fetching:.4f}, {records / fetching:.4f}, {cpu:.2f}"
    )
    return 0


def _bytes_of(batch: Any) -> int:
    """Bytes of keys and values, as Kafka's tool counts them."""
    if isinstance(batch, list):
        return sum(len(record.key or b"") + len(record.value or b"") for record in batch)
    return int(batch.data_bytes)


def _moment(seconds: float) -> str:
    milliseconds = int(seconds * 1000) % 1000
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))}:{milliseconds:03}"
