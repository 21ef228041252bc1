"""Whole clusters in a simulated world: one seed is one run, with its faults, again and again.

Real brokers, in a world in which time, network and disks are simulated: brokers die in the midst of
a write, links are cut, disks fill up and lose what was not synced, while clients write and read and
every promise is checked. A run is a process of its own (``pabal-sim``), so that a broker which
crashes there harms nobody here.
"""

from __future__ import annotations

import contextlib
import functools
import html
import json
import os
import random
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from pabal.duration import Duration, seconds
from pabal.errors import PabalError
from pabal.programs import native_program

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "HistoryEvent",
    "InvariantViolated",
    "Progress",
    "Simulation",
    "SimulationResult",
    "sabotages",
    "scenario_text",
    "scenarios",
]

Verdict: TypeAlias = Literal["passed", "safety", "liveness", "crash"]

_MISUSED = 1
_CRASHED = 3
# Until somebody who waits at a terminal is told how far it is.
_PATIENCE_SECONDS = 0.5
_HISTORY_SHOWN = 20
_FRESH_SEEDS = 1_000_000


class HistoryEvent(NamedTuple):
    """Something that befell the brokers.

    Attributes
    ----------
    seconds : float
        When, in the time of the simulated world.
    what : str
        In words, e.g. ``broker 1 is killed``.
    """

    seconds: float
    what: str


class Progress(NamedTuple):
    """How far a run is.

    Attributes
    ----------
    simulated_seconds, elapsed_seconds : float
        In the time of the simulated world, and in ours.
    events : int
        Actions, messages and disk operations so far.
    """

    simulated_seconds: float
    elapsed_seconds: float
    events: int


@dataclass(frozen=True)
class SimulationResult:
    """What came out of a run.

    Attributes
    ----------
    scenario, seed, sabotage : str, int, str
        What was run. ``sabotage`` is empty if nothing was broken on purpose.
    verdict : {"passed", "safety", "liveness", "crash"}
        Whether all promises were kept; or one was broken; or the cluster did not recover although
        nothing failed any more; or a broker's own assertion ended it.
    invariant, what : str
        Which promise, as docs/INVARIANTS.md calls it, and how it was broken; empty if it passed.
    trace_hash : str
        A fingerprint of every action, message and disk operation: equal for equal seeds.
    events : int
        How many these were.
    simulated_seconds, elapsed_seconds : float
        How long the run was in its own world's time, and in ours.
    lives : int
        How often a broker was started.
    answers : dict
        What clients got done, by their kind: acknowledged batches, answered reads and the like.
    faults : dict
        How often each kind of fault struck.
    probes : dict
        Rare places of the brokers' code, and how often the run went there.
    unreached : tuple of str
        Places that the scenario names and this run did not go to. Ten seeds together have to.
    history : tuple of HistoryEvent
        What befell the brokers, in order.
    replay : str
        The line of Python that does it again.
    command : str
        The same for a shell, where the scenario has a name or is a file.
    """

    scenario: str
    seed: int
    sabotage: str
    verdict: Verdict
    invariant: str = ""
    what: str = ""
    trace_hash: str = ""
    events: int = 0
    simulated_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    lives: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    probes: dict[str, int] = field(default_factory=dict)
    unreached: tuple[str, ...] = ()
    history: tuple[HistoryEvent, ...] = ()
    replay: str = ""
    command: str = ""

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return self.verdict == "passed"

    @property
    def speed(self) -> float:
        """Simulated seconds per second.

        Examples
        --------
        >>> SimulationResult("kill", 1, "", "passed", simulated_seconds=9, elapsed_seconds=3).speed
        3.0
        """
        return self.simulated_seconds / self.elapsed_seconds if self.elapsed_seconds else 0.0

    def __str__(self) -> str:
        return "\n".join(
            [self._headline(), *(f"  {name}: {value}" for name, value in self._facts())]
        )

    def __repr__(self) -> str:
        return f"<pabal.SimulationResult {self._headline()}>"

    def _headline(self) -> str:
        broken = f" with {self.sabotage}" if self.sabotage else ""
        verdict = self.verdict if self.passed else self.verdict.upper()
        return (
            f"{self.scenario}{broken}, seed {self.seed}: {verdict}, "
            f"{self.simulated_seconds:.1f} s simulated in {self.elapsed_seconds:.1f} s"
        )

    def _facts(self) -> Iterator[tuple[str, str]]:
        if not self.passed:
            yield self.invariant or self.verdict, self.what
            yield "replay", self.replay
        yield "trace", f"{self.trace_hash or 'unfinished'}, {self.events:,} events"
        yield "lives of brokers", str(self.lives)
        counts = (("answers", self.answers), ("faults", self.faults), ("probes", self.probes))
        for name, numbers in counts:
            if numbers:
                yield name, ", ".join(f"{key} {count:,}" for key, count in numbers.items())
        if self.unreached:
            yield "not reached", ", ".join(self.unreached)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self._facts()
        )
        shown = self.history if self.passed else self.history[-_HISTORY_SHOWN:]
        events = "".join(
            f"<tr><td>{event.seconds:.3f} s</td><td>{html.escape(event.what)}</td></tr>"
            for event in shown
        )
        return (
            f"<b>{html.escape(self._headline())}</b><table>{rows}</table>"
            f"<details{'' if self.passed else ' open'}><summary>history</summary>"
            f"<table>{events}</table></details>"
        )

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        style = "green" if self.passed else "red"
        table = Table(title=Text(self._headline(), style=style), show_header=False)
        for name, value in self._facts():
            table.add_row(Text(name), Text(value))
        return table


