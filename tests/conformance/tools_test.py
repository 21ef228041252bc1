"""Kafka's own command-line tools, and kcat, at brokers of pabal and of Apache Kafka: the same
commands one after the other, and the same words come back."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pabal
from conformance.kafka import KafkaBroker, KafkaReference

TOOLS = "org.apache.kafka.tools."
TOPICS = TOOLS + "TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"
OFFSETS = TOOLS + "GetOffsetShell"
CONSUMER = TOOLS + "consumer.ConsoleConsumer"
PRODUCER = TOOLS + "ConsoleProducer"

# What is said by one broker alone: addresses, ids, times, sizes, and the wording of refusals.
BY_NATURE = [
    (r"127\.0\.0\.1:? ?\d+", "ADDRESS"),
    (r"(TopicId: )\S+", r"\1ID"),
    (r"(ClusterId: +|Cluster ID: )\S+", r"\1ID"),
    (r'("directoryId": )"\S+"', r'\1"ID"'),
    (r"(HighWatermark: +)\d+", r"\1N"),
    (r"^(1 +)\S+ +\d+ +(0 +)\d+ +\d+ +", r"\1ID N \2T T "),
    (r"\[\d{4}-\d\d-\d\d [\d:,]+\] ", ""),
    (r"\t", " "),
    (r"(executing topic command : ).*", r"\1REASON"),
    (r"(Exception: ).*", r"\1REASON"),
    # Kafka 4.3 formats it into the settings of a cluster, for KIP-966.
    (r"(Configs: |,)?min\.insync\.replicas=1,?", r"\1"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[pabal.Cluster]:
    with pabal.Cluster(isolation="process", config={"node.id": 1}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kafka_broker(kafka: KafkaReference) -> Iterator[KafkaBroker]:
    """A broker of its own: what other tests leave behind would be listed here."""
    with kafka.broker() as broker:
        yield broker


Both = Callable[..., tuple[str, str]]


@pytest.fixture
def both(kafka: KafkaReference, kafka_broker: KafkaBroker, cluster: pabal.Cluster) -> Both:
    """Runs a tool at each broker; what it printed, Kafka's first."""

    def run(tool: str, *arguments: str, text: str | None = None) -> tuple[str, str]:
        said = []
        for servers in (kafka_broker.bootstrap_servers, cluster.bootstrap_servers):
            where = ("--bootstrap-server", servers)
            # One takes it before its command only, another only behind.
            whole = (*where, *arguments) if "Feature" in tool else (*arguments, *where)
            result = kafka.tool(tool, *whole, input=text, heap="256m")
            printed = f"{result.stdout}{result.stderr}exit {result.returncode}\n"
            for pattern, replacement in BY_NATURE:
                printed = re.sub(pattern, replacement, printed, flags=re.MULTILINE)
            said.append(printed)
        return said[0], said[1]

    return run


def agreed(said: tuple[str, str]) -> str:
    theirs, ours = said
    assert ours == theirs
    return ours


@pytest.mark.reference
def test_topics(both: Both) -> None:
    topic = ("--topic", "tool-topics")
    create = ("--create", *topic, "--partitions", "3", "--config", "retention.ms=1000000")
    assert "Created topic" in agreed(both(TOPICS, *create))
    assert "exit 1" in agreed(both(TOPICS, "--create", *topic))
    agreed(both(TOPICS, "--create", *topic, "--if-not-exists"))
    assert "tool-topics" in agreed(both(TOPICS, "--list"))
    described = agreed(both(TOPICS, "--describe", *topic))
    assert "PartitionCount: 3" in described
    agreed(both(TOPICS, "--alter", *topic, "--partitions", "5"))
    assert "exit 1" in agreed(both(TOPICS, "--alter", *topic, "--partitions", "2"))
    assert "Partition: 4" in agreed(both(TOPICS, "--describe", *topic))
    agreed(both(TOPICS, "--create", "--topic", "tool-bad", "--config", "nonsense=1"))
    agreed(both(TOPICS, "--create", "--topic", "tool-bad", "--replication-factor", "3"))
    agreed(both(TOPICS, "--delete", *topic))
    assert "tool-topics" not in agreed(both(TOPICS, "--list"))


@pytest.mark.reference
def test_console_producer_and_consumer_by_partition(both: Both) -> None:
    topic = ("--topic", "tool-console")
    agreed(both(TOPICS, "--create", *topic, "--partitions", "1"))
    lines = "".join(f"key{n}:value {n}\n" for n in range(100))
    keyed = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
    agreed(both(PRODUCER, *topic, *keyed, text=lines))
    shown = ("--formatter-property", "print.key=true", "--formatter-property", "print.offset=true")
    read = agreed(
        both(
            CONSUMER,
            *topic,
            *shown,
            *("--partition", "0", "--offset", "10", "--max-messages", "90"),
            *("--timeout-ms", "30000"),
        )
    )
    assert "Offset:10 key10 value 10" in read and "Offset:99 key99 value 99" in read
    for time in ("-1", "-2", "-4", "-5", "4102444800000"):
        agreed(both(OFFSETS, *topic, "--time", time))


@pytest.mark.reference
def test_performance_tools(both: Both) -> None:
    topic = ("--topic", "tool-perf")
    agreed(both(TOPICS, "--create", *topic, "--partitions", "4"))
    for said in both(
        TOOLS + "ProducerPerformance",
        *topic,
        *("--num-records", "20000", "--record-size", "500", "--throughput", "-1"),
    ):
        assert "20000 records sent" in said and "exit 0" in said
    for said in both(OFFSETS, *topic):
        counts = re.findall(r"tool-perf:\d:(\d+)", said)
        assert len(counts) == 4 and sum(map(int, counts)) == 20_000
    for said in both(
        TOOLS + "ConsumerPerformance", *topic, "--num-records", "20000", "--timeout", "30000"
    ):
        assert ", 20000, " in said and "exit 0" in said


