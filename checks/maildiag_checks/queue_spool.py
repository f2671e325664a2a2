"""Step 2: are the queue's directories as Postfix needs them, and is what lies in them taken up?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.queue import Maildrop
from maildiag.facts.services import Services
from maildiag.facts.spool import USUAL, Spool, SpoolPath, Wanted
from maildiag.model import (
    Evidence,
    Fix,
    Gap,
    GapReason,
    Risk,
    Step,
    Verdict,
    critical,
    is_unseen,
    notice,
    ok,
    unknown,
    warning,
)
from maildiag.probes import FileKind
from maildiag.registry import check
from maildiag.text import plural
from maildiag_checks._main_cf import shown


@check(
    "queue.maildrop",
    step=Step.QUEUE,
    asks="Is mail from local programs taken into the queue?",
    explained_by=(
        "services.postfix",
        "queue.directories",
        "services.main-cf",
        "services.master-cf",
        "services.lookup-tables",
        "services.disk",
    ),
)
def maildrop(maildrop: Maildrop, services: Services | None) -> Iterator[Verdict]:
    """sendmail(1) says success while Postfix is stopped; the message waits in maildrop for pickup(8)."""
    late = [each for each in maildrop.waiting if (maildrop.now - each.modified).total_seconds() > 75]
    listing = "\n".join(f"{each.path} {each.owner} {each.modified:%Y-%m-%d %H:%M:%S}" for each in late[:5])
    if not late:
        found = plural(len(maildrop.waiting), "message")
        yield ok(
            "Mail from local programs is taken up", evidence=(Evidence(f"ls {maildrop.path}", f"{found} waiting"),)
        )
        return
    count = f"{len(late):,}{'+' if maildrop.more else ''}"
    running = services is not None and services.postfix.running
    oldest = min(each.modified for each in late)
    yield critical(
        f"{count} message{'s' if len(late) > 1 else ''} of local programs wait{'' if len(late) > 1 else 's'} in maildrop since "
        f"{oldest:%Y-%m-%d %H:%M} UTC: {'pickup does not take them' if running else 'Postfix is not running'}",
        detail="the programs were told that their mail was sent",
        evidence=(Evidence(f"ls {maildrop.path}", listing),),
        data={"messages": len(late)},
    )


@check(
    "queue.directories",
    step=Step.QUEUE,
    asks="Are the queue's directories and programs as Postfix needs them?",
    explained_by=("services.disk", "services.main-cf"),
)
def directories(
    spool: Spool, maildrop: Maildrop | None, services: Services | None, postfix_config: PostfixConfig | None
) -> Iterator[Verdict]:
    """A spool that was restored, moved or cleaned by hand has lost owners and modes. Source: postfix-files, postfix(1)."""
    wrong = [each for each in spool.paths if not _right(each)]
    if postfix_config is not None and (named := _other_group(wrong, postfix_config)):
        yield _wrong_setting(named, postfix_config, services)
        return
    closed = [each for each in spool.paths if is_unseen(each.found)]
    if spool.gone is not None:
        yield _no_queue(spool, wrong, services, postfix_config)
    elif len(wrong) > _MANY:
        yield _whole_spool(wrong, services)
    else:
        yield from (_directory(each, services) for each in wrong)
    if spool.foreign:
        yield _foreign(spool, services)
    if spool.caches:
        yield _foreign_caches(spool)
    if maildrop is not None and maildrop.corrupt:
        yield _corrupt(maildrop)
    if _other_sendmail(spool):
        yield _bypassed(spool)
    if closed:
        yield unknown(
            f"{plural(len(closed), 'path')} of the spool could not be seen",
            subject="closed",
            detail=closed[0].wanted.path,
        )
    if not wrong and not spool.foreign and not spool.caches:
        shown = (Evidence("stat", f"{plural(len(spool.paths), 'path')} as expected"),)
        told = "" if spool.searched else "the queue files themselves could not be looked at without root"
        yield ok("The queue's directories have the right owners and modes", evidence=shown, detail=told)


def _other_sendmail(spool: Spool) -> bool:
    """Red Hat's alternatives lead to sendmail.postfix; msmtp, ssmtp, exim and true(1) have names of their own."""
    return len(spool.sendmail) > 1 and not spool.sendmail[-1].rpartition("/")[2].startswith(("sendmail", "postfix"))


