"""The laws of the tree that a reader of the sources can check: docs/STYLE.md says them in words."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPP = ROOT / "cpp"

RINGS = {
    "base": 0,
    "wire": 1,
    "record": 1,
    "raft": 2,
    "metadata": 2,
    "controller": 2,
    "group": 2,
    "transaction": 2,
    "replication": 2,
    "io": 3,
    "log": 3,
    "rpc": 3,
    "runtime": 3,
    "broker": 4,
    "client": 4,
    "node": 5,
    "os": 6,
    "kv": 6,
    "sim": 6,
    "embedded": 7,
    "bindings": 8,
    "bin": 8,
}
# The folders that stand on the simulated ports, and what else each of them may include.
SIMULATOR = {
    "sim/client": {"wire", "record"},
    "sim/cluster": set(),
    "sim/faults": set(),
    "sim/workloads": {"wire", "record"},
    "sim/checkers": set(),
    "sim/node": {"node", "metadata"},
}
PURE = [folder for folder, ring in RINGS.items() if ring in (1, 2)]
SIMULATED = [folder for folder, ring in RINGS.items() if ring <= 5 and folder != "base"]

# Headers of the operating system and of libraries, and the only folders that may include them.
BORDERS = {
    r"<(sys/|fcntl|poll|netinet|arpa|netdb|signal\.h|asio)": {"os", "bin", "embedded"},
    r"<unistd": {"os", "bin", "embedded", "bindings"},  # A fork is told by the process id.
    r"<rocksdb/": {"kv"},
    r"<pybind11/": {"bindings"},
    r"<CLI/": {"bin"},
    r"<toml\+\+/": {"sim", "bin"},
    r"<re2/": {"group"},
    r"<(zlib|zstd|lz4\w*|snappy[\w-]*)\.h>": {"record"},
}
BANNED_NAMES = re.compile(r"(^|[_/])(util|utils|common|helper|helpers|manager|misc)([_./]|$)")
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK"]) + r")\b")


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (CPP / folder).rglob("*") if path.suffix in (".h", ".cc"))


def lines(path: Path) -> Iterator[tuple[int, str]]:
    yield from enumerate(path.read_text(encoding="utf-8").splitlines(), 1)


def code_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines without their comments."""
    for number, line in lines(path):
        yield number, re.sub(r"//.*", "", line)


def place(path: Path, number: int) -> str:
    return f"{path.relative_to(ROOT)}:{number}"


def links(folder: str) -> set[str]:
    """The folders that `folder` links, as its CMakeLists.txt says."""
    text = (CPP / folder / "CMakeLists.txt").read_text(encoding="utf-8")
    named = re.search(r"pabal_folder\(\s*\w+\s+LINKS\s+([\w\s]*?)\s*(?:USES|\))", text)
    if named:
        return set(named[1].split())
    linked = re.findall(rf"target_link_libraries\(pabal_{folder} \w+ ([\w\s]*)\)", text)
    return {name.removeprefix("pabal_") for name in " ".join(linked).split()} & set(RINGS)


