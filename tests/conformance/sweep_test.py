"""Every version of every API that is advertised gets an answer that an independent codec reads.

The requests are well formed and random: existing, absent and impossible topics, offsets and
settings in every mixture. What a handler answers is not judged here (``apis_test.py`` does that
beside Apache Kafka), but that it answers, in the version that was asked for, whole, and that the
broker lives on.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import random
import re
import typing
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kio.index import load_entity_schema
from kio.schema.index import api_key_map
from kio.static.constants import EntityType

import pabal
from conformance.wire import Closed, Plain, Wire, alternatives, record_batch

# What a broker of Apache Kafka 4.3.0 advertises on its listener for clients.
KAFKA = """\
0 Produce 0-13
1 Fetch 4-18
2 ListOffsets 1-11
3 Metadata 0-13
8 OffsetCommit 2-10
9 OffsetFetch 1-10
10 FindCoordinator 0-6
11 JoinGroup 0-9
12 Heartbeat 0-4
13 LeaveGroup 0-5
14 SyncGroup 0-5
15 DescribeGroups 0-6
16 ListGroups 0-5
17 SaslHandshake 0-1
18 ApiVersions 0-4
19 CreateTopics 2-7
20 DeleteTopics 1-6
21 DeleteRecords 0-2
22 InitProducerId 0-5
23 OffsetForLeaderEpoch 2-4
24 AddPartitionsToTxn 0-5
25 AddOffsetsToTxn 0-4
26 EndTxn 0-5
27 WriteTxnMarkers 1-2
28 TxnOffsetCommit 0-5
29 DescribeAcls 1-3
30 CreateAcls 1-3
31 DeleteAcls 1-3
32 DescribeConfigs 1-4
33 AlterConfigs 0-2
34 AlterReplicaLogDirs 1-2
35 DescribeLogDirs 1-5
36 SaslAuthenticate 0-2
37 CreatePartitions 0-3
38 CreateDelegationToken 1-3
39 RenewDelegationToken 1-2
40 ExpireDelegationToken 1-2
41 DescribeDelegationToken 1-3
42 DeleteGroups 0-2
43 ElectLeaders 0-2
44 IncrementalAlterConfigs 0-1
45 AlterPartitionReassignments 0-1
46 ListPartitionReassignments 0-0
47 OffsetDelete 0-0
48 DescribeClientQuotas 0-1
49 AlterClientQuotas 0-1
50 DescribeUserScramCredentials 0-0
51 AlterUserScramCredentials 0-0
55 DescribeQuorum 0-2
57 UpdateFeatures 0-2
60 DescribeCluster 0-2
61 DescribeProducers 0-0
64 UnregisterBroker 0-0
65 DescribeTransactions 0-0
66 ListTransactions 0-2
68 ConsumerGroupHeartbeat 0-1
69 ConsumerGroupDescribe 0-1
74 ListConfigResources 0-1
75 DescribeTopicPartitions 0-0
76 ShareGroupHeartbeat 1-1
77 ShareGroupDescribe 1-1
78 ShareFetch 1-2
79 ShareAcknowledge 1-2
80 AddRaftVoter 0-1
81 RemoveRaftVoter 0-0
83 InitializeShareGroupState 0-0
84 ReadShareGroupState 0-0
85 WriteShareGroupState 0-1
86 DeleteShareGroupState 0-0
87 ReadShareGroupStateSummary 0-1
88 StreamsGroupHeartbeat 0-0
89 StreamsGroupDescribe 0-0
90 DescribeShareGroupOffsets 0-1
91 AlterShareGroupOffsets 0-0
92 DeleteShareGroupOffsets 0-0
"""
# Without these a broker is of no use.
NEEDED = (
    "Produce Fetch ListOffsets Metadata FindCoordinator ApiVersions CreateTopics DeleteTopics "
    "DeleteRecords InitProducerId OffsetForLeaderEpoch DescribeConfigs AlterConfigs "
    "DescribeLogDirs CreatePartitions IncrementalAlterConfigs DescribeQuorum DescribeCluster "
    "ListConfigResources DescribeTopicPartitions"
)
ROUNDS = 40
MESSAGES = Path(__file__).parents[2] / "cpp" / "schema" / "messages"

Versions = dict[int, tuple[int, int]]


def kafka_table() -> tuple[Versions, dict[int, str]]:
    versions, names = {}, {}
    for line in KAFKA.splitlines():
        key, name, span = line.split()
        low, high = span.split("-")
        versions[int(key)] = int(low), int(high)
        names[int(key)] = name
    return versions, names


def served_keys() -> set[int]:
    """What the schema says that a broker serves."""
    return {
        int(path.name.partition("_")[0])
        for path in MESSAGES.glob("[0-9]*_*.api")
        if re.search(r"^api .*\bto (broker|both)\b", path.read_text(), re.MULTILINE)
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(isolation="process", config={"node.id": 1}) as cluster:
        yield cluster


@pytest.fixture
def port(cluster: pabal.Cluster) -> int:
    return int(cluster.bootstrap_servers.rpartition(":")[2])


def advertised(wire: Wire, version: int = 4) -> Versions:
    answer = wire.ask(
        "api_versions", version, client_software_name="sweep", client_software_version="1"
    )
    return {
        each["api_key"]: (each["min_version"], each["max_version"]) for each in answer["api_keys"]
    }


def test_versions_are_those_of_kafka(port: int) -> None:
    theirs, names = kafka_table()
    with Wire(port) as wire:
        for version in range(5):
            ours = advertised(wire, version)
            assert ours == {key: theirs[key] for key in ours}
            assert {names[key] for key in ours} >= set(NEEDED.split())
            assert set(ours) == served_keys()


class Chance:
    """Random values for the fields of a request, by their names and types."""

    def __init__(self, seed: int, topic: str, topic_id: str) -> None:
        self._random = random.Random(seed)
        self._topic = topic
        self._topic_id = topic_id
        self._groups = 0

    def fields(self, entity_type: Plain) -> dict[str, Plain]:
        hints = typing.get_type_hints(entity_type)
        return {
            field.name: self.value(field.name, hints[field.name])
            for field in dataclasses.fields(entity_type)
        }

    def value(self, name: str, hint: Plain) -> Plain:
        options = alternatives(hint)
        if type(None) in options and self._random.random() < 0.25:
            return None
        hint = next(option for option in options if option is not type(None))
        if typing.get_origin(hint) is tuple:
            item = typing.get_args(hint)[0]
            return [self.value(name, item) for _ in range(self._random.choice((0, 1, 1, 2)))]
        if dataclasses.is_dataclass(hint):
            return self.fields(hint)
        if hint is uuid.UUID:
            return uuid.UUID(
                self._random.choice((self._topic_id, str(uuid.UUID(int=7)), str(uuid.UUID(int=0))))
            )
        if issubclass(hint, datetime.timedelta):
            return self._random.choice((0, 1, 20))
        if issubclass(hint, datetime.datetime):
            return datetime.datetime.fromtimestamp(1_700_000_000, datetime.timezone.utc)
        if issubclass(hint, enum.Enum):
            return self._random.choice(list(hint))
        if issubclass(hint, bool) or hint is bool:
            return self._random.random() < 0.5
        if issubclass(hint, str):
            return self.text(name)
        if issubclass(hint, bytes):
            batch = record_batch([b"a", b"bc"], 1_700_000_000_000)
            return self._random.choice((batch, batch, batch[:-1], b"", b"x" * 70))
        if issubclass(hint, float):
            return self._random.choice((0.0, -1.5))
        return self.number(name)

    def text(self, name: str) -> str:
        if name == "transactional_id":
            return self._random.choice(("", "t"))
        if name.startswith("client_software"):
            return self._random.choice(("sweep", "1.0", "", "-"))
        if "group" in name or name == "key":  # One for each: a member waits for no other.
            self._groups += 1
            return f"group-{self._groups}"
        if "config" in name or name == "value":
            return self._random.choice(("1000", "retention.ms", "x", ""))
        return self._random.choice(
            (self._topic, self._topic, "absent", "in valid", "", "1", "retention.ms", "9" * 250)
        )

    def number(self, name: str) -> int:
        if name == "acks":
            return self._random.choice((-1, 1, 2, -5))
        if name == "replica_id":
            return self._random.choice((-1, -1, -2, 3))
        if "timestamp" in name:
            return self._random.choice((-6, -5, -4, -3, -2, -1, 0, 1_700_000_000_000, 2**62))
        if name == "broker_id":  # Not this broker's: it would be unregistered.
            return self._random.choice((-1, 0, 2, 100))
        if name == "port":
            return self._random.choice((0, 1, 65535))
        if name in ("max_bytes", "partition_max_bytes"):
            return self._random.choice((0, 1, 100, 2**31 - 1, -1))
        if name in ("resource_type", "config_operation"):
            return self._random.choice((0, 1, 2, 2, 3, 4, 8, 16, 32))
        return self._random.choice((-1, 0, 0, 0, 1, 2, 100))


def sweeps() -> list[Plain]:
    versions, names = kafka_table()
    return [
        pytest.param(key, version, id=f"{names[key]}-{version}")
        for key in sorted(served_keys())
        for version in range(versions[key][0], versions[key][1] + 1)
    ]


@pytest.mark.parametrize(("key", "version"), sweeps())
def test_every_version_is_answered(
    cluster: pabal.Cluster, port: int, key: int, version: int
) -> None:
    with Wire(port) as wire:
        api = api_key_map[key]
        topic_id = existing_topic(wire)
        chance = Chance(1000 * key + version, "sweep", topic_id)
        if key == 0 and version < 3:
            # Advertised for librdkafka's sake (KIP-896); as in Kafka the connection is closed.
            wire.send_frame(bytes([0, 0, 0, version, 0, 0, 0, 1, 255, 255, 0, 1]) + bytes(8))
            with pytest.raises(Closed):
                wire.receive_frame()
        else:
            request_type = load_entity_schema(api, version, EntityType.request)
            for number in range(ROUNDS):
                fields = chance.fields(request_type)
                try:
                    wire.ask(api, version, **fields)
                except Closed:
                    pytest.fail(f"request {number} closed the connection: {fields}")
    with Wire(port) as wire:
        assert advertised(wire)


def existing_topic(wire: Wire) -> str:
    answer = wire.ask(
        "create_topics",
        7,
        topics=[{"name": "sweep", "num_partitions": 2, "replication_factor": 1}],
        timeout=10_000,
    )
    if answer["topics"][0]["error_code"] == "none":
        return str(answer["topics"][0]["topic_id"])
    known = wire.ask("metadata", 12, topics=[{"name": "sweep", "topic_id": uuid.UUID(int=0)}])
    return str(known["topics"][0]["topic_id"])


@pytest.mark.parametrize("version", range(3, 14))
def test_produce_without_acknowledgement_has_no_answer(port: int, version: int) -> None:
    with Wire(port) as wire:
        identity = uuid.UUID(existing_topic(wire))
        data = {"index": 0, "records": record_batch([b"a"], 1_700_000_000_000)}
        topic = {"topic_id": identity} if version >= 13 else {"name": "sweep"}
        wire.post(
            "produce",
            version,
            acks=0,
            timeout=1000,
            topic_data=[topic | {"partition_data": [data]}],
        )
        assert advertised(wire)  # The next answer is that of the next request.


@pytest.mark.parametrize("version", [5, 100, 32767])
def test_a_later_version_of_api_versions_is_answered_in_version_0(port: int, version: int) -> None:
    with Wire(port) as wire:
        wire.send_frame(b"\0\x12" + version.to_bytes(2, "big") + b"\0\0\0\x07\xff\xff\0")
        answer = wire.receive_frame()
    assert answer == bytes.fromhex("00000007 0023 00000001 0012 0000 0004")
