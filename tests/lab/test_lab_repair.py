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

# What a packet filter is: its rules without counters and handles, the permanent configuration of those who make them.
_RULES = """
for save in iptables-save ip6tables-save; do $save 2>/dev/null | sed -E '/^#/d; s/\\[[0-9:]+\\]//'; done
nft list ruleset 2>/dev/null | sed -E 's/ packets [0-9]+ bytes [0-9]+//'
firewall-cmd --state >/dev/null 2>&1 && firewall-cmd --list-all-zones && firewall-cmd --permanent --list-all-zones
ufw show added 2>/dev/null
cd /etc; find firewalld ufw nftables.conf -type f ! -name '*.old' -exec sha256sum {} + | sort
"""
_NFT_FILE = """
printf 'table inet f {\\n chain out {\\n  type filter hook output priority 0;\\n  tcp dport 25 ip daddr 10.0.1.10 drop\\n  tcp dport 99 drop\\n }\\n}\\n' > /etc/nftables.conf
nft -f /etc/nftables.conf
"""
FIREWALLS = {
    "firewalld-zone": ("mail", "firewall-cmd --zone=drop --change-interface=eth0"),
    "firewalld-runtime": ("mail", "firewall-cmd --remove-service=smtp"),
    "firewalld-permanent": ("mail", "firewall-cmd --permanent --remove-service=smtp"),
    "ufw": ("app02", "ufw --force enable; ufw allow out 53; ufw deny out 25/tcp; ufw allow 22/tcp"),
    "nftables": ("app01", _NFT_FILE),
    "iptables": (
        "app01",
        "iptables -A OUTPUT -p tcp --dport 99 -j DROP; iptables -A OUTPUT -p tcp --dport 25 -j DROP; iptables -A OUTPUT -p tcp --dport 98 -j DROP",
    ),
}


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


@pytest.mark.parametrize("scene", FIREWALLS)
def test_a_cure_of_the_firewall_killed_in_the_middle_leaves_the_rules_as_they_were(
    breakable_lab: Lab, scene: str
) -> None:
    """Killed before a command on one release and after it on the other: both on both is minutes more."""
    turn = (list(FIREWALLS).index(scene) + (breakable_lab.release.name == "debian13")) % 2
    word = ('"Intent"', '"Finished"')[turn]
    name, broken = FIREWALLS[scene]
    host = breakable_lab.hosts[name]
    host.sh(broken, timeout=60)
    before = host.sh(_RULES)
    host.sh(_KILL.replace("{word}", word), timeout=150)
    assert transactions(host)
    for each in transactions(host):
        done = host.maildiag("undo", each["id"])
        assert done.returncode == 0, done.stdout + done.stderr
    assert host.sh(_RULES) == before


def test_verbose_logging_ends_by_itself_and_leaves_the_files_as_they_were(breakable_lab: Lab) -> None:
    lab = breakable_lab
    before = lab.mail.sh(_FILES)
    on = lab.mail.maildiag("debug-peer", lab.app01.address, "--dovecot", "--for", "25s")
    assert on.returncode == 0, on.stdout + on.stderr
    assert lab.mail.sh("postconf -h debug_peer_list").strip() == lab.app01.address
    assert "auth_debug = yes" in lab.mail.sh("doveconf -n")
    wait_for("the undo", lambda: transactions(lab.mail)[0]["state"] == "undone", timeout=150)
    assert lab.mail.sh(_FILES) == before
    lab.deliver(lab.app01, "alice@example.test")


def test_an_edit_made_during_verbose_logging_stays(breakable_lab: Lab) -> None:
    lab = breakable_lab
    lab.mail.maildiag("debug-peer", lab.app01.address, "--for", "25s")
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
