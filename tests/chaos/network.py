"""A small network of its own: one namespace per host and one with the switch between them.

Nothing of it is seen from outside, and it goes with its namespaces. What a host sends reaches
another by the other's hardware address; a cut points that to nobody, so that frames are lost
without anybody being told, as behind a pulled cable.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

__all__ = ["Network", "NetworkMissing"]

_NOBODY = "02:00:00:00:00:fe"
_PREFIX = "pabal-chaos"


class NetworkMissing(Exception):
    """This machine, or this user, cannot make namespaces."""


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkMissing(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _remove_left_behind() -> None:
    """The namespaces of processes that were killed before they could tidy up."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False)
    for name, pid in re.findall(rf"^({_PREFIX}-(\d+)-\S+)", listed.stdout, re.MULTILINE):
        if not Path(f"/proc/{pid}").exists():
            _ip("netns", "del", name)


class Network:
    """Hosts 0 to ``count - 1``, all connected; they are gone when it is closed."""

    def __init__(self, count: int) -> None:
        if shutil.which("ip") is None:
            raise NetworkMissing("there is no `ip`; Debian's package is iproute2")
        if os.geteuid() != 0:
            raise NetworkMissing("namespaces need root")
        _remove_left_behind()
        self._count = count
        self._made: list[str] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        switch = self._make("switch")
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for host in range(self._count):
            space, port = self._make(str(host)), f"port{host}"
            peer = ("peer", "name", "eth0", "netns", space, "address", _hardware(host))
            _ip("-n", switch, "link", "add", port, "type", "veth", *peer)
            _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
            _ip("-n", space, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "link", "set", "eth0", "up")
        self.heal()
        tried = subprocess.run(self.command(0, "true"), capture_output=True, text=True, check=False)
        if tried.returncode:
            raise NetworkMissing(f"nothing runs in a namespace: {tried.stderr.strip()}")

    def _make(self, name: str) -> str:
        space = self._space(name)
        _ip("netns", "add", space)
        self._made.append(space)
        return space

    def _space(self, name: str) -> str:
        return f"{_PREFIX}-{os.getpid()}-{name}"

    def address(self, host: int) -> str:
        """Of a host; it means something inside of this network only."""
        return f"10.77.0.{host + 1}"

    def command(self, host: int, *words: str) -> list[str]:
        """``words`` as a command on a host; its process is the command's own."""
        return ["ip", "netns", "exec", self._space(str(host)), *words]

    def cut(self, sender: int, receiver: int) -> None:
        """Lose what ``sender`` sends to ``receiver``; the other direction is another cut."""
        self._send_to(sender, receiver, _NOBODY)

    def unplug(self, host: int) -> None:
        """Pull the host's cable out of the switch."""
        _ip("-n", self._space("switch"), "link", "set", f"port{host}", "down")

    def heal(self) -> None:
        """Take back every cut, and plug all cables in."""
        for host in range(self._count):
            _ip("-n", self._space("switch"), "link", "set", f"port{host}", "up")
            for other in range(self._count):
                if other != host:
                    self._send_to(host, other, _hardware(other))

    def _send_to(self, sender: int, receiver: int, hardware: str) -> None:
        place = ("to", self.address(receiver), "dev", "eth0", "lladdr", hardware)
        _ip("-n", self._space(str(sender)), "neigh", "replace", *place, "nud", "permanent")

    def close(self) -> None:
        """Remove all namespaces. What still runs in one keeps it until it ends."""
        while self._made:
            _ip("netns", "del", self._made.pop())


def _hardware(host: int) -> str:
    return f"02:00:00:00:00:{host + 1:02x}"