def included_folders(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in lines(path):
        if included := re.match(r'\s*#include "(\w+)/', line):
            yield number, included[1]


def test_every_folder_has_a_ring() -> None:
    folders = {path.name for path in CPP.iterdir() if path.is_dir()} - {"schema"}
    assert folders == set(RINGS)
    parts = {f"sim/{path.name}" for path in (CPP / "sim").iterdir() if path.is_dir()}
    assert parts == set(SIMULATOR)


@pytest.mark.parametrize("folder", [name for name, ring in RINGS.items() if ring < 7])
def test_a_folder_links_only_inner_rings_and_listed_neighbours(folder: str) -> None:
    for link in links(folder):
        assert RINGS[link] <= RINGS[folder], f"{folder} links {link}, which lies further out"


@pytest.mark.parametrize("folder", [name for name, ring in RINGS.items() if ring < 7])
def test_a_folder_includes_only_what_it_links(folder: str) -> None:
    allowed = links(folder) | {folder}
    wrong = [
        f"{place(path, number)} includes {included}/"
        for path in sources(folder)
        if path.parent.relative_to(CPP).as_posix() not in SIMULATOR
        for number, included in included_folders(path)
        if included not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", SIMULATOR)
def test_the_simulator_knows_a_broker_only_where_it_puts_one_in(folder: str) -> None:
    wrong = [
        f"{place(path, number)} includes {included}/"
        for path in sources(folder)
        for number, included in included_folders(path)
        if included not in SIMULATOR[folder] | {"sim", "base", "io"}
    ]
    assert wrong == []


@pytest.mark.parametrize("pattern", BORDERS)
def test_foreign_headers_stay_behind_their_border(pattern: str) -> None:
    wrong = [
        place(path, number)
        for folder in RINGS
        if folder not in BORDERS[pattern]
        for path in sources(folder)
        for number, line in lines(path)
        if re.match(rf"\s*#include {pattern}", line)
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", PURE)
def test_pure_folders_know_no_time_thread_or_wait(folder: str) -> None:
    banned = re.compile(
        r"#include <(thread|mutex|atomic|chrono|fstream|iostream|future|condition_variable)>"
        r"|::now\(|\bco_await\b|\bstd::(cout|cerr|random_device)\b"
    )
    wrong = [
        place(path, number)
        for path in sources(folder)
        for number, line in code_lines(path)
        if banned.search(line)
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", SIMULATED)
def test_chance_and_time_come_through_the_ports(folder: str) -> None:
    banned = re.compile(
        r"std::(uniform_\w+|bernoulli\w*|mt19937\w*|random_device|shuffle)|\bs?rand\(|"
        r"(steady|system|high_resolution)_clock|\btime\(nullptr\)|gettimeofday|clock_gettime"
    )
    wrong = [
        place(path, number)
        for path in sources(folder)
        for number, line in code_lines(path)
        if banned.search(line)
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", [name for name, ring in RINGS.items() if ring <= 5])
def test_nothing_is_thrown_in_the_core(folder: str) -> None:
    wrong = [
        place(path, number)
        for path in sources(folder)
        for number, line in code_lines(path)
        if re.search(r"\bthrow\b|\bcatch\s*\(", line)
    ]
    assert wrong == []


def test_each_wait_is_a_statement_of_its_own() -> None:
    lawful = re.compile(
        r"^\s*(?:(?:if|while) \([^;]*\) |[\w:<>]+ [\w:]+\([^{}]*\) \{ )?"
        r"(?:(?:const )?(?:[\w:<>*]+&? \w+|auto&? \[[\w, ]+\]) = |[\w.\[\]>-]+ = |co_return )?"
        r"co_await [^?{}]*(?:; \})?$"
    )
    wrong = [
        f"{place(path, number)}: {line.strip()}"
        for folder in RINGS
        for path in sources(folder)
        for number, line in code_lines(path)
        if "co_await" in line and (not lawful.match(line) or line.count("co_await") > 1)
    ]
    assert wrong == []


def test_coroutines_take_no_references() -> None:
    declaration = re.compile(r"\bTask<[^;{}()]*>\s+[\w:]+\(([^;{}]*?)\)\s*(?:const\s*)?[;{]")
    wrong = []
    for folder in RINGS:
        for path in sources(folder):
            if path.name in ("task.h", "task.cc"):
                continue
            text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
            for found in declaration.finditer(text):
                parameters = re.sub(r"std::function<[^;]*?>(?=[\s,)])", "", found[1])
                if "&" in parameters:
                    number = text.count("\n", 0, found.start()) + 1
                    wrong.append(f"{place(path, number)}: {' '.join(found[0].split())}")
    assert wrong == []


def test_names_say_what_things_are() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in tracked("cpp", "python", "tests", "benchmarks")
        if BANNED_NAMES.search(str(path.relative_to(ROOT)))
    ]
    assert wrong == []


def test_lines_are_short_and_clean() -> None:
    wrong = []
    for path in tracked("cpp/*", "python/*.py", "tests/*", "benchmarks/*"):
        if path.suffix not in (".h", ".cc", ".py", ".api", ".rec", ".table"):
            continue
        text = path.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            wrong.append(f"{path.relative_to(ROOT)}: no newline at its end")
        limit = 100 if path.suffix != ".table" else 10_000
        wrong += [
            place(path, number)
            for number, line in lines(path)
            if len(line) > limit or line != line.rstrip() or "\t" in line
        ]
    assert wrong == []


def test_nothing_is_left_unfinished() -> None:
    wrong = [
        place(path, number)
        for path in tracked("cpp/*", "python/*", "tests/*", "benchmarks/*", "cmake/*")
        if path.suffix in (".h", ".cc", ".py", ".cmake", ".txt", ".sh")
        for number, line in lines(path)
        if UNFINISHED.search(line)
    ]
    assert wrong == []


def test_every_header_opens_with_what_it_is() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for folder in RINGS
        for path in sources(folder)
        if path.suffix == ".h" and not path.read_text(encoding="utf-8").startswith("// ")
    ]
    assert wrong == []


def served_apis() -> dict[int, str]:
    """Key and file name of each API whose table says that a broker serves it."""
    served = {}
    for path in (CPP / "schema" / "messages").glob("[0-9]*_*.api"):
        text = path.read_text(encoding="utf-8")
        header = re.search(r"^api .*$", text, re.MULTILINE)
        if header and re.search(r"\bto (broker|controller|both)\b", header[0]):
            key, name = path.stem.split("_", 1)
            served[int(key)] = name
    return served


def test_every_served_api_has_one_handler_file_and_one_test_file() -> None:
    missing = []
    for key, name in served_apis().items():
        for where in (f"cpp/broker/handlers/{key:02}_{name}.cc",):
            if not (ROOT / where).exists():
                missing.append(where)
    assert missing == []
    assert served_apis()
