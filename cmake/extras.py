"""Print the requirements of pyproject's optional dependencies, one argument each.

`pip install .[test]` would build pabal to learn them; this reads them.
"""

import re
import sys
from pathlib import Path


def requirements(text: str, extra: str) -> list[str]:
    """The quoted requirements of ``extra = [...]``, other extras of pabal left out."""
    found = re.search(rf"^{re.escape(extra)} = \[(.*?)\]\s*$", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SystemExit(f"pyproject.toml has no extra called {extra}")
    return [name for name in re.findall(r'"([^"]+)"', found[1]) if not name.startswith("pabal[")]


if __name__ == "__main__":
    pyproject = Path(__file__).parent.parent / "pyproject.toml"
    for extra in sys.argv[1:]:
        print("\n".join(requirements(pyproject.read_text(), extra)))