def _bypassed(spool: Spool) -> Verdict:
    program = spool.sendmail[-1]
    return warning(
        f"{spool.sendmail[0]} is not Postfix's: it leads to {program}",
        subject=spool.sendmail[0],
        detail="What programs of this host send by sendmail (cron, PHP's mail(), mailx) goes to that program and never reaches "
        "Postfix: its queue and its log tell nothing of it.",
        evidence=(Evidence(f"readlink -f {spool.sendmail[0]}", " -> ".join(spool.sendmail)),),
        fixes=(
            Fix(
                id="queue.directories/sendmail",
                title="Give the name back to Postfix, if its mail should go through Postfix",
                ask="Red Hat: alternatives --set mta /usr/sbin/sendmail.postfix\nDebian: apt-get install --reinstall postfix",
                verify=("queue.directories",),
            ),
        ),
        explained_by=(),
    )


def _other_group(wrong: list[SpoolPath], config: PostfixConfig) -> tuple[SpoolPath, ...]:
    """The paths that still have the group of the package, where main.cf names another: the setting is what is wrong."""
    entry, usual = config.main.entry("setgid_group"), config.defaults.get("setgid_group", "")
    if entry is None or not usual or entry.value == usual:
        return ()
    named = tuple(
        each for each in wrong if not isinstance(each.found, Gap) and each.wanted.group and each.found.group == usual
    )
    return named if len(named) > 1 and any(each.wanted.kind is FileKind.FILE for each in named) else ()


def _wrong_setting(named: tuple[SpoolPath, ...], config: PostfixConfig, services: Services | None) -> Verdict:
    entry, usual = config.main.entry("setgid_group"), config.defaults["setgid_group"]
    assert entry is not None
    effect = services.restart("postfix") if services is not None else ("postfix", "reload")
    return critical(
        f"main.cf line {entry.line}: setgid_group = {entry.value}, but Postfix's programs and directories have the group {usual}",
        detail="postdrop and postqueue work with that group alone: nobody but root can send mail or see the queue. It belongs to "
        "Postfix only, and no account is in it.",
        subject="setgid_group",
        evidence=(
            Evidence(config.main.where("setgid_group"), entry.logical.shown()),
            *(Evidence(f"stat {each.wanted.path}", _found(each)) for each in named[:4]),
        ),
        fixes=(
            Fix(
                id="queue.directories/setgid-group",
                title=f"Set setgid_group back to its default, {usual}",
                commands=(("postconf", "-X", "setgid_group"), effect),
                undo=(effect,),
                automatic=True,
                verify=("queue.directories",),
                changes=(config.main.path,),
            ),
        ),
    )


def _right(each: SpoolPath) -> bool:
    wanted, found = each.wanted, each.found
    if isinstance(found, Gap):
        return found.reason is not GapReason.ABSENT
    return (
        found.kind is wanted.kind
        and found.owner == wanted.owner
        and (not wanted.group or found.group == wanted.group)
        and found.mode & wanted.mask == wanted.mode & wanted.mask
    )


_MANY = 4  # more wrong paths than this have one cause: a chown -R, a restore
_NEEDED = ("active", "incoming", "deferred", "defer", "bounce", "maildrop", "private", "public", "hold", "postdrop")


def _directory(each: SpoolPath, services: Services | None) -> Verdict:
    wanted = each.wanted
    last = wanted.path.rpartition("/")[2]
    make = critical if last in _NEEDED or wanted.kind is FileKind.FILE else warning
    return make(
        f"{wanted.path} {_difference(each)}",
        detail=f"Postfix expects {_words(wanted)}",
        subject=wanted.path,
        evidence=(Evidence(f"stat {wanted.path}", _found(each)),),
        fixes=(_mend(each, services),),
    )


