"""Where the generator is, and the program that lets other codecs look at ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "cpp" / "schema"

sys.path.insert(0, str(SCHEMA / "gen"))


@pytest.fixture(scope="session")
def schema_dir() -> Path:
    return SCHEMA


@pytest.fixture(scope="session")
def wire_bridge() -> Path:
    """`wire_bridge` of the build that PABAL_BUILD names, else of the newest one."""
    if named := os.environ.get("PABAL_BUILD"):
        program = ROOT / named / "tests" / "unit" / "wire" / "wire_bridge"
        assert program.exists(), f"{program} is not built"
        return program
    built = sorted(
        ROOT.glob("build/*/tests/unit/wire/wire_bridge"), key=lambda path: path.stat().st_mtime
    )
    if not built:
        pytest.skip("the C++ tests are not built: there is no wire_bridge")
    return built[-1]
