"""pabal.Consumer in the classic protocol of groups, alone and beside confluent-kafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from clients_world import PATIENCE, fresh

import pabal
from pabal import errors

PARTITIONS = 4
ASSIGNORS = ["range", "roundrobin", "sticky", "cooperative-sticky"]
assignors = pytest.mark.parametrize("assignor", ASSIGNORS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(config={"group.initial.rebalance.delay.ms": 0}) as running:
        yield running


@pytest.fixture(params=["pabal", pytest.param("kafka", marks=pytest.mark.reference)])
def servers(request: pytest.FixtureRequest, cluster: pabal.Cluster) -> str:
    if request.param == "pabal":
        return cluster.bootstrap_servers
    return str(request.getfixturevalue("kafka_broker").bootstrap_servers)


def topic_of(servers: str, partitions: int = PARTITIONS) -> str:
    """A topic with ten records in each partition."""
    topic = fresh()
    with pabal.Admin(servers) as admin:
        admin.create_topic(topic, partitions=partitions)
    with pabal.Producer(servers) as producer:
        for partition in range(partitions):
            producer.send_many(topic, [b"x"] * 10, partition=partition)
    return topic


def member(servers: str, group: str, *topics: str, **config: object) -> pabal.Consumer:
    config.setdefault("heartbeat_interval_ms", 100)
    config.setdefault("auto_offset_reset", "earliest")
    return pabal.Consumer(
        *topics, bootstrap_servers=servers, group=group, group_protocol="classic", **config
    )


def poll_until(reached: Callable[[], bool], *members: pabal.Consumer) -> list[pabal.Record]:
    """Have all members polled until a condition holds."""
    records: list[pabal.Record] = []
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, [one.assignment() for one in members]
        for one in members:
            records += one.poll(timeout=0.01)
    return records


def shared(*members: pabal.Consumer, count: int = PARTITIONS) -> bool:
    """Whether everybody reads something, and all together everything once."""
    read = [place for one in members for place in one.assignment()]
    return len(read) == len(set(read)) == count and all(one.assignment() for one in members)


@assignors
def test_members_share_and_take_over(cluster: pabal.Cluster, assignor: str) -> None:
    servers, group = cluster.bootstrap_servers, fresh("group")
    topic = topic_of(servers)
    told: list[tuple[str, int]] = []
    first = member(
        servers,
        group,
        topic,
        partition_assignment_strategy=assignor,
        on_assigned=lambda places: told.append(("assigned", len(places))),
        on_revoked=lambda places: told.append(("revoked", len(places))),
    )
    records = poll_until(lambda: len(first.assignment()) == PARTITIONS, first)
    assert told == [("assigned", PARTITIONS)]
    described = cluster.group(group)
    assert (described.type, described.assignor) == ("classic", assignor)
    second = member(servers, group, topic, partition_assignment_strategy=assignor)
    records += poll_until(lambda: shared(first, second), first, second)
    # Whoever is cooperative gives up only what the other one gets.
    given_up = 2 if assignor == "cooperative-sticky" else PARTITIONS
    assert told[1] == ("revoked", given_up)
    second.close()
    records += poll_until(lambda: len(first.assignment()) == PARTITIONS, first)
    poll_until(lambda: sum(one.lag or 0 for one in described.partitions()) == 0, first)
    first.close()
    assert {place for place, _ in told} == {"assigned", "revoked"}
    assert cluster.group(group).state == "Empty"


def test_it_works_with_kafka_too(servers: str) -> None:
    topic, group = topic_of(servers), fresh("group")
    with member(servers, group, topic) as first, member(servers, group, topic) as second:
        poll_until(lambda: shared(first, second), first, second)
        first.commit()
        with pabal.Admin(servers) as admin:
            described = admin.describe_group(group)
        assert described.state == "Stable"
        assert (described.type, described.assignor) == ("classic", "range")
        assert len(described.members) == 2


# librdkafka has no sticky one that is eager.
@pytest.mark.parametrize("assignor", ["range", "roundrobin", "cooperative-sticky"])
@pytest.mark.parametrize("leader", ["pabal", "confluent"])
def test_groups_with_confluent_kafka(cluster: pabal.Cluster, assignor: str, leader: str) -> None:
    from confluent_kafka import Consumer

    servers, group = cluster.bootstrap_servers, fresh("group")
    topic = topic_of(servers)

    def others() -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": group,
                "group.protocol": "classic",
                "partition.assignment.strategy": assignor,
                "heartbeat.interval.ms": 100,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe([topic])
        return consumer

    def ours() -> pabal.Consumer:
        return member(servers, group, topic, partition_assignment_strategy=assignor)

    mine: list[pabal.Consumer] = []
    theirs: list[Consumer] = []

    def reached(all_of_it: bool) -> bool:
        for one in theirs:
            one.poll(0.01)
        read = [(place.topic, place.partition) for one in theirs for place in one.assignment()]
        read += [tuple(place) for one in mine for place in one.assignment()]
        fair = all_of_it or len(read) == len(theirs) * 2 + len(mine) * 2
        everybody = all(one.assignment() for one in (*mine, *theirs))
        return everybody and fair and len(read) == len(set(read)) == PARTITIONS

    try:
        if leader == "pabal":
            mine.append(ours())
        else:
            theirs.append(others())
        poll_until(lambda: reached(True), *mine)
        if leader == "pabal":
            theirs.append(others())
        else:
            mine.append(ours())
        poll_until(lambda: reached(False), *mine)
        # The one who led leaves.
        if leader == "pabal":
            mine.pop().close()
        else:
            theirs.pop().close()
        poll_until(lambda: reached(True), *mine)
    finally:
        for one in mine:
            one.close()
        for one in theirs:
            one.close()


def test_a_static_member_comes_back_to_what_it_had(servers: str) -> None:
    topic, group = topic_of(servers), fresh("group")
    config = {"group_instance_id": "one", "session_timeout_ms": 30_000}
    first = member(servers, group, topic, **config)
    second = member(servers, group, topic, group_instance_id="two")
    revoked: list[object] = []
    second._listeners["revoked"] = revoked.append
    poll_until(lambda: shared(first, second), first, second)
    had = first.assignment()
    revoked.clear()
    first.close()
    with pabal.Admin(servers) as admin:
        members = admin.describe_group(group).members
        assert sorted(one.instance_id or "" for one in members) == ["one", "two"]
        back = member(servers, group, topic, **config)
        poll_until(lambda: bool(back.assignment()), back, second)
        assert back.assignment() == had
        assert revoked == []
        back.close()
        second.close()


def test_an_instance_has_one_owner(cluster: pabal.Cluster) -> None:
    servers, group = cluster.bootstrap_servers, fresh("group")
    topic = topic_of(servers)
    first = member(servers, group, topic, group_instance_id="one")
    poll_until(lambda: bool(first.assignment()), first)
    second = member(servers, group, topic, group_instance_id="one")
    poll_until(lambda: bool(second.assignment()), second)
    with pytest.raises(errors.FencedInstanceIdError, match=group):
        poll_until(lambda: False, first)
    first.close()
    second.close()


def test_positions_go_on_where_the_group_was(servers: str) -> None:
    topic, group = topic_of(servers, partitions=1), fresh("group")
    with member(servers, group, topic) as first:
        seen: list[int] = []
        while len(seen) < 4:
            seen += [record.offset for record in first.poll(5, max_records=4 - len(seen))]
    with member(servers, group, topic) as second:
        poll_until(lambda: bool(second.assignment()), second)
        assert second.committed((topic, 0)) is not None
        rest: list[int] = []
        second.seek((topic, 0), 4)
        while len(rest) < 6:
            rest += [record.offset for record in second.poll(5)]
    assert seen + rest == list(range(10))


def test_who_stands_still_loses_its_partitions_and_comes_back(cluster: pabal.Cluster) -> None:
    servers, group = cluster.bootstrap_servers, fresh("group")
    topic = topic_of(servers)
    lost: list[int] = []
    slow = member(
        servers,
        group,
        topic,
        max_poll_interval_ms=1000,
        on_lost=lambda places: lost.append(len(places)),
    )
    poll_until(lambda: len(slow.assignment()) == PARTITIONS, slow)
    with member(servers, group, topic) as quick:
        poll_until(lambda: len(quick.assignment()) == PARTITIONS, quick)
        poll_until(lambda: shared(slow, quick), slow, quick)
    assert lost == [PARTITIONS]
    slow.close()


def test_topics_by_pattern_and_new_partitions(cluster: pabal.Cluster) -> None:
    servers, group, prefix = cluster.bootstrap_servers, fresh("group"), fresh("orders")
    cluster.create_topic(f"{prefix}-1")
    with member(servers, group, metadata_max_age_ms=200) as reader:
        reader.subscribe(pattern=f"{prefix}-.*")
        poll_until(lambda: len(reader.assignment()) == 1, reader)
        second = cluster.create_topic(f"{prefix}-2")
        poll_until(lambda: len(reader.assignment()) == 2, reader)
        second.add_partitions(3)
        poll_until(lambda: len(reader.assignment()) == 4, reader)


def test_subscriptions_change(cluster: pabal.Cluster) -> None:
    servers, group = cluster.bootstrap_servers, fresh("group")
    one, other = topic_of(servers, 1), topic_of(servers, 1)
    for assignor in ("range", "cooperative-sticky"):
        with member(servers, group, one, partition_assignment_strategy=[assignor]) as reader:
            poll_until(lambda: reader.assignment() == [(one, 0)], reader)
            reader.subscribe(other)
            poll_until(lambda: reader.assignment() == [(other, 0)], reader)
            reader.unsubscribe()
            assert reader.assignment() == []
            reader.subscribe(one, other)
            poll_until(lambda: len(reader.assignment()) == 2, reader)


def test_a_commit_of_a_past_generation_is_refused(cluster: pabal.Cluster) -> None:
    servers, group = cluster.bootstrap_servers, fresh("group")
    topic = topic_of(servers)
    with member(servers, group, topic, enable_auto_commit=False) as reader:
        poll_until(lambda: bool(reader.assignment()), reader)
        reader.commit({(topic, 0): 3})
        assert reader.committed((topic, 0)) == (3, "", -1)
    with (
        member(servers, group, topic) as holder,
        member(servers, group, enable_auto_commit=False) as stranger,
    ):
        poll_until(lambda: bool(holder.assignment()), holder)
        stranger.assign([(topic, 0)])
        with pytest.raises(errors.UnknownMemberIdError):
            stranger.commit({(topic, 0): 5})


def test_members_that_have_nothing_in_common_are_told(cluster: pabal.Cluster) -> None:
    servers, group = cluster.bootstrap_servers, fresh("group")
    topic = topic_of(servers)
    with member(servers, group, topic, partition_assignment_strategy="range") as reader:
        poll_until(lambda: bool(reader.assignment()), reader)
        with (
            member(servers, group, topic, partition_assignment_strategy="sticky") as stranger,
            pytest.raises(errors.InconsistentGroupProtocolError, match=group),
        ):
            poll_until(lambda: False, stranger)
        assert len(reader.assignment()) == PARTITIONS


def test_settings_of_the_two_protocols_are_told_apart(cluster: pabal.Cluster) -> None:
    servers = cluster.bootstrap_servers
    with pytest.raises(ValueError, match="belongs to group_protocol='classic'"):
        pabal.Consumer(group="g", group_protocol="consumer", session_timeout_ms=1000)
    with pytest.raises(ValueError, match="belongs to group_protocol='consumer'"):
        member(servers, "g", group_remote_assignor="uniform")
    with pytest.raises(ValueError, match="below session_timeout_ms"):
        member(servers, "g", session_timeout_ms=100, heartbeat_interval_ms=100)
    with pytest.raises(ValueError, match="one or some of range"):
        member(servers, "g", partition_assignment_strategy="random")
    with pytest.raises(TypeError, match="one or some of range"):
        member(servers, "g", partition_assignment_strategy=[])
    group = fresh("group")
    topic = topic_of(servers, 1)
    java = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"
    with pabal.Consumer(
        topic, bootstrap_servers=servers, group=group, partition_assignment_strategy=java
    ) as reader:
        poll_until(lambda: bool(reader.assignment()), reader)
        assert cluster.group(group).assignor == "cooperative-sticky"
