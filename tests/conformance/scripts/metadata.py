"""Which APIs there are, and what the cluster looks like."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from conformance.scripts import create, script
from conformance.wire import Plain, Wire


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
