"""Secrets do not leave the host: discarded output and hidden parts of files, with real programs and files."""

from __future__ import annotations

from pathlib import Path

from maildiag.hosts import commands, files
from maildiag.probes import Command, ReadFile


def test_discarded_standard_output_is_empty_and_the_exit_status_stays() -> None:
    probe = Command(("ls", "/", "/nosuch"), discard_stdout=True)
    result = commands.run(probe, commands.Running())
    assert result.stdout == ""
    assert "/nosuch" in result.stderr
    assert result.status == 2


def test_standard_output_is_read_without_it() -> None:
    result = commands.run(Command(("ls", "/nosuch", "/etc/passwd")), commands.Running())
    assert result.stdout == "/etc/passwd\n"


def test_what_a_file_hides_is_replaced_behind_the_name(tmp_path: Path) -> None:
    path = tmp_path / "sql.conf"
    path.write_text("user = mail\npassword = s3cret\n")
    text = files.read(ReadFile(str(path), hide=r"(?m)^(password = ).*")).text
    assert text == "user = mail\npassword = (hidden)\n"
