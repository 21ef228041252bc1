"""Three server processes, looked at and moved about with Kafka's own tools, each command through
any broker; and what happens to requests that only the active controller can answer."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pabal
from conformance.kafka import KafkaReference
from conformance.wire import Wire

TOOLS = "org.apache.kafka.tools."
TOPICS = TOOLS + "TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"
ELECTION = TOOLS + "LeaderElectionCommand"
REASSIGN = TOOLS + "reassign.ReassignPartitionsCommand"
CLUSTER = TOOLS + "ClusterTool"
FEATURES = TOOLS + "FeatureCommand"
DUMP = TOOLS + "DumpLogSegments"


@pytest.fixture
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(brokers=3, isolation="process") as cluster:
        yield cluster


Tool = Callable[..., str]


@pytest.fixture
def tool(kafka: KafkaReference, cluster: pabal.Cluster) -> Tool:
    """Runs a tool against the cluster; what it printed, once it has ended well."""

    def run(class_name: str, *arguments: str) -> str:
        where = ("--bootstrap-server", cluster.bootstrap_servers)
        # Its subcommand comes first.
        both = (*arguments, *where) if class_name == CLUSTER else (*where, *arguments)
        ended = kafka.tool(class_name, *both)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said
        return said

    return run


def port_of(cluster: pabal.Cluster, broker: int) -> int:
    return int(cluster.broker(broker).address.rsplit(":", 1)[1])


def described(cluster: pabal.Cluster, topic: str, asked: int) -> list[dict[str, object]]:
    """The partitions of the topic as one broker describes them."""
    with Wire(port_of(cluster, asked)) as wire:
        answer = wire.ask(
            "metadata", 9, topics=[{"name": topic}], allow_auto_topic_creation=False
        )
    partitions = answer["topics"][0]["partitions"]
    return sorted(partitions, key=lambda partition: int(partition["partition_index"]))


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


@pytest.mark.reference
def test_leaders_and_replicas_as_kafka_topics_shows_them(
    tool: Tool, cluster: pabal.Cluster
) -> None:
    tool(TOPICS, "--create", "--topic", "orders", "--partitions", "6", "--replication-factor", "3")
    shown = tool(TOPICS, "--describe", "--topic", "orders")
    assert "PartitionCount: 6" in shown and "ReplicationFactor: 3" in shown
    leaders = re.findall(r"Leader: (\d)", shown)
    assert sorted(leaders) == ["0", "0", "1", "1", "2", "2"]
    for replicas in re.findall(r"Isr: ([\d,]+)", shown):
        assert sorted(replicas.split(",")) == ["0", "1", "2"]
    assert "Partition:" not in tool(TOPICS, "--describe", "--under-replicated-partitions")

    cluster.broker(1).kill()
    until(lambda: all(p["leader_id"] != 1 for p in described(cluster, "orders", 0)), 5)
    under = tool(TOPICS, "--describe", "--under-replicated-partitions")
    assert len(re.findall("Partition: ", under)) == 6
    assert "Leader: 1" not in under

    cluster.broker(1).restart()
    cluster.wait_until_in_sync()
    assert "Partition:" not in tool(TOPICS, "--describe", "--under-replicated-partitions")
    tool(ELECTION, "--election-type", "preferred", "--all-topic-partitions")
    assert re.findall(r"Leader: (\d)", tool(TOPICS, "--describe", "--topic", "orders")) == leaders


@pytest.mark.reference
def test_reassignment(tool: Tool, cluster: pabal.Cluster, tmp_path: Path) -> None:
    tool(TOPICS, "--create", "--topic", "moved", "--replica-assignment", "0:1,1:2")
    plan = tmp_path / "plan.json"
    target = [{"topic": "moved", "partition": 0, "replicas": [2, 1]}]
    plan.write_text(json.dumps({"version": 1, "partitions": target}))
    asked = ("--reassignment-json-file", str(plan))
    said = tool(REASSIGN, *asked, "--execute")
    assert "Successfully started partition reassignment" in said
    until(lambda: sorted(described(cluster, "moved", 0)[0]["replica_nodes"]) == [1, 2])
    assert "is completed" in tool(REASSIGN, *asked, "--verify")
    assert "No partition reassignments found" in tool(REASSIGN, "--list")
    first, second = described(cluster, "moved", 2)
    assert first["replica_nodes"] == [2, 1] and sorted(first["isr_nodes"]) == [1, 2]
    assert first["leader_id"] in (1, 2)
    assert second["replica_nodes"] == [1, 2]

    # To a broker that cannot catch up, and back.
    cluster.broker(0).kill()
    until(lambda: 0 not in described(cluster, "moved", 1)[0]["isr_nodes"])
    # The tool would refuse a dead broker, and ask it to clear its throttles.
    for replicas in ([0, 1], None):
        with Wire(port_of(cluster, 1)) as wire:
            answer = wire.ask(
                "alter_partition_reassignments",
                0,
                topics=[
                    {"name": "moved", "partitions": [{"partition_index": 0, "replicas": replicas}]}
                ],
                timeout=10_000,
            )
        assert answer["responses"][0]["partitions"][0]["error_code"] == "none"
        if replicas:
            assert "moved-0: replicas: 0,1,2" in tool(REASSIGN, "--list")
    until(lambda: described(cluster, "moved", 1)[0]["replica_nodes"] in ([1, 2], [2, 1]))
    assert "No partition reassignments found" in tool(REASSIGN, "--list")


@pytest.mark.reference
def test_brokers_settings_and_features(tool: Tool, cluster: pabal.Cluster) -> None:
    for broker in "012":
        entity = ("--entity-type", "brokers", "--entity-name", broker)
        tool(CONFIGS, "--alter", *entity, "--add-config", f"log.retention.ms={broker}000000")
    for broker in "012":
        entity = ("--entity-type", "brokers", "--entity-name", broker)
        assert f"log.retention.ms={broker}000000 " in tool(CONFIGS, "--describe", *entity)
    listed = tool(CLUSTER, "list-endpoints")
    assert len(re.findall("unfenced", listed)) == 3
    assert cluster.cluster_id in tool(CLUSTER, "cluster-id")
    shown = tool(FEATURES, "describe")
    assert re.search(r"metadata.version\s.*FinalizedVersionLevel: 4.3-IV0", shown)

    cluster.broker(2).kill()
    until(lambda: "unfenced" in (said := tool(CLUSTER, "list-endpoints")) and "2 " not in said)
    tool(CLUSTER, "unregister", "--id", "2")
    included = tool(CLUSTER, "list-endpoints", "--include-fenced-brokers")
    assert len(re.findall("unfenced", included)) == 2 and " fenced" not in included


@pytest.mark.reference
def test_eligible_leaders_as_kafka_topics_shows_them(tool: Tool, cluster: pabal.Cluster) -> None:
    # A majority of the three controllers stays, whatever happens to the replicas.
    for _ in range(2):
        cluster.add_broker()
    tool(TOPICS, "--create", "--topic", "orders", "--replica-assignment", "3:4:0")

    def seen() -> str:
        with Wire(port_of(cluster, 1)) as wire:
            answer = wire.ask(
                "describe_topic_partitions", 0, topics=[{"name": "orders"}], cursor=None
            )
        (partition,) = answer["topics"][0]["partitions"]
        fields = ("leader_id", "isr_nodes", "eligible_leader_replicas", "last_known_elr")
        return " ".join(str(partition[field]) for field in fields).replace(", ", ",")

    def shown() -> str:
        said = tool(TOPICS, "--describe", "--topic", "orders")
        fields = ("Leader", "Isr", "Elr", "LastKnownElr")
        return " ".join(re.findall(rf"\b{field}: ?(\S*)", said)[0] or "-" for field in fields)

    def send(value: bytes) -> None:
        with cluster.producer(acks="all") as producer:
            producer.send("orders", value).result()

    def read(count: int) -> list[bytes]:
        with cluster.consumer("orders", auto_offset_reset="earliest") as consumer:
            values: list[bytes] = []
            while len(values) < count and (batch := consumer.poll(timeout=20)):
                values += [record.value or b"" for record in batch]
            return values

    send(b"by three")
    cluster.broker(3).stop()
    until(lambda: seen() == "4 [4,0] [] []")
    # What two commit the third misses: it is not eligible.
    send(b"by two")
    cluster.broker(4).stop()
    until(lambda: seen() == "0 [0] [4] []")
    assert shown() == "0 0 4 -"
    cluster.broker(0).stop()
    until(lambda: seen() == "-1 [] [0,4] [0]")
    assert shown() == "none - 0,4 0"
    cluster.broker(3).start()
    assert seen() == "-1 [] [0,4] [0]"
    # It ended in order and misses nothing, although it was not the last.
    cluster.broker(4).start()
    until(lambda: seen() == "4 [4,3] [] []")
    assert read(2) == [b"by three", b"by two"]

    # Whoever was killed may have lost the end of its log.
    cluster.broker(3).stop()
    until(lambda: seen() == "4 [4] [3] []")
    cluster.broker(4).kill()
    until(lambda: seen() == "-1 [] [3,4] [4]")
    cluster.broker(4).start()
    until(lambda: seen() == "-1 [] [3] [4]")
    cluster.broker(3).start()
    until(lambda: seen().startswith("3 "))
    cluster.broker(0).start()
    cluster.wait_until_in_sync()
    assert read(2) == [b"by three", b"by two"]

    feature = ("--feature", "eligible.leader.replicas.version=")
    for broker in (4, 0):
        cluster.broker(broker).stop()
    until(lambda: seen() == "3 [3] [0] []")
    tool(FEATURES, "downgrade", feature[0], feature[1] + "0")
    until(lambda: seen() == "3 [3] [] []")
    assert "FinalizedVersionLevel: 0" in features_line(tool)
    tool(FEATURES, "upgrade", feature[0], feature[1] + "1")
    assert "FinalizedVersionLevel: 1" in features_line(tool)
    everywhere = ("--entity-type", "brokers", "--entity-default")
    assert "min.insync.replicas=2 " in tool(CONFIGS, "--describe", *everywhere)


def features_line(tool: Tool) -> str:
    lines = tool(FEATURES, "describe").splitlines()
    return next(line for line in lines if "eligible.leader.replicas.version" in line)


def test_each_broker_takes_what_the_controller_decides(cluster: pabal.Cluster) -> None:
    for broker in range(3):
        with Wire(port_of(cluster, broker)) as wire:
            created = wire.ask(
                "create_topics",
                7,
                topics=[{"name": f"t{broker}", "num_partitions": 3, "replication_factor": 3}],
                timeout=10_000,
            )
            assert created["topics"][0]["error_code"] == "none"
            # Its creator can use it at once.
            assert len(described(cluster, f"t{broker}", broker)) == 3
            grown = wire.ask(
                "create_partitions",
                3,
                topics=[{"name": f"t{broker}", "count": 4, "assignments": None}],
                timeout=10_000,
            )
            assert grown["results"][0]["error_code"] == "none"
            assert len(described(cluster, f"t{broker}", broker)) == 4
            too_many = wire.ask(
                "create_topics",
                7,
                topics=[{"name": "wide", "num_partitions": 1, "replication_factor": 4}],
                timeout=10_000,
            )
            assert too_many["topics"][0]["error_code"] == "invalid_replication_factor"
            ids = wire.ask("init_producer_id", 4, transactional_id=None)
            assert ids["error_code"] == "none"
            deleted = wire.ask(
                "delete_topics", 6, topics=[{"name": f"t{broker}"}], timeout=10_000
            )
            assert deleted["responses"][0]["error_code"] == "none"
            features = wire.ask(
                "update_features",
                1,
                feature_updates=[
                    {"feature": "group.version", "max_version_level": 9, "upgrade_type": 1}
                ],
            )
            assert features["results"][0]["error_code"] == "invalid_update_version"
            gone = wire.ask("unregister_broker", 0, broker_id=77)
            assert gone["error_code"] == "broker_id_not_registered"


@pytest.mark.reference
def test_a_controller_that_leads_again_registers_no_more(
    kafka: KafkaReference, cluster: pabal.Cluster
) -> None:
    # Of five that lead one after the other at least two are the same.
    for _ in range(4):
        former = cluster.controller()
        former.pause()
        until(lambda: cluster.controller().id != former.id)  # noqa: B023
        former.resume()
    log = cluster.controller().directory / "__cluster_metadata-0" / f"{0:020}.log"
    dumped = kafka.tool(DUMP, "--cluster-metadata-decoder", "--files", str(log)).stdout
    registered = re.findall(r'"REGISTER_CONTROLLER_RECORD".*?"controllerId":(\d)', dumped)
    assert registered
    assert len(registered) == len(set(registered))


def test_a_killed_leader_is_replaced_in_no_time(cluster: pabal.Cluster) -> None:
    cluster.create_topic("orders", partitions=12, replication_factor=3)
    controller = cluster.controller().id
    victim = next(broker for broker in range(3) if broker != controller)
    begun = time.monotonic()
    cluster.broker(victim).kill()
    until(lambda: all(p["leader_id"] != victim for p in described(cluster, "orders", controller)))
    # The aim is half a second; a busy machine may need more.
    assert time.monotonic() - begun < 2


def test_an_orderly_stop_hands_leaders_over(cluster: pabal.Cluster) -> None:
    cluster.create_topic("orders", partitions=12, replication_factor=3)
    cluster.broker(1).stop()
    for partition in described(cluster, "orders", 0):
        assert partition["leader_id"] in (0, 2)
        assert sorted(partition["isr_nodes"]) == [0, 2]
