"""What a fix would change, shown without changing it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from maildiag import edits
from maildiag.programs import PATH
from maildiag.repair.preview import preview
from maildiag.repair.targets import Places
from tests.repair.workbench import BAD, fix, world

needs_postfix = pytest.mark.skipif(shutil.which("postconf", path=PATH) is None, reason="postconf is not installed")


def test_an_edit_is_shown_as_a_diff_and_the_file_stays(tmp_path: Path) -> None:
    here = world(tmp_path)
    shown = preview(fix(tmp_path))
    assert [each.path for each in shown.diffs] == [str(here.file)]
    assert "-host = relay.example.test # ours\n+host = relay.example.test" in shown.diffs[0].text
    assert here.file.read_text() == BAD


def test_several_edits_of_a_file_add_up(tmp_path: Path) -> None:
    here = world(tmp_path)
    path = str(here.file)
    shown = preview(fix(tmp_path, commands=(edits.delete_line(path, 1), edits.append_line(path, "end"))))
    assert "-# relay" in shown.diffs[0].text
    assert "+end" in shown.diffs[0].text


def test_what_no_diff_can_show_is_said(tmp_path: Path) -> None:
    world(tmp_path)
    shown = preview(fix(tmp_path, commands=(("chmod", "640", "/etc/x"), ("systemctl", "restart", "postfix"))))
    assert [(each.argv[0], each.why) for each in shown.unseen] == [
        ("chmod", "changes /etc/x in a way that a diff does not show"),
        ("systemctl", "changes no file"),
    ]


def test_a_file_that_not_everybody_may_read_shows_no_more_than_the_changed_lines(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.file.chmod(0o600)
    text = preview(fix(tmp_path)).diffs[0].text
    assert "port = 25" not in text
    assert "# relay" not in text


def test_the_password_beside_a_key_that_changes_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "relay_auth"
    path.write_text("# relay\n[relay.example.test]:587 alice:hunter2\n")
    path.chmod(0o600)
    rename = ("sed", "-i", "--follow-symlinks", r"2s/^[^[:blank:]]*/[relay.example.test]:25/", str(path))
    text = preview(fix(tmp_path, commands=(rename,))).diffs[0].text
    assert "-[relay.example.test]:587 (not shown)\n+[relay.example.test]:25 (not shown)" in text
    assert preview(fix(tmp_path, commands=(("sed", "-i", "1s/x/y/", str(path)),))).diffs == ()
    path.write_text("x alice:hunter2\n")
    assert "hunter2" not in preview(fix(tmp_path, commands=(edits.delete_line(str(path), 1),))).diffs[0].text
    path.write_text("alice:hunter2:old\n")
    text = (
        preview(fix(tmp_path, commands=(("sed", "-i", "--follow-symlinks", "1s/old/new/", str(path)),))).diffs[0].text
    )
    assert "- (not shown)old\n+ (not shown)new" in text
    path.write_text("pass hunter2 old\n")
    text = (
        preview(fix(tmp_path, commands=(("sed", "-i", "--follow-symlinks", "1s/old/new/", str(path)),))).diffs[0].text
    )
    assert "- (not shown)old\n+ (not shown)new" in text


def test_a_secret_of_a_file_that_all_may_read_is_cut_from_its_diff(tmp_path: Path) -> None:
    path = tmp_path / "service.cf"
    path.write_text("smtp_sasl_password_maps = static:alice:hunter2 # ours\n")
    mend = edits.replace_line(str(path), 1, "smtp_sasl_password_maps = static:alice:hunter2")
    text = preview(fix(tmp_path, commands=(mend,))).diffs[0].text
    assert "hunter2" not in text
    assert "+smtp_sasl_password_maps = static:(removed)" in text


def test_escape_sequences_of_the_file_are_not_shown_as_such(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.file.write_text(BAD.replace("port", "\x1b[31mport"))
    assert "\x1b" not in preview(fix(tmp_path)).diffs[0].text


@needs_postfix
def test_postconf_edits_a_copy(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\ninet_interfaces = all # everywhere\n")
    (tmp_path / "master.cf").write_text("smtp inet n - y - - smtpd\n")
    change = fix(tmp_path, commands=(("postconf", "-e", "inet_interfaces = all"), ("postconf", "-X", "no_such")))
    shown = preview(change, Places(str(tmp_path)))
    assert "-inet_interfaces = all # everywhere\n+inet_interfaces = all" in shown.diffs[0].text
    assert "everywhere" in (tmp_path / "main.cf").read_text()
