"""Fixtures for pytest: a real broker for the tests of whatever speaks Kafka.

Installed with pabal; pytest finds it by itself. Nothing is started before a test asks for it.

================================  ==========================================================
``pabal_cluster``                 the session's cluster; each worker of pytest-xdist has its own
``pabal_topic``                   a topic of this test alone, deleted after it
``pabal_topic_factory``           makes more of them, under names of your choice if you like
``pabal_cluster_factory``         makes clusters of this test alone, to be killed and closed
``pabal_async_topic_factory``     the same for async tests, which go on meanwhile: to be awaited
``pabal_async_cluster_factory``   likewise
================================  ==========================================================

``@pytest.mark.pabal(config=…, isolation=…, brokers=…)`` asks for a cluster with other options;
tests that ask for the same share it. ``@pytest.mark.pabal_topic(partitions=…, config=…)`` says what
``pabal_topic`` is like. The ini options ``pabal_config``, ``pabal_isolation`` and ``pabal_brokers``
hold for the whole suite.

When a test fails that used one of these, its report has a section that says what stood in its
topics, in which state its groups were, and what the brokers logged last.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

if TYPE_CHECKING:
    import os

    from pabal.broker import Isolation
    from pabal.cluster import Cluster
    from pabal.topic import Topic

__all__ = [
    "AsyncClusterFactory",
    "AsyncTopicFactory",
    "ClusterFactory",
    "TopicFactory",
    "pabal_async_cluster_factory",
    "pabal_async_topic_factory",
    "pabal_cluster",
    "pabal_cluster_factory",
    "pabal_topic",
    "pabal_topic_factory",
]


class TopicFactory(Protocol):
    """What the fixture ``pabal_topic_factory`` gives."""

    def __call__(
        self,
        name: str | None = None,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        config: Mapping[str, object] | None = None,
    ) -> Topic:
        """Create a topic that is deleted after the test, under a unique name without ``name``."""
        ...


class ClusterFactory(Protocol):
    """What the fixture ``pabal_cluster_factory`` gives."""

    def __call__(
        self,
        brokers: int = 1,
        *,
        config: Mapping[str, object] | None = None,
        isolation: Isolation = "thread",
        data_dir: str | os.PathLike[str] | None = None,
    ) -> Cluster:
        """Start a cluster that is closed after the test; the parameters are those of `Cluster`."""
        ...


class AsyncTopicFactory(Protocol):
    """What the fixture ``pabal_async_topic_factory`` gives."""

    async def __call__(
        self,
        name: str | None = None,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        config: Mapping[str, object] | None = None,
    ) -> Topic:
        """As `TopicFactory`; the event loop goes on meanwhile."""
        ...


class AsyncClusterFactory(Protocol):
    """What the fixture ``pabal_async_cluster_factory`` gives."""

    async def __call__(
        self,
        brokers: int = 1,
        *,
        config: Mapping[str, object] | None = None,
        isolation: Isolation = "thread",
        data_dir: str | os.PathLike[str] | None = None,
    ) -> Cluster:
        """As `ClusterFactory`; the event loop goes on meanwhile."""
        ...


@dataclass(frozen=True)
class _Options:
    """What a shared cluster is like. Equal options mean the same cluster."""

    brokers: int
    isolation: str
    config: tuple[tuple[str, str], ...]


class _Clusters:
    """The session's shared clusters, by their options."""

    def __init__(self) -> None:
        self._running: dict[_Options, Cluster] = {}

    def get(self, options: _Options) -> Cluster:
        cluster = self._running.get(options)
        if cluster is None:
            from pabal.cluster import Cluster

            cluster = self._running[options] = Cluster(
                options.brokers,
                isolation=cast("Isolation", options.isolation),
                config=dict(options.config),
            )
        return cluster

    def started(self, options: _Options) -> Cluster | None:
        """The cluster with these options, if a test asked for it before."""
        return self._running.get(options)

    def mend(self, options: _Options) -> None:
        """Start what an earlier test stopped or killed.

        Raises
        ------
        RuntimeError
            If an earlier test closed the cluster.
        """
        cluster = self._running.get(options)
        if cluster is None:
            return
        if cluster.is_closed:
            raise RuntimeError(
                "an earlier test closed pabal_cluster, which belongs to all tests; "
                "a test that closes its cluster takes one from pabal_cluster_factory"
            )
        for broker in cluster.brokers:
            if broker.is_paused:
                broker.resume()
        cluster.heal()
        cluster.start()

    def close(self) -> None:
        while self._running:
            _, cluster = self._running.popitem()
            cluster.close()


