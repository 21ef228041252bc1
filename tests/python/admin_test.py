"""pabal.Admin against pabal and against Apache Kafka."""

from __future__ import annotations

import inspect
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
from clients_world import eventually, fresh, read

import pabal
from pabal import aio, errors


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster() as running:
        yield running


@pytest.fixture(scope="module")
def three() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(brokers=3) as running:
        yield running


@pytest.fixture(params=["pabal", pytest.param("kafka", marks=pytest.mark.reference)])
def servers(request: pytest.FixtureRequest, cluster: pabal.Cluster) -> str:
    if request.param == "pabal":
        return cluster.bootstrap_servers
    return str(request.getfixturevalue("kafka_broker").bootstrap_servers)


@pytest.fixture
def admin(servers: str) -> Iterator[pabal.Admin]:
    with pabal.Admin(servers) as connected:
        yield connected


def filled(servers: str, admin: pabal.Admin, count: int = 10) -> str:
    """A topic with a record each ten milliseconds, which are old, in its only partition."""
    topic = fresh()
    admin.create_topic(topic, partitions=1, config={"retention.ms": -1})
    with pabal.Producer(servers) as producer:
        producer.send_many(
            topic, [b"x"] * count, timestamps=[1000 + 10 * number for number in range(count)]
        ).result(20)
    return topic


def test_topics_are_created_described_and_deleted(admin: pabal.Admin) -> None:
    topic = fresh()
    admin.create_topic(topic, validate_only=True)
    assert topic not in admin.list_topics()
    admin.create_topic(topic, partitions=2, config={"retention.ms": 60_000})
    with pytest.raises(errors.TopicAlreadyExistsError):
        admin.create_topic(topic)
    assert topic in admin.list_topics()
    admin.create_partitions(topic, 3)
    described = admin.describe_topic(topic)
    assert (described.name, described.internal) == (topic, False)
    assert [state.index for state in described.partitions] == [0, 1, 2]
    assert all(state.isr == state.replicas == (state.leader,) for state in described.partitions)
    with pytest.raises(errors.InvalidPartitionsError):
        admin.create_partitions(topic, 2)
    admin.delete_topic(topic)
    with pytest.raises(errors.UnknownTopicOrPartitionError):
        admin.delete_topic(topic)
    with pytest.raises(errors.InvalidTopicError):
        admin.create_topic("no/topic")
    with pytest.raises(errors.InvalidConfigError):
        admin.create_topic(topic, config={"retention.ms": "soon"})


def test_replicas_can_be_placed_by_hand(three: pabal.Cluster) -> None:
    topic = fresh()
    with three.admin() as admin:
        admin.create_topic(topic, replicas=[[2, 0], [1, 2]])
        admin.create_partitions(topic, 3, replicas=[[0, 1]])
        states = admin.describe_topic(topic).partitions
        assert [state.replicas for state in states] == [(2, 0), (1, 2), (0, 1)]
        with pytest.raises(TypeError, match="replicas, or partitions"):
            admin.create_topic(topic, partitions=1, replicas=[[0]])
        with pytest.raises(errors.InvalidReplicaAssignmentError):
            admin.create_topic(fresh(), replicas=[[0, 0]])


def test_settings_are_changed_one_by_one(admin: pabal.Admin) -> None:
    topic = fresh()
    admin.create_topic(topic, config={"retention.ms": 60_000})
    admin.alter_configs("topic", topic, {"segment.bytes": 1_048_576, "retention.ms": None})
    admin.alter_configs("topic", topic, append={"cleanup.policy": "compact"})

    def cleanup() -> str | None:
        return admin.describe_configs("topic", topic)["cleanup.policy"].value

    # Kafka's brokers apply what its controller answered a moment later.
    eventually(lambda: cleanup() == "delete,compact", "what was appended")
    settings = admin.describe_configs("topic", topic)
    assert (settings["segment.bytes"].value, settings["segment.bytes"].source) == (
        "1048576",
        "topic",
    )
    assert settings["retention.ms"].source == "default"
    admin.alter_configs("topic", topic, subtract={"cleanup.policy": ["delete"]})
    eventually(lambda: cleanup() == "compact", "what was subtracted")
    admin.alter_configs("topic", topic, {"segment.bytes": 2_097_152}, validate_only=True)
    entry = admin.describe_configs("topic", topic)["segment.bytes"]
    assert entry.value == "1048576"
    assert entry.synonyms[0] == ("segment.bytes", "1048576", "topic")
    with pytest.raises(errors.InvalidConfigError):
        admin.alter_configs("topic", topic, {"no.such.setting": 1})
    with pytest.raises(errors.UnknownTopicOrPartitionError):
        admin.describe_configs("topic", fresh())
    with pytest.raises(TypeError, match="takes changes"):
        admin.alter_configs("topic", topic)
    with pytest.raises(ValueError, match="topic, broker, group"):
        admin.describe_configs("user", topic)  # type: ignore[arg-type]


