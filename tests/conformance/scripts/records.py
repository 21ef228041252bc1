"""Records: written, read, searched, deleted; who wrote them; where they lie."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from conformance.scripts import NOW, create, script, settled
from conformance.wire import Plain, Wire, record_batch


@script
def records(wire: Wire) -> Iterator[tuple[str, Plain]]:
    ids = create(wire, "records-a", 2)
    yield "topic ids", ids
    identity = next(iter(ids))
    absent = str(uuid.UUID(int=99))

    def topics(version: int, first_id: int, one: Callable[[], Plain], key: str) -> Plain:
        if version >= first_id:
            return [{"topic_id": identity, key: one()}, {"topic_id": absent, key: one()}]
        named = "topic" if key == "partitions" else "name"
        return [{named: "records-a", key: one()}, {named: "records-absent", key: one()}]

    for version in range(3, 14):
        for acks in (-1, 1):
            yield (
                f"produce v{version} acks {acks}",
                wire.ask(
                    "produce",
                    version,
                    acks=acks,
                    timeout=10_000,
                    topic_data=topics(
                        version,
                        13,
                        lambda: [
                            {"index": 0, "records": record_batch([b"a", b"b"], NOW)},
                            {"index": 1, "records": record_batch([b"a"], NOW, damage=True)},
                            {"index": 2, "records": record_batch([b"a"], NOW)},
                        ],
                        "partition_data",
                    ),
                ),
            )
        for label, batch in {
            "empty": b"",
            "cut": record_batch([b"abc"], NOW)[:-2],
            "two batches": record_batch([b"a"], NOW) * 2,
            "future": record_batch([b"a"], 4_000_000_000_000),
            "sequence": record_batch([b"a"], NOW, producer_id=5, producer_epoch=0, sequence=4),
            "control": record_batch([b"a"], NOW, attributes=32),
        }.items():
            fields: dict[str, Any] = {"acks": -1, "timeout": 10_000}
            where = {"topic_id": identity} if version >= 13 else {"name": "records-a"}
            fields["topic_data"] = [where | {"partition_data": [{"index": 1, "records": batch}]}]
            answer = asked(wire, "produce", version, fields)
            if label == "control":
                # Kafka looks for it late enough to know where the log starts, and says so.
                answer["responses"][0]["partition_responses"][0].pop("log_start_offset", None)
            yield f"produce v{version} {label}", answer
        yield (
            f"produce v{version} acks 2",
            asked(
                wire,
                "produce",
                version,
                {
                    "acks": 2,
                    "timeout": 10_000,
                    "topic_data": topics(
                        version,
                        13,
                        lambda: [{"index": 0, "records": record_batch([b"a"], NOW)}],
                        "partition_data",
                    )[:1],
                },
            ),
        )

    for version in range(1, 12):
        for timestamp in (-1, -2, -3, -4, -5, -6, NOW, NOW + 1, NOW + 10**9, -99):
            yield (
                f"list offsets v{version} at {timestamp}",
                wire.ask(
                    "list_offsets",
                    version,
                    replica_id=-1,
                    topics=[
                        {
                            "name": name,
                            "partitions": [
                                {
                                    "partition_index": index,
                                    "current_leader_epoch": -1,
                                    "timestamp": timestamp,
                                }
                                for index in (0, 7)
                            ],
                        }
                        for name in ("records-a", "records-absent")
                    ],
                ),
            )

    for version in range(4, 19):
        for label, offset, epoch in (
            ("start", 0, -1),
            ("middle", 3, -1),
            ("beyond", 10**6, -1),
            ("negative", -5, -1),
            ("later epoch", 0, 9),
        ):
            yield (
                f"fetch v{version} {label}",
                fetched(
                    wire.ask(
                        "fetch",
                        version,
                        replica_id=-1,
                        max_wait=10,
                        min_bytes=1,
                        max_bytes=10_000,
                        topics=topics(
                            version,
                            13,
                            lambda offset=offset, epoch=epoch: [
                                {
                                    "partition": index,
                                    "fetch_offset": offset,
                                    "current_leader_epoch": epoch,
                                    "last_fetched_epoch": -1,
                                    "partition_max_bytes": 200,
                                }
                                for index in (0, 5)
                            ],
                            "partitions",
                        ),
                    )
                ),
            )

    for version in range(2, 5):
        for epoch in (-1, 0, 9):
            answer = wire.ask(
                "offset_for_leader_epoch",
                version,
                replica_id=-1,
                topics=[
                    {
                        "topic": name,
                        "partitions": [
                            {"partition": 0, "current_leader_epoch": -1, "leader_epoch": epoch},
                            {"partition": 5, "current_leader_epoch": -1, "leader_epoch": epoch},
                            {"partition": 0, "current_leader_epoch": 9, "leader_epoch": epoch},
                        ][: 2 if name != "records-a" else 3],
                    }
                    for name in ("records-a", "records-absent")
                ],
            )
            yield f"epochs v{version} {epoch}", answer

    for version in range(3):
        for offset in (1, 10**6, -2, -1):
            yield (
                f"delete records v{version} {offset}",
                wire.ask(
                    "delete_records",
                    version,
                    timeout=10_000,
                    topics=[
                        {
                            "name": name,
                            "partitions": [
                                {"partition_index": index, "offset": offset} for index in (1, 6)
                            ],
                        }
                        for name in ("records-a", "records-absent")
                    ],
                ),
            )


def asked(wire: Wire, api: str, version: int, fields: dict[str, Any]) -> Plain:
    try:
        return wire.ask(api, version, **fields)
    except Closed:
        return "closed"


def fetched(answer: Plain) -> Plain:
    for topic in answer["responses"]:
        for partition in topic["partitions"]:
            # Kafka cuts the last batch at partition_max_bytes, and every client throws the torn end
            # away; pabal sends whole batches.
            if partition["records"] is not None:
                partition["records"] = whole_batches(partition["records"]).hex()
    # Kafka answers what it could not read first, so that a topic may stand in two places.
    topics: dict[str, Plain] = {}
    for topic in answer["responses"]:
        known = topics.setdefault(str(topic.get("topic_id") or topic.get("topic")), topic)
        if known is not topic:
            known["partitions"] += topic["partitions"]
    answer["responses"] = list(topics.values())
    return answer


def whole_batches(records: bytes) -> bytes:
    end = 0
    while end + 12 <= len(records):
        size = 12 + int.from_bytes(records[end + 8 : end + 12], "big")
        if end + size > len(records):
            break
        end += size
    return records[:end]


@script
def init_producer_id(wire: Wire) -> Iterator[tuple[str, Plain]]:
    for version in range(6):
        for label, fields in {
            "new": {"producer_id": -1, "producer_epoch": -1},
            "again": {"producer_id": 7, "producer_epoch": 3},
            "half": {"producer_id": 7, "producer_epoch": -1},
            "other half": {"producer_id": -1, "producer_epoch": 3},
        }.items():
            while True:  # Until Kafka has loaded its coordinator.
                answer = wire.ask("init_producer_id", version, transactional_id=None, **fields)
                if answer["error_code"] != "coordinator_load_in_progress":
                    break
            answer["has id"] = answer["producer_id"] >= 0
            yield f"v{version} {label}", answer


@script
def producer_sequences(wire: Wire) -> Iterator[tuple[str, Plain]]:
    create(wire, "sequences-a", 2)
    fresh = {"transactional_id": None, "producer_id": -1, "producer_epoch": -1}
    producer = settled(wire, "init_producer_id", 4, **fresh)["producer_id"]
    other = settled(wire, "init_producer_id", 4, **fresh)["producer_id"]

    def sent(sequence: int, count: int, epoch: int = 0, of: int = producer) -> Plain:
        batch = record_batch(
            [b"x"] * count, NOW, producer_id=of, producer_epoch=epoch, sequence=sequence
        )
        partition = {"index": 0, "records": batch}
        return wire.ask(
            "produce",
            9,
            acks=-1,
            timeout=10_000,
            topic_data=[{"name": "sequences-a", "partition_data": [partition]}],
        )

    yield "first", sent(0, 3)
    yield "again", sent(0, 3)
    yield "next", sent(3, 2)
    yield "gap", sent(9, 1)
    yield "after the gap", sent(5, 1)
    yield "first once more", sent(0, 3)
    yield "other end", sent(3, 5)
    for sequence in range(6, 11):
        yield f"at {sequence}", sent(sequence, 1)
    yield "too old", sent(0, 3)
    yield "the oldest that is known", sent(6, 1)
    yield "another producer in the middle", sent(4, 1, of=other)
    yield "and from its start", sent(0, 1, of=other)
    yield "later epoch in the middle", sent(11, 1, epoch=1)
    yield "later epoch", sent(0, 1, epoch=1)
    yield "earlier epoch", sent(11, 1)
    yield "later epoch goes on", sent(1, 1, epoch=1)
    yield "wrapping", sent(2**31 - 1, 2, epoch=2)
    yield "skipped epochs", sent(0, 1, epoch=9)


@script
def fetch_sessions(wire: Wire) -> Iterator[tuple[str, Plain]]:
    ids = create(wire, "session-a", 3) | create(wire, "session-b")
    yield "topic ids", ids
    first, second = ids

    for version in (7, 11, 12, 13, 17):
        by_id = version >= 13

        def named(name: str, topic_id: str, by_id: bool = by_id) -> Plain:
            return {"topic_id": topic_id} if by_id else {"topic": name}

        def asked_for(
            session: int,
            epoch: int,
            wanted: list[tuple[str, str, int, int]],
            forgotten: Sequence[tuple[str, str, int]] = (),
            version: int = version,
        ) -> Plain:
            return fetched(
                wire.ask(
                    "fetch",
                    version,
                    replica_id=-1,
                    replica_state={"replica_id": -1, "replica_epoch": -1},
                    max_wait=30,
                    min_bytes=1,
                    max_bytes=100_000,
                    session_id=session,
                    session_epoch=epoch,
                    topics=[
                        named(name, topic_id)
                        | {
                            "partitions": [
                                {
                                    "partition": index,
                                    "fetch_offset": offset,
                                    "current_leader_epoch": -1,
                                    "last_fetched_epoch": -1,
                                    "log_start_offset": -1,
                                    "partition_max_bytes": 50_000,
                                }
                            ]
                        }
                        for name, topic_id, index, offset in wanted
                    ],
                    forgotten_topics_data=[
                        named(name, topic_id) | {"partitions": [index]}
                        for name, topic_id, index in forgotten
                    ],
                )
            )

        def filled(index: int) -> None:
            batch = record_batch([b"value"], NOW)
            answer = wire.ask(
                "produce",
                9,
                acks=-1,
                timeout=10_000,
                topic_data=[
                    {
                        "name": "session-a",
                        "partition_data": [{"index": index, "records": batch}],
                    }
                ],
            )
            assert answer["responses"][0]["partition_responses"][0]["error_code"] == "none"

        end = {
            index: wire.ask(
                "list_offsets",
                5,
                replica_id=-1,
                topics=[
                    {
                        "name": "session-a",
                        "partitions": [
                            {"partition_index": index, "current_leader_epoch": -1, "timestamp": -1}
                        ],
                    }
                ],
            )["topics"][0]["partitions"][0]["offset"]
            for index in range(3)
        }
        all_of_them = [("session-a", first, index, end[index]) for index in range(3)]
        begun = asked_for(0, 0, [*all_of_them, ("session-b", second, 0, 0)])
        session = begun["session_id"]
        begun["has session"] = session > 0
        yield f"v{version} begun", begun
        yield f"v{version} nothing new", asked_for(session, 1, [])
        filled(1)
        yield f"v{version} one is new", asked_for(session, 2, [])
        yield (
            f"v{version} moved on",
            asked_for(session, 3, [("session-a", first, 1, end[1] + 1)]),
        )
        filled(0)
        filled(2)
        yield (
            f"v{version} forgotten",
            asked_for(session, 4, [], [("session-a", first, 0)]),
        )
        yield (
            f"v{version} one that is not there",
            asked_for(session, 5, [("session-a", first, 9, 0)]),
        )
        yield f"v{version} and is told again", asked_for(session, 6, [])
        yield f"v{version} wrong epoch", asked_for(session, 99, [])
        yield f"v{version} wrong session", asked_for(session ^ 77, 7, [])
        yield f"v{version} goes on", asked_for(session, 7, [], [("session-a", first, 9)])
        yield f"v{version} closed", asked_for(session, -1, [("session-b", second, 0, 0)])
        yield f"v{version} is gone", asked_for(session, 8, [])


@script
def describe_log_dirs(wire: Wire) -> Iterator[tuple[str, Plain]]:
    create(wire, "dirs-a", 2)
    for version in range(1, 6):
        for label, topics in {
            "all": None,
            "named": [{"topic": "dirs-a", "partitions": [0, 1]}],
            "part": [{"topic": "dirs-a", "partitions": [1, 5]}],
            "absent": [{"topic": "dirs-absent", "partitions": [0]}],
            "none": [],
        }.items():
            answer = wire.ask("describe_log_dirs", version, topics=topics)
            for directory in answer["results"]:
                directory["topics"] = [
                    topic for topic in directory["topics"] if topic["name"] == "dirs-a"
                ]
            yield f"v{version} {label}", answer


@script
def describe_quorum(wire: Wire) -> Iterator[tuple[str, Plain]]:
    for version in range(3):
        for label, topics in {
            "metadata": [
                {"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}
            ],
            "other partition": [
                {"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 1}]}
            ],
            "other topic": [{"topic_name": "quorum-x", "partitions": [{"partition_index": 0}]}],
            "none": [],
        }.items():
            answer = wire.ask("describe_quorum", version, topics=topics)
            for topic in answer["topics"]:
                for partition in topic["partitions"]:
                    partition.pop("high_watermark")
                    for replica in partition["current_voters"] + partition["observers"]:
                        replica.pop("log_end_offset")
            yield f"v{version} {label}", answer
