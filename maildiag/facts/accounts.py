"""The accounts of the host as the system resolves them: getent(1), and for root whether a password is locked or expired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from maildiag.engine import Ask
from maildiag.model import Gap, Missing
from maildiag.probes import CommandResult, Identity, ReadFile, command
from maildiag.registry import gatherer

_FIRST_PERSON = 1000
_LAST_PERSON = 60000
_EPOCH = date(1970, 1, 1)
_NEVER = 50000
_HASHES = r"(?m)^([^:\n]+:[!*]*)[^:\n*!]+"


@dataclass(frozen=True, slots=True)
class Account:
    """A line of passwd(5). `closed` says why PAM refuses the password ("" where it does not, or that cannot be told)."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    closed: str = ""

    @property
    def person(self) -> bool:
        """True for the accounts of people: their numbers (login.defs(5)) and a shell that lets them in."""
        return _FIRST_PERSON <= self.uid <= _LAST_PERSON and not self.shell.endswith(("nologin", "false"))


@dataclass(frozen=True, slots=True)
class Group:
    """A line of group(5)."""

    name: str
    gid: int
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Accounts:
    """All accounts and all groups."""

    all: tuple[Account, ...]
    groups: tuple[Group, ...] = ()

    def named(self, name: str) -> Account | None:
        """The account of that name."""
        return next((each for each in self.all if each.name == name), None)

    def owner(self, uid: int) -> str:
        """The name of a uid, or its number."""
        return next((each.name for each in self.all if each.uid == uid), str(uid))

    def group(self, gid: int) -> str:
        """The name of a gid, or its number."""
        return next((each.name for each in self.groups if each.gid == gid), str(gid))

    def groups_of(self, name: str, primary: str = "") -> tuple[str, ...]:
        """The names of all groups that the account is in, its primary one first."""
        account = self.named(name)
        first = primary or (self.group(account.gid) if account else "")
        return (first, *(each.name for each in self.groups if name in each.members))

    @property
    def people(self) -> tuple[Account, ...]:
        """The accounts of people."""
        return tuple(each for each in self.all if each.person)


@gatherer
def accounts(ask: Ask, identity: Identity) -> Accounts:
    """Ask for all accounts and groups, and as root for the state of their passwords; no hash leaves the host."""
    listed, groups = ask.all([command("getent", "passwd"), command("getent", "group")])
    if isinstance(listed, Gap):
        raise Missing(listed)
    shadow = ask.maybe(ReadFile("/etc/shadow", hide=_HASHES))
    states = {} if isinstance(shadow, Gap) else parse_shadow(shadow.text, identity.now.date())
    known = tuple(parse_group(groups.stdout)) if isinstance(groups, CommandResult) else ()
    return Accounts(tuple(parse_passwd(listed.stdout, states)), known)


def parse_group(text: str) -> Iterator[Group]:
    """group(5)."""
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == 4 and parts[2].isdigit():
            yield Group(parts[0], int(parts[2]), tuple(each for each in parts[3].split(",") if each))


def parse_passwd(text: str, states: Mapping[str, str]) -> Iterator[Account]:
    """passwd(5), with what `parse_shadow` tells of each account."""
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == 7 and parts[2].isdigit() and parts[3].isdigit():
            yield Account(parts[0], int(parts[2]), int(parts[3]), parts[5], parts[6], states.get(parts[0], ""))


def parse_shadow(text: str, today: date) -> dict[str, str]:
    """Why PAM refuses the right password of an account, from shadow(5) without its hashes.

    An account that never had a password (`!` or `*` alone) is not listed: nobody expects to log in to it with one.
    """
    found = {}
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) < 8:
            continue
        why = _closed(parts, today)
        if why:
            found[parts[0]] = why
    return found


def _closed(parts: list[str], today: date) -> str:
    if parts[1].startswith("!") and parts[1] != "!" and not parts[1].startswith("!*"):
        return "its password is locked"
    if parts[7].isdigit() and _EPOCH + timedelta(int(parts[7])) <= today:
        return f"the account expired on {_EPOCH + timedelta(int(parts[7]))}"
    if parts[2] == "0":
        return "its password must be changed at the next login"
    if parts[2].isdigit() and parts[4].isdigit() and int(parts[4]) < _NEVER:
        ends = _EPOCH + timedelta(int(parts[2]) + int(parts[4]))
        if ends < today:
            return f"its password expired on {ends}"
    return ""
