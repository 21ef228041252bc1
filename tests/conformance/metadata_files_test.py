"""Our metadata log and Kafka's: each reads what the other wrote."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conformance.kafka import KafkaBroker, KafkaReference

pytestmark = pytest.mark.reference

ROOT = Path(__file__).parents[2]
BUILD = ROOT / os.environ.get("PABAL_BUILD", "build/dev")
SAMPLES = BUILD / "tests" / "conformance" / "metadata_samples"

DUMP = "org.apache.kafka.tools.DumpLogSegments"
SHELL = "org.apache.kafka.shell.MetadataShell"
TOPICS = "org.apache.kafka.tools.TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"

# Two lives of one controller, each with twelve topics of which one is deleted again.
EXPECTED_TOPICS = {
    f"{prefix}-{i}": 1 + i % 3 for prefix in ("first", "second") for i in range(12) if i != 3
}


def samples(*arguments: object) -> list[str]:
    result = subprocess.run(
        [str(SAMPLES), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not SAMPLES.exists():
        pytest.skip(f"{SAMPLES} is not built")
    directory = tmp_path_factory.mktemp("metadata")
    samples("write", directory)
    return directory


def dump(kafka: KafkaReference, *files: Path) -> str:
    result = kafka.tool(
        DUMP, "--cluster-metadata-decoder", "--files", ",".join(map(str, files))
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def payloads(said: str) -> list[dict[str, object]]:
    return [json.loads(found) for found in re.findall(r"payload: (\{.*\})", said)]


def test_kafka_dump_log_decodes_our_metadata_log(kafka: KafkaReference, ours: Path) -> None:
    logs = sorted((ours / "__cluster_metadata-0").glob("*.log"))
    assert logs
    said = dump(kafka, *logs)
    assert "isvalid: false" not in said
    assert "Could not decode" not in said and "Error" not in said, said[:2000]
    assert "LeaderChange" in said
    records = payloads(said)
    assert {"TOPIC_RECORD", "PARTITION_RECORD", "REGISTER_BROKER_RECORD"} <= {
        str(record["type"]) for record in records
    }


def test_kafka_dump_log_decodes_our_snapshots(kafka: KafkaReference, ours: Path) -> None:
    snapshots = sorted((ours / "__cluster_metadata-0").glob("*.checkpoint"))
    assert len(snapshots) == 1
    said = dump(kafka, snapshots[0], ours / "bootstrap.checkpoint")
    assert "isvalid: false" not in said
    assert said.count("SnapshotHeader") == 2 and said.count("SnapshotFooter") == 2
    # Readers learn the level of the records before they meet the first of them.
    first = payloads(said)[0]
    assert first["type"] == "FEATURE_LEVEL_RECORD"
    assert first["data"] == {"name": "metadata.version", "featureLevel": 30}


def test_kafka_metadata_shell_walks_our_snapshot(kafka: KafkaReference, ours: Path) -> None:
    snapshot = next((ours / "__cluster_metadata-0").glob("*.checkpoint"))
    shown: set[str] = set()
    # The shell may carry out the command before it has read the snapshot; it then lists nothing.
    for _ in range(10):
        result = kafka.tool(SHELL, "--snapshot", str(snapshot), "ls", "/image/topics/byName")
        assert result.returncode == 0, result.stderr
        if shown := set(result.stdout.split()):
            break
    assert shown and shown <= set(EXPECTED_TOPICS) | {"second-3"}
    assert {"first-0", "first-11"} <= shown


def test_we_find_again_what_we_wrote(ours: Path) -> None:
    lines = samples("read", ours, 0)
    topics = {line.split()[1]: int(line.split()[3]) for line in lines if line[:6] == "topic "}
    assert topics == EXPECTED_TOPICS
    assert "feature metadata.version 30" in lines
    assert "config 4  log.retention.ms=7200000" in lines
    assert "config 2 second-2 retention.ms=60000" in lines


def test_we_read_the_metadata_that_kafka_wrote(
    kafka: KafkaReference, kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    if not SAMPLES.exists():
        pytest.skip(f"{SAMPLES} is not built")
    bootstrap = ("--bootstrap-server", kafka_broker.bootstrap_servers)
    created = kafka.tool(
        TOPICS,
        *bootstrap,
        *("--create", "--topic", "metadata-of-kafka", "--partitions", "5"),
        *("--config", "retention.ms=12345"),
    )
    assert created.returncode == 0, created.stdout + created.stderr
    described = kafka.tool(TOPICS, *bootstrap, "--describe", "--topic", "metadata-of-kafka")
    topic_id = re.search(r"TopicId: (\S+)", described.stdout)
    assert topic_id, described.stdout
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copytree(
        kafka_broker.log_dir / "__cluster_metadata-0", copy / "__cluster_metadata-0"
    )
    lines = samples("read", copy, 1)
    assert f"topic metadata-of-kafka {topic_id[1]} 5" in lines
    assert "config 2 metadata-of-kafka retention.ms=12345" in lines
    assert "broker 1 unfenced" in lines
    assert "feature metadata.version 30" in lines
