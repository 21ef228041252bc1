"""How fast the simulator is: simulated seconds per second of one core.

Three brokers under some 1,000 records and ten requests of administrators a second, of which one is
killed now and then: the scenario ``steady``, by the program that is installed.
"""

from __future__ import annotations

import resource

import pabal
from benchmarks.report import Report


def run(runs: int) -> None:
    """Print the table."""
    report = Report("Simulator")
    for seed in range(1, runs + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = pabal.Simulation(seed=seed, scenario="steady").run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        report.add("simulated seconds per CPU second", "pabal", result.simulated_seconds / spent,
                   "≥ 100")
        report.add("events per simulated second", "pabal", result.events / result.simulated_seconds)
    report.print()
