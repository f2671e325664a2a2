"""Questions and answers over a connection; a script stands in for ssh and starts the real `maildiag answer`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from maildiag.hosts.ssh import SshHost
from maildiag.model import Gap, GapReason, Reading
from maildiag.probes import Command, ReadFile, WhoAmI

ROOT = Path(__file__).parents[2]


def connection(tmp_path: Path, script: str) -> tuple[str, ...]:
    path = tmp_path / "ssh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return (str(path),)


def here(tmp_path: Path) -> tuple[str, ...]:
    search = os.pathsep.join([str(ROOT), str(ROOT / "checks")])
    return connection(tmp_path, f'PYTHONPATH="{search}" exec "{sys.executable}" -m maildiag answer')


def test_files_and_identity_are_asked_on_the_other_side(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("löss\n")
    host = SshHost("mail.example.test", command=here(tmp_path))
    try:
        read = host.ask(ReadFile(str(tmp_path / "x")))
        assert isinstance(read, Reading) and read.value.text == "löss\n"
        assert isinstance(host.ask(WhoAmI()), Reading)
        gap = host.ask(ReadFile(str(tmp_path / "nothing")))
        assert isinstance(gap, Gap) and gap.reason is GapReason.ABSENT
    finally:
        host.close()


def test_a_program_outside_the_list_is_not_run_there_either(tmp_path: Path) -> None:
    host = SshHost("mail.example.test", command=here(tmp_path))
    try:
        gap = host.ask(Command(("touch", str(tmp_path / "made"))))
        assert isinstance(gap, Gap) and gap.reason is GapReason.FAILED
        assert not (tmp_path / "made").exists()
    finally:
        host.close()


def test_a_connection_that_fails_says_in_ssh_s_own_words_why(tmp_path: Path) -> None:
    refused = "ssh: connect to host mail.example.test port 22: Connection refused"
    host = SshHost("mail.example.test", command=connection(tmp_path, f"echo '{refused}' >&2; exit 255"))
    try:
        gap = host.ask(WhoAmI())
        assert isinstance(gap, Gap) and refused in gap.detail
    finally:
        host.close()


def test_a_destination_that_is_an_option_is_refused() -> None:
    with pytest.raises(ValueError, match="no SSH destination"):
        SshHost("-oProxyCommand=touch /tmp/x")
