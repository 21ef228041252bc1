"""`pabal cluster`: brokers that outlive the command, found again by the next one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pabal.background import BackgroundCluster, clusters
from pabal.cli import main

Run = Callable[..., str]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs a command line; gives what it printed, or what it complained about."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def run(line: str, status: int = 0) -> str:
        assert main(line.split()) == status, capsys.readouterr()
        printed = capsys.readouterr()
        return printed.err if status and printed.err else printed.out

    yield run
    for name in clusters():
        BackgroundCluster.load(name).stop(30)


def test_a_clusters_life(run: Run, tmp_path: Path) -> None:
    assert run("cluster status") == ""
    said = run("cluster up --port 0 -c num.partitions=3")
    address = re.fullmatch(r"default runs: (127\.0\.0\.1:\d+)\n", said)
    assert address
    assert run(f"topic create orders -b {address[1]}") == "orders has 3 partitions\n"
    (status,) = json.loads(run("cluster status --json"))
    (broker,) = status["brokers"]
    assert broker["running"]
    assert (tmp_path / "pabal" / "default" / "broker-0" / "orders-0").is_dir()

    assert run("cluster up") == said  # It runs already.
    os.kill(broker["pid"], signal.SIGKILL)
    assert "down" in run("cluster status", 1)
    assert run("cluster up") == said
    assert run(f"topic list -b {address[1]}") == "orders\n"
    assert "runs" in run("cluster status default")

    assert run("cluster down") == "default is down\n"
    assert run("cluster down") == "default was down\n"
    assert run("cluster up") == said
    assert run(f"topic list -b {address[1]}") == "orders\n"
    assert run("cluster down --delete") == "default is down, its data are deleted\n"
    assert run("cluster status --names") == ""
    assert "there is no cluster default" in run("cluster down", 1)


def test_a_paused_broker_is_shut_down_too(run: Run) -> None:
    run("cluster up --port 0")
    ((broker,),) = (status["brokers"] for status in json.loads(run("cluster status --json")))
    os.kill(broker["pid"], signal.SIGSTOP)
    assert run("cluster down") == "default is down\n"


def test_what_cannot_be_is_told(run: Run, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} is taken" in run(f"cluster up --port {port}", 1)
    assert run("cluster status --names") == ""
    assert "num.partitions" in run("cluster up --port 0 -c num.partitions=many", 1)
    assert "letters, digits" in run("cluster up a/b", 1)
    assert "one broker at least" in run("cluster up -n 0 other", 1)
    run("cluster up --port 0 -c num.partitions=2")
    assert "runs with other settings" in run("cluster up -c num.partitions=4", 1)
    assert "has 1 brokers" in run("cluster up --brokers 3", 1)
    assert "stays where it is" in run("cluster up --port 9999", 1)
    (tmp_path / "pabal" / "default" / "cluster.json").rename(tmp_path / "kept")
    (tmp_path / "pabal" / "default" / "cluster.json").write_text("{}")
    assert "cannot be read" in run("cluster status", 1)
    (tmp_path / "kept").rename(tmp_path / "pabal" / "default" / "cluster.json")
    run("cluster down")
