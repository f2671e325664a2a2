"""Postfix's and Dovecot's own programs: all there, one without its execute bits, one gone, a directory that cannot be listed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from maildiag.facts.dovecot import NOT_INSTALLED, Dovecot
from maildiag.facts.dovecot_programs import DovecotPrograms, dovecot_programs
from maildiag.facts.host import Distribution
from maildiag.facts.mail_log import MailLog
from maildiag.facts.mounts import Mounts, mounts_in
from maildiag.facts.postfix import WITHOUT, Postfix
from maildiag.facts.postfix_config import PostfixConfig, postfix_config
from maildiag.facts.services import Services
from maildiag.model import Gap, GapReason, Status, Verdict
from maildiag.probes import Directory, FileKind, ListDirectory, Probe
from maildiag.testing import gather, info, judge
from maildiag_checks.programs import programs
from tests.unit import test_dovecot_checks
from tests.unit.postfix_files import DAEMONS, config
from tests.unit.recorded import log, services
from tests.unit.test_postfix_config import ANSWERS

PLACE = "/usr/lib/postfix/sbin"
DEBIAN = Distribution("debian", "12", "Debian GNU/Linux 12", "debian")
RED_HAT = Distribution("almalinux", "9", "AlmaLinux 9", "redhat")


def judged(
    config: PostfixConfig | None,
    dovecot: DovecotPrograms | None,
    distribution: Distribution | None,
    services: Services | None,
    mounts: Mounts | None = None,
    *,
    postfix: Postfix | Gap = WITHOUT,
    settings: Dovecot | Gap = NOT_INSTALLED,
    log: MailLog | None = None,
) -> list[Verdict]:
    """What the check says, of a host where the programs that were not named tell nothing."""
    return judge(programs, config, dovecot, distribution, services, mounts, postfix, settings, log)


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
    assert [each.status for each in judged(config(), None, DEBIAN, None)] == [Status.OK]


def test_a_program_without_its_bits_gets_them_back() -> None:
    (told,) = judged(config(damaged={"cleanup": 0o644}), None, DEBIAN, None)
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
    (told,) = judged(config(damaged={"smtp": None}), None, system, None)
    assert told.status is Status.CRITICAL
    assert [each.commands for each in told.fixes] == ([(command,)] if command else [])
    assert not any(each.automatic for each in told.fixes)


RUNNING = services("debian12-healthy")
LIBEXEC = "/usr/lib/dovecot"
SHIPPED = ("anvil", "auth", "config", "imap", "imap-login", "log", "pop3", "pop3-login", "stats")


def of_dovecot(text: str, place: str = LIBEXEC, **modes: int) -> DovecotPrograms:
    entries = {**dict.fromkeys(SHIPPED, 0o755), **{name.replace("_", "-"): mode for name, mode in modes.items()}}
    listing = Directory(
        tuple(info(f"{place}/{name}", mode, kind=FileKind.FILE) for name, mode in entries.items() if mode)
    )
    absent = Gap(GapReason.ABSENT, "no such directory")
    answers: dict[Probe[Any], Any] = {ListDirectory(each): absent for each in (LIBEXEC, "/usr/libexec/dovecot")} | {
        ListDirectory(place): listing
    }
    found = gather(dovecot_programs, answers, config=test_dovecot_checks.config(text))
    assert isinstance(found, DovecotPrograms)
    return found


@pytest.mark.parametrize(
    ("text", "modes", "expected"),
    [
        ("protocols = imap\n", {}, {}),
        ("protocols = imap\n", {"imap": 0o644}, {"imap": 0o644}),
        ("protocols = imap\n", {"imap_login": 0, "pop3": 0}, {"imap-login": None}),
        ("protocols = imap\nservice imap {\n  executable = /usr/local/bin/other\n}\n", {"imap": 0}, {}),
        ("protocols = imap\n", {"auth": 0o600}, {"auth": 0o600}),
    ],
)
def test_what_dovecot_s_protocols_need_is_looked_at(
    text: str, modes: dict[str, int], expected: dict[str, int | None]
) -> None:
    assert of_dovecot(text, LIBEXEC, **modes).damaged == expected


def test_the_red_hat_family_keeps_them_elsewhere_and_an_unknown_place_is_not_judged() -> None:
    assert of_dovecot("protocols = imap\n", "/usr/libexec/dovecot", auth=0).damaged == {"auth": None}
    assert of_dovecot("protocols = imap\n", "/opt/dovecot").place == ""


def test_a_damaged_program_of_dovecot_is_put_right_and_its_package_named() -> None:
    told = judged(
        config(), DovecotPrograms(LIBEXEC, {"imap": 0o644, "pop3-login": None, "auth": None}), DEBIAN, RUNNING
    )
    assert [each.subject for each in told] == ["imap", "pop3-login", "auth"]
    assert told[0].fixes[0].commands[1] == ("doveadm", "reload")
    (down,) = judged(config(), DovecotPrograms(LIBEXEC, {"imap": 0o644}), DEBIAN, services("debian12-stopped"))
    assert down.fixes[0].commands[1] == ("systemctl", "restart", "dovecot")
    assert [each.fixes[0].commands[0][-1] for each in told[1:]] == ["dovecot-pop3d", "dovecot-core"]


def test_a_directory_that_cannot_be_listed_is_not_told_to_be_fine() -> None:
    assert [each.status for each in judged(config(daemons=frozenset()), None, DEBIAN, None)] == [Status.UNKNOWN]
    assert [each.status for each in judged(None, None, DEBIAN, None)] == [Status.SKIPPED]


MOUNTED = (
    "/dev/sda1 / ext4 rw,relatime 0 0\n"
    "/dev/sda2 /usr/lib/postfix ext4 rw,noexec,relatime 0 0\n"
    "/dev/sda3 /usr/lib/postfix-old ext4 rw 0 0\n"
)


def test_programs_on_a_file_system_without_execution_are_no_matter_of_their_modes() -> None:
    (told,) = judged(config(), None, DEBIAN, None, Mounts(mounts_in(MOUNTED)))
    assert (told.status, told.subject) == (Status.CRITICAL, "/usr/lib/postfix/sbin")
    assert told.title.startswith("/usr/lib/postfix is mounted noexec")
    assert told.evidence[0].text == "/usr/lib/postfix ext4 rw,noexec,relatime"
    assert told.fixes[0].commands[0] == ("mount", "-o", "remount,exec", "/usr/lib/postfix")


@pytest.mark.parametrize(
    "later", ["/dev/sda4 /usr/lib/postfix ext4 rw 0 0\n", "/dev/sda4 /usr/lib/postfix/sbin ext4 rw 0 0\n"]
)
def test_the_mount_that_hides_the_others_counts(later: str) -> None:
    (told,) = judged(config(), None, DEBIAN, None, Mounts(mounts_in(MOUNTED + later)))
    assert told.status is Status.OK


# Recorded on Debian 12 with libpostfix-tls.so moved away, cut short, taken from another library, and with
# /usr/lib/postfix mounted noexec; the last as Dovecot's log has it where libdovecot-storage.so.0 is gone.
UNMAPPED = "postconf: error while loading shared libraries: libpostfix-tls.so: failed to map segment from shared object"
GONE = (
    "2026-11-28T08:20:31.617000+00:00 mail dovecot: imap: Error: dovecot/imap: error while loading shared libraries: "
    "libdovecot-storage.so.0: cannot open shared object file: No such file or directory\n"
)


@pytest.mark.parametrize(
    ("said", "library"),
    [
        (
            "postconf: error while loading shared libraries: libpostfix-tls.so: cannot open shared object file: No such file or directory",
            "libpostfix-tls.so: cannot open shared object file: No such file or directory",
        ),
        (
            "postconf: error while loading shared libraries: /usr/lib/postfix/libpostfix-tls.so: file too short",
            "/usr/lib/postfix/libpostfix-tls.so: file too short",
        ),
        (
            "postconf: symbol lookup error: postconf: undefined symbol: var_tls_eecdh_ultra",
            "postconf: undefined symbol: var_tls_eecdh_ultra",
        ),
        (UNMAPPED, "libpostfix-tls.so: failed to map segment from shared object"),
    ],
)
def test_what_the_linker_says_of_postconf_is_the_cause(said: str, library: str) -> None:
    gap = Gap(GapReason.FAILED, f"postconf printed no settings: {said}")
    (told,) = judged(None, None, DEBIAN, None, postfix=gap)
    assert (told.status, told.subject) == (Status.CRITICAL, "postfix")
    assert told.title == f"Programs of Postfix cannot be loaded: {library}"
    assert told.fixes[0].commands == (("apt-get", "install", "--reinstall", "-y", "postfix"),)


def test_a_library_that_may_not_be_executed_is_a_matter_of_the_mount() -> None:
    gap = Gap(GapReason.FAILED, f"postconf printed no settings: {UNMAPPED}")
    (told,) = judged(None, None, DEBIAN, None, Mounts(mounts_in(MOUNTED)), postfix=gap)
    assert told.title.startswith("/usr/lib/postfix is mounted noexec")


def test_a_library_that_one_program_of_dovecot_lacks_stands_in_its_log() -> None:
    seen = log(GONE, "", datetime(2026, 11, 28, 8, 21, tzinfo=UTC))
    (told,) = judged(None, None, DEBIAN, None, log=seen)
    assert told.title.startswith("Programs of Dovecot cannot be loaded: libdovecot-storage.so.0: cannot open")
    assert told.fixes[0].commands == (("apt-get", "install", "--reinstall", "-y", "dovecot-imapd"),)


def test_a_doveconf_that_cannot_be_loaded_tells_it_itself() -> None:
    said = "doveconf: error while loading shared libraries: libdovecot.so.0: cannot open shared object file: No such file or directory"
    (told,) = judged(None, None, DEBIAN, None, settings=Dovecot(True, error=said))
    assert (told.status, told.subject) == (Status.CRITICAL, "dovecot")
