"""Clusters of several brokers that lose some: what was acknowledged stays, clients go on."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import pabal
from pabal import errors
from pabal.process import server_program

CLUSTERS = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text(encoding="utf-8")
ISOLATIONS = pytest.mark.parametrize("isolation", ["thread", "process"])
PATIENCE = 60.0


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Traffic:
    """A producer that goes on whatever happens; what it was acknowledged is known at the end."""

    def __init__(self, servers: str, topic: str, partitions: int) -> None:
        from confluent_kafka import Producer

        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 1,
                "message.timeout.ms": int(PATIENCE * 1000),
                # A broker that is silent is given up soon.
                "request.timeout.ms": 2000,
                "socket.timeout.ms": 4000,
                # Who is told that a request timed out does not ask by itself who leads now.
                "topic.metadata.refresh.interval.ms": 500,
            }
        )
        self._topic = topic
        self._partitions = partitions
        self._over = threading.Event()
        self._advanced = threading.Condition()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: dict[int, list[int]] = {index: [] for index in range(partitions)}
        self.failures: list[str] = []
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._over.is_set():
            partition = number % self._partitions
            try:
                self._producer.produce(
                    self._topic,
                    str(number).encode(),
                    partition=partition,
                    on_delivery=self._on_delivery(number, partition),
                )
                number += 1
            except BufferError:
                pass
            self._producer.poll(0.001)
        self._producer.flush(PATIENCE)

    def _on_delivery(self, number: int, partition: int) -> Callable[[object, object], None]:
        return lambda error, _: self._delivered(error, number, partition)

    def _delivered(self, error: object, number: int, partition: int) -> None:
        with self._advanced:
            if error is not None:
                self.failures.append(str(error))
            else:
                self.acknowledged[partition].append(number)
            self._advanced.notify_all()

    def wait_for_more(self, each: int = 20) -> None:
        """Until every partition has that many more acknowledgements."""
        with self._advanced:
            goal = {index: len(seen) + each for index, seen in self.acknowledged.items()}
            assert self._advanced.wait_for(
                lambda: all(len(self.acknowledged[i]) >= goal[i] for i in goal), PATIENCE
            ), f"no acknowledgements come any more; failures: {self.failures[:3]}"

    def end(self) -> None:
        self._over.set()
        self._thread.join(2 * PATIENCE)
        assert not self._thread.is_alive()


@contextmanager
def traffic(cluster: pabal.Cluster, topic: pabal.Topic) -> Iterator[Traffic]:
    under_way = Traffic(cluster.bootstrap_servers, topic.name, topic.partitions)
    try:
        under_way.wait_for_more()
        yield under_way
        under_way.wait_for_more()
    finally:
        under_way.end()
    assert under_way.failures == []
    found = everything(cluster, topic)
    # Idempotent, with acks=all and nothing given up: exactly what was acknowledged, in order.
    assert found == under_way.acknowledged


def everything(cluster: pabal.Cluster, topic: pabal.Topic) -> dict[int, list[int]]:
    """Every record of a topic."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
    found: dict[int, list[int]] = {}
    try:
        for index in range(topic.partitions):
            place = TopicPartition(topic.name, index, 0)
            end = consumer.get_watermark_offsets(place, timeout=PATIENCE)[1]
            consumer.assign([place])
            found[index] = []
            while len(found[index]) < end:
                message = consumer.poll(PATIENCE)
                assert message is not None, f"partition {index} ends at {end}: nothing comes"
                assert message.error() is None, str(message.error())
                found[index].append(int(message.value()))
    finally:
        consumer.close()
    return found


@ISOLATIONS
def test_three_brokers_form_a_cluster(isolation: str) -> None:
    with pabal.Cluster(brokers=3, isolation=isolation) as cluster:
        assert [broker.id for broker in cluster.brokers] == [0, 1, 2]
        assert len(set(cluster.bootstrap_servers.split(","))) == 3
        assert cluster.controller().is_running
        topic = cluster.create_topic("orders", partitions=6)
        assert {state.leader for state in topic.describe()} == {0, 1, 2}
        for state in topic.describe():
            assert set(state.replicas) == {0, 1, 2}
            assert set(state.isr) == {0, 1, 2}
        cluster.wait_until_in_sync()
        assert "orders" in cluster._repr_html_()


@ISOLATIONS
def test_nothing_acknowledged_is_lost_with_a_leader(isolation: str) -> None:
    with pabal.Cluster(brokers=3, isolation=isolation) as cluster:
        topic = cluster.create_topic("orders", partitions=3)
        with traffic(cluster, topic) as under_way:
            victim = topic.leader(0)
            victim.kill()
            under_way.wait_for_more()
            assert topic.leader(0) is not victim
            victim.restart()
            cluster.wait_until_in_sync()
            under_way.wait_for_more()