@pytest.mark.reference
def test_configs(both: Both) -> None:
    agreed(both(TOPICS, "--create", "--topic", "tool-configs"))
    topic = ("--entity-type", "topics", "--entity-name", "tool-configs")
    everyone = ("--entity-type", "brokers", "--entity-default")
    one = ("--entity-type", "brokers", "--entity-name", "1")
    agreed(both(CONFIGS, *topic, "--describe"))
    added = ("--alter", "--add-config", "segment.bytes=2000000,retention.ms=99")
    agreed(both(CONFIGS, *topic, *added))
    assert "segment.bytes=2000000" in agreed(both(CONFIGS, *topic, "--describe"))
    agreed(both(CONFIGS, *topic, "--alter", "--delete-config", "segment.bytes"))
    assert "segment.bytes" not in agreed(both(CONFIGS, *topic, "--describe"))
    agreed(both(CONFIGS, *topic, "--alter", "--delete-config", "flush.ms"))
    agreed(both(CONFIGS, *everyone, "--alter", "--add-config", "log.retention.ms=1000000"))
    for said in both(CONFIGS, *everyone, "--describe"):
        assert "log.retention.ms=1000000" in said
    agreed(both(CONFIGS, *one, "--describe"))
    agreed(both(CONFIGS, *everyone, "--alter", "--delete-config", "log.retention.ms"))
    # Each setting that we tell of all is told as Kafka tells it.
    theirs, ours = (
        {line.split("=")[0].strip(): line for line in said.splitlines() if "sensitive" in line}
        for said in both(CONFIGS, *topic, "--describe", "--all")
    )
    ours = {name: line for name, line in ours.items() if name in line and name != "sensitive"}
    assert len(ours) > 15
    assert ours == {name: theirs[name] for name in ours}


@pytest.mark.reference
def test_what_the_cluster_is(both: Both) -> None:
    theirs, ours = both(TOOLS + "BrokerApiVersionsCommand")
    served = [line for line in ours.splitlines() if "UNSUPPORTED" not in line]
    assert len(served) > 25 and "exit 0" in served
    assert set(served) <= set(theirs.splitlines())
    agreed(both(TOOLS + "MetadataQuorumCommand", "describe", "--status"))
    agreed(both(TOOLS + "MetadataQuorumCommand", "describe", "--replication"))
    agreed(both(TOOLS + "ClusterTool", "cluster-id"))
    agreed(both(TOOLS + "ClusterTool", "list-endpoints"))
    for said in both(TOOLS + "FeatureCommand", "describe"):
        assert "metadata.version" in said and "exit 0" in said


@pytest.mark.reference
def test_log_dirs_and_deleted_records(both: Both, tmp_path: Path) -> None:
    topic = ("--topic", "tool-dirs")
    agreed(both(TOPICS, "--create", *topic, "--partitions", "2"))
    agreed(both(PRODUCER, *topic, text="one\ntwo\nthree\n"))
    for said in both(TOOLS + "LogDirsCommand", "--describe", "--topic-list", "tool-dirs"):
        found = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
        (directory,) = found["brokers"][0]["logDirs"]
        assert directory["error"] is None
        partitions = {each["partition"]: each for each in directory["partitions"]}
        assert set(partitions) == {"tool-dirs-0", "tool-dirs-1"}
        assert sum(each["size"] for each in partitions.values()) > 60
    wanted = tmp_path / "offsets.json"
    wanted.write_text(
        json.dumps(
            {
                "version": 1,
                "partitions": [
                    {"topic": "tool-dirs", "partition": index, "offset": -1} for index in (0, 1)
                ],
            }
        )
    )
    delete = TOOLS + "DeleteRecordsCommand"
    for said in both(delete, "--offset-json-file", str(wanted)):
        assert re.search(r"partition: tool-dirs-[01] low_watermark: 3", said), said
    for said in both(OFFSETS, *topic, "--time", "-2"):
        assert sorted(re.findall(r"tool-dirs:\d:(\d+)", said)) == ["0", "3"]


# ---- kcat


def kcat(cluster: pabal.Cluster, *arguments: str, text: str = "") -> str:
    program = shutil.which("kcat") or shutil.which("kafkacat")
    if program is None:
        pytest.skip("NOT TRIED WITH KCAT: it is not installed")
    return subprocess.run(
        [program, "-b", cluster.bootstrap_servers, *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_kcat_produces_consumes_and_lists(cluster: pabal.Cluster) -> None:
    cluster.create_topic("tool-kcat", partitions=2)
    expected = []
    for number, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        sent = f"key{number}:" + codec * 100
        expected.append(sent)
        arguments = ("-t", "tool-kcat", "-p", "1", "-K:", "-X", f"compression.codec={codec}")
        kcat(cluster, "-P", *arguments, text=sent + "\n")
    idempotent = ("-X", "enable.idempotence=true")
    kcat(cluster, "-P", "-t", "tool-kcat", "-p", "1", "-K:", *idempotent, text="last:one\n")
    read = kcat(cluster, "-C", "-t", "tool-kcat", "-o", "beginning", "-e", "-f", "%p %k:%s\\n")
    assert read.splitlines() == [f"1 {line}" for line in [*expected, "last:one"]]
    assert kcat(cluster, "-Q", "-t", "tool-kcat:1:-1").strip() == "tool-kcat [1] offset 6"
    listed = json.loads(kcat(cluster, "-L", "-J", "-t", "tool-kcat"))
    assert [each["leader"] for each in listed["topics"][0]["partitions"]] == [1, 1]
