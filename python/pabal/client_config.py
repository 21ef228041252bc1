"""Settings of clients: Kafka's names as keyword arguments, checked when a client is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, NamedTuple, TypeVar

K = TypeVar("K")
V = TypeVar("V")

Kind = Literal["int", "ms", "str", "bool", "choice", "names"]


class Setting(NamedTuple):
    """One setting: its values, and what it is when nobody says."""

    kind: Kind
    default: object
    least: float = 0
    most: float = 2**31 - 1
    choices: tuple[str, ...] = ()


_DAY_MS = 86_400_000

COMMON: Mapping[str, Setting] = {
    "client_id": Setting("str", "pabal"),
    "request_timeout_ms": Setting("ms", 30_000, 1),
    "retry_backoff_ms": Setting("ms", 100),
    "retry_backoff_max_ms": Setting("ms", 1000),
    "metadata_max_age_ms": Setting("ms", 300_000, 1),
    "security_protocol": Setting("choice", "PLAINTEXT", choices=("PLAINTEXT",)),
}

ADMIN: Mapping[str, Setting] = {
    "client_id": Setting("str", "pabal-admin"),
    "request_timeout_ms": COMMON["request_timeout_ms"],
    "default_api_timeout_ms": Setting("ms", 60_000, 1),
    "security_protocol": COMMON["security_protocol"],
}

PRODUCER: Mapping[str, Setting] = {
    **COMMON,
    "acks": Setting("choice", "all", choices=("0", "1", "all", "-1")),
    "enable_idempotence": Setting("bool", None),
    "batch_size": Setting("int", 131_072, 1, 2**30),
    "linger_ms": Setting("ms", 5, 0, _DAY_MS),
    "buffer_memory": Setting("int", 33_554_432, 1024, 2**40),
    "max_block_ms": Setting("ms", 60_000),
    "compression_type": Setting(
        "choice", "none", choices=("none", "gzip", "snappy", "lz4", "zstd")
    ),
    "compression_level": Setting("int", None, -(2**17), 22),
    "delivery_timeout_ms": Setting("ms", 120_000, 1),
    "max_in_flight_requests_per_connection": Setting("int", 5, 1, 1000),
    "max_request_size": Setting("int", 1_048_576, 100, 2**30),
    "retries": Setting("int", 2**31 - 1),
    "partitioner_ignore_keys": Setting("bool", False),
    "transactional_id": Setting("str", None),
    "transaction_timeout_ms": Setting("ms", 60_000, 1),
}

CONSUMER: Mapping[str, Setting] = {
    **COMMON,
    "group_id": Setting("str", None),
    "group_instance_id": Setting("str", None),
    # None: the newer protocol, unless a setting of the classic one is given.
    "group_protocol": Setting("choice", None, choices=("classic", "consumer")),
    "group_remote_assignor": Setting("str", None),
    "partition_assignment_strategy": Setting(
        "names", None, choices=("range", "roundrobin", "sticky", "cooperative-sticky")
    ),
    "session_timeout_ms": Setting("ms", None, 1),
    "heartbeat_interval_ms": Setting("ms", None, 1),
    "client_rack": Setting("str", ""),
    "default_api_timeout_ms": Setting("ms", 60_000, 1),
    "auto_offset_reset": Setting("choice", "latest", choices=("earliest", "latest", "none")),
    "enable_auto_commit": Setting("bool", True),
    "auto_commit_interval_ms": Setting("ms", 5000, 1),
    "max_poll_records": Setting("int", 500, 1),
    "max_poll_interval_ms": Setting("ms", 300_000, 1),
    "fetch_min_bytes": Setting("int", 1),
    "fetch_max_bytes": Setting("int", 52_428_800, 1024),
    "fetch_max_wait_ms": Setting("ms", 500),
    "max_partition_fetch_bytes": Setting("int", 1_048_576, 1024),
    "isolation_level": Setting(
        "choice", "read_uncommitted", choices=("read_uncommitted", "read_committed")
    ),
    "check_crcs": Setting("bool", True),
    "allow_auto_create_topics": Setting("bool", True),
}

# The settings of the classic protocol of groups, and what they are when nobody says.
_CLASSIC: Mapping[str, object] = {
    "partition_assignment_strategy": ["range", "cooperative-sticky"],
    "session_timeout_ms": 45_000.0,
    "heartbeat_interval_ms": 3_000.0,
}


def resolve(
    client: str, settings: Mapping[str, Setting], given: Mapping[str, object]
) -> dict[str, object]:
    """All of ``settings``, with what was ``given``.

    A name may leave out its unit or type: ``linger`` is ``linger_ms`` and ``compression`` is
    ``compression_type``. Times are milliseconds, as Kafka's names say, or a `timedelta`.

    Raises
    ------
    TypeError
        If a name is unknown; the message has the nearest one. If a setting is given twice, by two
        of its names. If a value has the wrong type.
    ValueError
        If a value is out of bounds.

    Examples
    --------
    >>> resolve("Producer", PRODUCER, {"linger": timedelta(seconds=1)})["linger_ms"]
    1000.0
    """
    values = {name: setting.default for name, setting in settings.items()}
    names: dict[str, str] = {}
    for name, value in given.items():
        full = _full_name(client, name, settings)
        if full in names:
            raise TypeError(f"{names[full]} and {name} are the same setting; give one of them")
        names[full] = name
        values[full] = _checked(name, settings[full], value)
    return values


def check_callable(name: str, value: object) -> None:
    """Refuse what cannot be called, and is not None.

    Raises
    ------
    TypeError
        If ``value`` is such a thing; the message has its ``name``.

    Examples
    --------
    >>> check_callable("key_serializer", str.encode)
    """
    if value is not None and not callable(value):
        raise TypeError(f"{name} is a callable or None, not {type(value).__name__}")


def group_options(options: dict[str, object]) -> str:
    """The group's protocol, with the settings that belong to it filled in.

    Raises
    ------
    ValueError
        If there are settings of both protocols.

    Examples
    --------
    >>> group_options(resolve("Consumer", CONSUMER, {"group_id": "kitchen"}))
    'consumer'
    >>> group_options(resolve("Consumer", CONSUMER, {"session_timeout_ms": 10_000}))
    'classic'
    """
    classic = [name for name in _CLASSIC if options[name] is not None]
    protocol = options["group_protocol"] or ("classic" if classic else "consumer")
    if protocol == "consumer" and classic:
        raise ValueError(
            f"{classic[0]} belongs to group_protocol='classic'; in the newer protocol the brokers "
            "decide it"
        )
    if protocol == "classic" and options["group_remote_assignor"] is not None:
        raise ValueError("group_remote_assignor belongs to group_protocol='consumer'")
    for name, default in _CLASSIC.items():
        if options[name] is None:
            options[name] = default
    session, heartbeat = options["session_timeout_ms"], options["heartbeat_interval_ms"]
    assert isinstance(session, float | int)
    assert isinstance(heartbeat, float | int)
    if heartbeat >= session:
        raise ValueError(f"heartbeat_interval_ms is below session_timeout_ms, not {heartbeat:g}")
    options["group_protocol"] = protocol
    return str(protocol)


def bootstrap_text(servers: object) -> str:
    """``bootstrap_servers`` as one text: it may be a list.

    Examples
    --------
    >>> bootstrap_text(["one:9092", "two:9092"])
    'one:9092,two:9092'
    """
    if isinstance(servers, str):
        return servers
    if isinstance(servers, list | tuple) and servers and all(isinstance(s, str) for s in servers):
        return ",".join(servers)
    raise TypeError(f'bootstrap_servers is "host:port,host:port" or a list, not {servers!r}')


def mapping_of(given: Mapping[K, V], what: str) -> Mapping[K, V]:
    """``given``, if it is a mapping.

    Raises
    ------
    TypeError
        If it is something else; the message says what was wanted.

    Examples
    --------
    >>> mapping_of([("orders", 0)], "offsets by partition")  # type: ignore[arg-type]
    Traceback (most recent call last):
      ...
    TypeError: a mapping is wanted, offsets by partition, not list
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"a mapping is wanted, {what}, not {type(given).__name__}")
    return given


