"""Three servers on three hosts, while cables are pulled and processes are killed and paused.

The hosts are network namespaces that the test makes itself. Which faults strike, and when, comes
from PABAL_CHAOS_SEED; for how long, from PABAL_CHAOS_SECONDS.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from chaos.history import History
from chaos.network import Network, NetworkMissing
from chaos.servers import PORT, Server

pytestmark = pytest.mark.slow

BROKERS = 3
CLIENT = BROKERS  # The host of the clients.
TOPIC = "orders"
PARTITIONS = 6
PATIENCE_SECONDS = 30.0
SEED = int(os.environ.get("PABAL_CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("PABAL_CHAOS_SECONDS", "25"))


class World:
    """Three servers, a network, and clients at work."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        try:
            self.network = Network(BROKERS + 1)
        except NetworkMissing as missing:
            pytest.skip(f"NO CHAOS ON REAL PROCESSES: {missing}")
        stack.callback(self.network.close)
        self.servers = [Server(self.network, host, BROKERS, directory) for host in range(BROKERS)]
        for server in self.servers:
            stack.callback(server.kill)
        self._events = directory / "events"
        self._stack = stack
        self._clients: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """All servers, then the clients."""
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait(PATIENCE_SECONDS)
        places = ",".join(f"{self.network.address(host)}:{PORT}" for host in range(BROKERS))
        program = str(Path(__file__).with_name("workload.py"))
        words = [sys.executable, program, places, TOPIC, str(PARTITIONS), str(self._events)]
        self._clients = subprocess.Popen(
            self.network.command(CLIENT, *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(self._end_clients)
        self.await_acknowledgements()

    def _end_clients(self) -> None:
        assert self._clients is not None
        if self._clients.poll() is None:
            self._clients.kill()
        self._clients.communicate()

    def _acknowledged(self) -> int:
        if not self._events.exists():
            return 0
        return self._events.read_bytes().count(b'["acknowledged"')

    def await_acknowledgements(self) -> float:
        """Until more is acknowledged than now; how long that took, in seconds."""
        assert self._clients is not None
        begin, before = time.monotonic(), self._acknowledged()
        while self._acknowledged() < before + 20:
            if time.monotonic() > begin + PATIENCE_SECONDS or self._clients.poll() is not None:
                raise AssertionError(f"nothing is acknowledged any more\n{self.logs()}")
            time.sleep(0.02)
        return time.monotonic() - begin

    def end(self) -> History:
        """End the clients, and tell what they did and saw."""
        assert self._clients is not None
        _, told = self._clients.communicate("", timeout=4 * PATIENCE_SECONDS)
        assert self._clients.returncode == 0, f"{told}{self.logs()}"
        history = History()
        with self._events.open(encoding="utf-8") as lines:
            for line in lines:
                history.add(json.loads(line))
        return history

    def logs(self) -> str:
        return "".join(
            f"\nbroker {server.id}:\n{server.last_words()}"
            for server in self.servers
            if server.log.exists()
        )

    def check(self) -> History:
        """Nothing that was promised is broken, and all replicas are the same."""
        history = self.end()
        assert history.failed == []
        assert history.complaints()[:10] == []
        assert len(history.acknowledged) == len(history.sent) == len(history.final)
        for server in self.servers:
            server.stop(PATIENCE_SECONDS)
        for partition in range(PARTITIONS):
            stored = {server.stored(TOPIC, partition) for server in self.servers}
            assert len(stored) == 1, f"the replicas of {TOPIC}-{partition} differ"
        return history


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


class Faults:
    """Strikes, one at a time; each returns what takes it back."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance

    def any(self) -> tuple[str, Callable[[], None]]:
        kinds = (self.kill, self.kill_two, self.pause, self.cut, self.deafen, self.unplug)
        return self._chance.choice(kinds)()

    def _victims(self, count: int) -> list[Server]:
        return self._chance.sample(self._world.servers, count)

    def _kill(self, victims: list[Server]) -> tuple[str, Callable[[], None]]:
        for victim in victims:
            victim.kill()

        def undo() -> None:
            for victim in victims:
                victim.start()
            for victim in victims:
                victim.wait(PATIENCE_SECONDS)

        return f"killed {[victim.id for victim in victims]}", undo

    def kill(self) -> tuple[str, Callable[[], None]]:
        return self._kill(self._victims(1))

    def kill_two(self) -> tuple[str, Callable[[], None]]:
        return self._kill(self._victims(2))

    def pause(self) -> tuple[str, Callable[[], None]]:
        (victim,) = self._victims(1)
        victim.send(signal.SIGSTOP)
        return f"paused {victim.id}", lambda: victim.send(signal.SIGCONT)

    def cut(self) -> tuple[str, Callable[[], None]]:
        """Two brokers lose sight of each other, but not of the third, nor of the clients."""
        one, other = self._victims(2)
        self._world.network.cut(one.id, other.id)
        self._world.network.cut(other.id, one.id)
        return f"cut {one.id} and {other.id}", self._world.network.heal

    def deafen(self) -> tuple[str, Callable[[], None]]:
        """One hears the others, and is not heard."""
        (victim,) = self._victims(1)
        for other in self._world.servers:
            if other is not victim:
                self._world.network.cut(victim.id, other.id)
        return f"what {victim.id} says is lost", self._world.network.heal

    def unplug(self) -> tuple[str, Callable[[], None]]:
        (victim,) = self._victims(1)
        self._world.network.unplug(victim.id)
        return f"unplugged {victim.id}", self._world.network.heal


def test_nothing_is_lost_while_cables_are_pulled_and_processes_die(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    faults = Faults(world, chance)
    world.start()
    begin = time.monotonic()
    told = []
    while time.monotonic() < begin + SECONDS:
        what, undo = faults.any()
        time.sleep(chance.uniform(0.1, 2.0))
        undo()
        # Nothing fails any more, so everything must work again.
        silence = world.await_acknowledgements()
        told.append(f"{what}; acknowledged again {silence:.2f} s later")
        time.sleep(chance.uniform(0.0, 0.5))
    history = world.check()
    assert len(history.acknowledged) > 100
    with capsys.disabled():
        print(f"\nseed {SEED}: {len(history.acknowledged)} records, {len(told)} faults")
        if os.environ.get("PABAL_CHAOS_SEED"):
            print("\n".join(told))


def test_a_full_disk_stops_one_broker_at_most(world: World) -> None:
    victim = world.servers[2]
    victim.data.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(victim.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"NO FULL DISK: {mounted.stderr.strip()}")
    try:
        world.start()
        ballast = victim.data / "ballast"
        fill(ballast)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "no space left on device" not in victim.log.read_text(encoding="utf-8"):
            assert time.monotonic() < deadline, "its disk is not full"
            time.sleep(0.05)
        # The others go on without it.
        for _ in range(3):
            world.await_acknowledgements()
        ballast.unlink()
        if not victim.is_running:
            victim.start()
            victim.wait(PATIENCE_SECONDS)
        world.await_acknowledgements()
        world.check()
    finally:
        victim.kill()
        subprocess.run(["umount", str(victim.data)], check=False)


def fill(path: Path) -> None:
    """Take all space that is left where ``path`` is."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
