"""Secrets do not leave the host: discarded output and hidden parts of files, with real programs and files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from maildiag.facts.relay_password import _PASSWORDS, keys_of
from maildiag.hosts import commands, files, system
from maildiag.probes import Command, Processes, ReadFile


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


def test_a_private_key_beside_its_certificate_stays_on_the_host(tmp_path: Path) -> None:
    path = tmp_path / "combined.pem"
    key = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n"
    certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    path.write_text(key + certificate)
    assert files.read(ReadFile(str(path))).text == f"(private key (withheld))\n{certificate}"
    path.write_text("-----BEGIN PRIVATE KEY-----\nMHcC\ncut off")
    assert files.read(ReadFile(str(path))).text == "(private key (withheld))"


def test_of_a_password_map_only_the_keys_are_read(tmp_path: Path) -> None:
    path = tmp_path / "relay_auth"
    path.write_text(
        "# old: bob:s3cret\n#bob:s3cret\n[relay]:587 bob:s3cret\nother\n   bob:s3cret\nmore\tbob:s3cret # x\n"
    )
    text = files.read(ReadFile(str(path), hide=_PASSWORDS)).text
    assert "s3cret" not in text
    assert [(each.text, each.line) for each in keys_of(text)] == [("[relay]:587", 3), ("other", 4), ("more", 6)]


def test_of_a_stranger_s_process_only_the_program_is_told() -> None:
    code = "print(flush=True); input()"
    argv = [sys.executable, "-c", code, "--password", "s3cret"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        told = next(each for each in system.processes(Processes()) if each.pid == process.pid)
        process.communicate(b"\n")
    assert told.command == (sys.executable,)
