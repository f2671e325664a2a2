"""Taking back earlier fixes: what changed since is not taken away, and a timed change leaves others' edits alone."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from maildiag.edits import replace_line
from maildiag.render.deeds import lately
from maildiag.render.markdown import markdown
from maildiag.repair import events, journal, lock
from maildiag.repair.applying import Consent, apply
from maildiag.repair.carrying import Applied, Carried, Steps, carry_out
from maildiag.repair.journal import State
from maildiag.repair.saving import Label
from maildiag.repair.store import NoSuchTransactionError, Store, Unsafe
from maildiag.repair.undo import Events, conflicts, undo
from tests.repair.workbench import BAD, GOOD, World, fix, world
from tests.support import report


def cured(root: Path) -> tuple[World, str]:
    """A world in which the fix was applied, and the transaction's name."""
    right = fix(root)
    here = world(root, right)
    done = list(apply(here.cure(right), here.shop, Consent.CONFIRMED))[-1]
    assert isinstance(done, events.Done)
    assert isinstance(done.outcome, events.Cured)
    return here, done.outcome.transaction


def taken_back(here: World, name: str) -> events.Undone:
    return ended(undo(here.shop.store.load(name), here.shop.hand, here.shop.store))


def test_the_incident_record_tells_what_fixes_did(tmp_path: Path) -> None:
    here, name = cured(tmp_path)
    (deed,) = lately(here.shop.store.transactions(), journal.now())
    assert (deed.id, deed.end) == (name, "applied (cured)")
    told = markdown(report([]), (deed,))
    assert f"(`maildiag undo {name}`)" in told
    assert "Proven: at " in told
    assert lately(here.shop.store.transactions(), journal.now() + timedelta(days=2)) == ()


def ended(steps: Events) -> events.Undone:
    try:
        while True:
            next(steps)
    except StopIteration as end:
        assert isinstance(end.value, events.Undone)
        return end.value


def carried(steps: Steps) -> Carried:
    try:
        while True:
            next(steps)
    except StopIteration as end:
        outcome: Carried = end.value
        return outcome


def test_an_undo_puts_the_file_back_and_has_it_loaded(tmp_path: Path) -> None:
    here, name = cured(tmp_path)
    done = taken_back(here, name)
    assert done.complete
    assert done.restored == (str(here.file),)
    assert here.file.read_text() == BAD == here.loaded.read_text()
    assert here.shop.store.load(name).state is State.UNDONE


def test_a_file_that_somebody_edited_since_is_a_conflict(tmp_path: Path) -> None:
    here, name = cured(tmp_path)
    assert conflicts(here.shop.store.load(name), here.shop.store) == ()
    here.file.write_text(GOOD + "mine\n")
    found = conflicts(here.shop.store.load(name), here.shop.store)
    assert found == (f"{here.file} was changed since by somebody else",)


def test_a_later_fix_of_the_same_file_is_a_conflict(tmp_path: Path) -> None:
    here, name = cured(tmp_path)
    edit = replace_line(str(here.file), 3, "port = 25 ")
    later = carried(carry_out(fix(tmp_path, commands=(edit,)), Label(title="later"), here.shop))
    assert isinstance(later, Applied)
    first = conflicts(here.shop.store.load(name), here.shop.store)
    assert first[0] == f"{here.file} was changed again by the later fix {later.transaction}: undo that one first"
    assert taken_back(here, later.transaction).complete
    assert conflicts(here.shop.store.load(name), here.shop.store) == ()


def test_a_timed_change_is_taken_out_by_its_own_commands_where_the_file_was_edited(tmp_path: Path) -> None:
    here = world(tmp_path)
    there = replace_line(str(here.file), 3, "port = 26")
    back = replace_line(str(here.file), 3, "port = 25")
    label = Label(title="for a while", until=journal.now() + timedelta(minutes=1))
    done = carried(carry_out(fix(tmp_path, commands=(there,), undo=(back,)), label, here.shop))
    assert isinstance(done, Applied)
    here.file.write_text(here.file.read_text() + "mine\n")
    assert taken_back(here, done.transaction).complete
    assert here.file.read_text() == BAD + "mine\n"


