"""The checker of histories finds what it is there for."""

from __future__ import annotations

import pytest

from chaos.history import History


def whole() -> History:
    """Two producers, two partitions, and nothing wrong."""
    history = History()
    for partition in (0, 1):
        for offset in range(4):
            value = f"writer{offset % 2}-{10 * partition + offset}"
            history.sent.append((partition, value))
            history.acknowledged.append((partition, offset, value))
            history.read.append((partition, offset, value))
            history.final.append((partition, offset, value))
    return history


def test_a_whole_history_has_no_complaint() -> None:
    assert whole().complaints() == []


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    history = whole()
    history.sent += [(0, "writer0-30"), (0, "writer0-31")]
    history.final.append((0, 4, "writer0-31"))
    assert history.complaints() == []


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ("lost", "was acknowledged at 3 of 1, where nothing is"),
        ("replaced", "was acknowledged at 3 of 1, where writer0-99 is"),
        ("unread", "was read at 3 of 1, where nothing is"),
        ("gap", "the log: 5 follows in 1, not 4"),
        ("skipped", "what was read: 5 follows in 1, not 4"),
        ("strange", "nobody sent writer0-99"),
        ("repeated", "writer1-13 is twice: at (1, 3) and at (1, 4)"),
        ("disordered", "writer1-11 at 4 of 1 comes after writer1-13"),
    ],
)
def test_it_complains(broken: str, complaint: str) -> None:
    history = whole()
    if broken in ("lost", "unread"):
        del history.final[-1]
    elif broken == "replaced":
        history.sent.append((1, "writer0-99"))
        history.final[-1] = (1, 3, "writer0-99")
    elif broken == "gap":
        history.sent.append((1, "writer1-15"))
        history.final.append((1, 5, "writer1-15"))
    elif broken == "skipped":
        history.read.append((1, 5, "writer1-15"))
    elif broken == "strange":
        history.final.append((1, 4, "writer0-99"))
    elif broken == "repeated":
        history.final.append((1, 4, "writer1-13"))
    else:
        history.final.append((1, 4, "writer1-11"))
    assert complaint in "\n".join(history.complaints())
