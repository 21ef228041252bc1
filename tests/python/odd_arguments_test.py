"""No input from Python ends the process: the public surface is called with what nobody expects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pabal

SCRIPT = Path(__file__).with_name("odd_arguments.py")


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_given_is_taken_or_refused(seed: int) -> None:
    with pabal.Cluster(config={"auto.create.topics.enable": False}) as cluster:
        cluster.create_topic("odd", partitions=2)
        done = subprocess.run(
            [sys.executable, str(SCRIPT), cluster.bootstrap_servers, str(seed)],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
    assert "calls" in done.stdout
