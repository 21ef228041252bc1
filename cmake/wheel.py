"""Make dist/pabal-*.whl: one that runs where nothing is installed, with all that it bundles.

pip builds a wheel for this machine; auditwheel copies the libraries that others may lack into it;
then the licence of each bundled library is added. Libraries come from Debian's packages, and so do
the texts of their licences.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
# Compiled in, so auditwheel cannot see them: Debian's packages of headers.
HEADERS = ("libasio-dev", "libcli11-dev", "libtomlplusplus-dev")
LIMIT_BYTES = 15_000_000


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pabal-wheel-") as name:
        work = Path(name)
        run(
            *("pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "."),
            *("-Cbuild-dir=build/release", "--wheel-dir", str(work / "built")),
        )
        (built,) = (work / "built").glob("*.whl")
        run("auditwheel", "repair", str(built), "--wheel-dir", str(work / "repaired"))
        (repaired,) = (work / "repaired").glob("*.whl")
        run("wheel", "unpack", "--dest", str(work), str(repaired))
        (unpacked,) = (path for path in work.glob("pabal-*") if path.is_dir())
        add_licences(unpacked)
        DIST.mkdir(exist_ok=True)
        for old in DIST.glob("pabal-*.whl"):
            old.unlink()
        run("wheel", "pack", "--dest-dir", str(DIST), str(unpacked))
    (wheel,) = DIST.glob("pabal-*.whl")
    compress(wheel)
    size = wheel.stat().st_size
    print(f"{wheel.relative_to(ROOT)}: {size / 1e6:.1f} MB")
    if size > LIMIT_BYTES:
        raise SystemExit(f"that is more than {LIMIT_BYTES / 1e6:.0f} MB")


def compress(wheel: Path) -> None:
    """Write the archive anew, as small as deflate can: what packed it preferred to be quick."""
    smaller = wheel.with_suffix(".smaller")
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(smaller, "w") as target:
        for entry in archive.infolist():
            target.writestr(entry, archive.read(entry), zipfile.ZIP_DEFLATED, compresslevel=9)
    smaller.replace(wheel)


def run(tool: str, *words: str) -> None:
    """Run a module of this environment, whose programs it finds first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", tool, *words],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{tool} {words[0]} ended with {done.returncode}\n{done.stdout}")


def add_licences(unpacked: Path) -> None:
    """Put the licence of everything bundled beside our own, and name it in the metadata."""
    (info,) = unpacked.glob("*.dist-info")
    folder = info / "licenses" / "bundled"
    folder.mkdir(parents=True)
    for name, text in licences(sorted((unpacked / "pabal.libs").iterdir())):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    files = "".join(f"License-File: bundled/{path.name}\n" for path in sorted(folder.iterdir()))
    metadata = info / "METADATA"
    text = metadata.read_text(encoding="utf-8")
    ours = re.search(r"^License-File: .*\n", text, re.MULTILINE)
    if ours is None:
        raise SystemExit("the wheel's metadata names no licence of ours")
    metadata.write_text(text[: ours.end()] + files + text[ours.end() :], encoding="utf-8")


def licences(libraries: list[Path]) -> Iterator[tuple[str, str]]:
    """For each package that is bundled: its name and what its authors ask to be told."""
    packages = dict.fromkeys(package_of(library) for library in libraries)
    for package in sorted([*packages, *HEADERS]):
        yield package, debian_copyright(package)
    import pybind11

    path = Path(pybind11.__file__).parent.parent
    (licence,) = path.glob("pybind11-*.dist-info/licenses/LICENSE")
    yield "pybind11", licence.read_text(encoding="utf-8")


def package_of(library: Path) -> str:
    """The Debian package of a library, which auditwheel has renamed: libz-0123abcd.so.1.2."""
    original = re.sub(r"-[0-9a-f]{8}(?=\.so)", "", library.name)
    found = subprocess.run(
        ["dpkg-query", "--search", f"*/{original}"], capture_output=True, text=True, check=False
    )
    packages = {line.split(":")[0] for line in found.stdout.splitlines()}
    if len(packages) != 1:
        raise SystemExit(f"which package is {original} of? {sorted(packages) or 'of none'}")
    return packages.pop()


def debian_copyright(package: str) -> str:
    """The package's copyright file, with the licences that it only refers to."""
    text = Path(f"/usr/share/doc/{package}/copyright").read_text(encoding="utf-8")
    common = sorted(set(re.findall(r"/usr/share/common-licenses/([\w.-]*\w)", text)))
    for name in common:
        licence = Path("/usr/share/common-licenses", name).read_text(encoding="utf-8")
        text += f"\n\n---- {name} ----\n\n{licence}"
    return text


if __name__ == "__main__":
    main()
