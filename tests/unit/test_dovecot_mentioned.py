"""From a message of Dovecot to the line that it is about: a message and the files in, settings out."""

from __future__ import annotations

import pytest

from maildiag.dovecot.mentioned import mentioned
from maildiag.dovecot.syntax import parse
from maildiag.dovecot.tree import build

FILES = """\
auth_mechanisms = plain login gssapi
log_path = /var/log/dovecot/dovecot.log
ssl_cert = </etc/ssl/certs/mail.example.test.pem
ssl_min_protocol = TLSv1.4
service imap-login {
  executable = imap-logn
}
service imap {
  chroot = imap-logn
}
"""


def named(message: str) -> list[int]:
    return [each.place.line for each in mentioned(message, build(parse(FILES, "/etc/dovecot/local.conf")))]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("service(imap-login) access(/usr/lib/dovecot/imap-logn) failed: No such file or directory", 6),
        ("Failed to initialize SSL server context: Unknown ssl_min_protocol setting 'TLSv1.4'", 4),
        ("Can't load SSL certificate (ssl_cert setting): There is no valid PEM certificate.", 3),
        ("service(imap) User doesn't exist: $default_internal_user (See service imap { chroot } setting)", 9),
        ("auth: Fatal: Unknown authentication mechanism 'GSSAPI'", 1),
        ("Can't open log file /var/log/dovecot/dovecot.log: No such file or directory", 2),
    ],
)
def test_a_message_leads_back_to_the_line_that_it_is_about(message: str, line: int) -> None:
    assert named(message)[0] == line


def test_words_that_stand_everywhere_lead_nowhere() -> None:
    assert named("imap-login: Disconnected: user=<>, method=PLAIN, plain login, rip=10.0.1.21, TLS") == []
