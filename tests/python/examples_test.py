"""What docs/ shows, run as the project of somebody else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parents[2] / "docs"
TESTING = (DOCS / "testing.md").read_text(encoding="utf-8")


def test_the_page_about_testing_is_true(pytester: pytest.Pytester) -> None:
    examples = re.findall(r"```python\n(.*?)```", TESTING, re.DOTALL)
    options = re.findall(r"```ini\n(.*?)```", TESTING, re.DOTALL)
    assert len(examples) >= 3
    for number, example in enumerate(examples):
        pytester.path.joinpath(f"test_{number}.py").write_text(example, encoding="utf-8")
    pytester.path.joinpath("pytest.ini").write_text("\n".join(options), encoding="utf-8")
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=len(examples))


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TESTING):
        assert (DOCS / target).exists(), target


def test_the_shop_works_with_every_client() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=DOCS / "examples" / "shop",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^4 passed", done.stdout, re.MULTILINE), done.stdout
