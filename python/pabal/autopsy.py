"""What brokers know when a test has failed: topics, groups, the last lines of the log."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pabal.broker import Broker
    from pabal.cluster import Cluster

__all__ = ["autopsy"]

_SECONDS_TO_ASK = 2.0
_TOPICS_SHOWN = 10
_PARTITIONS_SHOWN = 12
_GROUPS_SHOWN = 10
_LOG_LINES_SHOWN = 15


def autopsy(cluster: Cluster, own: Collection[str] = ()) -> str:
    """Say in which state ``cluster`` is, for somebody who wonders why a test failed.

    It never raises, and waits for at most some seconds: what cannot be learned is said instead.

    Parameters
    ----------
    cluster : Cluster
        Running or not.
    own : collection of str
        Topics to show first.

    Examples
    --------
    >>> from pabal import Cluster
    >>> with Cluster() as cluster:
    ...     orders = cluster.create_topic("orders", partitions=2)
    ...     print(autopsy(cluster).split("\\n\\n")[1])
    topic orders: 2 partitions, 0 records
      partition 0: no record was ever written
      partition 1: no record was ever written
    """
    parts = ["\n".join(_brokers(cluster))]
    if cluster.is_closed:
        return parts[0]
    if all(broker.is_running for broker in cluster.brokers):
        for section in (_topics(cluster, own), _groups(cluster)):
            try:
                parts.extend(section)
            except Exception as error:
                parts.append(f"(no answer to what the brokers were asked next: {error})")
                break
    parts.extend(_log(broker) for broker in cluster.brokers)
    return "\n\n".join(part for part in parts if part)


def _brokers(cluster: Cluster) -> Iterator[str]:
    if cluster.is_closed:
        yield "the cluster is closed"
        return
    for broker in cluster.brokers:
        state = "running" if broker.is_running else "NOT RUNNING"
        yield f"broker {broker.id} {broker.address}: {state}"


def _topics(cluster: Cluster, own: Collection[str]) -> Iterator[str]:
    admin = cluster._admin()
    names = [name for name, _ in admin.list_topics(_SECONDS_TO_ASK)]
    names.sort(key=lambda name: (name not in own, name))
    shown = [name for name in names if name in own] if own else names
    for name in shown[:_TOPICS_SHOWN]:
        starts = dict(admin.list_offsets(name, -2, _SECONDS_TO_ASK))
        ends = dict(admin.list_offsets(name, -1, _SECONDS_TO_ASK))
        count = sum(ends[index] - starts[index] for index in ends)
        lines = [f"topic {name}: {_counted(len(ends), 'partition')}, {_counted(count, 'record')}"]
        for index in sorted(ends)[:_PARTITIONS_SHOWN]:
            lines.append(f"  partition {index}: {_extent(starts[index], ends[index])}")
        if len(ends) > _PARTITIONS_SHOWN:
            lines.append(f"  and {len(ends) - _PARTITIONS_SHOWN} more partitions")
        yield "\n".join(lines)
    hidden = len(names) - min(len(shown), _TOPICS_SHOWN)
    if hidden:
        yield f"and {_counted(hidden, 'other topic')}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _extent(start: int, end: int) -> str:
    if end == 0:
        return "no record was ever written"
    if start == end:
        return f"empty; the records before offset {start} are deleted"
    return f"offsets {start} to {end - 1}"


def _groups(cluster: Cluster) -> Iterator[str]:
    admin = cluster._admin()
    listed = admin.list_groups(_SECONDS_TO_ASK)
    for name, _, _, _ in listed[:_GROUPS_SHOWN]:
        yield cluster.group(name).summary(timeout=_SECONDS_TO_ASK)
    if len(listed) > _GROUPS_SHOWN:
        yield f"and {_counted(len(listed) - _GROUPS_SHOWN, 'more group')}"


def _log(broker: Broker) -> str:
    lines = broker.log_tail(_LOG_LINES_SHOWN)
    if not lines:
        return ""
    return "\n".join([f"the last lines of broker {broker.id}:", *(f"  {line}" for line in lines)])