def test_brokers_and_groups_have_settings(admin: pabal.Admin) -> None:
    (broker,) = admin.describe_cluster().brokers
    settings = admin.describe_configs("broker", broker.id)
    assert settings["log.dirs"].read_only
    assert settings["num.partitions"].value == "1"
    group = fresh("group")
    admin.alter_configs("group", group, {"consumer.session.timeout.ms": 50_000})

    def timeout() -> tuple[str | None, str]:
        entry = admin.describe_configs("group", group)["consumer.session.timeout.ms"]
        return entry.value, entry.source

    eventually(lambda: timeout() == ("50000", "group"), "the group's setting")


def test_offsets_are_found_by_place_and_time(servers: str, admin: pabal.Admin) -> None:
    topic = filled(servers, admin)
    place = pabal.TopicPartition(topic, 0)
    assert admin.list_offsets(topic) == {place: 10}
    assert admin.list_offsets([place], "earliest") == {place: 0}
    assert admin.list_offsets(topic, 1035) == {place: 4}
    assert admin.list_offsets(topic, datetime.fromtimestamp(1.05, timezone.utc)) == {place: 5}
    assert admin.list_offsets(topic, datetime.now(timezone.utc)) == {place: None}
    assert admin.list_offsets(topic, "max_timestamp") == {place: 9}
    assert admin.delete_records({place: 3}) == {place: 3}
    assert admin.list_offsets([place], "earliest") == {place: 3}
    assert admin.delete_records({place: "latest"}) == {place: 10}
    with pytest.raises(errors.OffsetOutOfRangeError):
        admin.delete_records({place: 11})
    with pytest.raises(errors.UnknownTopicOrPartitionError, match="has no partition 7"):
        admin.list_offsets([(topic, 7)])
    with pytest.raises(ValueError, match="max_timestamp"):
        admin.list_offsets(topic, "yesterday")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a pair like"):
        admin.list_offsets([topic])  # type: ignore[list-item]


def test_groups_are_described_moved_and_deleted(servers: str, admin: pabal.Admin) -> None:
    topic, group = filled(servers, admin), fresh("group")
    place = pabal.TopicPartition(topic, 0)
    with pabal.Consumer(
        topic, bootstrap_servers=servers, group=group, auto_offset_reset="earliest"
    ) as consumer:
        assert len(read(consumer, 4)) == 4
        consumer.commit()
        described = admin.describe_group(group)
        assert described.state == "Stable"
        assert [member.assignment for member in described.members] == [((topic, 0),)]
        assert group in [one.id for one in admin.list_groups() if one.state == "Stable"]
        with pytest.raises(errors.NonEmptyGroupError):
            admin.delete_group(group)
        with pytest.raises(errors.NonEmptyGroupError):
            admin.alter_group_offsets(group, {place: 1})
        with pytest.raises(errors.GroupSubscribedToTopicError):
            admin.delete_group_offsets(group, [place])
    assert admin.list_group_offsets(group) == {place: 4}
    assert admin.group(group).lag == 6
    admin.alter_group_offsets(group, {place: 7})
    assert admin.list_group_offsets(group) == {place: 7}
    assert admin.reset_group_offsets(group, topic, to="earliest") == {place: 0}
    assert admin.list_group_offsets(group) == {place: 0}
    admin.delete_group_offsets(group, [place])
    assert admin.list_group_offsets(group) == {}
    admin.delete_group(group)
    with pytest.raises(errors.GroupIdNotFoundError):
        admin.describe_group(group)