class InvariantViolated(PabalError):
    """A promise was broken in a simulation, or a broker crashed there.

    The message has the line that replays it.

    Attributes
    ----------
    result : SimulationResult
        All that is known of the run.
    """

    def __init__(self, result: SimulationResult) -> None:
        last = "".join(
            f"\n  {event.seconds:10.3f} s  {event.what}" for event in result.history[-5:]
        )
        super().__init__(
            f"{result.verdict}: {result.invariant + ': ' if result.invariant else ''}{result.what}"
            f"\nreplay with: {result.replay}\nwhat happened last:{last or ' nothing'}"
        )
        self.result = result

    def __reduce__(self) -> tuple[type[InvariantViolated], tuple[SimulationResult]]:
        return InvariantViolated, (self.result,)


class Simulation:
    """One run of a cluster in a simulated world; the same seed gives the same run.

    Parameters
    ----------
    seed : int, optional
        What everything is drawn from: faults, latencies, the order of threads, what clients do.
        Without it one that nobody chose.
    scenario : str, path or mapping
        What runs and what goes wrong: one of `scenarios`, a TOML file like theirs, or the same as a
        mapping.
    sabotage : str, optional
        One of `sabotages`: the broker, or its world, is broken on purpose, to see that it is
        noticed.

    Raises
    ------
    ValueError
        If there is no such scenario or sabotage.
    FileNotFoundError
        If ``scenario`` is a path that leads nowhere.

    Examples
    --------
    >>> import pabal
    >>> simulation = pabal.Simulation(seed=42, scenario="kill")
    >>> result = simulation.run()
    >>> result.verdict
    'passed'
    >>> simulation.run().trace_hash == result.trace_hash
    True

    A cluster of your own making:

    >>> scenario = {
    ...     "brokers": 3,
    ...     "safety_ms": 3000,
    ...     "topic": [{"name": "orders", "partitions": 2, "replication_factor": 3}],
    ...     "workload": [{"kind": "produce", "clients": 2, "pause_ms": [0, 50]}],
    ...     "fault": [{"kind": "kill", "every_ms": [500, 1000]}],
    ... }
    >>> pabal.Simulation(seed=7, scenario=scenario).run().passed
    True
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        scenario: str | os.PathLike[str] | Mapping[str, object] = "leader_change",
        sabotage: str | None = None,
    ) -> None:
        if seed is None:
            seed = _FRESH_SEEDS + random.SystemRandom().getrandbits(32)
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise TypeError(f"seed is a number, not {type(seed).__name__}")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed is between 0 and 2**64 - 1, not {seed}")
        self._seed = seed
        self._text = ""  # Of a scenario that is no file.
        self._path: Path | None = None
        if isinstance(scenario, Mapping):
            self._text = _toml(scenario)
            self._name = re.sub(r"[^\w.-]", "_", str(scenario.get("name", "scenario")))
            self._given = repr(dict(scenario))
        elif isinstance(scenario, str) and not ("/" in scenario or scenario.endswith(".toml")):
            if scenario not in _listed()["scenarios"]:
                known = ", ".join(_listed()["scenarios"])
                raise ValueError(
                    f"there is no scenario {scenario!r}; there are {known}, and paths to .toml"
                )
            self._name, self._given = scenario, repr(scenario)
        else:
            self._path = Path(scenario)
            if not self._path.is_file():
                raise FileNotFoundError(f"there is no scenario at {self._path}")
            self._name, self._given = self._path.stem, repr(str(self._path))
        if sabotage is not None and sabotage not in _listed()["sabotages"]:
            raise ValueError(
                f"there is no sabotage {sabotage!r}; pabal.simulation.sabotages() has them all"
            )
        self._sabotage = sabotage or ""

    @property
    def seed(self) -> int:
        """What everything is drawn from."""
        return self._seed

    @property
    def scenario(self) -> str:
        """The scenario's name."""
        return self._name

    @property
    def replay(self) -> str:
        """The line of Python that runs it again.

        Examples
        --------
        >>> Simulation(seed=3, scenario="cut").replay
        "pabal.Simulation(seed=3, scenario='cut').run()"
        """
        broken = f", sabotage={self._sabotage!r}" if self._sabotage else ""
        return f"pabal.Simulation(seed={self._seed}, scenario={self._given}{broken}).run()"

    @property
    def command(self) -> str:
        """The line of a shell that runs it again; empty where the scenario is a mapping.

        Examples
        --------
        >>> Simulation(seed=3, scenario="cut").command
        'pabal-sim --scenario cut --seed 3'
        """
        if self._text:
            return ""
        broken = f" --sabotage {self._sabotage}" if self._sabotage else ""
        return f"pabal-sim --scenario {self._path or self._name} --seed {self._seed}{broken}"

    def run(
        self,
        *,
        check: bool = True,
        timeout: Duration | None = None,
        progress: bool | Callable[[Progress], object] | None = None,
        trace: Callable[[str], object] | None = None,
    ) -> SimulationResult:
        """Run it to its end, or to the first promise that is broken.

        Parameters
        ----------
        check : bool
            Raise if it did not pass; else the result says so.
        timeout : timedelta or float, optional
            How long it may take, in our time.
        progress : bool or callable, optional
            Called with a `Progress` about once in a simulated second; ``True`` writes a line to
            stderr instead, which is what happens at a terminal without further ado.
        trace : callable, optional
            Called with a line for every action, message and disk operation: ``print``, for one.

        Raises
        ------
        InvariantViolated
            If a promise was broken, or a broker crashed.
        TimeoutError
            If it takes longer than ``timeout``.
        pabal.errors.InvalidConfigError
            If the scenario has something that scenarios do not have.

        Examples
        --------
        >>> result = Simulation(seed=1, scenario="kill").run(progress=False)
        >>> result.faults["kill"] > 0
        True
        >>> print(result.history[0].what)
        the broker is up

        A broker that answers before it has written, and how that is noticed:

        >>> broken = Simulation(seed=1, scenario="kill", sabotage="disk-forgets-page-cache")
        >>> broken.run(check=False, progress=False).invariant
        'acked-never-lost'
        """
        limit = None if timeout is None else seconds(timeout, "timeout")
        if progress is None:
            progress = sys.stderr.isatty()
        with contextlib.ExitStack() as stack:
            tell = progress if callable(progress) else None
            if progress is True:
                tell = stack.enter_context(_Ticker(self))
            result = self._carry_out(limit, tell, trace)
        if check and not result.passed:
            raise InvariantViolated(result)
        return result

    def sweep(
        self,
        count: int,
        *,
        check: bool = True,
        timeout: Duration | None = None,
        progress: bool | Callable[[Progress], object] | None = None,
    ) -> list[SimulationResult]:
        """Run so many seeds, this one and those after it; the parameters are those of `run`.

        Examples
        --------
        >>> results = Simulation(seed=1, scenario="kill").sweep(3, progress=False)
        >>> [result.seed for result in results]
        [1, 2, 3]
        """
        results = []
        for seed in range(self._seed, self._seed + count):
            results.append(
                self._with_seed(seed).run(check=check, timeout=timeout, progress=progress)
            )
        return results

    def _with_seed(self, seed: int) -> Simulation:
        other = object.__new__(Simulation)
        other.__dict__.update(self.__dict__, _seed=seed)
        return other

    def _carry_out(
        self,
        timeout: float | None,
        progress: Callable[[Progress], object] | None,
        trace: Callable[[str], object] | None,
    ) -> SimulationResult:
        begin = time.monotonic()
        history: list[HistoryEvent] = []
        last = Progress(0.0, 0.0, 0)
        end: dict[str, Any] | None = None
        with contextlib.ExitStack() as stack:
            errors = stack.enter_context(tempfile.TemporaryFile("w+b"))
            child = stack.enter_context(_Child(self._words(stack, trace is not None), errors))
            for line in child.lines(timeout, f"{self.replay} has not ended"):
                told: dict[str, Any] = json.loads(line)
                if "trace" in told and trace is not None:
                    trace(told["trace"])
                elif "history" in told:
                    event = told["history"]
                    history.append(HistoryEvent(event["at_us"] / 1e6, event["what"]))
                elif "progress" in told:
                    event = told["progress"]
                    elapsed = time.monotonic() - begin
                    last = Progress(event["at_us"] / 1e6, elapsed, event["events"])
                    if progress is not None:
                        progress(last)
                elif "result" in told:
                    end = told["result"]
            code = child.wait()
            errors.seek(0)
            complaint = errors.read().decode(errors="replace").strip()
        elapsed = time.monotonic() - begin
        if end is None:
            if code == _MISUSED:
                from pabal.errors import InvalidConfigError

                raise InvalidConfigError(complaint.removeprefix("pabal-sim: "))
            return SimulationResult(
                **self._own(),
                verdict="crash",
                what=_last_words(complaint, code),
                events=last.events,
                simulated_seconds=last.simulated_seconds,
                elapsed_seconds=elapsed,
                history=tuple(history),
            )
        return SimulationResult(
            **self._own(),
            verdict=end["verdict"],
            invariant=end["invariant"],
            what=end["what"],
            trace_hash=end["trace_hash"],
            events=end["events"],
            simulated_seconds=end["simulated_us"] / 1e6,
            elapsed_seconds=elapsed,
            lives=end["lives"],
            answers=end["answers"],
            faults=end["faults"],
            probes=end["probes"],
            unreached=tuple(place for place in end["must_reach"] if place not in end["probes"]),
            history=tuple(history),
        )

    def _own(self) -> dict[str, Any]:
        return {
            "scenario": self._name,
            "seed": self._seed,
            "sabotage": self._sabotage,
            "replay": self.replay,
            "command": self.command,
        }

    def _words(self, stack: contextlib.ExitStack, trace: bool) -> list[str]:
        scenario = str(self._path.absolute()) if self._path else self._name
        if self._text:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="pabal-"))
            file = Path(directory) / f"{self._name}.toml"
            file.write_text(self._text, encoding="utf-8")
            scenario = str(file)
        words = ["--scenario", scenario, "--seed", str(self._seed), "--json"]
        if self._sabotage:
            words += ["--sabotage", self._sabotage]
        return [*words, "--trace"] if trace else words

    def __repr__(self) -> str:
        broken = f", sabotage={self._sabotage!r}" if self._sabotage else ""
        return f"pabal.Simulation(seed={self._seed}, scenario={self._given}{broken})"


