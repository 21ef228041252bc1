"""Answers of Kafka and of pabal, as they are compared, and as Kafka's are kept in
``kafka_answers/``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from conformance.scripts import Script
from conformance.wire import Plain

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
