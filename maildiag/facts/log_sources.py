"""Where this host's mail log is: the files and the journal that could hold it, which are there, and which may be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from maildiag.engine import Ask
from maildiag.facts.dovecot import Dovecot
from maildiag.facts.postfix import Postfix
from maildiag.model import Gap, GapReason
from maildiag.probes import FileInfo, FileKind, Stat
from maildiag.registry import gatherer
from maildiag.settings import Settings

# Debian and Ubuntu; RHEL; in both cases written by rsyslog. mail.err holds a part of mail.log once more.
USUAL = ("/var/log/mail.log", "/var/log/maillog", "/var/log/mail/mail.log")
JOURNALS = ("/var/log/journal", "/run/log/journal")


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file that should or could hold mail log lines; `why` tells who names it, `found` what is there."""

    path: str
    why: str
    found: FileInfo | Gap
    daemon: str = ""

    @property
    def there(self) -> bool:
        """True for a file that exists (be it closed to us)."""
        return isinstance(self.found, FileInfo) and self.found.kind is FileKind.FILE

    @property
    def absent(self) -> bool:
        """True where it is certain that there is no such file."""
        return isinstance(self.found, Gap) and self.found.reason is GapReason.ABSENT


@dataclass(frozen=True, slots=True)
class LogSources:
    """`configured` files are named by Postfix, Dovecot or maildiag's own configuration, `usual` ones by the distribution.

    `journal` is the directory of journald's files, empty where there is none.
    """

    configured: tuple[LogFile, ...]
    usual: tuple[LogFile, ...]
    journal: str

    @property
    def persistent(self) -> bool:
        """True where the journal outlives a reboot."""
        return self.journal.startswith("/var/")

    def files(self) -> tuple[LogFile, ...]:
        """The files to read: the configured ones, and the distribution's unless all of mail is logged elsewhere."""
        there = [each for each in self.configured if each.there]
        if not any(each.daemon in ("postfix", "") for each in there):
            there += [each for each in self.usual if each.there][:1]
        return tuple(there)


@gatherer
def log_sources(ask: Ask, settings: Settings, postfix: Postfix | None, dovecot: Dovecot | None) -> LogSources:
    """Look which of the possible places exist."""
    wanted = tuple(dict.fromkeys(configured_files(settings, postfix, dovecot)))
    looked = ask.all([Stat(path) for path in (*(path for path, _, _ in wanted), *USUAL, *JOURNALS)])
    files, journals = looked[: -len(JOURNALS)], looked[-len(JOURNALS) :]
    return LogSources(
        tuple(LogFile(path, why, found, daemon) for (path, why, daemon), found in zip(wanted, files, strict=False)),
        tuple(
            LogFile(path, "the distribution's", found) for path, found in zip(USUAL, files[len(wanted) :], strict=True)
        ),
        next((path for path, found in zip(JOURNALS, journals, strict=True) if isinstance(found, FileInfo)), ""),
    )


def configured_files(
    settings: Settings, postfix: Postfix | None, dovecot: Dovecot | None
) -> Iterator[tuple[str, str, str]]:
    """(path, who names it, which daemon writes it) of every log file that a configuration names."""
    for path in settings.log_files:
        yield path, "log_files in maildiag's configuration", ""
    own = postfix.get("maillog_file") if postfix is not None else ""
    if own.startswith("/") and not own.startswith("/dev/"):
        yield own, "maillog_file in main.cf", "postfix"
    for name, path in dovecot_logs(dovecot.text if dovecot is not None else ""):
        yield path, f"{name} in Dovecot's configuration", "dovecot"


def dovecot_logs(text: str) -> tuple[tuple[str, str], ...]:
    """(setting, path) of Dovecot's own log files; `syslog` and /dev/stderr are none (doveconf -n)."""
    found = re.findall(r"^((?:info_)?log_path) = (/(?!dev/)\S+)$", text, re.MULTILINE)
    return tuple((name, path) for name, path in found)
