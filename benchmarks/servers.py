"""The two servers that are compared, behind one face: start, port, pid, kill, start again."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from conformance.kafka import KafkaBroker, KafkaMissing, KafkaReference  # noqa: E402

from pabal.process import ServerProcess  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


class Server(Protocol):
    """A running broker."""

    @property
    def name(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def pid(self) -> int: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...


class Pabal:
    """``pabal-server`` as a process of its own, in a temporary directory."""

    name = "pabal"

    def __init__(self, config: Mapping[str, str] | None = None) -> None:
        self._directory = tempfile.mkdtemp(prefix="pabal-benchmark-")
        self._config = dict(config or {})
        self._port = 0
        self._process: ServerProcess | None = None
        self.start()

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:0",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self._directory,
            **self._config,
        }
        self._process = ServerProcess(properties)
        self._process.wait(60)
        self._port = self._process.port

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(120)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


class Kafka:
    """Apache Kafka as a process of its own, in a temporary directory."""

    name = "kafka"

    def __init__(self, config: Mapping[str, str] | None = None) -> None:
        self._broker: KafkaBroker = KafkaReference().broker(config)

    @property
    def port(self) -> int:
        return self._broker.port

    @property
    def pid(self) -> int:
        return self._broker.pid

    def start(self) -> None:
        self._broker.start()

    def stop(self) -> None:
        self._broker.stop()

    def kill(self) -> None:
        self._broker.kill()

    def close(self) -> None:
        self._broker.close()


Make = Callable[[Mapping[str, str] | None], Server]


def makers() -> list[Make]:
    """How to make each server: Kafka first, if this machine can have it."""
    try:
        KafkaReference()
    except KafkaMissing as missing:
        print(f"NOT COMPARED WITH APACHE KAFKA: {missing}", file=sys.stderr)
        return [Pabal]
    return [Kafka, Pabal]


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used: user and system, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Load:
    """What a stretch of work cost."""

    seconds: float = 0.0
    cpu: float = 0.0


class measured:
    """Wall time, and the CPU time of these processes together, from enter to exit."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self.load = Load()

    def __enter__(self) -> Load:
        self._cpu = sum(map(cpu_seconds, self._pids))
        self._began = time.perf_counter()
        return self.load

    def __exit__(self, *_: object) -> None:
        self.load.seconds = time.perf_counter() - self._began
        self.load.cpu = sum(map(cpu_seconds, self._pids)) - self._cpu
