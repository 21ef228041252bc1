"""The clients of a chaos test, a program of its own: `workload.py SERVERS TOPIC PARTITIONS FILE`.

Idempotent producers write as long as nobody says otherwise, and a consumer reads along. When its
input ends, what was sent is flushed, all replicas have to come in sync, and the whole log is read.
Everything goes into FILE, an event a line. The client is confluent-kafka.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

PRODUCERS = 3
PAUSE_SECONDS = 0.004
PATIENCE_SECONDS = 60.0
# Quick to notice, so that the time of a test is that of the faults.
QUICK = {
    "socket.connection.setup.timeout.ms": 2000,
    "socket.timeout.ms": 5000,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "retry.backoff.ms": 50,
    "log_level": 0,
}


class Events:
    """Written by all threads, line by line."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("w", encoding="utf-8")
        self._lock = threading.Lock()

    def add(self, *event: object) -> None:
        with self._lock:
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()


def text_of(message: Message) -> str:
    return (message.value() or b"").decode()


def produce(
    number: int,
    common: dict[str, Any],
    topic: str,
    partitions: int,
    events: Events,
    over: threading.Event,
) -> None:
    def delivered(error: KafkaError | None, message: Message) -> None:
        value = text_of(message)
        if error is None:
            events.add("acknowledged", message.partition(), message.offset(), value)
        else:
            events.add("failed", value, str(error))

    chance = random.Random(number)
    producer = Producer(
        {
            **common,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 2,
            "request.timeout.ms": 5000,
            "message.timeout.ms": 300_000,
        }
    )
    sequence = 0
    while not over.is_set():
        partition, value = chance.randrange(partitions), f"writer{number}-{sequence}"
        sequence += 1
        events.add("sent", partition, value)
        producer.produce(topic, value.encode(), partition=partition, on_delivery=delivered)
        producer.poll(0)
        over.wait(PAUSE_SECONDS)
    left = producer.flush(PATIENCE_SECONDS)
    if left:
        events.add("failed", f"writer{number}-", f"{left} records are not acknowledged")


def consumer_of(common: dict[str, Any], topic: str, partitions: int) -> Consumer:
    consumer = Consumer(
        {
            **common,
            "group.id": "nobody",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )
    consumer.assign([TopicPartition(topic, index, 0) for index in range(partitions)])
    return consumer


def read_along(
    common: dict[str, Any], topic: str, partitions: int, events: Events, over: threading.Event
) -> None:
    consumer = consumer_of(common, topic, partitions)
    while not over.is_set():
        message = consumer.poll(0.1)
        if message is None:
            continue
        error = message.error()
        if error is None:
            events.add("read", message.partition(), message.offset(), text_of(message))
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            events.add("failed", "reader-", str(error))
    consumer.close()


def read_all(common: dict[str, Any], topic: str, partitions: int, events: Events) -> None:
    consumer = consumer_of(common, topic, partitions)
    at_end: set[int | None] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(at_end) < partitions:
        if time.monotonic() > deadline:
            raise SystemExit(f"the log cannot be read to its end: {at_end}")
        message = consumer.poll(0.1)
        if message is None:
            continue
        error = message.error()
        if error is None:
            events.add("final", message.partition(), message.offset(), text_of(message))
        elif error.code() == KafkaError._PARTITION_EOF:
            at_end.add(message.partition())
    consumer.close()


def await_in_sync(admin: AdminClient, topic: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    behind = ["nobody answered"]
    while behind:
        if time.monotonic() > deadline:
            raise SystemExit(f"not in sync: {', '.join(behind)}")
        try:
            known = admin.list_topics(topic, timeout=5).topics[topic].partitions.values()
            behind = [
                f"{one.id} led by {one.leader} with {one.isrs} of {one.replicas}"
                for one in known
                if one.leader < 0 or len(one.isrs) < len(one.replicas)
            ]
        except KafkaException as error:
            behind = [str(error)]
        if behind:
            time.sleep(0.05)


def main() -> None:
    servers, topic, count, path = sys.argv[1:]
    partitions = int(count)
    common: dict[str, Any] = {"bootstrap.servers": servers, **QUICK}
    events = Events(path)
    admin = AdminClient(common)
    (created,) = admin.create_topics([NewTopic(topic, partitions, 3)]).values()
    created.result(PATIENCE_SECONDS)
    over, read_over = threading.Event(), threading.Event()
    threads = [
        threading.Thread(target=produce, args=(number, common, topic, partitions, events, over))
        for number in range(PRODUCERS)
    ]
    reader = threading.Thread(
        target=read_along, args=(common, topic, partitions, events, read_over)
    )
    for thread in (*threads, reader):
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    read_over.set()
    reader.join()
    await_in_sync(admin, topic)
    read_all(common, topic, partitions, events)


if __name__ == "__main__":
    main()
