"""`pabal perf`: the figures are of what was really sent and read."""

from __future__ import annotations

import json

import pytest

import pabal
from pabal.cli import main


@pytest.fixture(autouse=True)
def _connected(pabal_cluster: pabal.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PABAL_BOOTSTRAP_SERVER", pabal_cluster.bootstrap_servers)


def test_figures_of_producing_and_consuming(
    pabal_topic: pabal.Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    name = pabal_topic.name
    assert main(f"perf produce {name} -n 5000 -s 50 --acks 1 --json".split()) == 0
    produced = json.loads(capsys.readouterr().out)
    assert produced["records"] == 5000
    assert produced["records_per_second"] * produced["seconds"] == pytest.approx(5000)
    assert 0 < produced["latency_50_ms"] <= produced["latency_99.9_ms"]
    assert produced["latency_99.9_ms"] <= produced["latency_max_ms"]
    assert produced["cpu_seconds"] > 0
    assert sum(end - start for start, end in pabal_topic.offsets()) == 5000
    for objects in ("", "--objects"):
        assert main(f"perf consume {name} --json {objects}".split()) == 0
        consumed = json.loads(capsys.readouterr().out)
        assert (consumed["records"], consumed["bytes"]) == (5000, 5000 * 50)
    assert main(f"perf consume {name} -n 1200 --json".split()) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 1200


def test_they_are_printed_as_kafka_prints_them(
    pabal_topic: pabal.Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    name = pabal_topic.name
    assert main(f"perf produce {name} -n 300 --throughput 3000".split()) == 0
    line = capsys.readouterr().out
    assert line.startswith("300 records sent, ")
    rate = float(line.split(", ")[1].split()[0])
    assert 1000 < rate < 3500
    assert "ms avg latency" in line
    assert "ms 99.9th. CPU" in line
    assert main(f"perf consume {name}".split()) == 0
    head, row = capsys.readouterr().out.splitlines()
    cells = dict(zip(head.split(", "), row.split(", "), strict=True))
    assert cells["data.consumed.in.nMsg"] == "300"
    assert cells["data.consumed.in.MB"] == f"{30_000 / 1024 / 1024:.4f}"


def test_what_does_not_come_is_told(
    pabal_topic: pabal.Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    name = pabal_topic.name
    assert main(f"perf produce {name} -n 5".split()) == 0
    assert main(f"perf consume {name} -n 6 --timeout 0.5".split()) == 1
    assert "only 5 of 6 records came" in capsys.readouterr().err
    assert main(f"perf consume no-{name}".split()) == 1
    assert f"there is no topic no-{name}" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(f"perf produce {name} -n 0".split())