def test_what_cannot_be_prepared_is_not_begun(tmp_path: Path) -> None:
    here = world(tmp_path)
    done = carried(carry_out(fix(tmp_path), Label(), here.shop, lambda _: "no timer can be had"))
    assert done == events.Refused("no timer can be had")
    assert here.file.read_text() == BAD


def test_mail_that_came_into_a_directory_of_the_fix_is_not_removed(tmp_path: Path) -> None:
    here = world(tmp_path)
    made = tmp_path / "Maildir"
    done = carried(carry_out(fix(tmp_path, commands=(("mkdir", "-p", str(made / "new")),)), Label(), here.shop))
    assert isinstance(done, Applied)
    (made / "new" / "mail").write_text("mail\n")
    (made / "new" / "empty").mkdir()
    told = taken_back(here, done.transaction)
    assert not told.complete
    assert told.left[0] == f"{made}/new: kept, because it is not empty any more ({made}/new/mail)"
    assert (made / "new" / "mail").read_text() == "mail\n"
    assert here.shop.store.load(done.transaction).state is State.PARTLY_UNDONE


def test_empty_directories_that_a_daemon_made_in_a_directory_of_the_fix_go_with_it(tmp_path: Path) -> None:
    here, elsewhere = world(tmp_path), tmp_path / "elsewhere"
    made = tmp_path / "spool"
    done = carried(carry_out(fix(tmp_path, commands=(("mkdir", str(made)),)), Label(), here.shop))
    assert isinstance(done, Applied)
    (made / "defer" / "A").mkdir(parents=True)
    elsewhere.mkdir()
    (made / "link").symlink_to(elsewhere)
    told = taken_back(here, done.transaction)
    assert told.left == (f"{made}: kept, because it is not empty any more ({made}/link)",)
    (made / "link").unlink()
    assert taken_back(here, done.transaction).complete
    assert not made.exists()
    assert elsewhere.is_dir()


def test_an_undo_waits_for_another_only_as_long_as_it_is_told(tmp_path: Path) -> None:
    here, name = cured(tmp_path)
    with lock.held(here.shop.store.lock), pytest.raises(lock.Locked, match=f"process {os.getpid()}"):
        ended(undo(here.shop.store.load(name), here.shop.hand, here.shop.store, wait_s=0.1))


def test_a_journal_whose_last_line_was_torn_off_is_read_up_to_there(tmp_path: Path) -> None:
    here, name = cured(tmp_path)
    file = here.shop.store.undo / name / journal.FILE
    lines = file.read_bytes().splitlines(keepends=True)
    cut = next(number for number, line in enumerate(lines) if b'"Finished"' in line)
    file.write_bytes(b"".join(lines[:cut]) + lines[cut][:10])
    assert here.shop.store.load(name).state is State.INTERRUPTED
    assert taken_back(here, name).complete
    assert here.file.read_text() == BAD


def test_a_damaged_copy_is_told_and_nothing_is_overwritten_with_it(tmp_path: Path) -> None:
    here, name = cured(tmp_path)
    copy = next((here.shop.store.undo / name / journal.COPIES).iterdir())
    copy.write_text("damaged")
    assert "damaged" in taken_back(here, name).left[0]
    assert here.file.read_text() == GOOD


def test_saved_files_are_for_their_owner_only(tmp_path: Path) -> None:
    here, name = cured(tmp_path)
    directory = here.shop.store.undo / name
    modes = {each.stat().st_mode & 0o077 for each in [here.shop.store.root, directory, *directory.rglob("*")]}
    assert modes == {0}


def test_a_state_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(Unsafe, match="writable by others"):
        Store(tmp_path).prepare()


def test_a_transaction_is_found_by_the_beginning_of_its_name_where_that_is_enough(tmp_path: Path) -> None:
    here, name = cured(tmp_path)
    assert here.shop.store.load(name[:9]).id == name
    with pytest.raises(NoSuchTransactionError, match="no transaction 'x'"):
        here.shop.store.load("x")


def test_a_forgotten_transaction_is_gone_with_its_copies(tmp_path: Path) -> None:
    here, name = cured(tmp_path)
    here.shop.store.forget(name)
    assert here.shop.store.transactions() == []
