"""Clusters as objects: real brokers on loopback ports, started and ended from a script."""

from __future__ import annotations

import atexit
import base64
import html
import os
import shutil
import tempfile
import time
import uuid
import weakref
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pabal import _core
from pabal.broker import Broker, Isolation, _Runner
from pabal.duration import Duration, seconds
from pabal.group import Group
from pabal.process import ServerProcess
from pabal.properties import broker_properties, property_text
from pabal.topic import PartitionState, Topic

if TYPE_CHECKING:
    from pabal.admin import Admin
    from pabal.consumer import Consumer
    from pabal.producer import Producer

__all__ = ["Broker", "Clock", "Cluster", "PartitionState", "Topic"]

# Between two looks at a cluster that has to come into some state.
_PAUSE = 0.005
# How long whoever creates a topic waits for brokers that may be cut off.
_PATIENCE = 3.0


class Clock:
    """The time of a cluster in this process, which can be moved forward.

    Moved is what policies go by: timestamps, retention, the expiry of sessions, offsets and
    producers. Elections, heartbeats between brokers and the deadlines of requests are not, so that
    nobody is taken for dead.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def advance(
        self,
        duration: Duration = 0.0,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
    ) -> None:
        """Move the brokers' time forward; when this returns, what became due meanwhile was done.

        Raises
        ------
        RuntimeError
            If the brokers are processes of their own, or one of them is paused.

        Examples
        --------
        >>> from pabal import Cluster
        >>> with Cluster() as cluster:
        ...     cluster.clock.advance(hours=24)
        """
        further = timedelta(days=days, hours=hours, minutes=minutes)
        by = seconds(duration, "duration") + seconds(further, "the time to advance")
        world = self._cluster._shared_world("their clocks can be moved")
        for broker in self._cluster.brokers:
            if broker.is_paused:
                raise RuntimeError(f"broker {broker.id} is paused, and would not follow")
        world.advance(by)


class Cluster:
    """A cluster of brokers on loopback ports, alive until it is closed.

    Parameters
    ----------
    brokers : int
        How many brokers. Each is a controller, too, so that a majority of them has to run; an odd
        number is of most use.
    isolation : {"thread", "process"}
        Whether a broker runs inside this process or as a server process of its own, so that
        `Broker.kill` is a true SIGKILL.
    data_dir : path, optional
        Where the brokers keep their logs, everything found again when a cluster is opened there
        later. Without it a temporary directory is used and removed at the end.
    config : mapping, optional
        Broker properties under Kafka's names, e.g. ``{"num.partitions": 3}``. Where there are
        several brokers, topics have up to three replicas without further ado
        (``default.replication.factor``, ``offsets.topic.replication.factor``), and with three an
        acknowledgement of all means two of them (``min.insync.replicas``).
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
    >>> with pabal.Cluster(brokers=3, config={"num.partitions": 6}) as cluster:
    ...     orders = cluster.create_topic("orders")
    ...     orders.leader(0).kill()
    ...     orders.partitions
    6
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
        if brokers < 1:
            raise ValueError(f"a cluster has one broker at least, not {brokers}")
        if isolation not in ("thread", "process"):
            raise ValueError(f'isolation is "thread" or "process", not {isolation!r}')
        properties = broker_properties(dict(config or {}))
        limit = seconds(timeout, "timeout")
        self._pid = os.getpid()
        self._isolation = isolation
        self._temporary = data_dir is None
        self._directory = Path(
            tempfile.mkdtemp(prefix="pabal-") if data_dir is None else os.fspath(data_dir)
        ).absolute()
        self._known_id = _cluster_id_in(self._directory)
        if brokers > 1 and self._known_id is None:
            self._known_id = _new_cluster_id()
        self._world = _core.World()
        self._clock = Clock(self)
        self._admin_client: _core.Admin | None = None
        self._closed = False
        self._properties = {**_cluster_properties(brokers), **properties}
        self._brokers = tuple(
            self._new_broker(index, is_controller=True) for index in range(brokers)
        )
        try:
            if brokers > 1:
                for broker in self._brokers:
                    broker._config.setdefault("controller.quorum.voters", self._voters())
            self._start(limit)
        except BaseException:
            self._abandon()
            raise
        _open_clusters.add(self)

    def _new_broker(self, broker_id: int, *, is_controller: bool) -> Broker:
        broker = Broker(
            broker_id,
            self._directory / f"broker-{broker_id}",
            self._properties,
            self._run,
            self._close_admin,
            is_controller=is_controller,
        )
        for port in (broker._port, broker._controller_port):
            self._world.place(broker_id, port.number)
        return broker

    def _run(self, properties: Mapping[str, str]) -> _Runner:
        """Begin a run of one broker."""
        self._check_open()
        if self._isolation == "process":
            return ServerProcess(dict(properties), self._known_id)
        return _core.Broker(dict(properties), self._world, self._temporary, self._known_id)

    def _voters(self) -> str:
        return ",".join(
            f"{broker.id}@127.0.0.1:{broker._controller_port.number}"
            for broker in self._brokers
            if broker._is_controller
        )

    def _start(self, timeout: float) -> None:
        begun: list[Broker] = []
        deadline = time.monotonic() + timeout
        for broker in self._brokers:
            if not broker.is_running:
                broker._begin()
                begun.append(broker)
        for broker in begun:
            broker._wait(max(0.0, deadline - time.monotonic()))

    @property
    def bootstrap_servers(self) -> str:
        """What clients call ``bootstrap.servers``: ``host:port`` of each broker, by commas."""
        return ",".join(broker.address for broker in self._brokers)

    @property
    def brokers(self) -> tuple[Broker, ...]:
        """The brokers, in the order of their ids."""
        return self._brokers

    @property
    def clock(self) -> Clock:
        """The time of the brokers, to be moved forward; ``isolation="thread"`` only."""
        return self._clock

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
        if self._known_id is not None:
            return self._known_id
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

    def controller(self, *, timeout: Duration = 30.0) -> Broker:
        """The broker whose controller is the active one.

        Raises
        ------
        TimeoutError
            If there is none in time, as without a majority of the brokers.

        Examples
        --------
        >>> with Cluster(brokers=3) as cluster:
        ...     cluster.controller().kill()
        ...     cluster.controller().is_running
        True
        """
        deadline = time.monotonic() + seconds(timeout, "timeout")
        while True:
            leader = self._quorum_leader(max(0.0, deadline - time.monotonic()))
            if leader >= 0 and self.broker(leader).is_running:
                return self.broker(leader)
            if time.monotonic() >= deadline:
                raise TimeoutError("the cluster has no active controller")
            time.sleep(_PAUSE)

    def _quorum_leader(self, timeout: float) -> int:
        from pabal.errors import PabalError

        try:
            return self._admin().quorum(timeout)[0]
        except PabalError:
            return -1

    def start(self, *, timeout: Duration = 30.0) -> None:
        """Start all brokers that do not run, and return when they serve.

        Examples
        --------
        >>> with Cluster(brokers=3) as cluster:
        ...     for broker in cluster.brokers:
        ...         broker.kill()
        ...     cluster.start()
        """
        self._check_open()
        self._start(seconds(timeout, "timeout"))

    def add_broker(self, *, timeout: Duration = 30.0) -> Broker:
        """Start another broker under the next free id, and return when it serves.

        It is no controller: the metadata quorum stays as it is. New topics use it at once, others
        when their partitions are reassigned.

        Examples
        --------
        >>> with Cluster(brokers=3) as cluster:
        ...     cluster.add_broker().id
        3
        """
        self._check_open()
        added = self._new_broker(len(self._brokers), is_controller=False)
        added._config.setdefault("controller.quorum.voters", self._voters())
        self._brokers = (*self._brokers, added)
        added.start(timeout=timeout)
        self._close_admin()  # It learns of the new address when it is made again.
        return added

    def wait_until_in_sync(self, *, timeout: Duration = 30.0) -> None:
        """Return when every partition has a leader and all its replicas are in sync.

        Raises
        ------
        TimeoutError
            If some are not in time; the message names them.

        Examples
        --------
        >>> with Cluster(brokers=3) as cluster:
        ...     orders = cluster.create_topic("orders")
        ...     cluster.broker(0).kill()
        ...     cluster.broker(0).restart()
        ...     cluster.wait_until_in_sync()
        ...     len(orders.partition(0).isr)
        3
        """
        limit = seconds(timeout, "timeout")
        deadline = time.monotonic() + limit
        while True:
            behind = self._out_of_sync(max(0.05, deadline - time.monotonic()))
            if not behind:
                return
            if time.monotonic() >= deadline:
                shown = "; ".join(behind[:5]) + ("; and others" if len(behind) > 5 else "")
                raise TimeoutError(f"not in sync after {limit:g} s: {shown}")
            time.sleep(_PAUSE)

    def _out_of_sync(self, timeout: float) -> list[str]:
        from pabal.errors import PabalError

        try:
            topics = self._admin().describe_topics(timeout)
        except PabalError as error:
            return [str(error)]
        # A broker may be gone while the others have yet to notice.
        gone = {broker.id for broker in self._brokers if not broker.is_running}
        return [
            f"{topic.name}-{index} is led by {leader} with {isr} of {replicas} in sync"
            + (f", and {sorted(gone.intersection(isr))} gone" if gone.intersection(isr) else "")
            for topic in topics
            for index, leader, _, replicas, isr in topic.partitions
            if leader < 0 or len(isr) < len(replicas) or gone.intersection(isr)
        ]

    def partition(
        self, one: Collection[int], other: Collection[int], *, one_way: bool = False
    ) -> None:
        """Cut the connections between two sets of brokers, until `heal`.

        What is sent over them arrives nowhere, as behind a pulled cable: nobody is told. Clients
        still reach every broker.

        Parameters
        ----------
        one, other : collection of int
            Ids of brokers.
        one_way : bool
            Cut only what ``one`` sends to ``other``.

        Raises
        ------
        RuntimeError
            If the brokers are processes of their own.

        Examples
        --------
        >>> with Cluster(brokers=3) as cluster:
        ...     cluster.partition([0], [1, 2])
        ...     cluster.heal()
        """
        world = self._shared_world("the wires between them can be cut")
        for sender, receiver in self._pairs(one, other, one_way=one_way):
            world.cut(sender, receiver)

    def delay(
        self,
        duration: Duration,
        one: Collection[int] | None = None,
        other: Collection[int] | None = None,
        *,
        one_way: bool = False,
    ) -> None:
        """Let what brokers send each other arrive so much later, until `heal`.

        Parameters
        ----------
        duration : timedelta or float
            How much later, each way.
        one, other : collection of int, optional
            Between which brokers; between all without them.
        one_way : bool
            Only what ``one`` sends to ``other``.

        Raises
        ------
        RuntimeError
            If the brokers are processes of their own.

        Examples
        --------
        >>> with Cluster(brokers=3) as cluster:
        ...     cluster.delay(0.02)
        ...     cluster.heal()
        """
        by = seconds(duration, "duration")
        world = self._shared_world("the wires between them can be slowed down")
        everyone = [broker.id for broker in self._brokers]
        pairs = self._pairs(
            everyone if one is None else one, everyone if other is None else other, one_way=one_way
        )
        for sender, receiver in pairs:
            world.delay(sender, receiver, by)

    def heal(self) -> None:
        """Take back every `partition` and `delay`; what was held back arrives now."""
        self._check_open()
        self._world.heal()

    def _pairs(
        self, one: Collection[int], other: Collection[int], *, one_way: bool
    ) -> Iterator[tuple[int, int]]:
        for broker_id in (*one, *other):
            self.broker(broker_id)
        for sender in one:
            for receiver in other:
                if sender == receiver:
                    continue
                yield sender, receiver
                if not one_way:
                    yield receiver, sender

    def _shared_world(self, so_that: str) -> _core.World:
        self._check_open()
        if self._isolation == "process":
            raise RuntimeError(
                'the brokers are processes of their own, which can be killed, paused and stopped; '
                f'start the cluster with isolation="thread", where {so_that}'
            )
        return self._world

    def create_topic(
        self,
        name: str,
        partitions: int | None = None,
        replication_factor: int | None = None,
        *,
        config: Mapping[str, object] | None = None,
        timeout: Duration = 30.0,
    ) -> Topic:
        """Create a topic; when this returns, every partition has a leader, and all brokers know it.

        Nobody waits longer than three seconds for a broker that is cut off from the others.

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
        running = [one for one in self._brokers if one.is_running and not one.is_paused]
        if len(running) > 1:
            patience = time.monotonic() + _PATIENCE
            for broker in running:
                _wait_until_known(broker.address, name, topic_id, patience)
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

    def producer(self, **config: Any) -> Producer:
        """A `pabal.Producer` that is connected to this cluster, with its settings.

        Examples
        --------
        >>> with Cluster() as cluster, cluster.producer(acks="all") as producer:
        ...     producer.send("orders", b"tea").result().partition
        0
        """
        from pabal.producer import Producer

        return Producer(self.bootstrap_servers, **config)

    def consumer(self, *topics: str, **config: Any) -> Consumer:
        """A `pabal.Consumer` that is connected to this cluster, with its settings.

        Examples
        --------
        >>> with Cluster() as cluster:
        ...     with cluster.producer() as producer:
        ...         _ = producer.send("orders", b"tea")
        ...     consumer = cluster.consumer("orders", group="a", auto_offset_reset="earliest")
        ...     with consumer:
        ...         consumer.poll(timeout=10)[0].value
        b'tea'
        """
        from pabal.consumer import Consumer

        return Consumer(*topics, bootstrap_servers=self.bootstrap_servers, **config)

    def admin(self, **config: Any) -> Admin:
        """A `pabal.Admin` that is connected to this cluster, with its settings.

        Examples
        --------
        >>> with Cluster() as cluster, cluster.admin() as admin:
        ...     admin.list_topics()
        []
        """
        from pabal.admin import Admin

        return Admin(self.bootstrap_servers, **config)

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
        self._world.heal()
        try:
            for broker in self._brokers:
                broker.stop()
        finally:
            for broker in self._brokers:
                broker._release_ports()
            self._remove_directory()

    def _abandon(self) -> None:
        self._closed = True
        self._close_admin()
        for broker in self._brokers:
            broker.kill()
            broker._release_ports()
        self._remove_directory()

    def _remove_directory(self) -> None:
        if self._temporary:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise RuntimeError(
                "this cluster belongs to the parent of a fork; connect a client to its "
                "bootstrap_servers, or start a cluster of your own"
            )
        if self._closed:
            raise RuntimeError("the cluster is closed")

    def _admin(self) -> _core.Admin:
        self._check_open()
        if self._admin_client is None:
            # Whoever can answer comes first.
            brokers = sorted(self._brokers, key=lambda one: one.is_paused or not one.is_running)
            self._admin_client = _core.Admin(",".join(broker.address for broker in brokers))
        return self._admin_client

    def _close_admin(self) -> None:
        admin, self._admin_client = self._admin_client, None
        if admin is not None:
            admin.close()

    def __enter__(self) -> Cluster:
        self._check_open()
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
        controller, topics = self._view()
        rows = "".join(
            f"<tr><td>{broker.id}</td><td>{broker.address}</td><td>{broker._state()}</td>"
            f"<td>{'active' if broker.id == controller else ''}</td></tr>"
            for broker in self._brokers
        )
        partitions = "".join(
            f"<tr><td>{html.escape(topic.name)}</td><td>{index}</td><td>{leader}</td>"
            f"<td>{', '.join(map(str, replicas))}</td><td>{', '.join(map(str, isr))}</td></tr>"
            for topic in topics
            for index, leader, _, replicas, isr in topic.partitions
        )
        table = (
            "<b>pabal cluster</b><table><tr><th>broker</th><th>address</th><th>state</th>"
            f"<th>controller</th></tr>{rows}</table>"
        )
        if partitions:
            table += (
                "<table><tr><th>topic</th><th>partition</th><th>leader</th><th>replicas</th>"
                f"<th>in sync</th></tr>{partitions}</table>"
            )
        return table

    def _view(self) -> tuple[int, list[_core.TopicDescription]]:
        """What can be told of the cluster within a second: it is shown while things fail, too."""
        from pabal.errors import PabalError

        if self._closed or not any(broker.is_running for broker in self._brokers):
            return -1, []
        try:
            topics = self._admin().describe_topics(1.0)
        except (PabalError, RuntimeError):
            return -1, []
        return self._quorum_leader(1.0), [topic for topic in topics if not topic.internal]


def _wait_until_known(address: str, topic: str, topic_id: str, deadline: float) -> None:
    """Until this broker knows the topic, or the deadline has come."""
    from pabal.errors import PabalError

    while (left := deadline - time.monotonic()) > 0:
        admin = _core.Admin(address)  # It asks its bootstrap server first, later any.
        try:
            if admin.describe_topic(topic, left).id == topic_id:
                return
        except PabalError:
            pass
        finally:
            admin.close()
        time.sleep(_PAUSE)


def _cluster_properties(brokers: int) -> dict[str, str]:
    """What differs from Kafka's defaults where a cluster is made of one piece."""
    if brokers == 1:
        return {}
    replicas = str(min(brokers, 3))
    properties = {
        "default.replication.factor": replicas,
        "offsets.topic.replication.factor": replicas,
    }
    if brokers >= 3:
        properties["min.insync.replicas"] = "2"
    return properties


def _new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _cluster_id_in(directory: Path) -> str | None:
    """The id that an earlier cluster left in its directory."""
    for properties in sorted(directory.glob("broker-*/meta.properties")):
        for line in properties.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "cluster.id":
                return value.strip()
    return None


_open_clusters: weakref.WeakSet[Cluster] = weakref.WeakSet()


@atexit.register
def _close_open_clusters() -> None:
    for cluster in list(_open_clusters):
        cluster.close()
