"""Every fact of cpp/schema/messages and records beside Kafka's own definitions."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import grammar
import pytest
from conformance.kafka import KafkaReference
from text import snake

pytestmark = pytest.mark.reference

ENTITIES = {
    "brokerId": "BrokerId",
    "groupId": "GroupId",
    "producerId": "ProducerId",
    "topicName": "TopicName",
    "transactionalId": "TransactionalId",
}
# Kafka Streams has messages of its own, which brokers never see.
JARS = [
    "clients",
    "metadata",
    "group-coordinator",
    "transaction-coordinator",
    "share-coordinator",
    "storage",
    "raft",
]
KINDS = {
    "request": "request",
    "response": "response",
    "header": "header",
    "data": "data",
    "metadata": "record",
    "coordinator-key": "key",
    "coordinator-value": "value",
}

Range = tuple[int, int]


def versions(text: str | None, outer: Range) -> Range | None:
    """Kafka's `0-3`, `2+`, `5` or `none`, within the outer versions; None if nothing is left."""
    if text is None or text == "none":
        return None
    match = re.fullmatch(r"(\d+)(?:(\+)|-(\d+))?", text)
    assert match, text
    low = int(match[1])
    high = int(match[3]) if match[3] else outer[1] if match[2] else low
    found = max(low, outer[0]), min(high, outer[1])
    return found if found[0] <= found[1] else None


def default(field: dict[str, Any]) -> str | None:
    """The default as our grammar writes it."""
    value = field.get("default")
    if value is None:  # JSON's null is no default either.
        return None
    if value == "null":
        return "null"
    if field["type"] == "string":
        return json.dumps(value)
    text = str(value).lower()
    return str(int(text, 16)) if text.startswith("0x") else text


def kafka_fields(fields: list[dict[str, Any]], outer: Range) -> dict[str, Any]:
    """What Kafka says of the fields that any of our versions has."""
    facts: dict[str, Any] = {}
    for field in fields:
        within = versions(field.get("versions") or field.get("taggedVersions"), outer)
        if within is None:
            continue
        kind = field["type"]
        facts[snake(field["name"])] = {
            "type": kind.removeprefix("[]"),
            "array": kind.startswith("[]"),
            "versions": within,
            "nullable": versions(field.get("nullableVersions"), within),
            "tag": field.get("tag"),
            "tag_versions": versions(field.get("taggedVersions"), within),
            "default": default(field),
            "key": field.get("mapKey", False),
            "ignorable": field.get("ignorable", False),
            "zerocopy": field.get("zeroCopy", False),
            "never_compact": field.get("flexibleVersions") == "none",
            "entity": ENTITIES.get(field.get("entityType", "")),
            "fields": kafka_fields(field["fields"], within) if "fields" in field else None,
        }
    return facts


def pair(found: grammar.Versions | None) -> Range | None:
    return None if found is None else (found.low, found.high)


def our_fields(fields: list[grammar.Field]) -> dict[str, Any]:
    return {
        field.name: {
            "type": field.type,
            "array": field.array,
            "versions": pair(field.versions),
            "nullable": pair(field.nullable),
            "tag": field.tag,
            "tag_versions": pair(field.tag_versions),
            "default": field.default,
            "key": field.key,
            "ignorable": field.ignorable,
            "zerocopy": field.zerocopy,
            "never_compact": field.never_compact,
            "entity": field.strong if field.strong in ENTITIES.values() else None,
            "fields": (
                our_fields(field.struct.fields)
                if field.struct is not None and not field.struct.common
                else None
            ),
        }
        for field in fields
    }


def differences(ours: dict[str, Any], kafkas: dict[str, Any], path: str) -> list[str]:
    wrong = []
    if list(ours) != list(kafkas):
        return [f"{path}: we have {list(ours)}, Kafka has {list(kafkas)}"]
    for name, kafka in kafkas.items():
        for fact, value in kafka.items():
            mine = ours[name][fact]
            if fact == "fields" and value is not None and mine is not None:
                wrong += differences(mine, value, f"{path}.{name}")
            elif fact == "entity" and value is None:
                continue  # We may be stricter with types than Kafka is.
            elif mine != value:
                wrong.append(f"{path}.{name} {fact}: we say {mine}, Kafka says {value}")
    return wrong


