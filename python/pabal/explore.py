"""What partitioning does to your keys, without a broker.

Where does a key go, how evenly do the keys spread, which ones move when partitions are added, how
full are batches? The hash is Kafka's murmur2, computed by the core: a key lands where the Java
client's producer sends it. (librdkafka, and with it confluent-kafka, hashes by CRC-32 unless
``partitioner`` is ``murmur2_random``.)

>>> from pabal import explore
>>> explore.partition_for("AA", partitions=6)
3
>>> explore.spread(["AA", "DL", "AA", "UA", "B6", "AA"], partitions=3).counts
(4, 1, 1)
"""

from __future__ import annotations

import html
import random
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pabal.duration import Duration, seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

__all__ = [
    "BatchFill",
    "Growth",
    "Spread",
    "add_partitions",
    "batch_fill",
    "murmur2",
    "partition_for",
    "partitions_for",
    "spread",
]

Key = str | bytes
KeylessPartitioner = Literal["sticky", "round_robin"]

_HOTTEST_SHOWN = 5
_BAR = 30


def murmur2(key: Key) -> int:
    """Kafka's hash of a key as Java prints it: signed, 32 bits.

    Parameters
    ----------
    key : str or bytes
        Text counts as its UTF-8 bytes.

    Examples
    --------
    >>> murmur2("21")
    -973932308
    >>> murmur2(b"foobar")
    -790332482
    """
    unsigned = _hashes([key])[0]
    return unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned


def partition_for(key: Key, partitions: int) -> int:
    """The partition that Kafka's producer chooses for ``key`` among ``partitions``.

    Examples
    --------
    >>> partition_for("AA", 6)
    3
    """
    return partitions_for([key], partitions)[0]


def partitions_for(keys: Iterable[Key], partitions: int) -> list[int]:
    """`partition_for` for many keys at once: a list, a pandas column, any iterable.

    Raises
    ------
    TypeError
        If a key is neither text nor bytes. A record without a key goes nowhere in particular:
        see `batch_fill`.

    Examples
    --------
    >>> partitions_for(["AA", b"AA", "DL"], 6)
    [3, 3, 5]
    """
    _check_count(partitions, "partitions")
    _check_many(keys)
    return [(hashed & 0x7FFFFFFF) % partitions for hashed in _hashes(keys)]


