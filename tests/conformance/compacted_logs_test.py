"""Compacted logs on one directory: Kafka cleans, pabal goes on with it, Kafka reads the end."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from conformance.kafka import KafkaReference
from pabal.process import ServerProcess

PATIENCE = 60.0
DUMP = "org.apache.kafka.tools.DumpLogSegments"
CLEANER = {"log.cleaner.backoff.ms": "100", "log.segment.delete.delay.ms": "100"}
KEYS = 7


def produce(servers: str, first: int, count: int, codec: str) -> None:
    # Each flush is a batch, and each batch begins a segment.
    producer = Producer(
        {"bootstrap.servers": servers, "enable.idempotence": True, "compression.type": codec}
    )
    begin = int((time.time() - 500_000) * 1000)
    for number in range(first, first + count):
        value = None if number % KEYS == 6 else f"value-{number}"
        for part in range(3):
            key = f"key-{number % KEYS}" if part == 0 else f"odd-{number % 3}"
            producer.produce("table", value, key=key, timestamp=begin + number * 1000)
        assert producer.flush(PATIENCE) == 0


def read(servers: str) -> list[tuple[int, bytes, bytes | None]]:
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "reader", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition("table", 0, 0)])
    found = []
    try:
        while True:
            message = consumer.poll(PATIENCE)
            assert message is not None
            if message.error() is not None:
                assert message.error().code() == KafkaError._PARTITION_EOF
                return found
            found.append((message.offset(), message.key(), message.value()))
    finally:
        consumer.close()


def wait_until_clean(log_dir: Path, up_to: int) -> None:
    deadline = time.monotonic() + PATIENCE
    path = log_dir / "cleaner-offset-checkpoint"
    while not (path.exists() and f"table 0 {up_to}\n" in path.read_text()):
        assert time.monotonic() < deadline, path.read_text() if path.exists() else "no checkpoint"
        time.sleep(0.05)


def latest(found: list[tuple[int, bytes, bytes | None]]) -> dict[bytes, bytes | None]:
    return {key: value for _, key, value in found}


@pytest.mark.slow
def test_each_reads_and_cleans_what_the_other_cleaned(kafka: KafkaReference) -> None:
    with kafka.broker(CLEANER) as broker:
        servers = broker.bootstrap_servers
        settings = {
            "cleanup.policy": "compact",
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.01",
        }
        admin = AdminClient({"bootstrap.servers": servers})
        admin.create_topics([NewTopic("table", 1, 1, config=settings)])["table"].result(PATIENCE)
        produce(servers, 0, 20, "gzip")
        wait_until_clean(broker.log_dir, 57)
        theirs = read(servers)
        broker.stop()

        port = servers.rsplit(":", 1)[1]
        server = ServerProcess(
            {
                "process.roles": "broker,controller",
                "node.id": "1",
                "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0",
                "controller.listener.names": "CONTROLLER",
                "log.dirs": str(broker.log_dir),
                **CLEANER,
            }
        )
        try:
            server.wait(PATIENCE)
            assert read(servers) == theirs
            produce(servers, 20, 20, "zstd")
            wait_until_clean(broker.log_dir, 117)
            ours = read(servers)
        finally:
            server.stop(PATIENCE)
        offsets = [offset for offset, _, _ in ours]
        assert offsets == sorted(set(offsets))
        assert offsets[-1] == 119
        clean = [key for offset, key, _ in ours if offset < 117]
        assert len(clean) == len(set(clean)) == KEYS + 3
        for key, value in latest(theirs).items():
            number = max(
                number
                for number in range(40)
                if key in (f"key-{number % KEYS}".encode(), f"odd-{number % 3}".encode())
            )
            expected = None if number % KEYS == 6 else f"value-{number}".encode()
            assert latest(ours)[key] == expected, (key, value)

        files = sorted((broker.log_dir / "table-0").glob("*.log"))
        dumped = kafka.tool(
            DUMP, "--deep-iteration", "--print-data-log", "--files", ",".join(map(str, files))
        )
        assert dumped.returncode == 0, dumped.stderr
        assert "isvalid: false" not in dumped.stdout
        records = re.findall(r"^\| offset: (\d+) ", dumped.stdout, re.MULTILINE)
        assert [int(offset) for offset in records] == offsets
        assert "deleteHorizonMs: OptionalLong[" in dumped.stdout

        broker.start()
        assert read(servers) == ours
        produce(servers, 40, 10, "none")
        wait_until_clean(broker.log_dir, 147)
        again = read(servers)
        assert [offset for offset, _, _ in again][-1] == 149
        clean = [key for offset, key, _ in again if offset < 147]
        assert len(clean) == len(set(clean)) == KEYS + 3
