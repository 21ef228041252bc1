"""Topics: made, removed, given more partitions."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from conformance.scripts import create, script
from conformance.wire import Plain, Wire


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
