"""Whether the host's clock is kept, and what else on the host tells of the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from maildiag.asking import Ask
from maildiag.facts.postfix import Postfix
from maildiag.probes import CommandResult, FileInfo, Identity, Stat, command
from maildiag.registry import begins

_TIMEDATECTL = command("timedatectl", "show")
# Files that are written when software is installed or the host boots: the time cannot be before them.
WITNESSES = ("/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite", "/etc/passwd", "/var/log/wtmp", "/run/systemd")


@dataclass(frozen=True, slots=True)
class Clock:
    """`service` tells whether a time service keeps the clock (None: unknown), `synchronized` whether the kernel calls it so.

    `witnesses` are files with the time of their last change.
    """

    now: datetime
    booted: datetime
    service: bool | None
    synchronized: bool | None
    witnesses: tuple[FileInfo, ...] = ()


@begins(_TIMEDATECTL)
def clock(ask: Ask, identity: Identity, postfix: Postfix | None) -> Clock:
    """Ask timedatectl, and look at the witnesses."""
    main_cf = f"{postfix.config_directory}/main.cf" if postfix is not None else "/etc/postfix/main.cf"
    told = ask.maybe(_TIMEDATECTL)
    looked = ask.all([Stat(path) for path in (*WITNESSES, main_cf)])
    values = parse_timedatectl(told.stdout) if isinstance(told, CommandResult) and not told.status else {}
    return Clock(
        identity.now,
        identity.booted,
        values.get("NTP"),
        values.get("NTPSynchronized"),
        tuple(each for each in looked if isinstance(each, FileInfo)),
    )


def parse_timedatectl(text: str) -> dict[str, bool]:
    """The properties of `timedatectl show` that are yes or no."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value == "yes" for name, _, value in pairs if value in ("yes", "no")}
