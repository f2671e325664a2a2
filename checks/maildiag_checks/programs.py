"""Step 1, below the configuration: are the programs that Postfix and Dovecot start there, and can they be executed?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from maildiag.facts.dovecot import Dovecot
from maildiag.facts.dovecot_programs import DovecotPrograms
from maildiag.facts.host import Distribution
from maildiag.facts.mail_log import MailLog
from maildiag.facts.mounts import Mount, Mounts
from maildiag.facts.postfix import Postfix
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.services import Services
from maildiag.loader import NOT_MAPPED, NotLoaded, not_loaded
from maildiag.model import Evidence, Fix, Gap, Risk, Step, Verdict, critical, ok, skipped, unknown
from maildiag.records import dataclass
from maildiag.registry import BOTH, check
from maildiag_checks.services import TITLES

PROGRAMS = "services.programs"
_MODE = 0o755  # postfix-files; what Dovecot's packages ship
_PACKAGES = {
    "imap": "dovecot-imapd",
    "pop3": "dovecot-pop3d",
    "lmtp": "dovecot-lmtpd",
    "submission": "dovecot-submissiond",
}


@dataclass(frozen=True, slots=True)
class _Suite:
    """The programs of one of the two: where they lie, which are damaged, the unit that runs them, and what lets it try again."""

    title: str
    unit: str
    place: str
    damaged: Mapping[str, int | None]
    again: tuple[str, ...]


@check(
    PROGRAMS,
    step=Step.SERVICES,
    asks="Can every program of Postfix and Dovecot be executed?",
    roles=BOTH,
    explained_by=(),
)
def programs(
    config: PostfixConfig | None,
    dovecot: DovecotPrograms | None,
    distribution: Distribution | None,
    services: Services | None,
    mounts: Mounts | None,
    postfix: Postfix | Gap,
    settings: Dovecot | Gap,
    log: MailLog | None,
) -> Iterator[Verdict]:
    """One that cannot is tried again every minute, and what needs it waits without a word. Source: master(8), postfix-files, ld.so(8)."""
    unloaded = dict(_unloaded(postfix, settings, log))
    for unit, told in unloaded.items():
        yield _not_loaded(unit, told, mounts, distribution)
    suites = []
    if config is not None and not config.daemons:
        yield unknown(
            "Could not tell whether the programs of Postfix can be executed",
            subject="postfix",
            detail=f"{config.get('daemon_directory')} could not be listed",
        )
    elif config is not None:
        suites.append(
            _Suite(
                "Postfix",
                "postfix",
                config.get("daemon_directory"),
                config.damaged,
                ("systemctl", "restart", "postfix"),
            )
        )
    if dovecot is not None and dovecot.place:
        # One that runs goes on where it refuses to be loaded anew, as after an undo; a restart would end it.
        runs = services is not None and services.dovecot.running
        again = ("doveadm", "reload") if runs else ("systemctl", "restart", "dovecot")
        suites.append(_Suite("Dovecot", "dovecot", dovecot.place, dovecot.damaged, again))
    if not suites and config is None and not unloaded:
        yield skipped("No program of Postfix or Dovecot is known here")
    barred = {each.unit: mount for each in suites if (mount := _barring(each.place, mounts)) is not None}
    for suite in suites:
        if suite.unit in barred:
            yield _on_noexec(suite.title, suite.unit, suite.place, barred[suite.unit])
        for name, mode in suite.damaged.items():
            lines = _lines(config, name) if config is not None and suite.unit == "postfix" else ()
            yield _damaged(suite, name, mode, lines, distribution)
    if suites and not barred and not unloaded and not any(each.damaged for each in suites):
        shown = tuple(Evidence(f"ls {each.place}", "all there") for each in suites)
        yield ok("Every program that is to run can be executed", evidence=shown)


def _unloaded(
    postfix: Postfix | Gap, dovecot: Dovecot | Gap, log: MailLog | None
) -> Iterator[tuple[str, tuple[NotLoaded, Evidence]]]:
    """What postconf, doveconf and the log say of programs that cannot be loaded, by unit."""
    if isinstance(postfix, Gap) and (told := not_loaded(postfix.detail)):
        yield "postfix", (told, Evidence(told.program, f"{told.program}: {told.told}"))
    groups = [each for each in log.summary.of("dovecot.library") if not each.over] if log else []
    if log is not None and groups and (told := not_loaded(groups[-1].samples[-1])):
        yield "dovecot", (told, Evidence(log.source, groups[-1].samples[-1], groups[-1].last))
    if told := not_loaded(dovecot.detail if isinstance(dovecot, Gap) else dovecot.error):
        yield "dovecot", (told, Evidence(told.program, f"{told.program}: {told.told}"))


# Where the libraries of their own are, on Debian and on the Red Hat family.
_LIBRARIES = {
    "postfix": ("/usr/lib/postfix", "/usr/lib64/postfix"),
    "dovecot": ("/usr/lib/dovecot", "/usr/lib64/dovecot"),
}


def _not_loaded(
    unit: str, told: tuple[NotLoaded, Evidence], mounts: Mounts | None, distribution: Distribution | None
) -> Verdict:
    found, shown = told
    for place in _LIBRARIES[unit] if NOT_MAPPED in found.why else ():
        if mount := _barring(place, mounts):
            return _on_noexec(TITLES[unit], unit, place, mount)
    program = found.program.rpartition("/")[2]
    return critical(
        f"Programs of {TITLES[unit]} cannot be loaded: {found.told}",
        subject=unit,
        detail="A package is damaged, half installed, or of another release than the library.",
        evidence=(shown,),
        fixes=_reinstall(unit, program, distribution),
    )


def _barring(place: str, mounts: Mounts | None) -> Mount | None:
    """The mount that keeps what is at a place from being executed. Source: mount(8), `noexec`."""
    mount = mounts.of(place) if mounts is not None else None
    return mount if mount is not None and "noexec" in mount.options else None


def _on_noexec(title: str, unit: str, place: str, mount: Mount) -> Verdict:
    return critical(
        f"{mount.path} is mounted noexec: no program of {title} in {place} can be executed",
        subject=place,
        detail="What /etc/fstab or a unit of systemd says of it holds again after the next boot.",
        evidence=(Evidence("/proc/1/mounts", f"{mount.path} {mount.kind} {','.join(mount.options)}"),),
        fixes=(
            Fix(
                id=f"{PROGRAMS}/exec",
                title=f"Let programs on {mount.path} be executed",
                commands=(("mount", "-o", "remount,exec", mount.path), ("systemctl", "restart", unit)),
                undo=(("mount", "-o", "remount,noexec", mount.path),),
                risk=Risk.MEDIUM,
                verify=(PROGRAMS, f"services.{unit}"),
                disrupts=f"{title} is started anew",
            ),
        ),
    )


def _lines(config: PostfixConfig, name: str) -> tuple[Evidence, ...]:
    """The services that run it."""
    users = [each for each in config.master.services if each.command == name]
    return tuple(Evidence(config.master.path, f"{each.line}: {each.key} runs {name}") for each in users[:3])


def _damaged(
    suite: _Suite, name: str, mode: int | None, lines: tuple[Evidence, ...], distribution: Distribution | None
) -> Verdict:
    path, gone = f"{suite.place}/{name}", mode is None
    what = "is not there" if mode is None else f"may not be executed (mode {mode:04o})"
    return critical(
        f"{path} {what}: no service of {suite.title} that runs it works",
        subject=name,
        detail="The package is damaged." if gone else "",
        evidence=(Evidence(f"ls {suite.place}", f"no {name}" if mode is None else f"{name}: mode {mode:04o}"), *lines),
        fixes=_reinstall(suite.unit, name, distribution) if mode is None else (_executable(suite, path, mode),),
    )


def _executable(suite: _Suite, path: str, mode: int) -> Fix:
    return Fix(
        id=f"{PROGRAMS}/mode",
        title=f"Let {path} be executed",
        commands=(("chmod", f"{_MODE:04o}", path), suite.again),
        undo=(("chmod", f"{mode:04o}", path),),
        verify=(PROGRAMS,),
        automatic=True,
        disrupts="connections under way are cut" if "restart" in suite.again else "",
        why="A program that could not be started is held back for a minute; this does not wait.",
    )


def _reinstall(unit: str, name: str, distribution: Distribution | None) -> tuple[Fix, ...]:
    if distribution is None or distribution.family not in ("debian", "redhat"):
        return ()
    if distribution.family == "redhat":
        command: tuple[str, ...] = ("dnf", "reinstall", "-y", unit)
    else:
        package = _PACKAGES.get(name.removesuffix("-login"), "dovecot-core") if unit == "dovecot" else "postfix"
        command = ("apt-get", "install", "--reinstall", "-y", package)
    return (
        Fix(
            id=f"{PROGRAMS}/reinstall",
            title="Put back what the package brings",
            commands=(command,),
            risk=Risk.MEDIUM,
            verify=(PROGRAMS,),
            disrupts=f"{TITLES[unit]} is started anew",
        ),
    )
