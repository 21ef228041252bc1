"""Clusters in the background: ``pabal cluster up``, ``status`` and ``down``.

Each broker is a ``pabal-server`` of its own that outlives the command. What runs where stands in a
file, so that a later command finds it: ``cluster.json`` in the cluster's folder, which also has the
brokers' properties and what they log.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pabal.errors import PabalError
from pabal.process import server_program

__all__ = ["BackgroundBroker", "BackgroundCluster", "clusters", "state_directory"]

_PAUSE = 0.01
_FILE = "cluster.json"


def state_directory() -> Path:
    """Where the folders of all clusters are: ``$XDG_STATE_HOME/pabal``.

    Examples
    --------
    >>> state_directory().name
    'pabal'
    """
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "pabal"


def clusters() -> list[str]:
    """The names of all clusters that were brought up, and not deleted.

    Examples
    --------
    >>> isinstance(clusters(), list)
    True
    """
    return sorted(path.parent.name for path in state_directory().glob(f"*/{_FILE}"))


@dataclass
class BackgroundBroker:
    """One broker of a background cluster.

    Attributes
    ----------
    id, port, controller_port : int
        Its id, and where it listens on 127.0.0.1.
    directory : str
        Its log directory.
    pid, born : int, str
        The process that it last was, and when that one started, as the system says it.
    """

    id: int
    port: int
    controller_port: int
    directory: str
    pid: int = 0
    born: str = ""

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether its process lives; another one that has its number now does not count."""
        return self.pid != 0 and _birth(self.pid) == self.born != ""


