"""Consumer groups that Kafka has written, found again by pabal in Kafka's own directory."""

from __future__ import annotations

import re
import time
from pathlib import Path

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription, NewTopic

from conformance.kafka import KafkaReference
from pabal.process import ServerProcess

PARTITIONS = 4
COUNT = 40
PATIENCE = 30.0
COORDINATOR_COMES = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}


def describe(admin: AdminClient, group: str) -> ConsumerGroupDescription:
    """A group, once its coordinator has loaded it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return admin.describe_consumer_groups([group])[group].result(PATIENCE)
        except KafkaException as error:
            assert error.args[0].code() in COORDINATOR_COMES, error
            assert time.monotonic() < deadline, error
        time.sleep(0.05)


def group_epochs(kafka: KafkaReference, log_dir: Path) -> dict[str, int]:
    """The newest epoch of each group of the consumer protocol, as Kafka reads its log."""
    files = [str(path) for path in log_dir.glob("__consumer_offsets-*/*.log")]
    dumped = kafka.tool(
        "org.apache.kafka.tools.DumpLogSegments",
        *("--deep-iteration", "--print-data-log", "--offsets-decoder"),
        *("--files", ",".join(path for path in files if Path(path).stat().st_size > 0)),
    )
    found = re.findall(
        r'"type":"3","data":\{"groupId":"([^"]*)"\}\} payload: .*"epoch":(\d+)', dumped.stdout
    )
    return {group: int(epoch) for group, epoch in found}


def reader(servers: str, group: str, protocol: str, topic: str = "read") -> Consumer:
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
    member.subscribe([topic])
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
            described = describe(admin, "consumer")
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
            # Members that came while pabal served, by a pattern too.
            newcomer = reader(servers, "newcomers", "consumer", "^re.d$")
        finally:
            server.stop(PATIENCE)
        try:
            # Kafka takes its directory back and sees no change: nobody has to join again.
            epochs = group_epochs(kafka, broker.log_dir)
            assert {"consumer", "newcomers"} <= set(epochs)
            broker.start()
            admin = AdminClient({"bootstrap.servers": servers})
            for group, held in (("consumer", member), ("newcomers", newcomer)):
                described = describe(admin, group)
                assert described.state == ConsumerGroupState.STABLE
                assert len(described.members) == 1
                until = time.monotonic() + 2
                while time.monotonic() < until:
                    held.poll(0.1)
                assert len(held.assignment()) == PARTITIONS
            broker.stop()
            assert group_epochs(kafka, broker.log_dir) == epochs
        finally:
            broker.kill()
            member.close()
            newcomer.close()
