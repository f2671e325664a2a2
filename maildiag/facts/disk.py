"""The file systems that mail lives on: spool, state, logs, mail store and temporary files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.asking import Ask
from maildiag.facts.accounts import Accounts
from maildiag.facts.dovecot import Dovecot
from maildiag.facts.mounts import Mounts
from maildiag.facts.postfix import Postfix
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import DiskSpace, FileSystem
from maildiag.records import dataclass
from maildiag.registry import gatherer


@dataclass(frozen=True, slots=True)
class Place:
    """A directory that mail needs to write to, what for (`spool`, `state`, `store`, `log`, `temporary`), and its file system."""

    path: str
    use: str
    system: FileSystem


@dataclass(frozen=True, slots=True)
class Disks:
    """Every place that exists."""

    places: tuple[Place, ...]


_MOST_MOUNTS = 40


@gatherer
def disks(
    ask: Ask,
    postfix: Postfix | None,
    dovecot: Dovecot | None,
    accounts: Accounts | None = None,
    mounts: Mounts | None = None,
) -> Disks:
    """Ask for the file system of each place, and of those mounted below a mail store; a directory that does not exist is left
    out.
    """
    wanted = dict(reversed([*places(postfix, dovecot)]))
    if mounts is not None:
        stores = [*mail_stores(postfix, dovecot)]
        homes = [each.home for each in accounts.people] if accounts else []
        inner = inner_mounts([each.path for each in mounts.all], stores, homes, folders(postfix, dovecot))
        wanted = {**dict.fromkeys(inner[:_MOST_MOUNTS], "store"), **wanted}
    found = ask.all([DiskSpace(path) for path in wanted])
    known = tuple(
        Place(path, use, each)
        for (path, use), each in zip(wanted.items(), found, strict=True)
        if isinstance(each, FileSystem)
    )
    if not known:
        gap = next(
            (each for each in found if isinstance(each, Gap)), Gap(GapReason.FAILED, "no directory of mail is known")
        )
        raise Missing(gap)
    return Disks(known[::-1])


def folders(postfix: Postfix | None, dovecot: Dovecot | None) -> list[str]:
    """Where mail is below a home directory: `Maildir`."""
    named = re.findall(r"(?:~|%h|%\{home\})/([^\s:]+)", dovecot.text if dovecot is not None else "")
    if postfix is not None and postfix.installed:
        named.append(postfix.get("home_mailbox"))
    return [each.strip("/") for each in dict.fromkeys(named) if each.strip("/")]


def inner_mounts(mounts: list[str], stores: list[str], homes: list[str], folders: list[str]) -> list[str]:
    """The file systems below a mail store that hold mail: all of them, but below /home those alone that a mailbox lies on."""
    boxes = [f"{home.rstrip('/')}/{folder}/" for home in homes for folder in folders]

    def holds(mount: str) -> bool:
        if any(mount.startswith(f"{store}/") for store in stores if store not in ("/home", "/")):
            return True
        return "/home" in stores and any(box.startswith(f"{mount}/") or mount.startswith(box) for box in boxes)

    return [each for each in dict.fromkeys(mounts) if each not in ("/", "/home", *stores) and holds(each)]


def places(postfix: Postfix | None, dovecot: Dovecot | None) -> Iterator[tuple[str, str]]:
    """(directory, what for), the most important first."""
    get = postfix.get if postfix is not None and postfix.installed else lambda name, default="": default
    yield get("queue_directory", "/var/spool/postfix"), "spool"
    yield get("data_directory", "/var/lib/postfix"), "state"
    for path in mail_stores(postfix, dovecot):
        yield path, "store"
    if dovecot is not None and dovecot.installed:
        yield "/run/dovecot", "state"
    yield "/var/log", "log"
    yield "/tmp", "temporary"


def mail_stores(postfix: Postfix | None, dovecot: Dovecot | None) -> Iterator[str]:
    """The directories below which mailboxes are: those of home directories, of virtual users, the mail spool."""
    text = dovecot.text if dovecot is not None else ""
    named = re.findall(r"^\s*(?:mail_location = [\w-]+:|mail_path = |mail_home = )(\S+)", text, re.MULTILINE)
    if postfix is not None and postfix.installed:
        if postfix.get("home_mailbox"):
            yield "/home"
        elif postfix.get("mydestination"):
            named.append(postfix.get("mail_spool_directory"))
        if postfix.get("virtual_mailbox_maps"):
            named.append(postfix.get("virtual_mailbox_base"))
    if any(each.startswith(("~", "%h", "%{home}")) for each in named):
        yield "/home"
    for each in named:
        fixed = re.split(r"[%~:]", each)[0].rpartition("/")[0] if re.search(r"[%~]", each) else each.split(":")[0]
        if fixed.startswith("/"):
            yield fixed.rstrip("/") or "/"
