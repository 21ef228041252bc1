"""Keys and partitions: the same numbers as Kafka's own clients."""

from __future__ import annotations

import io
import random
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

import pabal
from conformance.kafka import KafkaReference
from pabal import explore

# From UtilsTest of Apache Kafka.
VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}

JAVA = """
import java.io.*;
import java.util.HexFormat;
import org.apache.kafka.common.utils.Utils;
public class Murmur {
    public static void main(String[] arguments) throws IOException {
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            int hash = Utils.murmur2(HexFormat.of().parseHex(line));
            System.out.println(hash + " " + Utils.toPositive(hash) % 7);
        }
    }
}
"""


@pytest.mark.parametrize("key", VECTORS)
def test_known_hashes(key: bytes) -> None:
    assert explore.murmur2(key) == VECTORS[key]
    assert explore.murmur2(key.decode()) == VECTORS[key]


def random_keys(count: int) -> list[bytes]:
    chance = random.Random(1)
    return [chance.randbytes(length % 40) for length in range(count)]


@pytest.mark.reference
def test_the_java_clients_hashes(kafka: KafkaReference, tmp_path: Path) -> None:
    keys = random_keys(2000)
    (tmp_path / "Murmur.java").write_text(JAVA, encoding="utf-8")
    done = subprocess.run(
        ["java", "-cp", str(kafka.libs / "*"), str(tmp_path / "Murmur.java")],
        input="\n".join(key.hex() for key in keys) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    answers = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    ours = zip(map(explore.murmur2, keys), explore.partitions_for(keys, 7), strict=True)
    assert list(ours) == answers


@pytest.mark.pabal_topic(partitions=7)
def test_a_client_chooses_the_same_partitions(
    pabal_cluster: pabal.Cluster, pabal_topic: pabal.Topic
) -> None:
    from confluent_kafka import Producer

    chosen: dict[bytes, int] = {}
    config = {"bootstrap.servers": pabal_cluster.bootstrap_servers}
    producer = Producer({**config, "partitioner": "murmur2_random"})
    keys = sorted({key for key in random_keys(500) if key})
    for key in keys:
        producer.produce(
            pabal_topic.name,
            key=key,
            on_delivery=lambda _, message: chosen.update({message.key(): message.partition()}),
        )
    assert producer.flush(30) == 0
    assert chosen == dict(zip(keys, explore.partitions_for(keys, 7), strict=True))


def test_spread_counts_every_record() -> None:
    keys = [f"key-{number % 100}" for number in range(10_000)]
    found = explore.spread(keys, 12)
    assert found.records == 10_000
    assert sum(found.keys) == 100
    assert found.partitions == 12
    for key, count, partition in found.hottest:
        assert count == 100
        assert partition == explore.partition_for(key, 12)
    assert explore.spread(["one"] * 5, 3).skew == 3.0
    assert explore.spread(["one"] * 5, 3).idle == 2
    assert explore.spread([], 3).skew == 1.0


def test_doubling_moves_keys_by_the_old_number_only() -> None:
    keys = [f"key-{number}" for number in range(2000)]
    growth = explore.add_partitions(keys, 6, 12)
    assert all(new == old + 6 for old, new in growth.moved.values())
    assert 0.4 < growth.moved_keys_share < 0.6
    same = explore.add_partitions(keys, 6, 6)
    assert same.moved == {}
    assert same.moved_records_share == 0


def test_sticky_batches_are_fuller_and_every_record_leaves() -> None:
    sticky = explore.batch_fill(12, "sticky", linger=timedelta(milliseconds=20))
    robin = explore.batch_fill(12, "round_robin", linger=0.02)
    for fill in (sticky, robin):
        assert sum(fill.counts) == 10_000
        assert sum(fill.batches) == 1_000_000
        assert max(fill.batches) <= fill.batch_size
        assert fill.mean_wait <= timedelta(milliseconds=20)
    assert max(robin.counts) - min(robin.counts) <= 1
    assert sticky.fill > 3 * robin.fill
    assert explore.batch_fill(1, "sticky").batches == explore.batch_fill(1, "round_robin").batches


def test_a_pandas_column_will_do() -> None:
    import pandas

    column = pandas.Series(["AA", "DL", "AA"])
    assert explore.partitions_for(column, 6) == [3, 5, 3]
    assert explore.spread(column.to_numpy(), 6).counts == (0, 0, 0, 2, 0, 1)


@pytest.mark.parametrize("key", [None, 1, float("nan"), ["AA"], bytearray(b"AA")])
def test_what_is_no_key_is_refused(key: object) -> None:
    with pytest.raises(TypeError, match=f"bytes or str, not {type(key).__name__}"):
        explore.partition_for(key, 6)  # type: ignore[arg-type]


def test_one_key_is_not_many() -> None:
    for ask in (explore.partitions_for, explore.spread):
        with pytest.raises(TypeError, match="one key 'AA'"):
            ask("AA", 6)
    with pytest.raises(TypeError, match="one key b'AA'"):
        explore.add_partitions(b"AA", 6, 12)  # type: ignore[arg-type]


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="partitions is at least 1"):
        explore.partition_for("AA", 0)
    with pytest.raises(TypeError, match="partitions is a number"):
        explore.spread(["AA"], "6")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="after is at least 1"):
        explore.add_partitions(["AA"], 6, -1)
    with pytest.raises(ValueError, match="larger than a batch"):
        explore.batch_fill(6, record_size=20_000)
    with pytest.raises(ValueError, match="sticky"):
        explore.batch_fill(6, "random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rate"):
        explore.batch_fill(6, rate=0)
    with pytest.raises(UnicodeEncodeError):
        explore.murmur2("\ud800")


def test_results_are_shown_as_text_tables_and_html() -> None:
    from rich.console import Console

    keys = ["AA", "DL", "<b>"] * 3
    for result in (
        explore.spread(keys, 3),
        explore.add_partitions(keys, 3, 5),
        explore.batch_fill(3, records=100),
    ):
        assert "<table>" in result._repr_html_()
        console = Console(file=io.StringIO(), width=100)
        console.print(result)
        assert "┃" in console.file.getvalue()  # type: ignore[attr-defined]
        assert repr(result) == str(result)
        assert result.plot() is not None
