"""The command ``pabal``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is returned.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    pabal ...
    0
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0].startswith("kafka-"):
        from pabal.kafka_tools import main as kafka_tool

        return kafka_tool(words[0], words[1:])
    parser = _parser()
    options = parser.parse_args(words)
    if options.version:
        from pabal.version import __version__

        print(f"pabal {__version__}")
        return 0
    if options.command is None:
        parser.print_help()
        return 2
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from pabal.errors import PabalError

        if not isinstance(error, PabalError | OSError | TimeoutError):
            raise
        from pabal.terminal import coloured

        print(f"{coloured('pabal:', 'red', sys.stderr)} {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pabal",
        description="A Kafka-compatible distributed event log.",
        epilog="Kafka's own spellings work too: pabal kafka-topics --help, likewise "
        "kafka-configs, kafka-console-producer, kafka-console-consumer, kafka-consumer-groups, "
        "kafka-get-offsets, kafka-dump-log, kafka-producer-perf-test, kafka-consumer-perf-test.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    demo = commands.add_parser("demo", help="stream a year of flights through a broker and back")
    demo.set_defaults(run=_demo)

    broker = commands.add_parser("broker", help="run a broker as a server until SIGTERM")
    broker.add_argument(
        "--config", required=True, metavar="FILE", help="Kafka's server.properties"
    )
    broker.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a property that wins over the file's; may be given again",
    )
    broker.set_defaults(run=_broker)

    _add_topic(commands)
    _add_records(commands)
    _add_group(commands)
    _add_config(commands)
    _add_cluster(commands)
    _add_perf(commands)
    _add_dump(commands)

    completion = commands.add_parser(
        "completion",
        help="print what a shell needs to complete this command",
        description="Print what a shell needs to complete this command, e.g. for "
        '~/.bashrc: eval "$(pabal completion bash)"',
    )
    completion.add_argument("shell", choices=["bash", "zsh", "fish"], metavar="SHELL")
    completion.set_defaults(run=lambda options: _completion(parser, options.shell))
    return parser


if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def _add_topic(commands: Commands) -> None:
    topic = _family(commands, "topic", "create, list, describe, alter and delete topics")

    create = _admin_command(topic, "create", "create a topic")
    create.add_argument("name", metavar="TOPIC")
    create.add_argument("-p", "--partitions", type=int, default=-1, help="default: the brokers'")
    create.add_argument(
        "-r", "--replication-factor", type=int, default=-1, help="default: the brokers'"
    )
    create.add_argument(
        "-c",
        "--config",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the topic, e.g. retention.ms=-1; may be given again",
    )
    create.add_argument(
        "--if-not-exists", action="store_true", help="leave a topic that is there as it is"
    )

    _admin_command(topic, "list", "print the names of all topics")

    describe = _admin_command(topic, "describe", "print where partitions are and what is in them")
    describe.add_argument("names", nargs="+", metavar="TOPIC")

    alter = _admin_command(topic, "alter", "give a topic more partitions")
    alter.add_argument("name", metavar="TOPIC")
    alter.add_argument("-p", "--partitions", type=int, required=True, help="the new total")

    delete = _admin_command(topic, "delete", "delete topics with all their records")
    delete.add_argument("names", nargs="+", metavar="TOPIC")


def _add_records(commands: Commands) -> None:
    produce = _admin_command(commands, "produce", "send lines as records")
    produce.add_argument("topic", metavar="TOPIC")
    produce.add_argument("file", nargs="?", metavar="FILE", help="default: the standard input")
    produce.add_argument(
        "-f",
        "--format",
        choices=["lines", "json"],
        default="lines",
        help="what a line is: a value, or an object as consume --json prints it; default: lines",
    )
    produce.add_argument(
        "-K", "--key-separator", metavar="TEXT", help="a line is a key, this text, and a value"
    )
    produce.add_argument("--partition", type=int, help="where all records go")
    produce.add_argument("--acks", choices=["0", "1", "all"], help="default: all")
    produce.add_argument("--compression", choices=["none", "gzip", "snappy", "lz4", "zstd"])

    consume = _admin_command(commands, "consume", "print the records of topics")
    consume.add_argument("topics", nargs="+", metavar="TOPIC")
    consume.add_argument(
        "--from",
        dest="start",
        metavar="PLACE",
        help="earliest (the default), latest, an offset, -N records, or a time like "
        "2026-11-21T10:00:00Z",
    )
    consume.add_argument("-f", "--follow", action="store_true", help="wait for more at the end")
    consume.add_argument("-n", "--count", type=int, help="how many records at most")
    consume.add_argument("-g", "--group", metavar="GROUP", help="read on as a member of a group")
    consume.add_argument(
        "--partition", type=int, action="append", default=[], help="only this; may be given again"
    )
    consume.add_argument(
        "--format", metavar="TEMPLATE", help='e.g. "{partition}:{offset} {key}\\t{value}"'
    )
    for command in (produce, consume):
        _add_client_config(command)
        command.set_defaults(run=_pipe)


def _add_group(commands: Commands) -> None:
    group = _family(commands, "group", "list, describe, reset and delete consumer groups")
    listing = _admin_command(group, "list", "print all groups and their states")
    listing.add_argument("--names", action="store_true", help="print only their names")
    describe = _admin_command(group, "describe", "print who reads what, and how far behind")
    describe.add_argument("names", nargs="+", metavar="GROUP")
    reset = _admin_command(group, "reset", "let a group without members go on elsewhere")
    reset.add_argument("name", metavar="GROUP")
    reset.add_argument(
        "topics",
        nargs="*",
        metavar="TOPIC[:PARTITION,...]",
        help="default: all that the group has committed",
    )
    reset.add_argument(
        "--to",
        required=True,
        metavar="PLACE",
        help="earliest, latest, an offset, +N or -N records, or a time like 2026-11-21T10:00:00Z",
    )
    reset.add_argument("--dry-run", action="store_true", help="only print the new offsets")
    delete = _admin_command(group, "delete", "delete groups with their offsets")
    delete.add_argument("names", nargs="+", metavar="GROUP")


def _add_config(commands: Commands) -> None:
    config = _family(
        commands, "config", "read and change the settings of topics, brokers and groups"
    )
    for name, words, text in (
        ("get", "keys", "print settings: those named, else all that are not defaults"),
        ("set", "changes", "change settings"),
        ("unset", "keys", "take settings back to their defaults"),
    ):
        command = _admin_command(config, name, text)
        command.add_argument("resource", choices=["topic", "broker", "group"])
        command.add_argument("name", metavar="NAME", help="a topic, a broker's id, or a group")
        command.add_argument(
            words,
            nargs="*" if name == "get" else "+",
            metavar="NAME=VALUE" if words == "changes" else "SETTING",
        )
        if name == "get":
            command.add_argument("-a", "--all", action="store_true", help="defaults too")


def _add_cluster(commands: Commands) -> None:
    cluster = _family(commands, "cluster", "let clusters run in the background")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = cluster.add_parser(name, help=text, description=text.capitalize() + ".")
        added.add_argument("--json", action="store_true", help="print JSON")
        added.add_argument(
            "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="default: 30"
        )
        added.set_defaults(run=_administer)
        return added

    up = command("up", "start a cluster, or what is down of it, and leave it running")
    up.add_argument(
        "name", nargs="?", default="default", metavar="CLUSTER", help="default: default"
    )
    up.add_argument("-n", "--brokers", type=int, metavar="COUNT", help="default: 1")
    up.add_argument(
        "-p",
        "--port",
        type=int,
        help="where the first broker listens, the others behind it; default: 9092, 0 is any",
    )
    up.add_argument(
        "--data-dir", metavar="DIRECTORY", help="where the logs are; default: with the state"
    )
    up.add_argument(
        "-c",
        "--config",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a property of the brokers, e.g. num.partitions=3; may be given again",
    )

    status = command("status", "print which brokers run; the status is 1 if one does not")
    status.add_argument("cluster_names", nargs="*", metavar="CLUSTER", help="default: all")
    status.add_argument("--names", action="store_true", help="print only the clusters' names")

    down = command("down", "shut a cluster down; its data stay")
    down.add_argument(
        "name", nargs="?", default="default", metavar="CLUSTER", help="default: default"
    )
    down.add_argument("--delete", action="store_true", help="delete its data, too")


def _add_perf(commands: Commands) -> None:
    perf = _family(commands, "perf", "measure how fast records are sent and read")

    produce = _admin_command(perf, "produce", "send records as fast as they go")
    produce.add_argument("topic", metavar="TOPIC")
    produce.add_argument(
        "-n", "--count", type=_count, default=1_000_000, help="how many; default: 1000000"
    )
    produce.add_argument(
        "-s", "--record-size", type=_count, default=100, metavar="BYTES", help="default: 100"
    )
    produce.add_argument(
        "-t", "--throughput", type=_seconds, metavar="RATE", help="records a second; default: all"
    )
    produce.add_argument("--acks", choices=["0", "1", "all"], help="default: all")
    produce.add_argument("--compression", choices=["none", "gzip", "snappy", "lz4", "zstd"])

    consume = _admin_command(perf, "consume", "read records as fast as they come")
    consume.add_argument("topics", nargs="+", metavar="TOPIC")
    consume.add_argument(
        "-n", "--count", type=_count, help="how many; default: all that are there"
    )
    consume.add_argument("--from", dest="start", metavar="PLACE", help="as for consume")
    consume.add_argument("-g", "--group", metavar="GROUP", help="read on as a member of a group")
    consume.add_argument(
        "--partition", type=int, action="append", default=[], help="only this; may be given again"
    )
    consume.add_argument(
        "--objects", action="store_true", help="make an object of each record; default: Arrow"
    )
    for command in (produce, consume):
        _add_client_config(command)
        command.set_defaults(run=_measure)


def _add_dump(commands: Commands) -> None:
    dump = commands.add_parser(
        "dump",
        help="print what stands in a broker's files",
        description="Print what stands in a broker's files: segments, indexes, snapshots, "
        "checkpoints, of pabal or Kafka. The status is 1 if one of them is damaged.",
    )
    dump.add_argument(
        "files", nargs="+", metavar="FILE", help="a file, or a directory with all in it"
    )
    dump.add_argument("--batches", action="store_true", help="batches without their records")
    dump.add_argument(
        "--decoder",
        choices=["auto", "none", "offsets", "transactions", "metadata", "share-state"],
        default="auto",
        help="what records say; default: as the directory's name says",
    )
    dump.add_argument("--json", action="store_true", help="print an object a line")
    dump.set_defaults(run=_dump)


def _add_client_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-X",
        "--client-config",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the client, e.g. linger.ms=5; may be given again",
    )


def _family(commands: Commands, name: str, text: str) -> Commands:
    """A command that has commands of its own; alone it prints its help."""
    parser = commands.add_parser(name, help=text, description=text.capitalize() + ".")

    def help_alone(_options: argparse.Namespace) -> int:
        parser.print_help()
        return 2

    parser.set_defaults(run=help_alone, family=name)
    return parser.add_subparsers(dest="action", metavar="COMMAND")


def _admin_command(family: Commands, name: str, text: str) -> argparse.ArgumentParser:
    """A command that asks a cluster; the function of its name in `pabal.commands` does so."""
    command = family.add_parser(name, help=text, description=text.capitalize() + ".")
    command.add_argument(
        "-b",
        "--bootstrap-server",
        metavar="HOST:PORT",
        help="a broker; default: $PABAL_BOOTSTRAP_SERVER, else localhost:9092",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="default: 30"
    )
    command.set_defaults(run=_administer)
    return command


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


# What argparse calls them when it complains.
_seconds.__name__ = "seconds"
_count.__name__ = "count"


def _administer(options: argparse.Namespace) -> int:
    from pabal import commands

    function = getattr(commands, f"{options.family}_{options.action}")
    status: int = function(options)
    return status


def _pipe(options: argparse.Namespace) -> int:
    from pabal import piping

    function = getattr(piping, options.command)
    status: int = function(options)
    return status


def _measure(options: argparse.Namespace) -> int:
    from pabal import perf

    function = getattr(perf, options.action)
    status: int = function(options)
    return status


def _dump(options: argparse.Namespace) -> int:
    from pabal.dump import dump

    return dump(options)


def _completion(parser: argparse.ArgumentParser, shell: str) -> int:
    from pabal.completion import completion

    print(completion(parser, shell), end="")
    return 0


def _demo(_options: argparse.Namespace) -> int:
    from pabal.demo import main as demo

    return demo()


def _broker(options: argparse.Namespace) -> int:
    """Become the native server: signals and exit status are its own."""
    from pabal.process import server_program

    program = str(server_program())
    overrides = [word for override in options.override for word in ("--override", override)]
    sys.stdout.flush()
    os.execv(program, [program, "--config", options.config, *overrides])


if __name__ == "__main__":
    sys.exit(main())
