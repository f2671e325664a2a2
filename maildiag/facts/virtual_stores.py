"""The directory below which virtual(8) delivers, and whether the account that it works as may write there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from maildiag.access import SEARCH, WRITE, allows
from maildiag.asking import Ask
from maildiag.facts.accounts import Accounts
from maildiag.facts.postfix import WITHOUT, Postfix
from maildiag.model import Missing, is_absent
from maildiag.probes import Directory, FileInfo, FileKind, ListDirectory, Stat
from maildiag.records import dataclass
from maildiag.registry import gatherer

_MOST = 200


@dataclass(frozen=True, slots=True)
class VirtualStore:
    """virtual_mailbox_base and the numbers of virtual_uid_maps and virtual_gid_maps, where these are `static:`.

    `closed` are the directories, the base first, where that account may not make files. `too_low`: virtual(8) refuses the
    number (virtual_minimum_uid). `missing`: there is no base, and that account may not make it.
    """

    base: str
    uid: int
    gid: int
    owner: str
    group: str
    closed: tuple[FileInfo, ...] = ()
    least: int = 0
    missing: bool = False

    @property
    def too_low(self) -> bool:
        """True where virtual(8) takes the uid for a system account's, and delivers nothing."""
        return self.uid < self.least


@dataclass(frozen=True, slots=True)
class VirtualStores:
    """The store of virtual(8), None where it delivers to none or to accounts from a table."""

    store: VirtualStore | None


@gatherer
def virtual_stores(ask: Ask, postfix: Postfix, accounts: Accounts) -> VirtualStores:
    """Look at the base and the directories directly in it (virtual(8), postconf(5) virtual_mailbox_base)."""
    if not postfix.installed:
        raise Missing(WITHOUT)
    base, transport = postfix.get("virtual_mailbox_base"), postfix.get("virtual_transport")
    uid, gid = (_number(postfix.get(f"virtual_{each}_maps")) for each in ("uid", "gid"))
    used = postfix.get("virtual_mailbox_domains") and transport.partition(":")[0] == "virtual"
    if not used or not base.startswith("/") or uid is None or gid is None:
        return VirtualStores(None)
    owner, group = accounts.owner(uid), accounts.group(gid)
    groups = (*accounts.groups_of(owner, group),)
    closed = tuple(_closed(ask, base, owner, groups))
    least = postfix.get("virtual_minimum_uid", "100")
    missing = _cannot_be_made(ask, base, owner, groups)
    return VirtualStores(
        VirtualStore(base, uid, gid, owner, group, closed, int(least) if least.isdigit() else 0, missing)
    )


def _cannot_be_made(ask: Ask, base: str, owner: str, groups: tuple[str, ...]) -> bool:
    """virtual(8) makes what is missing below directories that its account may write."""
    if not is_absent(ask.maybe(Stat(base))):
        return False
    for parent in PurePosixPath(base).parents:
        info = ask.maybe(Stat(str(parent)))
        if isinstance(info, FileInfo):
            return not allows(info, WRITE | SEARCH, owner, groups)
        if not is_absent(info):
            return False
    return False


def _number(maps: str) -> int | None:
    kind, _, value = maps.strip().partition(":")
    return int(value) if kind == "static" and value.isdigit() else None


def _closed(ask: Ask, base: str, owner: str, groups: tuple[str, ...]) -> Iterator[FileInfo]:
    info = ask.maybe(Stat(base))
    listing = ask.maybe(ListDirectory(base, _MOST))
    found = [info] if isinstance(info, FileInfo) else []
    found += listing.entries if isinstance(listing, Directory) else ()
    for each in found:
        if each.kind is FileKind.DIRECTORY and not allows(each, WRITE | SEARCH, owner, groups):
            yield each
