"""A broker as a server process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from pabal.errors import PabalError
from pabal.programs import native_program

__all__ = ["ServerProcess", "server_program"]

READY = "ready "


def server_program() -> Path:
    """Path of the installed ``pabal-server``."""
    return native_program("pabal-server")


class ServerProcess:
    """A run of ``pabal-server``: from its exec to its end.

    Parameters
    ----------
    properties : dict
        Kafka's broker properties.
    cluster_id : str, optional
        The cluster that it belongs to; without it, whatever its directory says.
    arguments : sequence of str
        What the program is told beside, such as ``--standalone``.
    """

    def __init__(
        self,
        properties: dict[str, str],
        cluster_id: str | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        command = [str(server_program())]
        # Until the server has read it.
        self._file = tempfile.NamedTemporaryFile(
            "w", prefix="pabal-", suffix=".properties", encoding="utf-8"
        )
        for name, value in properties.items():
            self._file.write(f"{name}={_escaped(value)}\n")
        self._file.flush()
        self._log = tempfile.TemporaryFile("w+b")
        self._port = 0
        self._cluster_id = ""
        self._reader, writer = os.pipe()
        command += ["--config", self._file.name, "--ready-fd", str(writer)]
        if cluster_id is not None:
            command += ["--cluster-id", cluster_id]
        command += arguments
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(writer,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._reader)
            self._file.close()
            raise
        finally:
            os.close(writer)

    def wait(self, timeout: float) -> None:
        """Until clients are served; the process is killed if that takes too long.

        Raises
        ------
        TimeoutError, PabalError
            If nobody is served in time, or the process ended; both tell what it wrote.
        """
        try:
            ready = self._await_ready(self._reader, timeout)
        except BaseException:
            self.kill()
            raise
        self._started()
        self._port = int(ready["port"])
        self._cluster_id = ready["cluster.id"]

    def _started(self) -> None:
        """Nothing of the start is needed any more."""
        if not self._file.closed:
            self._file.close()
            os.close(self._reader)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Port of the first listener for clients."""
        return self._port

    @property
    def cluster_id(self) -> str:
        """Id of the cluster that the broker belongs to."""
        return self._cluster_id

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def pause(self) -> None:
        """Send SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self, timeout: float) -> None:
        """Send SIGTERM and wait for the clean shutdown."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self._end(signal.SIGKILL, 30.0)

    def log_tail(self, size_bytes: int = 4096) -> str:
        """The last lines that the server wrote."""
        # Not by seek: the server writes where this descriptor stands.
        descriptor = self._log.fileno()
        end = os.fstat(descriptor).st_size
        return os.pread(descriptor, size_bytes, max(0, end - size_bytes)).decode(errors="replace")

    def _end(self, sent: signal.Signals, timeout: float) -> None:
        if self.running:
            self._process.send_signal(sent)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired as expired:
            raise TimeoutError(
                f"pabal-server (pid {self.pid}) still runs {timeout:g} s after {sent.name}"
            ) from expired
        finally:
            if not self.running:
                self._started()
                self._log.close()

    def _await_ready(self, reader: int, timeout: float) -> dict[str, str]:
        """The line that the server writes when it serves: ``ready port=9092 cluster.id=…``."""
        import select

        deadline = monotonic() + timeout
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([reader], [], [], max(0.0, deadline - monotonic()))
            if not readable:
                raise TimeoutError(
                    f"pabal-server does not serve after {timeout:g} s; it wrote:\n{self.log_tail()}"
                )
            chunk = os.read(reader, 4096)
            if not chunk:
                code = self._process.wait()
                raise PabalError(f"pabal-server ended with {code}; it wrote:\n{self.log_tail()}")
            line += chunk
        words = line.decode().removeprefix(READY).split()
        return dict(word.split("=", 1) for word in words)


def _escaped(value: str) -> str:
    """``value`` as a Java properties file spells it."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
