"""Step 1, below the configuration: are the programs of Postfix that master.cf runs there, and can they be executed?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.facts.host import Distribution
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.model import Evidence, Fix, Risk, Step, Verdict, critical, ok
from maildiag.registry import BOTH, check

PROGRAMS = "services.programs"
_MODE = 0o755  # postfix-files


@check(PROGRAMS, step=Step.SERVICES, asks="Can every program of Postfix be executed?", roles=BOTH, explained_by=())
def programs(config: PostfixConfig, distribution: Distribution | None) -> Iterator[Verdict]:
    """One that cannot is tried again every minute, and what needs it waits without a word. Source: master(8), postfix-files."""
    place = config.get("daemon_directory")
    for name, mode in config.damaged.items():
        path = f"{place}/{name}"
        users = [each for each in config.master.services if each.command == name]
        lines = tuple(Evidence(config.master.path, f"{each.line}: {each.key} runs {name}") for each in users[:3])
        yield critical(
            f"{path} is not there: no service of Postfix that runs it works"
            if mode is None
            else f"{path} may not be executed (mode {mode:04o}): no service of Postfix that runs it works",
            subject=name,
            detail="The package is damaged." if mode is None else "",
            evidence=(Evidence(f"ls {place}", f"no {name}" if mode is None else f"{name}: mode {mode:04o}"), *lines),
            fixes=_reinstall(distribution) if mode is None else (_executable(path, mode),),
        )
    if not config.damaged:
        yield ok("Every program that master.cf runs can be executed", evidence=(Evidence(f"ls {place}", "all there"),))


def _executable(path: str, mode: int) -> Fix:
    return Fix(
        id=f"{PROGRAMS}/mode",
        title=f"Let {path} be executed",
        commands=(("chmod", f"{_MODE:04o}", path), ("systemctl", "restart", "postfix")),
        undo=(("chmod", f"{mode:04o}", path),),
        verify=(PROGRAMS,),
        automatic=True,
        disrupts="connections under way are cut",
        why="master(8) holds a program that it could not start back for a minute; a restart does not wait.",
    )


def _reinstall(distribution: Distribution | None) -> tuple[Fix, ...]:
    if distribution is None or distribution.family not in ("debian", "redhat"):
        return ()
    debian = distribution.family == "debian"
    return (
        Fix(
            id=f"{PROGRAMS}/reinstall",
            title="Put back what the package brings",
            commands=(("apt-get", "install", "--reinstall", "-y", "postfix"),)
            if debian
            else (("dnf", "reinstall", "-y", "postfix"),),
            risk=Risk.MEDIUM,
            verify=(PROGRAMS,),
            disrupts="Postfix is started anew",
        ),
    )
