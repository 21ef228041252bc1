"""`pabal-server` processes, each on a host of its own, started from a properties file."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

from chaos.network import Network
from pabal.process import server_program

__all__ = ["CLUSTER_ID", "PORT", "Server"]

CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
PORT = 9092
_CONTROLLER_PORT = 9093


class Server:
    """The broker and controller on one host, over all its lives."""

    def __init__(self, network: Network, host: int, brokers: int, directory: Path) -> None:
        self.id = host
        self.data = directory / f"data-{host}"
        self.log = directory / f"server-{host}.log"
        self._network = network
        self._file = directory / f"{host}.properties"
        address = network.address(host)
        voters = ",".join(
            f"{voter}@{network.address(voter)}:{_CONTROLLER_PORT}" for voter in range(brokers)
        )
        self._file.write_text(
            f"process.roles=broker,controller\n"
            f"node.id={host}\n"
            f"listeners=PLAINTEXT://{address}:{PORT},CONTROLLER://{address}:{_CONTROLLER_PORT}\n"
            f"controller.listener.names=CONTROLLER\n"
            f"controller.quorum.voters={voters}\n"
            f"log.dirs={self.data}\n"
            f"min.insync.replicas=2\n"
            f"replica.lag.time.max.ms=2000\n"
            f"default.replication.factor=3\n"
            f"offsets.topic.replication.factor=3\n",
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = -1

    def start(self) -> None:
        """Begin a life; `wait` awaits that it serves."""
        self._forget()
        self._ready, writer = os.pipe()
        words = ["--config", str(self._file), "--cluster-id", CLUSTER_ID]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._network.command(
                    self.id, str(server_program()), *words, "--ready-fd", str(writer)
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
            )
        os.close(writer)

    def wait(self, seconds: float) -> None:
        """Until clients are served."""
        readable, _, _ = select.select([self._ready], [], [], seconds)
        told = os.read(self._ready, 4096) if readable else b""
        assert told.startswith(b"ready"), f"broker {self.id} does not serve: {self.last_words()}"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """A signal to the process, if it lives."""
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and the end."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(30)
        self._forget()

    def stop(self, seconds: float) -> None:
        """SIGTERM, and a clean end."""
        assert self._process is not None
        self.send(signal.SIGTERM)
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"broker {self.id} does not end: {self.last_words()}") from None
        assert code == 0, f"broker {self.id} ended with {code}: {self.last_words()}"
        self._forget()

    def last_words(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-15:])

    def stored(self, topic: str, partition: int) -> bytes:
        """The bytes of its replica, whatever its segments."""
        segments = sorted((self.data / f"{topic}-{partition}").glob("*.log"))
        return b"".join(path.read_bytes() for path in segments)

    def _forget(self) -> None:
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
