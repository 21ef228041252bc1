"""What `pabal.Admin` answers: topics, settings, groups, directories and the cluster, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pabal.group import GroupMember
from pabal.records import TopicPartition
from pabal.topic import PartitionState

__all__ = [
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


@dataclass(frozen=True)
class TopicDescription:
    """A topic, and where its partitions stand.

    Attributes
    ----------
    name, id : str
        The id is another one when the topic is created again.
    internal : bool
        Whether it is one of the cluster's own, such as ``__consumer_offsets``.
    partitions : tuple of PartitionState
        In the order of their numbers.
    """

    name: str
    id: str
    internal: bool
    partitions: tuple[PartitionState, ...]


@dataclass(frozen=True)
class ConfigEntry:
    """A setting that is in force.

    Attributes
    ----------
    value : str or None
        None if it has none, or is a secret.
    source : str
        Where it was set: ``"topic"``, ``"group"``, ``"broker"``, ``"brokers"`` (for all of them),
        ``"file"`` (server.properties) or ``"default"``.
    read_only, sensitive : bool
        Whether it can be changed at run time, and whether it is a secret.
    synonyms : tuple of (str, str or None, str)
        Name, value and source of what would be in force in turn; the first one is.
    """

    value: str | None
    source: str
    read_only: bool
    sensitive: bool
    synonyms: tuple[tuple[str, str | None, str], ...]


@dataclass(frozen=True)
class GroupListing:
    """A group as it is listed.

    Attributes
    ----------
    id : str
        Its ``group.id``.
    type : str
        ``"classic"``, or ``"consumer"`` for the protocol of KIP-848; empty from old brokers.
    protocol_type : str
        What its members are: ``"consumer"``, ``"connect"``...
    state : str
        Kafka's word, e.g. ``"Stable"``.
    """

    id: str
    type: str
    protocol_type: str
    state: str


@dataclass(frozen=True)
class GroupDescription:
    """A group with its members.

    Attributes
    ----------
    id, type, state, assignor : str
        As in `GroupListing`; the assignor is empty while there is none.
    coordinator : int
        Id of the broker that coordinates it.
    epoch : int
        How often a consumer group has changed; -1 of a classic one.
    members : tuple of GroupMember
        Who is in it.
    """

    id: str
    type: str
    state: str
    assignor: str
    coordinator: int
    epoch: int
    members: tuple[GroupMember, ...]


@dataclass(frozen=True)
class Reassignment:
    """A partition whose replicas are on the move.

    Attributes
    ----------
    replicas, adding, removing : tuple of int
        Ids of the brokers that hold it now, of those that are to, and of those that are to no more.
    """

    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


@dataclass(frozen=True)
class ReplicaSize:
    """How large one replica is.

    Attributes
    ----------
    size : int
        Bytes of its log.
    offset_lag : int
        How many offsets it is behind the high watermark.
    is_future : bool
        Whether it is being copied there from another directory.
    """

    size: int
    offset_lag: int
    is_future: bool


@dataclass(frozen=True)
class LogDir:
    """A directory in which a broker keeps logs.

    Attributes
    ----------
    path : str
        Where it is on the broker's machine.
    error : Exception or None
        Why it cannot be used, if so.
    total_bytes, usable_bytes : int or None
        Of the volume; None if the broker does not tell.
    replicas : dict of TopicPartition to ReplicaSize
        What is in it.
    """

    path: str
    error: Exception | None
    total_bytes: int | None
    usable_bytes: int | None
    replicas: dict[TopicPartition, ReplicaSize]


@dataclass(frozen=True)
class BrokerNode:
    """A broker as clients reach it.

    Attributes
    ----------
    id, host, port : int, str, int
        Where it listens.
    rack : str or None
        Its ``broker.rack``.
    is_fenced : bool
        Whether it is registered, but does not serve.
    """

    id: int
    host: str
    port: int
    rack: str | None
    is_fenced: bool


@dataclass(frozen=True)
class ClusterDescription:
    """A cluster and its brokers.

    Attributes
    ----------
    cluster_id : str
        Its id.
    controller : int
        A broker that takes requests to the controller; any does. `Admin.describe_quorum` tells
        which controller is active.
    brokers : tuple of BrokerNode
        In the order of their ids.
    """

    cluster_id: str
    controller: int
    brokers: tuple[BrokerNode, ...]


@dataclass(frozen=True)
class QuorumReplica:
    """How far a node has the metadata log.

    Attributes
    ----------
    id, directory_id : int, str
        Which node, and which of its directories.
    log_end_offset : int
        Behind the last record that it has.
    last_fetch, last_caught_up : datetime or None
        When it last fetched, and when it last had all that the leader had.
    """

    id: int
    directory_id: str
    log_end_offset: int
    last_fetch: datetime | None
    last_caught_up: datetime | None


@dataclass(frozen=True)
class QuorumDescription:
    """The metadata quorum, as its leader sees it.

    Attributes
    ----------
    leader, leader_epoch : int
        The active controller's id, and which one it is.
    high_watermark : int
        Up to where the metadata log is committed.
    voters, observers : tuple of QuorumReplica
        Who elects the leader, and who follows only.
    """

    leader: int
    leader_epoch: int
    high_watermark: int
    voters: tuple[QuorumReplica, ...]
    observers: tuple[QuorumReplica, ...]


@dataclass(frozen=True)
class FeatureDescription:
    """The levels of the cluster's features.

    Attributes
    ----------
    finalized : dict of str to int
        What the cluster has agreed on.
    supported : dict of str to (int, int)
        What the broker that was asked could do.
    epoch : int
        The metadata offset of the last change.
    """

    finalized: dict[str, int]
    supported: dict[str, tuple[int, int]]
    epoch: int
