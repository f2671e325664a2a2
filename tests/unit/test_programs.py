"""Postfix's own programs: all there, one without its execute bits, one gone, a directory that cannot be listed."""

from __future__ import annotations

import pytest

from maildiag.facts.host import Distribution
from maildiag.facts.postfix import Postfix
from maildiag.facts.postfix_config import PostfixConfig, postfix_config
from maildiag.model import Gap, GapReason, Status
from maildiag.probes import Directory, FileKind, ListDirectory
from maildiag.testing import gather, info, judge
from maildiag_checks.programs import programs
from tests.unit.postfix_files import DAEMONS, config
from tests.unit.test_postfix_config import ANSWERS

PLACE = "/usr/lib/postfix/sbin"
DEBIAN = Distribution("debian", "12", "Debian GNU/Linux 12", "debian")
RED_HAT = Distribution("almalinux", "9", "AlmaLinux 9", "redhat")


def listed(**modes: int) -> Directory:
    entries = {**dict.fromkeys(DAEMONS, 0o755), **modes}
    return Directory(tuple(info(f"{PLACE}/{name}", mode, kind=FileKind.FILE) for name, mode in entries.items() if mode))


def damaged(answer: Directory | Gap) -> dict[str, int | None]:
    settings = {"daemon_directory": PLACE}
    found = gather(postfix_config, ANSWERS | {ListDirectory(PLACE): answer}, postfix=Postfix(True, settings=settings))
    assert isinstance(found, PostfixConfig)
    return dict(found.damaged)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (listed(), {}),
        (listed(cleanup=0o644), {"cleanup": 0o644}),
        (listed(smtp=0), {"smtp": None}),
        (listed(cleanup=0o700), {}),
        (listed(qmqpd=0), {}),
        (Directory((), truncated=False), {}),
        (Gap(GapReason.DENIED, "Permission denied"), {}),
    ],
)
def test_what_master_cf_runs_and_nobody_can_execute_is_found(
    answer: Directory | Gap, expected: dict[str, int | None]
) -> None:
    assert damaged(answer) == expected


def test_all_there_is_fine() -> None:
    assert [each.status for each in judge(programs, config(), DEBIAN)] == [Status.OK]


def test_a_program_without_its_bits_gets_them_back() -> None:
    (told,) = judge(programs, config(damaged={"cleanup": 0o644}), DEBIAN)
    assert (told.status, told.subject) == (Status.CRITICAL, "cleanup")
    (fix,) = told.fixes
    assert fix.commands[0][:2] == ("chmod", "0755")
    assert fix.undo == (("chmod", "0644", fix.commands[0][2]),)
    assert fix.automatic
    assert any("cleanup/unix runs cleanup" in each.text for each in told.evidence)


@pytest.mark.parametrize(
    ("system", "command"),
    [
        (DEBIAN, ("apt-get", "install", "--reinstall", "-y", "postfix")),
        (RED_HAT, ("dnf", "reinstall", "-y", "postfix")),
        (None, None),
    ],
)
def test_a_program_that_is_gone_comes_back_with_the_package(
    system: Distribution | None, command: tuple[str, ...] | None
) -> None:
    (told,) = judge(programs, config(damaged={"smtp": None}), system)
    assert told.status is Status.CRITICAL
    assert [each.commands for each in told.fixes] == ([(command,)] if command else [])
    assert not any(each.automatic for each in told.fixes)
