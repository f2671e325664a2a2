"""Ports that the configuration wants against sockets that the kernel has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maildiag.dovecot.syntax import parse
from maildiag.dovecot.tree import build
from maildiag.facts.dovecot import Dovecot, DovecotConfig
from maildiag.facts.firewall import Backend, Firewall
from maildiag.facts.names import DomainRecords, PublicNames
from maildiag.facts.postfix import Postfix
from maildiag.facts.smtp import OwnDialogues, Talk, addresses
from maildiag.facts.sockets import Owner, Port, Sockets, dovecot_ports, dovecot_protocols, parse_master, postfix_ports
from maildiag.firewall.rules import Chain, Do, Rule, Ruleset
from maildiag.model import HostRole, Role, Status, Verdict
from maildiag.probes import (
    Connect,
    Dialogue,
    DnsAnswer,
    DnsStatus,
    Exchange,
    Interface,
    Listener,
    Protocol,
    Tls,
    Transcript,
)
from maildiag.settings import Settings
from maildiag.testing import judge, printed
from maildiag_checks import connectivity, mail_access, moved_ports, smtp
from maildiag_checks.postfix_config import master_cf
from tests.network.recorded import RELEASES, text
from tests.unit.postfix_files import config

SERVER, CLIENT = HostRole(Role.MAIL_SERVER, "test"), HostRole(Role.RELAY_CLIENT, "test")
ETH0 = Interface("eth0", True, ("10.0.1.10",), 1500)
both_releases = pytest.mark.parametrize("release", RELEASES)


def postfix(**settings: str) -> Postfix:
    usual = {"inet_interfaces": "all", "inet_protocols": "ipv4", "myhostname": "mail.example.test"}
    return Postfix(True, "3.7.11", usual | settings)


def port(number: int, *bound: str, owner: Owner = Owner.POSTFIX) -> Port:
    return Port(owner, str(number), number, bound, "smtp inet n - y - - smtpd", Protocol.SMTP, Tls.STARTTLS)


def sockets(wanted: Port, *listening: str, program: str = "") -> Sockets:
    return Sockets((wanted,), tuple(Listener("tcp", each, wanted.number, 0, program) for each in listening), (ETH0,))


@both_releases
def test_master_cf_is_read_with_its_options(release: str) -> None:
    table = parse_master(printed(text(release, "postconf-M.txt")))
    found = {each.number: each for each in postfix_ports(postfix(), table)}
    assert set(found) == {25, 587}
    assert found[587].options["smtpd_tls_security_level"] == "encrypt"
    assert found[25].addresses == ()


def test_loopback_only_is_loopback() -> None:
    table = parse_master(printed("smtp inet n - y - - smtpd\n"))
    (found,) = postfix_ports(postfix(inet_interfaces="loopback-only"), table)
    assert found.addresses == ("127.0.0.1",)


def test_nothing_is_said_to_a_port_that_waits_for_the_proxy_line_of_a_load_balancer() -> None:
    own = "2525 inet n - y - - smtpd -o smtpd_upstream_proxy_protocol=haproxy\n"
    screen = "2526 inet n - y - 1 postscreen -o postscreen_upstream_proxy_protocol=haproxy\n"
    empty = "2527 inet n - y - - smtpd -o smtpd_upstream_proxy_protocol=\n"
    found = postfix_ports(postfix(), parse_master(printed(own + screen + empty)))
    assert [each.protocol for each in found] == [None, None, Protocol.SMTP]
    everywhere = postfix_ports(
        postfix(smtpd_upstream_proxy_protocol="haproxy"), parse_master(printed(empty + "smtp inet n - y - - smtpd\n"))
    )
    assert [each.protocol for each in everywhere] == [Protocol.SMTP, None]


@both_releases
def test_dovecot_serves_its_protocols_on_their_ports(release: str) -> None:
    dovecot = Dovecot(True, "2", text(release, "doveconf-n.txt"))
    assert dovecot_protocols(dovecot) == ("imap", "pop3", "lmtp")
    assert {each.number for each in dovecot_ports(dovecot)} == {143, 993, 110, 995}


def test_a_listener_with_port_0_is_switched_off() -> None:
    told = "protocols = imap\nservice imap-login {\n  inet_listener imap {\n    port = 0\n  }\n}\n"
    assert {each.number for each in dovecot_ports(Dovecot(True, "2", told))} == {993}


def test_without_ssl_dovecot_opens_no_tls_ports() -> None:
    told = "listen = *\nprotocols = imap\nssl = no\n"
    assert {each.number for each in dovecot_ports(Dovecot(True, "2", told))} == {143}


def statuses(told: Sockets, role: HostRole = SERVER) -> list[Status]:
    return [each.status for each in judge(connectivity.listeners, told, role, None, None)]


def test_a_port_that_listens_is_fine() -> None:
    assert statuses(sockets(port(25), "0.0.0.0", program="smtpd")) == [Status.OK]


def test_a_port_where_nothing_listens_is_critical() -> None:
    assert statuses(sockets(port(25))) == [Status.CRITICAL]


def test_a_stranger_on_the_port_is_named() -> None:
    (told,) = judge(connectivity.listeners, sockets(port(25), "0.0.0.0", program="exim4"), SERVER, None, None)
    assert told.status is Status.CRITICAL
    assert "exim4" in told.title
    assert told.explained_by == ("services.port-taken",)


def test_postfix_that_was_only_reloaded_is_restarted() -> None:
    (told,) = judge(connectivity.listeners, sockets(port(25), "127.0.0.1"), SERVER, None, None)
    assert told.status is Status.CRITICAL
    assert told.fixes[0].commands == (("postfix", "stop"), ("postfix", "start"))


def test_beside_further_instances_the_default_one_may_listen_on_loopback_only() -> None:
    mine = postfix(multi_instance_directories="/etc/postfix-out")
    found = replace(
        sockets(port(25, "127.0.0.1"), "127.0.0.1", "10.0.1.10"),
        expected=(port(25, "127.0.0.1"), port(587, "127.0.0.1")),
    )
    found = replace(found, listening=(*found.listening, Listener("tcp", "127.0.0.1", 587, 0, "master")))
    told = judge(connectivity.listeners, found, SERVER, mine, None)
    assert not [each.title for each in told if each.status.failing]


def test_loopback_only_is_a_fault_of_a_server_and_right_for_a_relay_client() -> None:
    found = sockets(port(25, "127.0.0.1"), "127.0.0.1")
    assert statuses(found) == [Status.CRITICAL]
    assert statuses(found, CLIENT) == [Status.OK]


@pytest.mark.parametrize(
    ("mx", "mynetworks", "status"),
    [
        ("10 mx.filter.test.", "127.0.0.0/8 [::1]/128 10.0.1.10/32", Status.OK),
        ("10 mx.filter.test.", "127.0.0.0/8 10.0.1.0/24", Status.CRITICAL),
        ("10 mail.example.test.", "127.0.0.0/8", Status.CRITICAL),
    ],
)
def test_loopback_only_is_right_for_a_server_that_nobody_is_sent_to(mx: str, mynetworks: str, status: Status) -> None:
    answer = DnsAnswer(DnsStatus.ANSWER, (mx,))
    there = (("mx.filter.test", DnsAnswer(DnsStatus.ANSWER, ("198.51.100.9",))),)
    public = PublicNames((DomainRecords("example.test", answer, answer, answer),), there, ())
    mine = postfix(mynetworks=mynetworks, myhostname="mail.example.test")
    found = sockets(port(25, "127.0.0.1"), "127.0.0.1")
    assert [each.status for each in judge(connectivity.listeners, found, SERVER, mine, None, public)] == [status]


SUBMISSION = "submission inet n - y - - smtpd"


@pytest.mark.parametrize(
    ("mx", "mynetworks", "status"),
    [
        ("10 mx.filter.test.", "127.0.0.0/8 [::1]/128", Status.OK),
        ("10 mx.filter.test.", "127.0.0.0/8 10.0.1.0/24", Status.CRITICAL),
        ("10 mail.example.test.", "127.0.0.0/8", Status.CRITICAL),
        ("", "127.0.0.0/8", Status.OK),
    ],
)
def test_port_25_is_missed_only_where_somebody_is_sent_to_it(mx: str, mynetworks: str, status: Status) -> None:
    answer = DnsAnswer(DnsStatus.ANSWER, (mx,))
    there = (("mx.filter.test", DnsAnswer(DnsStatus.ANSWER, ("198.51.100.9",))),)
    public = PublicNames((DomainRecords("example.test", answer, answer, answer),) if mx else (), there, ())
    mine = postfix(mynetworks=mynetworks, myhostname="mail.example.test")
    found = sockets(Port(Owner.POSTFIX, "submission", 587, (), SUBMISSION, Protocol.SMTP), "0.0.0.0")
    told = {each.subject: each.status for each in judge(connectivity.listeners, found, SERVER, mine, None, public)}
    assert told["25"] is status
    made = config(master=f"{SUBMISSION}\n")
    problems = judge(master_cf, made, None, SERVER, mine, found, public)
    assert any(each.subject.endswith("smtp/inet") for each in problems) is (status is Status.CRITICAL)


def test_a_server_without_imap_is_told() -> None:
    (told,) = without_imap("protocols = pop3 lmtp\n")
    assert (told.status, told.subject) == (Status.WARNING, "imap")


NO_IMAP = (
    "service imap-login {\n  inet_listener imap {\n    port = 0\n  }\n  inet_listener imaps {\n    port = 0\n  }\n}\n"
)
NO_POP3 = NO_IMAP.replace("imap", "pop3")


def without_imap(text_: str) -> list[Verdict]:
    dovecot = Dovecot(True, "2.3", text_)
    wanted = tuple(dovecot_ports(dovecot))
    found = Sockets(wanted, tuple(Listener("tcp", "0.0.0.0", each.number, 0, "dovecot") for each in wanted), (ETH0,))
    return [each for each in judge(connectivity.listeners, found, SERVER, None, dovecot) if each.status.failing]


def test_a_protocol_whose_every_listener_has_port_0_is_served_to_nobody() -> None:
    both = "protocols = imap pop3 lmtp\n"
    assert [each.status for each in without_imap(both + NO_IMAP)] == [Status.WARNING]
    assert [each.status for each in without_imap(both + NO_IMAP + NO_POP3)] == [Status.CRITICAL]
    assert without_imap(both + NO_POP3) == []
    assert without_imap(both + NO_IMAP.replace("  inet_listener imaps {\n    port = 0\n  }\n", "")) == []


def moved(
    number: int,
    name: str = "imap",
    line: str = "",
    settings: Settings | None = None,
    others: tuple[int, ...] = (),
    firewall: Firewall | None = None,
    addresses_: tuple[str, ...] = (),
) -> list[Status]:
    mine = Port(Owner.DOVECOT, name, number, addresses_, line, Protocol.IMAP, Tls.STARTTLS)
    listening = tuple(Listener("tcp", "0.0.0.0", each, 0, "") for each in (number, *others))
    found = judge(moved_ports.ports, Sockets((mine,), listening, (ETH0,)), settings or Settings(), None, firewall)
    return [each.status for each in found]


def test_a_mailbox_service_on_a_port_where_nobody_looks_is_a_warning() -> None:
    assert moved(1143) == [Status.WARNING]
    assert moved(9993, "imaps") == [Status.WARNING]
    assert moved(143) == moved(993, "imaps") == [Status.OK]


def test_a_port_that_was_moved_on_purpose_is_fine() -> None:
    proxied = "service imap-login { inet_listener imap { haproxy = yes; port = 1143 } }"
    redirect = Rule((), Do.DIVERT, target=":1143")
    led = Firewall(Backend.NFTABLES, Ruleset.of([Chain("nft", "ip", "nat", "prerouting", (redirect,), "prerouting")]))
    assert moved(1143, others=(143,)) == [Status.OK], "a proxy listens there"
    assert moved(1143, line=proxied) == [Status.OK]
    assert moved(1143, settings=Settings(ports=(1143,))) == [Status.OK]
    assert moved(1143, addresses_=("127.0.0.1",)) == [Status.OK]
    assert moved(1143, firewall=led) == [Status.OK]


@pytest.mark.parametrize(
    ("number", "others", "status"),
    [(5870, (), Status.WARNING), (5870, (465,), Status.OK), (587, (), Status.OK), (25, (), Status.SKIPPED)],
)
def test_submission_is_looked_for_on_587_and_465(number: int, others: tuple[int, ...], status: Status) -> None:
    options = {"smtpd_sasl_auth_enable": "yes", "syslog_name": "postfix/submission"}
    mine = Port(Owner.POSTFIX, str(number), number, (), f"{number} inet", Protocol.SMTP, Tls.STARTTLS, options)
    listening = tuple(Listener("tcp", "0.0.0.0", each, 0, "") for each in (number, *others))
    (told,) = judge(moved_ports.ports, Sockets((mine,), listening, (ETH0,)), Settings(), None, None)
    assert told.status is status


def test_both_loopback_and_the_network_are_tried() -> None:
    assert addresses(port(25), sockets(port(25), "0.0.0.0")) == ("127.0.0.1", "10.0.1.10")
    assert addresses(port(25, "127.0.0.1"), sockets(port(25), "0.0.0.0")) == ("127.0.0.1",)


# -- dialogues ---------------------------------------------------------------------------------------------------------

GREETING = Exchange("banner", "", "220 mail.example.test ESMTP Postfix", "220", 0.01)
HELLO = Exchange("ehlo", "EHLO x", "250-mail.example.test\n250-STARTTLS\n250 SIZE", "250", 0.01)


def talk(transcript: Transcript, listening: bool = True, **options: str) -> Talk:
    found = Port(Owner.POSTFIX, "smtp", 25, (), "smtp inet", Protocol.SMTP, Tls.STARTTLS, options)
    return Talk(found, "127.0.0.1", Dialogue(Protocol.SMTP, "127.0.0.1", 25), transcript, listening)


def said(*exchanges: Exchange, failed: str = "", error: str = "") -> Transcript:
    return Transcript(Connect.CONNECTED, "127.0.0.1", exchanges, failed, error)


def smtp_verdict(transcript: Transcript, listening: bool = True, **settings: str) -> tuple[Status, tuple[str, ...]]:
    (told,) = judge(smtp.smtp, OwnDialogues((talk(transcript, listening),)), postfix(**settings))
    return told.status, told.explained_by or ()


def test_a_port_that_answers_is_fine() -> None:
    assert smtp_verdict(said(GREETING, HELLO))[0] is Status.OK


def test_a_refused_port_is_blamed_on_what_should_listen() -> None:
    status, edges = smtp_verdict(Transcript(Connect.REFUSED, "127.0.0.1", failed="connect"), listening=False)
    assert status is Status.CRITICAL
    assert edges[0] == "connectivity.listeners@25"


def test_a_port_that_listens_and_times_out_is_blamed_on_the_firewall() -> None:
    assert smtp_verdict(Transcript(Connect.TIMEOUT, "127.0.0.1", failed="connect"))[1][0] == "firewall.inbound@25"


def test_no_greeting_is_blamed_on_what_keeps_smtpd_from_starting() -> None:
    status, edges = smtp_verdict(said(failed="banner", error="the server closed the connection"))
    assert status is Status.CRITICAL
    assert edges[0] == "services.programs"
    assert "services.lookup-tables" in edges


def test_a_dialogue_that_ends_when_it_is_encrypted_is_blamed_on_what_kills_smtpd() -> None:
    ready = Exchange("starttls", "STARTTLS", "220 2.0.0 Ready to start TLS", "220", 0.01)
    status, edges = smtp_verdict(said(GREETING, HELLO, ready, failed="ehlo", error="Connection reset by peer"))
    assert status is Status.CRITICAL
    assert "authentication.sasl-socket" in edges


def test_452_is_blamed_on_the_disk() -> None:
    answer = Exchange("mail", "MAIL FROM:<>", "452 4.3.1 Insufficient system storage", "452", 0.01)
    assert smtp_verdict(said(GREETING, HELLO, answer))[1][0] == "services.disk"


def test_451_is_blamed_on_look_ups() -> None:
    answer = Exchange("rcpt", "RCPT TO:<postmaster@example.test>", "451 4.3.0 Temporary lookup failure", "451", 0.01)
    assert smtp_verdict(said(GREETING, HELLO, answer))[1][0] == "services.lookup-tables"


def test_auth_that_is_configured_and_not_offered_is_told() -> None:
    assert smtp_verdict(said(GREETING, HELLO), smtpd_sasl_auth_enable="yes")[0] is Status.WARNING


def test_auth_that_is_hidden_from_a_network_is_right_on_port_25_and_named_elsewhere() -> None:
    hidden = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_exceptions_networks": "10.0.1.0/24"}
    assert (
        smtp_verdict(said(GREETING, HELLO), smtpd_sasl_auth_enable="yes", smtpd_sasl_exceptions_networks="10.0.1.0/24")[
            0
        ]
        is Status.OK
    )
    line = "submission inet n - y - - smtpd"
    found = Port(Owner.POSTFIX, "submission", 587, (), line, Protocol.SMTP, Tls.STARTTLS)
    one = Talk(found, "127.0.0.1", Dialogue(Protocol.SMTP, "127.0.0.1", 587), said(GREETING, HELLO), True)
    (verdict,) = judge(smtp.submission, OwnDialogues((one,)), postfix(**hidden))
    assert verdict.title.startswith("smtpd_sasl_exceptions_networks = 10.0.1.0/24 hides AUTH on port 587")
    assert verdict.fixes[0].commands[0] == ("postconf", "-P", "submission/inet/smtpd_sasl_exceptions_networks=")


def test_auth_only_after_tls_is_right() -> None:
    told = smtp_verdict(said(GREETING, HELLO), smtpd_sasl_auth_enable="yes", smtpd_tls_auth_only="yes")
    assert told[0] is Status.OK


def test_dovecot_that_turns_clients_away_for_tls_is_blamed_on_the_certificate() -> None:
    banner = Exchange("banner", "", "* BYE [UNAVAILABLE] TLS initialization failed.", "", 0.01)
    found = Port(Owner.DOVECOT, "imaps", 993, (), "protocols = imap", Protocol.IMAP, Tls.IMPLICIT)
    one = Talk(found, "127.0.0.1", Dialogue(Protocol.IMAP, "127.0.0.1", 993), said(banner), True)
    (told,) = judge(mail_access.imap, OwnDialogues((one,)), Dovecot(True, "2.4"), None)
    assert told.status is Status.CRITICAL
    assert (told.explained_by or ())[0] == "connectivity.certificate"


def proxied(trusted: str) -> Verdict:
    text = "service imap-login {\n  inet_listener imap {\n    haproxy = yes\n  }\n}\n" + trusted
    source = build(parse(text, "/etc/dovecot/local.conf"))
    found = Port(Owner.DOVECOT, "imap", 143, (), "protocols = imap", Protocol.IMAP, Tls.STARTTLS)
    one = Talk(found, "127.0.0.1", Dialogue(Protocol.IMAP, "127.0.0.1", 143), said(), True)
    config = DovecotConfig("2.3.19.1", source, source)
    (verdict,) = judge(mail_access.imap, OwnDialogues((one,)), Dovecot(True, "2.3.19.1"), config)
    return verdict


def test_a_port_that_waits_for_haproxy_and_trusts_nobody_is_named_with_its_line() -> None:
    verdict = proxied("")
    assert verdict.title.startswith("/etc/dovecot/local.conf:3: port 143 greets nobody")
    assert verdict.fixes[0].automatic


def test_a_port_behind_haproxy_is_no_fault() -> None:
    assert proxied("haproxy_trusted_networks = 10.0.1.9\n").status is Status.NOTICE
