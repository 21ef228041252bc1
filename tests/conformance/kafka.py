"""A local Apache Kafka to compare with: its jars, its tools, its broker. Loopback only."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

VERSION = "4.3.0"
LOG4J_VERSION = "2.25.3"
ARTIFACTS = ("kafka_2.13", "kafka-clients", "kafka-shell", "kafka-tools")

LOGGING = """\
status = warn
appender.file.type = File
appender.file.name = file
appender.file.fileName = {file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %m (%c{{1}})%n
rootLogger.level = {level}
rootLogger.appenderRef.file.ref = file
"""


class KafkaMissing(Exception):
    """Apache Kafka cannot be had on this machine; the message says why."""


class KafkaReference:
    """An installation of Apache Kafka.

    The jars are looked for in ``$PABAL_KAFKA_LIBS`` and in ``~/.cache/pabal/kafka-4.3.0/libs``;
    they are put into the latter through Maven the first time, if there are Maven and a JDK of 17 or
    newer.

    Raises
    ------
    KafkaMissing
        If there is no Java, or no jars and no way to get them.
    """

    def __init__(self) -> None:
        java = shutil.which("java")
        if java is None or _java_version(java) < 17:
            raise KafkaMissing("Apache Kafka needs Java 17 or newer, and there is none")
        self._java = java
        self.libs = self._find_libs()

    def tool(
        self,
        class_name: str,
        *arguments: str,
        input: str | None = None,
        timeout: float = 120,
        heap: str = "512m",
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Kafka's command line tools, by its class."""
        with tempfile.TemporaryDirectory(prefix="pabal-kafka-") as directory:
            logging = Path(directory) / "log4j2.properties"
            logging.write_text(LOGGING.format(file=Path(directory) / "tool.log", level="warn"))
            return subprocess.run(
                [*self._command(heap, logging), class_name, *arguments],
                input=input,
                stdin=subprocess.DEVNULL if input is None else None,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )

    def broker(self, config: Mapping[str, str] | None = None, heap: str = "1g") -> KafkaBroker:
        """A broker that is formatted and running; close it, or use it in ``with``."""
        return KafkaBroker(self, config or {}, heap)

    def _command(self, heap: str, logging: Path) -> list[str]:
        return [
            self._java,
            f"-Xmx{heap}",
            "-XX:+UseG1GC",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={logging}",
            "-cp",
            f"{self.libs}/*",
        ]

    def _find_libs(self) -> Path:
        named = os.environ.get("PABAL_KAFKA_LIBS")
        if named:
            if not list(Path(named).glob("kafka-clients-*.jar")):
                raise KafkaMissing(f"PABAL_KAFKA_LIBS={named} has no kafka-clients jar")
            return Path(named)
        libs = Path.home() / ".cache" / "pabal" / f"kafka-{VERSION}" / "libs"
        if not list(libs.glob(f"kafka-clients-{VERSION}.jar")):
            self._install(libs)
        return libs

    @staticmethod
    def _install(libs: Path) -> None:
        maven = shutil.which("mvn")
        if maven is None:
            raise KafkaMissing("Apache Kafka is not installed, and there is no Maven to get it by")
        dependencies = [("org.apache.kafka", artifact, VERSION) for artifact in ARTIFACTS]
        dependencies += [
            ("org.apache.logging.log4j", artifact, LOG4J_VERSION)
            for artifact in ("log4j-core", "log4j-api", "log4j-slf4j-impl", "log4j-1.2-api")
        ]
        listing = "".join(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version></dependency>"
            for group, artifact, version in dependencies
        )
        with tempfile.TemporaryDirectory(prefix="pabal-maven-") as directory:
            pom = Path(directory) / "pom.xml"
            pom.write_text(
                '<project xmlns="http://maven.apache.org/POM/4.0.0">'
                "<modelVersion>4.0.0</modelVersion><groupId>pabal</groupId>"
                "<artifactId>reference</artifactId><version>1</version><packaging>pom</packaging>"
                f"<dependencies>{listing}</dependencies></project>"
            )
            partial = libs.with_name(f"libs.{os.getpid()}")
            result = subprocess.run(
                [maven, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies"]
                + ["-DincludeScope=runtime", f"-DoutputDirectory={partial}"],
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            if result.returncode != 0:
                shutil.rmtree(partial, ignore_errors=True)
                raise KafkaMissing(f"Maven could not get Apache Kafka: {result.stdout[-500:]}")
            try:
                partial.rename(libs)
            except OSError:  # Somebody else was faster.
                shutil.rmtree(partial, ignore_errors=True)


class KafkaBroker:
    """One combined broker and controller on loopback ports, in a temporary directory."""

    def __init__(self, kafka: KafkaReference, config: Mapping[str, str], heap: str) -> None:
        self._kafka = kafka
        self._heap = heap
        self.directory = Path(tempfile.mkdtemp(prefix="pabal-kafka-"))
        self.log_dir = self.directory / "data"
        self.port, controller_port = free_ports(2)
        controller = f"127.0.0.1:{controller_port}"
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": str(self.log_dir),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            **config,
        }
        self._properties = self.directory / "server.properties"
        self._properties.write_text(
            "".join(f"{key}={value}\n" for key, value in properties.items())
        )
        self._process: subprocess.Popen[bytes] | None = None
        try:
            formatted = kafka.tool(
                "kafka.tools.StorageTool",
                *("format", "--standalone", "--cluster-id", "cGFiYWwtcmVmZXJlbmNlLQ"),
                *("--config", str(self._properties)),
            )
            if formatted.returncode != 0:
                raise KafkaMissing(f"Kafka cannot format: {formatted.stdout}{formatted.stderr}")
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Id of the broker's process."""
        if self._process is None:
            raise RuntimeError("the broker does not run")
        return self._process.pid

    def start(self, timeout: float = 90) -> None:
        """Start the broker on its directory and wait until it answers Metadata for a topic list."""
        logging = self.directory / "log4j2.properties"
        logging.write_text(LOGGING.format(file=self.directory / "server.log", level="info"))
        self._process = subprocess.Popen(
            [*self._kafka._command(self._heap, logging), "kafka.Kafka", str(self._properties)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until_served(self.port, self._process, timeout)

    def stop(self) -> None:
        """End the broker cleanly."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker with SIGKILL."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End the broker and remove its directory."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, sent: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(sent)
            process.wait(60)

    def __enter__(self) -> KafkaBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def kafka_node(
    kafka: KafkaReference, properties: Mapping[str, str], cluster_id: str, *format_arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node of a cluster to which others belong, with a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="pabal-kafka-") as name:
        directory = Path(name)
        file = directory / "server.properties"
        settings = {**properties, "log.dirs": str(directory / "data")}
        file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        formatted = kafka.tool(
            "kafka.tools.StorageTool",
            *("format", "--cluster-id", cluster_id, "--config", str(file), *format_arguments),
        )
        if formatted.returncode != 0:
            raise KafkaMissing(f"Kafka cannot format: {formatted.stdout}{formatted.stderr}")
        logging = directory / "log4j2.properties"
        logging.write_text(LOGGING.format(file=directory / "server.log", level="info"))
        process = subprocess.Popen(
            [*kafka._command("256m", logging), "kafka.Kafka", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(60)


def wait_until_served(port: int, process: subprocess.Popen[bytes], timeout: float) -> None:
    """Wait until the broker lists itself as alive in its answer to Metadata version 1."""
    request = b"\x00\x00\x00\x15\x00\x03\x00\x01\x00\x00\x00\x07\x00\x05probe\x00\x00\x00\x00"
    request = len(request[4:]).to_bytes(4, "big") + request[4:]
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the broker ended with {process.returncode} instead of serving")
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.settimeout(2)
                connection.sendall(request)
                reply = connection.recv(12)
            if len(reply) == 12 and int.from_bytes(reply[8:12], "big") > 0:
                return
        except OSError:
            pass
        time.sleep(0.01)
    raise TimeoutError(f"the broker on port {port} serves nobody after {timeout} s")


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _java_version(java: str) -> int:
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0
