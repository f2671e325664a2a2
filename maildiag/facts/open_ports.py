"""Which programs listen on the ports of mail."""

from __future__ import annotations

from maildiag.asking import Ask
from maildiag.probes import Listener, Listeners
from maildiag.records import dataclass
from maildiag.registry import gatherer


@dataclass(frozen=True, slots=True)
class OpenPorts:
    """Every listening TCP socket."""

    listeners: tuple[Listener, ...]

    def on(self, port: int) -> tuple[Listener, ...]:
        """Those on this port."""
        return tuple(each for each in self.listeners if each.port == port)


@gatherer
def open_ports(ask: Ask) -> OpenPorts:
    """Ask the kernel."""
    return OpenPorts(ask(Listeners()))
