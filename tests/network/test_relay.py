"""What is said of the relay, of routes to it, and of the services beside Postfix."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from maildiag.facts.clock import Clock
from maildiag.facts.filters import Filters, Helper, Kind, Reached, endpoint, split_milters
from maildiag.facts.filters import filters as filter_facts
from maildiag.facts.mail_log import MailLog
from maildiag.facts.outbound import Outbound, Target
from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import Level, NextHop, Relay, RelayTalk, dialogue_with, takes_protocol, tls_level
from maildiag.facts.routes import Link, Route, Routes, parse_links, parse_routes
from maildiag.facts.smtp import OwnDialogues, Talk
from maildiag.facts.sockets import MASTER, Owner, Port
from maildiag.logs.summary import summarise
from maildiag.model import Gap, GapReason, Status, Verdict
from maildiag.probes import (
    Certificate,
    CommandResult,
    Connect,
    Connection,
    Dialogue,
    Exchange,
    Probe,
    Protocol,
    Tls,
    Transcript,
    TryConnect,
)
from maildiag.testing import gather, judge, printed
from maildiag_checks import filters, outbound, relayhost
from maildiag_checks import routes as routes_check
from tests.network.recorded import RELEASES, text

POSTFIX = Postfix(True, "3.7", {"myhostname": "app01.example.test", "message_size_limit": "10240000"})
HOP = NextHop("[10.0.1.10]:25", "10.0.1.10", 25, True)
BANNER = Exchange("banner", "", "220 mail.example.test ESMTP Postfix (Debian/GNU)", "220", 0.01)
HELLO = Exchange("ehlo", "EHLO x", "250-mail.example.test\n250-SIZE 10240000\n250 STARTTLS", "250", 0.01)
PLAIN = Exchange("ehlo", "EHLO x", "250-mail.example.test\n250 SIZE 10240000", "250", 0.01)
SHOWN = Certificate(("PEM",), "TLSv1.3", "TLS_AES_256_GCM_SHA384")


def transcript(*exchanges: Exchange, connect: Connect = Connect.CONNECTED, certificate: bool = False) -> Transcript:
    return Transcript(connect, "10.0.1.10", exchanges, certificate=SHOWN if certificate else None)


def relay(told: Transcript, level: Level = Level.NONE, verified: CommandResult | None = None) -> Relay:
    probe = Dialogue(Protocol.SMTP, "10.0.1.10", 25, Tls.NONE if level is Level.NONE else Tls.STARTTLS)
    talk = RelayTalk("10.0.1.10", probe, told, verified)
    return Relay(HOP, "literal", addresses=("10.0.1.10",), talks=(talk,), level=level, level_text=f"level = {level}")


def verdict(found: Relay, postfix: Postfix = POSTFIX, log: MailLog | None = None) -> Verdict:
    (told,) = judge(relayhost.relayhost, found, postfix, log)
    return told


def test_a_relay_that_answers_is_fine() -> None:
    assert verdict(relay(transcript(BANNER, HELLO))).status is Status.OK


@pytest.mark.parametrize("outcome", [Connect.REFUSED, Connect.TIMEOUT, Connect.NO_ROUTE, Connect.UNREACHABLE])
def test_each_way_not_to_connect_is_told_in_its_own_words(outcome: Connect) -> None:
    told = verdict(relay(transcript(connect=outcome)))
    assert told.status is Status.CRITICAL
    assert told.data["outcome"] == outcome.value
    assert (told.explained_by or ())[0] == "firewall.outbound@25"
    assert not told.fixes[0].commands
    assert "10.0.1.10" in told.fixes[0].ask


def test_the_relay_s_refusals_are_the_other_side_s() -> None:
    told = verdict(relay(transcript(Exchange("banner", "", "554 5.7.1 You are not allowed to connect", "554", 0.01))))
    assert told.status is Status.CRITICAL
    assert "554 5.7.1" in told.title
    assert "other side" in told.detail


def test_a_relay_that_greets_with_our_name_is_ourselves() -> None:
    told = verdict(relay(transcript(Exchange("banner", "", "220 app01.example.test ESMTP", "220", 0.01), HELLO)))
    assert "loops back" in told.title


def test_a_relay_that_dies_when_the_connection_is_encrypted_is_told() -> None:
    ready = Exchange("starttls", "STARTTLS", "220 2.0.0 Ready to start TLS", "220", 0.01)
    found = transcript(BANNER, HELLO, ready, certificate=True)
    told = verdict(relay(replace(found, failed="ehlo", error="Connection reset by peer"), Level.MAY))
    assert told.status is Status.CRITICAL
    assert "breaks off after STARTTLS, at the second EHLO: Connection reset by peer" in told.title
    assert "connectivity.mtu" not in (told.explained_by or ())
    silent = verdict(relay(replace(found, failed="ehlo", error="no reply within 12 s", silent=True), Level.MAY))
    assert (silent.explained_by or ())[0] == "connectivity.mtu"


def test_tls_that_is_demanded_must_be_offered() -> None:
    assert verdict(relay(transcript(BANNER, PLAIN), Level.ENCRYPT)).status is Status.CRITICAL
    assert verdict(relay(transcript(BANNER, PLAIN), Level.MAY)).status is Status.OK


def test_a_starttls_that_fails_is_only_noted_where_postfix_goes_on_without() -> None:
    answer = Exchange("starttls", "STARTTLS", "454 4.7.0 TLS not available due to local problem", "454", 0.01)
    assert verdict(relay(transcript(BANNER, HELLO, answer), Level.MAY)).status is Status.NOTICE
    assert verdict(relay(transcript(BANNER, HELLO, answer), Level.ENCRYPT)).status is Status.CRITICAL


def test_a_certificate_is_verified_where_postfix_verifies_it() -> None:
    said = "error 10 at 0 depth lookup: certificate has expired\nerror /dev/stdin: verification failed\n"
    told = verdict(relay(transcript(BANNER, HELLO, certificate=True), Level.VERIFY, printed("", said, 2)))
    assert told.status is Status.CRITICAL
    assert "certificate has expired" in told.title
    fine = relay(transcript(BANNER, HELLO, certificate=True), Level.VERIFY, printed("/dev/stdin: OK\n"))
    assert verdict(fine).status is Status.OK


@pytest.mark.parametrize(
    ("allowed", "told_of"),
    [
        ("gssapi", True),
        ("!plain, !login", True),
        ("plain", False),
        ("!gssapi, static:all", False),
        ("hash:/etc/postfix/mechs", False),
    ],
)
def test_a_filter_that_lets_no_mechanism_of_the_relay_pass_is_told(allowed: str, told_of: bool) -> None:
    hello = Exchange("ehlo", "EHLO x", "250-mail\n250 AUTH PLAIN LOGIN", "250", 0.01)
    settings = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_mechanism_filter": allowed}
    client = Postfix(True, "3.7", {**POSTFIX.settings, **settings})
    told = verdict(relay(transcript(BANNER, hello, certificate=True), Level.ENCRYPT), client)
    assert told.title.startswith(f"smtp_sasl_mechanism_filter = {allowed} lets none of LOGIN PLAIN pass") is told_of


def test_a_client_without_authorities_verifies_nobody() -> None:
    said = "error 19 at 1 depth lookup: self-signed certificate in certificate chain\nerror /dev/stdin: verification failed\n"
    found = relay(transcript(BANNER, HELLO, certificate=True), Level.VERIFY, printed("", said, 2))
    assert "smtp_tls_CAfile and smtp_tls_CApath are empty" in verdict(found).title
    trusting = replace(POSTFIX, settings={**POSTFIX.settings, "smtp_tls_CApath": "/etc/ssl/certs"})
    assert "self-signed certificate in certificate chain" in verdict(found, trusting).title


@pytest.mark.parametrize("synchronized", [True, None])
def test_a_certificate_that_is_out_of_its_time_may_be_the_clock_s_fault_where_nobody_keeps_it(
    synchronized: bool | None,
) -> None:
    said = "error 10 at 0 depth lookup: certificate has expired\nerror /dev/stdin: verification failed\n"
    found = relay(transcript(BANNER, HELLO, certificate=True), Level.VERIFY, printed("", said, 2))
    now = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
    (told,) = judge(relayhost.relayhost, found, POSTFIX, None, None, Clock(now, now, None, synchronized))
    assert ("date -u" in told.detail) is (synchronized is None)


def test_plain_mechanisms_that_the_client_forbids_itself_are_told() -> None:
    hello = Exchange("ehlo", "EHLO x", "250-mail\n250 AUTH PLAIN LOGIN", "250", 0.01)
    settings = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_tls_security_options": "noplaintext, noanonymous"}
    told = verdict(
        relay(transcript(BANNER, hello, certificate=True), Level.ENCRYPT),
        Postfix(True, "3.7", {**POSTFIX.settings, **settings}),
    )
    assert told.status is Status.CRITICAL
    assert told.fixes[0].automatic


def test_a_smaller_size_limit_is_noted() -> None:
    hello = Exchange("ehlo", "EHLO x", "250-mail\n250 SIZE 1000", "250", 0.01)
    assert verdict(relay(transcript(BANNER, hello))).status is Status.NOTICE


def test_one_dead_address_of_two_is_a_warning() -> None:
    one = relay(transcript(BANNER, HELLO))
    two = relay(transcript(connect=Connect.REFUSED))
    both = Relay(HOP, "dns", addresses=("10.0.1.10", "10.0.1.11"), talks=(*one.talks, *two.talks))
    assert verdict(both).status is Status.WARNING


def log(*lines: str) -> MailLog:
    now = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
    since = now - timedelta(hours=24)
    return MailLog("/var/log/mail.log", since, summarise(list(lines), now=now, since=since), ())


REFUSED = (
    "2026-11-23T05:49:26.957279+00:00 app01 postfix/smtp[815]: E933E40: to=<joe@partner.test>, relay=10.0.1.10[10.0.1.10]:25,"
    " delay=0.1, delays=0/0/0/0.1, dsn=5.7.1, status=bounced (host 10.0.1.10[10.0.1.10] said: 554 5.7.1 <joe@partner.test>:"
    " Relay access denied (in reply to RCPT TO command))"
)
SENT = (
    "2026-11-23T05:50:26.957279+00:00 app01 postfix/smtp[815]: F033E41: to=<alice@example.test>, relay=10.0.1.10[10.0.1.10]:25,"
    " delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 2F5FD69)"
)


def test_a_relay_that_greets_and_then_refuses_our_mail_is_told() -> None:
    told = verdict(relay(transcript(BANNER, HELLO)), log=log(REFUSED))
    assert told.status is Status.CRITICAL
    assert "does not relay for this host" in told.title
    assert "lost" in told.detail


def test_a_refusal_that_is_over_is_no_fault() -> None:
    assert verdict(relay(transcript(BANNER, HELLO)), log=log(REFUSED, SENT)).status is Status.OK


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({}, Level.NONE),
        ({"smtp_use_tls": "yes"}, Level.MAY),
        ({"smtp_enforce_tls": "yes"}, Level.ENCRYPT),
        ({"smtp_tls_security_level": "secure"}, Level.VERIFY),
    ],
)
def test_the_tls_level_is_read_as_postfix_reads_it(settings: dict[str, str], level: Level) -> None:
    assert tls_level(Postfix(True, "3.7", settings))[0] is level


# -- routes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_ip_s_json_is_read(release: str) -> None:
    routes = Routes(
        parse_routes(printed(text(release, "ip-route.json"))), parse_links(printed(text(release, "ip-addr.json")))
    )
    towards = routes.towards("10.0.1.20")
    assert towards is not None
    assert towards.device == "eth0"
    assert routes.link_of("10.0.1.10") is not None
    (told,) = judge(routes_check.route, routes, POSTFIX, None, None)
    assert told.status is Status.OK


LO = Link("lo", True, 65536, ("127.0.0.1/8",), True)
ETH0 = Link("eth0", True, 1500, ("10.0.1.20/24",))
NETWORK = Route("10.0.1.0/24", "", "eth0", "unicast")


def test_a_route_that_leads_nowhere_is_taken_away() -> None:
    routes = Routes((NETWORK, Route("10.0.1.10", "", "", "unreachable")), (LO, ETH0))
    told = judge(routes_check.route, routes, POSTFIX, relay(transcript(BANNER)), None)
    bad = next(each for each in told if each.status is Status.CRITICAL)
    assert bad.fixes[0].commands[0] == ("ip", "route", "del", "unreachable", "10.0.1.10")


def test_no_address_no_mail() -> None:
    routes = Routes((), (LO, Link("eth0", False, 1500, ())))
    assert [each.status for each in judge(routes_check.route, routes, POSTFIX, None, None)] == [Status.CRITICAL]


def test_loopback_that_is_down_is_brought_up() -> None:
    routes = Routes((NETWORK,), (Link("lo", False, 65536, ("127.0.0.1/8",), True), ETH0))
    told = judge(routes_check.route, routes, POSTFIX, None, None)
    assert told[0].fixes[0].commands == (("ip", "link", "set", "lo", "up"),)


# -- milters and others ------------------------------------------------------------------------------------------------


def test_milters_are_read_with_their_own_action() -> None:
    value = "inet:localhost:8891, { unix:/run/opendkim.sock, default_action=accept }"
    assert split_milters(value) == [("inet:localhost:8891", ""), ("unix:/run/opendkim.sock", "accept")]
    assert endpoint("inet:localhost:8891", POSTFIX) == ("localhost", 8891)
    assert endpoint("unix:/run/opendkim.sock", POSTFIX) == ("/run/opendkim.sock", 0)


@pytest.mark.parametrize("written", ["unix:/opendkim/opendkim.sock", "local:opendkim/opendkim.sock"])
def test_a_chrooted_smtpd_finds_sockets_below_the_queue_directory(written: str) -> None:
    assert endpoint(written, POSTFIX, in_chroot=True) == ("/var/spool/postfix/opendkim/opendkim.sock", 0)


@pytest.mark.parametrize(("action", "status"), [("tempfail", Status.CRITICAL), ("accept", Status.WARNING)])
def test_a_dead_milter_costs_what_its_action_says(action: str, status: Status) -> None:
    helper = Helper(Kind.MILTER, "smtpd_milters", "inet:localhost:8891", "localhost", 8891, action)
    reached = Reached(
        helper, TryConnect("localhost", 8891), Connection(Connect.REFUSED, "localhost", "Connection refused")
    )
    (told,) = judge(filters.milter, Filters((reached,)))
    assert told.status is status


OPENED = Exchange("connect", "", "127.0.0.1", "", 0.001)


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (Transcript(Connect.CONNECTED, "127.0.0.1", (OPENED, Exchange("negotiate", "SMFIC_OPTNEG", "version 6", "", 0.1))), Status.OK, "answers"),
        (Transcript(Connect.CONNECTED, "127.0.0.1", (OPENED,), "negotiate", "no reply within 8 s", silent=True), Status.CRITICAL, "does not answer: no reply within 8 s"),
        (Transcript(Connect.CONNECTED, "127.0.0.1", (OPENED,), "negotiate", "what answers there is no milter"), Status.CRITICAL, "does not answer: what answers there is no milter"),
        (Gap(GapReason.NOT_RECORDED, "not recorded"), Status.OK, "answers"),
    ],
)  # fmt: skip
def test_a_milter_that_can_be_connected_to_has_to_negotiate(
    answer: Transcript | Gap, status: Status, words: str
) -> None:
    postfix = Postfix(True, "3.7", {"smtpd_milters": "inet:127.0.0.1:8891", "milter_default_action": "tempfail"})
    answers: dict[Probe[Any], Any] = {
        TryConnect("127.0.0.1", 8891): Connection(Connect.CONNECTED, "127.0.0.1"),
        Dialogue(Protocol.MILTER, "127.0.0.1", 8891, timeout=8.0): answer,
        MASTER: printed(""),
    }
    found = gather(filter_facts, answers, postfix=postfix)
    assert isinstance(found, Filters)
    (told,) = judge(filters.milter, found)
    assert told.status is status
    assert words in told.title


def test_a_socket_that_we_may_not_try_is_unknown() -> None:
    helper = Helper(Kind.POLICY, "smtpd_recipient_restrictions", "unix:/run/p", "/run/p", 0, "451")
    reached = Reached(helper, TryConnect("/run/p"), Gap(GapReason.DENIED, "denied", "needs root"))
    (told,) = judge(filters.policy, Filters((reached,)), None)
    assert told.status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("failed", "silent", "status"),
    [("rcpt", True, Status.CRITICAL), ("rcpt", False, Status.OK), ("banner", True, Status.OK), ("", False, Status.OK)],
)
def test_a_policy_service_hangs_where_smtpd_waits_after_rcpt(failed: str, silent: bool, status: Status) -> None:
    helper = Helper(Kind.POLICY, "smtpd_recipient_restrictions", "inet:127.0.0.1:10031", "127.0.0.1", 10031, "451")
    reached = Reached(helper, TryConnect("127.0.0.1", 10031), Connection(Connect.CONNECTED, "127.0.0.1"))
    probe = Dialogue(Protocol.SMTP, "127.0.0.1", 25, timeout=12.0)
    found = replace(transcript(BANNER, HELLO), failed=failed, error="no reply within 12 s", silent=silent)
    port = Port(Owner.POSTFIX, "smtp", 25, (), "smtp inet n - y - - smtpd", Protocol.SMTP)
    own = OwnDialogues((Talk(port, "127.0.0.1", probe, found, True),))
    (told,) = judge(filters.policy, Filters((reached,)), own)
    assert told.status is status


# -- the world ---------------------------------------------------------------------------------------------------------


def target(host: str, connect: Connect) -> Target:
    exchanges = (BANNER,) if connect is Connect.CONNECTED else ()
    probe = Dialogue(Protocol.SMTP, "192.0.2.1", 25)
    return Target(host, "192.0.2.1", "Connection timed out", probe, Transcript(connect, "192.0.2.1", exchanges))


def reaching(*targets: Target, mail: str = "") -> Verdict:
    (told,) = judge(outbound.outbound, Outbound(targets, 2), None, log(*mail.splitlines()))
    return told


def test_one_server_that_is_down_is_its_own_fault() -> None:
    told = reaching(target("a.test", Connect.TIMEOUT), target("b.test", Connect.CONNECTED))
    assert told.status is Status.NOTICE


def test_servers_that_fail_in_different_ways_are_each_its_own_fault() -> None:
    told = reaching(target("a.test", Connect.TIMEOUT), target("b.test", Connect.REFUSED))
    assert told.status is Status.NOTICE


def test_several_servers_that_time_out_together_mean_a_blocked_way() -> None:
    dead = [target(f"{name}.test", Connect.TIMEOUT) for name in "abc"]
    assert (reaching(*dead[:2]).status, reaching(*dead).status) == (Status.WARNING, Status.CRITICAL)


STUCK = (
    "2026-11-23T05:{minute}:00+00:00 mail postfix/smtp[9]: ABC00001: to=<x@a.test>, relay=none, delay=30, delays=0/0/30/0, "
    "dsn=4.4.1, status=deferred (connect to mx.a.test[192.0.2.1]:25: Connection timed out)\n"
)
GONE = (
    "2026-11-23T05:{minute}:00+00:00 mail postfix/smtp[9]: ABC00002: to=<x@{host}>, relay=mx.{host}[{address}]:25, delay=1, "
    "delays=0/0/1/0, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4F)\n"
)


def test_dead_domains_are_no_blocked_way_while_mail_leaves_for_others() -> None:
    dead = [target(f"{name}.test", Connect.TIMEOUT) for name in "abc"]
    first, again = STUCK.format(minute=10), STUCK.format(minute=40)
    elsewhere = GONE.format(minute=35, host="partner.test", address="192.0.2.9")
    here = GONE.format(minute=35, host="mail.test", address="127.0.0.1")
    before = GONE.format(minute="05", host="partner.test", address="192.0.2.9")
    assert reaching(*dead, mail=first + elsewhere + again).status is Status.NOTICE
    assert reaching(*dead, mail=first + here + again).status is Status.CRITICAL
    assert reaching(*dead, mail=before + first + again).status is Status.CRITICAL


def test_with_nothing_waiting_nobody_is_asked() -> None:
    assert [each.status for each in judge(outbound.outbound, Outbound((), 0), None, None)] == [Status.OK]


@pytest.mark.parametrize(
    ("setting", "version", "taken"),
    [
        (">=TLSv1", "TLSv1", True),
        (">=TLSv1.2", "TLSv1", False),
        (">=TLSv1.2", "TLSv1.3", True),
        (">=TLSv1.1, <=TLSv1.2", "TLSv1.3", False),
        ("!SSLv2, !SSLv3", "TLSv1", True),
        ("!SSLv2, !SSLv3, !TLSv1", "TLSv1", False),
        ("TLSv1.2", "TLSv1.3", False),
        ("", "TLSv1", True),
        ("no such", "TLSv1.3", True),
    ],
)
def test_protocols_are_taken_as_postfix_lists_them(setting: str, version: str, taken: bool) -> None:
    assert takes_protocol(setting, version) is taken


@pytest.mark.parametrize(
    ("settings", "until_1_2"),
    [
        ({"smtp_tls_security_level": "encrypt", "smtp_tls_mandatory_protocols": ">=TLSv1"}, False),
        ({"smtp_tls_security_level": "encrypt", "smtp_tls_mandatory_protocols": "<=TLSv1.2"}, True),
        ({"smtp_tls_security_level": "may", "smtp_tls_protocols": "!SSLv2, !SSLv3, !TLSv1.3"}, True),
        ({"smtp_tls_security_level": "may", "smtp_tls_mandatory_protocols": "TLSv1.2"}, False),
    ],
)
def test_the_relay_is_offered_the_versions_that_postfix_offers_it(settings: dict[str, str], until_1_2: bool) -> None:
    postfix = Postfix(True, settings=settings)
    asked = dialogue_with(postfix, Relay(HOP, level=tls_level(postfix)[0]), "10.0.1.10", "")
    assert asked.until_1_2 is until_1_2


DELIVERED = (
    "2026-11-27T15:36:41.360628+00:00 app01 postfix/smtp[368]: 53E2478: to=<alice@example.test>, relay=10.0.1.10[10.0.1.10]:25, "
    "delay=21, delays=0.02/0.01/20/0.1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as C599C6B)\n"
)
DEFERRED = (
    "2026-11-27T15:46:41.360628+00:00 app01 postfix/smtp[368]: 53E2479: to=<alice@example.test>, relay=none, delay=321, "
    "delays=0.02/0.01/300/0, dsn=4.4.2, status=deferred (conversation with 10.0.1.10[10.0.1.10] timed out while receiving the initial server greeting)\n"
)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("", Status.WARNING),
        (DELIVERED, Status.NOTICE),
        (DEFERRED, Status.CRITICAL),
        (DELIVERED + DEFERRED, Status.CRITICAL),
    ],
)
def test_a_relay_that_greets_late_is_no_fault_while_mail_gets_through(lines: str, status: Status) -> None:
    met = Exchange("connect", "", "10.0.1.10", "", 0.01)
    late = Transcript(Connect.CONNECTED, "10.0.1.10", (met,), "banner", "no reply within 12 s", silent=True)
    now = datetime(2026, 11, 27, 16, tzinfo=UTC)
    since = now - timedelta(days=1)
    found = summarise(lines.splitlines(keepends=True), now=now, since=since)
    seen = MailLog("/var/log/mail.log", since, found, ())
    assert verdict(relay(late), log=seen).status is status
