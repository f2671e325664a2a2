"""May an account use a file? Judged by owner, mode and ACL (path_resolution(7), acl(5)), since root's own attempts tell nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from maildiag.probes import AclEntry, AclTag, Directory, FileInfo

READ, WRITE, SEARCH = 4, 2, 1


def allows(info: FileInfo, wanted: int, user: str, groups: Collection[str]) -> bool:
    """True where owner, mode and ACL give `user` (in `groups`) all the bits of `wanted` (access check of acl(5))."""
    if user == "root":
        return wanted != SEARCH or bool(info.mode & 0o111)
    if info.acl and info.owner != user:
        return _acl_allows(info, wanted, user, groups)
    shift = 6 if info.owner == user else 3 if info.group in groups else 0
    return (info.mode >> shift) & wanted == wanted


def not_executable(listed: Directory, names: Iterable[str]) -> dict[str, int | None]:
    """Of these names in a directory those that even root cannot execute: their modes, None where one is not there (execve(2))."""
    modes = {each.path.rpartition("/")[2]: each.mode for each in listed.entries}
    return {name: modes.get(name) for name in names if not (modes.get(name) or 0) & 0o111}


def mode_for(info: FileInfo, user: str, groups: Collection[str]) -> int:
    """The mode as `user` meets it: its last three bits are what `user` may do, by whatever owner, group or ACL gives it."""
    met = sum(bit for bit in (READ, WRITE, SEARCH) if allows(info, bit, user, groups))
    return info.mode & ~0o007 | met


def let_group(info: FileInfo, group: str, wanted: int) -> tuple[tuple[str, ...], ...]:
    """The commands that give `group` the bits of `wanted` (of READ and SEARCH).

    Where there is an ACL, chmod(1) changes its mask and no group's entry (acl(5), "Correspondence between ACL entries and
    file permission bits"), so that setfacl(1) has to add one.
    """
    letters = ("r" if wanted & READ else "") + ("x" if wanted & SEARCH else "")
    if info.acl:
        return (("setfacl", "-m", f"g:{group}:{letters}", info.path),)
    return (("chgrp", group, info.path), ("chmod", f"g+{letters}", info.path))


def _acl_allows(info: FileInfo, wanted: int, user: str, groups: Collection[str]) -> bool:
    """The access check of acl(5) for somebody who is not the owner: one entry has to give all that is wanted."""
    named = [each.bits for each in info.acl if each.tag is AclTag.USER and each.name == user]
    grouped = [each.bits for each in info.acl if _group_of(info, each) in groups]
    if not named and not grouped:
        return info.mode & wanted == wanted
    mask = next((each.bits for each in info.acl if each.tag is AclTag.MASK), 7)
    return any(bits & mask & wanted == wanted for bits in named or grouped)


def _group_of(info: FileInfo, entry: AclEntry) -> str | None:
    if entry.tag is AclTag.OWNING_GROUP:
        return info.group
    return entry.name if entry.tag is AclTag.GROUP else None


def shown(info: FileInfo) -> str:
    """`0600 dovecot:root /path`, as a report tells it; `0600+` as ls(1) does where there is an ACL."""
    return f"{info.mode:04o}{'+' if info.acl else ''} {info.owner}:{info.group} {info.path}"
