"""The command ``pabal``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is returned.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    pabal ...
    0
    """
    parser = _parser()
    options = parser.parse_args(arguments)
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
        print(f"pabal: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pabal", description="A Kafka-compatible distributed event log."
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
    return parser


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
