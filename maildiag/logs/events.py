"""The lines of normal operation that the diagnosis counts: deliveries, rejects, logins, daemon starts."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from maildiag.logs.lines import LogLine
from maildiag.logs.patterns import compiled, later

StartKind = Literal["start", "reload", "stop"]

_DELIVERY = later(
    r"(?P<qid>[0-9A-Za-z]+): to=<(?P<to>[^>]*)>, (?:orig_to=<[^>]*>, )?relay=(?P<relay>[^,]+), .*?"
    r"delay=(?P<delay>[\d.]+),(?:.*? dsn=(?P<dsn>[\d.]+),)? status=(?P<status>[\w-]+)(?: \((?P<reason>.*)\))?"
)
_EXPIRED = later(
    r"(?P<qid>[0-9A-Za-z]+): from=<(?P<sender>[^>]*)>, status=(?P<status>(?:force-)?expired), returned to sender"
)
_REJECT = later(
    r"(?P<qid>[0-9A-Za-z]+): (?P<kind>(?:milter-)?reject|reject_warning): (?P<stage>[\w-]+)(?: \S+)? from "
    r"(?P<client>[^\s\[]*)\[(?P<address>[^\]]+)\](?::\d+)?[:;] (?P<reason>.*)"
)
_HELD = later(r"(?P<qid>[0-9A-Za-z]+): hold: (?P<what>.*)")
_DISCARDED = later(r"(?P<qid>[0-9A-Za-z]+): (?P<kind>(?:milter-)?discard): (?P<what>.*)")
_DISCARDED_FROM = later(r" from (?:[^\s\[]*\[(?P<address>[^\]]+)\](?::\d+)?|local)(?P<end>[:;] )")
_NOTIFIED = later(r"[0-9A-Za-z]+: (?:sender|postmaster) [\w -]+ notification: (?P<notice>[0-9A-Za-z]+)$")
_REJECT_TAIL = later(r"; (?:proto|helo|from|to|sasl_\w+)=.*$")
_RECIPIENT = later(r"; from=<[^>]*>,? to=<(?P<to>[^>]*)>")
_SASL_USER = later(r"(?P<qid>[0-9A-Za-z]+): client=(?P<client>[^\s,]+), .*?sasl_username=(?P<user>[^\s,]+)")
_SASL_FAILED = later(
    r"\[(?P<address>[^\]]+)\](?::\d+)?: SASL [\w-]+ authentication failed(?!: (?:generic|Temporary|Connection lost|Can't))"
    r"(?:.*?sasl_username=(?P<user>[^\s,]+))?"
)
# "(auth failed, 1 attempts in 4 secs): user=<alice>, …"; "(password expired): user=<alice>, …" of PAM's account phase; "(user
# disabled, 1 attempts in 2 secs) (user_disabled): user=<bob>, …" of a passdb with deny = yes, on 2.4.
_LOGIN_FAILED = later(
    r"(?P<why>auth failed|authorization failed|password expired|user disabled|login disabled)(?:, (?P<attempts>\d{1,9}) attempts.*?)?\)(?: \(\w+\))?: (?:user=<(?P<user>[^>]*)>)?(?:.*?rip=(?P<address>[^,\s]+))?"
)
_STARTS: tuple[tuple[StartKind, str], ...] = (
    ("start", r"daemon started(?: -- version (?P<version>\S+?),)?|Dovecot v(?P<dovecot>\S+) .*starting up"),
    ("reload", r"reload -- version (?P<version>\S+?),|SIGHUP received"),
    ("stop", r"terminating on signal|Killed with signal"),
)


class Delivery(NamedTuple):
    """One attempt to deliver one message to one recipient (or, with status `expired`, the end of one message)."""

    queue_id: str
    to: str
    relay: str
    delay: float
    dsn: str
    status: str
    reason: str


class Reject(NamedTuple):
    """One refusal of a client, sender, recipient or message."""

    queue_id: str
    stage: str
    client: str
    address: str
    to: str
    reason: str
    only_warning: bool


class Held(NamedTuple):
    """One message that a rule (an access table, a header check, a policy service) put on hold; `reason` names the rule."""

    queue_id: str
    reason: str


class Discarded(NamedTuple):
    """One message that a rule threw away without telling anybody; `by` names the rule, `address` is "" for local mail.

    Source: header_checks(5), access(5): DISCARD; milter(3): SMFIR_DISCARD.
    """

    queue_id: str
    by: str
    address: str


class Denylisted(NamedTuple):
    """A client that postscreen(8) has on its permanent list of refused ones; what it does then, its configuration tells."""

    address: str


class Notified(NamedTuple):
    """A message of bounce(8)'s own, by its queue id, that tells a sender what became of theirs."""

    queue_id: str


class AuthFailure(NamedTuple):
    """A login that was refused; `attempts` in one session. `why` is "" for a wrong user or password, else Dovecot's words."""

    user: str
    address: str
    attempts: int
    why: str = ""


