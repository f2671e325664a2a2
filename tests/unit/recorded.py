"""Recordings of real hosts as facts: what systemctl, the log and the process table said in a state of the services."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from maildiag.facts.journal import JournalWindow
from maildiag.facts.local_time import LocalTime
from maildiag.facts.log_sources import LogFile, LogSources
from maildiag.facts.mail_log import LATEST, MOST_BYTES, RECENT, MailLog, mail_log
from maildiag.facts.processes import ProcessTable
from maildiag.facts.services import MAIL_UNITS, Services, build, parse_show
from maildiag.model import Gap, GapReason
from maildiag.probes import FileText, Probe, Process, ReadFile
from maildiag.testing import gather, info, printed

DATA = Path(__file__).parents[1] / "data" / "services"
LOG = "/var/log/mail.log"


def services(name: str, *processes: Process) -> Services:
    """The services of the recording `debian12-stopped` and the like, with these processes."""
    return build(parse_show((DATA / f"{name}.show").read_text(), UTC), ProcessTable(processes))


def process(name: str, pid: int, started: datetime, command: str) -> Process:
    """A process as psutil tells it."""
    return Process(pid, 1, name, "root", tuple(command.split()), started, 0, "sleeping")


def master(pid: int = 387, started: datetime = datetime(2026, 11, 23, 5, 20, 25, tzinfo=UTC)) -> Process:
    """Postfix's master."""
    return process("master", pid, started, "/usr/lib/postfix/sbin/master -w")


def dovecot(pid: int = 43, started: datetime = datetime(2026, 11, 23, 5, 20, 23, tzinfo=UTC)) -> Process:
    """Dovecot's master."""
    return process("dovecot", pid, started, "/usr/sbin/dovecot -F")


def log_of(name: str, after: timedelta = timedelta(minutes=1)) -> MailLog:
    """The mail log of a recording, read a while after its last line."""
    mail, journal = ((DATA / f"{name}.{kind}").read_text() for kind in ("maillog", "journal"))
    last = datetime.fromisoformat(mail.splitlines()[-1].split(" ")[0])
    return log(mail, journal, last + after)


def log(
    mail: str, journal: str, now: datetime, latest: str = "", written: datetime | None = None, recent: str = ""
) -> MailLog:
    """A mail log made of these lines; `latest` is the journal's last line of mail, `recent` its last ones, `written` the file's last
    change."""
    places = LogSources((), (LogFile(LOG, "the distribution's", info(LOG)),), "/var/log/journal")
    window = JournalWindow(now - timedelta(hours=24), MAIL_UNITS)
    journal_lines = printed(journal)
    answers: dict[Probe[Any], Any] = {
        ReadFile(LOG, most=MOST_BYTES, tail=True): FileText(mail, len(mail), written or now),
        ReadFile(f"{LOG}.1", most=MOST_BYTES, tail=True): Gap(GapReason.ABSENT, "no such file"),
        LATEST: printed(latest),
        RECENT: printed(recent),
        window.query(mail=False): journal_lines,
        window.query(mail=True): journal_lines,
    }
    facts = {"time": LocalTime(now, "UTC"), "places": places, "window": window, "processes": None}
    found = gather(mail_log, answers, **facts)
    assert isinstance(found, MailLog), found
    return found
