"""The tutorial, done as a reader would do it, from top to bottom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pabal.background import BackgroundCluster, clusters

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|console)\n(.*?)```", PAGE, re.DOTALL)
NAMES = re.findall(r"`(\w+\.py)`", PAGE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_step_does_what_the_page_says(
    place: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    monkeypatch.chdir(place)
    names = list(NAMES)
    assert names == ["send.py", "read.py"]
    port = ""
    try:
        for kind, text in BLOCKS:
            if kind == "console":
                for step in text.split("$ ")[1:]:
                    line, _, expected = step.partition("\n")
                    if line == "pabal cluster up":
                        line += " --port 0"  # The page's may be taken on this machine.
                    done = run(line)
                    if not port:
                        port = done.strip().rpartition(":")[2]
                        monkeypatch.setenv("PABAL_BOOTSTRAP_SERVER", f"127.0.0.1:{port}")
                    assert done.replace(f":{port}", ":9092") == expected, line
            elif names:
                script = text.replace("127.0.0.1:9092", f"127.0.0.1:{port}")
                (place / names.pop(0)).write_text(script, encoding="utf-8")
                if not names:
                    assert port
            elif "def test_" in text:
                path = pytester.makepyfile(text)
                result = pytester.runpytest_subprocess("-p", "no:asyncio", path)
                result.assert_outcomes(passed=1)
            else:
                run(f"{sys.executable} -W error -", text)
    finally:
        for name in clusters():
            BackgroundCluster.load(name).stop(30)


def run(line: str, given: str = "") -> str:
    done = subprocess.run(
        line.split(), input=given, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{line}\n{given}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_links_lead_somewhere() -> None:
    docs = Path(__file__).parents[2] / "docs"
    for page in docs.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (docs / target).exists(), f"{page.name}: {target}"
