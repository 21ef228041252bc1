"""What clients did and saw, and whether a log that keeps its promises allows it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

__all__ = ["History"]

Place = tuple[int, int]  # Partition and offset.


@dataclass
class History:
    """All that clients know of one topic.

    Values are ``NAME-NUMBER``: who sent it, and as its how-manieth.

    Attributes
    ----------
    sent : list of partition and value
        In the order in which each producer sent.
    acknowledged : list of partition, offset and value
        What acks=all promised.
    failed : list of value and error
        What nobody promised.
    read : list of partition, offset and value
        By a consumer that was there all the time, in its order.
    final : list of partition, offset and value
        The whole log in the end, in its order.
    """

    sent: list[tuple[int, str]] = field(default_factory=list)
    acknowledged: list[tuple[int, int, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    read: list[tuple[int, int, str]] = field(default_factory=list)
    final: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, event: list[object]) -> None:
        """One line of the workload."""
        kind, *rest = event
        getattr(self, str(kind)).append(tuple(rest))

    def complaints(self) -> list[str]:
        """What must not be; nothing if all promises were kept."""
        log: dict[Place, str] = {}
        for partition, offset, value in self.final:
            log[partition, offset] = value
        return [
            *self._gaps(self.final, "the log"),
            *self._gaps(self.read, "what was read"),
            *self._lost(log),
            *self._changed(log),
            *self._strange(),
            *self._repeated(),
            *self._disordered(),
        ]

    def _gaps(self, records: list[tuple[int, int, str]], where: str) -> list[str]:
        expected: dict[int, int] = defaultdict(int)
        wrong = []
        for partition, offset, _ in records:
            if offset != expected[partition]:
                wrong.append(f"{where}: {offset} follows in {partition}, not {expected[partition]}")
            expected[partition] = offset + 1
        return wrong

    def _lost(self, log: dict[Place, str]) -> list[str]:
        return [
            f"{value} was acknowledged at {offset} of {partition}, where "
            f"{log.get((partition, offset), 'nothing')} is"
            for partition, offset, value in self.acknowledged
            if log.get((partition, offset)) != value
        ]

    def _changed(self, log: dict[Place, str]) -> list[str]:
        return [
            f"{value} was read at {offset} of {partition}, where "
            f"{log.get((partition, offset), 'nothing')} is"
            for partition, offset, value in self.read
            if log.get((partition, offset)) != value
        ]

    def _strange(self) -> list[str]:
        sent = set(self.sent)
        return [
            f"nobody sent {value}, which is at {offset} of {partition}"
            for partition, offset, value in self.final
            if (partition, value) not in sent
        ]

    def _repeated(self) -> list[str]:
        seen: dict[str, Place] = {}
        wrong = []
        for partition, offset, value in self.final:
            if value in seen:
                wrong.append(f"{value} is twice: at {seen[value]} and at {(partition, offset)}")
            seen[value] = partition, offset
        return wrong

    def _disordered(self) -> list[str]:
        last: dict[tuple[int, str], int] = {}
        wrong = []
        for partition, offset, value in self.final:
            name, _, number = value.rpartition("-")
            before = last.get((partition, name), -1)
            if int(number) < before:
                wrong.append(f"{value} at {offset} of {partition} comes after {name}-{before}")
            last[partition, name] = int(number)
        return wrong
