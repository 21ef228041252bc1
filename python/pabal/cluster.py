"""Clusters as objects: real brokers on loopback ports, started and ended from a script."""

from __future__ import annotations

import atexit
import html
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

from pabal import _core
from pabal.duration import Duration, seconds
from pabal.group import Group
from pabal.process import ServerProcess
from pabal.properties import property_text

__all__ = ["Broker", "Cluster", "Topic"]

Isolation = Literal["thread", "process"]

# What ListOffsets takes for a time.
_LOG_START = -2
_LOG_END = -1


class _Runner(Protocol):
    """One run of a broker, from its start to its end."""

    @property
    def port(self) -> int: ...
    @property
    def cluster_id(self) -> str: ...
    @property
    def running(self) -> bool: ...
    def stop(self, timeout: float) -> None: ...
    def kill(self) -> None: ...


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

    def offsets(self) -> tuple[tuple[int, int], ...]:
        """For each partition the offset where its log starts, and the one of the next record.

        Examples
        --------
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


class Broker:
    """One broker of a cluster, running or not.

    Examples
    --------
    >>> with Cluster(isolation="process") as cluster:
    ...     broker = cluster.broker(0)
    ...     broker.kill()
    ...     broker.restart()
    ...     broker.is_running
    True
    """

    def __init__(
        self,
        broker_id: int,
        directory: Path,
        config: Mapping[str, str],
        isolation: Isolation,
        temporary: bool,
    ) -> None:
        self._id = broker_id
        self._directory = directory
        self._config = dict(config)
        self._isolation = isolation
        self._temporary = temporary
        self._runner: _Runner | None = None
        self._port = 0

    @property
    def id(self) -> int:
        """The broker's id, its ``node.id``."""
        return self._id

    @property
    def address(self) -> str:
        """``host:port`` of the listener for clients. It stays the same through restarts."""
        return f"127.0.0.1:{self._port}"

    @property
    def directory(self) -> Path:
        """The log directory, in Kafka's layout."""
        return self._directory

    @property
    def pid(self) -> int:
        """Id of the process that the broker runs in; this one's with ``isolation="thread"``.

        Raises
        ------
        RuntimeError
            If the broker does not run.
        """
        if isinstance(self._runner, ServerProcess):
            return self._runner.pid
        if self._runner is None:
            raise RuntimeError(f"broker {self._id} does not run; call restart() first")
        return os.getpid()

    @property
    def is_running(self) -> bool:
        """Whether the broker runs."""
        return self._runner is not None and self._runner.running

    def start(self, *, timeout: Duration = 30.0) -> None:
        """Start the broker; nothing happens if it runs.

        Parameters
        ----------
        timeout : timedelta or float
            How long it may take until clients are served, in seconds.

        Raises
        ------
        pabal.errors.PabalError
            If it cannot start; the message says why.
        TimeoutError
            If it serves nobody in time.
        """
        if self.is_running:
            return
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(self._id),
            "log.dirs": str(self._directory),
            "listeners": f"PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:0",
            "controller.listener.names": "CONTROLLER",
            **self._config,
        }
        limit = seconds(timeout, "timeout")
        runner: _Runner
        if self._isolation == "process":
            runner = ServerProcess(properties, limit)
        else:
            runner = _core.Broker(properties, limit, self._temporary)
        self._runner = runner
        self._port = runner.port

    def stop(self, *, timeout: Duration = 30.0) -> None:
        """Shut the broker down cleanly; nothing happens if it does not run.

        Parameters
        ----------
        timeout : timedelta or float
            How long the shutdown may take, in seconds, before `TimeoutError` is raised.
        """
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.stop(seconds(timeout, "timeout"))

    def kill(self) -> None:
        """End the broker at once, as SIGKILL does: no reply leaves any more, nothing is tidied up.

        With ``isolation="process"`` this *is* SIGKILL.
        """
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.kill()

    def restart(self, *, timeout: Duration = 30.0) -> None:
        """Stop the broker if it runs, and start it on the same directory and port."""
        self.stop(timeout=timeout)
        self.start(timeout=timeout)

    def log_tail(self, lines: int = 20) -> list[str]:
        """The last lines that the broker logged, the latest last; none if it does not run."""
        if isinstance(self._runner, _core.Broker):
            return self._runner.log_lines()[-lines:]
        if isinstance(self._runner, ServerProcess) and self._runner.running:
            return self._runner.log_tail(lines * 200).splitlines()[-lines:]
        return []

    def metrics(self) -> str:
        """Counters and latencies since the start, in the text format that Prometheus reads.

        Raises
        ------
        RuntimeError
            If the broker runs in a process of its own: set ``pabal.metrics.listener`` and ask
            there.
        """
        if not isinstance(self._runner, _core.Broker):
            raise RuntimeError(
                "only a broker of this process tells its metrics here; "
                "for others set pabal.metrics.listener and read http://host:port/metrics"
            )
        return self._runner.metrics()

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"<pabal.Broker {self._id} {self.address} {state}>"


