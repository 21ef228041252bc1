"""Clusters as a script sees them: their life, their directory, their errors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

import pabal
from pabal import errors

ISOLATIONS = pytest.mark.parametrize("isolation", ["thread", "process"])


def produce(cluster: pabal.Cluster, topic: str, count: int, acks: str = "all") -> None:
    from confluent_kafka import Producer

    failures: list[str] = []
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "acks": acks})
    for number in range(count):
        producer.produce(
            topic,
            f"{number}".encode(),
            partition=0,
            on_delivery=lambda error, _: failures.append(str(error)) if error else None,
        )
    assert producer.flush(30) == 0
    assert failures == []


def consume(cluster: pabal.Cluster, topic: str, count: int) -> list[bytes]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": "unused",
            "enable.auto.commit": False,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        received: list[bytes] = []
        while len(received) < count:
            message = consumer.poll(30)
            assert message is not None, f"only {len(received)} of {count} came back"
            assert message.error() is None, str(message.error())
            received.append(message.value())
        return received
    finally:
        consumer.close()


@ISOLATIONS
def test_a_temporary_directory_goes_with_the_cluster(isolation: str) -> None:
    with pabal.Cluster(isolation=isolation) as cluster:
        directory = cluster.data_dir
        assert directory.is_dir()
        host, port = cluster.bootstrap_servers.split(":")
        socket.create_connection((host, int(port)), 10).close()
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 10)
    cluster.close()


@ISOLATIONS
def test_everything_is_found_again_in_a_data_directory(tmp_path: Path, isolation: str) -> None:
    with pabal.Cluster(data_dir=tmp_path, isolation=isolation) as cluster:
        created = cluster.create_topic("kept", partitions=2, config={"retention.ms": -1})
        cluster_id = cluster.cluster_id
        produce(cluster, "kept", 100)
    with pabal.Cluster(data_dir=tmp_path, isolation=isolation) as cluster:
        assert cluster.cluster_id == cluster_id
        assert cluster.topic("kept").id == created.id
        assert list(cluster.topics()) == ["kept"]
        assert consume(cluster, "kept", 100) == [f"{n}".encode() for n in range(100)]
        produce(cluster, "kept", 1)


@ISOLATIONS
@pytest.mark.parametrize("acks", ["1", "all"])
def test_acknowledged_records_survive_a_kill(isolation: str, acks: str) -> None:
    with pabal.Cluster(isolation=isolation) as cluster:
        cluster.create_topic("kept")
        produce(cluster, "kept", 1000, acks)
        broker = cluster.broker(0)
        address = broker.address
        broker.kill()
        assert not broker.is_running
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(address.split(":")[1])), 10)
        broker.restart()
        assert broker.address == address
        assert consume(cluster, "kept", 1000) == [f"{n}".encode() for n in range(1000)]


def test_a_process_broker_is_a_process() -> None:
    with pabal.Cluster(isolation="process") as cluster:
        pid = cluster.broker(0).pid
        assert pid != os.getpid()
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_broker_of_this_process_says_so() -> None:
    with pabal.Cluster() as cluster:
        broker = cluster.broker(0)
        assert broker.pid == os.getpid()
        broker.stop()
        with pytest.raises(RuntimeError, match="does not run"):
            _ = broker.pid


def test_topics_are_described() -> None:
    with pabal.Cluster() as cluster:
        topic = cluster.create_topic("orders", partitions=6, replication_factor=1)
        assert topic.partitions == 6
        assert [state.leader for state in topic.describe()] == [0] * 6
        assert topic.partition(5).isr == (0,)
        with pytest.raises(IndexError, match="no partition 6"):
            topic.partition(6)
        assert "orders" in topic._repr_html_()
        assert cluster.bootstrap_servers in cluster._repr_html_()
        topic.delete()
        assert cluster.topics() == {}
        with pytest.raises(errors.UnknownTopicOrPartitionError):
            cluster.topic("orders")
        with pytest.raises(errors.UnknownTopicOrPartitionError):
            cluster.delete_topic("orders")


def test_wrong_topics_are_refused_by_name() -> None:
    with pabal.Cluster() as cluster:
        cluster.create_topic("orders")
        with pytest.raises(errors.TopicAlreadyExistsError, match="orders"):
            cluster.create_topic("orders")
        with pytest.raises(errors.InvalidTopicError):
            cluster.create_topic("no spaces")
        with pytest.raises(errors.InvalidReplicationFactorError):
            cluster.create_topic("wide", replication_factor=3)
        with pytest.raises(errors.InvalidPartitionsError):
            cluster.create_topic("none", partitions=0)
        with pytest.raises(errors.InvalidConfigError, match="retention"):
            cluster.create_topic("wrong", config={"retention.msec": 1})
        with pytest.raises(errors.InvalidConfigError):
            cluster.create_topic("wrong", config={"retention.ms": "soon"})
        with pytest.raises(TypeError, match=r"retention\.ms"):
            cluster.create_topic("wrong", config={"retention.ms": object()})
        with pytest.raises(ValueError, match="replication factor"):
            cluster.create_topic("wrong", replication_factor=1 << 20)
        assert list(cluster.topics()) == ["orders"]


def test_wrong_arguments_fail_at_once() -> None:
    with pytest.raises(TypeError, match="brokers"):
        pabal.Cluster(brokers="one")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one broker"):
        pabal.Cluster(brokers=0)
    with pytest.raises(ValueError, match="isolation"):
        pabal.Cluster(isolation="container")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timeout"):
        pabal.Cluster(timeout="soon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        pabal.Cluster(timeout=timedelta(seconds=-1))


@ISOLATIONS
def test_wrong_properties_are_refused(isolation: str) -> None:
    with pytest.raises(errors.PabalError, match=r"num\.partitions"):
        pabal.Cluster(config={"num.partitions": "many"}, isolation=isolation)
    with pytest.raises(errors.InvalidConfigError, match=r"did you mean 'num\.partitions'"):
        pabal.Cluster(config={"num.partition": 3}, isolation=isolation)


@ISOLATIONS
def test_a_directory_in_use_is_refused(tmp_path: Path, isolation: str) -> None:
    with pabal.Cluster(data_dir=tmp_path, isolation=isolation) as cluster:
        with pytest.raises(errors.PabalError, match="lock|use"):
            pabal.Cluster(data_dir=tmp_path, isolation=isolation)
        cluster.create_topic("still-served")


@ISOLATIONS
def test_a_port_in_use_is_refused(isolation: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listeners = f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0"
        with pytest.raises(errors.PabalError, match=str(port)):
            pabal.Cluster(config={"listeners": listeners}, isolation=isolation)


def test_calls_on_a_closed_cluster_say_so() -> None:
    cluster = pabal.Cluster()
    cluster.close()
    with pytest.raises(RuntimeError, match="closed"):
        cluster.create_topic("late")
    assert "closed" in repr(cluster)


def test_an_interpreter_that_ends_ends_its_clusters() -> None:
    script = "import pabal; c = pabal.Cluster(); c.create_topic('x'); print(c.data_dir)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert not Path(done.stdout.strip()).exists()
    assert done.stderr == ""


def test_a_fork_does_not_touch_its_parents_cluster() -> None:
    script = """
