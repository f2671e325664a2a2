"""Cure and undo on real hosts: killed in the middle, verbose logging that ends by itself, the emergency procedure."""

from __future__ import annotations

import json

import pytest

from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.process import wait_for

pytestmark = pytest.mark.lab

_FILES = "cd /etc; find postfix dovecot -type f -exec sha256sum {} + -printf '%m %u:%g %T@ %p\\n' | sort; systemctl is-enabled postfix"
_BREAK = "sed -i 's/^inet_interfaces = all/inet_interfaces = all # everywhere/' /etc/postfix/main.cf; systemctl restart postfix || true"
_KILL = """
maildiag fix --yes >/tmp/fix.out 2>&1 & maildiag=$!
for _ in $(seq 600); do
    if grep -qs '{word}' /var/lib/maildiag/undo/*/journal.jsonl; then break; fi
    kill -0 $maildiag 2>/dev/null || break
    sleep 0.02
done
kill -9 $maildiag 2>/dev/null || true
wait $maildiag 2>/dev/null || true
"""


def transactions(host: Host) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(host.maildiag("undo", "--json").stdout)["transactions"]
    return found


@pytest.mark.parametrize("word", ["AllSaved", '"Intent"', '"Finished"', '"number": 1'])
def test_a_fix_killed_in_the_middle_is_undone_byte_for_byte(breakable_lab: Lab, word: str) -> None:
    lab = breakable_lab
    lab.mail.sh(_BREAK)
    before = lab.mail.sh(_FILES)
    lab.mail.sh(_KILL.replace("{word}", word), timeout=150)
    assert transactions(lab.mail)
    for each in transactions(lab.mail):
        done = lab.mail.maildiag("undo", each["id"])
        assert done.returncode == 0, done.stdout + done.stderr
    assert lab.mail.sh(_FILES) == before
    fixed = lab.mail.maildiag("fix", "--yes")
    assert fixed.returncode in (0, 1, 3), fixed.stdout
    lab.deliver(lab.app01, "alice@example.test")


def test_verbose_logging_ends_by_itself_and_leaves_the_files_as_they_were(breakable_lab: Lab) -> None:
    lab = breakable_lab
    before = lab.mail.sh(_FILES)
    on = lab.mail.maildiag("debug-peer", lab.app01.address, "--dovecot", "--for", "45s")
    assert on.returncode == 0, on.stdout + on.stderr
    assert lab.mail.sh("postconf -h debug_peer_list").strip() == lab.app01.address
    assert "auth_debug = yes" in lab.mail.sh("doveconf -n")
    wait_for("the undo", lambda: transactions(lab.mail)[0]["state"] == "undone", timeout=150)
    assert lab.mail.sh(_FILES) == before
    lab.deliver(lab.app01, "alice@example.test")


def test_an_edit_made_during_verbose_logging_stays(breakable_lab: Lab) -> None:
    lab = breakable_lab
    lab.mail.maildiag("debug-peer", lab.app01.address, "--for", "45s")
    lab.mail.sh("postconf -e 'message_size_limit = 20000000'")
    wait_for("the undo", lambda: transactions(lab.mail)[0]["state"] == "undone", timeout=150)
    assert lab.mail.sh("postconf -h debug_peer_list message_size_limit").split() == ["20000000"]


def test_the_emergency_procedure_leads_from_a_broken_to_a_working_server(breakable_lab: Lab) -> None:
    lab = breakable_lab
    lab.mail.sh(_BREAK + "; sed -i 's/^home_mail.*/&\\nthis is wrong/' /etc/postfix/main.cf")
    done = lab.mail.run(
        ["script", "-qec", "maildiag emergency", "/dev/null"], input="y\n" * 6, timeout=240, check=False
    )
    assert "Comment out what Postfix refuses: inet_interfaces, this is wrong" in done.stdout
    assert "#this is wrong" in lab.mail.read("/etc/postfix/main.cf")
    lab.deliver(lab.app01, "alice@example.test")
    lab.login("alice")


def test_a_backup_holds_both_configurations(lab: Lab) -> None:
    done = lab.mail.maildiag("backup-config", "-o", "/root/backup.tar.gz")
    assert done.returncode == 0, done.stderr
    assert "passwords and keys" in done.stderr
    names = lab.mail.sh("tar tzf /root/backup.tar.gz; stat -c %a /root/backup.tar.gz").split()
    assert {"etc/postfix/main.cf", "etc/dovecot/dovecot.conf", "600"} <= set(names)