def scenarios() -> dict[str, str]:
    """The scenarios that come with pabal, and what happens in each.

    `scenario_text` has them as TOML, to begin one's own with.

    Examples
    --------
    >>> "leader_change" in scenarios()
    True
    """
    return {name: entry["description"] for name, entry in _listed()["scenarios"].items()}


def scenario_text(name: str) -> str:
    """A scenario as TOML.

    Examples
    --------
    >>> "[[fault]]" in scenario_text("kill")
    True
    """
    return str(_listed()["scenarios"][name]["content"])


def sabotages() -> dict[str, str]:
    """Ways to break a broker or its world, each of which some scenario notices.

    Examples
    --------
    >>> sabotages()["vote-is-given-twice"]
    'a broker that votes for two in one epoch; noticed in quorum'
    """
    return {
        name: f"a broker that {entry['what']}; noticed in {entry['scenario']}"
        for name, entry in _listed()["sabotages"].items()
    }


@functools.cache
def _listed() -> dict[str, dict[str, dict[str, Any]]]:
    done = subprocess.run(
        [str(native_program("pabal-sim")), "--list", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PabalError(f"pabal-sim ended with {done.returncode}: {done.stderr.strip()}")
    told = json.loads(done.stdout)
    return {
        "scenarios": {entry["name"]: entry for entry in told["scenarios"]},
        "sabotages": {entry["id"]: entry for entry in told["sabotages"]},
    }


class _Child:
    """The process of one run; it ends with its block at the latest."""

    def __init__(self, words: list[str], errors: Any) -> None:
        self._process = subprocess.Popen(
            [str(native_program("pabal-sim")), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )

    def lines(self, timeout: float | None, complaint: str) -> Iterator[bytes]:
        """What it writes, line by line, until it ends."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = None if timeout is None else time.monotonic() + timeout
        rest = b""
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([descriptor], [], [], wait)
            if not readable:
                raise TimeoutError(f"{complaint} after {timeout:g} s")
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                return
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole

    def wait(self) -> int:
        return self._process.wait()

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class _Ticker:
    """Shows on stderr how far a run is, once it takes longer than a glance."""

    def __init__(self, simulation: Simulation) -> None:
        self._head = f"{simulation.scenario}, seed {simulation.seed}"
        self._next = time.monotonic() + _PATIENCE_SECONDS
        self._shown = False

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.1
        self._shown = True
        sys.stderr.write(
            f"\r{self._head}: {progress.simulated_seconds:.0f} s simulated, "
            f"{progress.events:,} events"
        )
        sys.stderr.flush()

    def __enter__(self) -> _Ticker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _last_words(complaint: str, code: int) -> str:
    lines = [line for line in complaint.splitlines() if not line.startswith("crash; replay with")]
    if lines:
        return "\n".join(lines[-5:])
    return f"pabal-sim ended with {code}" if code != _CRASHED else "the process was killed"


def _toml(scenario: Mapping[str, object]) -> str:
    """``scenario`` as TOML: one key a line, what is nested within that line."""
    return "".join(
        f"{_toml_key(key)} = {_toml_value(key, value)}\n"
        for key, value in scenario.items()
        if key != "name"
    )


def _toml_key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the keys of a scenario are texts, not {type(key).__name__}")
    return json.dumps(key, ensure_ascii=False)


def _toml_value(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        entries = (f"{_toml_key(name)} = {_toml_value(key, one)}" for name, one in value.items())
        return "{ " + ", ".join(entries) + " }"
    if isinstance(value, (list, tuple, range)):
        return "[" + ", ".join(_toml_value(key, one) for one in value) + "]"
    raise TypeError(f"{key} of a scenario has a {type(value).__name__}, which scenarios do not")
