"""The partner's mail server mx.partner.test: Postfix's smtp-sink, which keeps what it receives and misbehaves on demand."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from tests.lab.instance import Instance
from tests.lab.network import PARTNER_ADDRESS, Network
from tests.lab.process import wait_for

_PART = "partner"

# The sink comes from the root of the lab's own Debian; $0 that root, $1 where the mail goes.
_SINK = """\
mount --bind "$1" "$0/mnt"
root=$0; shift
exec chroot "$root" /usr/sbin/smtp-sink "$@"
"""


class Partner:
    """The server at 10.0.1.30, port 25. Each change restarts it; what it has received stays until `reset`."""

    def __init__(self, instance: Instance, network: Network, root: Path) -> None:
        self._instance, self._network, self._root = instance, network, root
        self._inbox = instance.directory / "partner"
        self._inbox.mkdir()
        self._inbox.chmod(0o777)
        self._pristine = False

    def start(self, *options: str) -> None:
        """Accept all mail, or behave as the smtp-sink(1) `options` say."""
        self.stop()
        sink = [*options, "-u", "nobody", "-h", "mx.partner.test", "-D", "/mnt/%s.", f"{PARTNER_ADDRESS}:25", "100"]
        script = ["sh", "-euc", _SINK, str(self._root), str(self._inbox), *sink]
        self._instance.spawn(_PART, [*self._network.enter_switch(), *script])
        wait_for("the partner to listen", self._listens, timeout=10)
        self._pristine = not options

    def stop(self) -> None:
        """Refuse connections, as a machine without a mail server does."""
        self._pristine = False
        self._instance.end(_PART)

    def reject(self) -> None:
        """Refuse every recipient for good (5xx)."""
        self.start("-f", "RCPT")

    def tempfail(self) -> None:
        """Refuse every recipient for now (4xx)."""
        self.start("-r", "RCPT")

    def refuse(self) -> None:
        """Greet every client with 421 and close the connection."""
        self.start("-Q", "CONNECT")

    def hang(self, seconds: int = 3600) -> None:
        """Take `seconds` to answer RCPT TO."""
        self.start("-W", f"rcpt:{seconds}")

    def reset(self) -> None:
        """Accept everything again, and forget what was received."""
        for message in self._inbox.iterdir():
            message.unlink(missing_ok=True)
        if not self._pristine:
            self.start()

    def messages(self) -> list[str]:
        """All messages received since the last reset, oldest first, with the X- headers in which smtp-sink keeps the envelope."""
        found = []
        for path in sorted(self._inbox.iterdir()):
            with contextlib.suppress(FileNotFoundError):  # smtp-sink takes back what was not sent to its end
                found.append(path.read_text(errors="replace"))
        return found

    def remove(self) -> None:
        """Drop the inbox with everything in it."""
        shutil.rmtree(self._inbox, ignore_errors=True)

    def _listens(self) -> str:
        return self._network.in_switch(["ss", "-Hltn", f"src {PARTNER_ADDRESS}:25"]).stdout