@dataclass
class _Used:
    """What one test has of its own, for its report."""

    topics: dict[str, Cluster] = field(default_factory=dict)
    clusters: list[Cluster] = field(default_factory=list)


_clusters_key = pytest.StashKey[_Clusters]()
_used_key = pytest.StashKey[_Used]()
_FIXTURES = frozenset(
    (
        "pabal_async_cluster_factory",
        "pabal_async_topic_factory",
        "pabal_cluster",
        "pabal_cluster_factory",
        "pabal_topic",
        "pabal_topic_factory",
    )
)
_MARKERS = (
    "pabal(config={}, isolation='thread', brokers=1): what the cluster of pabal_cluster is like",
    "pabal_topic(partitions=None, replication_factor=None, config={}): what pabal_topic is like",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ini options."""
    parser.addini(
        "pabal_config",
        "properties of the brokers of pabal_cluster, one name=value a line",
        type="linelist",
        default=[],
    )
    parser.addini(
        "pabal_isolation",
        "thread (the brokers of pabal_cluster run in the tests' process) or process",
        default="thread",
    )
    parser.addini("pabal_brokers", "how many brokers pabal_cluster has", default="1")


def pytest_configure(config: pytest.Config) -> None:
    """The markers."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[_clusters_key] = _Clusters()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close what is left when a session ends early."""
    clusters = config.stash.get(_clusters_key, None)
    if clusters is not None:
        clusters.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test the cluster that its marker asks for."""
    if "pabal_cluster" not in metafunc.fixturenames:
        return
    if metafunc.definition.get_closest_marker("pabal") is None:
        return
    metafunc.parametrize(
        "pabal_cluster",
        [_options(metafunc.definition)],
        indirect=True,
        scope="session",
        ids=[getattr(pytest, "HIDDEN_PARAM", "pabal")],
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A broker that one test killed runs again for the next."""
    if "pabal_cluster" in getattr(item, "fixturenames", ()):
        item.config.stash[_clusters_key].mend(_options(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failing test what its brokers know."""
    report = yield
    if report.failed and not _FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
        used = item.stash.get(_used_key, _Used())
        clusters = list(used.clusters)
        if "pabal_cluster" in getattr(item, "fixturenames", ()):
            shared = item.config.stash[_clusters_key].started(_options(item))
            if shared is not None:
                clusters.insert(0, shared)
        if clusters:
            from pabal.autopsy import autopsy

            text = "\n\n".join(autopsy(cluster, own=used.topics) for cluster in clusters)
            report.sections.append(("pabal", text))
    return report


def _options(item: pytest.Item) -> _Options:
    """What the ini file says, and over it the markers, the nearest one last."""
    from pabal.properties import property_text

    config = item.config
    properties: dict[str, str] = {}
    for line in config.getini("pabal_config"):
        name, equals, value = line.partition("=")
        if not equals:
            raise pytest.UsageError(f"pabal_config: a line is name=value, not {line!r}")
        properties[name.strip()] = value.strip()
    options: dict[str, Any] = {
        "isolation": config.getini("pabal_isolation"),
        "brokers": _number("pabal_brokers", config.getini("pabal_brokers")),
    }
    for marker in reversed(list(item.iter_markers("pabal"))):
        _refuse_unknown(marker, ("config", "isolation", "brokers"))
        given = dict(marker.kwargs)
        for name, value in dict(given.pop("config", {})).items():
            properties[name] = property_text(name, value)
        options.update(given)
    return _Options(config=tuple(sorted(properties.items())), **options)


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise pytest.UsageError(f"{name} is a number, not {text!r}") from None


def _refuse_unknown(marker: pytest.Mark, known: tuple[str, ...]) -> None:
    wrong = [str(argument) for argument in marker.args]
    wrong += [name for name in marker.kwargs if name not in known]
    if wrong:
        raise pytest.UsageError(
            f"@pytest.mark.{marker.name} takes {', '.join(f'{name}=' for name in known)}"
            f" and not {', '.join(wrong)}"
        )


def _unique_name(test: str) -> str:
    """A topic's name that says which test it belongs to."""
    words = re.sub(r"[^a-zA-Z0-9._-]+", "-", test).strip("-.")[:60]
    return f"{words}-{uuid.uuid4().hex[:8]}"


def _used(request: pytest.FixtureRequest) -> _Used:
    node: pytest.Item = request.node
    return node.stash.setdefault(_used_key, _Used())


@pytest.fixture(scope="session")
def pabal_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A `pabal.Cluster` that all tests share; its ``bootstrap_servers`` are where to connect.

    It starts when the first test asks for it. A broker that a test killed runs again for the next.
    """
    clusters = request.config.stash[_clusters_key]
    options = getattr(request, "param", None)
    yield clusters.get(_options(cast("pytest.Item", request.node)) if options is None else options)
    # The others stay for the tests that ask for them later; a cluster without a test costs nothing.


@pytest.fixture
def pabal_topic_factory(
    request: pytest.FixtureRequest, pabal_cluster: Cluster
) -> Iterator[TopicFactory]:
    """A function that creates topics on ``pabal_cluster``, all deleted after the test.

    ``pabal_topic_factory("orders", partitions=3, config={"retention.ms": -1})`` for a program that
    knows its topic by name; without a name it gets one of its own.
    """
    used = _used(request)

    def create(
        name: str | None = None,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        config: Mapping[str, object] | None = None,
    ) -> Topic:
        topic = pabal_cluster.create_topic(
            _unique_name(request.node.name) if name is None else name,
            partitions,
            replication_factor,
            config=config,
        )
        used.topics[topic.name] = pabal_cluster
        return topic

    yield create
    for name in used.topics:
        _delete(pabal_cluster, name)


@pytest.fixture
def pabal_topic(
    request: pytest.FixtureRequest, pabal_topic_factory: Callable[..., Topic]
) -> Topic:
    """A `pabal.Topic` of this test alone; ``pabal_topic.name`` is what clients call it."""
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("pabal_topic"))):
        _refuse_unknown(marker, ("partitions", "replication_factor", "config"))
        options.update(marker.kwargs)
    return pabal_topic_factory(**options)


@pytest.fixture
def pabal_cluster_factory(request: pytest.FixtureRequest) -> Iterator[ClusterFactory]:
    """A function that starts clusters of this test alone, all closed after it."""
    used = _used(request)

    def start(
        brokers: int = 1,
        *,
        config: Mapping[str, object] | None = None,
        isolation: Isolation = "thread",
        data_dir: str | os.PathLike[str] | None = None,
    ) -> Cluster:
        from pabal.cluster import Cluster

        cluster = Cluster(brokers, config=config, isolation=isolation, data_dir=data_dir)
        used.clusters.append(cluster)
        return cluster

    yield start
    while used.clusters:
        used.clusters.pop().close()


@pytest.fixture
def pabal_async_topic_factory(pabal_topic_factory: TopicFactory) -> AsyncTopicFactory:
    """As ``pabal_topic_factory``, to be awaited; for any async plugin that runs asyncio."""

    async def create(
        name: str | None = None,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        config: Mapping[str, object] | None = None,
    ) -> Topic:
        import asyncio

        return await asyncio.to_thread(
            pabal_topic_factory,
            name,
            partitions=partitions,
            replication_factor=replication_factor,
            config=config,
        )

    return create


@pytest.fixture
def pabal_async_cluster_factory(pabal_cluster_factory: ClusterFactory) -> AsyncClusterFactory:
    """As ``pabal_cluster_factory``, to be awaited; for any async plugin that runs asyncio."""

    async def start(
        brokers: int = 1,
        *,
        config: Mapping[str, object] | None = None,
        isolation: Isolation = "thread",
        data_dir: str | os.PathLike[str] | None = None,
    ) -> Cluster:
        import asyncio

        return await asyncio.to_thread(
            pabal_cluster_factory,
            brokers,
            config=config,
            isolation=isolation,
            data_dir=data_dir,
        )

    return start


def _delete(cluster: Cluster, name: str) -> None:
    """Delete a topic, unless the test did so itself."""
    from pabal.errors import UnknownTopicOrPartitionError

    cluster.start()  # What a test may have killed.
    try:
        cluster.delete_topic(name)
    except UnknownTopicOrPartitionError:
        pass
