"""What producing and consuming cost the broker: CPU seconds per GB (1e9 bytes of batches), MB/s.

The raw-wire client sends frames that were built before, and throws away what it fetches, so that
the broker is what is measured. The floor is the same bytes through a socket into a file, and out of
a file by sendfile, taken between the brokers' runs: what a page of memory costs on a virtual
machine depends on whether its host has it at hand, and the floor alone has been seen between 0.35
and 2.6 s/GB within one minute. Both brokers are warmed up with the same load first, as the JVM
compiles its code.
"""

from __future__ import annotations

import os
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Callable

from benchmarks.java_producer import produce_by_java
from benchmarks.report import Report
from benchmarks.servers import Server, makers, measured
from benchmarks.wire import PRODUCE, Connection, produce_body, record_batch

CONFIG = {"num.partitions": "1", "log.retention.bytes": str(4 << 30)}
LARGE = 1_000_000
IN_FLIGHT = 5
PRODUCE_LARGE = "produce, 1 MB batches: CPU s/GB"
PRODUCE_MIDDLE = "produce, 16 KB batches, raw wire: CPU s/GB"
PRODUCE_JAVA = "produce, Java's 16 KB batches of 1 KiB: CPU s/GB"
CONSUME = "consume, 1 MB fetches: CPU s/GB"


def produce_raw(server: Server, topic: str, batch: bytes, total_bytes: int) -> tuple[float, float]:
    """Send the batch again and again, some requests ahead; CPU s/GB and MB/s."""
    with Connection(server.port) as connection:
        frame = memoryview(connection.frame(PRODUCE, 7, produce_body(topic, 0, batch, 1)))
        count = -(-total_bytes // len(batch))
        with measured(server.pid) as load:
            sent = 0
            for received in range(count):
                while sent < count and sent - received < IN_FLIGHT:
                    connection.send_frame(frame)
                    sent += 1
                error = connection.produce_error(connection.receive())
                assert error == 0, f"Produce answered {error}"
    total = count * len(batch)
    return load.cpu / (total / 1e9), total / load.seconds / 1e6


def consume_raw(server: Server, topic: str, total_bytes: int) -> tuple[float, float]:
    """Fetch 1 MB at a time from the beginning; CPU s/GB and MB/s."""
    with Connection(server.port) as connection:
        offset, total = 0, 0
        with measured(server.pid) as load:
            while total < total_bytes:
                fetched = connection.fetch(topic, 0, offset, LARGE + 100_000)
                assert fetched.error == 0, f"Fetch answered {fetched.error}"
                assert fetched.next_offset > offset, "nothing was fetched"
                offset, total = fetched.next_offset, total + fetched.size_bytes
    return load.cpu / (total / 1e9), total / load.seconds / 1e6


def round_trips(server: Server, topic: str, count: int) -> tuple[float, float]:
    """One record produced and acknowledged at a time; p50 and p99 in ms."""
    batch = record_batch(1, b"x" * 100)
    times = []
    with Connection(server.port) as connection:
        frame = memoryview(connection.frame(PRODUCE, 7, produce_body(topic, 0, batch, -1)))
        for _ in range(count):
            began = time.perf_counter()
            connection.send_frame(frame)
            reply = connection.receive()
            times.append(time.perf_counter() - began)
            assert connection.produce_error(reply) == 0
    times.sort()
    return times[count // 2] * 1000, times[count * 99 // 100] * 1000


def thread_cpu(work: Callable[[], None], peer: Callable[[], None]) -> float:
    """CPU seconds of this thread for `work`, while another does `peer`."""
    thread = threading.Thread(target=peer)
    thread.start()
    before = resource.getrusage(resource.RUSAGE_THREAD)
    work()
    after = resource.getrusage(resource.RUSAGE_THREAD)
    thread.join()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def receive_all(connection: socket.socket, view: memoryview) -> None:
    """Fill the view."""
    while len(view):
        view = view[connection.recv_into(view) :]


def floors(chunk_bytes: int, count: int) -> tuple[float, float]:
    """CPU s/GB of chunks from a socket into a file, each acknowledged, and back by sendfile."""
    gigabytes = chunk_bytes * count / 1e9
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as file:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with client, accepted:
            for end in (client, accepted):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def receive_into_file() -> None:
                chunk = memoryview(bytearray(chunk_bytes))
                for _ in range(count):
                    receive_all(accepted, chunk)
                    os.write(file.fileno(), chunk)
                    accepted.sendall(b"acknowledged")

            def send() -> None:
                chunk, reply = b"x" * chunk_bytes, memoryview(bytearray(len(b"acknowledged")))
                for number in range(count + IN_FLIGHT):
                    if number < count:
                        client.sendall(chunk)
                    if number >= IN_FLIGHT:
                        receive_all(client, reply)

            def send_file() -> None:
                for number in range(count):
                    position, end = number * chunk_bytes, (number + 1) * chunk_bytes
                    while position < end:
                        position += os.sendfile(
                            accepted.fileno(), file.fileno(), position, end - position
                        )

            def discard() -> None:
                chunk = memoryview(bytearray(chunk_bytes))
                for _ in range(count):
                    receive_all(client, chunk)

            into_file = thread_cpu(receive_into_file, send)
            return into_file / gigabytes, thread_cpu(send_file, discard) / gigabytes


def run(runs: int) -> None:
    """Print the table."""
    report = Report("The data path of one broker")
    total = 1_000_000_000
    large = record_batch(LARGE // 1024, b"x" * 1012)
    middle = record_batch(15, b"x" * 1012)
    for make in makers():
        server = make(CONFIG)
        try:
            with Connection(server.port) as connection:
                for topic in ("large", "middle", "java", "single"):
                    assert connection.create_topic(topic, 1) == 0
                while not connection.has_leaders("single", 1):
                    pass
            for _ in range(3):
                produce_raw(server, "large", large, total)
                consume_raw(server, "large", total)
                produce_raw(server, "middle", middle, total // 4)
                round_trips(server, "single", 20_000)
            for _ in range(runs):
                cpu, speed = produce_raw(server, "large", large, total)
                report.add(PRODUCE_LARGE, server.name, cpu, "≤ 0.8")
                report.add("produce, 1 MB batches: MB/s", server.name, speed)
                cpu, speed = consume_raw(server, "large", total)
                report.add(CONSUME, server.name, cpu, "≤ 0.15")
                report.add("consume, 1 MB fetches: MB/s", server.name, speed)
                into_file, out_of_file = floors(LARGE, total // LARGE)
                report.add(PRODUCE_LARGE, "floor", into_file)
                report.add(CONSUME, "floor", out_of_file)
                cpu, speed = produce_raw(server, "middle", middle, total // 4)
                report.add(PRODUCE_MIDDLE, server.name, cpu)
                report.add(PRODUCE_MIDDLE, "floor", floors(16_000, total // 4 // 16_000)[0])
                java = produce_by_java(
                    f"127.0.0.1:{server.port}", [server.pid], "java", 1024, total // 1024
                )
                if java is not None:
                    cpu = java.cpu_seconds_per_gigabyte
                    report.add(PRODUCE_JAVA, server.name, cpu, "≤ 1.0")
                    report.add(PRODUCE_JAVA, "floor", floors(16_000, total // 16_000)[0])
                p50, p99 = round_trips(server, "single", 10_000)
                report.add("produce and acknowledgement: p50 ms", server.name, p50, "≤ 0.1")
                report.add("produce and acknowledgement: p99 ms", server.name, p99, "≤ 0.3")
        finally:
            server.close()
    report.print()
