"""Records real log lines in the lab: `python -m tests.logs.record debian12 tests/logs/data/debian12.log` (root)."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.lab import Lab

# What is done to the mail server, one shell line each; every one leaves real lines in the log.
SCENES = (
    # refusals: relaying, unknown user, HELO, sender without domain, size
    "printf 'EHLO x\\r\\nMAIL FROM:<a@partner.test>\\r\\nRCPT TO:<nobody@example.test>\\r\\nQUIT\\r\\n' | timeout 5 nc -w 3 127.0.0.1 25",
    "sendmail -f root@example.test nobody@example.test </dev/null",
    "sendmail -f alice@example.test bob@example.test alice@example.test joe@partner.test </dev/null",
    "sendmail -f '' alice@example.test </dev/null",
    "sendmail -f alice@example.test x@nosuch.test </dev/null",
    # tables
    "mv /etc/aliases.db /etc/aliases.db.away; sendmail root </dev/null; sleep 2; mv /etc/aliases.db.away /etc/aliases.db",
    "postconf -e virtual_alias_maps=hash:/etc/postfix/virtual; postfix reload; sendmail alice@example.test </dev/null; sleep 2; postconf -X virtual_alias_maps",
    # certificates and milters
    "postconf -e smtpd_milters=inet:127.0.0.1:8891 milter_default_action=accept; postfix reload; sleep 1; sendmail alice@example.test </dev/null; sleep 1; postconf -X smtpd_milters milter_default_action; postfix reload",
    # authentication: wrong password, Dovecot away
    "doveadm auth login bob wrong || true; doveadm auth test bob wrong || true",
    "systemctl stop dovecot; sleep 1; printf 'EHLO x\\r\\nQUIT\\r\\n' | timeout 5 nc -w 3 127.0.0.1 587; sleep 2; systemctl start dovecot; sleep 2",
    # configuration
    "postconf -e 'mydestination=$myhostname, localhost # comment'; postfix reload; sleep 1; sendmail alice@example.test </dev/null; sleep 1; postconf -e 'mydestination=$myhostname, localhost.$mydomain, localhost, $mydomain'; postfix reload",
    "postconf -e message_size_limit=1000; postfix reload; sleep 1; head -c 5000 /dev/zero | tr '\\0' x | fold | sendmail alice@example.test; sleep 1; postconf -X message_size_limit; postfix reload",
    "systemctl restart postfix; sleep 1; postqueue -f; sleep 3",
)


def record(release: str, path: Path) -> None:
    """Boot a lab, do all scenes on its mail server, and write what it logged."""
    with Lab(release) as lab:
        lab.app02.sh("printf x | sendmail nobody@example.test")
        for sender, to in (
            (lab.app01, "alice@example.test"),
            (lab.mail, "joe@partner.test"),
        ):
            with contextlib.suppress(LabError):
                lab.deliver(sender, to)
        with contextlib.suppress(LabError):
            lab.submit("bob", "alice@example.test")
        for protocol, security in (("imap", "tls"), ("pop3", "tls"), ("imap", "plain")):
            with contextlib.suppress(LabError):
                lab.login("alice", protocol=protocol, security=security)
        for scene in SCENES:
            lab.mail.sh(f"({scene}) || true")
        time.sleep(3)
        mail = lab.mail.sh(
            "cat /var/log/mail.log 2>/dev/null || journalctl -o short-iso-precise --no-pager SYSLOG_FACILITY=2"
        )
        path.write_text(mail)
        relay = path.with_name(f"{path.stem}-app01{path.suffix}")
        relay.write_text(
            lab.app01.sh(
                "cat /var/log/mail.log 2>/dev/null || journalctl -o short-iso-precise --no-pager SYSLOG_FACILITY=2"
            )
        )


if __name__ == "__main__":
    record(sys.argv[1], Path(sys.argv[2]))
