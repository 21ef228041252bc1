"""One broker of a cluster: its runs, its death, its return."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from pabal import _core
from pabal.duration import Duration, seconds
from pabal.process import ServerProcess

__all__ = ["Broker"]

Isolation = Literal["thread", "process"]


class _Runner(Protocol):
    """One run of a broker, from its start to its end."""

    @property
    def cluster_id(self) -> str: ...
    @property
    def running(self) -> bool: ...
    def wait(self, timeout: float) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def stop(self, timeout: float) -> None: ...
    def kill(self) -> None: ...


class _Port:
    """A port of this machine that is ours, whether a broker listens there just now or not.

    The socket is bound and never listens: nobody else is given the port, a broker may listen on it,
    and while none does a connection is refused.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()


class Broker:
    """One broker of a cluster, running or not.

    Examples
    --------
    >>> from pabal import Cluster
    >>> with Cluster(isolation="process") as cluster:
    ...     broker = cluster.broker(0)
    ...     broker.kill()
    ...     broker.restart()
    ...     broker.is_running
    True
    """

    def __init__(
        self,
        broker_id: int,
        directory: Path,
        config: Mapping[str, str],
        run: Callable[[Mapping[str, str]], _Runner],
        changed: Callable[[], None],
        *,
        is_controller: bool,
    ) -> None:
        self._id = broker_id
        self._directory = directory
        self._config = dict(config)
        self._run = run
        self._changed = changed  # Told before the broker goes or falls silent.
        self._is_controller = is_controller
        self._runner: _Runner | None = None
        self._is_paused = False
        self._port = _Port()
        self._controller_port = _Port()

    @property
    def id(self) -> int:
        """The broker's id, its ``node.id``."""
        return self._id

    @property
    def address(self) -> str:
        """``host:port`` of the listener for clients. It stays the same through restarts."""
        return f"127.0.0.1:{self._port.number}"

    @property
    def directory(self) -> Path:
        """The log directory, in Kafka's layout."""
        return self._directory

    @property
    def pid(self) -> int:
        """Id of the process that the broker runs in; this one's with ``isolation="thread"``.

        Raises
        ------
        RuntimeError
            If the broker does not run.
        """
        runner = self._live()
        return runner.pid if isinstance(runner, ServerProcess) else os.getpid()

    @property
    def is_running(self) -> bool:
        """Whether the broker runs."""
        return self._runner is not None and self._runner.running

    @property
    def is_paused(self) -> bool:
        """Whether `pause` was called, and `resume` was not."""
        return self._is_paused

    def start(self, *, timeout: Duration = 30.0) -> None:
        """Start the broker; nothing happens if it runs.

        In a cluster of several it serves once a majority of the brokers runs: `Cluster.start`
        starts all that are down at once.

        Parameters
        ----------
        timeout : timedelta or float
            How long it may take until clients are served, in seconds.

        Raises
        ------
        pabal.errors.PabalError
            If it cannot start; the message says why.
        TimeoutError
            If it serves nobody in time.
        """
        if not self.is_running:
            self._begin()
            self._wait(seconds(timeout, "timeout"))

    def _begin(self) -> None:
        listeners = f"PLAINTEXT://127.0.0.1:{self._port.number}"
        if self._is_controller:
            listeners += f",CONTROLLER://127.0.0.1:{self._controller_port.number}"
        self._is_paused = False
        self._runner = self._run(
            {
                "process.roles": "broker,controller" if self._is_controller else "broker",
                "node.id": str(self._id),
                "log.dirs": str(self._directory),
                "listeners": listeners,
                "controller.listener.names": "CONTROLLER",
                **self._config,
            }
        )

    def _wait(self, timeout: float) -> None:
        """Until the broker serves clients; it is gone if it does not."""
        if self._runner is None:
            return
        try:
            self._runner.wait(timeout)
        except BaseException:
            self._runner = None
            raise

    def _live(self) -> _Runner:
        if self._runner is None:
            raise RuntimeError(f"broker {self._id} does not run; call restart() first")
        return self._runner

    def stop(self, *, timeout: Duration = 30.0) -> None:
        """Shut the broker down cleanly; nothing happens if it does not run.

        Parameters
        ----------
        timeout : timedelta or float
            How long the shutdown may take, in seconds, before `TimeoutError` is raised.
        """
        limit = seconds(timeout, "timeout")
        if self._is_paused:
            self.resume()
        runner, self._runner = self._runner, None
        if runner is not None:
            self._changed()
            runner.stop(limit)

    def kill(self) -> None:
        """End the broker at once, as SIGKILL does: no reply leaves any more, nothing is tidied up.

        With ``isolation="process"`` this *is* SIGKILL.
        """
        self._is_paused = False
        runner, self._runner = self._runner, None
        if runner is not None:
            self._changed()
            runner.kill()

    def pause(self) -> None:
        """Let the broker stand still, as SIGSTOP does; its connections stay open.

        With ``isolation="process"`` this *is* SIGSTOP.

        Raises
        ------
        RuntimeError
            If the broker does not run.
        """
        self._changed()
        self._live().pause()
        self._is_paused = True

    def resume(self) -> None:
        """Let a paused broker go on; nothing happens to another.

        Raises
        ------
        RuntimeError
            If the broker does not run.
        """
        self._live().resume()
        self._is_paused = False

    def restart(self, *, timeout: Duration = 30.0) -> None:
        """Stop the broker if it runs, and start it on the same directory and port."""
        self.stop(timeout=timeout)
        self.start(timeout=timeout)

    def log_tail(self, lines: int = 20) -> list[str]:
        """The last lines that the broker logged, the latest last; none if it does not run."""
        if isinstance(self._runner, _core.Broker):
            return self._runner.log_lines()[-lines:]
        if isinstance(self._runner, ServerProcess) and self._runner.running:
            return self._runner.log_tail(lines * 200).splitlines()[-lines:]
        return []

    def metrics(self) -> str:
        """Counters and latencies since the start, in the text format that Prometheus reads.

        Raises
        ------
        RuntimeError
            If the broker runs in a process of its own: set ``pabal.metrics.listener`` and ask
            there.
        """
        if not isinstance(self._runner, _core.Broker):
            raise RuntimeError(
                "only a broker of this process tells its metrics here; "
                "for others set pabal.metrics.listener and read http://host:port/metrics"
            )
        return self._runner.metrics()

    def __repr__(self) -> str:
        return f"<pabal.Broker {self._id} {self.address} {self._state()}>"

    def _state(self) -> str:
        if not self.is_running:
            return "not running"
        return "paused" if self._is_paused else "running"

    def _release_ports(self) -> None:
        self._port.release()
        self._controller_port.release()
