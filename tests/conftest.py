"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.kafka import KafkaBroker, KafkaMissing, KafkaReference


@pytest.fixture(scope="session")
def kafka() -> KafkaReference:
    """The reference, a local Apache Kafka. Tests that ask for it are skipped where none is."""
    try:
        return KafkaReference()
    except KafkaMissing as missing:
        pytest.skip(f"NOT COMPARED WITH APACHE KAFKA: {missing}")


@pytest.fixture(scope="session")
def kafka_broker(kafka: KafkaReference) -> Iterator[KafkaBroker]:
    """A running broker of Apache Kafka, one for the whole session."""
    with kafka.broker() as broker:
        yield broker
