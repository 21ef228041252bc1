"""Consumer groups: who is in them, who reads what, and how far behind."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pabal.duration import Duration, seconds
from pabal.errors import UnknownTopicOrPartitionError
from pabal.reset import Place, new_offsets

if TYPE_CHECKING:
    from pabal import _core

__all__ = ["Group", "GroupMember", "GroupPartition"]

_LOG_END = -1


@dataclass(frozen=True)
class GroupMember:
    """One member of a group.

    Attributes
    ----------
    id : str
        The id that the coordinator gave it.
    instance_id : str or None
        Its ``group.instance.id``, if it has one.
    client_id, host : str
        What it calls itself, and where it connects from.
    assignment : tuple of (str, int)
        The partitions that it reads.
    """

    id: str
    instance_id: str | None
    client_id: str
    host: str
    assignment: tuple[tuple[str, int], ...]

    @classmethod
    def told(
        cls,
        member_id: str,
        instance_id: str | None,
        client_id: str,
        host: str,
        assignment: Iterable[tuple[str, int]],
    ) -> GroupMember:
        """A member as its coordinator describes it."""
        return cls(member_id, instance_id, client_id, host.removeprefix("/"), tuple(assignment))


@dataclass(frozen=True)
class GroupPartition:
    """How far a group is in one partition.

    Attributes
    ----------
    topic, partition : str, int
        Which partition.
    committed : int or None
        The offset that the group reads next, None if it has committed none.
    end : int
        The offset that the next record will get.
    member : GroupMember or None
        Who reads it now.
    """

    topic: str
    partition: int
    committed: int | None
    end: int
    member: GroupMember | None

    @property
    def lag(self) -> int | None:
        """How many offsets the group is behind, None if it has committed none."""
        return None if self.committed is None else max(0, self.end - self.committed)


class Group:
    """A consumer group of a cluster; every question is asked anew.

    Examples
    --------
    >>> from pabal import Cluster
    >>> with Cluster() as cluster:
    ...     cluster.groups()
    {}
    """

    def __init__(self, admin: Callable[[], _core.Admin], group_id: str) -> None:
        self._admin = admin
        self._id = group_id

    @property
    def id(self) -> str:
        """The group's id, its members' ``group.id``."""
        return self._id

    @property
    def type(self) -> str:
        """``"classic"``, or ``"consumer"`` for the protocol of KIP-848."""
        return self._admin().describe_group(self._id)[0]

    @property
    def state(self) -> str:
        """Kafka's word for it.

        Of a classic group Empty, PreparingRebalance, CompletingRebalance or Stable; of a consumer
        group Empty, Assigning, Reconciling or Stable.

        Raises
        ------
        pabal.errors.GroupIdNotFoundError
            If there is no such group.
        """
        return self._admin().describe_group(self._id)[1]

    @property
    def assignor(self) -> str:
        """The assignor that the members agreed on, empty while there are none."""
        return self._admin().describe_group(self._id)[2]

    @property
    def coordinator(self) -> int:
        """Id of the broker that coordinates the group."""
        return self._admin().describe_group(self._id)[3]

    @property
    def epoch(self) -> int:
        """How often a consumer group has changed; -1 of a classic one, which does not tell."""
        return self._admin().describe_group(self._id)[4]

    @property
    def members(self) -> tuple[GroupMember, ...]:
        """Who is in the group now.

        Raises
        ------
        pabal.errors.GroupIdNotFoundError
            If there is no such group.
        """
        return self._members(30.0)

    def partitions(self, *, timeout: Duration = 30.0) -> tuple[GroupPartition, ...]:
        """Every partition that a member reads or that the group has committed."""
        limit = seconds(timeout, "timeout")
        readers = {
            partition: member
            for member in self._members(limit)
            for partition in member.assignment
        }
        admin = self._admin()
        committed = {
            (topic, partition): offset
            for topic, partition, offset in admin.committed_offsets(self._id, limit)
        }
        places = sorted(readers.keys() | committed.keys())
        ends: dict[str, dict[int, int]] = {}
        for topic in sorted({topic for topic, _ in places}):
            try:
                ends[topic] = dict(admin.list_offsets(topic, _LOG_END, limit))
            except UnknownTopicOrPartitionError:
                continue  # Deleted, while what was committed for it stays for a while.
        return tuple(
            GroupPartition(
                topic,
                partition,
                None if (offset := committed.get((topic, partition), -1)) < 0 else offset,
                ends[topic].get(partition, 0),
                readers.get((topic, partition)),
            )
            for topic, partition in places
            if topic in ends
        )

    @property
    def lag(self) -> int:
        """How many offsets the group is behind in all partitions that it has committed."""
        return sum(partition.lag or 0 for partition in self.partitions())

    def reset(
        self,
        *topics: str,
        to: Place,
        partitions: Iterable[int] | None = None,
        dry_run: bool = False,
        timeout: Duration = 30.0,
    ) -> dict[tuple[str, int], int]:
        """Let the group, which must have no members, go on elsewhere.

        Parameters
        ----------
        *topics : str
            Which topics; without any, all that the group has committed.
        to : "earliest", "latest", "current", int, datetime, timedelta or pabal.reset.Shift
            The log's start or end, where the group stands, an offset, the first record at or after
            a time or so long ago, or so many records on. An offset outside of the log becomes the
            nearest one inside.
        partitions : iterable of int, optional
            Which partitions of each topic; all by default.
        dry_run : bool
            Only say what would become of it.

        Returns
        -------
        dict of (str, int) to int
            The new offset of each partition.

        Raises
        ------
        pabal.errors.NonEmptyGroupError
            If the group has members.

        Examples
        --------
        >>> from pabal import Cluster
        >>> with Cluster() as cluster:
        ...     topic = cluster.create_topic("orders", partitions=2)
        ...     cluster.group("readers").reset("orders", to="earliest")
        {('orders', 0): 0, ('orders', 1): 0}
        """
        limit = seconds(timeout, "timeout")
        admin = self._admin()
        committed: dict[str, dict[int, int]] = {}
        for topic, partition, offset in admin.committed_offsets(self._id, limit):
            committed.setdefault(topic, {})[partition] = offset
        chosen = None if partitions is None else list(partitions)
        places: dict[tuple[str, int], int] = {}
        for topic in topics or committed:
            stands = committed.get(topic, {})
            which = chosen if chosen is not None or topics else stands
            offsets = new_offsets(
                admin, topic, to, partitions=which, committed=stands, timeout=limit
            )
            places.update({(topic, partition): at for partition, at in offsets.items()})
        if not dry_run:
            admin.commit_offsets(
                self._id,
                [(topic, partition, at) for (topic, partition), at in places.items()],
                limit,
            )
        return places

    def delete(self, *, timeout: Duration = 30.0) -> None:
        """Delete the group with its offsets.

        Raises
        ------
        pabal.errors.NonEmptyGroupError
            If it still has members.
        pabal.errors.GroupIdNotFoundError
            If there is no such group.
        """
        self._admin().delete_group(self._id, seconds(timeout, "timeout"))

    def summary(self, *, timeout: Duration = 30.0) -> str:
        """The group in some lines of text: its state, its members, its lag by partition."""
        limit = seconds(timeout, "timeout")
        _, state, assignor, coordinator, _, members = self._admin().describe_group(self._id, limit)
        chosen = f", {assignor}" if assignor else ""
        count = f"{len(members)} member{'' if len(members) == 1 else 's'}"
        lines = [f"group {self._id}: {state}{chosen}, {count}, coordinator {coordinator}"]
        for partition in self.partitions(timeout=limit):
            who = f", read by {partition.member.client_id}" if partition.member else ""
            if partition.committed is None:
                where = f"nothing committed, the log ends at {partition.end}"
            else:
                where = f"committed {partition.committed} of {partition.end}, lag {partition.lag}"
            lines.append(f"  {partition.topic}-{partition.partition}: {where}{who}")
        return "\n".join(lines)

    def _members(self, timeout: float) -> tuple[GroupMember, ...]:
        *_, members = self._admin().describe_group(self._id, timeout)
        return tuple(GroupMember.told(*member) for member in members)

    def __repr__(self) -> str:
        return f"<pabal.Group {self._id!r}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(one.topic)}</td><td>{one.partition}</td>"
            f"<td>{'–' if one.committed is None else one.committed}</td><td>{one.end}</td>"
            f"<td>{'–' if one.lag is None else one.lag}</td>"
            f"<td>{html.escape(one.member.client_id) if one.member else '–'}</td></tr>"
            for one in self.partitions()
        )
        return (
            f"<b>{html.escape(self._id)}</b> ({html.escape(self.state)})<table><tr><th>topic</th>"
            "<th>partition</th><th>committed</th><th>end</th><th>lag</th><th>member</th></tr>"
            f"{rows}</table>"
        )

