"""The network 10.0.1.0/24 of one lab: a bridge in a namespace of its own, and a namespace with one cable for each host."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab.instance import Instance
from tests.lab.process import execute, wait_for

GATEWAY = "10.0.1.1"
DNS_ADDRESS = "10.0.1.53"
PARTNER_ADDRESS = "10.0.1.30"
PREFIX = 24

SWITCH = "switch"


class Network:
    """Creates and removes the namespaces. A namespace lives as long as its holder process; nothing is mounted anywhere."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._holders: dict[str, int] = {}

    def start(self) -> None:
        """Make the switch: it routes nowhere and says so at once, so that a stray packet never means a long wait."""
        pid = self._hold(SWITCH)
        addresses = "".join(
            f"addr add {address}/{PREFIX} dev br0\n" for address in (GATEWAY, DNS_ADDRESS, PARTNER_ADDRESS)
        )
        self._ip(
            pid,
            f"link add br0 type bridge\nlink set br0 address {_hardware_address(GATEWAY)}\nlink set lo up\nlink set br0 up\n{addresses}route add unreachable default\n",
        )
        self.in_switch(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])

    def attach(self, name: str, address: str) -> Path:
        """A fresh namespace for the host `name` with `address` on its eth0; returns the namespace as a path.

        An older namespace of that name goes first, and with it every firewall rule, route and queueing discipline in it.
        """
        self.detach(name)
        pid, switch = self._hold(f"net-{name}"), self._holders[SWITCH]
        execute(
            [
                "ip",
                "link",
                "add",
                "eth0",
                "netns",
                str(pid),
                "type",
                "veth",
                "peer",
                "name",
                f"to-{name}",
                "netns",
                str(switch),
            ]
        )
        self._ip(switch, f"link set to-{name} master br0 up\n")
        self._ip(
            pid,
            f"link set lo up\nlink set eth0 address {_hardware_address(address)}\naddr add {address}/{PREFIX} dev eth0\nlink set eth0 up\nroute add default via {GATEWAY}\n",
        )
        return Path(f"/proc/{pid}/ns/net")

    def detach(self, name: str) -> None:
        """Remove the namespace of the host `name`, whose processes must have ended; fine if it has none."""
        if self._holders.pop(f"net-{name}", None) is not None:
            # The kernel takes its time to remove the cable with the namespace, and the next one has the same name.
            self.in_switch(["ip", "link", "delete", f"to-{name}"], check=False)
            self._instance.end(f"net-{name}")

    def in_switch(self, argv: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `argv` to its end in the namespace where DNS, the partner and the gateway have their addresses."""
        return execute([*self.enter_switch(), *argv], check=check)

    def enter_switch(self) -> list[str]:
        """The words to put before a command that shall run in the switch's namespace."""
        return ["nsenter", f"--net=/proc/{self._holders[SWITCH]}/ns/net"]

    def _hold(self, name: str) -> int:
        holder = self._instance.spawn(name, ["unshare", "--net", "sleep", "infinity"])
        ours = _namespace("self")
        wait_for(f"the namespace {name}", lambda: _namespace(holder.pid) not in (None, ours), timeout=10)
        self._holders[name] = holder.pid
        return holder.pid

    def _ip(self, pid: int, batch: str) -> None:
        execute(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"], input=batch)


def _hardware_address(address: str) -> str:
    """The same whenever hosts come and go: their neighbours would go on sending to the old one for a while."""
    return "02:00:" + ":".join(f"{int(number):02x}" for number in address.split("."))


def _namespace(pid: int | str) -> Path | None:
    try:
        return Path(f"/proc/{pid}/ns/net").readlink()
    except OSError:
        return None
