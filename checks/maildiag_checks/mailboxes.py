"""Step 7, the mailboxes: may their users use them?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from maildiag.access import shown
from maildiag.facts.mailboxes import Mailbox, Mailboxes, Trouble, below, same_place
from maildiag.facts.virtual_stores import VirtualStore, VirtualStores
from maildiag.model import Evidence, Fix, Step, Verdict, critical, notice, ok, skipped, unknown, warning
from maildiag.probes import FileInfo, Identity
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks._sockets import DEAD

MAILBOX = "authentication.mailbox"
_BEFORE = ("services.disk", "authentication.users", *DEAD)
# Where Postfix delivers elsewhere, Dovecot looks at the wrong place: nobody wants that place opened.
_EARLIER = ("authentication.inbox-place", *_BEFORE)


@check(
    MAILBOX,
    step=Step.AUTHENTICATION,
    asks="May the users use their own mailboxes?",
    roles=SERVER,
    explained_by=_BEFORE,
)
def mailbox(found: Mailboxes, identity: Identity | None, virtual: VirtualStores | None = None) -> Iterator[Verdict]:
    """Dovecot works as the user: what root made or restored in a Maildir is closed to it ("Permission denied").

    Sources: Dovecot's documentation of Maildir and of file permissions; path_resolution(7).
    """
    if identity is not None and not identity.privileged:
        yield unknown("Could not look into the mailboxes", detail="They belong to their users (needs root)")
        return
    store = virtual.store if virtual else None
    if store is not None and (store.closed or store.too_low or store.missing):
        yield _store(store)
    if not found.boxes:
        yield skipped("No mailbox to look at")
        return
    bad = [each for each in found.boxes if each.troubles or each.homeless]
    for group in _alike(bad):
        together = group[0].homeless and len(group) > 1
        yield _unmounted(group) if together else _homeless(group[0]) if group[0].homeless else _closed(group)
    good = [each for each in found.boxes if each not in bad]
    if good:
        yield ok(
            f"{plural(len(good), 'mailbox', 'mailboxes')} open to their users",
            evidence=(Evidence(f"ls {good[0].inbox}", f"{good[0].inbox}: {good[0].owner}:{good[0].group}"),),
        )


def _store(store: VirtualStore) -> Verdict:
    """virtual(8) works as one account for all; what root made is closed to it, and what is low is refused."""
    if store.too_low:
        return critical(
            f"virtual_uid_maps = static:{store.uid} is below virtual_minimum_uid = {store.least}: virtual(8) delivers nothing",
            detail='It says "bad uid in virtual_uid_maps", and the mail waits. Make an account for the mailboxes, and name its number.',
            subject="virtual_uid_maps",
            evidence=(Evidence("postconf -x", f"virtual_uid_maps = static:{store.uid}"),),
        )
    if store.missing:
        return critical(
            f"virtual_mailbox_base = {store.base}, which does not exist, and {store.owner} may not make it",
            detail=f"virtual(8) delivers as uid {store.uid}: mail for virtual domains waits. Correct the name, mount the file system, or make it.",
            subject="virtual_mailbox_base",
            evidence=(
                Evidence("postconf -x", f"virtual_mailbox_base = {store.base}"),
                Evidence(f"stat {store.base}", "No such file or directory"),
            ),
            explained_by=("authentication.virtual-place@virtual_mailbox_base",),
        )
    first = store.closed[0]
    return critical(
        f"{store.owner} may not write {first.path}: {shown(first)}",
        detail=f"virtual(8) delivers as uid {store.uid}, gid {store.gid} (virtual_uid_maps, virtual_gid_maps): mail for virtual "
        "domains waits.",
        subject=first.path,
        evidence=tuple(Evidence(f"stat {each.path}", shown(each)) for each in store.closed[:5]),
        fixes=_own(tuple(each for each in store.closed if each.owner == "root"), f"{store.uid}:{store.gid}"),
    )


_SPOOLS = ("/var/mail", "/var/spool/mail")  # root:mail 2775: Dovecot makes its locks there by mail_privileged_group
_SYSTEMS = frozenset(
    {
        "/",
        "/home",
        "/var",
        "/var/mail",
        "/var/spool",
        "/var/spool/mail",
        "/srv",
        "/mnt",
        "/opt",
        "/data",
        "/usr",
        "/tmp",
    }
)


def _own(directories: tuple[FileInfo, ...], owner: str) -> tuple[Fix, ...]:
    """Directories for mail alone that root made go to the account that the mail belongs to."""
    mine = [each for each in directories if each.path not in _SYSTEMS]
    if not mine:
        return ()
    return (
        Fix(
            id=f"{MAILBOX}/own",
            title=f"Give {mine[0].path}{' and what is in it' if len(mine) > 1 else ''} to {owner}",
            commands=(("chown", owner, *(each.path for each in mine)),),
            automatic=True,
            changes=tuple(each.path for each in mine),
            verify=(MAILBOX,),
            why="Only the owner changes, no message does.",
        ),
    )


def _alike(bad: list[Mailbox]) -> list[list[Mailbox]]:
    """Those whom the same directory keeps out are one cause, and so are all whose homes are gone from one directory."""
    groups: dict[tuple[str, str], list[Mailbox]] = {}
    for box in bad:
        first = box.troubles[0] if box.troubles else None
        if box.homeless:
            key = ("home", box.user if box.locked else str(PurePosixPath(box.home).parent))
        elif first and below(first.path, box.inbox) is None and first.path != box.home:
            key = (first.needs, first.path)
        else:
            key = ("own", box.user)
        groups.setdefault(key, []).append(box)
    return list(groups.values())


def _unmounted(group: list[Mailbox]) -> Verdict:
    """One home is deleted by hand; where those of several people are gone at once, a file system is not there."""
    parent = str(PurePosixPath(group[0].home).parent)
    return critical(
        f"The home directories of {', '.join(each.user for each in group[:5])} are gone from {parent}: is a file system not mounted?",
        detail="Neither Postfix nor Dovecot can make a mailbox there: mail for these users is deferred or bounces.",
        subject=parent,
        data={"users": [each.user for each in group]},
        evidence=tuple(Evidence(f"stat {each.home}", "No such file or directory") for each in group[:5]),
        fixes=(
            Fix(
                id=f"{MAILBOX}/mount",
                title=f"Mount the file system that {parent} is on, or bring the homes back",
                ask=f"findmnt --fstab --evaluate\nfindmnt --target {parent}\nmount -a",
                verify=(MAILBOX,),
                why="Homes made anew hide the old mail, and are hidden themselves once the file system is mounted.",
            ),
        ),
    )


def _homeless(box: Mailbox) -> Verdict:
    """An account that nobody can log in to and that has no home was made for a program (useradd makes no home by itself)."""
    return (notice if box.locked else warning)(
        f"The home directory {box.home} of {box.user} does not exist"
        + (", and its password is locked: an account for a program, it seems" if box.locked else ""),
        detail="Neither Postfix nor Dovecot can make a mailbox in it: mail for the user is deferred or bounces.",
        subject=box.user,
        evidence=(Evidence(f"stat {box.home}", "No such file or directory"),),
        fixes=(
            Fix(
                id=f"{MAILBOX}/make-home",
                title="Make the home directory",
                commands=(("install", "-d", "-m", "0700", "-o", box.owner, "-g", box.group, box.home),),
                automatic=False,
                undo=(("rmdir", box.home),),
                verify=(MAILBOX,),
                why="If it should be there, look for a file system that is not mounted, or restore it, before making a new one.",
            ),
        ),
    )


def _closed(group: list[Mailbox]) -> Verdict:
    box = group[0]
    first = box.troubles[0]
    if first.needs == "enter":
        return _no_directory(box, first)
    if first.needs == "append to":
        return _no_file(box, first)
    if first.needs == "follow":
        return _to_nowhere(box, first)
    evidence = tuple(Evidence(f"stat {each.path}", shown(each.info)) for each in box.troubles[:5] if each.info)
    inside = below(first.path, box.inbox) is not None
    apart = box.delivered and not same_place(box.delivered, box.inbox)
    more = f" (and {plural(len(box.troubles) - 1, 'more path')})" if len(box.troubles) > 1 else ""
    return critical(
        f"{', '.join(each.user for each in group[:5])} may not {first.needs} {first.path}{more}: {shown(first.info) if first.info else ''}",
        detail=f"Dovecot works as {box.owner} there. The login succeeds and opening the mailbox fails; mail may be deferred.",
        subject=box.user,
        evidence=evidence,
        fixes=(_give_back(box),) if inside else _open_way(box),
        explained_by=_EARLIER if apart and not inside else None,
    )


def _no_directory(box: Mailbox, trouble: Trouble) -> Verdict:
    """A file stands where maildir(5) has a directory: nothing can be delivered and nothing be read."""
    aside = f"{trouble.path}.moved-aside"
    return critical(
        f"{trouble.path} is a file, and a Maildir is a directory",
        detail=f"Mail for {box.user} cannot be delivered there (Postfix returns it), and Dovecot cannot open the mailbox.",
        subject=box.user,
        evidence=(Evidence(f"stat {trouble.path}", shown(trouble.info)),) if trouble.info else (),
        fixes=(
            Fix(
                id=f"{MAILBOX}/make-directory",
                title=f"Move the file aside and make {trouble.path} a directory of {box.owner}",
                commands=(
                    ("mv", "-n", trouble.path, aside),
                    ("install", "-d", "-m", "0700", "-o", box.owner, "-g", box.group, trouble.path),
                ),
                automatic=False,
                undo=(("rmdir", trouble.path), ("mv", "-n", aside, trouble.path)),
                changes=(trouble.path,),
                verify=(MAILBOX,),
                why="Look first at what the file holds: it may be an mbox with mail.",
            ),
        ),
    )


def _no_file(box: Mailbox, trouble: Trouble) -> Verdict:
    """A directory stands where an mbox, a file, is to be: local(8) "cannot open file: Is a directory"."""
    aside = f"{trouble.path}.moved-aside"
    return critical(
        f"{trouble.path} is a directory, and an mbox is a file",
        detail=f"Mail for {box.user} cannot be delivered there (Postfix returns it), and Dovecot cannot open the mailbox.",
        subject=box.user,
        evidence=(Evidence(f"stat {trouble.path}", shown(trouble.info)),) if trouble.info else (),
        fixes=(
            Fix(
                id=f"{MAILBOX}/move-directory",
                title="Move the directory aside: the next message makes the file",
                commands=(("mv", "-n", trouble.path, aside),),
                automatic=False,
                undo=(("mv", "-n", aside, trouble.path),),
                changes=(trouble.path,),
                verify=(MAILBOX,),
                why="Look first at what it holds: if it is a Maildir, home_mailbox and mail_location were to name it.",
            ),
        ),
    )


def _to_nowhere(box: Mailbox, trouble: Trouble) -> Verdict:
    """A file system that is not mounted, or a directory that was moved, leaves the link behind."""
    return critical(
        f"{trouble.path} is a link to a place that does not exist",
        detail=f"Mail for {box.user} cannot be delivered there (Postfix returns it), and Dovecot finds no mailbox.",
        subject=box.user,
        evidence=(Evidence(f"ls -l {trouble.path}", "a symbolic link whose target is absent"),),
        fixes=(
            Fix(
                id=f"{MAILBOX}/mend-link",
                title="Mount the file system that the link leads to, or let it lead to where the mail is",
                ask=f"readlink {trouble.path}",
                verify=(MAILBOX,),
            ),
        ),
    )


def _give_back(box: Mailbox) -> Fix:
    return Fix(
        id=f"{MAILBOX}/give-back",
        title=f"Give {box.inbox} back to {box.owner}",
        commands=(
            ("chown", "-R", f"{box.owner}:{box.group}", box.inbox),
            ("chmod", "-R", "u+rwX", box.inbox),
        ),
        automatic=True,
        changes=(box.inbox,),
        verify=(MAILBOX,),
        why="Only owner and mode change, no message does.",
    )


def _open_way(box: Mailbox) -> tuple[Fix, ...]:
    """A directory on the way that is closed: the home goes back to its user, another directory becomes searchable."""
    first = box.troubles[0]
    if first.info is None:
        return ()
    if first.path == box.home:
        commands: tuple[tuple[str, ...], ...] = (
            ("chown", f"{box.owner}:{box.group}", box.home),
            ("chmod", "u+rwx", box.home),
        )
    elif first.needs == "search":
        commands = (("chmod", "a+x", first.path),)
    elif first.path in _SPOOLS and first.info.owner == "root":
        commands = (("chgrp", "mail", first.path), ("chmod", "2775", first.path))
    elif first.info.owner == "root" and "@" in box.user:
        return _own((first.info,), f"{box.owner}:{box.group}")
    else:
        return ()
    undo = (
        ("chown", f"{first.info.owner}:{first.info.group}", first.path),
        ("chmod", f"{first.info.mode:04o}", first.path),
    )
    return (
        Fix(
            id=f"{MAILBOX}/open-way",
            title=f"Let {box.owner} through {first.path}",
            commands=commands,
            automatic=True,
            undo=undo,
            changes=(first.path,),
            verify=(MAILBOX,),
        ),
    )