import os, sys, pabal
cluster = pabal.Cluster()
child = os.fork()
if child == 0:
    try:
        cluster.create_topic("child")
    except RuntimeError as error:
        sys.exit(0 if "fork" in str(error) else 1)  # Runs what an interpreter runs at its end.
    sys.exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert cluster.data_dir.exists()
cluster.create_topic("parent")
assert list(cluster.topics()) == ["parent"]
cluster.close()
"""
    subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script], timeout=60, check=True
    )


def test_the_child_of_a_fork_has_clusters_of_its_own() -> None:
    script = """
import os, sys, pabal
cluster = pabal.Cluster()
child = os.fork()
if child == 0:
    with pabal.Cluster() as own, own.producer() as producer:
        sys.exit(producer.send("child", b"x").result(30).offset)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert not cluster.topics()
cluster.close()
"""
    subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script], timeout=60, check=True
    )


def test_a_closed_cluster_stays_closed() -> None:
    cluster = pabal.Cluster()
    cluster.close()
    with pytest.raises(RuntimeError, match="closed"):
        cluster.broker(0).restart()
    with pytest.raises(RuntimeError, match="closed"), cluster:
        pass
    assert not cluster.data_dir.exists()


@ISOLATIONS
def test_a_dead_broker_is_not_in_sync(isolation: str) -> None:
    with pabal.Cluster(brokers=3, isolation=isolation) as cluster:
        orders = cluster.create_topic("orders")
        cluster.broker(0).kill()
        with pytest.raises(TimeoutError, match="not in sync"):
            cluster.wait_until_in_sync(timeout=0.2)
        cluster.broker(0).restart()
        cluster.wait_until_in_sync()
        assert len(orders.partition(0).isr) == 3


def test_the_metrics_of_a_broker_are_prometheus_text() -> None:
    with pabal.Cluster() as cluster:
        cluster.create_topic("counted")
        text = cluster.broker(0).metrics()
    assert "# TYPE" in text
    assert 'api="CreateTopics"' in text


def test_waiting_does_not_hold_the_interpreter() -> None:
    import threading

    with pabal.Cluster() as cluster:
        turns = 0
        done = threading.Event()

        def turn() -> None:
            nonlocal turns
            while not done.is_set():
                turns += 1
                time.sleep(0)

        thread = threading.Thread(target=turn)
        thread.start()
        before = turns
        for number in range(50):
            cluster.create_topic(f"topic-{number}")
        assert turns > before
        done.set()
        thread.join()