@ISOLATIONS
def test_nothing_acknowledged_is_lost_with_the_active_controller(isolation: str) -> None:
    with pabal.Cluster(brokers=3, isolation=isolation) as cluster:
        topic = cluster.create_topic("orders", partitions=3)
        with traffic(cluster, topic) as under_way:
            victim = cluster.controller()
            victim.kill()
            under_way.wait_for_more()
            assert cluster.controller() is not victim
            cluster.create_topic("later", partitions=2)


@ISOLATIONS
def test_each_broker_may_be_restarted_in_turn(isolation: str) -> None:
    with pabal.Cluster(brokers=3, isolation=isolation) as cluster:
        topic = cluster.create_topic("orders", partitions=3)
        with traffic(cluster, topic) as under_way:
            for broker in cluster.brokers:
                broker.restart()
                cluster.wait_until_in_sync()
                under_way.wait_for_more()


@ISOLATIONS
def test_a_paused_broker_is_replaced_and_comes_back(isolation: str) -> None:
    with pabal.Cluster(brokers=3, isolation=isolation) as cluster:
        topic = cluster.create_topic("orders", partitions=3)
        with traffic(cluster, topic) as under_way:
            paused = topic.leader(0)
            paused.pause()
            assert paused.is_paused
            under_way.wait_for_more()
            paused.resume()
            cluster.wait_until_in_sync()
            under_way.wait_for_more()


def test_a_broker_that_is_cut_off_is_replaced_and_comes_back() -> None:
    with pabal.Cluster(brokers=3) as cluster:
        topic = cluster.create_topic("orders", partitions=3)
        with traffic(cluster, topic) as under_way:
            lonely = topic.leader(0).id
            others = [broker.id for broker in cluster.brokers if broker.id != lonely]
            cluster.partition([lonely], others)
            under_way.wait_for_more()
            cluster.heal()
            cluster.wait_until_in_sync()


def test_what_one_way_is_cut_comes_back() -> None:
    with pabal.Cluster(brokers=3) as cluster:
        topic = cluster.create_topic("orders", partitions=3)
        with traffic(cluster, topic) as under_way:
            cluster.partition([0], [1, 2], one_way=True)
            under_way.wait_for_more()
            cluster.heal()
            cluster.partition([1, 2], [0], one_way=True)
            under_way.wait_for_more()
            cluster.heal()
            cluster.wait_until_in_sync()


def test_slow_wires_make_acknowledgements_slow() -> None:
    from confluent_kafka import Producer

    with pabal.Cluster(brokers=3) as cluster:
        topic = cluster.create_topic("orders", partitions=1)
        producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "acks": "all"})

        def seconds_of_one() -> float:
            began = time.monotonic()
            producer.produce(topic.name, b"x")
            assert producer.flush(PATIENCE) == 0
            return time.monotonic() - began

        seconds_of_one()
        cluster.delay(0.1)
        assert seconds_of_one() >= 0.1
        cluster.heal()
        cluster.wait_until_in_sync()
        seconds_of_one()


def test_without_a_majority_nothing_is_acknowledged_and_all_is_well_later() -> None:
    from confluent_kafka import Producer

    with pabal.Cluster(brokers=3) as cluster:
        topic = cluster.create_topic("orders", partitions=1)
        cluster.broker(0).kill()
        cluster.broker(1).kill()
        acknowledged: list[bool] = []
        producer = Producer(
            {
                "bootstrap.servers": cluster.bootstrap_servers,
                "acks": "all",
                "message.timeout.ms": 1500,
            }
        )
        producer.produce(
            topic.name, b"x", on_delivery=lambda error, _: acknowledged.append(error is None)
        )
        assert producer.flush(PATIENCE) == 0
        assert acknowledged == [False]
        with pytest.raises((errors.PabalError, TimeoutError)):
            cluster.create_topic("later", timeout=1.0)
        cluster.start()
        cluster.wait_until_in_sync()
        cluster.create_topic("afterwards")
        with traffic(cluster, cluster.create_topic("again", partitions=2)):
            pass


@ISOLATIONS
def test_a_cluster_is_found_again_in_its_directory(tmp_path: Path, isolation: str) -> None:
    with pabal.Cluster(brokers=3, isolation=isolation, data_dir=tmp_path) as cluster:
        cluster_id = cluster.cluster_id
        topic = cluster.create_topic("kept", partitions=3)
        with traffic(cluster, topic):
            pass
        kept = everything(cluster, topic)
    with pabal.Cluster(brokers=3, isolation=isolation, data_dir=tmp_path) as cluster:
        assert cluster.cluster_id == cluster_id
        assert everything(cluster, cluster.topic("kept")) == kept


