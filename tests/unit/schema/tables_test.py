"""errors.table and configs.table beside what Kafka's own classes say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import configs
import errors
import pytest
from conformance.kafka import KafkaReference

pytestmark = pytest.mark.reference

# Kafka opens and closes listeners, and begins and ends to verify transactions, while it runs; here
# all that stays as it was at the start.
STATIC_HERE = {
    "listeners",
    "listener.security.protocol.map",
    "transaction.partition.verification.enable",
}

# Times that must not be zero here: whoever waits so long would do nothing else.
AT_LEAST_ONE_HERE = {
    "controller.quorum.election.backoff.max.ms",
    "controller.quorum.election.timeout.ms",
    "controller.quorum.fetch.timeout.ms",
    "controller.quorum.request.timeout.ms",
    "controller.quorum.retry.backoff.ms",
}
# Kafka declares these with its quotas, not with its settings.
QUOTAS = {"leader.replication.throttled.rate", "follower.replication.throttled.rate"}
# Kafka does not tell of it, and obeys it.
KEPT_BY_KAFKA_ONLY = {"unclean.leader.election.interval.ms"}


@pytest.fixture(scope="module")
def facts(kafka: KafkaReference) -> list[list[str]]:
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{kafka.libs}/*",
         Path(__file__).parent / "Facts.java"],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def table(schema_dir: Path) -> tuple[list[configs.ConfigRow], list[tuple[str, str]]]:
    return configs.read(schema_dir / "configs.table")


def kafka_settings(facts: list[list[str]]) -> dict[tuple[str, str], list[str]]:
    """Type, default, validator by scope and name, without those that Kafka keeps to itself."""
    return {
        (row[0], row[1]): row[2:5]
        for row in facts
        if row[0] in ("broker", "group", "topic")
        and (row[5] == "false" or row[1] in KEPT_BY_KAFKA_ONLY)
    }


def test_errors(facts: list[list[str]], schema_dir: Path) -> None:
    kafkas = [(int(row[1]), row[2], row[3] == "true") for row in facts if row[0] == "error"]
    ours = [
        (row.code, row.kafka_name, row.retriable)
        for row in errors.read(schema_dir / "errors.table")
    ]
    assert ours == sorted(kafkas)


def test_every_setting_of_kafka_is_obeyed_or_known(
    facts: list[list[str]], table: tuple[list[configs.ConfigRow], list[tuple[str, str]]]
) -> None:
    rows, known = table
    named = {(row.scope, row.name) for row in rows} | set(known)
    assert set(kafka_settings(facts)) - named == set()
    assert {name for name in named if name[1].startswith("pabal.")} <= {
        (row.scope, row.name) for row in rows
    }


def test_types_defaults_and_bounds(
    facts: list[list[str]], table: tuple[list[configs.ConfigRow], list[tuple[str, str]]]
) -> None:
    # Those that Kafka keeps to itself, too.
    kafkas = {(row[0], row[1]): row[2:5] for row in facts}
    for row in table[0]:
        if row.name.startswith("pabal.") or row.name in QUOTAS:
            continue
        kind, default, validator = kafkas[row.scope, row.name]
        assert row.type.upper() == kind, row.name
        assert ("required" if row.required else row.default or "") == (
            "" if default == "null" else default
        ), row.name
        if bounds := re.match(r"\[(-?\d+),\.\.\.(?:,(-?\d+))?\]", validator):
            high = int(bounds[2]) if bounds[2] else None
            low = 1 if row.name in AT_LEAST_ONE_HERE else int(bounds[1])
            assert (row.low, row.high) == (low, high), row.name
        elif words := re.fullmatch(r"\[(\w[\w, ]*)\]", validator):
            assert sorted(row.allowed) == sorted(words[1].split(", ")), row.name


def test_topic_settings_fall_back_as_kafkas(
    facts: list[list[str]], table: tuple[list[configs.ConfigRow], list[tuple[str, str]]]
) -> None:
    kafkas = {
        row[1]: [(name, int(unit)) for name, unit in zip(row[2::2], row[3::2], strict=True)]
        for row in facts
        if row[0] == "synonyms"
    }
    for row in table[0]:
        if row.scope == "topic":
            assert row.synonyms == kafkas.get(row.name, []), row.name


def test_what_can_change_while_a_broker_runs(
    facts: list[list[str]], table: tuple[list[configs.ConfigRow], list[tuple[str, str]]]
) -> None:
    dynamic = {row[1] for row in facts if row[0] == "dynamic"}
    for row in table[0]:
        if row.scope == "broker" and row.name not in STATIC_HERE:
            assert (row.update != "read-only") == (row.name in dynamic), row.name
