"""Kafka's own command lines: ``pabal kafka-topics …`` for whoever has them in the fingers.

The options, what is printed and the exit status are Kafka's, as far as a tool is served; an option
that is not served is refused by name.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from pabal import _core
from pabal.commands import topic_partitions
from pabal.errors import GroupIdNotFoundError, PabalError, TopicAlreadyExistsError
from pabal.group import Group
from pabal.properties import ConfigOperation
from pabal.reset import Place, Shift, parse_place

__all__ = ["main"]

_RESOURCES = {"topics": 2, "brokers": 4}
_SET_HERE = {"topics": {1}, "brokers": {2}}
_SOURCES = {
    1: "DYNAMIC_TOPIC_CONFIG",
    2: "DYNAMIC_BROKER_CONFIG",
    3: "DYNAMIC_DEFAULT_BROKER_CONFIG",
    4: "STATIC_BROKER_CONFIG",
    5: "DEFAULT_CONFIG",
}
_LOG_START = -2
_LOG_END = -1
_MAX_TIMESTAMP = -3


class _Parser(argparse.ArgumentParser):
    """Wrong usage ends with status 1, as with Kafka's tools."""

    def error(self, message: str) -> NoReturn:
        print(f"{message}\n{self.format_usage()}", file=sys.stderr, end="")
        raise SystemExit(1)


