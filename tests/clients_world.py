"""Words of the tests of our own clients."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pabal

PATIENCE = 20.0


def fresh(prefix: str = "topic") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def eventually(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def read(consumer: pabal.Consumer, count: int, seconds: float = PATIENCE) -> list[pabal.Record]:
    """The next ``count`` records, or as many as come in time."""
    records: list[pabal.Record] = []
    deadline = time.monotonic() + seconds
    while len(records) < count and time.monotonic() < deadline:
        records += consumer.poll(timeout=1.0, max_records=count - len(records))
    return records
