"""What the documents and docstrings show is run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import pabal

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = [
    f"pabal.{module.name}"
    for module in pkgutil.iter_modules(pabal.__path__)
    if module.name not in ("_core", "__main__")
]


@pytest.mark.parametrize("name", ["pabal", *MODULES])
def test_docstring_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert failed == 0


@pytest.mark.parametrize("name", ["pabal", *MODULES])
def test_every_public_name_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    undocumented = [
        public
        for public in getattr(module, "__all__", ())
        if callable(getattr(module, public)) and not getattr(module, public).__doc__
    ]
    assert undocumented == []


CLIENTS = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", README + CLIENTS, re.DOTALL))
def test_readme_examples_run(example: str, tmp_path: Path) -> None:
    script = example.replace("/tmp/orders", str(tmp_path / "orders"))
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.MULTILINE))
def test_readme_targets_exist(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_readme_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_stub_of_the_core_is_true(tmp_path: Path) -> None:
    # pybind11's metaclass, and the constructor that only raises, are nothing that a caller sees.
    allowed = tmp_path / "allowed"
    allowed.write_text(
        "pabal._core.(Admin|Broker|TopicDescription|World)\n"
        "pabal._core.(ArrowBatch|BulkDelivery|Consumer|Producer|RecordMetadata)\n"
        "pabal._core.(ArrowBatch|BulkDelivery|TopicDescription).__init__\n"
        "pabal._core.RecordMetadata\\..*\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy.stubtest", "pabal._core"),
            *("--allowlist", str(allowed), "--ignore-unused-allowlist"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_typed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "-p", "pabal"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_line_answers() -> None:
    program = Path(sysconfig.get_path("scripts")) / "pabal"
    done = subprocess.run(
        shlex.split(f"{program} --version"), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"pabal {pabal.__version__}\n"