def _no_queue(spool: Spool, wrong: list[SpoolPath], services: Services | None, config: PostfixConfig | None) -> Verdict:
    """A place that was never made, or a disk that is not mounted: an empty queue there would leave behind what waits elsewhere."""
    found = _whole_spool(wrong, services)
    root = wrong[0].wanted.path
    entry = config.main.entry("queue_directory") if config else None
    if entry is None or config is None:
        return replace(found, title=f"{root} does not exist: Postfix has no queue", subject=root)
    make = replace(
        found.fixes[0],
        title=f"Make an empty queue in {root}",
        automatic=False,
        risk=Risk.MEDIUM,
        why="Where it is a disk of its own, mount that instead: what waits in another place is not delivered from here.",
    )
    return replace(
        found,
        title=f"queue_directory = {root}, which does not exist: Postfix has no queue",
        subject=root,
        detail=f"The queue in the default place, {USUAL}, is there."
        if spool.usual
        else "Is it a disk that is not mounted?",
        evidence=(*shown(config, "queue_directory"), *found.evidence),
        fixes=((_usual_queue(services, config.main.path, root), make) if spool.usual else (make,)),
    )


def _usual_queue(services: Services | None, main_cf: str, root: str) -> Fix:
    start = (services.start("postfix"),) if services is not None and not services.postfix.running else ()
    restart = start or ((services.restart("postfix"),) if services is not None else (("postfix", "start"),))
    return Fix(
        id="queue.directories/usual",
        title=f"Set queue_directory back to its default, {USUAL}, where the queue is",
        commands=(("postconf", "-X", "queue_directory"), *restart),
        undo=restart,
        automatic=True,
        verify=(f"queue.directories@{root}", "queue.directories"),
        changes=(main_cf,),
    )


def _whole_spool(wrong: list[SpoolPath], services: Services | None) -> Verdict:
    root = wrong[0].wanted.path.rpartition("/")[0] if wrong[0].wanted.path.count("/") > 3 else wrong[0].wanted.path
    fixes = [_mend(each, services) for each in wrong]
    fix = Fix(
        id="queue.directories/mend-all",
        title="Give all of them the owner and mode that Postfix expects",
        commands=tuple(dict.fromkeys(argv for each in fixes for argv in each.commands)),
        undo=tuple(dict.fromkeys(argv for each in reversed(fixes) for argv in each.undo)),
        automatic=True,
        verify=(f"queue.directories@{root}",),
        changes=tuple(path for each in fixes for path in each.changes),
        why="`postfix set-permissions` does the same",
    )
    return critical(
        f"{plural(len(wrong), 'path')} below {root} {'has' if len(wrong) == 1 else 'have'} a wrong owner or mode, or are missing",
        detail="as after a chown -R, or a restore that lost the owners",
        subject=root,
        evidence=tuple(
            Evidence(f"stat {each.wanted.path}", f"{_found(each)}; expected: {_words(each.wanted)}")
            for each in wrong[:6]
        ),
        fixes=(fix,),
        data={"paths": [each.wanted.path for each in wrong]},
    )


def _words(wanted: Wanted) -> str:
    group = f" and group {wanted.group}" if wanted.group else ""
    return f"owner {wanted.owner}{group}, mode {wanted.mode:o}"


def _difference(each: SpoolPath) -> str:
    wanted, found = each.wanted, each.found
    if isinstance(found, Gap):
        return "does not exist"
    if found.kind is not wanted.kind:
        return f"is a {found.kind.value}, not a {wanted.kind.value}"
    parts = []
    if found.owner != wanted.owner:
        parts.append(f"belongs to {found.owner}, not to {wanted.owner}")
    if wanted.group and found.group != wanted.group:
        parts.append(f"has the group {found.group}, not {wanted.group}")
    if found.mode & wanted.mask != wanted.mode & wanted.mask:
        parts.append(f"has the mode {found.mode:o}, not {wanted.mode:o}")
    return " and ".join(parts)


def _found(each: SpoolPath) -> str:
    found = each.found
    return str(found) if isinstance(found, Gap) else f"{found.kind.value} {found.owner}:{found.group} {found.mode:o}"


