"""A topic of a cluster, and where its partitions stand."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pabal.duration import Duration, seconds

if TYPE_CHECKING:
    from pabal.broker import Broker
    from pabal.cluster import Cluster

__all__ = ["PartitionState", "Topic"]

# What ListOffsets takes for a time.
_LOG_START = -2
_LOG_END = -1


@dataclass(frozen=True)
class PartitionState:
    """Where one partition stands, as the cluster's metadata says.

    Attributes
    ----------
    index : int
        The partition's number, from 0.
    leader : int
        Id of the broker that leads it; -1 while nobody does.
    leader_epoch : int
        How many leaders it has had.
    replicas, isr : tuple of int
        Ids of the brokers that hold it, and of those that are in sync.
    """

    index: int
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


class Topic:
    """A topic of a cluster.

    Examples
    --------
    >>> from pabal import Cluster
    >>> with Cluster() as cluster:
    ...     topic = cluster.create_topic("orders", partitions=2)
    ...     print(topic.name, topic.partitions, topic.partition(1).leader)
    orders 2 0
    """

    def __init__(self, cluster: Cluster, name: str, topic_id: str) -> None:
        self._cluster = cluster
        self._name = name
        self._id = topic_id

    @property
    def name(self) -> str:
        """The topic's name."""
        return self._name

    @property
    def id(self) -> str:
        """The topic's id: 22 characters, another one when the topic is created again."""
        return self._id

    @property
    def partitions(self) -> int:
        """How many partitions the topic has now."""
        return len(self.describe())

    def partition(self, index: int) -> PartitionState:
        """Where partition ``index`` stands now.

        Raises
        ------
        IndexError
            If the topic has no such partition.
        """
        for state in self.describe():
            if state.index == index:
                return state
        raise IndexError(f"{self._name} has no partition {index}")

    def describe(self) -> tuple[PartitionState, ...]:
        """Where each partition stands now, in order."""
        description = self._cluster._admin().describe_topic(self._name)
        return tuple(
            PartitionState(index, leader, epoch, tuple(replicas), tuple(isr))
            for index, leader, epoch, replicas, isr in description.partitions
        )

    def leader(self, partition: int = 0) -> Broker:
        """The broker that leads a partition now.

        Raises
        ------
        IndexError
            If the topic has no such partition, or nobody leads it.

        Examples
        --------
        >>> from pabal import Cluster
        >>> with Cluster(brokers=3) as cluster:
        ...     orders = cluster.create_topic("orders", partitions=6)
        ...     orders.leader(5).kill()
        """
        return self._cluster.broker(self.partition(partition).leader)

    def offsets(self) -> tuple[tuple[int, int], ...]:
        """For each partition the offset where its log starts, and the one of the next record.

        Examples
        --------
        >>> from pabal import Cluster
        >>> with Cluster() as cluster:
        ...     cluster.create_topic("orders", partitions=2).offsets()
        ((0, 0), (0, 0))
        """
        admin = self._cluster._admin()
        starts = admin.list_offsets(self._name, _LOG_START)
        ends = admin.list_offsets(self._name, _LOG_END)
        return tuple(
            (start, end) for (_, start), (_, end) in zip(starts, ends, strict=True)
        )

    def add_partitions(self, total: int, *, timeout: Duration = 30.0) -> None:
        """Let the topic have ``total`` partitions; when this returns, every one has a leader.

        Records stay where they are, but keys are spread over the new number: see `pabal.explore`.

        Raises
        ------
        pabal.errors.InvalidPartitionsError
            If the topic has as many already.
        """
        self._cluster._admin().create_partitions(self._name, total, seconds(timeout, "timeout"))

    def delete(self) -> None:
        """Delete the topic with all its records."""
        self._cluster.delete_topic(self._name)

    def __repr__(self) -> str:
        return f"<pabal.Topic {self._name!r} id={self._id}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{state.index}</td><td>{state.leader}</td>"
            f"<td>{', '.join(map(str, state.replicas))}</td>"
            f"<td>{', '.join(map(str, state.isr))}</td><td>{start}</td><td>{end}</td></tr>"
            for state, (start, end) in zip(self.describe(), self.offsets(), strict=True)
        )
        return (
            f"<b>{html.escape(self._name)}</b><table><tr><th>partition</th><th>leader</th>"
            f"<th>replicas</th><th>in sync</th><th>log start</th><th>log end</th></tr>"
            f"{rows}</table>"
        )
