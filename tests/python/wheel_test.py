"""The wheel that `make wheel` made: in an environment that has nothing else, a cluster runs."""

from __future__ import annotations

import email
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What manylinux promises to be everywhere.
EVERYWHERE = re.compile(r"(ld-linux.*|lib(c|dl|gcc_s|m|pthread|rt|stdc\+\+|z))[.-].*")

# Runs with nothing in the environment: no path, no home.
PROGRAM = """
import asyncio, bz2, ctypes, json, lzma, pathlib, ssl, uuid

def mapped(pid="self"):
    lines = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    found = {line.split()[5] for line in lines if ".so" in line}
    return {path for path in found if "/lib-dynload/" not in path}  # Python's own.

before = mapped()
import pabal
names = []
for isolation in ("thread", "process"):
    with pabal.Cluster(isolation=isolation) as cluster:
        cluster.create_topic("orders", partitions=3)
        cluster.broker(0).kill()
        cluster.broker(0).restart()
        names += list(cluster.topics())
        if isolation == "process":
            server = mapped(cluster.broker(0).pid)
from pabal.cli import main
assert main(["--version"]) == 0
print(json.dumps({"topics": names, "ours": sorted(mapped() - before), "server": sorted(server)}))
"""


@pytest.fixture(scope="module")
def wheel() -> Path:
    wheels = sorted((ROOT / "dist").glob("pabal-*.whl"))
    if not wheels:
        pytest.skip("THE WHEEL WAS NOT TRIED: there is none in dist/; `make wheel` makes it")
    return wheels[-1]


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment with the wheel alone."""
    directory = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    python = directory / "bin" / "python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"),
            *("--no-index", "--no-deps", str(wheel)),
        ],
        check=True,
    )
    yield directory


@pytest.mark.skipif(sys.platform != "linux", reason="such wheels are for Linux")
def test_it_runs_where_nothing_is_installed(bare: Path) -> None:
    done = subprocess.run(
        [str(bare / "bin" / "python"), "-I", "-W", "error", "-c", PROGRAM],
        env={},
        cwd=bare,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["topics"] == ["orders", "orders"]
    for library in (*told["ours"], *told["server"]):
        assert library.startswith(str(bare.resolve())) or EVERYWHERE.fullmatch(
            Path(library).name
        ), library
    for loaded in (told["ours"], told["server"]):
        assert str(bare.resolve()) in next(each for each in loaded if "/libpabal.so" in each)
        assert any("librocksdb" in library for library in loaded)


def test_its_programs_run(bare: Path) -> None:
    for program in ("pabal", "pabal-server", "pabal-sim"):
        done = subprocess.run(
            [str(bare / "bin" / program), "--version"],
            env={},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert re.fullmatch(rf"{program} \d+\.\d+\.\d+\n", done.stdout)


def test_it_is_small_and_for_all_of_linux(wheel: Path) -> None:
    assert wheel.stat().st_size <= 15_000_000
    with zipfile.ZipFile(wheel) as archive:
        size = {each.filename.rpartition("/")[2]: each.file_size for each in archive.infolist()}
    # The core is there once for what is installed; the simulator has its own, with its marks.
    assert size["pabal-server"] < size["libpabal.so"] / 10
    extension = next(name for name in size if name.startswith("_core."))
    assert size[extension] < size["libpabal.so"] / 2
    assert re.search(r"-manylinux_2_\d+_(x86_64|aarch64)\.whl$", wheel.name)


def test_it_has_the_licence_of_all_that_it_bundles(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        head = email.message_from_bytes(archive.read(metadata))
        folder = metadata.removesuffix("METADATA") + "licenses/"
        licences = {
            name.removeprefix(folder): archive.read(name).decode()
            for name in names
            if name.startswith(folder)
        }
    assert sorted(licences) == sorted(head.get_all("License-File", []))
    bundled = [
        re.sub(r"-[0-9a-f]{8}\.so.*", "", Path(name).name)
        for name in names
        if name.startswith("pabal.libs/")
    ]
    assert len(bundled) >= 6
    for library in [*bundled, "libasio", "libcli11", "libtomlplusplus", "pybind11"]:
        (text,) = (
            text for name, text in licences.items() if name.startswith(f"bundled/{library}")
        )
        assert "copyright" in text.lower()
        # A reference to a file of Debian's would lead nowhere elsewhere.
        for referred in re.findall(r"/usr/share/common-licenses/([\w.-]*\w)", text):
            assert f"---- {referred} ----" in text
