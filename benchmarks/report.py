"""Tables of figures, Kafka beside pabal, with the ratio."""

from __future__ import annotations

import statistics
from collections.abc import Iterable


class Report:
    """Collects figures by what was measured and by server, and prints them as one table."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._figures: dict[str, dict[str, list[float]]] = {}
        self._aims: dict[str, str] = {}

    def add(self, what: str, server: str, value: float, aim: str = "") -> None:
        """One more run's figure."""
        self._figures.setdefault(what, {}).setdefault(server, []).append(value)
        if aim:
            self._aims[what] = aim

    def print(self) -> None:
        """Medians with the spread; the ratio is pabal's median over Kafka's.

        The floor is what the machine itself takes for the same bytes.
        """
        columns = ["kafka", "pabal"]
        if any("floor" in servers for servers in self._figures.values()):
            columns.append("floor")
        print(f"\n## {self._title}\n")
        print(f"| | {' | '.join(columns)} | pabal / kafka | aim |")
        print("| --- " * (len(columns) + 3) + "|")
        for what, servers in self._figures.items():
            cells = " | ".join(spread(servers.get(name, ())) for name in columns)
            ratio = ""
            if servers.get("kafka") and servers.get("pabal"):
                base = statistics.median(servers["kafka"])
                if base:
                    ratio = f"{statistics.median(servers['pabal']) / base:.3g}"
            print(f"| {what} | {cells} | {ratio} | {self._aims.get(what, '')} |")


def spread(values: Iterable[float]) -> str:
    """Median (least - most)."""
    ordered = sorted(values)
    if not ordered:
        return "-"
    median = statistics.median(ordered)
    if len(ordered) == 1:
        return f"{median:.3g}"
    return f"{median:.3g} ({ordered[0]:.3g} - {ordered[-1]:.3g})"