class LoggedIn(NamedTuple):
    """Somebody logged in to Dovecot."""

    user: str


class SaslMessage(NamedTuple):
    """A message that an authenticated user submitted."""

    queue_id: str
    user: str
    client: str


class DaemonStart(NamedTuple):
    """A daemon family was started, told to reload, or stopped."""

    kind: StartKind
    version: str


Event = (
    Delivery | Reject | Denylisted | Held | Discarded | Notified | AuthFailure | LoggedIn | SaslMessage | DaemonStart
)


def event_of(line: LogLine) -> Event | None:
    """Return what the line tells of normal operation, None if nothing that is counted."""
    match line.family:
        case "postfix":
            return _postfix_event(line)
        case "dovecot":
            return _dovecot_event(line)
    return None


def _postfix_event(line: LogLine) -> Event | None:
    text = line.text
    if "status=" in text:
        return _delivery(text)
    if "reject" in text and (match := _REJECT().match(text)):
        return _rejected(match)
    if "LISTED [" in text and (match := _DENYLISTED().match(text)):
        return Denylisted(match["address"])
    if ": hold: " in text and (match := _HELD().match(text)):
        return Held(match["qid"], _REJECT_TAIL().sub("", match["what"]))
    if "discard: " in text and (match := _DISCARDED().match(text)):
        return _discarded(match)
    if " notification: " in text and (match := _NOTIFIED().match(text)):
        return Notified(match["notice"])
    if "sasl_username=" in text and (match := _SASL_USER().match(text)):
        return SaslMessage(match["qid"], match["user"], match["client"])
    if "authentication failed" in text and (match := _SASL_FAILED().search(text)):
        return AuthFailure(match["user"] or "", match["address"], 1)
    return _start(text) if line.daemon == "master" else None


def _delivery(text: str) -> Delivery | None:
    if match := _DELIVERY().match(text):
        return Delivery(
            match["qid"],
            match["to"],
            match["relay"],
            _number(match["delay"]),
            match["dsn"] or "",
            match["status"],
            match["reason"] or "",
        )
    if match := _EXPIRED().match(text):
        return Delivery(match["qid"], "", "none", 0.0, "", "expired", "returned to sender")
    return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _rejected(match: re.Match[str]) -> Reject:
    reason = match["reason"]
    recipient = _RECIPIENT().search(reason)
    return Reject(
        queue_id=match["qid"],
        stage=match["stage"],
        client=match["client"],
        address=match["address"],
        to=recipient["to"] if recipient else "",
        reason=_REJECT_TAIL().sub("", reason),
        only_warning=match["kind"] == "reject_warning",
    )


def _discarded(match: re.Match[str]) -> Discarded:
    """cleanup(8) says `header TEXT from CLIENT; from=<…> …: RULE'S TEXT`, smtpd(8) and milters `STAGE from CLIENT: REASON; …`."""
    what, kind = match["what"], match["what"].partition(" ")[0]
    found = list(_DISCARDED_FROM().finditer(what))
    client = found[-1] if found else None
    address = (client["address"] or "") if client else ""
    if client is None or client["end"] == ": ":
        reason = _REJECT_TAIL().sub("", what[client.end() :] if client else what)
        return Discarded(match["qid"], f"{kind}: {reason}", address)
    _, closed, said = what[client.end() :].rpartition(">: ")
    return Discarded(match["qid"], f"{kind}: {said}" if closed else kind, address)


# "BLACKLISTED [192.0.2.1]:40890" before Postfix 3.6 and where respectful_logging = no
_DENYLISTED = later(r"(?:DENY|BLACK)LISTED \[(?P<address>[^\]]+)\]:\d+$")
# Dovecot 2.3 "Login: user=<…>", 2.4 "Logged in: user=<…>"
_LOGGED_IN = later(r"(?:Login|Logged in): user=<(?P<user>[^>]+)>")
_REFUSED = ("auth failed", "authorization failed", "password expired", "user disabled", "login disabled")


def _dovecot_event(line: LogLine) -> Event | None:
    if any(each in line.text for each in _REFUSED) and (match := _LOGIN_FAILED().search(line.text)):
        why = "" if match["why"] == "auth failed" else match["why"]
        return AuthFailure(match["user"] or "", match["address"] or "", int(match["attempts"] or 1), why)
    if line.daemon.endswith("-login") and (match := _LOGGED_IN().match(line.body)):
        return LoggedIn(match["user"])
    return _start(line.body) if line.daemon in ("master", "dovecot") else None


def _start(text: str) -> DaemonStart | None:
    for kind, pattern in _STARTS:
        if match := compiled(pattern).match(text):
            parts = match.groupdict()
            return DaemonStart(kind, parts.get("version") or parts.get("dovecot") or "")
    return None
