"""Paths that every account needs, and what is said where one is closed."""

from __future__ import annotations

from typing import Any

import pytest

from maildiag.facts.commons import COMMONS, Commons
from maildiag.facts.commons import commons as gather_commons
from maildiag.model import Gap, GapReason, Status
from maildiag.probes import FileKind, ReadFile, Stat, command
from maildiag.testing import file, gather, info, judge, printed
from maildiag_checks.commons import common_files


def host(path: str = "", mode: int = 0, kind: FileKind | None = None) -> Commons:
    """A host as it is shipped, but for one path."""
    return Commons(
        tuple(
            (each, info(each.path, mode if each.path == path else each.mode, kind=(kind or each.kind) if each.path == path else each.kind))
            for each in COMMONS
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "mode"), [("", 0), ("/etc", 0o711), ("/var", 0o751), ("/etc/passwd", 0o664), ("/tmp", 0o1777)]
)
def test_what_systems_ship_and_what_is_still_open_to_others_is_fine(path: str, mode: int) -> None:
    assert [each.status for each in judge(common_files, host(path, mode))] == [Status.OK]


@pytest.mark.parametrize(
    ("path", "mode", "status"),
    [
        ("/etc", 0o700, Status.CRITICAL),
        ("/etc/passwd", 0o600, Status.CRITICAL),
        ("/dev/null", 0o600, Status.CRITICAL),
        ("/etc/hosts", 0o640, Status.WARNING),
        ("/tmp", 0o755, Status.WARNING),
    ],
)
def test_what_is_closed_to_others_is_opened_again(path: str, mode: int, status: Status) -> None:
    (told,) = judge(common_files, host(path, mode))
    assert told.status is status
    assert told.subject == path
    assert told.fixes[0].commands[0][0] == "chmod"
    assert told.fixes[0].undo == (("chmod", f"{mode:04o}", path),)


def test_a_file_in_the_place_of_dev_null_is_not_mended_by_a_mode() -> None:
    (told,) = judge(common_files, host("/dev/null", 0o666, FileKind.FILE))
    assert told.title == "/dev/null is a file, not a device"
    assert told.fixes == ()


ABSENT = Gap(GapReason.ABSENT, "No such file or directory")
HOST: dict[Any, object] = {
    **{Stat(each.path): info(each.path, each.mode, kind=each.kind) for each in COMMONS},
    Stat("/etc/shadow"): info("/etc/shadow", 0o640),
    ReadFile("/etc/nsswitch.conf"): ABSENT,
    ReadFile("/etc/passwd"): file("root:x:0:0::/root:/bin/sh\n"),
    ReadFile("/etc/group"): file("root:x:0:\n"),
    command("getent", "passwd"): printed(""),
    command("getent", "group"): printed("root:x:0:\n"),
}


def looked(answers: dict[Any, object]) -> Commons:
    """The host, but for these answers."""
    found = gather(gather_commons, HOST | answers)
    assert isinstance(found, Commons)
    return found


def test_a_system_that_does_not_ask_the_file_of_accounts_is_told_with_its_line() -> None:
    switch = file("passwd: sss\ngroup: files\n")
    (verdict,) = judge(common_files, looked({ReadFile("/etc/nsswitch.conf"): switch}))
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "/etc/nsswitch.conf")
    assert "passwd: files sss" in " ".join(verdict.fixes[0].commands[0])


@pytest.mark.parametrize("switch", ["passwd: files sss\n", "passwd: compat\n", "hosts: files dns\n", ""])
def test_a_getent_that_prints_nothing_alone_is_no_fault(switch: str) -> None:
    found = looked({ReadFile("/etc/nsswitch.conf"): file(switch)})
    assert [each.status for each in judge(common_files, found)] == [Status.OK]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/etc/shadow", ["/etc/shadow is not there: no password of an account can be checked"]),
        ("/dev/null", ["/dev/null is not there: daemons and scripts cannot throw output away"]),
        ("/etc/hosts", []),
        ("/etc/nsswitch.conf", []),
    ],
)
def test_what_every_system_has_and_this_one_has_not(path: str, told: list[str]) -> None:
    verdicts = judge(common_files, looked({Stat(path): ABSENT}))
    assert [each.title for each in verdicts if each.status is not Status.OK] == told


def test_no_shadow_is_missed_where_the_passwords_are_in_the_table_of_accounts() -> None:
    passwd = file("root:$6$abc:0:0::/root:/bin/sh\n")
    found = looked({Stat("/etc/shadow"): ABSENT, ReadFile("/etc/passwd"): passwd})
    assert [each.status for each in judge(common_files, found)] == [Status.OK]