@dataclass(frozen=True, repr=False)
class Spread:
    """How records spread over partitions by their keys.

    Attributes
    ----------
    counts : tuple of int
        How many records each partition gets.
    keys : tuple of int
        How many different keys each partition gets.
    hottest : tuple of (key, int, int)
        The keys with the most records: the key, its records, its partition.
    """

    counts: tuple[int, ...]
    keys: tuple[int, ...]
    hottest: tuple[tuple[Key, int, int], ...]

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return len(self.counts)

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(self.counts)

    @property
    def skew(self) -> float:
        """Records of the busiest partition over those of an average one; 1 is perfectly even."""
        return max(self.counts) * self.partitions / self.records if self.records else 1.0

    @property
    def idle(self) -> int:
        """How many partitions get no record at all."""
        return self.counts.count(0)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Bars of `counts`, the mean as a line. Needs matplotlib: ``pip install 'pabal[plot]'``."""
        axes = _axes(ax)
        axes.bar(range(self.partitions), self.counts, color=_colors(self.counts))
        axes.axhline(self.records / self.partitions, color="0.4", linewidth=1, linestyle="--")
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("partition")
        axes.set_ylabel("records")
        axes.set_title(f"{self.partitions} partitions, skew {self.skew:.2f}")
        return axes

    def __str__(self) -> str:
        lines = [self._headline()]
        most = max(self.counts) or 1
        for partition, count in enumerate(self.counts):
            bar = "█" * round(count * _BAR / most)
            tally = f"{count:,} records, {self.keys[partition]:,} keys"
            lines.append(f"{partition:>4} {bar:<{_BAR}} {tally}")
        hot = ", ".join(f"{_text(key)} ({count:,})" for key, count, _ in self.hottest)
        return "\n".join([*lines, f"hottest keys: {hot}"]) if hot else "\n".join(lines)

    __repr__ = __str__

    def __rich__(self) -> Table:
        table = _table(self._headline(), "partition", "records", "keys", "")
        most = max(self.counts) or 1
        for partition, count in enumerate(self.counts):
            bar = "█" * round(count * _BAR / most)
            table.add_row(str(partition), f"{count:,}", f"{self.keys[partition]:,}", bar)
        return table

    def _repr_html_(self) -> str:
        rows: list[tuple[str, ...]] = [
            (str(partition), f"{count:,}", f"{self.keys[partition]:,}")
            for partition, count in enumerate(self.counts)
        ]
        bars = [count / (max(self.counts) or 1) for count in self.counts]
        return _html(self._headline(), ("partition", "records", "keys"), rows, bars)

    def _headline(self) -> str:
        return (
            f"{self.records:,} records, {sum(self.keys):,} keys, {self.partitions} partitions: "
            f"skew {self.skew:.2f}, {self.idle} idle"
        )


def spread(keys: Iterable[Key], partitions: int) -> Spread:
    """Count where records with these keys go, one key per record.

    Examples
    --------
    >>> print(spread(["AA"] * 4 + ["DL", "UA"], partitions=2))
    6 records, 3 keys, 2 partitions: skew 1.67, 0 idle
       0 ██████                         1 records, 1 keys
       1 ██████████████████████████████ 5 records, 2 keys
    hottest keys: AA (4), DL (1), UA (1)
    """
    _check_count(partitions, "partitions")
    _check_many(keys)
    tally = Counter(keys)
    places = partitions_for(tally, partitions)
    counts = [0] * partitions
    distinct = [0] * partitions
    where: dict[Key, int] = {}
    for (key, count), place in zip(tally.items(), places, strict=True):
        counts[place] += count
        distinct[place] += 1
        where[key] = place
    hottest = tuple((key, count, where[key]) for key, count in tally.most_common(_HOTTEST_SHOWN))
    return Spread(tuple(counts), tuple(distinct), hottest)


@dataclass(frozen=True, repr=False)
class Growth:
    """What more partitions do to keys: those that move lose their order.

    Attributes
    ----------
    before, after : Spread
        How the records spread over the old and over the new number of partitions.
    moved : dict
        For each key that moves, its old and its new partition.
    moved_records : int
        How many of the records have a key that moves.
    """

    before: Spread
    after: Spread
    moved: dict[Key, tuple[int, int]]
    moved_records: int

    @property
    def moved_keys_share(self) -> float:
        """The share of the keys that move."""
        keys = sum(self.before.keys)
        return len(self.moved) / keys if keys else 0.0

    @property
    def moved_records_share(self) -> float:
        """The share of the records whose key moves."""
        return self.moved_records / self.before.records if self.before.records else 0.0

    def plot(self, ax: Axes | None = None) -> Axes:
        """Dots for the keys, from the old partition to the new. Needs matplotlib."""
        axes = _axes(ax)
        flows = Counter(self.moved.values())
        for (old, new), count in flows.items():
            axes.scatter(old, new, s=5 + 55 * count / max(flows.values()), color="tab:red")
        axes.axline((0, 0), slope=1, color="0.4", linewidth=1, linestyle="--")
        axes.set_xlabel("partition before")
        axes.set_ylabel("partition after")
        axes.locator_params(integer=True)
        axes.set_title(
            f"{self.before.partitions} to {self.after.partitions} partitions: "
            f"{self.moved_keys_share:.0%} of the keys move"
        )
        return axes

    def __str__(self) -> str:
        return (
            f"{self._headline()}\n"
            f"  {len(self.moved):,} of {sum(self.before.keys):,} keys move "
            f"({self.moved_keys_share:.0%})\n"
            f"  {self.moved_records:,} of {self.before.records:,} records have such a key "
            f"({self.moved_records_share:.0%})\n"
            f"  skew {self.before.skew:.2f} → {self.after.skew:.2f}"
        )

    __repr__ = __str__

    def __rich__(self) -> Table:
        table = _table(self._headline(), "", "before", "after", "moving")
        for row in self._rows():
            table.add_row(*row)
        return table

    def _repr_html_(self) -> str:
        return _html(self._headline(), ("", "before", "after", "moving"), self._rows())

    def _headline(self) -> str:
        return f"{self.before.partitions} → {self.after.partitions} partitions"

    def _rows(self) -> list[tuple[str, ...]]:
        keys, records = sum(self.before.keys), self.before.records
        share, weight = self.moved_keys_share, self.moved_records_share
        return [
            ("keys", f"{keys:,}", f"{keys:,}", f"{len(self.moved):,} ({share:.0%})"),
            ("records", f"{records:,}", f"{records:,}", f"{self.moved_records:,} ({weight:.0%})"),
            ("skew", f"{self.before.skew:.2f}", f"{self.after.skew:.2f}", ""),
            ("idle partitions", str(self.before.idle), str(self.after.idle), ""),
        ]


def add_partitions(keys: Iterable[Key], before: int, after: int) -> Growth:
    """Say which keys go elsewhere once a topic has ``after`` partitions instead of ``before``.

    Examples
    --------
    >>> print(add_partitions(["AA", "DL", "UA", "B6", "AA"], before=2, after=3))
    2 → 3 partitions
      3 of 4 keys move (75%)
      4 of 5 records have such a key (80%)
      skew 1.20 → 1.80
    """
    _check_count(before, "before")
    _check_count(after, "after")
    _check_many(keys)
    tally = Counter(keys)
    every = list(tally.elements())
    moved: dict[Key, tuple[int, int]] = {}
    moved_records = 0
    old_places = partitions_for(tally, before)
    new_places = partitions_for(tally, after)
    for (key, count), old, new in zip(tally.items(), old_places, new_places, strict=True):
        if old != new:
            moved[key] = (old, new)
            moved_records += count
    return Growth(spread(every, before), spread(every, after), moved, moved_records)


@dataclass(frozen=True, repr=False)
class BatchFill:
    """What becomes of records without a key: how many batches, how full, how long they wait.

    Attributes
    ----------
    partitioner : str
        ``"sticky"`` or ``"round_robin"``.
    batch_size : int
        The size in bytes at which a batch is full.
    batches : tuple of int
        The size in bytes of each batch, in the order in which they leave.
    counts : tuple of int
        How many records each partition gets.
    mean_wait : timedelta
        How long a record waits in its batch, on average.
    """

    partitioner: KeylessPartitioner
    batch_size: int
    batches: tuple[int, ...]
    counts: tuple[int, ...]
    mean_wait: timedelta

    @property
    def fill(self) -> float:
        """How full a batch is, on average; 1 is full."""
        return sum(self.batches) / (len(self.batches) * self.batch_size)

    @property
    def records_per_batch(self) -> float:
        """How many records a batch has, on average."""
        return sum(self.counts) / len(self.batches)

    def plot(self, ax: Axes | None = None) -> Axes:
        """A histogram of the batches' fill. Needs matplotlib."""
        axes = _axes(ax)
        shares = [100 * size / self.batch_size for size in self.batches]
        axes.hist(shares, bins=[float(edge) for edge in range(0, 105, 5)])
        axes.set_xlabel("fill of a batch, %")
        axes.set_ylabel("batches")
        name = self.partitioner.replace("_", " ")
        axes.set_title(f"{name}: {len(self.batches):,} batches, {self.fill:.0%} full")
        return axes

    def __str__(self) -> str:
        return (
            f"{self.partitioner}: {sum(self.counts):,} records in {len(self.batches):,} batches, "
            f"{self.fill:.0%} full, {self.records_per_batch:.1f} records each, "
            f"waiting {self.mean_wait / timedelta(milliseconds=1):.1f} ms"
        )

    __repr__ = __str__

    def __rich__(self) -> Table:
        table = _table(self.partitioner.replace("_", " "), "", "")
        for row in self._rows():
            table.add_row(*row)
        return table

    def _repr_html_(self) -> str:
        return _html(self.partitioner.replace("_", " "), ("", ""), self._rows())

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            ("records", f"{sum(self.counts):,}"),
            ("batches", f"{len(self.batches):,}"),
            ("records in a batch", f"{self.records_per_batch:.1f}"),
            ("fill", f"{self.fill:.0%}"),
            ("a record waits", f"{self.mean_wait / timedelta(milliseconds=1):.1f} ms"),
        ]


