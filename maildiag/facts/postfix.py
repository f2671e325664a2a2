"""Postfix's configuration as Postfix reads it: postconf(1), main.cf(5) and master.cf(5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from maildiag.asking import Ask
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import CommandResult, FileInfo, Stat, command
from maildiag.records import dataclass
from maildiag.registry import begins


@dataclass(frozen=True, slots=True)
class Postfix:
    """Postfix as configured: `settings` are the effective values of all parameters (postconf -x, `$names` expanded),
    `explicit` the names that main.cf sets, `warnings` what postconf said on standard error. `remains`: it is not installed,
    but its main.cf is still there.
    """

    installed: bool
    version: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    explicit: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    config_directory: str = "/etc/postfix"
    remains: bool = False

    @property
    def others(self) -> tuple[str, ...]:
        """The configuration directories of further instances; this one is the default instance (postmulti(1))."""
        return tuple(self.list("multi_instance_directories"))

    def get(self, name: str, default: str = "") -> str:
        """The effective value of a parameter, `$names` expanded."""
        return self.settings.get(name, default)

    def list(self, name: str) -> tuple[str, ...]:
        """The words of a list-valued parameter (separated by commas or white space)."""
        return tuple(word for word in re.split(r"[,\s]+", self.get(name)) if word)

    def yes(self, name: str) -> bool:
        """True where the parameter is `yes`."""
        return self.get(name).strip().lower() == "yes"


_EVERY, _EXPLICIT = command("postconf", "-x"), command("postconf", "-n")
_PROGRAM = "/usr/sbin/postfix"
_SETTINGS = re.compile(r"^[a-z][a-z0-9_]* =", re.M)
WITHOUT = Gap(GapReason.ABSENT, "Postfix is not installed")


@begins(_EVERY, _EXPLICIT)
def postfix(ask: Ask) -> Postfix:
    """Ask postconf for every effective value, and which of them main.cf sets; not installed is an answer."""
    every, explicit = ask.all([_EVERY, _EXPLICIT])
    if isinstance(every, Gap):
        if every.reason is GapReason.ABSENT:
            if not isinstance(ask.maybe(Stat(_PROGRAM)), Gap):
                raise Missing(Gap(GapReason.ABSENT, f"postconf is not installed, and yet there is {_PROGRAM}"))
            return Postfix(installed=False, remains=isinstance(ask.maybe(Stat("/etc/postfix/main.cf")), FileInfo))
        raise Missing(every)
    if not _SETTINGS.search(every.stdout):
        raise Missing(Gap(GapReason.FAILED, f"postconf printed no settings: {every.stderr.strip()[:300]}"))
    return parse_postconf(every, explicit if isinstance(explicit, CommandResult) else CommandResult(1, "", ""))


def parse_postconf(every: CommandResult, explicit: CommandResult) -> Postfix:
    """`postconf -x` and `postconf -n` as a `Postfix`."""
    settings = dict(_pairs(every.stdout))
    warnings = dict.fromkeys(line.strip() for line in every.stderr.splitlines() if line.strip())
    return Postfix(
        installed=True,
        version=settings.get("mail_version", ""),
        settings=settings,
        explicit=frozenset(name for name, _ in _pairs(explicit.stdout)),
        warnings=tuple(warnings),
        config_directory=settings.get("config_directory", "/etc/postfix"),
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = [line.partition("=") for line in text.splitlines() if "=" in line]
    return [(name.strip(), value.strip()) for name, _, value in pairs]
