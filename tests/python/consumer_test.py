"""pabal.Consumer against pabal and against Apache Kafka."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
from clients_world import eventually, fresh, read

import pabal
from pabal import errors, serializers
from pabal.records import OffsetAndMetadata
from pabal.serializers import SerializationError


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(config={"num.partitions": 3}) as running:
        yield running


@pytest.fixture(params=["pabal", pytest.param("kafka", marks=pytest.mark.reference)])
def servers(request: pytest.FixtureRequest, cluster: pabal.Cluster) -> str:
    if request.param == "pabal":
        return cluster.bootstrap_servers
    return str(request.getfixturevalue("kafka_broker").bootstrap_servers)


def sent(servers: str, count: int, *, partition: int = 0, prefix: str = "v") -> str:
    """A new topic with that many records, which are old."""
    topic = fresh()
    with pabal.Admin(servers) as admin:
        admin.create_topic(topic, config={"retention.ms": -1})
    with pabal.Producer(servers) as producer:
        values = [f"{prefix}{number}" for number in range(count)]
        times = [1000 + 10 * number for number in range(count)]
        producer.send_many(topic, values, partition=partition, timestamps=times).result(20)
    return topic


def consumer(servers: str, *topics: str, **config: object) -> pabal.Consumer:
    config.setdefault("auto_offset_reset", "earliest")
    return pabal.Consumer(*topics, bootstrap_servers=servers, **config)


def test_records_come_in_order_with_all_that_they_have(servers: str) -> None:
    topic = fresh()
    with pabal.Producer(servers) as producer:
        producer.send(topic, "v", key="k", timestamp=5, partition=0, headers={"a": b"1", "b": None})
        producer.send(topic, None, timestamp=6, partition=0)
    with consumer(servers, topic) as reader:
        first, second = read(reader, 2)
    assert (first.topic, first.partition, first.offset, first.timestamp) == (topic, 0, 0, 5)
    assert (first.key, first.value, first.timestamp_type) == (b"k", b"v", "create")
    assert first.headers == [("a", b"1"), ("b", None)]
    assert (second.key, second.value, second.headers, second.offset) == (None, None, [], 1)
    assert repr(first) == f"<pabal.Record {topic}-0 offset=0 key=b'k' value=b'v'>"


def test_positions_can_be_moved(servers: str) -> None:
    topic = sent(servers, 100)
    place = pabal.TopicPartition(topic, 0)
    with consumer(servers) as reader:
        reader.assign([place])
        reader.seek(place, 40)
        assert reader.position(place) == 40
        assert [record.offset for record in read(reader, 3)] == [40, 41, 42]
        assert reader.position(place) == 43
        assert reader.lag(place) == 57
        reader.seek_to_beginning(place)
        assert read(reader, 1)[0].offset == 0
        reader.seek_to_end()
        assert reader.position(place) == 100
        assert reader.poll(0.1) == []
        assert reader.lag(place) == 0
        reader.seek_to_time(1500, place)
        assert read(reader, 1)[0].value == b"v50"
        reader.seek_to_time(datetime(2000, 1, 1, tzinfo=timezone.utc))
        assert reader.position(place) == 100
        assert reader.offsets_for_times({place: 1495, (topic, 0): 1495}) == {place: 50}
        assert reader.beginning_offsets() == {place: 0}
        assert reader.end_offsets(place) == {place: 100}
        with pytest.raises(ValueError, match="not assigned"):
            reader.seek((topic, 99), 0)
        with pytest.raises(ValueError, match="from 0"):
            reader.seek(place, -1)


def test_where_reading_begins_is_a_setting(servers: str) -> None:
    topic = sent(servers, 5)
    with consumer(servers, topic, auto_offset_reset="latest") as reader:
        assert reader.position((topic, 0)) == 5
        with pabal.Producer(servers) as producer:
            producer.send(topic, "later", partition=0).result(20)
        assert [record.value for record in read(reader, 1)] == [b"later"]
    with consumer(servers, auto_offset_reset="none") as reader:
        reader.assign([(topic, 0)])
        with pytest.raises(errors.OffsetOutOfRangeError, match=f"{topic}-0"):
            read(reader, 1)
        reader.seek((topic, 0), 2)
        assert read(reader, 1)[0].offset == 2
        reader.seek((topic, 0), 1_000_000)
        with pytest.raises(errors.OffsetOutOfRangeError):
            read(reader, 1)


def test_paused_partitions_wait(servers: str) -> None:
    topic = sent(servers, 10)
    place = pabal.TopicPartition(topic, 0)
    with consumer(servers, topic) as reader:
        assert len(read(reader, 2)) == 2
        reader.pause(place)
        assert reader.paused() == [place]
        assert reader.poll(0.2) == []
        reader.resume(place)
        assert reader.paused() == []
        assert [record.offset for record in read(reader, 8)] == list(range(2, 10))


def test_an_end_to_all_waiting_for_new_records_is_prompt(servers: str) -> None:
    topic = sent(servers, 1)
    with consumer(servers, topic) as reader, pabal.Producer(servers, linger=0) as producer:
        assert len(read(reader, 1)) == 1
        for number in range(20):
            producer.send(topic, str(number), partition=0).result(20)
            began = time.monotonic()
            assert [record.value for record in read(reader, 1)] == [b"%d" % number]
            assert time.monotonic() - began < 5


def test_much_comes_through_small_buffers(servers: str) -> None:
    topic = fresh()
    with pabal.Producer(servers, compression="lz4") as producer:
        producer.send_many(topic, [b"%09d" % number + b"x" * 91 for number in range(50_000)])
    seen: dict[int, list[int]] = {}
    with consumer(servers, topic, max_partition_fetch_bytes=20_000, max_poll_records=700) as reader:
        for record in read(reader, 50_000):
            seen.setdefault(record.partition, []).append(int(record.value[:9]))
    assert sorted(number for numbers in seen.values() for number in numbers) == list(range(50_000))
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def test_groups_share_partitions_and_remember_positions(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh(), partitions=4).name
    group = fresh("group")
    events: list[tuple[str, str, int]] = []

    def member(name: str) -> pabal.Consumer:
        return cluster.consumer(
            topic,
            group=group,
            auto_offset_reset="earliest",
            on_assigned=lambda partitions: events.append((name, "assigned", len(partitions))),
            on_revoked=lambda partitions: events.append((name, "revoked", len(partitions))),
        )

    with cluster.producer() as producer:
        for number in range(400):
            producer.send(topic, str(number), partition=number % 4)
    with member("first") as first:
        values = {record.value for record in read(first, 400)}
        assert len(values) == 400
        assert events == [("first", "assigned", 4)]
        second = member("second")

        def shared() -> bool:
            assert first.poll(0.01) == []
            assert second.poll(0.01) == []
            return len(first.assignment()) == len(second.assignment()) == 2

        eventually(shared, "the partitions were not shared")
        assert ("first", "revoked", 2) in events
        assert set(first.assignment()).isdisjoint(second.assignment())
        assert {member.id for member in cluster.group(group).members} == {
            first.member_id,
            second.member_id,
        }
        second.close()
        eventually(
            lambda: first.poll(0.01) == [] and len(first.assignment()) == 4, "nothing came back"
        )
    assert ("first", "revoked", 4) in events
    with cluster.producer() as producer:
        producer.send(topic, "new", partition=3)
    with member("third") as third:
        assert [record.value for record in read(third, 1)] == [b"new"]


def test_a_group_of_kafkas(servers: str) -> None:
    topic = sent(servers, 50)
    group = fresh("group")
    with consumer(servers, topic, group=group, enable_auto_commit=False) as reader:
        assert len(read(reader, 20)) == 20
        reader.commit()
        assert reader.committed((topic, 0)).offset == 20
        reader.commit({(topic, 0): OffsetAndMetadata(10, "half")}, wait=False)
        eventually(
            lambda: reader.committed((topic, 0)) == OffsetAndMetadata(10, "half", -1),
            "the commit did not arrive",
        )
        read(reader, 10)
    with consumer(servers, topic, group=group) as reader:
        assert read(reader, 1)[0].offset == 10
    with consumer(servers, topic, group=group) as reader:
        assert read(reader, 1)[0].offset == 11  # Committed when it was closed.


def test_a_pattern_is_matched_by_the_brokers(servers: str) -> None:
    prefix = uuid.uuid4().hex[:8]
    with pabal.Producer(servers) as producer:
        for suffix in "abc":
            producer.send(f"{prefix}-{suffix}", suffix).result(20)
    for group in (None, fresh("group")):
        with consumer(servers, group=group) as reader:
            reader.subscribe(pattern=f"{prefix}-[ab]")
            assert {record.value for record in read(reader, 2)} == {b"a", b"b"}


def test_topics_may_be_one_list(servers: str) -> None:
    topics = [sent(servers, 1, prefix=prefix) for prefix in "ab"]
    for group in (None, fresh("group")):
        with consumer(servers, group=group) as reader:
            reader.subscribe(topics)
            assert {record.value for record in read(reader, 2)} == {b"a0", b"b0"}
    with consumer(servers) as reader:
        for wrong in ((5,), ([5],), ([""],), (topics[0], [topics[1]]), (b"bytes",)):
            with pytest.raises(TypeError, match="a topic is a str that is not empty"):
                reader.subscribe(*wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="topics or a pattern"):
            reader.subscribe([])


def test_commits_need_a_group(cluster: pabal.Cluster) -> None:
    with cluster.consumer() as reader:
        for use in (reader.commit, lambda: reader.committed(("t", 0))):
            with pytest.raises(ValueError, match="group_id"):
                use()


def test_kafkas_own_tool_sees_what_was_committed(cluster: pabal.Cluster) -> None:
    from confluent_kafka import Consumer, TopicPartition

    topic = sent(cluster.bootstrap_servers, 10)
    group = fresh("group")
    with cluster.consumer(group=group, enable_auto_commit=False) as reader:
        reader.assign([(topic, 0)])
        reader.commit({(topic, 0): 7})
    other = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": group})
    try:
        assert other.committed([TopicPartition(topic, 0)], 20)[0].offset == 7
    finally:
        other.close()


def test_read_committed_leaves_out_what_was_aborted(kafka_broker: object) -> None:
    from confluent_kafka import Producer

    servers = str(kafka_broker.bootstrap_servers)  # type: ignore[attr-defined]
    topic = fresh()
    other = Producer({"bootstrap.servers": servers, "transactional.id": fresh()})
    other.init_transactions(30)
    for number in range(6):
        other.begin_transaction()
        for part in range(10):
            other.produce(topic, f"{number}-{part}".encode(), partition=0)
        other.flush(30)
        if number % 2:
            other.abort_transaction(30)
        else:
            other.commit_transaction(30)
    other.begin_transaction()
    other.produce(topic, b"open", partition=0)
    other.flush(30)
    with consumer(servers, topic, isolation_level="read_committed") as reader:
        values = [record.value for record in read(reader, 30)]
        assert values == [b"%d-%d" % (number, part) for number in (0, 2, 4) for part in range(10)]
        assert reader.poll(0.3) == []
        assert reader.lag((topic, 0)) == 0
    with consumer(servers, topic) as reader:
        assert len(read(reader, 61)) == 61
    other.abort_transaction(30)


def test_arrow_batches_hold_the_same(servers: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    topic = fresh()
    with pabal.Producer(servers) as producer:
        for number in range(1000):
            producer.send(
                topic,
                None if number % 7 == 0 else f"v{number}",
                key=None if number % 3 else str(number),
                partition=0,
                timestamp=number,
                headers={"n": str(number), "none": None} if number % 10 == 0 else None,
            )
    rows: list[dict[str, object]] = []
    with consumer(servers, topic) as reader:
        deadline = time.monotonic() + 20
        while len(rows) < 1000 and time.monotonic() < deadline:
            batch = reader.poll_arrow(timeout=1, max_records=300)
            whole = pyarrow.record_batch(batch)
            whole.validate(full=True)
            assert whole.num_rows == len(batch) <= 300
            assert pyarrow.table(batch).equals(pyarrow.Table.from_batches([whole]))
            rows += whole.to_pylist()
        assert len(reader.poll_arrow()) == 0
    with consumer(servers, topic) as reader:
        records = read(reader, 1000)
    assert len(rows) == 1000
    for row, record in zip(rows, records, strict=True):
        assert (row["topic"], row["partition"], row["offset"]) == (topic, 0, record.offset)
        assert (row["key"], row["value"]) == (record.key, record.value)
        stamped = row["timestamp"].timestamp()  # type: ignore[attr-defined]
        assert round(stamped * 1000) == record.timestamp
        headers = [(h["key"], h["value"]) for h in row["headers"]]  # type: ignore[attr-defined]
        assert headers == record.headers


def test_a_deserializer_that_fails_names_the_record(cluster: pabal.Cluster) -> None:
    topic = sent(cluster.bootstrap_servers, 3, prefix='"v')
    with cluster.consumer(
        topic, auto_offset_reset="earliest", value_deserializer=serializers.json_deserializer
    ) as reader:
        with pytest.raises(SerializationError, match=f"value of a record of {topic}-0 at offset 0"):
            read(reader, 1)


@pytest.mark.parametrize(
    ("name", "value", "data"),
    [
        ("string", "é", "é".encode()),
        ("bytes", b"\0\1", b"\0\1"),
        ("short", -2, struct.pack(">h", -2)),
        ("integer", 2**31 - 1, struct.pack(">i", 2**31 - 1)),
        ("long", -(2**63), struct.pack(">q", -(2**63))),
        ("double", 0.5, struct.pack(">d", 0.5)),
        ("uuid", uuid.UUID(int=5), str(uuid.UUID(int=5)).encode()),
        ("json", {"a": [1, None]}, b'{"a":[1,null]}'),
    ],
)
def test_serializers_write_what_kafkas_do(name: str, value: object, data: bytes) -> None:
    serializer = getattr(serializers, f"{name}_serializer")
    deserializer = getattr(serializers, f"{name}_deserializer")
    assert serializer(value) == data
    assert deserializer(data) == value
    assert serializer(None) is None


@pytest.mark.parametrize("name", ["string", "bytes", "short", "integer", "long", "double", "uuid"])
def test_serializers_refuse_what_they_are_not_for(name: str) -> None:
    with pytest.raises((TypeError, struct.error)):
        getattr(serializers, f"{name}_serializer")(object())
    if name not in ("string", "bytes"):
        with pytest.raises(ValueError, match="."):
            getattr(serializers, f"{name}_deserializer")(b"123")


def test_reading_goes_on_when_the_broker_comes_back(tmp_path: object) -> None:
    with pabal.Cluster(isolation="process", data_dir=str(tmp_path)) as cluster:
        topic = sent(cluster.bootstrap_servers, 10)
        group = fresh("group")
        with (
            cluster.consumer(topic, auto_offset_reset="earliest") as alone,
            cluster.consumer(topic, group=group, auto_offset_reset="earliest") as member,
        ):
            assert len(read(alone, 10)) == len(read(member, 10)) == 10
            cluster.broker(0).kill()
            assert alone.poll(0.2) == []
            cluster.broker(0).start()
            with cluster.producer() as producer:
                producer.send(topic, "after", partition=0).result(20)
            assert [record.value for record in read(alone, 1)] == [b"after"]
            assert [record.value for record in read(member, 1)] == [b"after"]
            member.commit()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"groupid": "g"}, TypeError, "did you mean group_id"),
        ({"auto_offset_reset": "first"}, ValueError, "earliest, latest, none"),
        ({"group": ""}, ValueError, "not empty"),
        ({"max_poll_records": 0}, ValueError, "between"),
        ({"max_poll_records": float("inf")}, ValueError, "a whole number"),
        ({"isolation_level": 1}, ValueError, "read_committed"),
        ({"bootstrap_servers": 5}, TypeError, "bootstrap_servers"),
        ({"value_deserializer": "json"}, TypeError, "value_deserializer is a callable or None"),
    ],
)
def test_settings_are_checked(given: dict[str, object], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        pabal.Consumer(**given)  # type: ignore[arg-type]


def test_nobody_there_is_said_within_the_time(cluster: pabal.Cluster) -> None:
    with pytest.raises(errors.BrokerNotAvailableError, match=r"127\.0\.0\.1:1\b"):
        pabal.Consumer("t", bootstrap_servers="127.0.0.1:1", default_api_timeout_ms=200)
    with pytest.raises(errors.UnknownTopicOrPartitionError, match="no-such"):
        cluster.consumer("no-such", allow_auto_create_topics=False, default_api_timeout_ms=200)


def test_one_thread_polls_at_a_time(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh()).name
    with cluster.consumer(topic) as reader:
        thread = threading.Thread(target=lambda: reader.poll(2))
        thread.start()

        def refused() -> bool:
            try:
                reader.poll(0)
            except RuntimeError as error:
                return "another thread" in str(error)
            return False

        eventually(refused, "two threads polled")
        thread.join()


def test_closed_twice_and_used_after(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh()).name
    reader = cluster.consumer(topic, group=fresh("group"))
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(reader)
    reader.close()
    reader.close()
    for use in (reader.poll, reader.assignment, lambda: reader.subscribe(topic)):
        with pytest.raises(RuntimeError, match="closed"):
            use()
    assert "closed" in repr(reader)
    assert list(reader) == []


def test_a_record_outlives_its_consumer(cluster: pabal.Cluster) -> None:
    topic = sent(cluster.bootstrap_servers, 3)
    with cluster.consumer(topic, auto_offset_reset="earliest") as reader:
        records = read(reader, 3)
    del reader
    assert [record.value for record in records] == [b"v0", b"v1", b"v2"]


PROGRAM = """
import os, signal, sys, threading, time
import pabal
servers, topic = sys.argv[1:]
reader = pabal.Consumer(topic, bootstrap_servers=servers, group=topic)
signal.signal(signal.SIGINT, signal.default_int_handler)  # It may be ignored, as under nohup.
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    for record in reader:
        pass