def _full_name(client: str, name: str, settings: Mapping[str, Setting]) -> str:
    for full in (name, f"{name}_ms", f"{name}_type"):
        if full in settings:
            return full
    from difflib import get_close_matches

    near = get_close_matches(name, settings, 1, 0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise TypeError(f"{client} has no setting {name!r}{hint}")


def _checked(name: str, setting: Setting, value: object) -> object:
    if value is None and setting.default is None:
        return None
    if setting.kind == "bool":
        if not isinstance(value, bool):
            raise TypeError(f"{name} is True or False, not {value!r}")
        return value
    if setting.kind == "str":
        if not isinstance(value, str):
            raise TypeError(f"{name} is a str, not {value!r}")
        return value
    if setting.kind == "choice":
        text = str(value)
        if isinstance(value, bool) or text not in setting.choices:
            raise ValueError(f"{name} is one of {', '.join(setting.choices)}, not {value!r}")
        return text
    if setting.kind == "names":
        return _names(name, setting, value)
    return _number(name, setting, value)


def _names(name: str, setting: Setting, value: object) -> list[str]:
    """Some of the choices, in their order; Java's names of their classes are understood, too."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not given:
        raise TypeError(f"{name} is one or some of {', '.join(setting.choices)}, not {value!r}")
    names = []
    for one in given:
        text = str(one).strip()
        if text.endswith("Assignor"):
            words = re.findall("[A-Z][a-z]+", text.rpartition(".")[2].removesuffix("Assignor"))
            text = ("" if words == ["Round", "Robin"] else "-").join(words).lower()
        if text not in setting.choices:
            raise ValueError(f"{name} is one or some of {', '.join(setting.choices)}, not {one!r}")
        names.append(text)
    return names


def _number(name: str, setting: Setting, value: object) -> float:
    if setting.kind == "ms" and isinstance(value, timedelta):
        value = value.total_seconds() * 1000
    if isinstance(value, bool) or not isinstance(value, int | float):
        wanted = "milliseconds or a timedelta" if setting.kind == "ms" else "a number"
        raise TypeError(f"{name} is {wanted}, not {value!r}")
    if setting.kind == "int" and isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{name} is a whole number, not {value!r}")
    if not setting.least <= value <= setting.most:
        raise ValueError(f"{name} is between {setting.least} and {setting.most}, not {value!r}")
    return int(value) if setting.kind == "int" else float(value)
