"""What Dovecot says of a TLS that it cannot set up: recorded log lines and the files in, the line to change out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from maildiag.dovecot.syntax import parse
from maildiag.dovecot.tree import build
from maildiag.facts.dovecot import DovecotConfig
from maildiag.model import Verdict
from maildiag_checks import _dovecot_tls
from tests.unit.recorded import log

FILE = "/etc/dovecot/conf.d/10-ssl.conf"
NOW = datetime(2026, 11, 25, 2, 44, tzinfo=UTC)
HEAD = "2026-11-25T02:43:26.457088+00:00 mail dovecot: imap-login: Error: Failed to initialize SSL server context: "
TAIL = ": user=<>, rip=127.0.0.1, lip=127.0.0.1, secured, session=<duSVyhBh3p1/AAAB>"
FORGOTTEN = "Can't load SSL certificate (ssl_cert setting): There is no valid PEM certificate."
MIXED = "Can't load SSL certificate (ssl_cert setting): The file contains a private key (you've mixed ssl_cert and ssl_key settings)"
UNKNOWN = "Unknown ssl_min_protocol setting 'TLSv1.4'"


def told(reason: str, text: str, version: str = "2.3.19.1") -> Verdict:
    source = build(parse(text, FILE))
    config = DovecotConfig(version=version, source=source, effective=source, lines={FILE: tuple(text.splitlines())})
    verdict = _dovecot_tls.refused(log(f"{HEAD}{reason}{TAIL}\n", "", NOW), config)
    assert verdict is not None
    return verdict


def commands(verdict: Verdict) -> list[str]:
    return [argv[3] for argv in verdict.fixes[0].commands if argv[0] == "sed"]


def test_a_forgotten_angle_bracket_is_put_in() -> None:
    verdict = told(FORGOTTEN, "ssl_cert = /etc/ssl/mail.pem\nssl_key = </etc/ssl/mail.key\n")
    assert verdict.title.startswith(f"{FILE}:1: Dovecot cannot set up TLS")
    assert commands(verdict) == ["1s/.*/ssl_cert = <\\/etc\\/ssl\\/mail.pem/"]


def test_a_value_that_is_unknown_gives_way_to_the_default() -> None:
    verdict = told(UNKNOWN, "ssl = yes\nssl_min_protocol = TLSv1.4\n")
    assert verdict.subject == "ssl_min_protocol"
    assert verdict.fixes[0].automatic
    assert commands(verdict)[0].startswith("2s")


def test_a_file_of_dh_parameters_that_holds_none_is_no_longer_read() -> None:
    reason = "Couldn't parse DH parameters: error:0480006C:PEM routines::no start line: Expecting: DH PARAMETERS"
    verdict = told(reason, "ssl = yes\nssl_dh = </etc/dovecot/dh.pem\n")
    assert verdict.title.startswith(f"{FILE}:2: ")
    assert commands(verdict)[0].startswith("2s")


def test_certificate_and_key_in_each_others_place_are_exchanged() -> None:
    verdict = told(MIXED, "ssl_cert = </a/mail.key\nssl_key = </a/mail.pem\n")
    assert verdict.fixes[0].id == "connectivity.certificate/dovecot-exchange"
    assert sorted(commands(verdict)) == ["1s/.*/ssl_cert = <\\/a\\/mail.pem/", "2s/.*/ssl_key = <\\/a\\/mail.key/"]


def test_a_file_that_is_read_and_is_no_certificate_is_left_to_a_person() -> None:
    assert told(FORGOTTEN, "ssl_cert = </etc/ssl/mail.pem\n").fixes == ()


def test_without_the_configuration_the_words_are_told_all_the_same() -> None:
    verdict = _dovecot_tls.refused(log(f"{HEAD}{UNKNOWN}{TAIL}\n", "", NOW), None)
    assert verdict is not None
    assert UNKNOWN in verdict.title


@pytest.mark.parametrize(
    "text", ["", "2026-11-25T02:43:26+00:00 mail dovecot: imap-login: Disconnected: Connection closed (no auth)\n"]
)
def test_nothing_is_said_where_dovecot_said_nothing(text: str) -> None:
    assert _dovecot_tls.refused(log(text, "", NOW), None) is None


def test_what_was_said_before_the_last_start_is_over() -> None:
    started = (
        "2026-11-25T02:43:40.000000+00:00 mail dovecot: master: Dovecot v2.3.19.1 (9b53102964) starting up for imap\n"
    )
    assert _dovecot_tls.refused(log(f"{HEAD}{UNKNOWN}{TAIL}\n{started}", "", NOW), None) is None
