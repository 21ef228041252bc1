"""The fixtures, as a project sees them that has nothing but pabal installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pabal
from pabal.autopsy import autopsy
from pabal.broker import Isolation

pytest_plugins = ["pytester"]

# Talks to a broker without any client library: connected or not.
CONNECT = """
    import os, socket
    def connect(cluster):
        host, port = cluster.bootstrap_servers.split(":")
        socket.create_connection((host, int(port)), 10).close()
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "no:asyncio", *arguments)


def test_a_cluster_is_shared_and_topics_are_not(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        CONNECT
        + """
    seen = set()
    def test_one(pabal_cluster, pabal_topic):
        connect(pabal_cluster)
        assert pabal_topic.partitions == 1
        assert pabal_topic.name.startswith("test_one-")
        assert list(pabal_cluster.topics()) == [pabal_topic.name]
        seen.add(pabal_cluster.cluster_id)
    def test_two(pabal_topic, pabal_cluster):
        assert list(pabal_cluster.topics()) == [pabal_topic.name]
        assert seen == {pabal_cluster.cluster_id}
        pabal_topic.delete()
    def test_three(pabal_cluster):
        assert pabal_cluster.topics() == {}
    """
    )
    run(pytester).assert_outcomes(passed=3)


def test_topics_are_made_as_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
    import pytest
    @pytest.mark.pabal_topic(partitions=3, config={"retention.ms": -1})
    @pytest.mark.parametrize("name", ["ä / ö", "x" * 300])
    def test_marked(pabal_topic, name):
        assert pabal_topic.partitions == 3
    def test_factory(pabal_topic_factory, pabal_cluster):
        assert pabal_topic_factory("orders", partitions=2).name == "orders"
        assert pabal_topic_factory().name != pabal_topic_factory().name
        assert len(pabal_cluster.topics()) == 3
    def test_nothing_is_left(pabal_cluster, pabal_topic_factory):
        assert pabal_cluster.topics() == {}
        pabal_topic_factory("orders")
    """
    )
    run(pytester).assert_outcomes(passed=4)


def test_clusters_are_made_as_told(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        """
    [pytest]
    pabal_config =
        num.partitions=4
        log.retention.hours=1
    """
    )
    pytester.makepyfile(
        """
    import os, pytest
    def test_ini(pabal_cluster):
        assert pabal_cluster.create_topic("ini").partitions == 4
    @pytest.mark.pabal(config={"num.partitions": 2}, isolation="process")
    class TestMarked:
        def test_marker(self, pabal_cluster):
            assert pabal_cluster.broker(0).pid != os.getpid()
            assert pabal_cluster.create_topic("marked").partitions == 2
        @pytest.mark.pabal(isolation="thread")
        def test_nearest_marker(self, pabal_topic, pabal_cluster):
            assert pabal_cluster.broker(0).pid == os.getpid()
            assert pabal_topic.partitions == 2
    def test_ini_again(pabal_cluster):
        assert list(pabal_cluster.topics()) == ["ini"]
    """
    )
    result = run(pytester, "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*::test_marker *"])  # The marker is no part of a test's name.


def test_a_cluster_of_a_test_may_be_killed_and_closed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
    def test_own(pabal_cluster_factory, tmp_path):
        first = pabal_cluster_factory(config={"num.partitions": 2}, data_dir=tmp_path)
        second = pabal_cluster_factory()
        assert first.bootstrap_servers != second.bootstrap_servers
        first.create_topic("orders")
        first.broker(0).kill()
        second.close()
    def test_shared(pabal_cluster, pabal_topic):
        pabal_cluster.broker(0).kill()
    def test_mended(pabal_cluster, pabal_topic):
        assert list(pabal_cluster.topics()) == [pabal_topic.name]
        pabal_cluster.close()
    def test_closed(pabal_topic):
        pass
    """
    )
    result = run(pytester)
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(["*takes one from pabal_cluster_factory*"])


def test_wider_fixtures_may_use_the_cluster(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
    import pytest
    @pytest.fixture(scope="session")
    def address(pabal_cluster):
        return pabal_cluster.bootstrap_servers
    def test_address(address, pabal_cluster):
        assert address == pabal_cluster.bootstrap_servers
    """
    )
    run(pytester).assert_outcomes(passed=1)


def test_a_failing_test_shows_what_the_brokers_know(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
    import pytest
    from confluent_kafka import Consumer, Producer
    @pytest.mark.pabal_topic(partitions=2)
    def test_orders(pabal_cluster, pabal_topic):
        servers = {"bootstrap.servers": pabal_cluster.bootstrap_servers, "log_level": 0}
        producer = Producer(servers)
        for number in range(3):
            producer.produce(pabal_topic.name, b"order", partition=1)
        producer.flush()
        consumer = Consumer(
            {**servers, "group.id": "shop", "auto.offset.reset": "earliest", "client.id": "till"}
        )
        consumer.subscribe([pabal_topic.name])
        message = consumer.poll(30)
        consumer.commit(message, asynchronous=False)
        try:
            assert message.value() == b"an order"
        finally:
            pytest.consumer = consumer  # Still a member while the report is made.
    def test_end():
        pytest.consumer.close()
    """
    )
    result = run(pytester)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*- pabal -*",
            "broker 0 127.0.0.1:*: running",
            "topic test_orders-*: 2 partitions, 3 records",
            "  partition 0: no record was ever written",
            "  partition 1: offsets 0 to 2",
            "group shop: Stable, range, 1 member, coordinator 0",
            "  test_orders-*-0: nothing committed, the log ends at 0, read by till",
            "  test_orders-*-1: committed 1 of 3, lag 2, read by till",
            "the last lines of broker 0:",
        ]
    )


