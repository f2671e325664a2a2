"""Step 1, below the configuration: are the programs that Postfix and Dovecot start there, and can they be executed?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from maildiag.facts.dovecot_programs import DovecotPrograms
from maildiag.facts.host import Distribution
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.services import Services
from maildiag.model import Evidence, Fix, Risk, Step, Verdict, critical, ok, skipped, unknown
from maildiag.records import dataclass
from maildiag.registry import BOTH, check

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
) -> Iterator[Verdict]:
    """One that cannot is tried again every minute, and what needs it waits without a word. Source: master(8), postfix-files."""
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
    if not suites and config is None:
        yield skipped("No program of Postfix or Dovecot is known here")
    for suite in suites:
        for name, mode in suite.damaged.items():
            lines = _lines(config, name) if config is not None and suite.unit == "postfix" else ()
            yield _damaged(suite, name, mode, lines, distribution)
    if suites and not any(each.damaged for each in suites):
        shown = tuple(Evidence(f"ls {each.place}", "all there") for each in suites)
        yield ok("Every program that is to run can be executed", evidence=shown)


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
        fixes=_reinstall(suite, name, distribution) if mode is None else (_executable(suite, path, mode),),
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


def _reinstall(suite: _Suite, name: str, distribution: Distribution | None) -> tuple[Fix, ...]:
    if distribution is None or distribution.family not in ("debian", "redhat"):
        return ()
    if distribution.family == "redhat":
        command: tuple[str, ...] = ("dnf", "reinstall", "-y", suite.unit)
    else:
        package = _PACKAGES.get(name.removesuffix("-login"), "dovecot-core") if suite.unit == "dovecot" else "postfix"
        command = ("apt-get", "install", "--reinstall", "-y", package)
    return (
        Fix(
            id=f"{PROGRAMS}/reinstall",
            title="Put back what the package brings",
            commands=(command,),
            risk=Risk.MEDIUM,
            verify=(PROGRAMS,),
            disrupts=f"{suite.title} is started anew",
        ),
    )
