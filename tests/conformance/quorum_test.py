"""The metadata quorum of several server processes: elections, fail-over, logs that part and meet
again, snapshots that are fetched, nodes with one role alone; and Kafka's tools on all of it."""

from __future__ import annotations

import base64
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conformance.kafka import KafkaReference, free_ports, kafka_node
from conformance.wire import Closed, Wire
from pabal.errors import PabalError
from pabal.process import ServerProcess

CLUSTER_ID = "PfFqbXW2TlyfGmj5mHU5Og"
QUORUM_TOOL = "org.apache.kafka.tools.MetadataQuorumCommand"
DUMP_TOOL = "org.apache.kafka.tools.DumpLogSegments"
LOG = "__cluster_metadata-0/00000000000000000000.log"

Replica = dict[str, Any]


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


@dataclass
class Nodes:
    """Nodes of one cluster: the first ones vote, further ones are brokers alone."""

    directory: Path
    roles: list[str]
    settings: dict[str, str] = field(default_factory=dict)
    # The first node is the only voter at first; the others know where it is, and no more.
    dynamic: bool = False
    first: int = 0
    running: dict[int, ServerProcess] = field(default_factory=dict)
    properties: dict[int, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ports = free_ports(2 * len(self.roles))
        self.broker_ports = ports[: len(self.roles)]
        self.controller_ports = ports[len(self.roles) :]

    @property
    def voters(self) -> list[int]:
        return [node for node, role in enumerate(self.roles) if "controller" in role]

    def log_directory(self, node: int) -> Path:
        return self.directory / str(node)

    def begin(self, node: int, cluster_id: str = CLUSTER_ID) -> None:
        listeners = []
        if "broker" in self.roles[node]:
            listeners.append(f"PLAINTEXT://127.0.0.1:{self.broker_ports[node]}")
        if "controller" in self.roles[node]:
            listeners.append(f"CONTROLLER://127.0.0.1:{self.controller_ports[node]}")
        voters = (f"{voter}@127.0.0.1:{self.controller_ports[voter]}" for voter in self.voters)
        servers = ",".join(f"127.0.0.1:{self.controller_ports[voter]}" for voter in self.voters)
        members = (
            {"controller.quorum.bootstrap.servers": servers}
            if self.dynamic
            else {"controller.quorum.voters": ",".join(voters)}
        )
        first = "--standalone" if node == self.first else "--no-initial-controllers"
        properties = {
            "process.roles": self.roles[node],
            "node.id": str(node),
            "listeners": ",".join(listeners),
            "controller.listener.names": "CONTROLLER",
            **members,
            "log.dirs": str(self.log_directory(node)),
            **self.settings,
        }
        self.properties[node] = properties
        self.running[node] = ServerProcess(properties, cluster_id, [first] if self.dynamic else [])

    def start(self, *nodes: int) -> None:
        for node in nodes:
            self.begin(node)
        for node in nodes:
            self.running[node].wait(30)

    def kill(self, node: int) -> None:
        self.running.pop(node).kill()

    def stop(self, *nodes: int) -> None:
        for node in nodes:
            self.running.pop(node).stop(30)

    def partition(self, voter: int) -> Replica:
        """What a voter says about the quorum; only its leader knows more than an error."""
        topics = [{"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}]
        with Wire(self.controller_ports[voter], timeout=5) as wire:
            answer = wire.ask("describe_quorum", 2, topics=topics)
        partition: Replica = answer["topics"][0]["partitions"][0]
        return partition

    def described(self) -> Replica | None:
        """What the leader says, once there is one."""
        for voter in self.voters:
            if voter not in self.running:
                continue
            try:
                partition = self.partition(voter)
            except (OSError, Closed):
                continue
            if partition["error_code"] == "none":
                return partition
        return None

    def leader(self) -> int:
        until(self.described)
        described = self.described()
        assert described is not None
        return int(described["leader_id"])

    def everybody_caught_up(self) -> bool:
        quorum = self.described()
        if quorum is None:
            return False
        replicas = quorum["current_voters"] + quorum["observers"]
        ends = {replica["replica_id"]: replica["log_end_offset"] for replica in replicas}
        return all(ends.get(node) == quorum["high_watermark"] for node in self.running)

    def create(self, name: str, node: int, replicas: int = 1) -> None:
        topic = {"name": name, "num_partitions": 1, "replication_factor": replicas}
        with Wire(self.broker_ports[node]) as wire:
            answer = wire.ask("create_topics", 7, topics=[topic], timeout=10_000)
        assert [topic["error_code"] for topic in answer["topics"]] == ["none"], answer

    def topics(self, node: int) -> set[str]:
        with Wire(self.broker_ports[node]) as wire:
            answer = wire.ask("metadata", 12, topics=None)
        return {topic["name"] for topic in answer["topics"]}

    def log(self, node: int) -> bytes:
        return (self.log_directory(node) / LOG).read_bytes()


@pytest.fixture
def make_nodes(tmp_path: Path) -> Iterator[Callable[..., Nodes]]:
    made: list[Nodes] = []

    def make(*roles: str, dynamic: bool = False, **settings: str) -> Nodes:
        made.append(Nodes(tmp_path, list(roles), settings, dynamic))
        return made[-1]

    yield make
    for nodes in made:
        for process in nodes.running.values():
            process.kill()


BOTH = "broker,controller"


def test_one_log_through_deaths_and_orderly_ends(make_nodes: Callable[..., Nodes]) -> None:
    nodes = make_nodes(BOTH, BOTH, BOTH)
    nodes.start(0, 1, 2)
    created = set()
    for turn in range(4):
        leader = nodes.leader()
        nodes.create(f"before-{turn}", leader)
        if turn % 2 == 0:
            nodes.kill(leader)
        else:
            nodes.stop(leader)
        successor = nodes.leader()
        assert successor != leader
        other = 3 - leader - successor
        nodes.create(f"after-{turn}", other)
        created |= {f"before-{turn}", f"after-{turn}"}
        nodes.start(leader)
        until(nodes.everybody_caught_up)
    until(lambda: all(nodes.topics(node) >= created for node in (0, 1, 2)))
    # The last ones have no majority any more, and can commit nothing.
    until(nodes.everybody_caught_up)
    for node in (0, 1, 2):
        nodes.kill(node)
    shortest = min((nodes.log(node) for node in (0, 1, 2)), key=len)
    assert len(shortest) > 1000
    for node in (0, 1, 2):
        assert nodes.log(node).startswith(shortest)


def test_records_of_a_leader_without_followers_are_cut_off(
    make_nodes: Callable[..., Nodes],
) -> None:
    nodes = make_nodes(BOTH, BOTH, BOTH, **{"controller.quorum.fetch.timeout.ms": "4000"})
    nodes.start(0, 1, 2)
    leader = nodes.leader()
    others = [node for node in (0, 1, 2) if node != leader]
    nodes.create("kept", leader)
    for node in others:
        nodes.running[node].pause()

    def nobody_waits_for_news() -> bool:
        quorum = nodes.partition(leader)
        latest = max(
            replica["last_fetch_timestamp"]
            for replica in quorum["current_voters"]
            if replica["replica_id"] != leader
        )
        return bool(time.time() * 1000 - latest > 1000)

    until(nobody_waits_for_news)
    size = len(nodes.log(leader))
    topic = {"name": "lost", "num_partitions": 1, "replication_factor": 1}
    with Wire(nodes.broker_ports[leader]) as wire:
        wire.post("create_topics", 7, topics=[topic], timeout=100)
        until(lambda: len(nodes.log(leader)) > size)
    nodes.kill(leader)
    for node in others:
        nodes.running[node].resume()
    assert nodes.leader() in others
    nodes.create("later", others[0])
    nodes.start(leader)
    until(nodes.everybody_caught_up)
    until(lambda: nodes.topics(leader) >= {"kept", "later"})
    assert "lost" not in nodes.topics(leader)
    assert "the metadata log is cut off" in nodes.running[leader].log_tail()
    # It starts again with what is left.
    nodes.kill(leader)
    nodes.start(leader)
    assert nodes.topics(leader) >= {"kept", "later"}


def test_a_node_that_was_away_fetches_the_snapshot(make_nodes: Callable[..., Nodes]) -> None:
    every = {"metadata.log.max.record.bytes.between.snapshots": "4000"}
    nodes = make_nodes(BOTH, BOTH, BOTH, **every)
    nodes.start(0, 1, 2)
    leader = nodes.leader()
    away = (leader + 1) % 3
    nodes.kill(away)
    names = {f"topic-{number}" for number in range(60)}
    for name in sorted(names):
        nodes.create(name, leader)

    def snapshots(node: int) -> list[Path]:
        return list((nodes.log_directory(node) / "__cluster_metadata-0").glob("*.checkpoint"))

    until(lambda: snapshots(leader))
    nodes.start(away)
    until(nodes.everybody_caught_up)
    assert nodes.topics(away) >= names
    assert "metadata snapshot fetched" in nodes.running[away].log_tail(100_000)
    # It can lead with what it fetched.
    for node in (leader, 3 - leader - away):
        nodes.stop(node)
    nodes.start(leader)
    nodes.create("after-all", away)


def test_no_majority_no_answer_and_full_recovery(make_nodes: Callable[..., Nodes]) -> None:
    nodes = make_nodes(BOTH, BOTH, BOTH)
    nodes.start(0, 1, 2)
    leader = nodes.leader()
    others = [node for node in (0, 1, 2) if node != leader]
    for node in others:
        nodes.kill(node)
    topic = {"name": "orders", "num_partitions": 1, "replication_factor": 1}
    with Wire(nodes.broker_ports[leader]) as wire:
        answer = wire.ask("create_topics", 7, topics=[topic], timeout=100)
    assert answer["topics"][0]["error_code"] in ("request_timed_out", "not_controller")
    until(lambda: nodes.partition(leader)["error_code"] != "none")
    assert "orders" not in nodes.topics(leader)
    nodes.start(others[0])
    nodes.create("orders-2", leader)
    nodes.start(others[1])
    until(nodes.everybody_caught_up)


def test_a_node_of_another_cluster_is_refused(make_nodes: Callable[..., Nodes]) -> None:
    nodes = make_nodes(BOTH, BOTH, BOTH)
    nodes.begin(0)
    nodes.begin(1)
    nodes.begin(2, cluster_id="AnotherClusterAnother1")
    stranger = nodes.running.pop(2)
    try:
        for node in (0, 1):
            nodes.running[node].wait(30)
        nodes.create("orders", 0)
        assert nodes.leader() in (0, 1)
    finally:
        stranger.kill()


@pytest.mark.reference
def test_roles_apart_as_kafkas_tools_see_them(
    make_nodes: Callable[..., Nodes], kafka: KafkaReference
) -> None:
    nodes = make_nodes("controller", "controller", "controller", "broker", "broker")
    nodes.start(0, 1, 2, 3, 4)
    nodes.create("orders", 4, replicas=2)
    until(nodes.everybody_caught_up)

    def tool(class_name: str, *arguments: str) -> str:
        ended = kafka.tool(class_name, *arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        said: str = ended.stdout
        return said

    at_broker = ("--bootstrap-server", f"127.0.0.1:{nodes.broker_ports[3]}")
    at_controller = ("--bootstrap-controller", f"127.0.0.1:{nodes.controller_ports[1]}")
    leader = nodes.leader()
    for where in (at_broker, at_controller):
        status = tool(QUORUM_TOOL, *where, "describe", "--status")
        assert re.search(rf"LeaderId: +{leader}\n", status)
        assert len(re.findall(r"CONTROLLER://127\.0\.0\.1", status)) == 3
        replication = tool(QUORUM_TOOL, *where, "describe", "--replication")
        standings = re.findall(r"^(\d)\s.*(Leader|Follower|Observer)", replication, re.MULTILINE)
        assert sorted(standings) == sorted(
            (str(node), "Observer" if node > 2 else "Leader" if node == leader else "Follower")
            for node in range(5)
        )
    nodes.kill(leader)
    assert nodes.leader() != leader
    nodes.create("more", 3, replicas=2)
    until(nodes.everybody_caught_up)
    dumps = set()
    for node in nodes.running:
        path = str(nodes.log_directory(node) / LOG)
        dump = tool(DUMP_TOOL, "--cluster-metadata-decoder", "--files", path)
        assert "LeaderChange" in dump and '"name":"more"' in dump
        dumps.add(re.sub(r"^Dumping .*", "", dump))
    assert len(dumps) == 1


@pytest.mark.reference
def test_a_controller_of_kafka_votes_follows_and_leads(
    make_nodes: Callable[..., Nodes], kafka: KafkaReference
) -> None:
    nodes = make_nodes(BOTH, BOTH, "controller")
    nodes.start(0, 1)
    leader = nodes.leader()
    nodes.create("orders", leader)
    voters = (f"{voter}@127.0.0.1:{nodes.controller_ports[voter]}" for voter in nodes.voters)
    properties = {
        "process.roles": "controller",
        "node.id": "2",
        "listeners": f"CONTROLLER://127.0.0.1:{nodes.controller_ports[2]}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": ",".join(voters),
    }
    with kafka_node(kafka, properties, CLUSTER_ID):

        def kafka_caught_up() -> bool:
            quorum = nodes.partition(leader)
            ends = {each["replica_id"]: each["log_end_offset"] for each in quorum["current_voters"]}
            return bool(ends[2] == quorum["high_watermark"])

        until(kafka_caught_up, 60)
        other = 1 - leader
        nodes.kill(leader)

        def successor() -> int | None:
            for voter in (other, 2):
                partition = nodes.partition(voter)
                if partition["error_code"] == "none":
                    return int(partition["leader_id"])
            return None

        until(lambda: successor() is not None)
        # Kafka's controller waits for the session of a dead broker, ours knows at once.
        nodes.create("more", other)
        assert nodes.topics(other) >= {"orders", "more"}
        nodes.start(leader)
        until(lambda: nodes.topics(leader) >= {"orders", "more"}, 60)


def voters_of(quorum: Replica | None) -> set[int]:
    return set() if quorum is None else {each["replica_id"] for each in quorum["current_voters"]}


def directory_id(nodes: Nodes, node: int) -> str:
    """The one in meta.properties."""
    text = (nodes.log_directory(node) / "meta.properties").read_text()
    found = re.search(r"directory\.id=(\S+)", text)
    assert found is not None
    return found[1]


def as_uuid(text: str) -> uuid.UUID:
    """Kafka writes 22 characters of base64."""
    return uuid.UUID(bytes=base64.urlsafe_b64decode(text + "=="))


def ask_controller(nodes: Nodes, node: int, api: str, version: int, **fields: Any) -> Replica:
    with Wire(nodes.controller_ports[node], timeout=20) as wire:
        answer: Replica = wire.ask(api, version, **fields)
    return answer


def add_voter(nodes: Nodes, at: int, node: int) -> str:
    listener = {"name": "CONTROLLER", "host": "127.0.0.1", "port": nodes.controller_ports[node]}
    answer = ask_controller(
        nodes, at, "add_raft_voter", 1, cluster_id=CLUSTER_ID, timeout=10_000, voter_id=node,
        voter_directory_id=as_uuid(directory_id(nodes, node)), listeners=[listener],
    )  # fmt: skip
    return str(answer["error_code"])


def remove_voter(nodes: Nodes, at: int, node: int, directory: str) -> str:
    answer = ask_controller(
        nodes, at, "remove_raft_voter", 0, cluster_id=CLUSTER_ID, voter_id=node,
        voter_directory_id=as_uuid(directory),
    )  # fmt: skip
    return str(answer["error_code"])


def test_static_voters_stay(make_nodes: Callable[..., Nodes]) -> None:
    nodes = make_nodes(BOTH, BOTH, BOTH)
    nodes.start(0, 1, 2)
    leader = nodes.leader()
    other = (leader + 1) % 3
    assert add_voter(nodes, leader, other) == "unsupported_version"
    assert remove_voter(nodes, leader, other, directory_id(nodes, other)) == "unsupported_version"


def test_static_voters_become_dynamic_ones(make_nodes: Callable[..., Nodes]) -> None:
    nodes = make_nodes(BOTH, BOTH, BOTH)
    nodes.start(0, 1, 2)
    nodes.create("before", nodes.leader())
    update = {"feature": "kraft.version", "max_version_level": 1, "upgrade_type": 1}

    def raised() -> bool:
        # Until all voters have told the leader of themselves.
        with Wire(nodes.broker_ports[0]) as wire:
            answer = wire.ask("update_features", 2, feature_updates=[update], timeout=10_000)
        assert answer["error_code"] in ("none", "invalid_update_version"), answer
        return bool(answer["error_code"] == "none")

    until(raised)

    def finalized() -> bool:
        software = {"client_software_name": "tests", "client_software_version": "1"}
        with Wire(nodes.broker_ports[1]) as wire:
            features = wire.ask("api_versions", 4, **software)["finalized_features"]
        return "kraft.version" in [each["name"] for each in features]

    until(finalized)
    until(nodes.everybody_caught_up)
    leader = nodes.leader()
    leaves = (leader + 1) % 3
    assert remove_voter(nodes, leader, leaves, directory_id(nodes, leaves)) == "none"
    assert voters_of(nodes.described()) == {0, 1, 2} - {leaves}
    # What the log says counts, also for those whose configuration names three.
    nodes.stop(0, 1, 2)
    nodes.start(0, 1, 2)
    nodes.create("after", nodes.leader())
    assert voters_of(nodes.described()) == {0, 1, 2} - {leaves}


def test_controllers_add_themselves_and_replace_a_lost_disk(
    make_nodes: Callable[..., Nodes],
) -> None:
    joins = {"controller.quorum.auto.join.enable": "true"}
    nodes = make_nodes(BOTH, BOTH, BOTH, dynamic=True, **joins)
    nodes.start(0, 1, 2)
    until(lambda: voters_of(nodes.described()) == {0, 1, 2})
    nodes.create("orders", 1, replicas=3)
    lost = nodes.leader()
    before = directory_id(nodes, lost)
    nodes.kill(lost)
    shutil.rmtree(nodes.log_directory(lost))
    until(lambda: nodes.leader() != lost)
    nodes.first = -1  # Not even the first one stands alone with its new disk.
    nodes.start(lost)
    after = directory_id(nodes, lost)
    assert after != before

    def replaced() -> bool:
        quorum = nodes.described()
        return voters_of(quorum) == {0, 1, 2} and any(
            each["replica_directory_id"] == str(as_uuid(after))
            for each in (quorum or {})["current_voters"]
        )

    until(replaced)
    nodes.create("after", lost, replicas=3)


def test_a_controller_with_others_to_ask_must_be_told_who_votes(tmp_path: Path) -> None:
    ports = free_ports(3)
    properties = {
        "process.roles": BOTH,
        "node.id": "0",
        "listeners": f"PLAINTEXT://127.0.0.1:{ports[0]},CONTROLLER://127.0.0.1:{ports[1]}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{ports[1]},127.0.0.1:{ports[2]}",
        "log.dirs": str(tmp_path / "0"),
    }
    process = ServerProcess(properties, CLUSTER_ID)
    with pytest.raises(PabalError, match="nobody says who votes"):
        process.wait(30)
    alone = ServerProcess(properties, CLUSTER_ID, ["--standalone"])
    alone.wait(30)
    alone.stop(30)
    assert (tmp_path / "0/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint").exists()
    # From then on the directory says it.
    again = ServerProcess(properties, CLUSTER_ID)
    again.wait(30)
    again.stop(30)


@pytest.mark.reference
def test_voters_come_and_go_by_kafkas_tools(
    make_nodes: Callable[..., Nodes], kafka: KafkaReference, tmp_path: Path
) -> None:
    nodes = make_nodes(BOTH, "controller", "controller", dynamic=True)
    nodes.start(0)
    nodes.begin(1)
    nodes.begin(2)
    nodes.running[1].wait(30)
    nodes.running[2].wait(30)

    def tool(*arguments: str, class_name: str = QUORUM_TOOL) -> str:
        ended = kafka.tool(class_name, *arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        said: str = ended.stdout
        return said

    at_broker = ("--bootstrap-server", f"127.0.0.1:{nodes.broker_ports[0]}")
    at_controller = ("--bootstrap-controller", f"127.0.0.1:{nodes.controller_ports[0]}")

    def add(node: int, where: tuple[str, str]) -> None:
        config = tmp_path / f"{node}.properties"
        config.write_text(
            "".join(f"{key}={value}\n" for key, value in nodes.properties[node].items())
        )
        said = tool(*where, "--command-config", str(config), "add-controller")
        assert f"Added controller {node} with directory id {directory_id(nodes, node)}" in said

    add(1, at_broker)
    add(2, at_controller)
    replication = tool(*at_broker, "describe", "--replication")
    for node in (0, 1, 2):
        status = "Leader" if node == 0 else "Follower"
        assert re.search(rf"^{node}\s+{directory_id(nodes, node)}\s.*{status}", replication, re.M)
    described = tool(*at_broker, "describe", class_name="org.apache.kafka.tools.FeatureCommand")
    assert re.search(r"Feature: kraft\.version.*FinalizedVersionLevel: 1\s", described)
    dump = tool(
        "--cluster-metadata-decoder",
        "--files",
        str(nodes.log_directory(1) / LOG),
        class_name=DUMP_TOOL,
    )
    assert "KRaftVersion" in dump and dump.count("KRaftVoters") == 3
    # A leader that is removed hands over.
    removal = ("remove-controller", "--controller-id", "0")
    said = tool(*at_broker, *removal, "--controller-directory-id", directory_id(nodes, 0))
    assert re.search(r"Removed +KRaft controller 0 with directory id", said)
    until(lambda: voters_of(nodes.described()) == {1, 2})
    nodes.create("orders", 0)
    status = tool(*at_broker, "describe", "--status")
    assert re.search(r"LeaderId: +[12]\n", status)


@pytest.mark.reference
def test_a_controller_of_kafka_joins_by_itself_and_leads(
    make_nodes: Callable[..., Nodes], kafka: KafkaReference
) -> None:
    nodes = make_nodes(BOTH, "controller", dynamic=True)
    nodes.start(0)
    nodes.create("orders", 0)
    ports = nodes.controller_ports
    properties = {
        "process.roles": "controller",
        "node.id": "1",
        "listeners": f"CONTROLLER://127.0.0.1:{ports[1]}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}",
        "controller.quorum.auto.join.enable": "true",
    }
    with kafka_node(kafka, properties, CLUSTER_ID, "--no-initial-controllers"):
        until(lambda: voters_of(nodes.partition(0)) == {0, 1}, 90)
        nodes.create("with-both", 0)
        assert remove_voter(nodes, 0, 0, directory_id(nodes, 0)) == "none"
        until(lambda: nodes.partition(1)["error_code"] == "none", 60)
        assert voters_of(nodes.partition(1)) == {1}
        until(lambda: nodes.topics(0) >= {"orders", "with-both"})
        nodes.create("led-by-kafka", 0)
