"""Consumer groups that Kafka has written, found again by pabal in Kafka's own directory."""

from __future__ import annotations

import time

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from conformance.kafka import KafkaReference
from pabal.process import ServerProcess

PARTITIONS = 4
COUNT = 40
PATIENCE = 30.0


def reader(servers: str, group: str, protocol: str) -> Consumer:
    """A member that has read everything and committed it."""
    member = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    member.subscribe(["read"])
    for _ in range(COUNT):
        message = member.poll(PATIENCE)
        assert message is not None and message.error() is None
    member.commit(asynchronous=False)
    return member


def test_positions_and_members_survive_the_change_from_kafka_to_pabal(
    kafka: KafkaReference,
) -> None:
    with kafka.broker({"offsets.topic.replication.factor": "1"}) as broker:
        servers = broker.bootstrap_servers
        admin = AdminClient({"bootstrap.servers": servers})
        admin.create_topics([NewTopic("read", PARTITIONS, 1)])["read"].result(PATIENCE)
        producer = Producer({"bootstrap.servers": servers})
        for number in range(COUNT):
            producer.produce("read", str(number), partition=number % PARTITIONS)
        assert producer.flush(PATIENCE) == 0
        reader(servers, "classic", "classic").close()
        member = reader(servers, "consumer", "consumer")
        broker.stop()

        port = servers.rsplit(":", 1)[1]
        server = ServerProcess(
            {
                "process.roles": "broker,controller",
                "node.id": "1",
                "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0",
                "controller.listener.names": "CONTROLLER",
                "log.dirs": str(broker.log_dir),
            }
        )
        try:
            server.wait(PATIENCE)
            for group in ("classic", "consumer"):
                other = Consumer({"bootstrap.servers": servers, "group.id": group})
                places = [TopicPartition("read", index) for index in range(PARTITIONS)]
                found = other.committed(places, PATIENCE)
                other.close()
                assert [place.offset for place in found] == [COUNT // PARTITIONS] * PARTITIONS
            admin = AdminClient({"bootstrap.servers": servers})
            described = admin.describe_consumer_groups(["consumer"])["consumer"].result(PATIENCE)
            assert described.state == ConsumerGroupState.STABLE
            assert len(described.members) == 1
            # The member goes on where it was: it has its partitions, and may commit.
            deadline = time.monotonic() + PATIENCE
            committed = None
            while committed is None:
                assert time.monotonic() < deadline
                member.poll(0.1)
                assert len(member.assignment()) == PARTITIONS
                try:
                    committed = member.commit(
                        offsets=[TopicPartition("read", 0, 3)], asynchronous=False
                    )
                except KafkaException as error:
                    # It may not have found its coordinator again yet.
                    assert error.args[0].retriable(), error
            assert [place.error for place in committed] == [None]
        finally:
            member.close()
            server.stop(PATIENCE)