def test_a_dead_broker_does_not_hide_the_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
    def test_killed(pabal_cluster, pabal_topic):
        pabal_cluster.broker(0).kill()
        assert pabal_topic is None
    """
    )
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert * is None*", "broker 0 127.0.0.1:*: NOT RUNNING"])


@pytest.mark.parametrize(
    ("marker", "answer"),
    [
        ("pabal(partitions=3)", "*mark.pabal takes config=, isolation=, brokers=*partitions*"),
        ("pabal_topic(3)", "*mark.pabal_topic takes partitions=*not 3*"),
        ("pabal(isolation='container')", "*isolation is*container*"),
        ("pabal(config={'num.partitions': 'many'})", "*num.partitions*"),
    ],
)
def test_a_wrong_marker_is_told(pytester: pytest.Pytester, marker: str, answer: str) -> None:
    pytester.makepyfile(
        f"""
    import pytest
    @pytest.mark.{marker}
    def test_marked(pabal_topic):
        pass
    """
    )
    result = run(pytester)
    assert result.ret != 0
    assert any(
        line for line in result.outlines + result.errlines if _matches(line, answer)
    ), result.stdout.str()


def _matches(line: str, pattern: str) -> bool:
    from fnmatch import fnmatch

    return fnmatch(line, pattern)


def test_each_worker_of_xdist_has_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
    import pytest
    @pytest.mark.parametrize("number", range(6))
    def test_spread(pabal_cluster, pabal_topic_factory, number):
        topic = pabal_topic_factory("the-same-name")
        assert list(pabal_cluster.topics()) == ["the-same-name"]
    """
    )
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=6)


def test_workers_of_xdist_leave_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = pytester.mkdir("place")
    monkeypatch.setenv("TMPDIR", str(place))
    pytester.makepyfile(
        """
    import os, pathlib
    import pytest
    @pytest.mark.parametrize("number", range(8))
    def test_spread(pabal_cluster, pabal_cluster_factory, pabal_topic, number, worker_id):
        own = pabal_cluster_factory(isolation="process" if number == 3 else "thread")
        own.create_topic("the-same-name")
        if number % 2:
            pabal_cluster.broker(0).kill()
        with open(pathlib.Path(os.environ["TMPDIR"]).parent / "ports", "a") as ports:
            ports.write(f"{worker_id} {pabal_cluster.bootstrap_servers}\\n")
    """
    )
    pytester.runpytest_subprocess("-n", "3").assert_outcomes(passed=8)
    told = {tuple(line.split()) for line in (pytester.path / "ports").read_text().splitlines()}
    workers = {worker for worker, _ in told}
    assert len(told) == len(workers) == len({address for _, address in told}) > 1
    assert list(place.glob("pabal-*")) == []


def test_async_tests_await_their_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(
        """
    import asyncio
    import pytest
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    async def test_round_trip(pabal_cluster, pabal_async_topic_factory):
        topic = await pabal_async_topic_factory(partitions=2)
        assert topic.name.startswith("test_round_trip-")
        async with AIOKafkaProducer(bootstrap_servers=pabal_cluster.bootstrap_servers) as producer:
            await producer.send_and_wait(topic.name, b"hello")
        assert sum(end for _, end in topic.offsets()) == 1

    async def test_the_loop_goes_on(pabal_async_cluster_factory):
        ticks = 0
        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)
        ticking = asyncio.ensure_future(tick())
        first, second = await asyncio.gather(
            pabal_async_cluster_factory(), pabal_async_cluster_factory(isolation="process")
        )
        ticking.cancel()
        assert ticks > 10
        first.broker(0).kill()
        assert second.broker(0).is_running

    async def test_nothing_is_left(pabal_cluster):
        assert pabal_cluster.topics() == {}
    """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_an_autopsy_of_what_runs_and_of_what_does_not(isolation: Isolation) -> None:
    with pabal.Cluster(isolation=isolation) as cluster:
        cluster.create_topic("orders", partitions=20)
        (broker,) = cluster.brokers
        text = autopsy(cluster)
        assert "running" in text
        assert "topic orders: 20 partitions, 0 records" in text
        assert "and 8 more partitions" in text
        assert any("serving" in line for line in broker.log_tail())
        assert len(broker.log_tail(1)) == 1
        assert "1 other topic" in autopsy(cluster, own=["none"])
        broker.kill()
        assert autopsy(cluster) == f"broker 0 {broker.address}: NOT RUNNING"
        assert broker.log_tail() == []
    assert autopsy(cluster) == "the cluster is closed"


def test_nothing_is_loaded_or_started_before_it_is_used() -> None:
    script = """
import sys
import pytest
pytest_only = set(sys.modules)
import pabal.pytest_plugin
added = set(sys.modules) - pytest_only
print(sorted(name for name in added if name.startswith("pabal")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "['pabal', 'pabal.pytest_plugin']"
