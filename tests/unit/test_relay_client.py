"""The way of a relay client to its relay, and its login there."""

from __future__ import annotations

import pytest

from maildiag.facts.relay import NextHop, Relay, parse_next_hop
from maildiag.facts.relay_password import Key, RelayPassword, keys_of, lookup_keys
from maildiag.model import HostRole, Role, Status, Verdict
from maildiag.probes import DnsAnswer, DnsStatus
from maildiag.testing import judge
from maildiag_checks.relay_client import relay_password, relay_settings
from tests.unit.postfix_files import config

CLIENT = HostRole(Role.RELAY_CLIENT, "test")
NO_SUCH = DnsAnswer(DnsStatus.NO_SUCH_NAME)


def settings(relayhost: str, relay: Relay | None = None) -> Verdict:
    found = judge(relay_settings, config(f"relayhost = {relayhost}"), None, relay, CLIENT)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    "relayhost",
    [
        "[10.0.1.10]:25",
        "[mail.example.test]",
        "example.test:587",
        "[ipv6:fd00::1]:25",
        "[fd00::1]",
        "[mail]:submission",
        "10.0.1.10",
    ],
)
def test_relayhosts_that_postfix_can_read_are_fine(relayhost: str) -> None:
    assert settings(relayhost).status is Status.OK


@pytest.mark.parametrize(
    ("relayhost", "better"),
    [
        ("[10.0.1.10:25]", "[10.0.1.10]:25"),
        ("smtp://10.0.1.10:25", "[10.0.1.10]:25"),
        ("[mail.example.test:25", "[mail.example.test]:25"),
        ("smtp:[mail.example.test]:25", "[mail.example.test]:25"),
    ],
)
def test_relayhosts_that_postfix_cannot_read_are_written_anew(relayhost: str, better: str) -> None:
    verdict = settings(relayhost)
    assert verdict.status is Status.CRITICAL
    assert verdict.fixes[0].commands[0] == ("postconf", "-e", f"relayhost={better}")


def test_a_relay_that_is_this_host_is_critical() -> None:
    hop = NextHop("[127.0.0.1]:25", "127.0.0.1", 25, True)
    assert settings(hop.text, Relay(hop, "literal", addresses=("127.0.0.1",))).status is Status.CRITICAL


def test_of_several_relays_the_first_is_the_one_that_is_asked() -> None:
    first = NextHop("[mail.example.test]", "mail.example.test", 25, True)
    assert parse_next_hop("[mail.example.test], [10.0.1.10]:587") == first


def test_an_address_without_brackets_works_and_is_a_notice() -> None:
    hop = NextHop("10.0.1.77", "10.0.1.77", 25, False)
    relay = Relay(hop, "literal", addresses=("10.0.1.77",))
    found = judge(relay_settings, config("relayhost = 10.0.1.77"), None, relay, CLIENT)
    assert [each.status for each in found] == [Status.NOTICE, Status.OK]


def test_another_program_on_another_port_of_this_host_is_no_loop() -> None:
    hop = NextHop("[127.0.0.1]:10025", "127.0.0.1", 10025, True)
    assert settings(hop.text, Relay(hop, "literal", addresses=("127.0.0.1",))).status is Status.OK


def test_a_name_in_the_hosts_file_only_is_critical() -> None:
    hop = parse_next_hop("[relay.internal.test]")
    names = ("relay.internal.test",)
    relay = Relay(hop, "dns", None, names, ((names[0], NO_SUCH),), ((names[0], ("10.0.1.10",)),))
    verdict = settings("[relay.internal.test]", relay)
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "smtp_host_lookup")


def test_a_dead_name_server_is_not_blamed_on_the_settings() -> None:
    hop = parse_next_hop("[relay.internal.test]")
    names = ("relay.internal.test",)
    dead = DnsAnswer(DnsStatus.TIMEOUT)
    relay = Relay(hop, "dns", None, names, ((names[0], dead),), ((names[0], ("10.0.1.10",)),))
    assert settings("[relay.internal.test]", relay).status is Status.OK


def test_a_client_without_a_relay_is_told() -> None:
    assert settings("").status is Status.NOTICE


PASSWORDS = (
    "relayhost = [mail.example.test]:587",
    "smtp_sasl_auth_enable = yes",
    "smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd",
    "smtp_sasl_security_options = noanonymous",
    "smtp_sasl_tls_security_options = noanonymous",
    "smtp_tls_security_level = encrypt",
)
FULL = RelayPassword(
    enabled=True,
    table="hash:/etc/postfix/sasl_passwd",
    source="/etc/postfix/sasl_passwd",
    keys=("mail.example.test", "[mail.example.test]:587"),
    found="[mail.example.test]:587",
    asked=True,
    plugins=True,
    offered=("PLAIN", "LOGIN"),
)


def password(found: RelayPassword, *lines: str) -> list[Verdict]:
    names = {line.partition("=")[0] for line in lines}
    kept = [line for line in PASSWORDS if line.partition("=")[0] not in names]
    return judge(relay_password, config(*kept, *lines), None, found)


def changed(**more: object) -> RelayPassword:
    from dataclasses import replace

    return replace(FULL, **more)  # type: ignore[arg-type]


def test_a_login_under_the_right_key_is_fine() -> None:
    assert [each.status for each in password(FULL)] == [Status.OK]


def test_a_key_without_brackets_is_renamed_without_showing_the_password() -> None:
    found = password(changed(found="", written=(Key("mail.example.test:587", 3),)))
    assert found[0].status is Status.CRITICAL
    fix = found[0].fixes[0]
    assert fix.commands[0][3] == "3s/^[^[:blank:]]*/[mail.example.test]:587/"
    assert fix.automatic


def test_no_table_at_all_keeps_smtp_from_starting() -> None:
    found = password(RelayPassword(enabled=True, plugins=True))
    assert [(each.status, each.subject) for each in found] == [(Status.CRITICAL, "smtp_sasl_password_maps")]


def test_plaintext_forbidden_towards_a_relay_that_offers_nothing_else_is_critical() -> None:
    found = password(FULL, "smtp_sasl_tls_security_options = noplaintext, noanonymous")
    assert [(each.status, each.subject) for each in found] == [(Status.CRITICAL, "smtp_sasl_security_options")]


def test_missing_plug_ins_are_critical() -> None:
    assert password(changed(plugins=False))[0].subject == "sasl-plug-ins"


def test_a_host_without_a_login_is_skipped() -> None:
    assert password(RelayPassword(enabled=False))[0].status is Status.SKIPPED


def test_the_keys_are_the_host_reached_and_the_next_hop_as_written() -> None:
    relay = Relay(parse_next_hop("[mail.example.test]:587"), names=("mail.example.test",))
    assert lookup_keys("[mail.example.test]:587", relay) == ("mail.example.test", "[mail.example.test]:587")


def test_only_keys_are_kept_of_a_password_file() -> None:
    assert keys_of("# relay\n[a.test]:587 user:secret\n") == (Key("[a.test]:587", 2),)
