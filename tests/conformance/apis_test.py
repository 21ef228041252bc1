"""Is it Kafka? Each script asks every advertised version of an API on the wire, and pabal's answers
are compared, value by value, with those of Apache Kafka 4.3. What must differ (ids, ports, wording)
is named; the rest is equal or is listed here as a deviation.

Kafka's answers are kept in ``kafka_answers/``, so that this needs no Java; where there is one,
Kafka is asked again. With ``PABAL_REWRITE=1`` in the environment what it says is written down.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from conformance.wire import Closed, Plain, Wire, record_batch

Script = Callable[[Wire], Iterator[tuple[str, Plain]]]

SCRIPTS: list[Script] = []
NOW = 1_700_000_000_000
ANSWERS = Path(__file__).parent / "kafka_answers"

# Differ by nature: whose id, which port, what time, which words.
WORDING = {"error_message", "batch_index_error_message", "documentation"}
BY_NATURE = {
    "throttle_time",
    "cluster_id",
    "port",
    "leader_epoch",
    "log_dir",
    "replica_directory_id",
    "last_fetch_timestamp",
    "last_caught_up_timestamp",
    "total_bytes",
    "usable_bytes",
    "session_id",
    "producer_id",
    "log_append_time_ms",
}


def script(function: Script) -> Script:
    SCRIPTS.append(function)
    return function


def normal(value: Plain, topic_ids: dict[str, str]) -> Plain:
    """``value`` without what differs by nature; lists of structs in the order of their keys."""
    if isinstance(value, dict):
        result = {}
        for key, item in value.items():
            if key in BY_NATURE:
                continue
            if key in WORDING:
                result[key] = "words" if item else None
            else:
                result[key] = normal(item, topic_ids)
        return result
    if isinstance(value, list):
        items = [normal(item, topic_ids) for item in value]
        if items and isinstance(items[0], dict):
            items.sort(key=lambda item: (str(sort_key(item)), str(item)))
        return items
    if isinstance(value, str) and value in topic_ids:
        return f"<id of {topic_ids[value]}>"
    return value


def differences(theirs: Plain, ours: Plain, path: str) -> Iterator[str]:
    """Where two answers differ. That we explain an error where Kafka says nothing is none."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            if key in WORDING and theirs.get(key) is None:
                continue
            yield from differences(theirs.get(key), ours.get(key), f"{path}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (their, our) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(their, our, f"{path}[{index}]")
    elif theirs != ours:
        yield f"{path}\n  kafka {theirs}\n  pabal {ours}"


def sort_key(item: dict[str, Plain]) -> list[Plain]:
    names = ("name", "topic", "resource_name", "partition_index", "index", "node_id", "broker_id")
    return [item.get(name) for name in names]


def run(function: Script, port: int) -> dict[str, Plain]:
    with Wire(port) as wire:
        remove_topics(wire)
        answers = {}
        topic_ids: dict[str, str] = {}
        for label, answer in function(wire):
            if label == "topic ids":
                topic_ids.update(answer)
                continue
            assert label not in answers
            answers[label] = normal(answer, topic_ids)
        return answers


def remove_topics(wire: Wire) -> None:
    """Whatever an earlier script left."""
    while names := [
        topic["name"]
        for topic in wire.ask("metadata", 9, topics=None)["topics"]
        if not topic["is_internal"]
    ]:
        wire.ask("delete_topics", 5, topic_names=names, timeout=10_000)


def create(wire: Wire, name: str, partitions: int = 1, **configs: str) -> dict[str, str]:
    """Create a topic; its id, for `normal`."""
    answer = wire.ask(
        "create_topics",
        7,
        topics=[
            {
                "name": name,
                "num_partitions": partitions,
                "replication_factor": 1,
                "configs": [{"name": key, "value": value} for key, value in configs.items()],
            }
        ],
        timeout=10_000,
    )
    assert answer["topics"][0]["error_code"] == "none", answer
    identity = answer["topics"][0]["topic_id"]
    wanted = [
        {"partition_index": index, "current_leader_epoch": -1, "timestamp": -1}
        for index in range(partitions)
    ]
    while True:  # Until every leader leads: Kafka answers before.
        offsets = wire.ask(
            "list_offsets", 8, replica_id=-1, topics=[{"name": name, "partitions": wanted}]
        )
        if all(each["error_code"] == "none" for each in offsets["topics"][0]["partitions"]):
            break
    return {identity: name}


# ---- metadata


@script
def metadata(wire: Wire) -> Iterator[tuple[str, Plain]]:
    ids = create(wire, "meta-a", 3) | create(wire, "meta-b")
    yield "topic ids", ids
    first = next(iter(ids))
    for version in range(14):
        yield (
            f"v{version} named",
            wire.ask(
                "metadata",
                version,
                topics=[{"name": name} for name in ("meta-a", "meta-b", "meta-a")],
                allow_auto_topic_creation=False,
                include_topic_authorized_operations=True,
                include_cluster_authorized_operations=True,
            ),
        )
        if version >= 4:
            yield (
                f"v{version} missing and invalid",
                wire.ask(
                    "metadata",
                    version,
                    topics=[{"name": name} for name in ("no-such", "in valid", "..", "meta-a")],
                    allow_auto_topic_creation=False,
                ),
            )
        if version >= 1:
            yield f"v{version} none", wire.ask("metadata", version, topics=[])
        if version >= 10:
            yield (
                f"v{version} by id",
                wire.ask(
                    "metadata",
                    version,
                    topics=[
                        {"topic_id": first, "name": None if version >= 12 else "meta-a"},
                        {"topic_id": str(uuid.UUID(int=77)), "name": None if version > 11 else "x"},
                    ],
                    allow_auto_topic_creation=False,
                ),
            )


@script
def describe_topic_partitions(wire: Wire) -> Iterator[tuple[str, Plain]]:
    yield "topic ids", create(wire, "pages-a", 4) | create(wire, "pages-b", 3)
    topics = [{"name": "pages-a"}, {"name": "pages-b"}, {"name": "absent"}, {"name": "in valid"}]
    for limit in (0, 1, 3, 4, 5, 2000):
        yield (
            f"limit {limit}",
            wire.ask(
                "describe_topic_partitions", 0, topics=topics, response_partition_limit=limit
            ),
        )
    for cursor in (("pages-a", 2), ("pages-b", 0), ("pages-b", 3), ("pages-c", 0), ("pages-a", -1)):
        yield (
            f"cursor {cursor}",
            wire.ask(
                "describe_topic_partitions",
                0,
                topics=topics,
                response_partition_limit=3,
                cursor={"topic_name": cursor[0], "partition_index": cursor[1]},
            ),
        )


@script
def describe_cluster(wire: Wire) -> Iterator[tuple[str, Plain]]:
    for version in range(3):
        for operations in (False, True):
            yield (
                f"v{version} {operations}",
                wire.ask(
                    "describe_cluster",
                    version,
                    include_cluster_authorized_operations=operations,
                    endpoint_type=1,
                    include_fenced_brokers=True,
                ),
            )
    for endpoint_type in (2, 3):
        for version in (1, 2):
            yield (
                f"v{version} type {endpoint_type}",
                wire.ask("describe_cluster", version, endpoint_type=endpoint_type),
            )


# ---- topics


@script
def create_topics(wire: Wire) -> Iterator[tuple[str, Plain]]:
    def topic(name: str, **fields: Plain) -> Plain:
        return {"name": name, "num_partitions": 1, "replication_factor": 1} | fields

    def config(name: str, value: str | None) -> Plain:
        return [{"name": name, "value": value}]

    for version in range(2, 8):
        prefix = f"create-v{version}"
        for label, topics in {
            "plain": [topic(f"{prefix}-plain", num_partitions=3)],
            "again": [topic(f"{prefix}-plain")],
            "names": [topic(name) for name in ("", ".", "..", "a b", "x" * 249, "y" * 250)],
            "counts": [
                topic(f"{prefix}-zero", num_partitions=0),
                topic(f"{prefix}-negative", num_partitions=-2),
                topic(f"{prefix}-replicas", replication_factor=2),
                topic(f"{prefix}-no-replicas", replication_factor=0),
            ],
            "settings": [
                topic(f"{prefix}-set", configs=config("retention.ms", "1000")),
                topic(f"{prefix}-unknown", configs=config("retention.millis", "1000")),
                topic(f"{prefix}-wrong", configs=config("retention.ms", "soon")),
                topic(f"{prefix}-bound", configs=config("segment.bytes", "1")),
                topic(f"{prefix}-null", configs=config("retention.ms", None)),
            ],
            "twice": [topic(f"{prefix}-twice"), topic(f"{prefix}-twice"), topic(f"{prefix}-once")],
            "by hand": [
                topic(
                    f"{prefix}-hand",
                    num_partitions=-1,
                    replication_factor=-1,
                    assignments=[
                        {"partition_index": 0, "broker_ids": [1]},
                        {"partition_index": 1, "broker_ids": [1]},
                    ],
                ),
                topic(
                    f"{prefix}-gap",
                    num_partitions=-1,
                    replication_factor=-1,
                    assignments=[{"partition_index": 1, "broker_ids": [1]}],
                ),
                topic(
                    f"{prefix}-stranger",
                    num_partitions=-1,
                    replication_factor=-1,
                    assignments=[{"partition_index": 0, "broker_ids": [7]}],
                ),
            ],
            "internal": [topic("__cluster_metadata")],
        }.items():
            for validate_only in (True, False):
                answer = wire.ask(
                    "create_topics",
                    version,
                    topics=topics,
                    timeout=10_000,
                    validate_only=validate_only,
                )
                for each in answer["topics"]:
                    each.pop("topic_id", None)
                    # Only the settings that were asked for: each side has defaults of its own.
                    each["configs"] = [
                        one for one in each.get("configs") or () if one["name"] == "retention.ms"
                    ]
                yield f"v{version} {label} {validate_only}", answer
        if version >= 4:
            answer = wire.ask(
                "create_topics",
                version,
                topics=[topic(f"{prefix}-defaults", num_partitions=-1, replication_factor=-1)],
                timeout=10_000,
            )
            for each in answer["topics"]:
                each.pop("topic_id", None)
                each.pop("configs", None)
            yield f"v{version} defaults", answer
    yield (
        "collision",
        [
            wire.ask("create_topics", 6, topics=[topic(name)], timeout=10_000)["topics"][0][
                "error_code"
            ]
            for name in ("coll.ide", "coll_ide")
        ],
    )


@script
def delete_topics(wire: Wire) -> Iterator[tuple[str, Plain]]:
    for version in range(1, 6):
        create(wire, f"delete-v{version}")
        names = [f"delete-v{version}", "delete-absent"]
        yield f"v{version}", wire.ask("delete_topics", version, topic_names=names, timeout=10_000)
        yield (
            f"v{version} again",
            wire.ask("delete_topics", version, topic_names=names[:1], timeout=10_000),
        )
        yield (
            f"v{version} twice",
            wire.ask("delete_topics", version, topic_names=["no", "no"], timeout=10_000),
        )
    ids = create(wire, "delete-by-id") | create(wire, "delete-by-name")
    yield "topic ids", ids
    first = next(iter(ids))
    topics = [
        {"name": None, "topic_id": first},
        {"name": "delete-by-name", "topic_id": None},
        {"name": None, "topic_id": str(uuid.UUID(int=88))},
        {"name": "delete-absent", "topic_id": None},
    ]
    yield "v6", wire.ask("delete_topics", 6, topics=topics, timeout=10_000)
    both = [{"name": "delete-both", "topic_id": first}, {"name": None, "topic_id": None}]
    for index, each in enumerate(both):
        yield f"v6 odd {index}", wire.ask("delete_topics", 6, topics=[each], timeout=10_000)


@script
def create_partitions(wire: Wire) -> Iterator[tuple[str, Plain]]:
    for version in range(4):
        name = f"grow-v{version}"
        create(wire, name, 2)
        for label, topics in {
            "fewer": [{"name": name, "count": 1}],
            "same": [{"name": name, "count": 2}],
            "zero": [{"name": name, "count": 0}],
            "absent": [{"name": "grow-absent", "count": 3}],
            "twice": [{"name": name, "count": 3}, {"name": name, "count": 4}],
            "stranger": [{"name": name, "count": 3, "assignments": [{"broker_ids": [9]}]}],
            "uneven": [{"name": name, "count": 4, "assignments": [{"broker_ids": [1]}]}],
            "more": [{"name": name, "count": 3}],
            "by hand": [{"name": name, "count": 4, "assignments": [{"broker_ids": [1]}]}],
        }.items():
            for validate_only in (True, False):
                yield (
                    f"v{version} {label} {validate_only}",
                    wire.ask(
                        "create_partitions",
                        version,
                        topics=topics,
                        timeout=10_000,
                        validate_only=validate_only,
                    ),
                )


# ---- settings

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32


@script
def describe_configs(wire: Wire) -> Iterator[tuple[str, Plain]]:
    create(wire, "config-a", 1, **{"retention.ms": "12345"})
    keys = ["retention.ms", "segment.bytes", "max.message.bytes", "compression.type", "no.such"]
    resources = [
        {"resource_type": TOPIC, "resource_name": "config-a", "configuration_keys": keys},
        {"resource_type": TOPIC, "resource_name": "config-absent", "configuration_keys": None},
        {"resource_type": TOPIC, "resource_name": "in valid", "configuration_keys": None},
        {"resource_type": TOPIC, "resource_name": "config-a", "configuration_keys": ["no.such"]},
        {
            "resource_type": BROKER,
            "resource_name": "1",
            "configuration_keys": ["num.partitions", "log.retention.ms", "log.segment.bytes"],
        },
        {"resource_type": BROKER, "resource_name": "", "configuration_keys": None},
        {"resource_type": BROKER, "resource_name": "2", "configuration_keys": None},
        {"resource_type": BROKER, "resource_name": "x", "configuration_keys": None},
        {"resource_type": LOGGER, "resource_name": "2", "configuration_keys": None},
    ]
    for version in range(1, 5):
        for index, resource in enumerate(resources):
            for synonyms in (False, True):
                answer = wire.ask(
                    "describe_configs",
                    version,
                    resources=[resource],
                    include_synonyms=synonyms,
                    include_documentation=synonyms,
                )
                for each in answer["results"]:
                    # Kafka 4.3 formats it into the cluster's settings, for KIP-966.
                    each["configs"] = [
                        one for one in each["configs"] if one["name"] != "min.insync.replicas"
                    ]
                    for one in each["configs"]:
                        one["synonyms"] = str(one["synonyms"])  # In their order.
                yield f"v{version} {index} {synonyms}", answer


def settings_seen(wire: Wire, topic: str) -> Plain:
    """What is in force, once it stands still: Kafka applies broker settings after it answered."""
    keys = ["retention.ms", "segment.ms", "log.retention.ms"]
    resources = [
        {"resource_type": TOPIC, "resource_name": topic, "configuration_keys": keys},
        {"resource_type": BROKER, "resource_name": "1", "configuration_keys": keys},
    ]
    before: Plain = None
    since = time.monotonic()
    while time.monotonic() - since < 0.25:
        seen = wire.ask("describe_configs", 4, resources=resources)
        now = [
            [one["name"], one["value"], one["config_source"]]
            for result in seen["results"]
            for one in result["configs"]
        ]
        if now != before:
            before, since = now, time.monotonic()
    return before


@script
def incremental_alter_configs(wire: Wire) -> Iterator[tuple[str, Plain]]:
    create(wire, "alter-a")

    def resource(changes: list[tuple[str, int, str | None]], **fields: Plain) -> Plain:
        return {
            "resource_type": TOPIC,
            "resource_name": "alter-a",
            "configs": [
                {"name": name, "config_operation": operation, "value": value}
                for name, operation, value in changes
            ],
        } | fields

    SET, DELETE, APPEND, SUBTRACT = range(4)
    for version in range(2):
        for label, resources in {
            "set": [resource([("retention.ms", SET, "777")])],
            "wrong": [resource([("retention.ms", SET, "x")])],
            "unknown": [resource([("retention.m", SET, "1")])],
            "null": [resource([("retention.ms", SET, None)])],
            "twice": [resource([("retention.ms", SET, "1"), ("retention.ms", SET, "2")])],
            "append number": [resource([("retention.ms", APPEND, "1")])],
            "delete": [resource([("retention.ms", DELETE, None)])],
            "delete unset": [resource([("segment.ms", DELETE, None)])],
            "same resource": [
                resource([("retention.ms", SET, "1")]),
                resource([("segment.ms", SET, "2000000")]),
            ],
            "absent": [resource([("retention.ms", SET, "1")], resource_name="alter-absent")],
            "type": [resource([("retention.ms", SET, "1")], resource_type=3)],
            "read only": [
                resource([("num.partitions", SET, "2")], resource_type=BROKER, resource_name="1")
            ],
            "other broker": [
                resource([("log.retention.ms", SET, "2")], resource_type=BROKER, resource_name="2")
            ],
            "broker word": [
                resource([("log.retention.ms", SET, "2")], resource_type=BROKER, resource_name="x")
            ],
            "broker": [
                resource(
                    [("log.retention.ms", SET, "99999999")], resource_type=BROKER, resource_name="1"
                )
            ],
            "broker back": [
                resource(
                    [("log.retention.ms", DELETE, "")], resource_type=BROKER, resource_name="1"
                )
            ],
            "all brokers": [
                resource(
                    [("log.retention.ms", SET, "88888888")], resource_type=BROKER, resource_name=""
                )
            ],
            "all brokers back": [
                resource([("log.retention.ms", DELETE, "")], resource_type=BROKER, resource_name="")
            ],
        }.items():
            for validate_only in (True, False):
                yield (
                    f"v{version} {label} {validate_only}",
                    wire.ask(
                        "incremental_alter_configs",
                        version,
                        resources=resources,
                        validate_only=validate_only,
                    ),
                )
            yield f"v{version} {label} seen", settings_seen(wire, "alter-a")


@script
def alter_configs(wire: Wire) -> Iterator[tuple[str, Plain]]:
    create(wire, "legacy-a")
    for version in range(3):
        for label, configs in {
            "set": [("retention.ms", "5000"), ("segment.ms", "6000")],
            "replace": [("segment.ms", "7000")],
            "wrong": [("segment.ms", "never")],
            "unknown": [("segment.m", "1")],
            "null": [("segment.ms", None)],
            "twice": [("segment.ms", "1"), ("segment.ms", "2")],
            "nothing": [],
        }.items():
            for validate_only in (True, False):
                yield (
                    f"v{version} {label} {validate_only}",
                    wire.ask(
                        "alter_configs",
                        version,
                        resources=[
                            {
                                "resource_type": TOPIC,
                                "resource_name": "legacy-a",
                                "configs": [{"name": n, "value": v} for n, v in configs],
                            }
                        ],
                        validate_only=validate_only,
                    ),
                )
            yield f"v{version} {label} seen", settings_seen(wire, "legacy-a")


@script
def list_config_resources(wire: Wire) -> Iterator[tuple[str, Plain]]:
    create(wire, "resource-a")
    yield "v0", wire.ask("list_config_resources", 0)
    for types in ([], [TOPIC], [BROKER], [LOGGER], [METRICS], [GROUP], [3], [BROKER, METRICS], [0]):
        answer = wire.ask("list_config_resources", 1, resource_types=types)
        answer["config_resources"] = [
            each
            for each in answer["config_resources"]
            if each["resource_type"] != TOPIC or each["resource_name"] == "resource-a"
        ]
        yield f"v1 {types}", answer


# ---- records


@script
def records(wire: Wire) -> Iterator[tuple[str, Plain]]:
    ids = create(wire, "records-a", 2)
    yield "topic ids", ids
    identity = next(iter(ids))
    absent = str(uuid.UUID(int=99))

    def topics(version: int, first_id: int, one: Callable[[], Plain], key: str) -> Plain:
        if version >= first_id:
            return [{"topic_id": identity, key: one()}, {"topic_id": absent, key: one()}]
        named = "topic" if key == "partitions" else "name"
        return [{named: "records-a", key: one()}, {named: "records-absent", key: one()}]

    for version in range(3, 14):
        for acks in (-1, 1):
            yield (
                f"produce v{version} acks {acks}",
                wire.ask(
                    "produce",
                    version,
                    acks=acks,
                    timeout=10_000,
                    topic_data=topics(
                        version,
                        13,
                        lambda: [
                            {"index": 0, "records": record_batch([b"a", b"b"], NOW)},
                            {"index": 1, "records": record_batch([b"a"], NOW, damage=True)},
                            {"index": 2, "records": record_batch([b"a"], NOW)},
                        ],
                        "partition_data",
                    ),
                ),
            )
        for label, batch in {
            "empty": b"",
            "cut": record_batch([b"abc"], NOW)[:-2],
            "two batches": record_batch([b"a"], NOW) * 2,
            "future": record_batch([b"a"], 4_000_000_000_000),
            "sequence": record_batch([b"a"], NOW, producer_id=5, producer_epoch=0, sequence=4),
            "control": record_batch([b"a"], NOW, attributes=32),
        }.items():
            fields: dict[str, Any] = {"acks": -1, "timeout": 10_000}
            where = {"topic_id": identity} if version >= 13 else {"name": "records-a"}
            fields["topic_data"] = [where | {"partition_data": [{"index": 1, "records": batch}]}]
            answer = asked(wire, "produce", version, fields)
            if label == "control":
                # Kafka looks for it late enough to know where the log starts, and says so.
                answer["responses"][0]["partition_responses"][0].pop("log_start_offset", None)
            yield f"produce v{version} {label}", answer
        yield (
            f"produce v{version} acks 2",
            asked(
                wire,
                "produce",
                version,
                {
                    "acks": 2,
                    "timeout": 10_000,
                    "topic_data": topics(
                        version,
                        13,
                        lambda: [{"index": 0, "records": record_batch([b"a"], NOW)}],
                        "partition_data",
                    )[:1],
                },
            ),
        )

    for version in range(1, 12):
        for timestamp in (-1, -2, -3, -4, -5, -6, NOW, NOW + 1, NOW + 10**9, -99):
            yield (
                f"list offsets v{version} at {timestamp}",
                wire.ask(
                    "list_offsets",
                    version,
                    replica_id=-1,
                    topics=[
                        {
                            "name": name,
                            "partitions": [
                                {
                                    "partition_index": index,
                                    "current_leader_epoch": -1,
                                    "timestamp": timestamp,
                                }
                                for index in (0, 7)
                            ],
                        }
                        for name in ("records-a", "records-absent")
                    ],
                ),
            )

    for version in range(4, 19):
        for label, offset, epoch in (
            ("start", 0, -1),
            ("middle", 3, -1),
            ("beyond", 10**6, -1),
            ("negative", -5, -1),
            ("later epoch", 0, 9),
        ):
            yield (
                f"fetch v{version} {label}",
                fetched(
                    wire.ask(
                        "fetch",
                        version,
                        replica_id=-1,
                        max_wait=10,
                        min_bytes=1,
                        max_bytes=10_000,
                        topics=topics(
                            version,
                            13,
                            lambda offset=offset, epoch=epoch: [
                                {
                                    "partition": index,
                                    "fetch_offset": offset,
                                    "current_leader_epoch": epoch,
                                    "last_fetched_epoch": -1,
                                    "partition_max_bytes": 200,
                                }
                                for index in (0, 5)
                            ],
                            "partitions",
                        ),
                    )
                ),
            )

    for version in range(2, 5):
        for epoch in (-1, 0, 9):
            answer = wire.ask(
                "offset_for_leader_epoch",
                version,
                replica_id=-1,
                topics=[
                    {
                        "topic": name,
                        "partitions": [
                            {"partition": 0, "current_leader_epoch": -1, "leader_epoch": epoch},
                            {"partition": 5, "current_leader_epoch": -1, "leader_epoch": epoch},
                            {"partition": 0, "current_leader_epoch": 9, "leader_epoch": epoch},
                        ][: 2 if name != "records-a" else 3],
                    }
                    for name in ("records-a", "records-absent")
                ],
            )
            yield f"epochs v{version} {epoch}", answer

    for version in range(3):
        for offset in (1, 10**6, -2, -1):
            yield (
                f"delete records v{version} {offset}",
                wire.ask(
                    "delete_records",
                    version,
                    timeout=10_000,
                    topics=[
                        {
                            "name": name,
                            "partitions": [
                                {"partition_index": index, "offset": offset} for index in (1, 6)
                            ],
                        }
                        for name in ("records-a", "records-absent")
                    ],
                ),
            )


def asked(wire: Wire, api: str, version: int, fields: dict[str, Any]) -> Plain:
    try:
        return wire.ask(api, version, **fields)
    except Closed:
        return "closed"


def fetched(answer: Plain) -> Plain:
    for topic in answer["responses"]:
        for partition in topic["partitions"]:
            # Kafka cuts the last batch at partition_max_bytes, and every client throws the torn end
            # away; pabal sends whole batches.
            if partition["records"] is not None:
                partition["records"] = whole_batches(partition["records"]).hex()
    # Kafka answers what it could not read first, so that a topic may stand in two places.
    topics: dict[str, Plain] = {}
    for topic in answer["responses"]:
        known = topics.setdefault(str(topic.get("topic_id") or topic.get("topic")), topic)
        if known is not topic:
            known["partitions"] += topic["partitions"]
    answer["responses"] = list(topics.values())
    return answer


def whole_batches(records: bytes) -> bytes:
    end = 0
    while end + 12 <= len(records):
        size = 12 + int.from_bytes(records[end + 8 : end + 12], "big")
        if end + size > len(records):
            break
        end += size
    return records[:end]


@script
def init_producer_id(wire: Wire) -> Iterator[tuple[str, Plain]]:
    for version in range(6):
        for label, fields in {
            "new": {"producer_id": -1, "producer_epoch": -1},
            "again": {"producer_id": 7, "producer_epoch": 3},
            "half": {"producer_id": 7, "producer_epoch": -1},
            "other half": {"producer_id": -1, "producer_epoch": 3},
        }.items():
            while True:  # Until Kafka has loaded its coordinator.
                answer = wire.ask("init_producer_id", version, transactional_id=None, **fields)
                if answer["error_code"] != "coordinator_load_in_progress":
                    break
            answer["has id"] = answer["producer_id"] >= 0
            yield f"v{version} {label}", answer


@script
def producer_sequences(wire: Wire) -> Iterator[tuple[str, Plain]]:
    create(wire, "sequences-a", 2)
    fresh = {"transactional_id": None, "producer_id": -1, "producer_epoch": -1}
    producer = settled(wire, "init_producer_id", 4, **fresh)["producer_id"]
    other = settled(wire, "init_producer_id", 4, **fresh)["producer_id"]

    def sent(sequence: int, count: int, epoch: int = 0, of: int = producer) -> Plain:
        batch = record_batch(
            [b"x"] * count, NOW, producer_id=of, producer_epoch=epoch, sequence=sequence
        )
        partition = {"index": 0, "records": batch}
        return wire.ask(
            "produce",
            9,
            acks=-1,
            timeout=10_000,
            topic_data=[{"name": "sequences-a", "partition_data": [partition]}],
        )

    yield "first", sent(0, 3)
    yield "again", sent(0, 3)
    yield "next", sent(3, 2)
    yield "gap", sent(9, 1)
    yield "after the gap", sent(5, 1)
    yield "first once more", sent(0, 3)
    yield "other end", sent(3, 5)
    for sequence in range(6, 11):
        yield f"at {sequence}", sent(sequence, 1)
    yield "too old", sent(0, 3)
    yield "the oldest that is known", sent(6, 1)
    yield "another producer in the middle", sent(4, 1, of=other)
    yield "and from its start", sent(0, 1, of=other)
    yield "later epoch in the middle", sent(11, 1, epoch=1)
    yield "later epoch", sent(0, 1, epoch=1)
    yield "earlier epoch", sent(11, 1)
    yield "later epoch goes on", sent(1, 1, epoch=1)
    yield "wrapping", sent(2**31 - 1, 2, epoch=2)
    yield "skipped epochs", sent(0, 1, epoch=9)


@script
def fetch_sessions(wire: Wire) -> Iterator[tuple[str, Plain]]:
    ids = create(wire, "session-a", 3) | create(wire, "session-b")
    yield "topic ids", ids
    first, second = ids

    for version in (7, 11, 12, 13, 17):
        by_id = version >= 13

        def named(name: str, topic_id: str, by_id: bool = by_id) -> Plain:
            return {"topic_id": topic_id} if by_id else {"topic": name}

        def asked_for(
            session: int,
            epoch: int,
            wanted: list[tuple[str, str, int, int]],
            forgotten: Sequence[tuple[str, str, int]] = (),
            version: int = version,
        ) -> Plain:
            return fetched(
                wire.ask(
                    "fetch",
                    version,
                    replica_id=-1,
                    replica_state={"replica_id": -1, "replica_epoch": -1},
                    max_wait=30,
                    min_bytes=1,
                    max_bytes=100_000,
                    session_id=session,
                    session_epoch=epoch,
                    topics=[
                        named(name, topic_id)
                        | {
                            "partitions": [
                                {
                                    "partition": index,
                                    "fetch_offset": offset,
                                    "current_leader_epoch": -1,
                                    "last_fetched_epoch": -1,
                                    "log_start_offset": -1,
                                    "partition_max_bytes": 50_000,
                                }
                            ]
                        }
                        for name, topic_id, index, offset in wanted
                    ],
                    forgotten_topics_data=[
                        named(name, topic_id) | {"partitions": [index]}
                        for name, topic_id, index in forgotten
                    ],
                )
            )

        def filled(index: int) -> None:
            batch = record_batch([b"value"], NOW)
            answer = wire.ask(
                "produce",
                9,
                acks=-1,
                timeout=10_000,
                topic_data=[
                    {
                        "name": "session-a",
                        "partition_data": [{"index": index, "records": batch}],
                    }
                ],
            )
            assert answer["responses"][0]["partition_responses"][0]["error_code"] == "none"

        end = {
            index: wire.ask(
                "list_offsets",
                5,
                replica_id=-1,
                topics=[
                    {
                        "name": "session-a",
                        "partitions": [
                            {"partition_index": index, "current_leader_epoch": -1, "timestamp": -1}
                        ],
                    }
                ],
            )["topics"][0]["partitions"][0]["offset"]
            for index in range(3)
        }
        all_of_them = [("session-a", first, index, end[index]) for index in range(3)]
        begun = asked_for(0, 0, [*all_of_them, ("session-b", second, 0, 0)])
        session = begun["session_id"]
        begun["has session"] = session > 0
        yield f"v{version} begun", begun
        yield f"v{version} nothing new", asked_for(session, 1, [])
        filled(1)
        yield f"v{version} one is new", asked_for(session, 2, [])
        yield (
            f"v{version} moved on",
            asked_for(session, 3, [("session-a", first, 1, end[1] + 1)]),
        )
        filled(0)
        filled(2)
        yield (
            f"v{version} forgotten",
            asked_for(session, 4, [], [("session-a", first, 0)]),
        )
        yield (
            f"v{version} one that is not there",
            asked_for(session, 5, [("session-a", first, 9, 0)]),
        )
        yield f"v{version} and is told again", asked_for(session, 6, [])
        yield f"v{version} wrong epoch", asked_for(session, 99, [])
        yield f"v{version} wrong session", asked_for(session ^ 77, 7, [])
        yield f"v{version} goes on", asked_for(session, 7, [], [("session-a", first, 9)])
        yield f"v{version} closed", asked_for(session, -1, [("session-b", second, 0, 0)])
        yield f"v{version} is gone", asked_for(session, 8, [])


@script
def describe_log_dirs(wire: Wire) -> Iterator[tuple[str, Plain]]:
    create(wire, "dirs-a", 2)
    for version in range(1, 6):
        for label, topics in {
            "all": None,
            "named": [{"topic": "dirs-a", "partitions": [0, 1]}],
            "part": [{"topic": "dirs-a", "partitions": [1, 5]}],
            "absent": [{"topic": "dirs-absent", "partitions": [0]}],
            "none": [],
        }.items():
            answer = wire.ask("describe_log_dirs", version, topics=topics)
            for directory in answer["results"]:
                directory["topics"] = [
                    topic for topic in directory["topics"] if topic["name"] == "dirs-a"
                ]
            yield f"v{version} {label}", answer


@script
def describe_quorum(wire: Wire) -> Iterator[tuple[str, Plain]]:
    for version in range(3):
        for label, topics in {
            "metadata": [
                {"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}
            ],
            "other partition": [
                {"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 1}]}
            ],
            "other topic": [{"topic_name": "quorum-x", "partitions": [{"partition_index": 0}]}],
            "none": [],
        }.items():
            answer = wire.ask("describe_quorum", version, topics=topics)
            for topic in answer["topics"]:
                for partition in topic["partitions"]:
                    partition.pop("high_watermark")
                    for replica in partition["current_voters"] + partition["observers"]:
                        replica.pop("log_end_offset")
            yield f"v{version} {label}", answer


# ---- groups


@script
def find_coordinator(wire: Wire) -> Iterator[tuple[str, Plain]]:
    settled(wire, "find_coordinator", 2, key="coordinated", key_type=0)
    for version in range(7):
        for key, kind in (("coordinated", 0), ("", 0), ("coordinated", 9)):
            answer = wire.ask(
                "find_coordinator", version, key=key, key_type=kind, coordinator_keys=[key, "other"]
            )
            if answer.get("error_code") == "none":
                answer.pop("error_message", None)  # Kafka's says "NONE" before version 4.
            yield f"v{version} {key} {kind}", answer


def settled(wire: Wire, api: str, version: int, **fields: Plain) -> Plain:
    """The answer, once the coordinator is there and has loaded: Kafka says so until then."""
    while True:
        answer = wire.ask(api, version, **fields)
        if re.search("coordinator_(load_in_progress|not_available)|not_coordinator", str(answer)):
            time.sleep(0.02)
            continue
        return answer


@script
def committed_offsets(wire: Wire) -> Iterator[tuple[str, Plain]]:
    ids = create(wire, "offsets-a", 2)
    yield "topic ids", ids
    identity = next(iter(ids))
    absent = str(uuid.UUID(int=66))

    def topics(by_id: bool, **fields: Plain) -> Plain:
        if by_id:
            return [{"topic_id": each} | fields for each in (identity, absent)]
        return [{"name": name} | fields for name in ("offsets-a", "offsets-absent")]

    for version in range(2, 11):
        for label, member in {
            "alone": {"generation_id_or_member_epoch": -1, "member_id": ""},
            "generation": {"generation_id_or_member_epoch": 5, "member_id": ""},
            "member": {"generation_id_or_member_epoch": -1, "member_id": "nobody"},
        }.items():
            fields = {
                "group_id": f"group-{version}",
                "retention_time": -1,
                "topics": topics(
                    version >= 10,
                    partitions=[
                        {
                            "partition_index": index,
                            "committed_offset": 40 + version,
                            "committed_leader_epoch": 0,
                            "committed_metadata": "words",
                        }
                        for index in (0, 7)
                    ],
                ),
            }
            yield f"commit v{version} {label}", settled(
                wire, "offset_commit", version, **fields, **member
            )
        yield (
            f"commit v{version} long",
            settled(
                wire,
                "offset_commit",
                version,
                group_id=f"group-{version}",
                generation_id_or_member_epoch=-1,
                member_id="",
                retention_time=-1,
                topics=topics(
                    version >= 10,
                    partitions=[
                        {
                            "partition_index": 1,
                            "committed_offset": 1,
                            "committed_leader_epoch": -1,
                            "committed_metadata": "x" * 5000,
                        }
                    ],
                )[:1],
            ),
        )
    for version in range(1, 11):
        for group in ("group-5", "group-absent"):
            for label, indexes in {"named": [0, 1, 9], "all": None}.items():
                if indexes is None and version < 2:
                    continue
                named = topics(version >= 10, partition_indexes=indexes) if indexes else None
                yield (
                    f"fetch v{version} {group} {label}",
                    settled(
                        wire,
                        "offset_fetch",
                        version,
                        group_id=group,
                        topics=named,
                        groups=[{"group_id": group, "member_id": None, "topics": named}],
                        require_stable=version % 2 == 0,
                    ),
                )
    delete = {
        "topics": [
            {
                "name": name,
                "partitions": [{"partition_index": index} for index in (0, 3)],
            }
            for name in ("offsets-a", "offsets-absent")
        ]
    }
    for group in ("group-2", "group-absent", ""):
        yield f"delete {group}", settled(wire, "offset_delete", 0, group_id=group, **delete)
    yield "deleted", settled(wire, "offset_fetch", 5, group_id="group-2", topics=None)


@script
def groups(wire: Wire) -> Iterator[tuple[str, Plain]]:
    create(wire, "groups-a")
    settled(wire, "find_coordinator", 2, key="any", key_type=0)
    nobody = {"group_id": "group-nobody", "generation_id": 1, "member_id": "nobody"}
    for group in ("group-nobody", ""):
        for version in range(5):
            yield (
                f"heartbeat v{version} {group}",
                settled(wire, "heartbeat", version, **nobody | {"group_id": group}),
            )
        for version in range(6):
            members = [{"member_id": "nobody", "group_instance_id": None}]
            yield (
                f"leave v{version} {group}",
                settled(
                    wire,
                    "leave_group",
                    version,
                    group_id=group,
                    member_id="nobody",
                    members=members,
                ),
            )
            yield (
                f"sync v{version} {group}",
                settled(
                    wire,
                    "sync_group",
                    version,
                    **nobody | {"group_id": group},
                    protocol_type="consumer",
                    protocol_name="range",
                ),
            )
        for version in range(7):
            yield (
                f"describe v{version} {group}",
                settled(
                    wire,
                    "describe_groups",
                    version,
                    groups=[group],
                    include_authorized_operations=version % 2 == 1,
                ),
            )
        for version in range(3):
            yield (
                f"delete v{version} {group}",
                settled(wire, "delete_groups", version, groups_names=[group]),
            )
    for version in range(10):
        group = f"group-join-{version}-{uuid.uuid4()}"  # Nobody was in it before.
        yield "topic ids", {group: f"group-join-{version}"}
        join = {
            "group_id": group,
            "session_timeout": 6_000,
            "rebalance_timeout": 1000,
            "member_id": "",
            "protocol_type": "consumer",
            "protocols": [{"name": "range", "metadata": b"\0\0"}],
        }
        for label, fields in {
            "no group": {"group_id": ""},
            "no protocol": {"protocols": []},
            "short session": {"session_timeout": 10},
            "long session": {"session_timeout": 10**8},
            "stranger": {"member_id": "stranger"},
        }.items():
            yield f"join v{version} {label}", settled(wire, "join_group", version, **join | fields)
        joined = settled(wire, "join_group", version, **join)
        if joined["error_code"] == "member_id_required":
            yield f"join v{version} without id", renamed(joined, joined["member_id"])
            join["member_id"] = joined["member_id"]
            joined = settled(wire, "join_group", version, **join)
        member = joined["member_id"]
        yield f"join v{version}", renamed(joined, member)
        known = {
            "group_id": join["group_id"],
            "generation_id": joined["generation_id"],
            "member_id": member,
        }
        if version < 6:
            synced = settled(
                wire,
                "sync_group",
                version,
                **known,
                protocol_type="consumer",
                protocol_name="range",
                assignments=[{"member_id": member, "assignment": b"mine"}],
            )
            synced["assignment"] = synced["assignment"].hex()
            yield f"sync v{version}", synced
        if version < 5:
            yield f"heartbeat v{version}", settled(wire, "heartbeat", version, **known)
            late = known | {"generation_id": 9}
            yield f"late heartbeat v{version}", settled(wire, "heartbeat", version, **late)
        if version < 7:
            described = settled(wire, "describe_groups", version, groups=[join["group_id"]])
            for group_described in described["groups"]:
                for each in group_described["members"]:
                    each.pop("client_host")
                    each["member_metadata"] = each["member_metadata"].hex()
                    each["member_assignment"] = each["member_assignment"].hex()
            yield f"describe v{version}", renamed(described, member)
        if version < 6:
            filters: dict[str, Plain] = {"states_filter": [], "types_filter": []}
            for label, given in {
                "all": {},
                "stable": {"states_filter": ["Stable"]},
                "empty": {"states_filter": ["Empty", "Dead"]},
                "wrong": {"states_filter": ["Excited"]},
                "classic": {"types_filter": ["classic"]},
                "consumer": {"types_filter": ["consumer"]},
            }.items():
                listed = settled(wire, "list_groups", version, **filters | given)
                listed["groups"] = [
                    each for each in listed["groups"] if each["group_id"] == join["group_id"]
                ]
                yield f"list v{version} {label}", listed
        if version < 3:
            yield (
                f"delete v{version} in use",
                settled(wire, "delete_groups", version, groups_names=[join["group_id"]]),
            )
        if version < 6:
            left = settled(
                wire,
                "leave_group",
                version,
                group_id=join["group_id"],
                member_id=member,
                members=[{"member_id": member, "group_instance_id": None}],
            )
            yield f"leave v{version}", renamed(left, member)
        if version < 3:
            yield (
                f"delete v{version}",
                settled(wire, "delete_groups", version, groups_names=[join["group_id"]]),
            )


def renamed(answer: Plain, member: str) -> Plain:
    """The answer with a name for a member whose id is chance."""
    if isinstance(answer, dict):
        return {key: renamed(item, member) for key, item in answer.items()}
    if isinstance(answer, list):
        return [renamed(item, member) for item in answer]
    if isinstance(answer, bytes):
        return answer.hex()
    return "<member>" if member and answer == member else answer


@script
def api_versions(wire: Wire) -> Iterator[tuple[str, Plain]]:
    served = {0, 1, 2, 3, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 44, 55, 60, 74, 75, 10}
    served |= {8, 9, 11, 12, 13, 14, 15, 16, 42, 47}
    for version in range(5):
        answer = wire.ask(
            "api_versions",
            version,
            client_software_name="conformance",
            client_software_version="1.0",
        )
        keys = sorted(
            [key["api_key"], key["min_version"], key["max_version"]]
            for key in answer["api_keys"]
            if key["api_key"] in served
        )
        yield f"v{version}", [answer["error_code"], keys]
    for name in ("", "-x", "x-", "a b", "a.b-c"):
        answer = wire.ask(
            "api_versions", 3, client_software_name=name, client_software_version="1"
        )
        yield f"name {name}", [answer["error_code"], len(answer["api_keys"]) > 0]


def ports() -> tuple[int, int] | None:
    """Brokers that run already: PABAL_CONFORMANCE_PORTS=Kafka's,pabal's."""
    text = os.environ.get("PABAL_CONFORMANCE_PORTS")
    if not text:
        return None
    first, second = re.split(r"[, ]+", text)
    return int(first), int(second)


@pytest.fixture(scope="module")
def kafka_port(request: pytest.FixtureRequest) -> int:
    given = ports()
    return given[0] if given else int(request.getfixturevalue("kafka_broker").port)


@pytest.fixture(scope="module")
def pabal_port() -> Iterator[int]:
    given = ports()
    if given:
        yield given[1]
        return
    import pabal

    with pabal.Cluster(config={"node.id": 1}) as cluster:
        yield int(cluster.bootstrap_servers.rpartition(":")[2])


def kept(function: Script) -> dict[str, Plain]:
    """What Kafka answered when it was asked last."""
    content = json.loads((ANSWERS / f"{function.__name__}.json").read_text())
    return {label: content["answers"][index] for label, index in content["labels"].items()}


def keep(function: Script, answers: dict[str, Plain]) -> None:
    """Write answers down, each once."""
    texts = {label: json.dumps(answer) for label, answer in answers.items()}
    places = {text: index for index, text in enumerate(dict.fromkeys(texts.values()))}
    labels = ",\n".join(f"{json.dumps(label)}: {places[text]}" for label, text in texts.items())
    path = ANSWERS / f"{function.__name__}.json"
    path.write_text(
        '{"labels": {\n' + labels + '\n},\n"answers": [\n' + ",\n".join(places) + "\n]}\n"
    )


def as_json(answers: dict[str, Plain]) -> dict[str, Plain]:
    result: dict[str, Plain] = json.loads(json.dumps(answers, default=bytes.hex))
    return result


def differing(theirs: dict[str, Plain], ours: dict[str, Plain]) -> str:
    found = [
        difference
        for label in theirs | ours
        for difference in differences(theirs.get(label), ours.get(label), label)
    ]
    return f"{len(found)} values differ\n" + "\n".join(found[:60]) if found else ""


@pytest.mark.parametrize("function", SCRIPTS, ids=lambda function: function.__name__)
def test_answers_are_those_of_kafka(function: Script, pabal_port: int) -> None:
    found = differing(kept(function), as_json(run(function, pabal_port)))
    assert not found, found


@pytest.mark.reference
@pytest.mark.parametrize("function", SCRIPTS, ids=lambda function: function.__name__)
def test_kafka_still_answers_so(function: Script, kafka_port: int) -> None:
    answers = as_json(run(function, kafka_port))
    if os.environ.get("PABAL_REWRITE"):
        keep(function, answers)
    assert answers == kept(function)
