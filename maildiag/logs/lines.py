"""A syslog or journal line as a value, whatever its timestamp format and syslog name."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from maildiag.logs.forms import as_syslog
from maildiag.logs.patterns import later

Family = Literal["postfix", "dovecot", "systemd", "kernel", "other"]
Level = Literal["info", "warning", "error", "fatal", "panic"]

MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}

# The last part of a Postfix program name: everything that Postfix 2.3 to 3.10 logs as (master.cf commands and tools).
# `syslog_name` may put any path in front: postfix/submission/smtpd, postfix-out/smtp.
_NAMES = (
    "anvil bounce cleanup discard dnsblog error flush fsstone lmtp local master nqmgr oqmgr pickup pipe postalias postcat"
    " postconf postdrop postfix postfix-script postfix-tls-script postfix-wrapper postkick postlock postlog postlogd postmap"
    " postmulti postmulti-script postqueue postscreen postsuper proxymap qmgr qmqpd scache sendmail showq smtp smtpd spawn"
    " tlsmgr tlsproxy trivial-rewrite verify virtual post-install postfix-collate"
)
POSTFIX_DAEMONS = frozenset(_NAMES.split())

_HEAD = re.compile(
    r"(?:(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d)"
    r"|(?P<iso>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?))"
    r" +(?P<rest>.*)",
    re.DOTALL,
)
_PROGRAM = re.compile(r"(?P<host>\S+) (?P<program>[^\s:\[]+|-)(?:\[(?P<pid>\d+)\])?: ?(?P<text>.*)", re.DOTALL)
# Dovecot writing its own file (log_path) names no host and no program: "Nov 22 10:06:08 imap-login: Info: …".
_DOVECOT_FILE = re.compile(
    r"[a-z][a-z0-9-]*(?:\([^)\n]*\))?(?:<\d+>)?(?:<[^>\n]*>)?: (?:Debug|Info|Warning|Error|Fatal|Panic): "
)
_DOVECOT_BODY = later(
    r"(?P<daemon>[A-Za-z][\w-]*)(?:\((?P<who>[^)]*)\))?(?:<\d+>)?(?:<[^>]*>)?: (?:request \[\d+\]: )?"
)
_SOLARIS_ID = later(r"^\[ID \d+ [^\]]+\] ")
_DOVECOT_LEVELS: dict[str, Level] = {"Warning": "warning", "Error": "error", "Fatal": "fatal", "Panic": "panic"}
_POSTFIX_LEVEL = later(r"(?:(?P<qid>[0-9A-Za-z]{6,}): )?(?P<level>warning|error|fatal|panic): ")


# What a trace meets are named tuples: `dataclasses` and its classes would be half of the time before the search begins.
class LogLine(NamedTuple):
    """One line of a log; `when` is None where the line has no timestamp that can be read."""

    when: datetime | None
    host: str
    program: str
    pid: int | None
    text: str
    raw: str

    @property
    def daemon(self) -> str:
        """The part of the program that names what it does: `smtpd` of `postfix/submission/smtpd`, `imap-login` of Dovecot."""
        if self.family == "dovecot":
            match = _DOVECOT_BODY().match(self.text)
            return match["daemon"] if match else self.program
        return self.program.rsplit("/", 1)[-1]

    @property
    def family(self) -> Family:
        """The software that wrote the line."""
        return family_of(self.program)

    @property
    def level(self) -> Level:
        """How bad the writer called it; `info` where it says nothing (systemd, kernel)."""
        return split_level(self.family, self.text)[0]

    @property
    def body(self) -> str:
        """The text behind Dovecot's service prefix and behind the word for the level."""
        return split_level(self.family, self.text)[1]


@lru_cache(maxsize=1024)
def family_of(program: str) -> Family:
    """Return which software writes under this syslog name; any `syslog_name` of Postfix is recognised by its last part."""
    head, _, last = program.rpartition("/")
    if last in POSTFIX_DAEMONS and (head or last.startswith("post") or last == "sendmail"):
        return "postfix"
    if program == "dovecot" or program.startswith(("dovecot", "doveadm", "doveconf")):
        return "dovecot"
    if program in ("systemd", "systemd-journald", "systemd-coredump"):
        return "systemd"
    if program in ("kernel", "audit", "auditd"):
        return "kernel"
    return "other"


@lru_cache(maxsize=8192)
def split_level(family: Family, text: str) -> tuple[Level, str]:
    """Return (level, body): `warning: x` gives ("warning", "x"), `auth: Error: x` ("error", "x"), a queue id stays out."""
    if family == "postfix":
        match = _POSTFIX_LEVEL().match(text)
        return (_level(match["level"]), text[match.end() :]) if match else ("info", text)
    if family == "dovecot":
        match = _DOVECOT_BODY().match(text)
        body = text[match.end() :] if match else text
        word, separator, rest = body.partition(": ")
        if separator and (word in _DOVECOT_LEVELS or word in ("Debug", "Info")):
            return _DOVECOT_LEVELS.get(word, "info"), rest
        return "info", body
    return "info", text


def _level(word: str) -> Level:
    match word:
        case "warning" | "error" | "fatal" | "panic":
            return word
    return "info"


def parse_line(raw: str, now: datetime) -> LogLine | None:
    """Return the line as a value, or None if it is not a log line.

    `now` is the (aware) time on the logging host when the log was read: a classic timestamp names no year and no zone,
    so it takes the latest year that does not lie in the future of `now`, and the zone of `now`.
    """
    raw = raw.rstrip("\r\n")
    head = _HEAD.match((raw[:1] in ("<", "{") and as_syslog(raw)) or raw)
    if head is None:
        return None
    when = parse_time(head, now)
    rest = head["rest"]
    if _DOVECOT_FILE.match(rest):
        return LogLine(when, "", "dovecot", None, rest, raw)
    program = _PROGRAM.match(rest)
    if program is None:
        return None
    text = program["text"]
    if text.startswith("[ID "):
        text = _SOLARIS_ID().sub("", text)
    pid = int(program["pid"][:18]) if program["pid"] else None
    return LogLine(when, program["host"], program["program"], pid, text, raw)


def parse_time(head: re.Match[str], now: datetime) -> datetime | None:
    """Return the time of a matched line head, None if the calendar has no such moment."""
    try:
        if head["iso"]:
            return _iso(head["iso"], now)
        day = classic_day(head["month"], int(head["day"]), now.year, now.month, now.day)
        hour, minute, second = (int(part) for part in head["clock"].split(":"))
        return None if day is None else datetime(*day, hour, minute, min(second, 59), tzinfo=now.tzinfo)
    except (ValueError, OverflowError):
        return None


def _iso(text: str, now: datetime) -> datetime:
    fraction = re.search(r"[.,](\d+)", text)
    if fraction:  # fromisoformat of 3.11 wants at most 6 digits; journald's may have 9
        text = f"{text[: fraction.start()]}.{fraction[1][:6].ljust(6, '0')}{text[fraction.end() :]}"
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=now.tzinfo)


@lru_cache(maxsize=512)
def classic_day(month: str, day: int, year_now: int, month_now: int, day_now: int) -> tuple[int, int, int] | None:
    """Return (year, month, day) of `Nov 22`: the latest such day that is at most one day in the future of now."""
    number = MONTHS.get(month)
    if number is None:
        return None
    limit = datetime(year_now, month_now, day_now) + timedelta(days=1)
    for year in range(limit.year, limit.year - 9, -1):  # a 29th of February is at most 8 years ago
        try:
            if datetime(year, number, day) <= limit:
                return year, number, day
        except ValueError:
            continue
    return None
