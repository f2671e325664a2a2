"""What every account must be able to use: the system's tables of names, the directories on the way to them, /dev/null and /tmp."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.access import mode_for
from maildiag.asking import Ask
from maildiag.model import Gap, Missing, is_absent
from maildiag.probes import CommandResult, FileInfo, FileKind, FileText, ReadFile, Stat, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

_ACCOUNTS = ("postfix", "dovecot", "dovenull")


@dataclass(frozen=True, slots=True)
class Common:
    """A path that the daemons' accounts use: what it is, the mode that systems ship, and what fails without it."""

    path: str
    kind: FileKind
    mode: int
    fails: str

    def lacks(self, info: FileInfo) -> bool:
        """True where somebody who is neither owner nor group, or an account that the ACL names, is refused."""
        modes = (info.mode, *(mode_for(info, each, (each,)) for each in _ACCOUNTS if info.acl))
        return any(self.needed & ~mode for mode in modes)

    @property
    def needed(self) -> int:
        """The bits for others; to pass a directory takes no reading of its list of names."""
        return self.mode & (0o003 if self.kind is FileKind.DIRECTORY else 0o007)


# hier(7), and what the packages of Debian and RHEL ship; the last three bits count, for the daemons are neither owner nor group.
COMMONS = (
    *(Common(path, FileKind.DIRECTORY, 0o755, "nothing below it is found") for path in ("/", "/etc", "/usr", "/var", "/var/spool")),
    Common("/etc/passwd", FileKind.FILE, 0o644, "no account has a name"),
    Common("/etc/group", FileKind.FILE, 0o644, "no group has a name"),
    Common("/etc/nsswitch.conf", FileKind.FILE, 0o644, "names are looked up in the C library's default way"),
    Common("/etc/hosts", FileKind.FILE, 0o644, "localhost and local names are not found"),
    Common("/dev/null", FileKind.DEVICE, 0o666, "daemons and scripts cannot throw output away"),
    Common("/tmp", FileKind.DIRECTORY, 0o1777, "no temporary file can be made"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unasked:
    """A line of nsswitch.conf(5) by which the system does not find root, although the file that has it is there."""

    number: int
    text: str
    file: str


@dataclass(frozen=True, slots=True)
class Commons:
    """What was found of them. `unasked` are the tables that the system passes over, `gone` the paths that every system has and
    this one has not, with what fails.
    """

    found: tuple[tuple[Common, FileInfo], ...]
    unasked: tuple[Unasked, ...] = ()
    gone: tuple[tuple[str, str], ...] = ()

    @property
    def broken(self) -> tuple[tuple[Common, FileInfo], ...]:
        """Those that other accounts cannot use as they must, or that are something else."""
        return tuple(
            (common, info) for common, info in self.found if info.kind is not common.kind or common.lacks(info)
        )


@gatherer
def commons(ask: Ask) -> Commons:
    """Look at each of them, and ask the system for what the tables of names have."""
    told = ask.all([Stat(each.path) for each in COMMONS])
    if all(isinstance(each, Gap) for each in told):
        raise Missing(next(each for each in told if isinstance(each, Gap)))
    found = tuple((common, info) for common, info in zip(COMMONS, told, strict=True) if isinstance(info, FileInfo))
    gone = [
        (common.path, common.fails)
        for common, info in zip(COMMONS, told, strict=True)
        if is_absent(info) and common.path not in _DISPENSABLE
    ]
    return Commons(found, tuple(_unasked(ask)), (*gone, *_without_shadow(ask)))


# Without them the C library goes by its defaults (nsswitch.conf(5), hosts(5)).
_DISPENSABLE = ("/etc/nsswitch.conf", "/etc/hosts")


def _without_shadow(ask: Ask) -> Iterator[tuple[str, str]]:
    """passwd(5) refers to shadow(5) by an `x`."""
    if not is_absent(ask.maybe(Stat("/etc/shadow"))):
        return
    passwd = ask.maybe(ReadFile("/etc/passwd"))
    if isinstance(passwd, FileText) and re.search(r"^root:x:", passwd.text, re.M):
        yield "/etc/shadow", "no password of an account can be checked"


def _unasked(ask: Ask) -> Iterator[Unasked]:
    """The last line of a database counts; without one the C library asks the files (nsswitch.conf(5))."""
    switch = ask.maybe(ReadFile("/etc/nsswitch.conf"))
    lines = switch.text.splitlines() if isinstance(switch, FileText) else []
    for database in ("passwd", "group"):
        numbered = [(at, line) for at, line in enumerate(lines, 1) if line.split(":")[0].strip() == database]
        if not numbered or re.search(r"\b(files|compat|db)\b", numbered[-1][1].split("#")[0]):
            continue
        listed, file = ask.maybe(command("getent", database)), ask.maybe(ReadFile(f"/etc/{database}"))
        known = isinstance(file, FileText) and re.search(r"^root:", file.text, re.M)
        if known and isinstance(listed, CommandResult) and not re.search(r"^root:", listed.stdout, re.M):
            yield Unasked(*numbered[-1], f"/etc/{database}")
