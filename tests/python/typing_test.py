"""The typed surface, by the second type checker; `docs_test.py` asks the first one."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pabal

USER = """
import pabal
from pabal.explore import Spread, spread

def bill(cluster: pabal.Cluster) -> list[int]:
    topic = cluster.create_topic("orders", partitions=3, config={"retention.ms": -1})
    broker: pabal.Broker = topic.leader(0)
    broker.kill()
    broker.restart(timeout=5)
    by_carrier: Spread = spread(["AA", b"DL"], partitions=3)
    return [end for _, end in topic.offsets()] + list(by_carrier.counts)

with pabal.Cluster(brokers=1, isolation="process") as cluster:
    reveal_type(bill(cluster))
    cluster.create_topic(7)
    pabal.Cluster(isolation="container")
"""


def checked(directory: Path, *words: str) -> dict[str, Any]:
    """What pyright says of a directory."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("NOT CHECKED BY PYRIGHT: it is not installed")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    # Its own program comes from npm's registry when it first runs.
    try:
        done = subprocess.run(
            [*command, *words],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        document: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    except subprocess.TimeoutExpired:
        pytest.skip("NOT CHECKED BY PYRIGHT: it did not end within four minutes")
    except ValueError:
        pytest.skip(f"NOT CHECKED BY PYRIGHT: it did not run: {(done.stdout + done.stderr)[-500:]}")
    return document


def told(document: dict[str, Any]) -> list[str]:
    return [
        f"{Path(one['file']).name}:{one['range']['start']['line'] + 1}: {one['message']}"
        for one in document["generalDiagnostics"]
        if one["severity"] != "information"
    ]


def test_the_package_is_clean(tmp_path: Path) -> None:
    # What is installed is left out of a check; a copy beside is not.
    installed = Path(pabal.__file__).parent
    shutil.copytree(
        installed, tmp_path / "pabal", ignore=shutil.ignore_patterns("__pycache__", "*.so")
    )
    document = checked(tmp_path, "pabal")
    assert told(document) == []
    assert document["summary"]["filesAnalyzed"] > 20


def test_whoever_uses_it_is_told_of_mistakes(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    document = checked(tmp_path, "user.py")
    revealed = [one for one in document["generalDiagnostics"] if one["severity"] == "information"]
    assert "list[int]" in revealed[0]["message"]
    first, second = told(document)
    assert "Literal[7]" in first
    assert "container" in second