@dataclass
class BackgroundCluster:
    """A cluster whose brokers run in the background, or ran.

    Attributes
    ----------
    name : str
        What the user calls it.
    cluster_id : str
        Its id in Kafka's sense.
    config : dict
        What the brokers were given besides what they need.
    brokers : list of BackgroundBroker
        The brokers in the order of their ids.
    """

    name: str
    cluster_id: str
    config: dict[str, str] = field(default_factory=dict)
    brokers: list[BackgroundBroker] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The folder of this cluster."""
        return state_directory() / self.name

    @property
    def bootstrap_servers(self) -> str:
        """What clients call ``bootstrap.servers``."""
        return ",".join(broker.address for broker in self.brokers)

    @property
    def is_running(self) -> bool:
        """Whether all brokers run."""
        return all(broker.is_running for broker in self.brokers)

    @classmethod
    def load(cls, name: str) -> BackgroundCluster:
        """The cluster called ``name``.

        Raises
        ------
        PabalError
            If there is none, or if its file cannot be read.
        """
        path = state_directory() / name / _FILE
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            known = clusters()
            others = f"; there are {', '.join(known)}" if known else ""
            raise PabalError(
                f"there is no cluster {name}{others}; `pabal cluster up {name}` makes one"
            ) from None
        try:
            document = json.loads(text)
            brokers = [BackgroundBroker(**broker) for broker in document.pop("brokers")]
            return cls(brokers=brokers, **document)
        except (ValueError, TypeError, KeyError) as error:
            raise PabalError(
                f"{path} cannot be read ({error}); end its pabal-server processes and remove it"
            ) from error

    @classmethod
    def create(
        cls, name: str, brokers: int, port: int, data_dir: str | None, config: Mapping[str, str]
    ) -> BackgroundCluster:
        """A new cluster, none of whose brokers runs yet.

        Raises
        ------
        PabalError
            If a port is taken, or the name cannot be one of a folder.
        """
        from pabal.cluster import _cluster_id_in, _cluster_properties, _new_cluster_id

        if not name or name.startswith((".", "-")) or not name.replace("-", "").isalnum():
            raise PabalError(f"a cluster's name is letters, digits and hyphens, not {name!r}")
        if brokers < 1:
            raise PabalError(f"a cluster has one broker at least, not {brokers}")
        folder = Path(data_dir).absolute() if data_dir else state_directory() / name
        made = cls(
            name,
            _cluster_id_in(folder) or _new_cluster_id(),
            {**_cluster_properties(brokers), **config},
        )
        with contextlib.ExitStack() as held:  # Until all are chosen, so that no two are the same.
            for index in range(brokers):
                made.brokers.append(
                    BackgroundBroker(
                        index,
                        held.enter_context(_free_port(port + index if port else 0)),
                        held.enter_context(_free_port(0)),
                        str(folder / f"broker-{index}"),
                    )
                )
        return made

    def start(self, timeout: float) -> list[BackgroundBroker]:
        """Start the brokers that do not run, and return them when they serve.

        Raises
        ------
        PabalError, TimeoutError
            If one cannot start; those that were started are ended again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        program = str(server_program())
        deadline = time.monotonic() + timeout
        begun = [broker for broker in self.brokers if not broker.is_running]
        processes = []
        try:
            for broker in begun:
                processes.append(self._begin(broker, program))
                self.save()  # So that it is known even if this command is killed.
            for broker, (process, reader) in zip(begun, processes, strict=True):
                self._await_ready(broker, process, reader, deadline)
            for process, _ in processes:
                process.returncode = 0  # It outlives us: nobody waits for it.
        except BaseException:
            for process, _ in processes:
                process.kill()
                process.wait()
            raise
        finally:
            for _, reader in processes:
                os.close(reader)
        return begun

    def _begin(self, broker: BackgroundBroker, program: str) -> tuple[subprocess.Popen[bytes], int]:
        from pabal.process import _escaped

        voters = ",".join(f"{one.id}@127.0.0.1:{one.controller_port}" for one in self.brokers)
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(broker.id),
            "log.dirs": broker.directory,
            "listeners": f"PLAINTEXT://{broker.address},"
            f"CONTROLLER://127.0.0.1:{broker.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": voters,
            **self.config,
        }
        path = self.folder / f"broker-{broker.id}.properties"
        lines = (f"{name}={_escaped(value)}\n" for name, value in properties.items())
        path.write_text("".join(lines), encoding="utf-8")
        reader, writer = os.pipe()
        try:
            with open(self.log(broker), "ab") as log:
                process = subprocess.Popen(
                    [
                        *(program, "--config", str(path), "--ready-fd", str(writer)),
                        *("--cluster-id", self.cluster_id),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(writer,),
                    start_new_session=True,
                )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        broker.pid, broker.born = process.pid, _birth(process.pid)
        return process, reader

    def _await_ready(
        self,
        broker: BackgroundBroker,
        process: subprocess.Popen[bytes],
        reader: int,
        deadline: float,
    ) -> None:
        import select

        readable, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise TimeoutError(
                f"broker {broker.id} does not serve in time; its log is {self.log(broker)}"
            )
        if not os.read(reader, 4096):
            process.wait()
            lines = self.log(broker).read_text(encoding="utf-8", errors="replace").splitlines()
            why = lines[-1].removeprefix("pabal-server: ") if lines else "it said nothing"
            raise PabalError(f"broker {broker.id} ended at once: {why}")

    def log(self, broker: BackgroundBroker) -> Path:
        """The file that a broker logs to."""
        return self.folder / f"broker-{broker.id}.log"

    def stop(self, timeout: float) -> list[BackgroundBroker]:
        """Shut down the brokers that run, and return them when they have ended.

        Raises
        ------
        TimeoutError
            If one still runs then.
        """
        ending = [broker for broker in self.brokers if broker.is_running]
        for broker in ending:
            with contextlib.suppress(ProcessLookupError):
                os.kill(broker.pid, signal.SIGCONT)  # One that stands still would not hear.
                os.kill(broker.pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        if not _await(lambda: not any(broker.is_running for broker in ending), deadline):
            still = ", ".join(str(broker.pid) for broker in ending if broker.is_running)
            raise TimeoutError(
                f"still shutting down after {timeout:g} s: process {still}; "
                "`kill -9` ends it, the log is recovered at the next start"
            )
        return ending

    def delete(self) -> None:
        """Remove everything that the cluster has on disk."""
        for broker in self.brokers:
            shutil.rmtree(broker.directory, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def forget(self) -> None:
        """Let there be no such cluster; what its brokers wrote stays."""
        (self.folder / _FILE).unlink(missing_ok=True)

    def save(self) -> None:
        """Write the file that later commands read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / _FILE
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        new.replace(path)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """While one command changes what runs, others wait."""
    directory = state_directory()
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _free_port(wanted: int) -> Iterator[int]:
    """A port that nobody listens on: ``wanted``, or any for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OverflowError:
            raise PabalError(f"there is no port {wanted}") from None
        except OSError as error:
            raise PabalError(
                f"port {wanted} is taken ({error.strerror}); "
                "--port takes another one, 0 any that is free"
            ) from error
        yield probe.getsockname()[1]


def _birth(pid: int) -> str:
    """When the process started, as the system counts; nothing if there is none that lives."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else _birth_by_ps(pid)
    except ProcessLookupError:
        return ""
    state, *rest = stat.rpartition(")")[2].split()  # The name before may hold anything.
    return "" if state in "ZX" else rest[18]


def _birth_by_ps(pid: int) -> str:
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, born = shown.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else born.strip()


def _await(condition: Callable[[], bool], deadline: float) -> bool:
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
    return True
