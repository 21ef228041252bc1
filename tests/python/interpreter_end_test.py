"""An interpreter that ends while threads are in the middle of calls: no crash, no hang."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import pytest

import pabal

DAEMONS = """
import sys, threading, time
import pabal

servers, ends = sys.argv[1], sys.argv[2]
producer = pabal.Producer(servers, linger_ms=1)
consumer = pabal.Consumer("busy", bootstrap_servers=servers, group="busy")
alone = pabal.Consumer("busy", bootstrap_servers=servers)
admin = pabal.Admin(servers)
begun = [threading.Event() for _ in range(6)]

def again_and_again(number, call):
    while True:
        try:
            call()
        except RuntimeError as error:  # The end has closed the client.
            if "closed" not in str(error):
                raise
            return
        finally:
            begun[number].set()

for number, call in enumerate((
    lambda: producer.send("busy", b"v").result(30),
    lambda: producer.send_many("busy", [b"v"] * 1000),
    lambda: producer.send("busy", b"v").add_done_callback(lambda future: future.result()),
    lambda: consumer.poll(timeout=60),
    lambda: alone.poll_arrow(timeout=60),
    lambda: admin.list_topics(timeout=60),
)):
    threading.Thread(target=again_and_again, args=(number, call), daemon=True).start()
for event in begun[:3] + begun[5:]:
    assert event.wait(60)
if ends == "error":
    raise SystemExit(3)
"""

CLUSTER = """
import threading
import pabal

cluster = pabal.Cluster()
cluster.create_topic("busy")
reader = cluster.consumer("busy")
writer = cluster.producer()
waits = threading.Event()

def read():
    waits.set()
    reader.poll(timeout=60)

def write():
    while True:
        writer.send("busy", b"v")

for call in (read, write):
    threading.Thread(target=call, daemon=True).start()
waits.wait(60)
"""


@pytest.mark.parametrize("ends", ["well", "error"])
def test_threads_that_call_clients_are_left_behind(ends: str) -> None:
    with pabal.Cluster() as cluster:
        cluster.create_topic("busy", partitions=2)
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", DAEMONS, cluster.bootstrap_servers, ends],
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert (done.returncode, done.stdout) == (3 if ends == "error" else 0, ""), done.stderr
            assert "Fatal" not in done.stderr, done.stderr


def test_a_cluster_of_the_same_process_is_left_behind() -> None:
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", CLUSTER],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "Fatal" not in done.stderr, done.stderr


def test_an_admin_that_another_thread_closes() -> None:
    # A port that takes connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        admin = pabal.Admin(f"127.0.0.1:{silent.getsockname()[1]}", request_timeout_ms=2000)
        told: list[Exception] = []

        def ask() -> None:
            try:
                admin.list_topics(timeout=30)
            except RuntimeError as error:
                told.append(error)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        connection, _ = silent.accept()
        with connection:
            began = time.monotonic()
            admin.close()
            for thread in threads:
                thread.join(20)
        assert time.monotonic() - began < 10
        assert [str(error) for error in told] == ["the client is closed"] * 2
