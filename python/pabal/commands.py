"""What ``pabal topic``, ``group``, ``config`` and ``cluster`` do; the first three on Kafka's, too.

Imports little: most of the time that such a command takes is the interpreter's start.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pabal import _core
from pabal.errors import (
    GroupIdNotFoundError,
    InvalidConfigError,
    PabalError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from pabal.properties import CONFIG_RESOURCES, CONFIG_SOURCES, ConfigOperation
from pabal.terminal import coloured, print_json, print_table

__all__ = [
    "cluster_down",
    "cluster_status",
    "cluster_up",
    "config_get",
    "config_set",
    "config_unset",
    "group_delete",
    "group_describe",
    "group_list",
    "group_reset",
    "topic_alter",
    "topic_create",
    "topic_delete",
    "topic_describe",
    "topic_list",
]

if TYPE_CHECKING:
    from pabal.background import BackgroundCluster

_PORT = 9092  # Where a client looks that is told nothing.
_SET_ON_TOPIC = 1
_DEFAULT = 5
_LOG_START = -2
_LOG_END = -1


def topic_list(options: Namespace) -> int:
    """Print the names of all topics."""
    with _admin(options) as admin:
        topics = sorted(admin.list_topics(options.timeout))
    if options.json:
        return print_json([{"name": name, "id": topic_id} for name, topic_id in topics])
    for name, _ in topics:
        print(name)
    return 0


def topic_create(options: Namespace) -> int:
    """Create a topic."""
    configs = list(_pairs(options.config))
    with _admin(options) as admin:
        try:
            topic_id = admin.create_topic(
                options.name,
                options.partitions,
                options.replication_factor,
                configs,
                options.timeout,
            )
        except TopicAlreadyExistsError:
            if not options.if_not_exists:
                raise
            topic_id = admin.describe_topic(options.name, options.timeout).id
        except InvalidConfigError as error:
            raise _with_nearest_config(error, (name for name, _ in configs)) from error
        partitions = len(admin.describe_topic(options.name, options.timeout).partitions)
    if options.json:
        return print_json({"name": options.name, "id": topic_id, "partitions": partitions})
    print(f"{options.name} has {partitions} partition{'' if partitions == 1 else 's'}")
    return 0


def topic_describe(options: Namespace) -> int:
    """Print where the partitions of topics are, what is in them, and what is set on them."""
    described: list[dict[str, Any]] = []
    with _admin(options) as admin:
        for name in options.names:
            with _nearest_topic(admin, name):
                topic = admin.describe_topic(name, options.timeout)
            starts = dict(admin.list_offsets(name, _LOG_START, options.timeout))
            ends = dict(admin.list_offsets(name, _LOG_END, options.timeout))
            configs = admin.describe_configs(CONFIG_RESOURCES["topic"], name, options.timeout)
            described.append(
                {
                    "name": name,
                    "id": topic.id,
                    "config": {key: text for key, text, at, *_ in configs if at == _SET_ON_TOPIC},
                    "partitions": [
                        {
                            "partition": index,
                            "leader": leader,
                            "leader_epoch": epoch,
                            "replicas": replicas,
                            "isr": isr,
                            "log_start_offset": starts[index],
                            "log_end_offset": ends[index],
                        }
                        for index, leader, epoch, replicas, isr in topic.partitions
                    ],
                }
            )
    if options.json:
        return print_json(described)
    for number, one in enumerate(described):
        if number:
            print()
        print(coloured(f"{one['name']}  {one['id']}", "bold"))
        for key, value in one["config"].items():
            print(f"  {key}={value}")
        print_table(
            ("PARTITION", "LEADER", "REPLICAS", "IN SYNC", "LOG START", "LOG END"),
            [
                (
                    str(row["partition"]),
                    "none" if row["leader"] < 0 else str(row["leader"]),
                    _commas(row["replicas"]),
                    _commas(row["isr"]),
                    str(row["log_start_offset"]),
                    str(row["log_end_offset"]),
                )
                for row in one["partitions"]
            ],
            [
                (
                    *("", "red" if row["leader"] < 0 else "", ""),
                    "yellow" if len(row["isr"]) < len(row["replicas"]) else "",
                    *("", ""),
                )
                for row in one["partitions"]
            ],
        )
    return 0


def topic_alter(options: Namespace) -> int:
    """Give a topic more partitions."""
    with _admin(options) as admin, _nearest_topic(admin, options.name):
        admin.create_partitions(options.name, options.partitions, options.timeout)
    if options.json:
        return print_json({"name": options.name, "partitions": options.partitions})
    print(f"{options.name} has {options.partitions} partitions")
    return 0


def topic_delete(options: Namespace) -> int:
    """Delete topics."""
    with _admin(options) as admin:
        for name in options.names:
            with _nearest_topic(admin, name):
                admin.delete_topic(name, options.timeout)
            if not options.json:
                print(f"deleted {name}")
    return print_json({"deleted": options.names}) if options.json else 0


def group_list(options: Namespace) -> int:
    """Print all groups and their states."""
    with _admin(options) as admin:
        groups = admin.list_groups(options.timeout)
    if options.json:
        return print_json(
            [
                {"id": name, "type": kind, "protocol_type": protocol, "state": state}
                for name, kind, protocol, state in groups
            ]
        )
    if options.names:
        for name, *_ in groups:
            print(name)
    elif groups:
        print_table(
            ("GROUP", "TYPE", "STATE"),
            [(name, kind or "–", state) for name, kind, _, state in groups],
        )
    return 0


def group_describe(options: Namespace) -> int:
    """Print who is in groups, and how far behind they are."""
    from pabal.group import Group

    described: list[dict[str, Any]] = []
    with _admin(options) as admin:
        for name in options.names:
            group = Group(lambda: admin, name)
            with _nearest_group(admin, name, options.timeout):
                kind, state, assignor, coordinator, epoch, _ = admin.describe_group(
                    name, options.timeout
                )
            described.append(
                {
                    "id": name,
                    "type": kind,
                    "state": state,
                    "epoch": epoch,
                    "assignor": assignor,
                    "coordinator": coordinator,
                    "members": [
                        {"id": one.id, "client_id": one.client_id, "host": one.host}
                        for one in group.members
                    ],
                    "partitions": [
                        {
                            "topic": one.topic,
                            "partition": one.partition,
                            "committed": one.committed,
                            "log_end_offset": one.end,
                            "lag": one.lag,
                            "member": one.member.id if one.member else None,
                        }
                        for one in group.partitions(timeout=options.timeout)
                    ],
                }
            )
    if options.json:
        return print_json(described)
    for number, one in enumerate(described):
        if number:
            print()
        assignor = f", {one['assignor']}" if one["assignor"] else ""
        title = f"{one['id']}  {one['state']}{assignor}, coordinator {one['coordinator']}"
        print(coloured(title, "bold"))
        if one["partitions"]:
            print_table(
                ("TOPIC", "PARTITION", "COMMITTED", "LOG END", "LAG", "MEMBER"),
                [
                    tuple("–" if cell is None else str(cell) for cell in row.values())
                    for row in one["partitions"]
                ],
                [
                    ("", "", "", "", "yellow" if row["lag"] else "", "")
                    for row in one["partitions"]
                ],
            )
    return 0


def group_reset(options: Namespace) -> int:
    """Let a group go on elsewhere."""
    from pabal.group import Group
    from pabal.reset import parse_place

    places: dict[tuple[str, int], int] = {}
    try:
        to = parse_place(options.to)
        topics = [topic_partitions(word) for word in options.topics]
        with _admin(options) as admin:
            group = Group(lambda: admin, options.name)
            for topic, partitions in topics:
                with _nearest_topic(admin, topic):
                    new = group.reset(
                        topic,
                        to=to,
                        partitions=partitions,
                        dry_run=options.dry_run,
                        timeout=options.timeout,
                    )
                places.update(new)
            if not topics:
                places = group.reset(to=to, dry_run=options.dry_run, timeout=options.timeout)
    except ValueError as error:
        raise PabalError(str(error)) from error
    if options.json:
        return print_json(
            [
                {"topic": topic, "partition": partition, "offset": offset}
                for (topic, partition), offset in places.items()
            ]
        )
    print_table(
        ("TOPIC", "PARTITION", "OFFSET"),
        [(topic, str(partition), str(offset)) for (topic, partition), offset in places.items()],
    )
    return 0


def topic_partitions(word: str) -> tuple[str, list[int] | None]:
    """``orders:0,2`` taken apart; None stands for all partitions.

    Examples
    --------
    >>> topic_partitions("orders:0,2"), topic_partitions("orders")
    (('orders', [0, 2]), ('orders', None))
    """
    topic, colon, numbers = word.partition(":")
    if not colon:
        return topic, None
    try:
        return topic, [int(number) for number in numbers.split(",")]
    except ValueError:
        raise PabalError(f"partitions are written {topic}:0,1, not {word}") from None


def group_delete(options: Namespace) -> int:
    """Delete groups with their offsets."""
    with _admin(options) as admin:
        for name in options.names:
            with _nearest_group(admin, name, options.timeout):
                admin.delete_group(name, options.timeout)
            if not options.json:
                print(f"deleted {name}")
    return print_json({"deleted": options.names}) if options.json else 0


def config_get(options: Namespace) -> int:
    """Print settings: those named, or those that are not defaults, or all."""
    with _resource(options) as admin:
        configs = admin.describe_configs(
            CONFIG_RESOURCES[options.resource], options.name, options.timeout
        )
    known = {name for name, *_ in configs}
    for key in options.keys:
        if key not in known:
            raise PabalError(f"a {options.resource} has no setting {key}{_nearest(key, known)}")
    shown = [
        (name, None if secret else value, CONFIG_SOURCES.get(source, "unknown"))
        for name, value, source, _read_only, secret, _synonyms in sorted(configs)
        if (name in options.keys if options.keys else options.all or source != _DEFAULT)
    ]
    if options.json:
        return print_json(
            [{"name": name, "value": value, "from": source} for name, value, source in shown]
        )
    if options.keys and len(shown) == 1:
        print(shown[0][1] if shown[0][1] is not None else "(hidden)")
    elif shown:
        print_table(
            ("NAME", "VALUE", "FROM"),
            [(name, "(hidden)" if value is None else value, at) for name, value, at in shown],
        )
    return 0


def config_set(options: Namespace) -> int:
    """Change settings."""
    return _alter(options, list(_pairs(options.changes)))


def config_unset(options: Namespace) -> int:
    """Take settings back to their defaults."""
    return _alter(options, [(key, None) for key in options.keys])


def _alter(options: Namespace, changes: Sequence[tuple[str, str | None]]) -> int:
    with _resource(options) as admin:
        try:
            admin.alter_configs(
                CONFIG_RESOURCES[options.resource],
                options.name,
                [ConfigOperation.change(name, value) for name, value in changes],
                options.timeout,
            )
        except InvalidConfigError as error:
            raise _with_nearest_config(error, (name for name, _ in changes)) from error
    if options.json:
        return print_json(dict(changes))
    for name, value in changes:
        print(f"{name} is back to its default" if value is None else f"{name}={value}")
    return 0


def cluster_up(options: Namespace) -> int:
    """Let a cluster run in the background."""
    from pabal.background import BackgroundCluster, clusters, locked
    from pabal.properties import broker_properties

    config = broker_properties(dict(_pairs(options.config)))
    with locked():
        is_new = options.name not in clusters()
        if not is_new:
            cluster = BackgroundCluster.load(options.name)
            if options.brokers not in (None, len(cluster.brokers)):
                raise PabalError(
                    f"{options.name} has {len(cluster.brokers)} brokers; to begin anew with "
                    f"{options.brokers}: pabal cluster down {options.name} --delete"
                )
            if options.port is not None or options.data_dir is not None:
                raise PabalError(
                    f"{options.name} is there, and stays where it is; "
                    "--port and --data-dir are for a new cluster"
                )
            if config.items() - cluster.config.items():
                if any(broker.is_running for broker in cluster.brokers):
                    raise PabalError(
                        f"{options.name} runs with other settings; first: "
                        f"pabal cluster down {options.name}"
                    )
                cluster.config.update(config)
        else:
            cluster = BackgroundCluster.create(
                options.name,
                1 if options.brokers is None else options.brokers,
                _PORT if options.port is None else options.port,
                options.data_dir,
                config,
            )
        try:
            cluster.start(options.timeout)
        except BaseException:
            if is_new:
                cluster.forget()
            raise
    if options.json:
        return print_json(_cluster_document(cluster))
    print(f"{options.name} runs: {cluster.bootstrap_servers}")
    return 0


def cluster_status(options: Namespace) -> int:
    """Print which brokers run; the exit status is 1 if one does not."""
    from pabal.background import BackgroundCluster, clusters

    found = [BackgroundCluster.load(name) for name in options.cluster_names or clusters()]
    running = all(cluster.is_running for cluster in found)
    if options.names:
        for cluster in found:
            print(cluster.name)
    elif options.json:
        print_json([_cluster_document(cluster) for cluster in found])
    elif found:
        rows = [(cluster, broker) for cluster in found for broker in cluster.brokers]
        print_table(
            ("CLUSTER", "BROKER", "ADDRESS", "STATE", "PID", "DIRECTORY"),
            [
                (
                    *(cluster.name, str(broker.id), broker.address),
                    *(("runs", str(broker.pid)) if broker.is_running else ("down", "–")),
                    broker.directory,
                )
                for cluster, broker in rows
            ],
            [
                ("", "", "", "green" if broker.is_running else "red", "", "")
                for _, broker in rows
            ],
        )
    return 0 if running else 1


def cluster_down(options: Namespace) -> int:
    """Shut a background cluster down; its data stay unless they are to be deleted."""
    from pabal.background import BackgroundCluster, locked

    with locked():
        cluster = BackgroundCluster.load(options.name)
        ended = cluster.stop(options.timeout)
        if options.delete:
            cluster.delete()
    if options.json:
        return print_json({"name": options.name, "ended": [broker.id for broker in ended]})
    what = "is down" if ended else "was down"
    print(f"{options.name} {what}{', its data are deleted' if options.delete else ''}")
    return 0


def _cluster_document(cluster: BackgroundCluster) -> dict[str, Any]:
    return {
        "name": cluster.name,
        "cluster_id": cluster.cluster_id,
        "bootstrap_servers": cluster.bootstrap_servers,
        "brokers": [
            {
                "id": broker.id,
                "address": broker.address,
                "running": broker.is_running,
                "pid": broker.pid if broker.is_running else None,
                "directory": broker.directory,
                "log": str(cluster.log(broker)),
            }
            for broker in cluster.brokers
        ],
    }


@contextmanager
def _admin(options: Namespace) -> Iterator[_core.Admin]:
    servers = options.bootstrap_server or os.environ.get("PABAL_BOOTSTRAP_SERVER")
    try:
        admin = _core.Admin(servers or "localhost:9092")
    except ValueError as error:
        raise PabalError(str(error)) from error
    try:
        yield admin
    finally:
        admin.close()


@contextmanager
def _resource(options: Namespace) -> Iterator[_core.Admin]:
    """The cluster, whose topics are looked at when ``options`` names one that it has not."""
    with _admin(options) as admin:
        if options.resource == "topic":
            with _nearest_topic(admin, options.name):
                yield admin
        else:
            yield admin


@contextmanager
def _nearest_topic(admin: _core.Admin, name: str) -> Iterator[None]:
    try:
        yield
    except UnknownTopicOrPartitionError as error:
        hint = _nearest(name, (topic for topic, _ in admin.list_topics()))
        raise UnknownTopicOrPartitionError(f"there is no topic {name}{hint}") from error


@contextmanager
def _nearest_group(admin: _core.Admin, name: str, timeout: float) -> Iterator[None]:
    try:
        yield
    except GroupIdNotFoundError as error:
        hint = _nearest(name, (group for group, *_ in admin.list_groups(timeout)))
        raise GroupIdNotFoundError(f"there is no group {name}{hint}") from error


def _with_nearest_config(error: InvalidConfigError, names: Iterable[str]) -> InvalidConfigError:
    """The same error, with the name that was meant for one that is unknown."""
    from pabal.config import TOPIC

    for name in names:
        if name not in TOPIC:
            hint = _nearest(name, TOPIC)
            if hint and "did you mean" not in str(error):
                return InvalidConfigError(f"{error}{hint}")
    return error


def _nearest(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, sorted(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def _pairs(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise PabalError(f"a setting is written NAME=VALUE, not {word}")
        yield name, value


def _commas(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))