@pytest.fixture(scope="module")
def definitions(kafka: KafkaReference) -> dict[str, dict[str, Any]]:
    """Kafka's definition of each message, by name, out of the jars that carry them."""
    found = {}
    for jar in [path for part in JARS for path in kafka.libs.glob(f"kafka-{part}-[0-9]*.jar")]:
        with zipfile.ZipFile(jar) as archive:
            for name in archive.namelist():
                if re.fullmatch(r"(common/)?(message|metadata)/\w+\.json", name):
                    lines = archive.read(name).decode().splitlines()
                    made = json.loads("\n".join(re.sub(r"^\s*//.*", "", line) for line in lines))
                    found[made["name"]] = made
    return found


@pytest.fixture(scope="module")
def schema(schema_dir: Path) -> tuple[list[grammar.Api], list[grammar.Message]]:
    return grammar.read_schema(schema_dir)


@pytest.fixture(scope="module")
def messages(
    schema: tuple[list[grammar.Api], list[grammar.Message]],
) -> dict[str, grammar.Message]:
    apis, records = schema
    sides = [side for api in apis for side in (api.request, api.response) if side]
    return {message.name: message for message in [*sides, *records]}


def test_no_message_is_missing_and_none_is_ours_alone(
    definitions: dict[str, Any], messages: dict[str, grammar.Message]
) -> None:
    living = {name for name, made in definitions.items() if made["validVersions"] != "none"}
    assert set(messages) == living
    assert len(messages) > 270


def test_apis_have_kafkas_keys_listeners_and_versions(
    definitions: dict[str, Any], schema: tuple[list[grammar.Api], list[grammar.Message]]
) -> None:
    kafkas = {made["apiKey"]: made for made in definitions.values() if made["type"] == "request"}
    assert [api.key for api in schema[0]] == sorted(kafkas)
    for api in schema[0]:
        made = kafkas[api.key]
        assert f"{api.name}Request" == made["name"]
        if made["validVersions"] == "none":
            assert api.versions is None and api.to == "none"
            continue
        assert sorted(api.listeners) == sorted(made["listeners"]), api.name
        assert api.unstable == made.get("latestVersionUnstable", False), api.name


def test_every_fact_of_every_message(
    definitions: dict[str, Any], messages: dict[str, grammar.Message]
) -> None:
    wrong = []
    for name, made in definitions.items():
        if made["validVersions"] == "none":
            continue
        ours = messages[name]
        outer = versions(made["validVersions"], (0, 1 << 15))
        assert outer is not None
        flexible = made["flexibleVersions"]
        facts = [
            ("versions", pair(ours.versions), outer),
            ("kind", ours.kind, KINDS[made["type"]]),
            ("key", ours.key, made.get("apiKey")),
            ("flexible", ours.flexible, None if flexible == "none" else int(flexible[:-1])),
        ]
        wrong += [f"{name} {what}: we say {a}, Kafka says {b}" for what, a, b in facts if a != b]
        wrong += differences(our_fields(ours.fields), kafka_fields(made["fields"], outer), name)
        shared = {struct.name: struct for struct in ours.structs if struct.common}
        theirs = {struct["name"]: struct for struct in made.get("commonStructs", [])}
        if set(shared) != set(theirs):
            wrong.append(f"{name} shares {set(shared)}, Kafka shares {set(theirs)}")
            continue
        for common, struct in theirs.items():
            wrong += differences(
                our_fields(shared[common].fields),
                kafka_fields(struct["fields"], outer),
                f"{name}.{common}",
            )
    assert wrong == []


def test_no_sentence_is_kafkas(definitions: dict[str, Any], schema_dir: Path) -> None:
    """The facts are Kafka's, the words are ours: no run of eight words stands in both."""

    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"[a-z0-9]+", text.lower())
        return {tuple(words[at : at + 8]) for at in range(len(words) - 7)}

    abouts = re.findall(r'"about": "([^"]*)"', json.dumps(list(definitions.values())))
    theirs = set().union(*map(runs, abouts))
    for path in [*schema_dir.rglob("*.api"), *schema_dir.rglob("*.rec")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not runs(line.partition("#")[2]) & theirs, f"{path.name}: {line}"
