"""Brokers with two log directories each, of which one fails while it is in use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from python.fail_over_test import traffic

import pabal
from pabal import errors

PATIENCE = 30.0
PARTITIONS = 12


def second_directory(broker: pabal.Broker) -> Path:
    return broker.directory.with_name(f"{broker.directory.name}-more")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[pabal.Cluster]:
    # How often a directory that nobody uses is looked at.
    config = {"replica.high.watermark.checkpoint.interval.ms": 100}
    with pabal.Cluster(brokers=3, data_dir=tmp_path, config=config) as cluster:
        for broker in cluster.brokers:
            broker.stop()
            broker._config["log.dirs"] = f"{broker.directory},{second_directory(broker)}"
            broker.start()
        yield cluster


def lies_in(admin: pabal.Admin, broker: int, place: int) -> set[int]:
    """The partitions of "orders" that the broker has in one of its directories."""
    replicas = admin.describe_log_dirs([broker])[broker][place].replicas
    return {each.partition for each in replicas if each.topic == "orders"}


def test_a_broker_goes_on_without_a_directory_that_failed(cluster: pabal.Cluster) -> None:
    orders = cluster.create_topic("orders", partitions=PARTITIONS, replication_factor=3)
    struck = cluster.broker(1)
    directory = second_directory(struck)
    gone = directory.with_name("gone")
    with cluster.admin() as admin:
        kept, lost = lies_in(admin, 1, 0), lies_in(admin, 1, 1)
        assert kept and lost and kept | lost == set(range(PARTITIONS))
        with traffic(cluster, orders) as under_way:
            directory.rename(gone)
            until(lambda: all(1 not in orders.partition(index).isr for index in lost))
            assert all(orders.partition(index).leader != 1 for index in lost)
            sound, failed = admin.describe_log_dirs([1])[1]
            assert sound.error is None
            assert isinstance(failed.error, errors.KafkaStorageError)
            assert failed.replicas == {}
            under_way.wait_for_more()
            assert all(1 in orders.partition(index).isr for index in kept)

            # It starts without it, too, and makes no new, empty replicas elsewhere.
            struck.stop()
            directory.write_text("no directory")
            struck.start()
            under_way.wait_for_more()
            until(lambda: all(1 in orders.partition(index).isr for index in kept))
            assert lies_in(admin, 1, 0) == kept
            assert all(1 not in orders.partition(index).isr for index in lost)

            struck.stop()
            directory.unlink()
            gone.rename(directory)
            struck.start()
            cluster.wait_until_in_sync(timeout=PATIENCE)
        assert lies_in(admin, 1, 1) == lost


def test_a_new_directory_takes_the_place_of_one_that_is_lost(cluster: pabal.Cluster) -> None:
    orders = cluster.create_topic("orders", partitions=PARTITIONS, replication_factor=3)
    struck = cluster.broker(2)
    struck.stop()
    second_directory(struck).rename(second_directory(struck).with_name("gone"))
    struck.start()
    cluster.wait_until_in_sync(timeout=PATIENCE)
    # Its replicas were made again, and the controller knows where: another failure is noticed.
    with cluster.admin() as admin, traffic(cluster, orders):
        lost = lies_in(admin, 2, 1)
        second_directory(struck).rename(second_directory(struck).with_name("gone-too"))
        until(lambda: all(2 not in orders.partition(index).isr for index in lost))


def test_a_broker_without_its_metadata_log_serves_nothing(cluster: pabal.Cluster) -> None:
    orders = cluster.create_topic("orders", partitions=PARTITIONS, replication_factor=3)
    struck = cluster.broker(1)
    with traffic(cluster, orders):
        struck.directory.rename(struck.directory.with_name("gone"))
        until(lambda: all(1 not in state.isr for state in orders.describe()))
    struck.kill()
