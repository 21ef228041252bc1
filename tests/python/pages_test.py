"""The pages that `make docs` makes: every public name is there, every link leads somewhere."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlparse

import pytest

import pabal

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("docs")
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "make" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    pages = importlib.util.module_from_spec(spec)
    sys.modules["pages"] = pages
    try:
        spec.loader.exec_module(pages)
        pages.build(target)
    finally:
        del sys.modules["pages"]
    return target


def test_every_public_name_has_an_entry(directory: Path) -> None:
    for name in ("pabal", "pabal.explore", "pabal.errors"):
        page = (directory / "reference" / f"{name}.html").read_text(encoding="utf-8")
        module = importlib.import_module(name)
        for public in module.__all__:
            value = getattr(module, public)
            if callable(value) and not isinstance(value, ModuleType):
                assert f'id="{name}.{public}"' in page, public
                document = inspect.getdoc(value) or ""
                assert document.split("\n")[0].split("`")[0][:20] in page.replace("&#x27;", "'")
    cluster = (directory / "reference" / "pabal.html").read_text(encoding="utf-8")
    for method in vars(pabal.Cluster):
        if not method.startswith("_"):
            assert f'id="pabal.Cluster.{method}"' in cluster


def test_no_mark_of_the_docstrings_is_left(directory: Path) -> None:
    for path in (directory / "reference").glob("*.html"):
        page = re.sub(r"<pre>.*?</pre>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert "----" not in page, path.name
        assert not re.search(r"(?<!`)``?\w", page), path.name


def test_links_lead_somewhere(directory: Path) -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in directory.rglob("*.html")}
    assert len(pages) > 15
    for path, page in pages.items():
        body = re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
        for target in re.findall(r'href="([^"]*)"', body):
            parsed = urlparse(target)
            if parsed.scheme in ("http", "https"):
                continue
            place = Path(unquote(parsed.path))
            if not parsed.scheme:
                place = (path.parent / place).resolve() if parsed.path else path
            assert place.exists(), f"{path.name}: {target}"
            if parsed.fragment and place in pages:
                assert f'id="{parsed.fragment}"' in pages[place], f"{path.name}: {target}"
