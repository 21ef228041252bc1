"""`pabal.Simulation`: whole clusters in a simulated world, as a script sees them."""

from __future__ import annotations

import io
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import pabal
from pabal import simulation
from pabal.errors import InvalidConfigError
from pabal.programs import native_program

ROOT = Path(__file__).parents[2]

SHORT: dict[str, object] = {
    "description": "Three brokers, one of which is killed.",
    "safety_ms": 2000,
    "brokers": 3,
    "topic": [{"name": "orders", "partitions": 2, "replication_factor": 3}],
    "workload": [{"kind": "produce", "clients": 2, "idempotent": True, "pause_ms": [0, 50]}],
    "fault": [{"kind": "kill", "every_ms": [300, 800], "lasts_ms": [1, 300]}],
}


def test_one_seed_is_one_run() -> None:
    first, second = (pabal.Simulation(seed=7, scenario=SHORT).run() for _ in range(2))
    other = pabal.Simulation(seed=8, scenario=SHORT).run()
    assert first.passed
    assert first.trace_hash == second.trace_hash != other.trace_hash
    assert re.fullmatch(r"[0-9a-f]{16}", first.trace_hash)
    assert first.events == second.events > 1000
    assert first.history == second.history


def test_a_result_tells_what_was_done_and_what_befell_the_brokers() -> None:
    result = pabal.Simulation(seed=3, scenario=SHORT).run()
    assert result.simulated_seconds > 2
    assert result.elapsed_seconds > 0
    assert result.speed > 0
    assert result.answers["idempotent producers"] > 10
    assert result.faults["kill"] > 0
    assert result.lives >= 3 + result.faults["kill"]
    told = [event.what for event in result.history]
    assert any(re.fullmatch(r"broker \d is killed", what) for what in told)
    assert "nothing fails any more" in told
    times = [event.seconds for event in result.history]
    assert times == sorted(times)
    assert times[-1] <= result.simulated_seconds
    # Marks of rare places are in the program that is installed, too.
    assert result.probes


def test_whoever_breaks_a_promise_is_told_with_the_line_that_replays_it() -> None:
    broken = pabal.Simulation(seed=1, scenario="kill", sabotage="disk-forgets-page-cache")
    with pytest.raises(pabal.InvariantViolated) as raised:
        broken.run()
    result = raised.value.result
    assert result.verdict == "safety"
    assert result.invariant == "acked-never-lost"
    assert broken.replay in str(raised.value)
    assert "replay" in str(result)
    assert "disk-forgets-page-cache" in repr(result)
    again = pickle.loads(pickle.dumps(raised.value))
    assert again.result.trace_hash == result.trace_hash
    # The line is true, in Python and in a shell.
    replayed = eval(broken.replay.replace(".run()", ".run(check=False)"), {"pabal": pabal})
    assert replayed.trace_hash == result.trace_hash
    words = shlex.split(broken.command)
    done = subprocess.run(
        [str(native_program(words[0])), *words[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "acked-never-lost" in done.stdout


def test_a_mark_in_the_code_of_the_broker_can_be_set() -> None:
    for seed in range(1, 6):
        broken = pabal.Simulation(seed=seed, scenario="kill", sabotage="offset-is-repeated")
        result = broken.run(check=False)
        if not result.passed:
            return
    raise AssertionError("nobody noticed that offsets were given twice")


def test_a_sabotage_that_no_seed_met_passes() -> None:
    harmless = pabal.Simulation(seed=2, scenario="kill", sabotage="vote-is-given-twice")
    assert harmless.run().passed


def test_scenarios_come_with_the_package() -> None:
    known = simulation.scenarios()
    assert {path.stem for path in (ROOT / "tests" / "sim").glob("*.toml")} == set(known)
    assert all(known.values())
    assert "leader_change" in {entry.rsplit()[-1] for entry in simulation.sabotages().values()}


def test_a_scenario_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(simulation.scenario_text("kill"), encoding="utf-8")
    given = pabal.Simulation(seed=4, scenario=path)
    assert given.scenario == "mine"
    assert given.command == f"pabal-sim --scenario {path} --seed 4"
    named = pabal.Simulation(seed=4, scenario="kill").run()
    assert given.run().trace_hash == named.trace_hash
    assert pabal.Simulation(seed=4, scenario=str(path)).run().trace_hash == named.trace_hash


def test_what_cannot_be_run_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no scenario 'kil'; there are .*kill"):
        pabal.Simulation(scenario="kil")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        pabal.Simulation(scenario=tmp_path / "nowhere.toml")
    with pytest.raises(ValueError, match="sabotages"):
        pabal.Simulation(scenario="kill", sabotage="coffee")
    with pytest.raises(ValueError, match="-1"):
        pabal.Simulation(seed=-1)
    with pytest.raises(TypeError, match="str"):
        pabal.Simulation(seed="1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="safety_ms of a scenario has a float"):
        pabal.Simulation(scenario={**SHORT, "safety_ms": 0.5})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"brokrs": 3}, "brokrs is no key here"),
        ({"safety_ms": "long"}, "safety_ms has the wrong type"),
        ({"topic": []}, "needs a topic"),
        ({"fault": [{"kind": "kill", "every_ms": [5, 1]}]}, r"every_ms must be \[least, most\]"),
    ],
)
def test_a_bad_scenario_is_refused_with_what_is_wrong(
    change: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidConfigError, match=complaint):
        pabal.Simulation(seed=1, scenario={**SHORT, **change}).run()