def main(tool: str, arguments: Sequence[str]) -> int:
    """Run one of Kafka's tools; the exit status is returned.

    Examples
    --------
    >>> main("kafka-frobnicate", [])
    1
    """
    tool = tool.removesuffix(".sh")
    if tool not in _TOOLS:
        served = ", ".join(sorted(_TOOLS))
        print(f"pabal: {tool} is not served; there are {served}", file=sys.stderr)
        return 1
    run: Callable[[Sequence[str]], int] = _TOOLS[tool]
    try:
        return run(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    except KeyboardInterrupt:
        return 130
    except (PabalError, OSError, ValueError, TypeError) as error:
        print(f"Error while executing {tool} command : {error}", file=sys.stderr)
        return 1


def _parser(tool: str, actions: Sequence[str] = ()) -> _Parser:
    parser = _Parser(prog=tool, allow_abbrev=False)
    parser.add_argument("--bootstrap-server", metavar="HOST:PORT")
    parser.add_argument("--timeout", type=float, default=30_000, metavar="MS")
    if actions:
        action = parser.add_mutually_exclusive_group(required=True)
        for name in actions:
            action.add_argument(f"--{name}", action="store_true")
    return parser


def _servers(options: argparse.Namespace) -> str:
    servers = options.bootstrap_server or os.environ.get("PABAL_BOOTSTRAP_SERVER")
    if not servers:
        raise PabalError("give --bootstrap-server HOST:PORT")
    return str(servers)


@contextmanager
def _connected(options: argparse.Namespace) -> Iterator[_core.Admin]:
    admin = _core.Admin(_servers(options))
    try:
        yield admin
    finally:
        admin.close()


def _chosen(
    admin: _core.Admin, pattern: str | None, timeout: float, *, internal: bool = True
) -> list[str]:
    """The topics that ``--topic``, a regular expression, means."""
    names = sorted(name for name, _ in admin.list_topics(timeout, internal))
    if pattern is None:
        return names
    # Kafka takes a comma for an alternative.
    matches = re.compile(pattern.replace(",", "|").strip("\"'"))
    return [name for name in names if matches.fullmatch(name)]


def _kafka_topics(arguments: Sequence[str]) -> int:
    parser = _parser("kafka-topics", ("create", "list", "describe", "alter", "delete"))
    parser.add_argument("--topic")
    parser.add_argument("--partitions", type=int, default=-1)
    parser.add_argument("--replication-factor", type=int, default=-1)
    parser.add_argument("--config", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--if-not-exists", action="store_true")
    parser.add_argument("--if-exists", action="store_true")
    parser.add_argument("--exclude-internal", action="store_true")
    parser.add_argument("--under-replicated-partitions", action="store_true")
    parser.add_argument("--unavailable-partitions", action="store_true")
    options = parser.parse_args(arguments)
    if not options.topic and (options.create or options.alter or options.delete):
        parser.error('Missing required argument "[topic]"')
    limit = options.timeout / 1000
    with _connected(options) as admin:
        if options.create:
            return _create_topic(admin, options, limit)
        names = _chosen(admin, options.topic, limit, internal=not options.exclude_internal)
        if options.topic and not names and not options.if_exists and not options.list:
            raise PabalError(f"Topic '{options.topic}' does not exist as expected")
        for name in names:
            if options.list:
                print(name)
            elif options.describe:
                _describe_topic(admin, name, options, limit)
            elif options.alter:
                admin.create_partitions(name, options.partitions, limit)
            else:
                admin.delete_topic(name, limit)
    return 0


def _create_topic(admin: _core.Admin, options: argparse.Namespace, limit: float) -> int:
    configs = [tuple(word.split("=", 1)) for word in options.config]
    if any(len(pair) != 2 for pair in configs):
        raise PabalError("a config is written NAME=VALUE")
    try:
        admin.create_topic(
            options.topic,
            options.partitions,
            options.replication_factor,
            [(pair[0], pair[1]) for pair in configs],
            limit,
        )
    except TopicAlreadyExistsError:
        if options.if_not_exists:
            return 0
        raise
    print(f"Created topic {options.topic}.")
    return 0


def _describe_topic(
    admin: _core.Admin, name: str, options: argparse.Namespace, limit: float
) -> None:
    topic = admin.describe_topic(name, limit)
    configs = [
        f"{key}={value}"
        for key, value, source, *_ in sorted(admin.describe_configs(2, name, limit))
        if _SOURCES.get(source) != "DEFAULT_CONFIG"
    ]
    only_some = options.under_replicated_partitions or options.unavailable_partitions
    if not only_some:
        print(
            f"Topic: {name}\tTopicId: {topic.id}\tPartitionCount: {len(topic.partitions)}\t"
            f"ReplicationFactor: {len(topic.partitions[0][3])}\tConfigs: {','.join(configs)}"
        )
    for index, leader, _, replicas, isr in topic.partitions:
        if options.under_replicated_partitions and len(isr) >= len(replicas):
            continue
        if options.unavailable_partitions and leader >= 0:
            continue
        print(
            f"\tTopic: {name}\tPartition: {index}\tLeader: {'none' if leader < 0 else leader}\t"
            f"Replicas: {_commas(replicas)}\tIsr: {_commas(isr)}\tElr: \tLastKnownElr: "
        )


def _kafka_configs(arguments: Sequence[str]) -> int:
    parser = _parser("kafka-configs", ("alter", "describe"))
    parser.add_argument("--entity-type", choices=sorted(_RESOURCES))
    parser.add_argument("--entity-name")
    parser.add_argument("--entity-default", action="store_true")
    parser.add_argument("--topic")
    parser.add_argument("--broker")
    parser.add_argument("--add-config", default="", metavar="NAME=VALUE,...")
    parser.add_argument("--delete-config", default="", metavar="NAME,...")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args(arguments)
    kind, name = options.entity_type, options.entity_name
    if options.topic:
        kind, name = "topics", options.topic
    elif options.broker:
        kind, name = "brokers", options.broker
    if kind is None:
        parser.error("At least one entity type must be specified")
    limit = options.timeout / 1000
    one = kind.removesuffix("s")
    with _connected(options) as admin:
        if options.alter:
            if name is None and not options.entity_default:
                parser.error(f"An entity name must be specified with --alter of {kind}")
            changes = [ConfigOperation.change(*pair) for pair in _added(options.add_config)]
            changes += [
                ConfigOperation.change(key.strip(), None)
                for key in options.delete_config.split(",")
                if key
            ]
            if not changes:
                parser.error("At least one of --add-config or --delete-config must be specified")
            admin.alter_configs(_RESOURCES[kind], name or "", changes, limit)
            who = f"{one} {name}" if name else f"default {kind} in the cluster"
            print(f"Completed updating config for {who}.")
            return 0
        names = [name] if name is not None else _chosen(admin, None, limit)
        if kind == "brokers" and name is None:
            names = [""]
        for each in names:
            print(f"{'All' if options.all else 'Dynamic'} configs for {one} {each} are:")
            for key, value, source, _, sensitive, synonyms in sorted(
                admin.describe_configs(_RESOURCES[kind], each, limit)
            ):
                if not options.all and source not in _SET_HERE[kind]:
                    continue
                others = ", ".join(
                    f"{_SOURCES.get(at, 'UNKNOWN')}:{name}={_shown(text)}"
                    for name, text, at in synonyms
                )
                print(
                    f"  {key}={_shown(value)} sensitive={str(sensitive).lower()} "
                    f"synonyms={{{others}}}"
                )
    return 0


def _shown(value: str | None) -> str:
    return "null" if value is None else value


def _added(text: str) -> Iterator[tuple[str, str]]:
    """``a=1,b=[x,y]``: brackets hold commas together."""
    for match in re.finditer(r"([^=,]+)=(\[[^\]]*\]|[^,]*)", text):
        value = match[2]
        yield match[1].strip(), value[1:-1] if value.startswith("[") else value


def _kafka_consumer_groups(arguments: Sequence[str]) -> int:
    actions = ("list", "describe", "delete", "reset-offsets", "delete-offsets")
    parser = _parser("kafka-consumer-groups", actions)
    parser.add_argument("--group", action="append", default=[])
    parser.add_argument("--all-groups", action="store_true")
    parser.add_argument("--topic", action="append", default=[], metavar="TOPIC[:0,1]")
    parser.add_argument("--all-topics", action="store_true")
    parser.add_argument("--state", action="store_true")
    parser.add_argument("--members", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--offsets", action="store_true")
    parser.add_argument("--execute", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    place = parser.add_mutually_exclusive_group()
    for name in ("to-earliest", "to-latest", "to-current"):
        place.add_argument(f"--{name}", action="store_true")
    place.add_argument("--to-offset", type=int)
    place.add_argument("--shift-by", type=int)
    place.add_argument("--to-datetime", metavar="2026-11-21T10:00:00.000")
    place.add_argument("--by-duration", metavar="PT1H")
    options = parser.parse_args(arguments)
    limit = options.timeout / 1000
    with _connected(options) as admin:
        if options.list:
            return _list_groups(admin, options.state, limit)
        groups = options.group or [name for name, *_ in admin.list_groups(limit)]
        if not options.group and not options.all_groups:
            parser.error("One of --group or --all-groups must be specified")
        if options.delete:
            return _delete_groups(admin, groups, limit)
        for name in groups:
            if options.describe:
                _describe_group(admin, name, options, limit)
            elif options.reset_offsets:
                _reset_group(admin, name, options, parser, limit)
            else:
                _delete_offsets(admin, name, options, limit)
    return 0


def _list_groups(admin: _core.Admin, with_state: bool, limit: float) -> int:
    groups = admin.list_groups(limit)
    if with_state:
        print(f"{'GROUP':<25} {'STATE':<20}")
    for name, _, _, state in groups:
        print(f"{name:<25} {state:<20}" if with_state else name)
    return 0


def _delete_groups(admin: _core.Admin, groups: Sequence[str], limit: float) -> int:
    failed: list[str] = []
    for name in groups:
        try:
            admin.delete_group(name, limit)
        except PabalError as error:
            failed.append(f"* Group '{name}' could not be deleted due to: {error}")
    done = [name for name in groups if not any(f"'{name}'" in line for line in failed)]
    if failed:
        print("\nError: Deletion of some consumer groups failed:")
        print("\n".join(failed))
    if done:
        quoted = ", ".join(f"'{name}'" for name in done)
        print(f"Deletion of requested consumer groups ({quoted}) was successful.")
    return 0


def _describe_group(
    admin: _core.Admin, name: str, options: argparse.Namespace, limit: float
) -> None:
    group = Group(lambda: admin, name)
    try:
        _, state, assignor, coordinator, _, members = admin.describe_group(name, limit)
    except GroupIdNotFoundError:
        print(
            "\nError: Executing consumer group command failed due to "
            f"{GroupIdNotFoundError.__name__}: Group {name} not found."
        )
        return
    if not members and not options.state:
        print(f"\nConsumer group '{name}' has no active members.", file=sys.stderr)
    if options.state:
        _print_columns(
            ("GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"),
            [(name, f"({coordinator})", assignor, state, str(len(members)))],
        )
    elif options.members:
        head = ["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"]
        rows = []
        for member in group.members:
            row = [name, member.id, f"/{member.host}", member.client_id]
            row.append(str(len(member.assignment)))
            if options.verbose:
                row.append(_assignment(member.assignment))
            rows.append(tuple(row))
        if options.verbose:
            head.append("CURRENT-ASSIGNMENT")
        if rows:
            _print_columns(tuple(head), rows)
    else:
        rows = [
            (
                name,
                one.topic,
                str(one.partition),
                "-" if one.committed is None else str(one.committed),
                str(one.end),
                "-" if one.lag is None else str(one.lag),
                one.member.id if one.member else "-",
                f"/{one.member.host}" if one.member else "-",
                one.member.client_id if one.member else "-",
            )
            for one in group.partitions(timeout=limit)
        ]
        if rows:
            head_line = "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST"
            _print_columns((*head_line.split(), "CLIENT-ID"), rows)


def _assignment(partitions: Sequence[tuple[str, int]]) -> str:
    topics: dict[str, list[int]] = {}
    for topic, partition in partitions:
        topics.setdefault(topic, []).append(partition)
    return ";".join(f"{topic}:{_commas(which)}" for topic, which in sorted(topics.items())) or "-"


def _reset_group(
    admin: _core.Admin,
    name: str,
    options: argparse.Namespace,
    parser: argparse.ArgumentParser,
    limit: float,
) -> None:
    place = _place(options)
    if place is None:
        parser.error("A reset scenario must be specified, e.g. --to-earliest")
    if not options.topic and not options.all_topics:
        parser.error("One of --topic or --all-topics must be specified")
    group = Group(lambda: admin, name)
    rows = []
    topics = [topic_partitions(word) for word in options.topic] or [("", None)]
    for topic, partitions in topics:
        offsets = group.reset(
            *([topic] if topic else []),
            to=place,
            partitions=partitions,
            dry_run=not options.execute,
            timeout=limit,
        )
        rows += [(name, at, str(index), str(offset)) for (at, index), offset in offsets.items()]
    _print_columns(("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"), rows)


def _place(options: argparse.Namespace) -> Place | None:
    if options.to_earliest:
        return "earliest"
    if options.to_latest:
        return "latest"
    if options.to_current:
        return "current"
    if options.shift_by is not None:
        return Shift(options.shift_by)
    if options.to_datetime is not None:
        zone = re.search(r"(Z|[+-]\d\d:?\d\d)$", options.to_datetime)
        # Kafka's tool takes a time without a zone for UTC.
        return parse_place(options.to_datetime if zone else f"{options.to_datetime}Z")
    if options.by_duration is not None:
        return _iso_duration(options.by_duration)
    offset: int | None = options.to_offset
    return offset


def _iso_duration(text: str) -> Place:
    """ISO 8601's, as far as Java's Duration reads it: ``P1DT2H3M4S``."""
    from datetime import timedelta

    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", text)
    if not match or not any(match.groups()):
        raise PabalError(f"a duration is written like P1D or PT2H30M, not {text}")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _delete_offsets(
    admin: _core.Admin, name: str, options: argparse.Namespace, limit: float
) -> None:
    rows = []
    for topic, partitions in map(topic_partitions, options.topic):
        which = partitions or [index for index, *_ in admin.describe_topic(topic, limit).partitions]
        admin.delete_offsets(name, topic, which, limit)
        rows += [(topic, str(index), "Successful") for index in which]
    print(f"Request succeeded for deleting offsets from group {name}.")
    _print_columns(("TOPIC", "PARTITION", "STATUS"), rows)


def _kafka_get_offsets(arguments: Sequence[str]) -> int:
    parser = _parser("kafka-get-offsets")
    parser.add_argument("--topic")
    parser.add_argument("--partitions", default="")
    parser.add_argument("--time", default="latest", metavar="MS|earliest|latest|max-timestamp")
    options = parser.parse_args(arguments)
    named = {"latest": _LOG_END, "earliest": _LOG_START, "max-timestamp": _MAX_TIMESTAMP}
    try:
        at = named[options.time] if options.time in named else int(options.time)
    except ValueError:
        parser.error(f"Malformed time argument {options.time}.")
    only = {int(number) for number in options.partitions.split(",") if number}
    with _connected(options) as admin:
        for topic in _chosen(admin, options.topic, options.timeout / 1000):
            for index, offset in admin.list_offsets(topic, at, options.timeout / 1000):
                if not only or index in only:
                    print(f"{topic}:{index}:{offset if offset >= 0 else ''}")
    return 0


def _kafka_console_producer(arguments: Sequence[str]) -> int:
    from pabal.kafka_consoles import add_producer_options, console_producer

    parser = _parser("kafka-console-producer")
    add_producer_options(parser)
    options = parser.parse_args(arguments)
    return console_producer(options, _servers(options))


def _kafka_console_consumer(arguments: Sequence[str]) -> int:
    from pabal.kafka_consoles import add_consumer_options, console_consumer

    parser = _parser("kafka-console-consumer")
    add_consumer_options(parser)
    options = parser.parse_args(arguments)
    return console_consumer(options, _servers(options))


def _kafka_producer_perf_test(arguments: Sequence[str]) -> int:
    from pabal.kafka_perf import add_producer_options, producer_perf_test

    parser = _parser("kafka-producer-perf-test")
    add_producer_options(parser)
    return producer_perf_test(parser.parse_args(arguments))


def _kafka_consumer_perf_test(arguments: Sequence[str]) -> int:
    from pabal.kafka_perf import add_consumer_options, consumer_perf_test

    parser = _parser("kafka-consumer-perf-test")
    add_consumer_options(parser)
    parser.set_defaults(timeout=10_000)
    return consumer_perf_test(parser.parse_args(arguments))


def _kafka_dump_log(arguments: Sequence[str]) -> int:
    from pabal.kafka_dump_log import add_options, dump_log

    parser = _Parser(prog="kafka-dump-log", allow_abbrev=False)
    add_options(parser)
    return dump_log(parser.parse_args(arguments))


def _commas(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _print_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Kafka's tables: an empty line, then columns of at least 15, but for narrow numbers."""
    least = [10 if name == "PARTITION" else 15 for name in head]
    widths = [
        max(low, *(len(row[at]) for row in (head, *rows))) for at, low in enumerate(least)
    ]
    print()
    for row in (head, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(" ".join(cells).rstrip())


_TOOLS = {
    "kafka-topics": _kafka_topics,
    "kafka-configs": _kafka_configs,
    "kafka-console-consumer": _kafka_console_consumer,
    "kafka-console-producer": _kafka_console_producer,
    "kafka-consumer-groups": _kafka_consumer_groups,
    "kafka-consumer-perf-test": _kafka_consumer_perf_test,
    "kafka-dump-log": _kafka_dump_log,
    "kafka-get-offsets": _kafka_get_offsets,
    "kafka-producer-perf-test": _kafka_producer_perf_test,
}
