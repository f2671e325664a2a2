"""Commands as they are shown: whole where they can be, and with a mark that no shell runs where they hold a secret."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from maildiag import edits
from maildiag.model import Fix
from maildiag.typed import commands, typed, withheld

SECRET = "hunter2"


def fix(*argv: tuple[str, ...]) -> Fix:
    return Fix(id="a.b/c", title="Mend it", commands=argv)


def test_a_command_without_a_secret_can_be_pasted() -> None:
    argv = ("postconf", "-e", "smtpd_banner=$myhostname ESMTP; 'quoted' \"twice\"", "")
    assert tuple(shlex.split(typed(argv))) == argv
    assert commands(fix(argv)) == [typed(argv)]


@pytest.mark.parametrize(
    "argv",
    [
        ("postconf", "-e", f"smtp_sasl_password_maps=static:alice:{SECRET}"),
        ("postconf", "-e", f"ldap_bind_pw = {SECRET} and more"),
        edits.replace_line("/etc/dovecot/sql.conf", 12, f"connect = host=db password={SECRET} user=mail"),
        ("postconf", "-M", f"filter/unix=filter unix - n n - - pipe argv=/usr/bin/filter --password {SECRET}"),
    ],
)
def test_a_secret_is_cut_and_the_rest_runs_in_no_shell(argv: tuple[str, ...]) -> None:
    shown = typed(argv)
    assert SECRET not in shown
    assert "(removed)" in shown
    done = subprocess.run(["sh", "-c", f"echo() {{ :; }}; {shown}"], capture_output=True, text=True, check=False)
    assert "yntax error" in done.stderr
    assert SECRET not in "\n".join(commands(fix(argv)))


def test_where_a_cut_secret_comes_from_is_told() -> None:
    sed = edits.replace_line("/etc/dovecot/sql.conf", 12, f"password = {SECRET}")
    setting = ("postconf", "-e", f"smtp_sasl_password_maps=static:alice:{SECRET}")
    assert withheld(fix(sed, setting)) == (
        "(removed) is a secret, as it stands in line 12 of /etc/dovecot/sql.conf and main.cf now: "
        "maildiag fix writes it and does not show it"
    )
    assert withheld(fix(("systemctl", "restart", "dovecot"))) == ""
