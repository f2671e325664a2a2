"""Counting what Dovecot 2.3 and 2.4 log."""

from __future__ import annotations

import re

from maildiag.logs.tally import Tally

_FAILED = re.compile(r"auth failed, (?P<attempts>\d{1,9}) attempts")
_BODY = re.compile(r"[A-Za-z][\w-]*(?:\([^)]*\))?(?:<\d+>)?(?:<[^>]*>)?: ")
_LEVELS = {"Warnin": "warning", "Error:": "error", "Fatal:": "fatal", "Panic:": "panic"}


def dovecot(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count logins, failed logins, stored messages, and everything at warning or above."""
    login = failed = 0
    for line in lines:
        # "host dovecot: imap-login: Login: …", "host dovecot: imap(user)<pid><session>: Error: …"
        at = line.find(": ", start) + 2
        body = line.find(": ", at) + 2
        match line[body : body + 6]:
            case "Login:" | "Logged":
                login += 1
                _logged_in(tally, line, at, body)
            case "Discon" | "Login " | "Aborte":
                if "auth failed" in line:
                    failed += 1
                    _login_failed(tally, line)
            case "Warnin" | "Error:" | "Fatal:" | "Panic:":
                _problem(tally, line, at)
            case "msgid=":
                _stored(tally, line)
            case "Info: ":
                _info(tally, line, at, body)
            case _:
                if ": Error: " in line or ": Warning: " in line or ": Fatal: " in line or ": Panic: " in line:
                    _problem(tally, line, at)
    tally.totals["logins"] += login
    tally.totals["failed logins"] += failed


def _info(tally: Tally, line: str, at: int, body: int) -> None:
    """Count a line of Dovecot's own log file, where even ordinary lines name their level."""
    dovecot(tally, [line[:body] + line[body + 6 :]], 0, "dovecot")


def _logged_in(tally: Tally, line: str, at: int, body: int) -> None:
    if line[body : body + 7] == "Logged " and not line.startswith("Logged in: ", body):
        return  # "Logged out": the end of a session
    user = line.find("user=<", body)
    service = line[at : body - 2]
    tally.logins[f"{service} {'TLS' if ', TLS' in line else 'no TLS'}"] += 1
    if user > 0:
        tally.login_users[line[user + 6 : line.find(">", user)]] += 1


def _login_failed(tally: Tally, line: str) -> None:
    match = _FAILED.search(line)
    attempts = int(match["attempts"]) if match else 1
    user, address = line.find("user=<"), line.find("rip=")
    if user > 0:
        tally.auth_users[line[user + 6 : line.find(">", user)]] += attempts
    if address > 0:
        tally.auth_addresses[line[address + 4 :].partition(",")[0].partition(" ")[0]] += attempts


def _stored(tally: Tally, line: str) -> None:
    if ": saved mail to " in line or ": stored mail into mailbox " in line:
        tally.totals["stored by Dovecot"] += 1


def _problem(tally: Tally, line: str, at: int) -> None:
    match = _BODY.match(line, at)
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
