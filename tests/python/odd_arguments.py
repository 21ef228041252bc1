"""Calls the public surface of the package with odd arguments; a process of its own, as it may die.

    odd_arguments.py BOOTSTRAP_SERVERS SEED
"""

from __future__ import annotations

import asyncio
import datetime
import decimal
import faulthandler
import inspect
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pabal
from pabal import _core, data_files, record_codec, serializers
from pabal.client_config import ADMIN, CONSUMER, PRODUCER

SECONDS = 6.0
# What waits waits no longer.
QUICK = {"request_timeout_ms": 200, "default_api_timeout_ms": 300}
# They end or wait for what never comes.
LEFT_OUT = {"close", "__iter__", "flush"}
# A fault of the package, whatever was given.
FAULTS = (SystemError, AssertionError, NameError, RecursionError, MemoryError)


class Awkward:
    """Raises wherever it is asked for something."""

    def __len__(self) -> int:
        raise ZeroDivisionError("asked for its length")

    def __str__(self) -> str:
        raise ZeroDivisionError("asked for its text")

    def __iter__(self) -> Any:
        raise ZeroDivisionError("asked for its parts")

    __repr__ = __str__


class Lying:
    """Claims to be an Arrow stream, and is none."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return "no capsule"


def values() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return [
        *(None, True, False, 0, 1, -1, 2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 2**200),
        *(0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf"), 1j),
        *("", "odd", "\0", "\ud800", "no such thing", "x" * 70_000, "odd,odd", ".", "*"),
        *(b"", b"\0\xff", b"v" * 70_000, bytearray(b"v"), memoryview(b"abcdef")[::2]),
        *([], [None], [[]], loop, (), ("odd", 0), ("odd", -1), ("odd", 2**40), (b"odd", 0)),
        *([("odd", 0)], [("odd", 1, 5)], [("odd", 0), None], {("odd", 0): 0}, {("odd", 0): -5}),
        *({("odd", 0): "x"}, {"odd": 1}, {None: None}, {"retention.ms": object()}, {1, 2}),
        *(object(), Awkward(), Lying(), print, int, range(3), iter("abc"), Ellipsis),
        *(datetime.datetime.min, datetime.datetime.max, datetime.timedelta.max),
        *(datetime.timedelta(-1), decimal.Decimal("NaN"), pabal.TopicPartition("odd", 0)),
        *([b"v"] * 3, [b"v", 7], [object()], [("h", b"v")], [("h", 7)], [(None, None)], "a:1"),
    ]


class Caller:
    """Calls with arguments drawn by chance; counts how the calls ended."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.values = values()
        self.ends: Counter[str] = Counter()

    def call(self, function: Callable[..., Any], what: str, **fixed: Any) -> Any:
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        positional, named = [], dict(fixed)
        for one in parameters:
            given = one.default is one.empty or self.dice.random() < 0.5
            if one.name == "timeout":
                named["timeout"] = self.dice.choice([0, 0.05, -1, float("nan"), "x", None])
                if named["timeout"] is None:
                    named["timeout"] = 0.05
            elif one.name in named or not given:
                continue
            elif one.kind is one.VAR_POSITIONAL:
                positional += self.dice.choices(self.values, k=self.dice.randrange(3))
            elif one.kind is one.VAR_KEYWORD:
                continue
            elif one.kind is one.KEYWORD_ONLY:
                named[one.name] = self.dice.choice(self.values)
            else:
                named_ones = one.kind is one.POSITIONAL_OR_KEYWORD and one.default is not one.empty
                if named_ones:
                    named[one.name] = self.dice.choice(self.values)
                else:
                    positional.append(self.dice.choice(self.values))
        return self.guarded(lambda: function(*positional, **named), what)

    def guarded(self, function: Callable[[], Any], what: str) -> Any:
        # Whoever hangs here is shown with all threads.
        faulthandler.dump_traceback_later(60, exit=True)
        try:
            result = function()
            self.ends["taken"] += 1
            return result
        except FAULTS as error:
            raise SystemExit(f"{what}: {type(error).__name__}: {error}") from error
        except Exception as error:
            self.ends[type(error).__name__] += 1
            return None
        finally:
            faulthandler.cancel_dump_traceback_later()


