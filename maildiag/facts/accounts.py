"""The accounts of the host as the system resolves them: getent(1)."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.asking import Ask
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import CommandResult, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

_FIRST_PERSON = 1000
_LAST_PERSON = 60000


@dataclass(frozen=True, slots=True)
class Account:
    """A line of passwd(5)."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str

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
def accounts(ask: Ask) -> Accounts:
    """Ask for all accounts and groups."""
    listed, groups = ask.all([command("getent", "passwd"), command("getent", "group")])
    if isinstance(listed, Gap):
        raise Missing(listed)
    known = tuple(parse_group(groups.stdout)) if isinstance(groups, CommandResult) else ()
    people = tuple(parse_passwd(listed.stdout))
    if not any(each.uid == 0 for each in people):
        raise Missing(Gap(GapReason.FAILED, "getent passwd listed no root: that is not all accounts"))
    return Accounts(people, known)


def parse_group(text: str) -> Iterator[Group]:
    """group(5)."""
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == 4 and parts[2].isdigit():
            yield Group(parts[0], int(parts[2]), tuple(each for each in parts[3].split(",") if each))


def parse_passwd(text: str) -> Iterator[Account]:
    """passwd(5)."""
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == 7 and parts[2].isdigit() and parts[3].isdigit():
            yield Account(parts[0], int(parts[2]), int(parts[3]), parts[5], parts[6])