class Cluster:
    """A cluster of brokers on loopback ports, alive until it is closed.

    Parameters
    ----------
    brokers : int
        How many brokers. This version runs one.
    isolation : {"thread", "process"}
        Whether a broker runs inside this process or as a server process of its own, so that
        `Broker.kill` is a true SIGKILL.
    data_dir : path, optional
        Where the brokers keep their logs, everything found again when a cluster is opened there
        later. Without it a temporary directory is used and removed at the end.
    config : mapping, optional
        Broker properties under Kafka's names, e.g. ``{"num.partitions": 3}``.
    timeout : timedelta or float
        How long the start may take, in seconds.

    Raises
    ------
    pabal.errors.InvalidConfigError
        If a property is unknown or its value is out of bounds.
    pabal.errors.PabalError
        If the cluster cannot start, e.g. because another process uses ``data_dir``.

    Examples
    --------
    >>> import pabal
    >>> with pabal.Cluster(brokers=1, config={"num.partitions": 3}) as cluster:
    ...     cluster.create_topic("orders").partitions
    3
    """

    def __init__(
        self,
        brokers: int = 1,
        *,
        isolation: Isolation = "thread",
        data_dir: str | os.PathLike[str] | None = None,
        config: Mapping[str, object] | None = None,
        timeout: Duration = 30.0,
    ) -> None:
        if not isinstance(brokers, int) or isinstance(brokers, bool):
            raise TypeError(f"brokers is a number, not {type(brokers).__name__}")
        if brokers != 1:
            raise ValueError(f"this version runs clusters of one broker, not of {brokers}")
        if isolation not in ("thread", "process"):
            raise ValueError(f'isolation is "thread" or "process", not {isolation!r}')
        properties = {
            name: property_text(name, value) for name, value in dict(config or {}).items()
        }
        self._pid = os.getpid()
        self._temporary = data_dir is None
        self._directory = Path(
            tempfile.mkdtemp(prefix="pabal-") if data_dir is None else os.fspath(data_dir)
        ).absolute()
        self._admin_client: _core.Admin | None = None
        self._brokers = tuple(
            Broker(
                index,
                self._directory / f"broker-{index}",
                properties,
                isolation,
                self._temporary,
            )
            for index in range(brokers)
        )
        self._closed = False
        try:
            for broker in self._brokers:
                broker.start(timeout=timeout)
        except BaseException:
            self._abandon()
            raise
        _open_clusters.add(self)

    @property
    def bootstrap_servers(self) -> str:
        """What clients call ``bootstrap.servers``: ``host:port`` of each broker, by commas."""
        return ",".join(broker.address for broker in self._brokers)

    @property
    def brokers(self) -> tuple[Broker, ...]:
        """The brokers, in the order of their ids."""
        return self._brokers

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def data_dir(self) -> Path:
        """The directory of all brokers' logs."""
        return self._directory

    @property
    def cluster_id(self) -> str:
        """The cluster's id, the same as long as its data lives."""
        for broker in self._brokers:
            if broker._runner is not None:
                return broker._runner.cluster_id
        raise RuntimeError("no broker of the cluster runs")

    def broker(self, broker_id: int) -> Broker:
        """The broker with this id.

        Raises
        ------
        IndexError
            If the cluster has no such broker.
        """
        for broker in self._brokers:
            if broker.id == broker_id:
                return broker
        raise IndexError(f"the cluster has no broker {broker_id}")

    def create_topic(
        self,
        name: str,
        partitions: int | None = None,
        replication_factor: int | None = None,
        *,
        config: Mapping[str, object] | None = None,
        timeout: Duration = 30.0,
    ) -> Topic:
        """Create a topic; when this returns, every partition has a leader.

        Parameters
        ----------
        name : str
            At most 249 letters, digits, dots, underscores and hyphens.
        partitions, replication_factor : int, optional
            The brokers' ``num.partitions`` and ``default.replication.factor`` without them.
        config : mapping, optional
            Topic configuration under Kafka's names, e.g. ``{"retention.ms": -1}``.
        timeout : timedelta or float
            How long it may take, in seconds.

        Raises
        ------
        pabal.errors.TopicAlreadyExistsError, pabal.errors.InvalidTopicError
            If there is such a topic, or if there cannot be one.
        pabal.errors.InvalidConfigError
            If ``config`` has an unknown name or a bad value.

        Examples
        --------
        >>> with Cluster() as cluster:
        ...     cluster.create_topic("orders", partitions=6, config={"retention.ms": -1}).name
        'orders'
        """
        options = {key: property_text(key, value) for key, value in dict(config or {}).items()}
        topic_id = self._admin().create_topic(
            name,
            -1 if partitions is None else partitions,
            -1 if replication_factor is None else replication_factor,
            list(options.items()),
            seconds(timeout, "timeout"),
        )
        return Topic(self, name, topic_id)

    def delete_topic(self, name: str, *, timeout: Duration = 30.0) -> None:
        """Delete a topic with all its records.

        Raises
        ------
        pabal.errors.UnknownTopicOrPartitionError
            If there is no such topic.
        """
        self._admin().delete_topic(name, seconds(timeout, "timeout"))

    def topic(self, name: str) -> Topic:
        """The topic called ``name``.

        Raises
        ------
        pabal.errors.UnknownTopicOrPartitionError
            If there is no such topic.
        """
        return Topic(self, name, self._admin().describe_topic(name).id)

    def topics(self) -> dict[str, Topic]:
        """All topics by name, without the internal ones."""
        listing = sorted(self._admin().list_topics())
        return {name: Topic(self, name, topic_id) for name, topic_id in listing}

    def group(self, group_id: str) -> Group:
        """The consumer group ``group_id``, which need not exist yet.

        Examples
        --------
        >>> with Cluster() as cluster:
        ...     cluster.group("readers")
        <pabal.Group 'readers'>
        """
        return Group(self._admin, group_id)

    def groups(self) -> dict[str, Group]:
        """All groups by id."""
        return {listed[0]: self.group(listed[0]) for listed in self._admin().list_groups()}

    def close(self) -> None:
        """Stop all brokers, and remove the directory if it was temporary. Twice is fine.

        In the child of a fork nothing happens: the brokers are the parent's.
        """
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        _open_clusters.discard(self)
        self._close_admin()
        try:
            for broker in self._brokers:
                broker.stop()
        finally:
            self._remove_directory()

    def _abandon(self) -> None:
        self._closed = True
        self._close_admin()
        for broker in self._brokers:
            broker.kill()
        self._remove_directory()

    def _remove_directory(self) -> None:
        if self._temporary:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _admin(self) -> _core.Admin:
        if self._pid != os.getpid():
            raise RuntimeError(
                "this cluster belongs to the parent of a fork; connect a client to its "
                "bootstrap_servers, or start a cluster of your own"
            )
        if self._closed:
            raise RuntimeError("the cluster is closed")
        if self._admin_client is None:
            self._admin_client = _core.Admin(self.bootstrap_servers)
        return self._admin_client

    def _close_admin(self) -> None:
        admin, self._admin_client = self._admin_client, None
        if admin is not None:
            admin.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else self.bootstrap_servers
        return f"<pabal.Cluster of {len(self._brokers)}: {state}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{broker.id}</td><td>{broker.address}</td>"
            f"<td>{'running' if broker.is_running else 'not running'}</td></tr>"
            for broker in self._brokers
        )
        return (
            "<b>pabal cluster</b>"
            f"<table><tr><th>broker</th><th>address</th><th>state</th></tr>{rows}</table>"
        )


_open_clusters: weakref.WeakSet[Cluster] = weakref.WeakSet()


@atexit.register
def _close_open_clusters() -> None:
    for cluster in list(_open_clusters):
        cluster.close()
