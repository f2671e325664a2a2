"""Line edits, carried out by the real sed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from maildiag import edits


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "main.cf"
    path.write_text("one\ntwo # comment\nthree\n")
    return path


def apply(argv: edits.Argv) -> None:
    subprocess.run(argv, check=True)


def test_a_line_is_replaced_by_text_full_of_sed_s_own_characters(file: Path) -> None:
    apply(edits.replace_line(str(file), 2, r"a/b\c&d = $x 's' [e]*"))
    assert file.read_text() == "one\na/b\\c&d = $x 's' [e]*\nthree\n"


def test_a_line_is_commented_out(file: Path) -> None:
    apply(edits.comment_line(str(file), 2))
    assert file.read_text() == "one\n#two # comment\nthree\n"


def test_a_line_is_inserted_and_another_deleted(file: Path) -> None:
    apply(edits.insert_after(str(file), 1, "a/b & c"))
    apply(edits.delete_line(str(file), 4))
    assert file.read_text() == "one\na/b & c\ntwo # comment\n"


def test_text_of_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        edits.replace_line("/etc/postfix/main.cf", 1, "a\nb")


def test_mode_and_link_are_kept(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    link = tmp_path / "link.cf"
    link.symlink_to(file)
    apply(edits.delete_line(str(link), 1))
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.read_text() == "two # comment\nthree\n"
