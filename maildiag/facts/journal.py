"""What the journal is asked for the window that is judged."""

from __future__ import annotations

from datetime import datetime, timedelta

from maildiag.asking import Ask
from maildiag.facts.local_time import LocalTime
from maildiag.facts.log_sources import LogSources
from maildiag.facts.services import installed
from maildiag.probes import Command
from maildiag.records import dataclass
from maildiag.registry import gatherer
from maildiag.settings import Settings

MOST_LINES = 30000  # the latest ones
MOST_BYTES = 12 * 1024 * 1024
# Programs whose own messages about mail are of interest when systemd keeps their standard output.
_SPEAKING = ("dovecot.service", "postfix.service", "postfix@-.service")


@dataclass(frozen=True, slots=True)
class JournalWindow:
    """Since when the journal is read, and the units whose starts and failures matter: those of mail, and what else of the
    known ones is installed.
    """

    since: datetime
    units: tuple[str, ...]

    def query(self, mail: bool) -> Command:
        """journalctl(1) for systemd's lines about these units, the daemons' standard output, the kernel, and with `mail`
        the mail facility (2), which all of Postfix and Dovecot log to whatever `syslog_name` is.
        """
        matches: list[str] = ["_TRANSPORT=kernel", "+", "SYSLOG_IDENTIFIER=systemd-coredump"]
        for unit in self.units:
            matches += ["+", "_PID=1", f"UNIT={unit}"]
        for unit in _SPEAKING:
            matches += ["+", "_TRANSPORT=stdout", f"_SYSTEMD_UNIT={unit}"]
        if mail:
            matches += ["+", "SYSLOG_FACILITY=2"]
        window = (f"--lines={MOST_LINES}", f"--since=@{int(self.since.timestamp())}")
        argv = ("journalctl", "--quiet", "--no-pager", "--output=short-iso-precise", *window, *matches)
        return Command(argv, timeout=10.0, most=MOST_BYTES)


@gatherer
def journal_window(ask: Ask, settings: Settings, time: LocalTime, places: LogSources) -> JournalWindow:
    """The window that the settings name; the journal is asked at once what it will be asked where its files are no older."""
    window = JournalWindow(time.now - timedelta(hours=settings.thresholds.log_window_hours), installed(ask, settings))
    ask.begin(window.query(mail=not places.files()))
    return window
