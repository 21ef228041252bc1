"""What the shells are told, asked of the shells."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pabal.cli import main



@pytest.fixture
def script(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[[str], Path]:
    def script(shell: str) -> Path:
        assert main(["completion", shell]) == 0
        path = tmp_path / f"pabal.{shell}"
        path.write_text(capsys.readouterr().out)
        return path

    return script


def offered_by_bash(script: Path, *words: str) -> list[str]:
    """What bash offers behind these words, the last of which is under way."""
    done = subprocess.run(
        [
            "bash",
            "-c",
            'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pabal 2>/dev/null; '
            'printf "%s\\n" "${COMPREPLY[@]}"',
            "bash",
            *(str(script), "pabal", *words),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash(script: Callable[[str], Path]) -> None:
    bash = script("bash")
    assert {"topic", "group", "cluster"} <= set(offered_by_bash(bash, ""))
    assert offered_by_bash(bash, "topic", "cr") == ["create"]
    assert offered_by_bash(bash, "topic", "create", "x", "--part") == ["--partitions"]
    assert offered_by_bash(bash, "topic", "create", "-c", "retention.") == [
        "retention.bytes=",
        "retention.ms=",
    ]
    assert offered_by_bash(bash, "config", "get", "to") == ["topic"]
    assert offered_by_bash(bash, "completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_asks_the_cluster_for_topics(
    script: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pabal = tmp_path / "pabal"
    pabal.write_text('#!/bin/sh\n[ "$1 $2" = "topic list" ] && echo orders && echo payments\n')
    pabal.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert offered_by_bash(script("bash"), "topic", "describe", "ord") == ["orders"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_is_a_script(script: Callable[[str], Path], shell: str) -> None:
    path = script(shell)
    assert "--replication-factor" in path.read_text() or "-l replication-factor" in path.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"THE COMPLETION OF {shell} WAS NOT READ BY IT: it is not installed")
    subprocess.run([shell, "-n", str(path)], check=True, timeout=60)


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish(script: Callable[[str], Path]) -> None:
    done = subprocess.run(
        ["fish", "-c", f"source {script('fish')}; complete -C 'pabal topic create --part'"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith("--partitions")


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["completion", "tcsh"])
    assert ended.value.code == 2
    assert "tcsh" in capsys.readouterr().err