def test_texts_of_a_scenario_may_have_any_letter() -> None:
    odd = {**SHORT, "name": "a/b c", "description": 'a "quoted" \\ \n\tключ', "safety_ms": 200}
    given = pabal.Simulation(seed=1, scenario=odd)
    assert given.scenario == "a_b_c"
    assert given.run().passed


def test_it_tells_how_far_it_is_and_every_event() -> None:
    seen: list[simulation.Progress] = []
    lines: list[str] = []
    given = pabal.Simulation(seed=5, scenario=SHORT)
    result = given.run(progress=seen.append, trace=lines.append)
    assert len(seen) >= 2
    assert [one.simulated_seconds for one in seen] == sorted(one.simulated_seconds for one in seen)
    assert seen[-1].events <= result.events
    assert len(lines) > 1000
    assert any("network-deliver" in line for line in lines)
    # Watching changes nothing.
    assert given.run().trace_hash == result.trace_hash


def test_whoever_watches_may_end_it() -> None:
    class Enough(Exception):
        pass

    def stop(_: object) -> None:
        raise Enough

    with pytest.raises(Enough):
        pabal.Simulation(seed=5, scenario="steady").run(progress=stop)
    with pytest.raises(TimeoutError, match="scenario='steady'"):
        pabal.Simulation(seed=5, scenario="steady").run(timeout=0.05)


def test_a_sweep_runs_seeds_one_after_the_other() -> None:
    results = pabal.Simulation(seed=10, scenario={**SHORT, "safety_ms": 300}).sweep(3)
    assert [result.seed for result in results] == [10, 11, 12]
    assert len({result.trace_hash for result in results}) == 3


def test_a_fresh_seed_is_another_each_time() -> None:
    seeds = {pabal.Simulation().seed for _ in range(5)}
    assert len(seeds) == 5


def test_results_show_themselves() -> None:
    passed = simulation.SimulationResult(
        "cut", 3, "", "passed", history=(simulation.HistoryEvent(1.5, "<broker 1> is killed"),)
    )
    assert "&lt;broker 1&gt; is killed" in passed._repr_html_()
    assert "1.500 s" in passed._repr_html_()
    failed = simulation.SimulationResult("cut", 3, "", "liveness", "liveness", "[a] & [b]")
    assert "LIVENESS" in str(failed)
    rich = pytest.importorskip("rich.console")
    console = rich.Console(file=io.StringIO(), record=True, width=100)
    console.print(failed)
    assert "[a] & [b]" in console.export_text()


def test_the_page_about_simulations_is_true(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 3
    for example in examples:
        subprocess.run(
            [sys.executable, "-W", "error", "-c", example], check=True, timeout=120, cwd=tmp_path
        )
    section = page.partition("## Scenarios")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert set(named) <= set(simulation.scenarios())
    assert len(named) > 10
