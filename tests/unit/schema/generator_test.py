"""The generator: its output for a small message, so that reviewers see its shape; its manners; and
what it says when a table is wrong. `PABAL_REWRITE=1` writes the golden files anew."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import configs
import cpp_messages
import errors
import grammar
import pytest
from text import TableError

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"


def test_the_output_for_a_small_message() -> None:
    api = grammar.read_api(GOLDEN / "7_small.api")
    assert api.request and api.response
    sides = [api.request, api.response]
    for name, text in [
        ("small.h", cpp_messages.header(sides)),
        ("messages.cc", cpp_messages.source(sides)),
    ]:
        golden = GOLDEN / name
        if os.environ.get("PABAL_REWRITE"):
            golden.write_text(text, encoding="utf-8")
        assert text == golden.read_text(encoding="utf-8"), "look at it, then PABAL_REWRITE=1"


def run_generator(schema: Path, out: Path) -> None:
    subprocess.run(
        [sys.executable, schema / "gen" / "generate.py", "--schema", schema, "--out", out],
        check=True,
    )


def test_it_touches_only_what_changes(schema_dir: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    run_generator(schema_dir, tmp_path)
    assert time.monotonic() - began < 10, "it shall be no more than a blink in every build"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 200
    for path in files:
        os.utime(path, (1, 1))
    victim = tmp_path / "wire" / "fetch.h"
    victim.write_text("something else")
    run_generator(schema_dir, tmp_path)
    assert victim.stat().st_mtime > 1 and victim.read_text() != "something else"
    assert all(path.stat().st_mtime == 1 for path in files if path != victim)


HEAD = "api 0 Name  versions 0-3  flexible 2+\nrequest\n"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("record 0 Name  versions 0\n", 1, "begins with `api"),
        ("api 0 Name  versions 3-1\n", 1, "do not lie within"),
        ("api 0 Name  versions 0  to everyone\n", 1, "to everyone"),
        (HEAD + "  a  int32  v2-9\nresponse\n", 3, "do not lie within 0-3"),
        (HEAD + "  a  int32\n  a  int32\nresponse\n", 4, "twice"),
        (HEAD + "  a  int32 : Offset\nresponse\n", 3, "Offset is int64, not int32"),
        (HEAD + "  a  int32 : Ofset\nresponse\n", 3, "no strong type"),
        (HEAD + "  a  int32  optional\nresponse\n", 3, "`optional` means nothing"),
        (HEAD + "  a  int32\n    b  int32\nresponse\n", 4, "no fields of its own"),
        (HEAD + "  a  Missing\nresponse\n", 4, "no struct or type is called Missing"),
        (HEAD + "  a  int32\n", 3, "here `response` is missing"),
    ],
)
def test_a_wrong_message_names_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = tmp_path / "wrong.api"
    path.write_text(text)
    with pytest.raises(TableError) as raised:
        grammar.read_api(path)
    assert f"{path}:{line}: " in str(raised.value)
    assert what in str(raised.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('none  0  fatal  ""\n', "codes rise by one from -1"),
        ("none\n", "not `name code"),
    ],
)
def test_a_wrong_error_names_its_line(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "errors.table"
    path.write_text("# A comment.\n" + text)
    with pytest.raises(TableError) as raised:
        errors.read(path)
    assert f"{path}:2: " in str(raised.value)
    assert what in str(raised.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("topic a.b  long  5\n", "a.b has no sentence"),
        ("topic a.b  long  5  from c.d\n  Does it.\n", "falls back on c.d"),
        ("topic a.b  number  5\n  Does it.\n", "`number` is no type"),
        ("topic a.b  long  5  sometimes\n  Does it.\n", "`sometimes` means nothing"),
        ("topic a.b  long  5\n  Does it.\nknown topic a.b\n", "twice"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "configs.table"
    path.write_text(text)
    with pytest.raises(TableError) as raised:
        configs.read(path)
    assert what in str(raised.value)