def test_every_broker_knows_a_topic_once_it_is_created(three: pabal.Cluster) -> None:
    for number in range(20):
        topic = three.create_topic(f"known-{number}")
        for broker in three.brokers:
            with pabal.Admin(broker.address) as admin:
                assert admin.describe_topic(topic.name).name == topic.name


def test_leaders_are_elected(three: pabal.Cluster) -> None:
    topic = fresh()
    place = pabal.TopicPartition(topic, 0)
    with three.admin() as admin:
        admin.create_topic(topic, replicas=[[1, 2]])
        three.broker(1).stop()
        eventually(
            lambda: admin.describe_topic(topic).partitions[0].leader == 2, "a new leader"
        )
        with pytest.raises(errors.PreferredLeaderNotAvailableError, match=f"{topic}-0"):
            admin.elect_leaders([place])
        three.broker(1).start()
        three.wait_until_in_sync()
        assert admin.elect_leaders([place]) == [place]
        eventually(
            lambda: admin.describe_topic(topic).partitions[0].leader == 1, "the preferred leader"
        )
        assert admin.elect_leaders([place]) == []
        with pytest.raises(errors.UnknownTopicOrPartitionError):
            admin.elect_leaders([(fresh(), 0)])


def test_partitions_move(three: pabal.Cluster) -> None:
    with three.admin() as admin:
        topic = fresh()
        place = pabal.TopicPartition(topic, 0)
        admin.create_topic(topic, replicas=[[0]])
        with three.producer() as producer:
            producer.send_many(topic, [b"x" * 1000] * 100).result(20)
        admin.alter_partition_reassignments({place: [1, 2]})
        eventually(
            lambda: admin.describe_topic(topic).partitions[0].replicas == (1, 2), "the move"
        )
        assert admin.list_partition_reassignments() == {}
        three.broker(0).stop()
        three.broker(1).stop()
        three.broker(1).start()
        three.broker(0).start()
        with pytest.raises(errors.InvalidReplicaAssignmentError, match=f"{topic}-0"):
            admin.alter_partition_reassignments({place: [17]})
        with pytest.raises(errors.NoReassignmentInProgressError):
            admin.alter_partition_reassignments({place: None})


def test_a_move_that_waits_is_listed_and_ended(three: pabal.Cluster) -> None:
    with three.admin() as admin:
        topic = fresh()
        place = pabal.TopicPartition(topic, 0)
        admin.create_topic(topic, replicas=[[0]])
        with three.producer() as producer:
            producer.send_many(topic, [b"x"] * 10).result(20)
        three.broker(2).pause()
        try:
            admin.alter_partition_reassignments({place: [2]})
            (move,) = admin.list_partition_reassignments([place]).values()
            assert (move.adding, move.removing) == ((2,), (0,))
            admin.alter_partition_reassignments({place: None})
            assert admin.list_partition_reassignments() == {}
            assert admin.describe_topic(topic).partitions[0].replicas == (0,)
        finally:
            three.broker(2).resume()
        three.wait_until_in_sync()


def test_log_directories_tell_sizes(servers: str, admin: pabal.Admin) -> None:
    topic = filled(servers, admin)
    (broker,) = admin.describe_cluster().brokers
    (directory,) = admin.describe_log_dirs()[broker.id]
    assert directory.error is None
    assert directory.total_bytes is not None
    assert directory.usable_bytes is not None
    assert directory.total_bytes > directory.usable_bytes > 0
    replica = directory.replicas[pabal.TopicPartition(topic, 0)]
    assert replica.size > 0
    assert (replica.offset_lag, replica.is_future) == (0, False)
    with pytest.raises(errors.BrokerNotAvailableError):
        admin.describe_log_dirs([broker.id + 100])


