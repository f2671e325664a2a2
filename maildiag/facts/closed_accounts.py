"""Why the system refuses the right password of an account whose logins fail: locked, expired, or a PAM module's rule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

from maildiag.asking import Ask
from maildiag.facts.accounts import Accounts
from maildiag.facts.mail_log import MailLog
from maildiag.model import Gap
from maildiag.probes import CommandResult, Identity, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

_MOST = 8
# The modules of PAM tell syslog and not Dovecot why they refuse; the journal has it under the name of Dovecot's process.
PAM_LOG = command("journalctl", "--no-pager", "--output=cat", "--lines=300", "--identifier=auth")
_PAM = re.compile(r"pam_(?P<module>\w+)\((?P<service>[\w.-]+):(?P<phase>\w+)\): (?P<words>.*)")
_WRONG_PASSWORD = re.compile(r"authentication failure|check pass|user unknown")
_EXPIRES = re.compile(r"^(?P<what>Password expires|Account expires)\s*:\s*(?P<when>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ClosedAccount:
    """An account whose logins failed `failures` times in the log, and why the system refuses them; `source` shows it."""

    name: str
    failures: int
    why: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class ClosedAccounts:
    """Those among the people of this host with failed logins that cannot log in; `looked` names all that were looked at."""

    closed: tuple[ClosedAccount, ...]
    looked: tuple[str, ...] = ()


@gatherer
def closed_accounts(ask: Ask, log: MailLog, accounts: Accounts, identity: Identity) -> ClosedAccounts:
    """Ask passwd(1) and chage(1) for the people whose logins fail; of all others nothing is asked."""
    failures = log.summary.auth_failures_by_user
    people = {each.name for each in accounts.people}
    names = [name for name in (each.split("@")[0] for each in failures) if name in people]
    names = list(dict.fromkeys(names))[:_MOST] if identity.privileged else []
    states = ask.all([command("passwd", "-S", name) for name in names])
    ages = ask.all([command("chage", "-l", name) for name in names])
    told = ask.maybe(PAM_LOG) if names else None
    lines = told.stdout.splitlines() if isinstance(told, CommandResult) else []
    found: list[ClosedAccount] = []
    for name, state, age in zip(names, states, ages, strict=True):
        count = sum(number for user, number in failures.items() if user.split("@")[0] == name)
        found.extend(_closed(name, count, state, age, identity.now.date()) or _refused(name, count, lines))
    return ClosedAccounts(tuple(found), tuple(names))


def _refused(name: str, failures: int, lines: Sequence[str]) -> list[ClosedAccount]:
    """The latest line in which a module of PAM names this user and another reason than a wrong password."""
    for line in reversed(lines):
        match = _PAM.search(line)
        if match is None or not re.search(rf"\buser[ =][\"`']?{re.escape(name)}\b", match["words"]):
            continue
        if match["module"] == "unix" and _WRONG_PASSWORD.search(match["words"]):
            return []
        why = f"pam_{match['module']} refuses it: {match['words']}"
        return [ClosedAccount(name, failures, why, "journalctl -t auth", line)]
    return []


def _closed(
    name: str, failures: int, state: CommandResult | Gap, age: CommandResult | Gap, today: date
) -> list[ClosedAccount]:
    return list(_states(name, failures, state, age, today))


def _states(
    name: str, failures: int, state: CommandResult | Gap, age: CommandResult | Gap, today: date
) -> Iterator[ClosedAccount]:
    words = state.stdout.split() if isinstance(state, CommandResult) else []
    if len(words) > 1 and words[1] in ("L", "LK"):
        yield ClosedAccount(name, failures, "its password is locked", f"passwd -S {name}", " ".join(words))
    elif isinstance(age, CommandResult):
        for line, why in expired(age.stdout, today):
            yield ClosedAccount(name, failures, why, f"chage -l {name}", line)


def expired(text: str, today: date) -> Iterator[tuple[str, str]]:
    """The lines of `chage -l` that tell of an end that is past, in words."""
    for match in _EXPIRES.finditer(text):
        what = match["what"].split()[0].lower()
        if match["when"].strip() == "password must be changed":
            yield match[0], "its password must be changed first"
            continue
        try:
            ends = datetime.strptime(match["when"].strip(), "%b %d, %Y").replace(tzinfo=UTC).date()
        except ValueError:
            continue
        if ends <= today:
            yield match[0], f"the {what} expired on {ends}"
