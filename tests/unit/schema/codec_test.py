"""Our bytes before two codecs that are not ours: kio, and Kafka's own classes.

Each reads a random message of every type and version that we wrote, and writes it again: if both
sides agree on every field, the bytes come back as they were.
"""

from __future__ import annotations

import io
import subprocess
from collections import Counter
from pathlib import Path

import kio.index
import kio.serial
import pytest
from conformance.kafka import KafkaReference
from kio.schema.errors import ErrorCode
from kio.schema.index import schema_name_map
from kio.static.constants import EntityType
from text import snake

HERE = Path(__file__).parent


def emitted(wire_bridge: Path, *arguments: str) -> list[list[str]]:
    """Rows of name, kind, version, hex."""
    done = subprocess.run(
        [wire_bridge, "emit", *arguments], capture_output=True, text=True, check=True
    )
    return [line.split(" ") for line in done.stdout.splitlines()]


def kio_name(name: str, kind: str) -> str:
    stem = name.removesuffix("Request") if kind == "request" else name
    stem = stem.removesuffix("Response") if kind == "response" else stem
    return snake(stem).replace("kraft", "k_raft")


def test_kio_agrees_on_every_message_that_it_knows(wire_bridge: Path) -> None:
    wrong, compared = [], Counter[str]()
    for name, kind, version, text in emitted(wire_bridge, "1", "4", "tame"):
        if kind not in ("request", "response", "header", "data"):
            continue
        place = schema_name_map.get(kio_name(name, kind), {}).get(int(version), {})
        if EntityType[kind] not in place:
            continue
        module = kio.index.load_entity_module(
            kio_name(name, kind), int(version), EntityType[kind]
        )
        entity = getattr(module, name)
        data = bytes.fromhex(text)
        try:
            value, size = kio.serial.entity_reader(entity)(data, 0)
            out = io.BytesIO()
            kio.serial.entity_writer(entity)(out, value)
        except Exception as error:  # Whatever kio trips over is worth a line.
            wrong.append(f"{name} {version}: {error!r} {text}")
            continue
        if size != len(data) or out.getvalue() != data:
            wrong.append(f"{name} {version}: {text} became {out.getvalue().hex()}")
        compared[name] += 1
    assert wrong == []
    assert len(compared) > 150, "kio knows fewer messages than it used to"


def test_kio_knows_our_errors(schema_dir: Path) -> None:
    import errors

    ours = {row.code: (row.name, row.retriable) for row in errors.read(schema_dir / "errors.table")}
    for code in ErrorCode:
        assert ours[code.value] == (code.name, code.retriable)


@pytest.mark.reference
def test_kafkas_classes_agree_on_every_message(wire_bridge: Path, kafka: KafkaReference) -> None:
    rows = emitted(wire_bridge, "2", "4")
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{kafka.libs}/*", HERE / "Recode.java"],
        input="\n".join(" ".join(row) for row in rows) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    answers = done.stdout.splitlines()
    assert len(answers) == len(rows)
    wrong = [
        f"{name} {version}: {text} became {answer}"
        for (name, _, version, text), answer in zip(rows, answers, strict=True)
        if answer != text
    ]
    assert wrong == []