def _mend(each: SpoolPath, services: Services | None) -> Fix:
    wanted, found = each.wanted, each.found
    owner = f"{wanted.owner}:{wanted.group}" if wanted.group else wanted.owner
    commands: list[tuple[str, ...]] = []
    undo: list[tuple[str, ...]] = []
    if isinstance(found, Gap):
        group = ("-g", wanted.group) if wanted.group else ()
        if wanted.kind is FileKind.DIRECTORY:
            commands.append(("install", "-d", "-o", wanted.owner, *group, "-m", f"{wanted.mode:o}", wanted.path))
            undo.append(("rmdir", wanted.path))
        if services is not None and services.postfix.running:
            commands.append(services.restart("postfix"))
    else:
        if found.owner != wanted.owner or (wanted.group and found.group != wanted.group):
            commands.append(("chown", owner, wanted.path))
            undo.append(("chown", f"{found.owner}:{found.group}", wanted.path))
        mode = found.mode & ~wanted.mask | wanted.mode
        if wanted.kind is FileKind.FILE:
            mode = 0o2755
        commands.append(("chmod", f"{mode:o}", wanted.path))
        undo.append(("chmod", f"{found.mode:o}", wanted.path))
    return Fix(
        id=f"queue.directories/mend:{wanted.path}",
        title=f"Give {wanted.path} the owner and mode that Postfix expects",
        commands=tuple(commands),
        undo=tuple(undo),
        automatic=bool(commands),
        verify=(f"queue.directories@{wanted.path}",),
        changes=() if isinstance(found, Gap) else (wanted.path,),
        why="`postfix set-permissions` would do the same for all files at once",
    )


def _foreign(spool: Spool, services: Services | None) -> Verdict:
    first = spool.foreign[0]
    owners = ", ".join(sorted({each.owner for each in spool.foreign}))
    listing = "\n".join(f"{each.path} {each.owner}:{each.group} {each.mode:o}" for each in spool.foreign[:5])
    fix = Fix(
        id="queue.directories/chown-files",
        title=f"Give the queue files to {spool.owner}",
        commands=(("chown", "-R", spool.owner, *spool.holding),),
        verify=("queue.directories@files",),
        why="Postfix moves the files about while it fails on them, so that only whole directories can be given back",
    )
    return critical(
        f"{plural(len(spool.foreign), 'queue file')} {'belongs' if len(spool.foreign) == 1 else 'belong'} to {owners}, not to {spool.owner}",
        subject="files",
        evidence=(Evidence(f"ls {first.path.rpartition('/')[0]}", listing),),
        fixes=(fix,),
    )


def _foreign_caches(spool: Spool) -> Verdict:
    """The lock of master(8) and the caches: master does not start without its lock, the others are made anew or missed."""
    paths = [each.path for each in spool.caches]
    return critical(
        f"{', '.join(path.rpartition('/')[2] for path in paths)} in {paths[0].rpartition('/')[0]} "
        f"{'belongs' if len(paths) == 1 else 'belong'} to {spool.caches[0].owner}, not to {spool.owner}",
        detail="master(8) stops: fatal: open lock file: Permission denied. As after a chown -R, or a restore that lost the owners.",
        subject="data_directory",
        evidence=(
            Evidence(
                "ls", "\n".join(f"{each.path} {each.owner}:{each.group} {each.mode:o}" for each in spool.caches[:5])
            ),
        ),
        fixes=(
            Fix(
                id="queue.directories/chown-caches",
                title=f"Give {'it' if len(paths) == 1 else 'them'} to {spool.owner}",
                commands=(("chown", spool.owner, *paths),),
                undo=tuple(("chown", f"{each.owner}:{each.group}", each.path) for each in spool.caches),
                automatic=True,
                verify=("queue.directories@data_directory",),
                changes=tuple(paths),
            ),
        ),
    )


def _corrupt(maildrop: Maildrop) -> Verdict:
    newest = max(each.modified for each in maildrop.corrupt)
    listing = "\n".join(
        f"{each.path} {each.size} bytes {each.modified:%Y-%m-%d %H:%M}" for each in maildrop.corrupt[:5]
    )
    recent = (maildrop.now - newest).total_seconds() < 86400
    make = warning if recent else notice
    return make(
        f"{plural(len(maildrop.corrupt), 'message')} set aside as damaged: nobody will deliver {'it' if len(maildrop.corrupt) == 1 else 'them'}",
        detail="look at it with `postcat FILE`; what can be read can be sent again",
        subject="corrupt",
        evidence=(Evidence("ls corrupt", listing),),
    )
