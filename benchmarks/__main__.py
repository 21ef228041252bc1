"""``python -m benchmarks [NAME...] [--runs N]``: all of NAMES without a name."""

from __future__ import annotations

import argparse
import importlib

NAMES = (
    *("start", "data_path", "replication", "latency", "durability", "partitions"),
    *("many_leaders", "failover", "groups", "group_scale", "clients", "simulator"),
)


def main() -> None:
    """Run the benchmarks that were named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure (default 3)")
    options = parser.parse_args()
    for name in options.names or NAMES:
        if name not in NAMES:
            parser.error(f"there is no benchmark {name}; there are {', '.join(NAMES)}")
        importlib.import_module(f"benchmarks.{name}").run(options.runs)


if __name__ == "__main__":
    main()
