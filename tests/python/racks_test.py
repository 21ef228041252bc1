"""Reading from the replica of one's own rack (KIP-392): the follower serves, not the leader."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clients_world import eventually, fresh, read

import pabal

SELECTOR = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
COUNT = 3000
PAYLOAD = b"x" * 1000


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    # Whoever stands still here is not taken for dead: its partitions stay its own.
    patient = {"broker.session.timeout.ms": 120_000, "replica.lag.time.max.ms": 120_000}
    with pabal.Cluster(
        brokers=3, isolation="process", config={"replica.selector.class": SELECTOR, **patient}
    ) as running:
        for broker in running.brokers:
            broker._config["broker.rack"] = f"rack-{broker.id}"
            broker.restart()
        running.wait_until_in_sync()
        yield running


def filled(cluster: pabal.Cluster) -> pabal.Topic:
    """A topic of one partition, all replicas of which have all records."""
    name = fresh("near")
    topic = cluster.create_topic(name, partitions=1, replication_factor=3)
    with cluster.producer(acks="all") as producer:
        producer.send_many(name, [PAYLOAD] * COUNT).result(60)
    cluster.wait_until_in_sync()
    return topic


def reader(cluster: pabal.Cluster, topic: pabal.Topic, **config: object) -> pabal.Consumer:
    # Little is fetched ahead: what is read later was not there before.
    return cluster.consumer(
        topic.name,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=8192,
        fetch_max_bytes=8192,
        **config,
    )


def test_racks_are_known(cluster: pabal.Cluster) -> None:
    with cluster.admin() as admin:
        racks = {broker.id: broker.rack for broker in admin.describe_cluster().brokers}
    assert racks == {0: "rack-0", 1: "rack-1", 2: "rack-2"}


def test_the_follower_in_the_rack_serves(cluster: pabal.Cluster) -> None:
    topic = filled(cluster)
    leader = topic.leader(0)
    follower = next(broker for broker in cluster.brokers if broker is not leader)
    with reader(cluster, topic, client_rack=f"rack-{follower.id}") as consumer:
        assert len(read(consumer, 5)) == 5
        leader.pause()
        try:
            # The leader answers nobody, and is the leader still: the follower has sent all this.
            rest = read(consumer, COUNT - 5, 60)
        finally:
            leader.resume()
        assert [record.offset for record in rest] == list(range(5, COUNT))
        assert topic.leader(0) is leader
        # What is written now comes through the follower, too.
        with cluster.producer(acks="all") as producer:
            producer.send(topic.name, b"last").result(60)
        assert [record.value for record in read(consumer, 1)] == [b"last"]


def test_without_a_rack_the_leader_serves(cluster: pabal.Cluster) -> None:
    topic = filled(cluster)
    leader = topic.leader(0)
    for rack in ({}, {"client_rack": f"rack-{leader.id}"}, {"client_rack": "nowhere"}):
        with reader(cluster, topic, **rack) as consumer:
            assert len(read(consumer, 5)) == 5
            leader.pause()
            try:
                # What was fetched ahead is a small part of what there is.
                assert len(read(consumer, COUNT, 1.0)) < COUNT - 5
            finally:
                leader.resume()
            eventually(lambda one=consumer: bool(one.poll(timeout=1.0)), "it goes on")


def test_when_the_follower_is_gone_the_leader_serves(cluster: pabal.Cluster) -> None:
    topic = filled(cluster)
    leader = topic.leader(0)
    follower = next(broker for broker in cluster.brokers if broker is not leader)
    with reader(cluster, topic, client_rack=f"rack-{follower.id}") as consumer:
        assert len(read(consumer, 5)) == 5
        follower.kill()
        try:
            rest = read(consumer, COUNT - 5, 60)
            assert [record.offset for record in rest] == list(range(5, COUNT))
        finally:
            follower.start()
            cluster.wait_until_in_sync()
