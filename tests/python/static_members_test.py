"""Static members of groups of the consumer protocol (KIP-345 in KIP-848): `group_instance_id`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clients_world import eventually, fresh

import pabal
from pabal import errors
from pabal.records import TopicPartition

PARTITIONS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(config={"num.partitions": PARTITIONS}) as running:
        yield running


@pytest.fixture(params=["pabal", pytest.param("kafka", marks=pytest.mark.reference)])
def servers(request: pytest.FixtureRequest, cluster: pabal.Cluster) -> str:
    if request.param == "pabal":
        return cluster.bootstrap_servers
    return str(request.getfixturevalue("kafka_broker").bootstrap_servers)


@pytest.fixture
def topic(servers: str) -> str:
    name = fresh()
    with pabal.Admin(servers) as admin:
        admin.create_topic(name, partitions=PARTITIONS, replication_factor=1)
        eventually(lambda: name in admin.list_topics(), "the topic is known")
    return name


def member(servers: str, group: str, topic: str, instance: str, **more: object) -> pabal.Consumer:
    return pabal.Consumer(
        topic,
        bootstrap_servers=servers,
        group=group,
        group_protocol="consumer",
        group_instance_id=instance,
        auto_offset_reset="earliest",
        **more,
    )


def all_assigned(*members: pabal.Consumer) -> bool:
    for one in members:
        one.poll(timeout=0.05)
    shares = [one.assignment() for one in members]
    return all(shares) and sum(map(len, shares)) == PARTITIONS


def group_epoch(servers: str, group: str) -> int:
    with pabal.Admin(servers) as admin:
        return admin.describe_group(group).epoch


def test_who_comes_back_has_what_it_had_without_a_rebalance(servers: str, topic: str) -> None:
    group = fresh("group")
    changes: list[tuple[str, list[TopicPartition]]] = []
    other = member(
        servers,
        group,
        topic,
        "other",
        on_assigned=lambda places: changes.append(("assigned", places)),
        on_revoked=lambda places: changes.append(("revoked", places)),
    )
    first = member(servers, group, topic, "one")
    try:
        eventually(lambda: all_assigned(first, other), "both have their partitions")
        had, others = first.assignment(), other.assignment()
        epoch = group_epoch(servers, group)
        changes.clear()
        first.close()
        # Its place is kept: the group has two members still.
        with pabal.Admin(servers) as admin:
            members = admin.describe_group(group).members
        assert sorted(one.instance_id or "" for one in members) == ["one", "other"]
        first = member(servers, group, topic, "one")
        eventually(lambda: all_assigned(first, other), "it is back")
        assert first.assignment() == had
        assert other.assignment() == others
        assert changes == []
        assert group_epoch(servers, group) == epoch
    finally:
        first.close()
        other.close()


def test_an_instance_that_runs_keeps_its_name(servers: str, topic: str) -> None:
    group = fresh("group")
    with member(servers, group, topic, "one") as first:
        eventually(lambda: all_assigned(first), "it has all partitions")
        second = member(servers, group, topic, "one")
        try:
            with pytest.raises(errors.UnreleasedInstanceIdError, match="one"):
                eventually(lambda: all_assigned(second), "it is refused")
        finally:
            second.close()
        # The first one noticed nothing.
        assert all_assigned(first)
        first.commit({(topic, 0): 0})
    # The place of one who left properly is free for the next.
    with member(servers, group, topic, "one") as third:
        eventually(lambda: all_assigned(third), "the name was given back")
