"""Step 7: are the databases with the passwords there, and open to those who need them?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from maildiag.access import READ, SEARCH, allows, let_group, shown
from maildiag.edits import comment_line
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.host import Distribution
from maildiag.facts.mail_log import MailLog
from maildiag.facts.passdbs import PamService, Passdbs, PasswordFile, refusing
from maildiag.model import (
    Evidence,
    Fix,
    Gap,
    GapReason,
    Risk,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    unknown,
    warning,
)
from maildiag.probes import FileInfo, FileKind
from maildiag.registry import SERVER, check
from maildiag_checks._auth_words import complaints
from maildiag_checks._pam import (
    PASSDB,
    absent_include,
    auth_without_worker,
    lines_with,
    lost_list,
    nologin,
    numbered,
    odd_control,
    worker_without_shadow,
)
from maildiag_checks._sockets import DEAD, RELOAD, RESTART

_NO_DRIVER = "Support not compiled in"  # what the auth process says of a driver whose package is not installed


@check(
    PASSDB,
    step=Step.AUTHENTICATION,
    asks="Are the databases with the passwords there, and readable by those who need them?",
    roles=SERVER,
    explained_by=DEAD,
)
def passdb(
    databases: Passdbs, config: DovecotConfig, distribution: Distribution | None, log: MailLog | None
) -> Iterator[Verdict]:
    """A password file that is missing or closed looks to the user like a wrong password.

    Sources: Dovecot's documentation of passwd-file, sql and PAM; pam.d(5).
    """
    if not config.databases("passdb"):
        yield _no_passdb(config)
        return
    said = False
    absent = tuple(each for each in complaints(log, config, PASSDB, of_mechanisms=False) if _NO_DRIVER in each.title)
    for verdict in absent:
        said = True
        yield verdict
    for file in databases.files if not absent else ():
        for verdict in _password_file(file, config):
            said = True
            yield verdict
    for service in databases.pam:
        for verdict in _pam(service, distribution):
            said = True
            yield verdict
    for account in (worker_without_shadow(config), auth_without_worker(config, log)):
        if account is not None:
            said = True
            yield account
    for verdict in complaints(log, config, PASSDB, of_mechanisms=False) if not said else ():
        said = True
        yield verdict
    if not said:
        drivers = ", ".join(each.driver for each in config.databases("passdb"))
        yield ok(f"The password databases have what they need ({drivers})")


def _no_passdb(config: DovecotConfig) -> Verdict:
    aside = next((each for each in config.aside if "auth" in each), "")
    return critical(
        "No passdb is configured: nobody can log in" + (f"; {aside} is there, and is not read" if aside else ""),
        detail='The auth process ends with "No passdbs specified in configuration file".',
        evidence=(Evidence("doveconf -n", "no passdb section"),),
        fixes=(_name_again(aside),) if aside else (),
        explained_by=("services.dovecot-config",),
    )


def _name_again(aside: str) -> Fix:
    """An upgrade, or somebody, put it aside."""
    path = f"{aside.rpartition('.conf')[0]}.conf"
    return Fix(
        id=f"{PASSDB}/name-again",
        title=f"Let it be {path} again",
        commands=(("mv", "-n", aside, path), RESTART),
        undo=(("mv", "-n", path, aside),),
        automatic=False,
        changes=(path, aside),
        verify=(PASSDB,),
        why="Look at it first: what a package brings may differ from what was there.",
    )


def _password_file(file: PasswordFile, config: DovecotConfig) -> Iterator[Verdict]:
    place = config.where("passwd_file_path") or file.database.place
    source = (Evidence(place.file, f"{place.line}: {config.source_line(place)}"),) if place.file else ()
    effect, told = _effect(file, config)
    what = f"The {file.database.kind}'s file {file.path}"
    if isinstance(file.info, Gap):
        if file.info.reason is GapReason.ABSENT:
            yield told(
                f"{what} does not exist: {effect}",
                detail="The log says so at each login; to the user it looks like a wrong password.",
                subject=file.path,
                evidence=(Evidence(f"stat {file.path}", "No such file or directory"), *source),
            )
        else:
            yield unknown(f"Could not look at {file.path}", detail=str(file.info), subject=file.path)
        return
    useless = _useless(file, file.info)
    if useless and not (useless == _EMPTY and (file.database.denies or told is warning)):
        yield told(
            f"{what} {useless}: {effect}",
            detail="To the user it looks like a wrong password.",
            subject=file.path,
            evidence=(Evidence(f"stat {file.path}", shown(file.info)), *source),
        )
        return
    closed = _closed_to(file, file.info)
    if closed:
        yield told(
            f"{file.reader} may not read the {file.database.kind}'s file {file.path}: {effect}",
            detail='The log says "Permission denied"; to the user it looks like a wrong password.',
            subject=file.path,
            evidence=(*(Evidence(f"stat {each.path}", shown(each)) for each in closed), *source),
            fixes=_open_file(file, file.info, closed),
        )


_EMPTY = "is empty"


def _useless(file: PasswordFile, info: FileInfo) -> str:
    """Why a passwd-file tells of no user, in words; "" where it may."""
    if info.kind is FileKind.DIRECTORY:
        return "is a directory"
    return _EMPTY if file.database.driver == "passwd-file" and info.kind is FileKind.FILE and not info.size else ""


def _effect(file: PasswordFile, config: DovecotConfig) -> tuple[str, Callable[..., Verdict]]:
    """What people meet, and how bad that is: a list of denied users shuts out everybody when it cannot be read, one of
    several databases only those who are in no other one.
    """
    mine = file.database
    if mine.masters:
        return "no master user can log in", warning
    others = [each for each in config.databases(mine.kind) if each.place != mine.place and each.knows_users]
    if others and not mine.denies:
        names = ", ".join(dict.fromkeys(each.driver for each in others))
        return f"only the users of {names} {'can log in' if mine.kind == 'passdb' else 'have a mailbox'}", warning
    return "nobody can log in" if mine.kind == "passdb" else "no user has a mailbox", critical


def _closed_to(file: PasswordFile, info: FileInfo) -> tuple[FileInfo, ...]:
    closed = [each for each in file.directories if not allows(each, SEARCH, file.reader, file.groups)]
    closed += [] if allows(info, READ, file.reader, file.groups) else [info]
    return tuple(closed)


def _open_file(file: PasswordFile, info: FileInfo, closed: tuple[FileInfo, ...]) -> tuple[Fix, ...]:
    """root:GROUP 0640: the auth process reads it, nobody else does."""
    if any(each.path != info.path for each in closed) or not file.groups:
        return ()
    group = file.groups[0]
    return (
        Fix(
            id=f"{PASSDB}/let-read",
            title=f"Let the group {group} read it, and nobody else",
            commands=(*_for_group(info, group), RELOAD),
            automatic=True,
            undo=(("chgrp", info.group, file.path), ("chmod", f"{info.mode:04o}", file.path)),
            changes=(file.path,),
            verify=(PASSDB,),
        ),
    )


def _for_group(info: FileInfo, group: str) -> tuple[tuple[str, ...], ...]:
    if info.acl:
        return let_group(info, group, READ)
    return (("chgrp", group, info.path), ("chmod", "0640", info.path))


def _pam(service: PamService, distribution: Distribution | None) -> Iterator[Verdict]:
    path = f"/etc/pam.d/{service.name}"
    refused = (*service.refusing, *refusing(service.fallback))
    if service.fallback is not None and (refused or isinstance(service.fallback, Gap)):
        yield critical(
            f"PAM has no service {service.name}: {path} does not exist, and PAM's fallback refuses everybody",
            subject=path,
            evidence=(
                Evidence(f"stat {path}", "No such file or directory"),
                Evidence("/etc/pam.d/other", "\n".join(refused)),
            ),
            fixes=_restore_pam(service, path, distribution),
        )
    elif service.fallback is not None:
        yield notice(
            f"PAM has no service {service.name}: logins go by PAM's fallback /etc/pam.d/other",
            subject=path,
            evidence=(Evidence(f"stat {path}", "No such file or directory"),),
            fixes=_restore_pam(service, path, distribution),
        )
    elif service.absent:
        yield absent_include(service, path)
    elif service.missing:
        missing = tuple(dict.fromkeys(service.missing))
        shown_lines = lines_with(service, missing)
        yield critical(
            f"{path} names PAM modules that are not installed: {', '.join(missing)}"
            if shown_lines
            else f"What {path} includes names PAM modules that are not installed: {', '.join(missing)}",
            detail='PAM refuses every login: "Module is unknown".',
            subject=path,
            evidence=(Evidence(path, shown_lines or "@include"),),
            fixes=_without_lines(service, path, missing) or _bring_back(missing, distribution),
        )
    elif service.odd:
        yield odd_control(service, path)
    elif service.lost:
        yield lost_list(service, path)
    elif service.closed is not None:
        yield nologin(service.closed, path)
    elif service.refusing:
        yield critical(
            f"{path} refuses everybody: {service.refusing[0]}",
            detail="To the user it looks like a wrong password.",
            subject=path,
            evidence=(Evidence(path, "\n".join(service.refusing)),),
            fixes=_without_lines(service, path, service.refusing),
        )


def _without_lines(service: PamService, path: str, parts: tuple[str, ...]) -> tuple[Fix, ...]:
    numbers = [number for number, _ in numbered(service, parts)]
    if not numbers:
        return ()
    return (
        Fix(
            id=f"{PASSDB}/pam-line",
            title="Take the line out of the PAM file",
            commands=tuple(comment_line(path, number) for number in numbers),
            risk=Risk.MEDIUM,
            changes=(path,),
            verify=(PASSDB,),
            why="Somebody put it there: ask why before it goes.",
        ),
    )


def _bring_back(modules: tuple[str, ...], distribution: Distribution | None) -> tuple[Fix, ...]:
    """Modules that the files of the whole system name come with PAM itself."""
    family = distribution.family if distribution else ""
    install = {"debian": "apt-get install --reinstall libpam-modules", "redhat": "dnf reinstall pam"}.get(family)
    if install is None:
        return ()
    return (
        Fix(
            id=f"{PASSDB}/pam-modules",
            title="Put PAM's own modules back",
            ask=f"{install}\nIf {modules[0]} is of another package, install that one.",
            verify=(PASSDB,),
        ),
    )


def _restore_pam(service: PamService, path: str, distribution: Distribution | None) -> tuple[Fix, ...]:
    if service.name != "dovecot" or distribution is None or distribution.family != "debian":
        return ()
    return (
        Fix(
            id=f"{PASSDB}/restore-pam",
            title="Put the package's PAM file back",
            commands=(
                ("apt-get", "install", "--reinstall", "-y", "-o", "Dpkg::Options::=--force-confmiss", "dovecot-core"),
            ),
            changes=(path,),
            verify=(PASSDB,),
        ),
    )
