"""Dovecot's configuration as Dovecot reads it: doveconf(1)."""

from __future__ import annotations

from dataclasses import dataclass

from maildiag.engine import Ask
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import CommandResult, command
from maildiag.registry import gatherer


@dataclass(frozen=True, slots=True)
class Dovecot:
    """Dovecot as configured; `text` is what `doveconf -n` printed (it hides passwords), `error` what it refused."""

    installed: bool
    version: str = ""
    text: str = ""
    error: str = ""

    @property
    def generation(self) -> tuple[int, int]:
        """(2, 3), (2, 4), … or (0, 0) where the version could not be told."""
        parts = self.version.split(".")
        return (
            (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else (0, 0)
        )


NOT_INSTALLED = Dovecot(installed=False)


@gatherer
def dovecot(ask: Ask) -> Dovecot:
    """Ask dovecot for its version and doveconf for the settings that differ from the defaults."""
    version, settings = ask.all([command("dovecot", "--version"), command("doveconf", "-n")])
    if isinstance(version, Gap):
        if version.reason is GapReason.ABSENT:
            return NOT_INSTALLED
        raise Missing(version)
    told = settings if isinstance(settings, CommandResult) else CommandResult(1, "", str(settings))
    return Dovecot(True, version.stdout.split(" ")[0].strip(), told.stdout, told.stderr.strip())
