"""pabal.Producer against pabal and against Apache Kafka."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from clients_world import eventually, fresh, read

import pabal
from pabal import errors
from pabal.serializers import SerializationError, json_serializer, long_serializer


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(config={"num.partitions": 3}) as running:
        yield running


@pytest.fixture(params=["pabal", pytest.param("kafka", marks=pytest.mark.reference)])
def servers(request: pytest.FixtureRequest, cluster: pabal.Cluster) -> str:
    if request.param == "pabal":
        return cluster.bootstrap_servers
    return str(request.getfixturevalue("kafka_broker").bootstrap_servers)


@pytest.mark.parametrize("acks", [0, 1, "all"])
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_is_sent_can_be_read(servers: str, acks: object, codec: str) -> None:
    topic = fresh()
    # With acks=0 nobody says that a new topic has no leader yet.
    with pabal.Producer(servers) as first:
        partitions = first.partitions_for(topic)
        for partition in range(partitions):
            first.send(topic, b"first", partition=partition)
    with pabal.Producer(servers, acks=acks, compression=codec) as producer:
        for number in range(50):
            producer.send(topic, b"v%d" % number, key=b"k%d" % number, headers={"n": str(number)})
    with pabal.Consumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest") as reader:
        records = read(reader, 50 + partitions)
    records = [record for record in records if record.value != b"first"]
    assert sorted(record.value for record in records) == sorted(b"v%d" % n for n in range(50))
    for record in records:
        assert record.key == b"k" + record.value[1:]
        assert record.headers == [("n", record.value[1:])]


def test_a_future_tells_where_the_record_stands(servers: str) -> None:
    topic = fresh()
    with pabal.Producer(servers) as producer:
        first = producer.send(topic, "one", partition=0, timestamp=1234)
        second = producer.send(topic, None, key=bytearray(b"two"), partition=0)
        assert first.result(timeout=20) == (topic, 0, 0, 1234)
        assert second.result(timeout=20).offset == 1
        assert second.exception() is None
        assert first.done()
        assert (first.topic, first.partition) == (topic, 0)
        assert abs(second.result().timestamp - time.time() * 1000) < 60_000


def test_keys_go_where_kafkas_own_producer_puts_them(servers: str) -> None:
    from confluent_kafka import Producer

    topic = fresh()
    keys = [os.urandom(length % 23) for length in range(200)]
    theirs: dict[bytes, int] = {}
    # What the Java client calls its default; librdkafka's own is another hash.
    other = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random"})
    with pabal.Producer(servers) as producer:
        assert producer.partitions_for(topic) >= 1
        ours = {key: producer.send(topic, b"", key=key).result(20).partition for key in keys if key}
    for key in ours:
        other.produce(
            topic,
            b"",
            key=key,
            on_delivery=lambda _, message: theirs.update({message.key(): message.partition()}),
        )
    other.flush(20)
    assert theirs == ours


def test_murmur2_is_kafkas() -> None:
    # From the tests of Kafka's own function, as facts: input and hash.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, expected in known.items():
        raw = pabal._core.murmur2([key])  # type: ignore[attr-defined]
        assert int.from_bytes(raw, sys.byteorder, signed=True) == expected


def test_records_without_a_key_fill_one_batch_after_the_other(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh(), partitions=3).name
    with cluster.producer(linger=50, batch_size=4000) as producer:
        futures = [producer.send(topic, b"x" * 100) for _ in range(400)]
        producer.flush()
        chosen = [future.result().partition for future in futures]
    assert set(chosen) == {0, 1, 2}
    changes = sum(before != after for before, after in zip(chosen, chosen[1:], strict=False))
    assert changes < 20


def test_partitions_in_turn_and_by_a_callable(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh(), partitions=3).name
    with cluster.producer(partitioner="round_robin") as producer:
        futures = [producer.send(topic, b"") for _ in range(6)]
        assert [future.result(20).partition for future in futures] == [0, 1, 2, 0, 1, 2]
    calls: list[tuple[object, ...]] = []

    def by_length(name: str, key: bytes | None, value: bytes | None, partitions: int) -> int:
        calls.append((threading.get_ident(), name, key, value))
        return len(value or b"") % partitions

    with cluster.producer(partitioner=by_length) as producer:
        assert producer.send(topic, "four").result(20).partition == 1
        assert producer.send_many(topic, [b"", b"1", b"22"]).result(20) == 3
    assert calls[0] == (threading.get_ident(), topic, None, b"four")


def test_order_and_number_survive_a_broker_that_is_killed(tmp_path: object) -> None:
    with pabal.Cluster(isolation="process", data_dir=str(tmp_path)) as cluster:
        topic = cluster.create_topic(fresh(), partitions=1).name
        with cluster.producer(linger=0, batch_size=2000) as producer:
            futures = []
            for number in range(3000):
                futures.append(producer.send(topic, str(number)))
                if number in (1000, 2000):
                    cluster.broker(0).kill()
                    cluster.broker(0).start()
            producer.flush(timeout=60)
            offsets = [future.result().offset for future in futures]
        with cluster.consumer(topic, auto_offset_reset="earliest") as consumer:
            values = [int(record.value) for record in read(consumer, 3000)]
    assert values == list(range(3000))
    assert [offset for offset in offsets if offset >= 0] == sorted(set(offsets) - {-1})


def test_nothing_is_lost_or_doubled_when_a_leader_dies() -> None:
    with pabal.Cluster(brokers=3) as cluster:
        topic = fresh()
        cluster.create_topic(topic, partitions=3, replication_factor=3)
        futures = []
        with cluster.producer(linger=1) as producer:
            for number in range(6000):
                futures.append(producer.send(topic, str(number), key=str(number % 50)))
                if number == 3000:
                    cluster.broker(cluster.topic(topic).partition(0).leader).kill()
                if number % 100 == 0:
                    futures[-1].result(timeout=30)
            producer.flush(timeout=60)
        with cluster.consumer(topic, auto_offset_reset="earliest") as consumer:
            values = [int(record.value) for record in read(consumer, 6000)]
            assert consumer.poll(0.1) == []
    assert sorted(values) == list(range(6000))
    for key in range(50):
        assert [value for value in values if value % 50 == key] == list(range(key, 6000, 50))


def test_flush_says_what_failed(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh(), partitions=2, config={"max.message.bytes": 500}).name
    with cluster.producer(batch_size=2000) as producer:
        good = producer.send(topic, b"small", partition=1)
        bad = producer.send(topic, b"x" * 1000, partition=0)
        with pytest.raises(errors.MessageTooLargeError, match=f"1 records.*{topic}-0"):
            producer.flush(20)
        producer.flush(20)
        assert good.result().partition == 1
        assert isinstance(bad.exception(), errors.MessageTooLargeError)
        with pytest.raises(errors.MessageTooLargeError, match=f"{topic}-0"):
            bad.result()
        # What follows in the same partition is not held up.
        assert producer.send(topic, b"small", partition=0).result(20).offset == 0


def test_a_record_beyond_the_limit_is_refused_at_once(cluster: pabal.Cluster) -> None:
    with cluster.producer(max_request_size=1000) as producer:
        with pytest.raises(errors.MessageTooLargeError, match="max_request_size"):
            producer.send("any", b"x" * 2000)
        with pytest.raises(errors.MessageTooLargeError, match="max_request_size"):
            producer.send_many("any", [b"", b"x" * 2000])


def test_a_full_buffer_makes_the_sender_wait(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh()).name
    with cluster.producer(buffer_memory=20_000, batch_size=5_000, linger=1000) as producer:
        sent = [producer.send(topic, b"x" * 1000) for _ in range(500)]
        producer.flush(20)
        assert all(future.done() for future in sent)
    with pabal.Producer("127.0.0.1:1", buffer_memory=2_000, max_block_ms=100) as producer:
        with pytest.raises(errors.BrokerNotAvailableError, match=r"127\.0\.0\.1:1"):
            producer.send("nobody", b"")


def test_records_that_nobody_takes_end_in_time(tmp_path: object) -> None:
    with pabal.Cluster(isolation="process", data_dir=str(tmp_path)) as cluster:
        topic = cluster.create_topic(fresh()).name
        producer = cluster.producer(delivery_timeout=timedelta(seconds=0.5), linger=0)
        producer.send(topic, b"first").result(20)
        cluster.broker(0).kill()
        lost = producer.send(topic, b"second")
        with pytest.raises(errors.RequestTimedOutError, match=r"delivery\.timeout\.ms"):
            lost.result(20)
        with pytest.raises(TimeoutError):
            producer.send(topic, b"third").result(timeout=0.01)
        with pytest.raises(errors.KafkaError):
            producer.close(timeout=20)
        producer.close()


def test_callbacks_run_on_a_thread_of_python(servers: str) -> None:
    topic = fresh()
    told: list[tuple[int, str]] = []
    with pabal.Producer(servers) as producer:
        for _ in range(20):
            producer.send(topic, b"v").add_done_callback(
                lambda done: told.append((done.result().offset, threading.current_thread().name))
            )
        producer.flush(20)
        eventually(lambda: len(told) == 20, "callbacks were not called")
        done = producer.send(topic, b"v")
        done.result(20)
        done.add_done_callback(lambda future: told.append((-1, "now")))
        assert told[-1] == (-1, "now")


def test_many_records_with_one_call(servers: str) -> None:
    topic = fresh()
    with pabal.Producer(servers) as producer:
        bulk = producer.send_many(
            topic,
            [b"a", "b", None, memoryview(b"d")],
            keys=[b"1", None, "3", b"4"],
            timestamps=[1, 2, 3, 4],
            partition=0,
        )
        assert (bulk.result(20), len(bulk), bulk.done()) == (4, 4, True)
        assert producer.send_many(topic, []).result() == 0
        with pytest.raises(ValueError, match="different lengths"):
            producer.send_many(topic, [b"a"], keys=[])
        with pytest.raises(TypeError):
            producer.send_many(topic, b"one record")
        with pytest.raises(TypeError, match="value_serializer"):
            producer.send_many(topic, [b"a", 5])
    with pabal.Consumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest") as reader:
        read_back = [(r.key, r.value, r.timestamp) for r in read(reader, 4)]
    assert read_back == [(b"1", b"a", 1), (None, b"b", 2), (b"3", None, 3), (b"4", b"d", 4)]


def test_serializers_name_the_topic_and_the_field(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh()).name
    with cluster.producer(
        key_serializer=long_serializer, value_serializer=json_serializer
    ) as producer:
        producer.send(topic, {"id": 1}, key=7).result(20)
        with pytest.raises(SerializationError, match=f"value of a record of {topic}") as failed:
            producer.send(topic, object(), key=7)
        assert (failed.value.topic, failed.value.field) == (topic, "value")
        assert str(pickle.loads(pickle.dumps(failed.value))) == str(failed.value)
        with pytest.raises(SerializationError, match="the key of"):
            producer.send(topic, {}, key="seven")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"batchsize": 1}, TypeError, "did you mean batch_size"),
        ({"acks": 2}, ValueError, "acks is one of"),
        ({"linger": "5"}, TypeError, "milliseconds or a timedelta"),
        ({"linger_ms": -1}, ValueError, "between"),
        ({"batch_size": 1.5}, ValueError, "whole number"),
        ({"compression": "brotli"}, ValueError, "compression is one of"),
        ({"linger": 1, "linger_ms": 1}, TypeError, "linger and linger_ms are the same setting"),
        ({"key_serializer": 3}, TypeError, "key_serializer is a callable or None, not int"),
        ({"acks": 1, "enable_idempotence": True}, ValueError, "needs acks=all"),
        ({"partitioner": "random"}, ValueError, "round_robin"),
        ({"security_protocol": "SASL_SSL"}, ValueError, "PLAINTEXT"),
    ],
)
def test_settings_are_checked(given: dict[str, object], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        pabal.Producer("localhost:9092", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("servers", ["nowhere", ":1", "host:0", "host:99999", "a:1,,b:1"])
def test_addresses_are_checked(servers: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        pabal.Producer(servers)


def test_arguments_are_checked(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh(), partitions=2).name
    with cluster.producer() as producer:
        for given in ({"partition": -1}, {"partition": 2}, {"timestamp": -5}):
            with pytest.raises(ValueError, match="partition|timestamp"):
                producer.send(topic, b"", **given)  # type: ignore[arg-type]
        for bad in (
            lambda: producer.send(topic, 5),
            lambda: producer.send(topic, b"", key=1.5),
            lambda: producer.send(topic, b"", headers=[("a",)]),
            lambda: producer.send(topic, b"", headers=5),
            lambda: producer.send(b"topic", b""),
            lambda: producer.send(),  # type: ignore[call-arg]
            lambda: producer.send(topic, b"", nonsense=1),
            lambda: producer.send(topic, b"", b"key"),  # type: ignore[misc]
            lambda: producer.send(topic, value=b"", partition="0"),  # type: ignore[arg-type]
        ):
            with pytest.raises(TypeError):
                bad()
        assert producer.outstanding == 0
        with pytest.raises(errors.InvalidTopicError):
            pabal.Producer(cluster.bootstrap_servers, max_block_ms=500).send("no/topic", b"")


def test_closed_twice_and_used_after(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh()).name
    producer = cluster.producer()
    future = producer.send(topic, b"v")
    producer.close()
    producer.close()
    assert future.result().offset == 0
    for use in (
        lambda: producer.send(topic, b""),
        lambda: producer.send_many(topic, [b""]),
        producer.flush,
    ):
        with pytest.raises(RuntimeError, match="closed"):
            use()
    assert "closed" in repr(producer)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(producer)


def test_a_forgotten_producer_is_gone(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh()).name
    before = threading.active_count()
    futures = []
    for _ in range(5):
        producer = cluster.producer()
        futures.append(producer.send(topic, b"v"))
        futures[-1].add_done_callback(lambda _: None)
        futures[-1].result(20)
        del producer
    gc.collect()
    eventually(lambda: threading.active_count() <= before, "threads are left")


SCRIPT = """
import os, sys, signal, time, threading
import pabal
servers, topic = sys.argv[1:]
"""


def run(program: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT + program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_interpreter_that_ends_sends_what_was_sent(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh(), partitions=1).name
    done = run(
        """
