"""The administrator's client: topics, settings, groups, offsets and the cluster itself.

>>> import pabal
>>> with pabal.Cluster() as cluster, cluster.admin() as admin:
...     _ = admin.create_topic("orders", partitions=2, config={"retention.ms": 60_000})
...     admin.describe_configs("topic", "orders")["retention.ms"].value
'60000'
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, Literal

from pabal import _core
from pabal.client_config import ADMIN, bootstrap_text, mapping_of, resolve
from pabal.descriptions import (
    BrokerNode,
    ClusterDescription,
    ConfigEntry,
    FeatureDescription,
    GroupDescription,
    GroupListing,
    LogDir,
    QuorumDescription,
    QuorumReplica,
    Reassignment,
    ReplicaSize,
    TopicDescription,
)
from pabal.duration import Duration, seconds
from pabal.group import Group, GroupMember
from pabal.properties import CONFIG_RESOURCES, CONFIG_SOURCES, ConfigOperation, property_text
from pabal.records import TopicPartition
from pabal.topic import PartitionState

__all__ = [
    "Admin",
    "BrokerNode",
    "ClusterDescription",
    "ConfigEntry",
    "FeatureDescription",
    "GroupDescription",
    "GroupListing",
    "LogDir",
    "QuorumDescription",
    "QuorumReplica",
    "Reassignment",
    "ReplicaSize",
    "TopicDescription",
]

Partition = tuple[str, int]
Resource = Literal["topic", "broker", "group"]

_PLACES = {"earliest": -2, "latest": -1, "max_timestamp": -3}
_HIGH_WATERMARK = -1
_ELECTION_NOT_NEEDED = 84
_UPGRADE_TYPES = {None: 1, "safe": 2, "unsafe": 3}


class Admin:
    """Administers a cluster, pabal's or Apache Kafka's.

    It may be used by several threads; its calls are carried out one after the other. Every call
    takes a ``timeout``, ``default_api_timeout_ms`` without it.

    Parameters
    ----------
    bootstrap_servers : str or list of str
        ``host:port`` of some brokers of the cluster.
    **config
        Kafka's settings of an admin client by their names with underscores: ``client_id``,
        ``request_timeout_ms`` (of one try), ``default_api_timeout_ms``.

    Raises
    ------
    TypeError, ValueError
        If a setting is unknown (the message has the nearest name) or its value is wrong.

    Examples
    --------
    >>> import pabal
    >>> with pabal.Cluster() as cluster:
    ...     with pabal.Admin(cluster.bootstrap_servers) as admin:
    ...         admin.create_topic("orders", partitions=3)
    ...         admin.list_topics()
    ['orders']
    """

    def __init__(
        self, bootstrap_servers: str | Sequence[str] = "localhost:9092", **config: object
    ) -> None:
        options = resolve("Admin", ADMIN, config)
        limit, try_limit = options["default_api_timeout_ms"], options["request_timeout_ms"]
        assert isinstance(limit, float | int)
        assert isinstance(try_limit, float | int)
        self._call_seconds = limit / 1000
        self._bootstrap = bootstrap_text(bootstrap_servers)
        self._closed = False
        self._core = _core.Admin(self._bootstrap, str(options["client_id"]), try_limit / 1000)
        _open_admins.add(self)

    def create_topic(
        self,
        name: str,
        partitions: int | None = None,
        replication_factor: int | None = None,
        *,
        replicas: Sequence[Sequence[int]] | None = None,
        config: Mapping[str, object] | None = None,
        validate_only: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        """Create a topic; when this returns, every partition has a leader.

        Parameters
        ----------
        name : str
            At most 249 letters, digits, dots, underscores and hyphens.
        partitions, replication_factor : int, optional
            The brokers' ``num.partitions`` and ``default.replication.factor`` without them.
        replicas : sequence of sequences of int, optional
            Instead of both: for each partition the ids of its brokers, the preferred leader first.
        config : mapping, optional
            Topic configuration under Kafka's names, e.g. ``{"retention.ms": -1}``.
        validate_only : bool
            Only say whether it could be created.
        timeout : timedelta or float, optional
            How long it may take, in seconds.

        Raises
        ------
        pabal.errors.TopicAlreadyExistsError, pabal.errors.InvalidTopicError
            If there is such a topic, or if there cannot be one.
        pabal.errors.InvalidConfigError
            If ``config`` has an unknown name or a bad value.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     config = {"cleanup.policy": "compact"}
        ...     admin.create_topic("orders", replicas=[[0], [0]], config=config)
        ...     len(admin.describe_topic("orders").partitions)
        2
        """
        if replicas is not None and (partitions is not None or replication_factor is not None):
            raise TypeError("create_topic() takes replicas, or partitions and replication_factor")
        settings = {key: property_text(key, value) for key, value in dict(config or {}).items()}
        self._core.create_topic(
            name,
            -1 if partitions is None else partitions,
            -1 if replication_factor is None else replication_factor,
            list(settings.items()),
            self._limit(timeout),
            _replicas(replicas),
            validate_only,
        )

    def delete_topic(self, name: str, *, timeout: Duration | None = None) -> None:
        """Delete a topic with all its records.

        Raises
        ------
        pabal.errors.UnknownTopicOrPartitionError
            If there is no such topic.
        """
        self._core.delete_topic(name, self._limit(timeout))

    def list_topics(
        self, *, internal: bool = False, timeout: Duration | None = None
    ) -> list[str]:
        """The names of all topics; those of the cluster's own only with ``internal``."""
        return sorted(name for name, _ in self._core.list_topics(self._limit(timeout), internal))

    def describe_topic(self, name: str, *, timeout: Duration | None = None) -> TopicDescription:
        """Where the partitions of a topic stand.

        Raises
        ------
        pabal.errors.UnknownTopicOrPartitionError
            If there is no such topic.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     admin.create_topic("orders")
        ...     admin.describe_topic("orders").partitions[0].isr
        (0,)
        """
        described = self._core.describe_topic(name, self._limit(timeout))
        return TopicDescription(
            described.name,
            described.id,
            described.internal,
            tuple(
                PartitionState(index, leader, epoch, tuple(replicas), tuple(isr))
                for index, leader, epoch, replicas, isr in described.partitions
            ),
        )

    def create_partitions(
        self,
        topic: str,
        total: int,
        *,
        replicas: Sequence[Sequence[int]] | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Let a topic have ``total`` partitions; when this returns, every one has a leader.

        Parameters
        ----------
        topic : str
            The topic's name.
        total : int
            How many partitions it shall have, more than now.
        replicas : sequence of sequences of int, optional
            For each new partition the ids of its brokers, the preferred leader first.
        timeout : timedelta or float, optional
            How long it may take, in seconds.

        Raises
        ------
        pabal.errors.InvalidPartitionsError
            If the topic has as many already.
        """
        self._core.create_partitions(topic, total, self._limit(timeout), _replicas(replicas))

    def describe_configs(
        self, resource: Resource, name: str | int, *, timeout: Duration | None = None
    ) -> dict[str, ConfigEntry]:
        """The settings in force, by name.

        Parameters
        ----------
        resource : {"topic", "broker", "group"}
            What they belong to.
        name : str or int
            The topic, the broker's id, or the group; ``""`` for what is set for all brokers.
        timeout : timedelta or float, optional
            How long it may take, in seconds.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     entry = admin.describe_configs("broker", 0)["num.partitions"]
        ...     entry.value, entry.source
        ('1', 'default')
        """
        described = self._core.describe_configs(
            _resource(resource), str(name), self._limit(timeout)
        )
        return {
            key: ConfigEntry(
                value,
                _source(source),
                read_only,
                sensitive,
                tuple((one, text, _source(at)) for one, text, at in synonyms),
            )
            for key, value, source, read_only, sensitive, synonyms in described
        }

    def alter_configs(
        self,
        resource: Resource,
        name: str | int,
        changes: Mapping[str, object] | None = None,
        *,
        append: Mapping[str, object] | None = None,
        subtract: Mapping[str, object] | None = None,
        validate_only: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        """Change single settings; all others stay (KIP-339).

        Parameters
        ----------
        resource, name
            As for `describe_configs`.
        changes : mapping, optional
            New values under Kafka's names; None takes a setting back to its default.
        append, subtract : mapping, optional
            What is added to settings that are lists, and taken from them.
        validate_only : bool
            Only say whether they could be changed.
        timeout : timedelta or float, optional
            How long it may take, in seconds.

        Raises
        ------
        pabal.errors.InvalidConfigError
            If a name is unknown or a value is bad.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     admin.create_topic("orders")
        ...     admin.alter_configs("topic", "orders", append={"cleanup.policy": "compact"})
        ...     admin.describe_configs("topic", "orders")["cleanup.policy"].value
        'delete,compact'
        """
        altered: list[tuple[str, int, str | None]] = [
            (key, ConfigOperation.TAKE_BACK, None)
            if value is None
            else (key, ConfigOperation.SET, property_text(key, value))
            for key, value in dict(changes or {}).items()
        ]
        for operation, given in (
            (ConfigOperation.APPEND, append),
            (ConfigOperation.SUBTRACT, subtract),
        ):
            altered += [
                (key, operation, property_text(key, value))
                for key, value in dict(given or {}).items()
            ]
        if not altered:
            raise TypeError("alter_configs() takes changes, append or subtract")
        self._core.alter_configs(
            _resource(resource), str(name), altered, self._limit(timeout), validate_only
        )

    def list_offsets(
        self,
        partitions: str | Iterable[Partition],
        at: Literal["earliest", "latest", "max_timestamp"] | datetime | int = "latest",
        *,
        timeout: Duration | None = None,
    ) -> dict[TopicPartition, int | None]:
        """For each partition the offset where its log starts or ends, or that belongs to a time.

        Parameters
        ----------
        partitions : str or iterable of (str, int)
            A topic, or single partitions.
        at : {"earliest", "latest", "max_timestamp"} or datetime or int
            The log's start; the offset of the next record; the record with the latest timestamp;
            or the first record that is not older than a moment (milliseconds since 1970, if it is
            a number).
        timeout : timedelta or float, optional
            How long it may take, in seconds.

        Returns
        -------
        dict of TopicPartition to int or None
            None where there is no such record.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     with cluster.producer() as producer:
        ...         _ = producer.send_many("orders", [b"tea", b"coffee"])
        ...     admin.list_offsets("orders")
        {TopicPartition(topic='orders', partition=0): 2}
        """
        moment = _moment(at)
        limit = self._limit(timeout)
        topics: dict[str, list[int] | None] = {}
        if isinstance(partitions, str):
            topics[partitions] = None
        else:
            for topic, wanted in _by_topic(partitions).items():
                topics[topic] = wanted
        found: dict[TopicPartition, int | None] = {}
        for topic, chosen in topics.items():
            offsets = dict(self._core.list_offsets(topic, moment, limit))
            for partition in offsets if chosen is None else chosen:
                if partition not in offsets:
                    raise _no_partition(topic, partition, len(offsets))
                offset = offsets[partition]
                found[TopicPartition(topic, partition)] = None if offset < 0 else offset
        return found

    def delete_records(
        self,
        before: Mapping[Partition, int | Literal["latest"]],
        *,
        timeout: Duration | None = None,
    ) -> dict[TopicPartition, int]:
        """Delete the records before an offset, and return where each log starts then.

        Parameters
        ----------
        before : mapping of (str, int) to int or "latest"
            The first offset that stays; ``"latest"`` deletes all that are committed.
        timeout : timedelta or float, optional
            How long it may take, in seconds.

        Raises
        ------
        pabal.errors.OffsetOutOfRangeError
            If an offset lies behind the log's end.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     with cluster.producer() as producer:
        ...         _ = producer.send_many("orders", [b"tea", b"coffee"])
        ...     admin.delete_records({("orders", 0): 1})
        {TopicPartition(topic='orders', partition=0): 1}
        """
        limit = self._limit(timeout)
        by_topic: dict[str, list[tuple[int, int]]] = {}
        for partition, offset in mapping_of(before, "offsets by partition").items():
            topic, index = _place(partition)
            by_topic.setdefault(topic, []).append(
                (index, _HIGH_WATERMARK if offset == "latest" else _offset(offset))
            )
        return {
            TopicPartition(topic, index): start
            for topic, asked in by_topic.items()
            for index, start in self._core.delete_records(topic, asked, limit)
        }

    def list_groups(self, *, timeout: Duration | None = None) -> list[GroupListing]:
        """All groups of the cluster, by id.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     admin.list_groups()
        []
        """
        return [GroupListing(*one) for one in self._core.list_groups(self._limit(timeout))]

    def describe_group(
        self, group_id: str, *, timeout: Duration | None = None
    ) -> GroupDescription:
        """A group and its members.

        Raises
        ------
        pabal.errors.GroupIdNotFoundError
            If there is no such group.
        """
        kind, state, assignor, coordinator, epoch, members = self._core.describe_group(
            group_id, self._limit(timeout)
        )
        return GroupDescription(
            group_id,
            kind,
            state,
            assignor,
            coordinator,
            epoch,
            tuple(GroupMember.told(*member) for member in members),
        )

    def group(self, group_id: str) -> Group:
        """The group as an object, which need not exist yet: its lag, its partitions..."""
        return Group(lambda: self._core, group_id)

    def delete_group(self, group_id: str, *, timeout: Duration | None = None) -> None:
        """Delete a group with its offsets.

        Raises
        ------
        pabal.errors.NonEmptyGroupError
            If it still has members.
        pabal.errors.GroupIdNotFoundError
            If there is no such group.
        """
        self._core.delete_group(group_id, self._limit(timeout))

    def list_group_offsets(
        self, group_id: str, *, timeout: Duration | None = None
    ) -> dict[TopicPartition, int]:
        """Where a group goes on, for every partition that it has committed."""
        return {
            TopicPartition(topic, partition): offset
            for topic, partition, offset in self._core.committed_offsets(
                group_id, self._limit(timeout)
            )
            if offset >= 0
        }

    def alter_group_offsets(
        self,
        group_id: str,
        offsets: Mapping[Partition, int],
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Let a group without members go on at these offsets.

        Raises
        ------
        pabal.errors.NonEmptyGroupError
            If it has members.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     admin.create_topic("orders")
        ...     admin.alter_group_offsets("kitchen", {("orders", 0): 7})
        ...     admin.list_group_offsets("kitchen")
        {TopicPartition(topic='orders', partition=0): 7}
        """
        given = mapping_of(offsets, "offsets by partition")
        self._core.commit_offsets(
            group_id,
            [(*_place(partition), _offset(offset)) for partition, offset in given.items()],
            self._limit(timeout),
        )

    def reset_group_offsets(
        self,
        group_id: str,
        *topics: str,
        to: Any,
        partitions: Iterable[int] | None = None,
        dry_run: bool = False,
        timeout: Duration | None = None,
    ) -> dict[TopicPartition, int]:
        """Let a group go on elsewhere, as `Group.reset` does; the new offsets are returned."""
        places = self.group(group_id).reset(
            *topics,
            to=to,
            partitions=partitions,
            dry_run=dry_run,
            timeout=self._limit(timeout),
        )
        return {TopicPartition(*place): offset for place, offset in places.items()}

    def delete_group_offsets(
        self,
        group_id: str,
        partitions: Iterable[Partition],
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Forget what a group has committed for these partitions.

        Raises
        ------
        pabal.errors.GroupSubscribedToTopicError
            If members of it read the topic.
        pabal.errors.GroupIdNotFoundError
            If there is no such group.
        """
        limit = self._limit(timeout)
        for topic, indexes in _by_topic(partitions).items():
            self._core.delete_offsets(group_id, topic, indexes, limit)

    def elect_leaders(
        self,
        partitions: Iterable[Partition] | None = None,
        *,
        unclean: bool = False,
        timeout: Duration | None = None,
    ) -> list[TopicPartition]:
        """Give partitions to their preferred leaders (KIP-460).

        Parameters
        ----------
        partitions : iterable of (str, int), optional
            Which ones; all without it.
        unclean : bool
            Instead, let a replica that is out of sync lead where nobody does. Records that it does
            not have are lost.
        timeout : timedelta or float, optional
            How long it may take, in seconds.

        Returns
        -------
        list of TopicPartition
            Those that have another leader now.

        Raises
        ------
        pabal.errors.PreferredLeaderNotAvailableError, pabal.errors.KafkaError
            The first reason why a partition has not the leader that it should; the message names
            it. Others may have theirs all the same.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     admin.create_topic("orders")
        ...     admin.elect_leaders()
        []
        """
        asked = None if partitions is None else [_place(one) for one in partitions]
        outcomes = self._core.elect_leaders(unclean, asked, self._limit(timeout))
        return _changed(one for one in outcomes if one[2] != _ELECTION_NOT_NEEDED)

    def alter_partition_reassignments(
        self,
        replicas: Mapping[Partition, Sequence[int] | None],
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Move partitions to other brokers (KIP-455); `list_partition_reassignments` tells how far.

        Parameters
        ----------
        replicas : mapping of (str, int) to sequence of int or None
            Ids of the brokers that shall hold a partition, the preferred leader first. None ends
            a move that is under way.
        timeout : timedelta or float, optional
            How long it may take to begin, in seconds.

        Raises
        ------
        pabal.errors.KafkaError
            The first reason why a partition cannot be moved; the message names it.

        Examples
        --------
        >>> from pabal import Cluster
        >>> with Cluster(brokers=3) as cluster, cluster.admin() as admin:
        ...     admin.create_topic("orders", replicas=[[0]])
        ...     admin.alter_partition_reassignments({("orders", 0): [1]})
        """
        asked = [
            (*_place(partition), None if brokers is None else _broker_ids(brokers))
            for partition, brokers in mapping_of(replicas, "brokers by partition").items()
        ]
        if asked:
            _changed(self._core.alter_reassignments(asked, self._limit(timeout)))

    def list_partition_reassignments(
        self,
        partitions: Iterable[Partition] | None = None,
        *,
        timeout: Duration | None = None,
    ) -> dict[TopicPartition, Reassignment]:
        """The moves that are under way, of these partitions or of all."""
        asked = None if partitions is None else [_place(one) for one in partitions]
        return {
            TopicPartition(topic, partition): Reassignment(
                tuple(replicas), tuple(adding), tuple(removing)
            )
            for topic, partition, replicas, adding, removing in self._core.list_reassignments(
                asked, self._limit(timeout)
            )
        }

    def describe_log_dirs(
        self, brokers: Iterable[int] | None = None, *, timeout: Duration | None = None
    ) -> dict[int, tuple[LogDir, ...]]:
        """The log directories of these brokers, or of all, and how large the replicas are.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     admin.create_topic("orders")
        ...     (directory,) = admin.describe_log_dirs()[0]
        ...     directory.replicas["orders", 0].size
        0
        """
        from pabal import errors

        found: dict[int, tuple[LogDir, ...]] = {}
        for broker, path, code, total, usable, replicas in self._core.describe_log_dirs(
            None if brokers is None else _broker_ids(brokers), self._limit(timeout)
        ):
            directory = LogDir(
                path,
                None if code == 0 else errors.error_class(code)(None),
                None if total < 0 else total,
                None if usable < 0 else usable,
                {
                    TopicPartition(topic, index): ReplicaSize(size, lag, future)
                    for topic, index, size, lag, future in replicas
                },
            )
            found[broker] = (*found.get(broker, ()), directory)
        return found

    def describe_cluster(
        self, *, fenced: bool = False, timeout: Duration | None = None
    ) -> ClusterDescription:
        """The cluster's id and its brokers.

        Parameters
        ----------
        fenced : bool
            Whether also those that are registered, but do not serve (KIP-1073).
        timeout : timedelta or float, optional
            How long it may take, in seconds.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     [broker.id for broker in admin.describe_cluster().brokers]
        [0]
        """
        cluster_id, controller, brokers = self._core.describe_cluster(
            fenced, self._limit(timeout)
        )
        return ClusterDescription(
            cluster_id, controller, tuple(BrokerNode(*broker) for broker in brokers)
        )

    def describe_quorum(self, *, timeout: Duration | None = None) -> QuorumDescription:
        """The metadata quorum: who leads it, and how far its nodes are.

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     quorum = admin.describe_quorum()
        ...     quorum.leader, [voter.id for voter in quorum.voters]
        (0, [0])
        """
        leader, epoch, high_watermark, voters, observers = self._core.quorum(
            self._limit(timeout)
        )
        return QuorumDescription(
            leader,
            epoch,
            high_watermark,
            tuple(_quorum_replica(*one) for one in voters),
            tuple(_quorum_replica(*one) for one in observers),
        )

    def describe_features(self, *, timeout: Duration | None = None) -> FeatureDescription:
        """The features that the cluster has agreed on, and those it could (KIP-584).

        Examples
        --------
        >>> with _example_cluster() as cluster, cluster.admin() as admin:
        ...     "metadata.version" in admin.describe_features().finalized
        True
        """
        finalized, supported, epoch = self._core.describe_features(self._limit(timeout))
        return FeatureDescription(
            {name: most for name, _, most in finalized},
            {name: (least, most) for name, least, most in supported},
            epoch,
        )

    def update_features(
        self,
        levels: Mapping[str, int],
        *,
        downgrade: Literal["safe", "unsafe"] | None = None,
        validate_only: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        """Raise features to other levels, or lower them (KIP-584).

        Parameters
        ----------
        levels : mapping of str to int
            The new level of each feature; 0 takes it away.
        downgrade : {"safe", "unsafe"}, optional
            Whether levels may become lower; unsafely, metadata may be lost by that.
        validate_only : bool
            Only say whether they could be changed.
        timeout : timedelta or float, optional
            How long it may take, in seconds.

        Raises
        ------
        pabal.errors.FeatureUpdateFailedError, pabal.errors.InvalidUpdateVersionError
            If a feature is unknown or cannot have that level.
        """
        if downgrade not in _UPGRADE_TYPES:
            raise ValueError(f'downgrade is "safe", "unsafe" or None, not {downgrade!r}')
        for name, level in mapping_of(levels, "levels by feature").items():
            if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level < 2**15:
                raise ValueError(f"the level of {name} is a number from 0, not {level!r}")
        self._core.update_features(
            [(name, level, _UPGRADE_TYPES[downgrade]) for name, level in levels.items()],
            validate_only,
            self._limit(timeout),
        )

    def close(self) -> None:
        """End the client. Twice is fine."""
        self._closed = True
        _open_admins.discard(self)
        self._core.close()

    def _limit(self, timeout: Duration | None) -> float:
        return self._call_seconds if timeout is None else seconds(timeout, "timeout")

    def __enter__(self) -> Admin:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<pabal.Admin {self._bootstrap}{' closed' if self._closed else ''}>"

    def __reduce__(self) -> str:
        raise TypeError("an admin client cannot be pickled; make one where it is needed")


def _resource(resource: str) -> int:
    if resource not in CONFIG_RESOURCES:
        raise ValueError(f"settings are of a {', '.join(CONFIG_RESOURCES)}, not {resource!r}")
    return CONFIG_RESOURCES[resource]


def _source(number: int) -> str:
    return CONFIG_SOURCES.get(number, "unknown")


def _place(partition: Partition) -> Partition:
    if (
        isinstance(partition, str)
        or not isinstance(partition, Sequence)
        or len(partition) != 2
        or not isinstance(partition[0], str)
        or isinstance(partition[1], bool)
        or not isinstance(partition[1], int)
    ):
        raise TypeError(f'a partition is a pair like ("orders", 0), not {partition!r}')
    return partition[0], partition[1]


def _by_topic(partitions: Iterable[Partition]) -> dict[str, list[int]]:
    topics: dict[str, list[int]] = {}
    for partition in partitions:
        topic, index = _place(partition)
        topics.setdefault(topic, []).append(index)
    return topics


def _offset(offset: object) -> int:
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise ValueError(f"an offset is a number from 0, not {offset!r}")
    return offset


def _moment(at: object) -> int:
    if isinstance(at, str) and at in _PLACES:
        return _PLACES[at]
    if isinstance(at, datetime):
        return int(at.timestamp() * 1000)
    if isinstance(at, int) and not isinstance(at, bool) and at >= 0:
        return at
    raise ValueError(
        f"at is {', '.join(map(repr, _PLACES))}, a datetime or milliseconds since 1970, not {at!r}"
    )


def _broker_ids(brokers: Iterable[int]) -> list[int]:
    ids = list(brokers)
    for broker in ids:
        if isinstance(broker, bool) or not isinstance(broker, int):
            raise TypeError(f"a broker's id is a number, not {broker!r}")
    return ids


def _replicas(replicas: Sequence[Sequence[int]] | None) -> list[list[int]]:
    return [_broker_ids(brokers) for brokers in replicas or ()]


def _no_partition(topic: str, partition: int, count: int) -> Exception:
    from pabal.errors import UnknownTopicOrPartitionError

    return UnknownTopicOrPartitionError(f"{topic} has no partition {partition}; it has {count}")


def _changed(outcomes: Iterable[tuple[str, int, int, str]]) -> list[TopicPartition]:
    """The partitions of ``outcomes``, unless one of them is an error."""
    changed: list[TopicPartition] = []
    for topic, partition, code, message in outcomes:
        if code != 0:
            from pabal import errors

            raise errors.error_class(code)(f"{topic}-{partition}: {message}")
        changed.append(TopicPartition(topic, partition))
    return changed


def _quorum_replica(
    node: int, directory: str, end: int, fetched: int, caught_up: int
) -> QuorumReplica:
    return QuorumReplica(node, directory, end, _time(fetched), _time(caught_up))


def _time(milliseconds: int) -> datetime | None:
    if milliseconds < 0:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def _example_cluster() -> Any:
    from pabal.cluster import Cluster

    return Cluster()


_open_admins: weakref.WeakSet[Admin] = weakref.WeakSet()


@atexit.register
def _close_open_admins() -> None:
    for admin in list(_open_admins):
        admin.close()
