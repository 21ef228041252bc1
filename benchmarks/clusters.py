"""Clusters of three processes, pabal's and Kafka's, behind one face."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pabal
from benchmarks.servers import makers
from conformance.kafka import LOGGING, KafkaReference, free_ports, wait_until_served

BROKERS = 3
PATIENCE = 120.0


class Cluster(Protocol):
    """Three running brokers, with ids from 0."""

    @property
    def name(self) -> str: ...
    @property
    def bootstrap_servers(self) -> str: ...
    @property
    def ports(self) -> list[int]: ...
    @property
    def pids(self) -> list[int]: ...
    def kill(self, broker: int) -> None: ...
    def stop(self, broker: int) -> None: ...
    def controller(self) -> int: ...
    def close(self) -> None: ...


class Pabal:
    """Three ``pabal-server`` processes."""

    name = "pabal"

    def __init__(self) -> None:
        self._cluster = pabal.Cluster(brokers=BROKERS, isolation="process")

    @property
    def bootstrap_servers(self) -> str:
        return self._cluster.bootstrap_servers

    @property
    def ports(self) -> list[int]:
        addresses = self._cluster.bootstrap_servers.split(",")
        return [int(address.rpartition(":")[2]) for address in addresses]

    @property
    def pids(self) -> list[int]:
        return [broker.pid for broker in self._cluster.brokers if broker.is_running]

    def kill(self, broker: int) -> None:
        self._cluster.broker(broker).kill()

    def stop(self, broker: int) -> None:
        self._cluster.broker(broker).stop()

    def controller(self) -> int:
        return self._cluster.controller().id

    def close(self) -> None:
        # A clean stop would sync every partition.
        for broker in self._cluster.brokers:
            if broker.is_running:
                broker.kill()
        self._cluster.close()


class Kafka:
    """Three Apache Kafka processes with combined roles and the settings that Kafka ships."""

    name = "kafka"

    def __init__(self) -> None:
        self._kafka = KafkaReference()
        self._directory = Path(tempfile.mkdtemp(prefix="pabal-kafka-"))
        ports = free_ports(2 * BROKERS)
        self._ports, controllers = ports[:BROKERS], ports[BROKERS:]
        voters = ",".join(f"{index}@127.0.0.1:{port}" for index, port in enumerate(controllers))
        self._processes: list[subprocess.Popen[bytes] | None] = []
        try:
            for index in range(BROKERS):
                self._start(index, controllers[index], voters)
            for port, process in zip(self._ports, self._processes, strict=True):
                assert process is not None
                wait_until_served(port, process, PATIENCE)
        except BaseException:
            self.close()
            raise

    def _start(self, index: int, controller_port: int, voters: str) -> None:
        home = self._directory / str(index)
        home.mkdir()
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(index),
            "listeners": f"PLAINTEXT://127.0.0.1:{self._ports[index]},"
            f"CONTROLLER://127.0.0.1:{controller_port}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": voters,
            "log.dirs": str(home / "data"),
            "min.insync.replicas": "2",
        }
        file = home / "server.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        formatted = self._kafka.tool(
            "kafka.tools.StorageTool",
            *("format", "--cluster-id", "cGFiYWwtcmVmZXJlbmNlLQ", "--config", str(file)),
        )
        assert formatted.returncode == 0, formatted.stdout + formatted.stderr
        logging = home / "log4j2.properties"
        logging.write_text(LOGGING.format(file=home / "server.log", level="info"))
        self._processes.append(
            subprocess.Popen(
                [*self._kafka._command("1g", logging), "kafka.Kafka", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    @property
    def ports(self) -> list[int]:
        return self._ports

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes if process is not None]

    def kill(self, broker: int) -> None:
        self._end(broker, signal.SIGKILL)

    def stop(self, broker: int) -> None:
        self._end(broker, signal.SIGTERM)

    def controller(self) -> int:
        told = self._kafka.tool(
            "org.apache.kafka.tools.MetadataQuorumCommand",
            *("--bootstrap-server", self.bootstrap_servers, "describe", "--status"),
        )
        for line in told.stdout.splitlines():
            name, _, value = line.partition(":")
            if name == "LeaderId":
                return int(value)
        raise RuntimeError(f"no leader in: {told.stdout}{told.stderr}")

    def close(self) -> None:
        for broker in range(len(self._processes)):
            self._end(broker, signal.SIGKILL)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _end(self, broker: int, sent: signal.Signals) -> None:
        process, self._processes[broker] = self._processes[broker], None
        if process is not None:
            process.send_signal(sent)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)


def cluster_makers() -> list[Callable[[], Cluster]]:
    """How to make each cluster: Kafka first, if this machine can have it."""
    return [Kafka, Pabal] if len(makers()) == 2 else [Pabal]


def create_topic(servers: str, name: str, partitions: int) -> None:
    """Create a topic with a replica on every broker, of which two have to be in sync."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": servers})
    topic = NewTopic(name, partitions, BROKERS, config={"min.insync.replicas": "2"})
    admin.create_topics([topic])[name].result(PATIENCE)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Look again and again until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)
