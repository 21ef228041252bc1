"""Where a consumer group shall go on: at a log's end, a time, an offset, or some records on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pabal import _core

__all__ = ["Shift", "new_offsets", "parse_place"]

_LOG_START = -2
_LOG_END = -1


@dataclass(frozen=True)
class Shift:
    """So many records from where the group stands; backwards if it is negative."""

    by: int


Place = Literal["earliest", "latest", "current"] | int | datetime | timedelta | Shift

_NAMED: dict[str, Place] = {"earliest": "earliest", "latest": "latest", "current": "current"}


def parse_place(text: str) -> Place:
    """A place as a command line writes it.

    Raises
    ------
    ValueError
        If it is none; the message lists what can be written.

    Examples
    --------
    >>> parse_place("earliest")
    'earliest'
    >>> parse_place("-10"), parse_place("+10"), parse_place("10")
    (Shift(by=-10), Shift(by=10), 10)
    >>> parse_place("2026-11-21T10:00:00Z")
    datetime.datetime(2026, 11, 21, 10, 0, tzinfo=datetime.timezone.utc)
    """
    if text in _NAMED:
        return _NAMED[text]
    try:
        return Shift(int(text)) if text[:1] in {"+", "-"} else int(text)
    except ValueError:
        pass
    try:
        # Python 3.10 does not read the Z.
        return datetime.fromisoformat(re.sub("Z$", "+00:00", text))
    except ValueError:
        raise ValueError(
            f"{text!r} is no place: write earliest, latest, current, an offset, +N or -N "
            "records, or a time like 2026-11-21T10:00:00Z"
        ) from None


def new_offsets(
    admin: _core.Admin,
    topic: str,
    place: Place,
    *,
    partitions: Iterable[int] | None,
    committed: dict[int, int],
    timeout: float,
) -> dict[int, int]:
    """The offset of each partition that ``place`` means; never outside of the log.

    Parameters
    ----------
    partitions : iterable of int, optional
        Which ones; all of the topic by default.
    committed : dict of int to int
        Where the group stands now, as far as it has committed.

    Raises
    ------
    TypeError, ValueError
        If ``place`` is of another type, or a partition does not exist.
    """
    starts = dict(admin.list_offsets(topic, _LOG_START, timeout))
    ends = dict(admin.list_offsets(topic, _LOG_END, timeout))
    chosen = sorted(starts if partitions is None else set(partitions))
    missing = [partition for partition in chosen if partition not in starts]
    if missing:
        raise ValueError(f"{topic} has no partition {missing[0]}; it has {len(starts)}")
    wanted = _places(admin, topic, place, chosen, starts, ends, committed, timeout)
    return {
        partition: min(max(offset, starts[partition]), ends[partition])
        for partition, offset in wanted.items()
    }


def _places(
    admin: _core.Admin,
    topic: str,
    place: Place,
    chosen: Collection[int],
    starts: dict[int, int],
    ends: dict[int, int],
    committed: dict[int, int],
    timeout: float,
) -> dict[int, int]:
    if place == "earliest":
        return {partition: starts[partition] for partition in chosen}
    if place == "latest":
        return {partition: ends[partition] for partition in chosen}
    # Where nothing was committed, Kafka's tool takes the end too.
    if place == "current":
        return {partition: committed.get(partition, ends[partition]) for partition in chosen}
    if isinstance(place, Shift):
        return {
            partition: committed.get(partition, ends[partition]) + place.by
            for partition in chosen
        }
    if isinstance(place, timedelta):
        place = datetime.now(timezone.utc) - place
    if isinstance(place, datetime):
        # Without a zone it is local time, as everywhere in datetime.
        at = dict(admin.list_offsets(topic, int(place.timestamp() * 1000), timeout))
        return {
            partition: ends[partition] if at[partition] < 0 else at[partition]
            for partition in chosen
        }
    if isinstance(place, int) and not isinstance(place, bool):
        if place < 0:
            raise ValueError(f"an offset is 0 or more, not {place}; Shift({place}) goes back")
        return dict.fromkeys(chosen, place)
    raise TypeError(
        'a place is "earliest", "latest", "current", an offset, a datetime, a timedelta (so long '
        f"ago) or a Shift, not {place!r}"
    )
