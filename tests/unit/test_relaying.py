"""Who may relay, which domains are ours, what refuses good mail: facts in, verdicts out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from maildiag.facts.domains import Claim, Domains, OwnName
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.tables import Table, Tables
from maildiag.lint import restrictions
from maildiag.lint.tables import TableUse
from maildiag.logs.summary import summarise
from maildiag.model import HostRole, Role, Status, Verdict
from maildiag.settings import Settings
from maildiag.testing import file, info, judge
from maildiag_checks.domains import own_domains
from maildiag_checks.refused_mail import own_clients
from maildiag_checks.relay_access import relay_access
from maildiag_checks.restriction_lists import restriction_lists
from tests.unit.postfix_files import RELEASES, config
from tests.unit.recorded import log as log_of_lines

SERVER = HostRole(Role.MAIL_SERVER, "test")
CLIENT = HostRole(Role.RELAY_CLIENT, "test")
GUIDE = (
    "mynetworks = 127.0.0.0/8 10.0.1.0/24",
    "smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
)


def access(*lines: str, settings: Settings | None = None, release: str = "debian12") -> list[Verdict]:
    return judge(relay_access, config(*lines, release=release), None, settings or Settings(), None)


def restricted(*lines: str, tables: Tables | None = None) -> list[Verdict]:
    return judge(restriction_lists, config(*lines), None, tables, SERVER)


def told(found: list[Verdict]) -> list[tuple[Status, str]]:
    return [(each.status, each.subject) for each in found if each.status is not Status.OK]


@pytest.mark.parametrize("release", RELEASES)
def test_the_stock_configuration_and_the_guide_s_are_closed(release: str) -> None:
    assert told(access(release=release)) == []
    assert told(access(*GUIDE, release=release)) == []


REFUSED = (
    "2026-11-28T04:04:51.816722+00:00 mail postfix/smtpd[274]: NOQUEUE: reject: RCPT from app01.example.test[10.0.1.20]: 554 5.7.1"
    " <joe@partner.test>: Relay access denied; from=<alice@example.test> to=<joe@partner.test> proto=ESMTP helo=<app01.example.test>"
)


def refused(*lines: str, line: str = REFUSED) -> list[Verdict]:
    now = datetime(2026, 11, 28, 4, 5, tzinfo=UTC)
    log = MailLog("/var/log/mail.log", now - timedelta(hours=24), summarise([line], now), ())
    return judge(relay_access, config(*lines), None, Settings(), log)


def test_a_list_that_stops_relaying_before_it_lets_the_own_networks_in_is_told() -> None:
    (verdict,) = (
        each for each in refused(*GUIDE, "smtpd_relay_restrictions = reject_unauth_destination") if each.status.failing
    )
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "smtpd_relay_restrictions")
    assert "10.0.1.20 may not relay" in verdict.title
    value = "smtpd_relay_restrictions=permit_mynetworks, reject_unauth_destination"
    assert verdict.fixes[0].commands[0] == ("postconf", "-e", value)


SCREENED = "2026-11-28T04:04:59.551266+00:00 mail postfix/postscreen[1124]: DENYLISTED [10.0.1.20]:58412"


def screened(*lines: str, line: str = SCREENED, text: str = "10.0.1.20 reject\n") -> Verdict:
    now = datetime(2026, 11, 28, 4, 5, tzinfo=UTC)
    log = MailLog("/var/log/mail.log", now - timedelta(hours=24), summarise([line], now), ())
    listed = "postscreen_access_list = cidr:/etc/postfix/postscreen.cidr"
    use = TableUse("cidr", "/etc/postfix/postscreen.cidr", "postscreen_access_list")
    tables = Tables((Table(use=use, users=("postscreen_access_list",), source=info(use.path), text=file(text)),))
    (verdict,) = judge(own_clients, log, config(*GUIDE, listed, *lines), None, tables)
    return verdict


def test_an_own_client_on_the_list_of_postscreen_is_told_with_the_line_of_the_table() -> None:
    verdict = screened("postscreen_denylist_action = drop")
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "postscreen_access_list")
    assert verdict.title.endswith("/etc/postfix/postscreen.cidr line 1: 10.0.1.20 reject")
    assert (
        screened("postscreen_denylist_action = enforce", line=SCREENED.replace("DENY", "BLACK")).status
        is Status.CRITICAL
    )


def test_strangers_on_the_list_of_postscreen_and_a_list_that_is_only_noted_are_fine() -> None:
    assert (
        screened("postscreen_denylist_action = drop", line=SCREENED.replace("10.0.1.20", "192.0.2.20")).status
        is Status.OK
    )
    assert screened("postscreen_denylist_action = ignore").status is Status.OK


def test_where_no_list_lets_the_own_networks_in_they_may_be_meant_to_log_in() -> None:
    closed = [
        f"smtpd_{each}_restrictions = permit_sasl_authenticated, reject_unauth_destination"
        for each in ("relay", "recipient")
    ]
    (verdict,) = (each for each in refused(GUIDE[0], *closed) if each.status.failing)
    assert verdict.status is Status.WARNING


def test_a_stranger_who_may_not_relay_is_none_of_the_own_networks() -> None:
    stranger = REFUSED.replace("10.0.1.20", "192.0.2.20")
    assert told(refused(*GUIDE, "smtpd_relay_restrictions = reject_unauth_destination", line=stranger)) == []


def test_a_refusal_before_the_list_was_mended_says_nothing() -> None:
    assert told(refused(*GUIDE)) == []


LOGINS = ("smtpd_sasl_auth_enable = yes", "inet_interfaces = all")


@pytest.mark.parametrize(
    ("more", "advised"),
    [
        ((), True),
        (("smtpd_client_message_rate_limit = 100",), False),
        (("smtpd_milters = inet:localhost:11332",), False),
        (("smtpd_end_of_data_restrictions = check_policy_service inet:127.0.0.1:10031",), False),
        (("smtpd_sasl_auth_enable = no",), False),
        (("inet_interfaces = loopback-only",), False),
    ],
)
def test_limits_on_what_a_login_may_send_are_advised_where_there_are_none(more: tuple[str, ...], advised: bool) -> None:
    names = {line.split(" =")[0] for line in more}
    made = config(*(line for line in LOGINS if line.split(" =")[0] not in names), *more)
    for role, expected in ((Role.MAIL_SERVER, advised), (Role.RELAY_CLIENT, False)):
        found = judge(relay_access, made, None, Settings(), None, HostRole(role, "a test"))
        assert [(each.status, each.subject) for each in found if each.subject == "rate-limits"] == (
            [(Status.NOTICE, "rate-limits")] if expected else []
        )


def test_lists_that_permit_everybody_are_an_open_relay() -> None:
    found = access(
        "smtpd_relay_restrictions = permit_mynetworks, permit, reject",
        "smtpd_recipient_restrictions = permit_mynetworks, permit",
    )
    assert told(found) == [(Status.WARNING, "smtp/inet")]
    assert found[0].fixes[0].automatic


def test_one_closed_list_is_enough() -> None:
    assert told(access("smtpd_relay_restrictions = permit", GUIDE[1])) == []


def test_an_open_list_on_loopback_is_no_open_relay() -> None:
    lines = (
        "inet_interfaces = loopback-only",
        "smtpd_relay_restrictions = permit, reject",
        "smtpd_recipient_restrictions =",
    )
    assert told(access(*lines)) == []


@pytest.mark.parametrize("wide", ["0.0.0.0/0", "[::]/0", "8.0.0.0/7", "80.0.0.0/8"])
def test_networks_that_hold_strangers_are_a_warning_and_never_narrowed_unasked(wide: str) -> None:
    found = access(f"mynetworks = 127.0.0.0/8 {wide}")
    assert told(found) == [(Status.WARNING, "mynetworks")]
    assert not found[0].fixes[0].automatic


@pytest.mark.parametrize(
    "own", ["10.0.0.0/8", "192.168.0.0/16", "203.0.113.0/24", "[fd00::]/8", "[::ffff:127.0.0.0]/104"]
)
def test_own_networks_are_fine(own: str) -> None:
    assert told(access(f"mynetworks = 127.0.0.0/8 {own}")) == []


def test_a_client_network_of_the_settings_must_be_in_mynetworks() -> None:
    found = access("mynetworks = 127.0.0.0/8", settings=Settings(client_networks=("10.0.1.0/24",)))
    assert told(found) == [(Status.CRITICAL, "mynetworks")]
    assert not found[0].fixes[0].automatic


def test_a_list_that_rejects_everybody_is_critical() -> None:
    assert told(restricted("smtpd_client_restrictions = reject")) == [(Status.CRITICAL, "smtpd_client_restrictions")]


def test_a_server_for_own_clients_only_is_a_notice() -> None:
    found = restricted("smtpd_recipient_restrictions = permit_mynetworks, reject")
    assert told(found) == [(Status.NOTICE, "smtpd_recipient_restrictions")]


def test_the_guide_s_restrictions_refuse_nobody_they_should_not() -> None:
    assert told(restricted(*GUIDE)) == []
    assert told(restricted()) == []


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("defer_transports = smtp", Status.CRITICAL),
        ("soft_bounce = yes", Status.WARNING),
        ("default_transport = error:off", Status.CRITICAL),
        ("disable_dns_lookups = yes", Status.CRITICAL),
        ("smtp_dns_support_level = disabled", Status.CRITICAL),
        ("message_size_limit = 1000", Status.WARNING),
        ("smtpd_client_connection_rate_limit = 2", Status.WARNING),
        ("default_process_limit = 1", Status.WARNING),
        ("smtp_bind_address = 192.0.2.9", Status.WARNING),
        ("smtpd_tls_security_level = encrypt", Status.WARNING),
    ],
)
def test_switches_that_hold_mail_back_are_told(line: str, status: Status) -> None:
    assert told(restricted(line)) == [(status, line.partition(" ")[0])]


def test_names_are_tested_behind_permit_mynetworks_or_it_is_a_notice() -> None:
    harsh = "smtpd_helo_restrictions = reject_non_fqdn_helo_hostname"
    assert told(restricted(harsh)) == [(Status.NOTICE, "smtpd_helo_restrictions")]
    assert told(restricted(harsh.replace("= ", "= permit_mynetworks, "))) == []


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("/./ REJECT no", True),
        ("/.*/  DISCARD", True),
        ("/^Subject:/ DISCARD", True),
        ("/^Subject:.*spam/ DISCARD", False),
        ("/^Subject: x/ REJECT", False),
        ("!/./ REJECT", False),
    ],
)
def test_a_pattern_that_matches_everything_is_critical(text: str, hit: bool) -> None:
    path = "/etc/postfix/hc"
    one = Table(
        use=TableUse("regexp", path, "header_checks"),
        users=("header_checks",),
        source=info(path),
        text=file(text + "\n"),
    )
    assert bool(told(restricted(tables=Tables((one,))))) is hit


def domains(*claims: Claim, own: tuple[OwnName, ...] = ()) -> Domains:
    return Domains(claims, own)


LOCAL = Claim("example.test", "mydestination", "mydestination")
OWN = OwnName(
    "example.test", "mydomain", ("mail.example.test",), ("10.0.1.10",), True, "example.test MX mail.example.test"
)


def own(
    found: Domains, config: PostfixConfig, role: HostRole = SERVER, log: MailLog | None = None
) -> list[tuple[Status, str]]:
    return told(judge(own_domains, config, None, found, role, log))


def test_a_domain_in_one_class_is_fine() -> None:
    assert own(domains(LOCAL, own=(OWN,)), config()) == []


def test_a_domain_that_is_local_and_virtual_is_critical() -> None:
    virtual = Claim("example.test", "virtual_mailbox_domains", "hash:/etc/postfix/vdomains")
    assert own(domains(LOCAL, virtual), config()) == [(Status.CRITICAL, "example.test")]


def test_an_own_domain_in_no_class_is_critical_where_its_mail_comes_here() -> None:
    assert own(domains(own=(OWN,)), config("mydestination = localhost")) == [(Status.CRITICAL, "example.test")]


def test_an_own_domain_whose_mail_goes_elsewhere_is_no_concern() -> None:
    elsewhere = OwnName("example.test", "mydomain", ("mx.example.net",), ("192.0.2.1",), False)
    untold = OwnName("example.test", "mydomain")
    assert own(domains(own=(elsewhere,)), config("mydestination = localhost")) == []
    assert own(domains(own=(untold,)), config("mydestination = localhost")) == []


# Recorded with mydomain = exmaple.test.
LOOPED = (
    "2026-11-28T09:25:32.457692+00:00 mail postfix/smtp[3282]: 602E0EA1: to=<alice@example.test>, relay=none, delay=0.06, "
    "delays=0.02/0.04/0/0, dsn=5.4.6, status=bounced (mail for example.test loops back to myself)\n"
)


@pytest.mark.parametrize(
    ("claims", "role", "expected"),
    [
        ((), SERVER, [(Status.CRITICAL, "example.test")]),
        ((LOCAL,), SERVER, []),
        ((), CLIENT, []),
    ],
)
def test_a_domain_that_postfix_says_comes_back_is_told_though_no_setting_names_it(
    claims: tuple[Claim, ...], role: HostRole, expected: list[tuple[Status, str]]
) -> None:
    seen = log_of_lines(LOOPED, "", datetime(2026, 11, 28, 9, 26, tzinfo=UTC))
    assert own(domains(*claims), config("mydomain = exmaple.test"), role, seen) == expected


def test_a_relay_client_that_keeps_the_domain_of_its_relay_is_critical() -> None:
    elsewhere = OwnName("example.test", "mydomain", ("mail.example.test",), ("10.0.1.10",), False)
    made = config("mydestination = $mydomain", "relayhost = [10.0.1.10]:25")
    assert own(domains(LOCAL, own=(elsewhere,)), made, CLIENT) == [(Status.CRITICAL, "example.test")]


def test_restrictions_are_parsed_with_their_arguments() -> None:
    words = (
        "permit_mynetworks",
        "check_client_access",
        "hash:/x",
        "warn_if_reject",
        "reject_rbl_client",
        "zen.example",
        "reject",
    )
    parsed = restrictions.parse(words)
    assert [(each.name, each.argument, each.warned) for each in parsed] == [
        ("permit_mynetworks", "", False),
        ("check_client_access", "hash:/x", False),
        ("reject_rbl_client", "zen.example", True),
        ("reject", "", False),
    ]


@pytest.mark.parametrize("release", RELEASES)
def test_a_port_for_clients_that_serves_one_at_a_time_is_a_warning(release: str) -> None:
    (found,) = few("smtp inet n - y - 1 smtpd", release=release)
    assert (found.status, found.subject) == (Status.WARNING, "smtp/inet")
    assert found.fixes[0].commands[0] == ("postconf", "-F", "smtp/inet/process_limit=-")


@pytest.mark.parametrize(
    "line",
    [
        "smtp inet n - y - - smtpd",
        "smtp inet n - y - 0 smtpd",
        "smtp inet n - y - 20 smtpd",
        "smtp inet n - y - 1 postscreen",
        "127.0.0.1:10025 inet n - y - 2 smtpd",
        "smtpd pass - - y - 1 smtpd",
    ],
)
def test_limits_that_are_meant_are_fine(line: str) -> None:
    assert few(line) == []


def few(line: str, release: str = "debian12") -> list[Verdict]:
    made = config(release=release, master=f"{line}\n")
    found = judge(restriction_lists, made, None, None, SERVER)
    return [each for each in found if each.subject.endswith(("/inet", "/pass"))]


def checked(text: str) -> list[Verdict]:
    use = TableUse("regexp", "/etc/postfix/hc", "header_checks")
    found = Table(use=use, users=("header_checks",), source=info("/etc/postfix/hc"), text=file(text))
    return [
        each
        for each in restricted("header_checks = regexp:/etc/postfix/hc", tables=Tables((found,)))
        if each.subject == use.name
    ]


@pytest.mark.parametrize("line", ["/^Subject:/ REDIRECT bob@example.test", "/./ IGNORE", "/^/ DISCARD"])
def test_a_pattern_that_leads_every_message_astray_is_critical(line: str) -> None:
    assert [each.status for each in checked(f"{line}\n")] == [Status.CRITICAL]


@pytest.mark.parametrize(
    "text",
    ["/^Received:/ IGNORE\n", "/^X-Spam: yes/ REDIRECT spam@example.test\n", "if /^X-Virus:/\n/./ DISCARD\nendif\n"],
)
def test_patterns_for_some_messages_are_fine(text: str) -> None:
    assert checked(text) == []
