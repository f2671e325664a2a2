"""Where this host's mail log is: the files and the journal that could hold it, which are there, and which may be read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.asking import Ask
from maildiag.facts.dovecot import Dovecot
from maildiag.facts.postfix import Postfix
from maildiag.lint.lines import Place
from maildiag.model import Gap, is_absent
from maildiag.probes import Directory, FileInfo, FileKind, FileText, ListDirectory, ReadFile, Stat
from maildiag.records import dataclass
from maildiag.registry import gatherer
from maildiag.settings import Settings

# Debian and Ubuntu; RHEL; in both cases written by rsyslog. mail.err holds a part of mail.log once more.
USUAL = ("/var/log/mail.log", "/var/log/maillog", "/var/log/mail/mail.log")
SOCKET = "/dev/log"
JOURNALS = ("/var/log/journal", "/run/log/journal")


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file that should or could hold mail log lines; `why` tells who names it, `daemon` who writes it (`postfix`,
    `dovecot`, `rsyslog`, or nothing where it is not known), `found` what is there.
    """

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
        return is_absent(self.found)

    @property
    def misfit(self) -> str:
        """What stands in the file's place and holds no lines, or nothing."""
        if not isinstance(self.found, FileInfo) or self.found.kind in (FileKind.FILE, FileKind.FIFO):
            return ""
        return f"a {self.found.kind}"


@dataclass(frozen=True, slots=True)
class LogSources:
    """`configured` files are named by Postfix, Dovecot or maildiag's own configuration, `usual` ones by the distribution.

    `journal` is the directory of journald's files, empty where there is none; `socket` is what stands at /dev/log, where
    programs log to (syslog(3)). `drops` are the lines of rsyslog's configuration that keep mail from its files.
    """

    configured: tuple[LogFile, ...]
    usual: tuple[LogFile, ...]
    journal: str
    socket: FileInfo | Gap | None = None
    drops: tuple[Place, ...] = ()

    @property
    def unheard(self) -> bool:
        """True where it is certain that nobody takes what programs log."""
        return is_absent(self.socket)

    @property
    def persistent(self) -> bool:
        """True where the journal outlives a reboot."""
        return self.journal.startswith("/var/")

    def files(self) -> tuple[LogFile, ...]:
        """The files to read: the configured ones, and the distribution's unless all of mail is logged elsewhere."""
        named = [each for each in self.configured if each.there and each.daemon != "rsyslog"]
        if not any(each.daemon in ("postfix", "") for each in named):
            named += [each for each in (*self.by_rsyslog(), *self.usual) if each.there][:1]
        return tuple(named)

    def by_rsyslog(self) -> tuple[LogFile, ...]:
        """The files to which rsyslog's configuration sends mail."""
        return tuple(each for each in self.configured if each.daemon == "rsyslog")


@gatherer
def log_sources(ask: Ask, settings: Settings, postfix: Postfix | None, dovecot: Dovecot | None) -> LogSources:
    """Look which of the possible places exist."""
    ask.begin(Stat(SOCKET))
    texts = _rsyslog(ask)
    rules = tuple(
        (target, f"mail in {path}", "rsyslog") for path, text in texts.items() for target in rsyslog_targets(text)
    )
    wanted = tuple(dict.fromkeys((*configured_files(settings, postfix, dovecot), *rules)))
    looked = ask.all([Stat(path) for path in (*(path for path, _, _ in wanted), *USUAL, *JOURNALS)])
    files, journals = looked[: -len(JOURNALS)], looked[-len(JOURNALS) :]
    return LogSources(
        tuple(LogFile(path, why, found, daemon) for (path, why, daemon), found in zip(wanted, files, strict=False)),
        tuple(
            LogFile(path, "the distribution's", found) for path, found in zip(USUAL, files[len(wanted) :], strict=True)
        ),
        next((path for path, found in zip(JOURNALS, journals, strict=True) if isinstance(found, FileInfo)), ""),
        ask.maybe(Stat(SOCKET)),
        tuple(place for path, text in texts.items() for place in rsyslog_drops(path, text)),
    )


def _rsyslog(ask: Ask) -> dict[str, str]:
    """The files of rsyslog's configuration, in the order in which its rules count on Debian and Red Hat."""
    listed = ask.maybe(ListDirectory("/etc/rsyslog.d"))
    own = [each.path for each in listed.entries if each.path.endswith(".conf")] if isinstance(listed, Directory) else []
    files = [*own, "/etc/rsyslog.conf"]
    read = ask.all([ReadFile(path) for path in files])
    return {path: got.text for path, got in zip(files, read, strict=True) if isinstance(got, FileText)}


_OF_MAIL = re.compile(r"\bmail\b|postfix|dovecot|^\*\.", re.IGNORECASE)
_STOPS = re.compile(r"(?:^|[\s{;])(?P<stop>stop|~)[\s;]*\}?$")
_WRITES = re.compile(r"(?:[\s{]-?|file=\")/")


def rsyslog_drops(path: str, text: str) -> Iterator[Place]:
    """The rules that keep mail from the files: `mail.* stop`, `*.* ~`, a condition on mail or Postfix that ends in stop, and
    `mail.none` where a file of mail's own is named. A rule that first writes to another file (`& stop`) is none.

    Source: rsyslog.conf(5), rsyslog's documentation of RainerScript.
    """
    for first, last, rule in _rules(text):
        selector, _, action = rule.partition(" ")
        stops = _STOPS.search(rule) and not rule.startswith("&")
        drops = stops and _OF_MAIL.search(rule) and "mail.none" not in selector and not _WRITES.search(rule)
        unwanted = "mail.none" in selector and re.search(r"/(mail|maillog)", action)
        if drops or unwanted:
            yield Place(path, first, last, rule)


def _rules(text: str) -> Iterator[tuple[int, int, str]]:
    """(first line, last line, text) of each rule; what stands in braces belongs to the rule that opens them."""
    first, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        rest = re.sub(r"(^|\s)#.*", "", line).strip()
        if not rest:
            continue
        first = first if parts else number
        parts.append(rest)
        rule = " ".join(parts)
        if rule.count("{") <= rule.count("}"):
            yield first, number, rule
            parts = []


def rsyslog_targets(text: str) -> tuple[str, ...]:
    """The files that take everything of the mail facility; `mail.err` and the like take a part (rsyslog.conf(5))."""
    rules = re.findall(r"^[ \t]*(\S+)[ \t]+-?(/\S+)[ \t]*$", text, re.MULTILINE)
    return tuple(path for selector, path in rules if re.search(r"(?:^|[;,])mail(?:,\w+)*\.\*", selector))


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
