"""Applying one fix: what is refused, what is verified, and that nothing stays of a fix that does not cure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from maildiag.edits import delete_line, replace_line
from maildiag.hosts.bundle import Recorder
from maildiag.hosts.local import LocalHost
from maildiag.model import Fix
from maildiag.repair import events, lock
from maildiag.repair.applying import Consent, apply
from maildiag.repair.events import Outcome, RepairEvent
from maildiag.repair.hand import Hand
from maildiag.repair.judging import Cure
from maildiag.report import Report
from tests.repair.workbench import BAD, GOOD, World, fix, world


def applied(here: World, chosen: Fix, consent: Consent = Consent.CONFIRMED) -> tuple[Outcome, list[RepairEvent]]:
    seen = list(apply(here.cure(chosen), here.shop, consent))
    last = seen[-1]
    assert isinstance(last, events.Done)
    return last.outcome, seen


def test_a_fix_that_cures_is_told_as_cured_and_stays(tmp_path: Path) -> None:
    right = fix(tmp_path)
    here = world(tmp_path, right)
    outcome, seen = applied(here, right)
    assert isinstance(outcome, events.Cured)
    assert here.file.read_text() == GOOD == here.loaded.read_text()
    kinds = [type(each) for each in seen]
    assert kinds.index(events.AllSaved) < kinds.index(events.Running)


def test_a_fix_that_does_not_cure_is_undone(tmp_path: Path) -> None:
    wrong = fix(tmp_path, commands=(replace_line(str(tmp_path / "service.cf"), 3, "port = 26"),))
    here = world(tmp_path, wrong)
    before = here.file.stat()
    outcome, _ = applied(here, wrong)
    assert isinstance(outcome, events.NotCured)
    assert outcome.undone.complete
    assert here.file.read_text() == BAD
    assert here.file.stat().st_mtime_ns == before.st_mtime_ns


def test_what_was_fine_and_fails_after_the_fix_is_made_worse_and_undone(tmp_path: Path) -> None:
    edit = replace_line(str(tmp_path / "service.cf"), 2, "host = relay.example.test")
    lost = delete_line(str(tmp_path / "service.cf"), 3)
    wrong = fix(tmp_path, commands=(edit, lost, fix(tmp_path).commands[1]), verify=("services.loaded",))
    here = world(tmp_path, wrong)
    outcome, _ = applied(here, wrong)
    assert isinstance(outcome, events.MadeWorse)
    assert outcome.worse == ("services.loaded",)
    assert here.file.read_text() == BAD
    assert "port = 25" in here.loaded.read_text()


def test_a_guard_that_does_not_pass_keeps_the_service_from_reading_and_undoes(tmp_path: Path) -> None:
    edit = replace_line(str(tmp_path / "service.cf"), 2, "broken")
    wrong = fix(tmp_path, commands=(edit, fix(tmp_path).commands[1]))
    here = world(tmp_path, wrong)
    outcome, seen = applied(here, wrong)
    assert isinstance(outcome, events.Failed)
    assert outcome.ran.argv == here.guard
    assert not any(isinstance(each, events.Running) and each.argv == here.reload for each in seen)
    assert here.file.read_text() == BAD


def test_a_guard_that_failed_before_as_well_leaves_the_edit_and_leaves_the_reload_out(tmp_path: Path) -> None:
    right = fix(tmp_path)
    here = world(tmp_path, right)
    here.file.write_text(BAD + "broken\n")
    outcome, seen = applied(here, right)
    assert isinstance(outcome, events.Cured)
    assert outcome.note == "not loaded yet: the configuration is still broken elsewhere"
    assert here.file.read_text() == GOOD + "broken\n"
    assert any(isinstance(each, events.LeftOut) and each.argv == here.reload for each in seen)


def test_a_command_that_fails_undoes_what_came_before(tmp_path: Path) -> None:
    edit = fix(tmp_path).commands[0]
    wrong = fix(tmp_path, commands=(edit, ("chmod", "640", str(tmp_path / "no such file"))))
    here = world(tmp_path, wrong)
    outcome, _ = applied(here, wrong)
    assert isinstance(outcome, events.Failed)
    assert "No such file" in outcome.ran.output
    assert here.file.read_text() == BAD


def test_a_mode_that_a_fix_sets_stays_set_and_one_that_an_edit_would_lose_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "service.cf"
    edit, reload = fix(tmp_path).commands
    right = fix(tmp_path, commands=(("chmod", "640", str(path)), edit, reload))
    here = world(tmp_path, right)
    outcome, _ = applied(here, right)
    assert isinstance(outcome, events.Cured)
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_unknown_afterwards_is_never_called_cured(tmp_path: Path) -> None:
    edit = replace_line(str(tmp_path / "service.cf"), 2, "host = unreadable")
    wrong = fix(tmp_path, commands=(edit,))
    outcome, _ = applied(world(tmp_path, wrong), wrong)
    assert isinstance(outcome, events.Unverified)


def test_a_finding_that_is_gone_needs_no_fix(tmp_path: Path) -> None:
    right = fix(tmp_path)
    here = world(tmp_path, right)
    cure = here.cure(right)
    here.file.write_text(GOOD)
    done = list(apply(cure, here.shop, Consent.CONFIRMED))[-1]
    assert isinstance(done, events.Done)
    assert isinstance(done.outcome, events.NoLongerNeeded)
    assert not here.shop.store.transactions()


def test_a_fix_that_the_finding_does_not_offer_any_more_is_refused(tmp_path: Path) -> None:
    here = world(tmp_path, fix(tmp_path))
    stale = fix(tmp_path, commands=(delete_line(str(tmp_path / "service.cf"), 1),))
    outcome, _ = applied(here, stale)
    assert isinstance(outcome, events.Refused)
    assert "changed since" in outcome.why
    assert here.file.read_text() == BAD


def after_showing(here: World, chosen: Fix, shown: Report) -> tuple[Outcome, bool]:
    """How the fix ends that was chosen from this report, and whether it was judged again first."""
    found = shown.finding("services.relay")
    assert found is not None
    seen = list(apply(Cure(found, chosen), here.shop, Consent.CONFIRMED, shown))
    last = seen[-1]
    assert isinstance(last, events.Done)
    return last.outcome, any(isinstance(each, events.Judging) for each in seen)


def test_the_report_that_was_shown_is_the_first_look(tmp_path: Path) -> None:
    right = fix(tmp_path)
    here = world(tmp_path, right)
    outcome, looked = after_showing(here, right, here.report())
    assert isinstance(outcome, events.Cured)
    assert not looked
    assert here.file.read_text() == GOOD


@pytest.mark.parametrize(
    "aged",
    [
        lambda shown: replace(shown, started=shown.started - timedelta(minutes=1)),
        lambda shown: replace(shown, started=shown.started + timedelta(minutes=1)),
        lambda shown: replace(shown, complete=False),
        lambda shown: replace(shown, findings=shown.findings[:1]),
    ],
    ids=["old", "from the future", "cut short", "without a check that is watched"],
)
def test_a_report_that_may_not_be_true_any_more_is_not_relied_on(
    tmp_path: Path, aged: Callable[[Report], Report]
) -> None:
    right = fix(tmp_path, verify=("services.loaded",))
    here = world(tmp_path, right)
    assert not after_showing(here, right, here.report())[1]
    other = world(tmp_path, right)
    outcome, looked = after_showing(other, right, aged(other.report()))
    assert isinstance(outcome, events.Cured)
    assert looked


def test_what_was_changed_by_hand_since_it_was_shown_is_judged_again(tmp_path: Path) -> None:
    right = fix(tmp_path)
    here = world(tmp_path, right)
    shown = here.report()
    here.file.write_text(GOOD)
    outcome, looked = after_showing(here, right, shown)
    assert isinstance(outcome, events.NoLongerNeeded)
    assert looked
    here.file.write_text(BAD)
    shown = here.report()
    here.file.rename(tmp_path / "away")
    outcome, looked = after_showing(here, right, shown)
    assert isinstance(outcome, events.Refused)
    assert looked


def test_the_look_that_confirms_a_start_is_at_everything_for_who_diagnoses_next(tmp_path: Path) -> None:
    right = fix(tmp_path)
    here = world(tmp_path, right)
    seen = list(apply(here.cure(right), replace(here.shop, diagnoses=True), Consent.CONFIRMED))
    (told,) = [each.report for each in seen if isinstance(each, events.Diagnosed)]
    assert [each.id for each in told.findings] == ["services.relay", "services.loaded"]
    assert not told.diagnosis.causes
    assert sum(isinstance(each, events.Verifying) for each in seen) == 2
    assert not any(isinstance(each, events.Diagnosed) for each in applied(world(tmp_path, right), right)[1])


def test_a_look_at_everything_judges_the_fix_by_what_is_watched_alone(tmp_path: Path) -> None:
    edit = replace_line(str(tmp_path / "service.cf"), 2, "host = relay.example.test")
    lost = delete_line(str(tmp_path / "service.cf"), 3)
    chosen = fix(tmp_path, commands=(edit, lost, fix(tmp_path).commands[1]))
    here = world(tmp_path, chosen)
    shop, shown = replace(here.shop, diagnoses=True), here.report()
    found = shown.finding("services.relay")
    assert found is not None
    seen = list(apply(Cure(found, chosen), shop, Consent.CONFIRMED, shown))
    assert isinstance(seen[-1], events.Done)
    assert isinstance(seen[-1].outcome, events.Cured)
    (told,) = [each.report for each in seen if isinstance(each, events.Diagnosed)]
    assert [each.finding.id for each in told.diagnosis.causes] == ["services.loaded"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"commands": (("bash", "-c", "true"),)}, "not in the list"),
        ({"commands": (("sed", "-i", "--follow-symlinks", "1e id", "/etc/hosts"),)}, "more than the edit of a line"),
        ({"commands": (("sed", "-i", "--follow-symlinks", "1s/a/b/e", "/etc/hosts"),)}, "more than the edit of a line"),
        ({"commands": (("sed", "-n", "1w/etc/shadow", "/etc/hosts"),)}, "may only be used as"),
        ({"commands": (("chmod", "666", "/var/spool/postfix/private/auth"),)}, "everybody write"),
        ({"commands": (("chmod", "o+rw", "/var/spool/postfix/private/auth"),)}, "everybody write"),
        ({"commands": (("chmod", "a+w", "/etc/x"),)}, "everybody write"),
        ({"commands": (("install", "-d", "-m", "0777", "/etc/x"),)}, "everybody write"),
        ({"commands": (("rm", "-rf", "/var/mail"),)}, "single files"),
        ({"commands": (("cp", "/etc/hosts", "/var/spool/../hosts"),)}, "plain path"),
        ({"commands": (("systemctl", "poweroff"),)}, "not among what a fix may do"),
        ({"commands": (("systemctl", "kill", "postfix"),)}, "let processes go on"),
        ({"commands": (("systemctl", "kill", "--signal=KILL", "postfix"),)}, "let processes go on"),
        ({"commands": (("systemctl", "--signal=KILL", "kill", "--signal=CONT", "postfix"),)}, "let processes go on"),
        ({"commands": (("doveadm", "expunge", "-A", "all"),)}, "not among what a fix may do"),
        ({"commands": (("postconf", "-e", "mynetworks = 0.0.0.0/0"),)}, "everybody relay"),
        ({"commands": (("postconf", "-e", "a = b\nc = d"),)}, "line break"),
        ({"commands": ()}, "cannot be cured on this host"),
    ],
)
def test_what_no_fix_may_do_is_refused(tmp_path: Path, more: dict[str, object], why: str) -> None:
    wrong = fix(tmp_path, **more)
    outcome, seen = applied(world(tmp_path, wrong), wrong)
    assert isinstance(outcome, events.Refused)
    assert why in outcome.why
    assert len(seen) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"automatic": False},
        {"commands": (("postsuper", "-d", "ALL"),)},
        {"commands": (("ufw", "disable"),)},
        {"commands": (("systemctl", "stop", "firewalld.service"),)},
        {"commands": (("nft", "flush", "ruleset"),)},
    ],
)
def test_what_needs_a_person_is_refused_without_one(tmp_path: Path, more: dict[str, object]) -> None:
    wrong = fix(tmp_path, **more)
    outcome, _ = applied(world(tmp_path, wrong), wrong, Consent.AUTOMATIC)
    assert isinstance(outcome, events.Refused)
    assert "person's yes" in outcome.why


def test_only_one_fix_at_a_time(tmp_path: Path) -> None:
    right = fix(tmp_path)
    here = world(tmp_path, right)
    here.shop.store.prepare()
    with lock.held(here.shop.store.lock):
        outcome, _ = applied(here, right)
    assert isinstance(outcome, events.Refused)
    assert "another maildiag" in outcome.why
    assert isinstance(applied(here, right)[0], events.Cured)


def test_cancelling_between_two_commands_undoes(tmp_path: Path) -> None:
    right = fix(tmp_path)
    here = world(tmp_path, right)
    cancelled = threading.Event()
    shop = replace(here.shop, cancelled=cancelled)
    last: RepairEvent | None = None
    for event in apply(here.cure(right), shop, Consent.CONFIRMED):
        last = event
        if isinstance(event, events.Finished):
            cancelled.set()
    assert isinstance(last, events.Done)
    assert isinstance(last.outcome, events.Cancelled)
    assert here.file.read_text() == BAD


def test_a_reader_that_goes_away_half_way_leaves_nothing_half_done(tmp_path: Path) -> None:
    right = fix(tmp_path)
    here = world(tmp_path, right)
    steps = apply(here.cure(right), here.shop, Consent.CONFIRMED)
    while not isinstance(next(steps), events.Finished):
        pass
    assert here.file.read_text() == GOOD
    steps.close()
    assert here.file.read_text() == BAD


def test_a_recorded_host_has_no_hand() -> None:
    with pytest.raises(TypeError, match="only this machine"):
        Hand(Recorder(LocalHost()))  # type: ignore[arg-type]