def methods(instance: object) -> list[tuple[str, Callable[..., Any]]]:
    found = []
    for name in dir(instance):
        if name in LEFT_OUT or (name.startswith("_") and name != "__arrow_c_stream__"):
            continue
        value = getattr(instance, name, None)
        if callable(value):
            found.append((f"{type(instance).__name__}.{name}", value))
    return found


def constructions(caller: Caller, servers: str) -> None:
    """Every setting of every client with every value."""
    for kind, settings in (
        (pabal.Producer, PRODUCER),
        (pabal.Consumer, CONSUMER),
        (pabal.Admin, ADMIN),
    ):
        for name in settings:
            for value in caller.dice.sample(caller.values, 12):
                made = caller.guarded(
                    lambda kind=kind, name=name, value=value: kind(
                        bootstrap_servers=servers, **{name: value}
                    ),
                    f"{kind.__name__}({name})",
                )
                if made is not None:
                    made.close()
        for value in caller.values:
            made = caller.guarded(
                lambda kind=kind, value=value: kind(bootstrap_servers=value), kind.__name__
            )
            if made is not None:
                made.close()


def uses(caller: Caller, servers: str) -> None:
    """Every method of what there is, again and again."""
    producer = pabal.Producer(
        servers, max_block_ms=200, request_timeout_ms=200, delivery_timeout_ms=500, retries=1
    )
    alone = pabal.Consumer("odd", bootstrap_servers=servers, **QUICK)
    member = pabal.Consumer("odd", bootstrap_servers=servers, group="odd", **QUICK)
    admin = pabal.Admin(servers, **QUICK)
    future = producer.send("odd", b"v")
    record = _core.Record if hasattr(_core, "Record") else None
    loose: list[tuple[str, Callable[..., Any]]] = [
        ("murmur2", _core.murmur2),
        ("crc32c", _core.crc32c),
        ("inflate", _core.inflate),
        ("RecordMetadata", _core.RecordMetadata),
        ("DeliveryFuture", _core.DeliveryFuture),
        ("Record", record or object),
        *[(name, getattr(serializers, name)) for name in serializers.__all__],
        *[(name, getattr(data_files, name)) for name in data_files.__all__],
        ("Cursor", record_codec.Cursor),
        ("spread", pabal.explore.spread),
    ]
    targets = [
        *methods(producer),
        *methods(alone),
        *methods(member),
        *methods(admin),
        *methods(future),
        *loose,
    ]
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        what, function = caller.dice.choice(targets)
        result = caller.call(function, what)
        if inspect.iscoroutine(result):
            result.close()
        elif what in ("spread", "read_batches", "offset_index", "time_index"):
            caller.guarded(lambda result=result: list(result or ()), what)
    for one in (producer, alone, member, admin):
        caller.guarded(one.close, "close")
    for what, function in targets:
        caller.call(function, f"{what} after close")


async def awaited(caller: Caller, servers: str) -> None:
    """The twins for asyncio, a while."""
    admin = pabal.aio.Admin(servers, **QUICK)
    producer = pabal.aio.Producer(servers, max_block_ms=200, delivery_timeout_ms=500)
    consumer = pabal.aio.Consumer("odd", bootstrap_servers=servers, **QUICK)
    targets = [*methods(admin), *methods(producer), *methods(consumer)]
    end = time.monotonic() + SECONDS / 4
    while time.monotonic() < end:
        what, function = caller.dice.choice(targets)
        result = caller.call(function, what)
        if inspect.isawaitable(result):
            try:
                await asyncio.wait_for(asyncio.ensure_future(result), 5)
            except FAULTS as error:
                raise SystemExit(f"{what}: {type(error).__name__}: {error}") from error
            except Exception as error:
                caller.ends[type(error).__name__] += 1
    for one in (admin, producer, consumer):
        await one.close()


def main() -> None:
    servers, seed = sys.argv[1], int(sys.argv[2])
    faulthandler.enable()
    warnings.simplefilter("ignore")
    caller = Caller(seed)
    constructions(caller, servers)
    uses(caller, servers)
    asyncio.run(awaited(caller, servers))
    print(sum(caller.ends.values()), "calls:", dict(caller.ends.most_common()))


if __name__ == "__main__":
    main()