except KeyboardInterrupt:
    print("interrupted")
child = os.fork()
if child == 0:
    try:
        reader.poll()
    except RuntimeError as error:
        print(error, flush=True)
    sys.exit(0)
print(os.waitpid(child, 0)[1])
"""


def test_control_c_a_fork_and_the_end_of_the_interpreter(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh()).name
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, cluster.bootstrap_servers, topic],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "interrupted" in done.stdout
    assert "fork" in done.stdout
    assert done.stdout.strip().endswith("0")
    # It left its group when it ended.
    eventually(lambda: not cluster.group(topic).members, "the member is still there")


def test_read_is_what_an_iteration_handed_out(cluster: pabal.Cluster) -> None:
    topic = cluster.create_topic(fresh(), partitions=2).name
    with cluster.producer() as producer:
        for partition in range(2):
            producer.send_many(topic, [b"%d" % number for number in range(5)], partition=partition)
    seen: list[tuple[int, int]] = []
    options = {"group": fresh("group"), "auto_offset_reset": "earliest"}
    while len(seen) < 6:
        with cluster.consumer(topic, **options) as consumer:
            for record in consumer:
                seen.append((record.partition, record.offset))
                if len(seen) % 2 == 0:
                    break
    with cluster.consumer(topic, **options) as consumer:
        for record in consumer:
            seen.append((record.partition, record.offset))
            place = (topic, record.partition)
            assert consumer.position(place) == record.offset + 1
            assert consumer.lag(place) == 4 - record.offset
            consumer.commit()
            committed = consumer.committed(place)
            assert committed is not None
            assert committed.offset == record.offset + 1
            break
        while len(seen) < 10:
            seen += [(record.partition, record.offset) for record in consumer.poll(timeout=20)]
        assert sorted(seen) == [(partition, n) for partition in range(2) for n in range(5)]
        consumer.seek((topic, 0), 2)
        iteration = iter(consumer)
        assert next(iteration).offset == 2
        consumer.seek((topic, 0), 1)
        assert next(iteration).offset == 1
