"""Configurations of topics and brokers."""

from __future__ import annotations

import time
from collections.abc import Iterator

from conformance.scripts import create, script
from conformance.wire import Plain, Wire

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
