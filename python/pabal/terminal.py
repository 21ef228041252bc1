"""What the command line prints: tables, colours where somebody looks, JSON for scripts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

__all__ = ["coloured", "print_json", "print_table", "wants_colour"]

_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "dim": "2"}


def wants_colour(stream: TextIO) -> bool:
    """Whether colours help on ``stream``: on a terminal, unless ``NO_COLOR`` is set.

    ``FORCE_COLOR`` asks for them everywhere.

    Examples
    --------
    >>> import io
    >>> wants_colour(io.StringIO())
    False
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """``text`` in a colour, or bold or dim; as it is where nobody would see that.

    Examples
    --------
    >>> coloured("orders", "bold")
    'orders'
    """
    if not colour or not wants_colour(sys.stdout if stream is None else stream):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def print_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    colours: Sequence[Sequence[str]] | None = None,
) -> None:
    """Print columns under their names; ``colours`` has one for each cell, empty for none.

    Examples
    --------
    >>> print_table(("TOPIC", "RECORDS"), [("orders", "12"), ("payments", "7")])
    TOPIC     RECORDS
    orders    12
    payments  7
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    plain = [""] * len(head)
    for number, row in enumerate((head, *rows)):
        if number == 0:
            shades: Sequence[str] = ["dim"] * len(head)
        else:
            shades = plain if colours is None else colours[number - 1]
        cells = []
        for at, (cell, width, shade) in enumerate(zip(row, widths, shades, strict=True)):
            padding = " " * (width - len(cell)) if at < len(row) - 1 else ""
            cells.append((coloured(cell, shade) if cell else cell) + padding)
        print("  ".join(cells).rstrip())


def print_json(document: object) -> int:
    """Print ``document`` as JSON; 0 is returned, the exit status.

    Examples
    --------
    >>> print_json([{"name": "orders"}])
    [
      {
        "name": "orders"
      }
    ]
    0
    """
    import json

    print(json.dumps(document, indent=2))
    return 0
