"""Durations as users write them: a `timedelta`, or a number of seconds."""

from __future__ import annotations

from datetime import timedelta

Duration = timedelta | float


def seconds(duration: Duration, name: str) -> float:
    """Return ``duration`` in seconds.

    Raises
    ------
    TypeError
        If it is neither a `timedelta` nor a number.
    ValueError
        If it is negative or not a number at all.

    Examples
    --------
    >>> seconds(timedelta(minutes=1), "timeout")
    60.0
    >>> seconds(2, "timeout")
    2.0
    """
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        value = float(duration)
    else:
        raise TypeError(
            f"{name} is a timedelta or a number of seconds, not {type(duration).__name__}"
        )
    if not value >= 0:
        raise ValueError(f"{name} must not be negative, and is {value}")
    return value
