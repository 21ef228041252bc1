"""What docs/ shows, run as the project of somebody else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["testing", "migrating"])
def test_a_page_about_testing_is_true(pytester: pytest.Pytester, name: str) -> None:
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    options = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 2
    for number, example in enumerate(examples):
        pytester.path.joinpath(f"test_{number}.py").write_text(example, encoding="utf-8")
    if options:
        pytester.path.joinpath("pytest.ini").write_text("\n".join(options), encoding="utf-8")
    tests = re.findall(r"^(?:async )?def test_", "\n".join(examples), re.MULTILINE)
    pytester.runpytest_subprocess().assert_outcomes(passed=len(tests))


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
