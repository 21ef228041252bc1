"""Clients of Python side by side: records per second, and what they cost, on either broker.

Produce: from the first send to the end of the flush, what tells of each record's fate kept;
consume: from the first poll to the last record, each one's value looked at. 100-byte records
without keys, one partition, each client with its own defaults but acks=all, the broker in another
process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pabal
from benchmarks.report import Report
from benchmarks.servers import Server, cpu_seconds, makers

VALUE = b"x" * 100
PRODUCED = {"pabal": 2_000_000, "confluent-kafka": 500_000, "aiokafka": 100_000}
PRODUCED["kafka-python"] = 30_000
CONSUMED = 1_000_000
CONSUMED_SLOWLY = {"kafka-python": 60_000, "aiokafka": 300_000}
LONGEST = 120.0


def produce_pabal(address: str, topic: str, count: int) -> None:
    """One call and one future per record."""
    with pabal.Producer(address) as producer:
        futures = [producer.send(topic, VALUE) for _ in range(count)]
        producer.flush()
        assert futures[-1].result().offset >= 0


def produce_pabal_many(address: str, topic: str, count: int) -> None:
    """One call for all of them."""
    with pabal.Producer(address) as producer:
        assert producer.send_many(topic, [VALUE] * count).result() == count


def produce_confluent(address: str, topic: str, count: int) -> None:
    """With a callback per record, which is what it has for a future."""
    from confluent_kafka import Producer

    failures: list[object] = []

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer({"bootstrap.servers": address, "acks": "all"})
    for _ in range(count):
        while True:
            try:
                producer.produce(topic, VALUE, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    assert producer.flush(LONGEST) == 0
    assert not failures


def produce_kafka_python(address: str, topic: str, count: int) -> None:
    """One future per record."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=address, acks="all")
    futures = [producer.send(topic, VALUE) for _ in range(count)]
    producer.flush(LONGEST)
    assert futures[-1].succeeded()
    producer.close()


def produce_aiokafka(address: str, topic: str, count: int) -> None:
    """One future per record."""
    from aiokafka import AIOKafkaProducer

    async def run() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=address, acks="all")
        await producer.start()
        futures = [await producer.send(topic, VALUE) for _ in range(count)]
        await producer.flush()
        assert futures[-1].done()
        await producer.stop()

    asyncio.run(run())


def consume_pabal(address: str, topic: str, count: int) -> None:
    """Records as objects."""
    with pabal.Consumer(
        topic, bootstrap_servers=address, auto_offset_reset="earliest"
    ) as consumer:
        seen = 0
        while seen < count:
            for record in consumer.poll(timeout=LONGEST):
                seen += len(record.value) > 0


def consume_pabal_arrow(address: str, topic: str, count: int) -> None:
    """Records as Arrow record batches."""
    with pabal.Consumer(
        topic, bootstrap_servers=address, auto_offset_reset="earliest"
    ) as consumer:
        seen = 0
        while seen < count:
            seen += len(consumer.poll_arrow(timeout=LONGEST))


def _confluent(address: str, topic: str) -> object:
    from confluent_kafka import Consumer, TopicPartition

    # By default it stops fetching for a second whenever it is 100,000 records ahead of this
    # program: the faster the broker answers, the more of the time it sleeps.
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "benchmark",
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    return consumer


def consume_confluent_poll(address: str, topic: str, count: int) -> None:
    """One call per record."""
    consumer: object = _confluent(address, topic)
    seen = 0
    while seen < count:
        message = consumer.poll(LONGEST)  # type: ignore[attr-defined]
        seen += len(message.value()) > 0
    consumer.close()  # type: ignore[attr-defined]


def consume_confluent_batch(address: str, topic: str, count: int) -> None:
    """One call for many records."""
    consumer: object = _confluent(address, topic)
    seen = 0
    while seen < count:
        for message in consumer.consume(500, LONGEST):  # type: ignore[attr-defined]
            seen += len(message.value()) > 0
    consumer.close()  # type: ignore[attr-defined]


def consume_kafka_python(address: str, topic: str, count: int) -> None:
    """What its poll returns."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    seen = 0
    while seen < count:
        for records in consumer.poll(timeout_ms=1000).values():
            seen += sum(len(record.value) > 0 for record in records)
    consumer.close()


def consume_aiokafka(address: str, topic: str, count: int) -> None:
    """What its getmany returns."""
    from aiokafka import AIOKafkaConsumer

    async def run() -> None:
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=address, auto_offset_reset="earliest"
        )
        await consumer.start()
        seen = 0
        while seen < count:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                seen += sum(len(record.value) > 0 for record in records)
        await consumer.stop()

    asyncio.run(run())


Work = Callable[[str, str, int], None]
PRODUCERS: dict[str, Work] = {
    "pabal": produce_pabal,
    "pabal send_many": produce_pabal_many,
    "confluent-kafka": produce_confluent,
    "aiokafka": produce_aiokafka,
    "kafka-python": produce_kafka_python,
}
CONSUMERS: dict[str, Work] = {
    "pabal": consume_pabal,
    "pabal Arrow": consume_pabal_arrow,
    "confluent-kafka poll": consume_confluent_poll,
    "confluent-kafka batch": consume_confluent_batch,
    "aiokafka": consume_aiokafka,
    "kafka-python": consume_kafka_python,
}


def measure(report: Report, server: Server, what: str, work: Work, topic: str, count: int) -> None:
    """Runs ``work`` once and notes its speed and both sides' CPU."""
    address = f"127.0.0.1:{server.port}"
    broker, client = cpu_seconds(server.pid), time.process_time()
    began = time.perf_counter()
    work(address, topic, count)
    seconds = time.perf_counter() - began
    client = time.process_time() - client
    broker = cpu_seconds(server.pid) - broker
    report.add(f"{what}, thousand records/s", server.name, count / seconds / 1000)
    report.add(f"{what}, client's CPU µs/record", server.name, client / count * 1e6)
    report.add(f"{what}, broker's CPU µs/record", server.name, broker / count * 1e6)


def run(runs: int) -> None:
    """Each client in turn, on each broker."""
    report = Report("Python clients, 100-byte records")
    servers = [make(None) for make in makers()]
    try:
        for number in range(runs):
            for server in servers:
                address = f"127.0.0.1:{server.port}"
                for name, work in PRODUCERS.items():
                    topic = f"produce-{name.replace(' ', '-')}-{number}"
                    with pabal.Producer(address) as warm:
                        warm.send(topic, b"").result()
                    count = PRODUCED[name.split(" ")[0]]
                    measure(report, server, f"produce, {name}", work, topic, count)
                topic = f"consume-{number}"
                produce_pabal_many(address, topic, CONSUMED)
                for name, work in CONSUMERS.items():
                    count = CONSUMED_SLOWLY.get(name, CONSUMED)
                    measure(report, server, f"consume, {name}", work, topic, count)
    finally:
        for server in servers:
            server.close()
    report.print()