producer = pabal.Producer(servers, linger=60_000)
producer.send(topic, "last words").add_done_callback(print)
""",
        cluster.bootstrap_servers,
        topic,
    )
    assert done.returncode == 0, done.stderr
    with cluster.consumer(topic, auto_offset_reset="earliest") as consumer:
        assert [record.value for record in read(consumer, 1)] == [b"last words"]


def test_the_child_of_a_fork_gets_an_error(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh()).name
    done = run(
        """
producer = pabal.Producer(servers)
producer.send(topic, b"parent").result(20)
child = os.fork()
if child == 0:
    try:
        producer.send(topic, b"child")
    except RuntimeError as error:
        print(error)
    del producer
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
producer.send(topic, b"parent").result(20)
""",
        cluster.bootstrap_servers,
        topic,
    )
    assert done.returncode == 0, done.stderr
    assert "fork" in done.stdout


def test_control_c_ends_a_wait() -> None:
    done = run(
        """
producer = pabal.Producer(servers, max_block_ms=60_000)
signal.signal(signal.SIGINT, signal.default_int_handler)  # It may be ignored, as under nohup.
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
began = time.monotonic()
try:
    producer.send(topic, b"")
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - began < 5)
producer.close()
""",
        "127.0.0.1:1",
        "any",
    )
    assert done.stdout.split() == ["interrupted", "True"], done.stderr


def test_threads_send_side_by_side(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh(), partitions=2).name
    with cluster.producer() as producer:
        threads = [
            threading.Thread(
                target=lambda mark=mark: [  # type: ignore[misc]
                    producer.send(topic, f"{mark}-{number}", partition=mark % 2)
                    for number in range(2000)
                ]
            )
            for mark in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with cluster.consumer(topic, auto_offset_reset="earliest") as consumer:
        values = [record.value.decode() for record in read(consumer, 8000)]
    for mark in range(4):
        mine = [int(value.split("-")[1]) for value in values if value.startswith(f"{mark}-")]
        assert mine == list(range(2000))


def test_signals_stay_with_the_main_thread(cluster: pabal.Cluster) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))
    try:
        with cluster.producer() as producer:
            producer.send("signals", b"v").result(20)
            os.kill(os.getpid(), signal.SIGUSR1)
            eventually(lambda: received == [signal.SIGUSR1], "the signal did not come")
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_tables_and_frames_are_sent_as_they_lie(cluster: pabal.Cluster) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    topic = cluster.create_topic(fresh(), partitions=1).name
    long = "a text that is longer than twelve bytes"
    table = pyarrow.table(
        {
            "value": pyarrow.chunked_array([[b"zero", None], [b"", long.encode()]]),
            "unused": [1, 2, 3, 4],
            "key": pyarrow.array(["k", None, long, ""], pyarrow.large_string()),
            "timestamp": pyarrow.array([1_000_000, 2_000_000, None, 3_999_999], "timestamp[ns]"),
        }
    )
    view = pyarrow.chunked_array([["short", long, None]], pyarrow.string_view())
    with cluster.producer() as producer:
        assert producer.send_arrow(topic, table).result(20) == 4
        assert producer.send_arrow(topic, table.slice(2, 2), partition=0).result(20) == 2
        assert producer.send_arrow(topic, view).result(20) == 3
        for wrong in (pyarrow.table({"a": [b""]}), pyarrow.table({"value": [1]})):
            with pytest.raises(TypeError, match="column"):
                producer.send_arrow(topic, wrong)
        with pytest.raises(TypeError, match="__arrow_c_stream__"):
            producer.send_arrow(topic, [b"no table"])  # type: ignore[arg-type]
    with cluster.consumer(topic, auto_offset_reset="earliest") as consumer:
        records = read(consumer, 9)
    pairs = [(record.key, record.value) for record in records]
    text = long.encode()
    rows = [(b"k", b"zero"), (None, None), (text, b""), (b"", text)]
    assert pairs == [*rows, *rows[2:], (None, b"short"), (None, text), (None, None)]
    assert [record.timestamp for record in records[:2]] == [1, 2]
    assert records[3].timestamp == 3
    assert abs(records[2].timestamp - time.time() * 1000) < 60_000