@ISOLATIONS
def test_another_broker_joins(isolation: str) -> None:
    with pabal.Cluster(brokers=3, isolation=isolation) as cluster:
        added = cluster.add_broker()
        assert added.id == 3
        topic = cluster.create_topic("wide", partitions=8, replication_factor=3)
        assert any(3 in state.replicas for state in topic.describe())
        with traffic(cluster, topic):
            pass


def test_time_can_be_moved() -> None:
    with pabal.Cluster(brokers=3) as cluster:
        topic = cluster.create_topic(
            "short",
            partitions=1,
            config={"retention.ms": 3_600_000, "segment.ms": 600_000},
        )
        with traffic(cluster, topic):
            pass
        assert topic.offsets()[0][0] == 0
        cluster.clock.advance(hours=24)
        deadline = time.monotonic() + PATIENCE
        while topic.offsets()[0][0] == 0 and time.monotonic() < deadline:
            cluster.clock.advance(minutes=10)
        start, end = topic.offsets()[0]
        assert 0 < start <= end


def test_processes_cannot_be_cut_off_from_here() -> None:
    with pabal.Cluster(brokers=1, isolation="process") as cluster:
        with pytest.raises(RuntimeError, match='start the cluster with isolation="thread"'):
            cluster.partition([0], [])
        with pytest.raises(RuntimeError, match='start the cluster with isolation="thread"'):
            cluster.clock.advance(hours=1)


def test_unknown_brokers_are_named() -> None:
    with pabal.Cluster(brokers=1) as cluster:
        with pytest.raises(IndexError, match="no broker 7"):
            cluster.partition([0], [7])
        with pytest.raises(IndexError, match="no broker 7"):
            cluster.broker(7)


def test_a_group_goes_on_after_its_coordinator() -> None:
    from confluent_kafka import Consumer

    with pabal.Cluster(brokers=3) as cluster:
        topic = cluster.create_topic("orders", partitions=3)
        with traffic(cluster, topic):
            pass
        wanted = sum(end for _, end in topic.offsets())
        consumer = Consumer(
            {
                "bootstrap.servers": cluster.bootstrap_servers,
                "group.id": "readers",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        try:
            consumer.subscribe([topic.name])
            seen: set[tuple[int, int]] = set()
            killed = False
            deadline = time.monotonic() + PATIENCE
            while len(seen) < wanted and time.monotonic() < deadline:
                for message in consumer.consume(10, timeout=1.0):
                    assert message.error() is None, str(message.error())
                    seen.add((message.partition(), message.offset()))
                if seen:
                    consumer.commit(asynchronous=False)
                if seen and not killed:
                    killed = True
                    cluster.broker(cluster.group("readers").coordinator).kill()
            assert len(seen) == wanted
        finally:
            consumer.close()


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", CLUSTERS, re.DOTALL))
def test_the_page_about_clusters_is_true(example: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", example], check=True, timeout=120)


def test_three_property_files_make_a_cluster(tmp_path: Path) -> None:
    """As the page about clusters shows it, on ports that are free here."""
    template, *_ = re.findall(r"```properties\n(.*?)```", CLUSTERS, re.DOTALL)
    (command,) = re.findall(r"```sh\n(pabal-server .*?)\n```", CLUSTERS, re.DOTALL)
    shown = ["9092", "9093", "9193", "9293"]
    ports = free_ports(6)
    voters = dict(zip(shown[1:], ports[3:], strict=True))
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for node in range(3):
            lines = []
            for line in template.splitlines():
                line = line.replace("/var/lib/pabal/0", str(tmp_path / f"data-{node}"))
                if line.startswith("controller.quorum.voters"):
                    for port, free in voters.items():
                        line = line.replace(port, str(free))
                elif line.startswith("listeners"):
                    line = line.replace("9092", str(ports[node]))
                    line = line.replace("9093", str(ports[3 + node]))
                lines.append(line.replace("node.id=0", f"node.id={node}"))
            (tmp_path / f"{node}.properties").write_text("\n".join(lines) + "\n")
            program, *arguments = command.replace("0.properties", f"{node}.properties").split()
            servers.append(
                subprocess.Popen(
                    [str(server_program()), *arguments],
                    cwd=tmp_path,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            assert program == "pabal-server"
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{ports[0]}"})
        deadline = time.monotonic() + PATIENCE
        known: set[int] = set()
        while known != {0, 1, 2} and time.monotonic() < deadline:
            try:
                known = set(admin.list_topics(timeout=5).brokers)
            except KafkaException:
                pass
        assert known == {0, 1, 2}
    finally:
        for server in servers:
            server.kill()
            server.wait()