def test_the_cluster_tells_of_itself(servers: str, admin: pabal.Admin) -> None:
    cluster = admin.describe_cluster()
    (broker,) = cluster.brokers
    assert f"{broker.host}:{broker.port}" == servers
    assert not broker.is_fenced
    assert len(cluster.cluster_id) == 22
    quorum = admin.describe_quorum()
    assert quorum.leader == broker.id
    assert [voter.id for voter in quorum.voters] == [broker.id]
    assert quorum.high_watermark > 0
    assert quorum.voters[0].log_end_offset >= quorum.high_watermark
    features = admin.describe_features()
    least, most = features.supported["metadata.version"]
    assert least <= features.finalized["metadata.version"] <= most
    level = features.finalized["metadata.version"]
    admin.update_features({"metadata.version": level}, validate_only=True)
    with pytest.raises(errors.KafkaError):
        admin.update_features({"no.such.feature": 1}, validate_only=True)
    with pytest.raises(ValueError, match="from 0"):
        admin.update_features({"metadata.version": -1})


def test_observers_of_the_quorum_are_told(three: pabal.Cluster) -> None:
    with three.admin() as admin:
        quorum = admin.describe_quorum()
        assert sorted(voter.id for voter in quorum.voters) == [0, 1, 2]
        assert quorum.leader == three.controller().id


def test_another_broker_is_asked_when_one_stands_still(three: pabal.Cluster) -> None:
    first, *others = three.brokers
    servers = ",".join(broker.address for broker in (first, *others))
    with pabal.Admin(servers, request_timeout_ms=500) as admin:
        assert isinstance(admin.list_topics(), list)
        first.pause()
        try:
            assert isinstance(admin.list_topics(timeout=20), list)
        finally:
            first.resume()
    three.wait_until_in_sync()


def test_wrong_use_is_told_at_once(cluster: pabal.Cluster) -> None:
    with pytest.raises(TypeError, match="did you mean request_timeout_ms"):
        pabal.Admin(cluster.bootstrap_servers, request_timout_ms=1)
    with pytest.raises(TypeError):
        pabal.Admin(9092)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="host:port"):
        pabal.Admin("nowhere")
    admin = cluster.admin()
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(admin)
    with pytest.raises(TypeError, match="timedelta or a number"):
        admin.list_topics(timeout="soon")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a mapping is wanted, offsets by partition, not list"):
        admin.delete_records([("t", 0)])  # type: ignore[arg-type]
    admin.close()
    admin.close()
    with pytest.raises(RuntimeError, match="closed"):
        admin.list_topics()


FORKS = """
import os, signal, sys, threading
import pabal
admin = pabal.Admin(sys.argv[1])
admin.list_topics()
child = os.fork()
if child == 0:
    try:
        admin.list_topics()
    except RuntimeError as error:
        sys.exit(0 if "fork" in str(error) else 1)  # Runs what an interpreter runs at its end.
    sys.exit(2)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
admin.list_topics()
silent = pabal.Admin(sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)  # It may be ignored, as under nohup.
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    silent.list_topics(timeout=60)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_fork_control_c_and_the_end_of_the_interpreter(cluster: pabal.Cluster) -> None:
    # A port that takes connections and never answers; both clients are open at the end.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", FORKS, cluster.bootstrap_servers, f"127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "interrupted\n"


def test_nobody_there_is_told_within_the_time() -> None:
    began = time.monotonic()
    with (
        pabal.Admin("127.0.0.1:1", default_api_timeout_ms=500) as admin,
        pytest.raises(errors.BrokerNotAvailableError, match="127.0.0.1:1"),
    ):
        admin.list_topics()
    assert time.monotonic() - began < 5


async def test_the_same_awaited(servers: str) -> None:
    topic = fresh()
    async with aio.Admin(servers) as admin:
        await admin.create_topic(topic, partitions=2)
        assert topic in await admin.list_topics()
        assert len((await admin.describe_topic(topic)).partitions) == 2
        assert set((await admin.list_offsets(topic)).values()) == {0}
        with pytest.raises(errors.TopicAlreadyExistsError):
            await admin.create_topic(topic)
        await admin.delete_topic(topic)
    await admin.close()
    with pytest.raises(RuntimeError, match="closed"):
        await admin.list_topics()


def test_what_is_awaited_is_all_that_there_is() -> None:
    for name, method in vars(pabal.Admin).items():
        if name.startswith("_") or name == "group":
            continue
        twin = getattr(aio.Admin, name)
        assert inspect.signature(twin) == inspect.signature(method), name
