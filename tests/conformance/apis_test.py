"""Is it Kafka? Each script asks every advertised version of an API on the wire, and pabal's answers
are compared, value by value, with those of Apache Kafka 4.3. What must differ (ids, ports, wording)
is named; the rest is equal or is listed in the scripts as a deviation.

Kafka's answers are kept in ``kafka_answers/``, so that this needs no Java; where there is one,
Kafka is asked again. With ``PABAL_REWRITE=1`` in the environment what it says is written down.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from conformance.answers import as_json, differing, keep, kept, normal
from conformance.scripts import (
    SCRIPTS,
    Script,
    groups,
    metadata,
    records,
    remove_topics,
    settings,
    topics,
)
from conformance.wire import Plain, Wire

FAMILIES = (metadata, topics, settings, records, groups)  # Imported, they register their scripts.


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