def batch_fill(
    partitions: int,
    partitioner: KeylessPartitioner = "sticky",
    *,
    records: int = 10_000,
    record_size: int = 100,
    rate: float = 10_000.0,
    batch_size: int = 16_384,
    linger: Duration = 0.005,
    seed: int = 0,
) -> BatchFill:
    """Let one producer send records without a key, and look at its batches.

    Round robin gives each partition its turn record by record, so that as many batches grow at the
    same time as there are partitions. Sticky stays with one partition until a batch's worth went
    there, then takes another by chance (KIP-480, KIP-794). A batch leaves when it is full or when
    its first record has waited for ``linger``.

    Parameters
    ----------
    partitions : int
        How many partitions the topic has.
    partitioner : {"sticky", "round_robin"}
        How a record without a key gets its partition.
    records, record_size, rate : int, int, float
        How many records come, how many bytes each takes in a batch, how many come in a second.
    batch_size, linger : int, timedelta or float
        The producer's ``batch.size`` in bytes, and its ``linger.ms`` as a duration.
    seed : int
        Equal seeds give equal results.

    Examples
    --------
    >>> batch_fill(12, "round_robin")
    round_robin: 10,000 records in 2,004 batches, 3% full, 5.0 records each, waiting 2.6 ms
    >>> batch_fill(12, "sticky")
    sticky: 10,000 records in 246 batches, 25% full, 40.7 records each, waiting 2.7 ms
    """
    _check_count(partitions, "partitions")
    for name, number in (("records", records), ("record_size", record_size)):
        _check_count(number, name)
    if partitioner not in ("sticky", "round_robin"):
        raise ValueError(f'partitioner is "sticky" or "round_robin", not {partitioner!r}')
    if record_size > batch_size:
        raise ValueError(f"a record of {record_size} bytes is larger than a batch, {batch_size}")
    if not rate > 0:
        raise ValueError(f"rate is positive, and not {rate}")
    patience = seconds(linger, "linger")
    chance = random.Random(seed)
    counts = [0] * partitions
    growing: dict[int, list[float]] = {}  # When the records of each open batch came.
    sent: list[int] = []
    waited = 0.0

    def leave(partition: int, now: float) -> None:
        nonlocal waited
        times = growing.pop(partition)
        sent.append(len(times) * record_size)
        waited += sum(now - time for time in times)

    stuck_to = chance.randrange(partitions)
    stuck_bytes = 0
    for number in range(records):
        now = number / rate
        # The oldest batch stands first: each entered when its first record came.
        while growing:
            oldest = next(iter(growing))
            due = growing[oldest][0] + patience
            if due > now:
                break
            leave(oldest, due)
        if partitioner == "round_robin":
            partition = number % partitions
        else:
            if stuck_bytes + record_size > batch_size:
                others = [other for other in range(partitions) if other != stuck_to]
                stuck_to = chance.choice(others or [stuck_to])
                stuck_bytes = 0
            stuck_bytes += record_size
            partition = stuck_to
        batch = growing.setdefault(partition, [])
        batch.append(now)
        counts[partition] += 1
        if (len(batch) + 1) * record_size > batch_size:
            leave(partition, now)
    for partition in list(growing):
        leave(partition, growing[partition][0] + patience)
    return BatchFill(
        partitioner, batch_size, tuple(sent), tuple(counts), timedelta(seconds=waited / records)
    )


