"""Counting what Dovecot 2.3 and 2.4 log."""

from __future__ import annotations

import re
from collections.abc import Callable

from maildiag.logs.patterns import later
from maildiag.logs.tally import Tally

_REFUSED = re.compile(r"auth failed|authorization failed|password expired|user disabled|login disabled")
_FAILED = later(rf"(?:{_REFUSED.pattern}), (?P<attempts>\d{{1,9}}) attempts")
_BODY = later(r"[A-Za-z][\w-]*(?:\([^)]*\))?(?:<\d+>)?(?:<[^>]*>)?: (?:request \[\d+\]: )?")
_LOGGED_IN = ("Login: user=<", "Logged in: user=<")  # of Dovecot 2.3 and of 2.4
_LEVELS = {"Warnin": "warning", "Error:": "error", "Fatal:": "fatal", "Panic:": "panic"}


def login(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count logins and failed logins of a login process (imap-login, pop3-login, submission-login, …)."""
    at = lines[0].find(f": {name}: ", start) + len(name) + 4
    for words in _LOGGED_IN:
        user = at + len(words)
        logins = [line for line in lines if line[at:user] == words]
        if logins:
            _logged_in(tally, logins, [line[user : line.find(">", user)] for line in logins], name)
            if len(logins) == len(lines):
                return
            lines = [line for line in lines if line[at:user] != words]
    dovecot(tally, lines, start, name)


def _logged_in(tally: Tally, lines: list[str], users: list[str], service: str) -> None:
    secure = sum([", TLS" in line for line in lines])
    tally.totals["logins"] += len(lines)
    tally.logins[f"{service} TLS"] += secure
    tally.logins[f"{service} no TLS"] += len(lines) - secure
    tally.login_users.update(users)


# What Dovecot's lines begin with behind the service. Every other text is searched for a level.
_KINDS = {
    "Connec": "nothing", "Login:": "login", "Logged": "login", "Discon": "closed", "Login ": "closed", "Aborte": "closed",
    "Warnin": "problem", "Error:": "problem", "Fatal:": "problem", "Panic:": "problem", "msgid=": "stored", "Info: ": "info",
}  # fmt: skip


class _Words(dict[str, Callable[[str], None]]):
    """From the first word behind the service to `append` of the list of such lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, list[str]] = {kind: [] for kind in ("other", *_KINDS.values())}
        for key, kind in _KINDS.items():
            self[key] = self.lists[kind].append
        self._other = self.lists["other"].append

    def __missing__(self, key: str) -> Callable[[str], None]:
        return self._other


def dovecot(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count failed logins, stored messages, and everything at warning or above."""
    words = _Words()
    # "host dovecot: imap-login: Disconnected: …", "host dovecot: imap(user)<pid><session>: Error: …"
    at = lines[0].find(": ", start) + 2
    if lines[0][at - 3] == "]":
        for line in lines:
            body = line.find(": ", line.find(": ", start) + 2) + 2
            words[line[body : body + 6]](line)
    else:  # no process id, so the tag is as long everywhere (and where it is not, the word is not known)
        for line in lines:
            body = line.find(": ", at) + 2
            words[line[body : body + 6]](line)
    kinds = words.lists
    stored = sum([": saved mail to " in line or ": stored mail into mailbox " in line for line in kinds["stored"]])
    tally.totals["stored by Dovecot"] += stored
    for line in kinds["closed"]:
        # words that every refusal has one of, as a regular expression would take twenty times as long to say no
        if not ("failed" in line or "disabled" in line or "expired" in line) or not _REFUSED.search(line):
            continue
        tally.totals["failed logins"] += 1
        _login_failed(tally, line)
    for kind in ("login", "problem", "info", "other"):
        for line in kinds[kind]:
            _special(tally, line, start, name)


def _special(tally: Tally, line: str, start: int, name: str) -> None:
    """Count one line with its parts found exactly."""
    at = line.find(": ", start) + 2
    body = line.find(": ", at) + 2
    match _KINDS.get(line[body : body + 6]):
        case "login":
            if line.startswith(("Login: ", "Logged in: "), body):  # login_log_format_elements may be in any order
                _logged_in(tally, [line], [line.partition("user=<")[2].partition(">")[0]], name)
        case "info":  # Dovecot's own log file, where even ordinary lines name their level
            dovecot(tally, [line[:body] + line[body + 6 :]], start, name)
        case "closed" | "stored":
            dovecot(tally, [line], start, name)
        case _:
            if any(level in line for level in (": Error: ", ": Warning: ", ": Fatal: ", ": Panic: ")):
                _problem(tally, line, at)


def _login_failed(tally: Tally, line: str) -> None:
    match = _FAILED().search(line)
    attempts = int(match["attempts"]) if match else 1
    user, address = line.find("user=<"), line.find("rip=")
    if user > 0:
        tally.auth_users[line[user + 6 : line.find(">", user)]] += attempts
    if address > 0:
        tally.auth_addresses[line[address + 4 :].partition(",")[0].partition(" ")[0]] += attempts


def _problem(tally: Tally, line: str, at: int) -> None:
    match = _BODY().match(line, at)
    body = line[match.end() :] if match else line[at:]
    word, _, rest = body.partition(": ")
    level = _LEVELS.get(f"{word}:"[:6])
    if level is None:
        return
    service = re.split(r"[(<:]", line[at : at + 40], maxsplit=1)[0]
    tally.totals[level] += 1
    key = (f"dovecot {service}", level, rest[:200])
    tally.problems[key] += 1
    if key not in tally.problem_samples and len(tally.problem_samples) < 5000:
        tally.problem_samples[key] = line[:500]
