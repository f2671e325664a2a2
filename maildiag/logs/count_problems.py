"""Counting what any program of Postfix logs at warning or above, and what its master process says."""

from __future__ import annotations

from maildiag.logs.tally import Tally

LEVELS = ("warning", "error", "fatal", "panic")


def master(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Count what the master process says."""
    for line in lines:
        text = line[line.find(": ", start) + 2 :]
        if text.startswith(LEVELS):
            problem(tally, name, text, line)
        else:
            tally.master[text[:120]] += 1


def other(tally: Tally, lines: list[str], start: int, name: str) -> None:
    """Look for problems, and for nothing else."""
    for line in lines:
        problem_of(tally, line, start, name)


def problem_of(tally: Tally, line: str, start: int, name: str) -> None:
    """Count the line if it is at warning or above, with or without a queue id before the word."""
    text = line[line.find(": ", start) + 2 :]
    if not text.startswith(LEVELS):
        qid, _, after = text.partition(": ")
        if not after.startswith(LEVELS) or " " in qid:
            return
        text = after
    problem(tally, name, text, line)


def problem(tally: Tally, name: str, text: str, line: str) -> None:
    """Count a text that begins with its level; the commonest variable parts are taken out by hand."""
    level, _, words = text.partition(": ")
    if "authentication failed" in words and ": SASL " in words:
        words = _auth_failed(tally, words)
    elif words.startswith("hostname "):
        parts = words.split(" ", 7)
        if len(parts) == 8:
            words = f"hostname host {' '.join(parts[2:7])} ip: {parts[7].partition(': ')[2]}"
    tally.totals[level] += 1
    key = (name, level, words[:200])
    tally.problems[key] += 1
    if key not in tally.problem_samples and len(tally.problem_samples) < 5000:
        tally.problem_samples[key] = line[:500]


def _auth_failed(tally: Tally, words: str) -> str:
    client, _, rest = words.partition(": SASL ")
    address = client.partition("[")[2].partition("]")[0]
    what, _, detail = rest.partition(" failed: ")
    _, _, user = detail.partition("sasl_username=")
    if address:
        tally.auth_addresses[address] += 1
    tally.auth_users[user.partition(",")[0]] += 1
    return f"client: SASL {what} failed: {detail.partition(',')[0]}"