def _hashes(keys: Iterable[Key]) -> array[int]:
    from pabal import _core

    hashes = array("I")
    hashes.frombytes(_core.murmur2(list(keys)))
    return hashes


def _check_many(keys: Iterable[Key]) -> None:
    """One key is an iterable too, of its letters, and never meant so."""
    if isinstance(keys, str | bytes):
        raise TypeError(f"keys are many keys, e.g. a list, and not the one key {keys!r}")


def _check_count(count: int, name: str) -> None:
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{name} is a number, not {type(count).__name__}")
    if count < 1:
        raise ValueError(f"{name} is at least 1, and not {count}")


def _text(key: Key) -> str:
    return key if isinstance(key, str) else key.decode(errors="backslashreplace")


def _colors(counts: tuple[int, ...]) -> list[str]:
    """The busiest partition stands out."""
    return ["tab:red" if count == max(counts) else "tab:blue" for count in counts]


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "plots need matplotlib: pip install 'pabal[plot]'", name=missing.name
        ) from missing
    figure: Any = pyplot.figure(figsize=(6, 3), layout="constrained")
    axes: Axes = figure.subplots()
    return axes


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    return table


def _html(
    title: str,
    columns: tuple[str, ...],
    rows: list[tuple[str, ...]],
    bars: list[float] | None = None,
) -> str:
    """A table; with ``bars`` each row ends in one, as long as its share of the widest."""
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        if bars is not None:
            width = round(bars[number] * 200)
            cells += (
                '<td style="text-align:left"><div style="background:#1f77b4;height:0.8em;'
                f'width:{width}px"></div></td>'
            )
        lines.append(f"<tr>{cells}</tr>")
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    if bars is not None:
        head += "<th></th>"
    return f"<b>{html.escape(title)}</b><table><tr>{head}</tr>{''.join(lines)}</table>"
