"""Other forms of a log line, written again as syslog writes it to a file: RFC 5424, and the journal as JSON."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from maildiag.logs.patterns import compiled, later

# RFC 5424, section 6: <PRI>1 TIMESTAMP HOST APP PROCID MSGID STRUCTURED-DATA [BOM] MSG
_RFC5424 = later(
    r"<\d{1,3}>1 (?P<stamp>\S+) (?P<host>\S+) (?P<program>\S+) (?P<pid>\S+) \S+ "
    r'(?:-|(?:\[[^\]\s"]+(?: [^\s="]+="(?:[^"\\]|\\.)*")*\])+)(?: (?:\xef\xbb\xbf|\ufeff)?(?P<text>.*))?',
    re.DOTALL,
)
# What a relay writes that keeps the priority before the line.
_PRIORITY = later(r"<\d{1,3}>(?=[A-Z][a-z]{2} [ \d]\d |\d{4}-\d\d-\d\d)")
_SAYS = (
    ("local", r"\w+: to=<.*, relay=local, "),
    ("smtp", r"\w+: to=<|connect to |\w+ TLS connection established to "),
    (
        "smtpd",
        r"\w+: client=|NOQUEUE: |(?:dis)?connect from |lost connection |\w+ TLS connection established from ",
    ),
    ("smtpd", r"timeout after |warning: (?:hostname |\S+\[\S+\]: SASL )"),
    ("pickup", r"\w+: (?:uid|sender)="),
    ("cleanup", r"\w+: (?:resent-)?message-id="),
    ("qmgr", r"\w+: (?:from=<|removed$)"),
    ("bounce", r"\w+: sender \S+(?: \S+)? notification: "),
    ("anvil", r"statistics: "),
    ("master", r"daemon started|reload -- version|terminating on signal"),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def as_syslog(line: str) -> str | None:
    """Return `TIME HOST PROGRAM[PID]: TEXT` of a line in another form, None if it is in none that is known.

    Bytes are characters of latin-1 in and out, as in the whole of a pass over a log.
    """
    if line.startswith("{"):
        return _of_journal(line)
    if bare := _PRIORITY().match(line):
        return line[bare.end() :]
    match = _RFC5424().fullmatch(line.rstrip("\r"))
    if match is None:
        return None
    pid = f"[{match['pid']}]" if match["pid"].isdigit() else ""
    text = (match["text"] or "").removeprefix(" ")
    program = f"postfix/{_daemon(text)}" if match["program"] == "postfix" else match["program"]
    return f"{match['stamp']} {match['host']} {program}{pid}: {text}"


def _daemon(text: str) -> str:
    """The daemon of Postfix that says this: rsyslog cuts `postfix/qmgr` to `postfix` when it writes RFC 5424."""
    return next((daemon for daemon, pattern in _SAYS if compiled(pattern).match(text)), "postfix")


def _of_journal(line: str) -> str | None:
    """An entry of `journalctl -o json`; systemd.journal-fields(7) names its fields."""
    import json

    try:
        entry: Any = json.loads(line.encode("latin-1", "replace").decode("utf-8", "replace"))  # latin-1 holds its bytes
        when = _EPOCH + timedelta(microseconds=int(entry["__REALTIME_TIMESTAMP"]))
        text, program = _bytes(entry["MESSAGE"]), _word(entry.get("SYSLOG_IDENTIFIER") or entry.get("_COMM"))
        host, pid = _word(entry.get("_HOSTNAME")), str(entry.get("SYSLOG_PID") or entry.get("_PID") or "")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    number = f"[{pid}]" if pid.isascii() and pid.isdigit() else ""
    return f"{when.isoformat(timespec='microseconds')} {host} {program}{number}: {text}"


def _word(name: Any) -> str:
    """A name without what would end it; `-` where the journal has none."""
    return re.sub(r"[\s:\[]+", "_", _bytes(name)) if name else "-"


def _bytes(value: Any) -> str:
    """A field as latin-1, on one line; the journal gives what is no UTF-8 as a list of numbers."""
    data = bytes(value) if isinstance(value, list) else str(value).encode("utf-8", "replace")
    return data.decode("latin-1").replace("\n", " ")
