"""What is said of names: resolver, relayhost, disagreements, chroot, hosts file and records."""

from __future__ import annotations

from typing import Any

import pytest

from maildiag.facts.names import (
    Chroot,
    ChrootFile,
    DomainRecords,
    OwnName,
    PublicNames,
    Resolver,
    parse_hosts_file,
    parse_name_switch,
    parse_resolv_conf,
)
from maildiag.facts.names import resolver as gather_resolver
from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import NextHop, Relay, addresses_of, mx_hosts, parse_hosts, parse_next_hop
from maildiag.facts.relay import relay as gather_relay
from maildiag.facts.sockets import Sockets
from maildiag.model import Gap, GapReason, HostRole, Role, Status
from maildiag.probes import DnsAnswer, DnsLookup, DnsStatus, Interface, Interfaces, Probe, ReadFile
from maildiag.testing import file, gather, judge, printed
from maildiag_checks import dns, dns_records
from tests.network.recorded import RELEASES, text

SERVER, CLIENT = HostRole(Role.MAIL_SERVER, "test"), HostRole(Role.RELAY_CLIENT, "test")
HERE = Sockets((), (), (Interface("eth0", True, ("10.0.1.10",), 1500),))
NOTHING = DnsAnswer(DnsStatus.NO_SUCH_NAME)
SILENCE = DnsAnswer(DnsStatus.TIMEOUT)
POSTFIX = Postfix(
    True, "3.7", {"myhostname": "mail.example.test", "smtp_host_lookup": "dns"}, frozenset({"myhostname"})
)


def a(*records: str) -> DnsAnswer:
    return DnsAnswer(DnsStatus.ANSWER, records)


@pytest.mark.parametrize(
    ("written", "host", "port", "bracketed"),
    [
        ("[10.0.1.10]:25", "10.0.1.10", 25, True),
        ("[mail.example.test]", "mail.example.test", 25, True),
        ("mail.example.test:submission", "mail.example.test", 587, False),
        ("example.test", "example.test", 25, False),
        ("[ipv6:2001:db8::1]:25", "2001:db8::1", 25, True),
    ],
)
def test_a_relayhost_is_read_as_postfix_reads_it(written: str, host: str, port: int, bracketed: bool) -> None:
    assert parse_next_hop(written) == NextHop(written, host, port, bracketed)


def test_a_comment_behind_the_relayhost_is_left_out_and_nothing_is_nothing() -> None:
    found = parse_next_hop("[10.0.1.10]:25 # the relay")
    assert found is not None
    assert found.host == "10.0.1.10"
    assert parse_next_hop("") is None


@pytest.mark.parametrize("release", RELEASES)
def test_getent_s_addresses_are_told_once(release: str) -> None:
    assert parse_hosts(printed(text(release, "getent.txt"))) == ("10.0.1.10",)


def test_mx_hosts_come_by_preference() -> None:
    assert mx_hosts(a("20 b.example.test.", "10 a.example.test.")) == ("a.example.test", "b.example.test")


def test_dns_then_native_does_not_go_on_where_the_dns_is_silent() -> None:
    local = (("relay", ("10.0.1.10",)),)
    assert addresses_of("dns, native", (("relay", NOTHING),), local) == ("10.0.1.10",)
    assert addresses_of("dns, native", (("relay", SILENCE),), local) == ()


def resolver(*answers: DnsAnswer | Gap) -> Resolver:
    servers = tuple(f"10.0.1.{53 + n}" for n in range(len(answers)))
    lines = "\n".join(f"nameserver {each}" for each in servers)
    return Resolver(servers, (), lines, "mail.example.test", answers)


@pytest.mark.parametrize("answer", [a("10.0.1.10"), NOTHING, DnsAnswer(DnsStatus.NO_DATA)])
def test_a_server_that_knows_is_alive_even_where_it_says_no(answer: DnsAnswer) -> None:
    assert [each.status for each in judge(dns.resolver, resolver(answer), None, SERVER)] == [Status.OK]


@pytest.mark.parametrize(
    "status", [DnsStatus.TIMEOUT, DnsStatus.SERVER_FAILURE, DnsStatus.REFUSED, DnsStatus.UNREACHABLE]
)
def test_no_server_that_knows_is_critical_on_a_server(status: DnsStatus) -> None:
    assert [each.status for each in judge(dns.resolver, resolver(DnsAnswer(status)), None, SERVER)] == [Status.CRITICAL]


def test_a_relay_client_with_an_address_for_its_relay_gets_by_without_dns() -> None:
    relay = Relay(NextHop("[10.0.1.10]:25", "10.0.1.10", 25, True))
    assert [each.status for each in judge(dns.resolver, resolver(SILENCE), relay, CLIENT)] == [Status.WARNING]


def test_a_name_server_that_a_recording_did_not_ask_is_not_dead() -> None:
    unasked = Gap(GapReason.NOT_RECORDED, "dig mail.example.test A @10.0.1.53: not in this recording")
    (told,) = judge(dns.resolver, resolver(unasked), None, SERVER)
    assert told.status is Status.UNKNOWN


def test_a_dead_first_server_is_commented_out_by_its_line() -> None:
    (told,) = judge(dns.resolver, resolver(SILENCE, a("10.0.1.10")), None, SERVER)
    assert told.status is Status.WARNING
    assert told.fixes[0].commands[0][-2:] == ("1s/^/#/", "/etc/resolv.conf")


def relay(dns_says: DnsAnswer, system: tuple[str, ...], lookup: str = "dns", found: tuple[str, ...] = ()) -> Relay:
    hop = NextHop("[relay.internal]:25", "relay.internal", 25, True)
    return Relay(
        hop, lookup, None, ("relay.internal",), (("relay.internal", dns_says),), (("relay.internal", system),), found
    )


def test_a_name_of_the_hosts_file_alone_is_not_found_by_postfix() -> None:
    (told,) = judge(dns.relayhost, relay(NOTHING, ("10.0.1.10",)), None)
    assert told.status is Status.CRITICAL
    assert told.fixes[0].id == "dns.relayhost/native"


def test_a_failed_look_up_is_not_a_missing_name() -> None:
    (told,) = judge(dns.relayhost, relay(SILENCE, ()), None)
    assert "fails" in told.title
    (told,) = judge(dns.relayhost, relay(NOTHING, ()), None)
    assert "does not exist" in told.title


def test_two_sources_that_disagree_are_told() -> None:
    own = OwnName("", "app01.example.test", (), None, parse_hosts_file("10.0.1.99 relay.internal\n"))
    (told,) = judge(dns.disagreement, relay(a("10.0.1.10"), ("10.0.1.99",), found=("10.0.1.10",)), own)
    assert told.status is Status.CRITICAL
    assert "1: 10.0.1.99 relay.internal" in told.evidence[-1].text


def chroot(copy: str | None, answers: tuple[tuple[str, DnsAnswer | Gap], ...] = ()) -> Chroot:
    file = ChrootFile("etc/resolv.conf", "# by hand\nnameserver 10.0.1.53\n", copy)
    return Chroot("/var/spool/postfix", ("smtp",), (file,), answers)


def test_a_copy_that_differs_in_a_comment_only_is_fine() -> None:
    assert [each.status for each in judge(dns.chroot, chroot("nameserver 10.0.1.53\n"), POSTFIX)] == [Status.OK]


def test_a_copy_with_a_dead_server_is_critical_and_copied_again() -> None:
    (told,) = judge(dns.chroot, chroot("nameserver 10.0.1.99\n", (("10.0.1.99", SILENCE),)), POSTFIX)
    assert told.status is Status.CRITICAL
    assert told.fixes[0].commands[0] == ("systemctl", "restart", "postfix")
    assert told.fixes[0].automatic


def own(name: str, answer: DnsAnswer | None, hosts: str = "127.0.0.1 localhost\n") -> OwnName:
    return OwnName(name, name, (), answer, parse_hosts_file(hosts))


@pytest.mark.parametrize("name", ["localhost", "mail", "app01.localdomain", "localhost.localdomain"])
def test_a_name_without_a_domain_is_no_host_name(name: str) -> None:
    assert judge(dns_records.own_name, own(name, None), HERE, POSTFIX)[0].status is Status.WARNING


def test_a_public_address_behind_nat_is_only_noted() -> None:
    told = judge(dns_records.own_name, own("mail.example.test", a("93.184.216.34")), HERE, POSTFIX)
    assert told[0].status is Status.NOTICE
    told = judge(dns_records.own_name, own("mail.example.test", a("10.0.1.99")), HERE, POSTFIX)
    assert told[0].status is Status.WARNING


def test_debian_s_127_0_1_1_is_healthy() -> None:
    found = own("mail.example.test", a("10.0.1.10"), "127.0.0.1 localhost\n127.0.1.1 mail.example.test mail\n")
    assert [each.status for each in judge(dns_records.hosts_file, found, HERE)] == [Status.OK]


def test_a_wrong_line_of_the_hosts_file_is_shown_with_its_number() -> None:
    found = own("mail.example.test", None, "127.0.0.1 localhost\n10.0.1.99 mail.example.test mail\n")
    (told,) = judge(dns_records.hosts_file, found, HERE)
    assert told.evidence[0].text == "2: 10.0.1.99 mail.example.test mail"
    assert told.fixes[0].commands[0][-2] == "2s/.*/10.0.1.10 mail.example.test mail/"


def test_the_public_address_in_the_hosts_file_of_a_host_behind_nat_is_healthy() -> None:
    found = own("mail.example.test", None, "127.0.0.1 localhost\n93.184.216.34 mail.example.test mail\n")
    assert [each.status for each in judge(dns_records.hosts_file, found, HERE)] == [Status.OK]


def test_a_malformed_address_in_the_hosts_file_is_a_wrong_line() -> None:
    found = own("mail.example.test", None, "127.0.0.1 localhost\n10.0.1 mail.example.test mail\n")
    assert [each.status for each in judge(dns_records.hosts_file, found, HERE)] == [Status.WARNING]


def records(mx: DnsAnswer | Gap, txt: DnsAnswer = NOTHING) -> DomainRecords:
    return DomainRecords("example.test", mx, txt, NOTHING)


def mx_status(mx: DnsAnswer | Gap, *addresses: tuple[str, DnsAnswer]) -> Status:
    return judge(dns_records.mx, PublicNames((records(mx),), addresses, ()), HERE, POSTFIX)[0].status


def test_an_mx_is_judged_by_where_it_leads() -> None:
    assert mx_status(a("10 mail.example.test."), ("mail.example.test", a("10.0.1.10"))) is Status.OK
    assert mx_status(a("10 gone.example.test."), ("gone.example.test", NOTHING)) is Status.WARNING
    assert mx_status(a("10 filter.example.net."), ("filter.example.net", a("192.0.2.9"))) is Status.NOTICE
    assert mx_status(NOTHING) is Status.NOTICE


@pytest.mark.parametrize("answer", [SILENCE, Gap(GapReason.TIMEOUT, "no answer")])
def test_a_look_up_that_fails_is_unknown_and_never_missing(answer: DnsAnswer | Gap) -> None:
    assert mx_status(answer) is Status.UNKNOWN


def test_private_addresses_need_no_name() -> None:
    for answer, status in ((NOTHING, Status.NOTICE), (SILENCE, Status.SKIPPED), (a("mail.example.test."), Status.OK)):
        told = judge(dns_records.ptr, PublicNames((), (), (("10.0.1.10", answer),)), POSTFIX)
        assert [each.status for each in told] == [status]
    told = judge(dns_records.ptr, PublicNames((), (), (("93.184.216.34", NOTHING),)), POSTFIX)
    assert [each.status for each in told] == [Status.WARNING]


def test_a_second_address_and_a_host_with_a_relay_need_no_name() -> None:
    named, bare = ("93.184.216.34", a("mail.example.test.")), ("93.184.216.35", NOTHING)
    told = judge(dns_records.ptr, PublicNames((), (), (named, bare)), POSTFIX)
    assert [each.status for each in told] == [Status.OK, Status.NOTICE]
    relayed = Postfix(installed=True, settings={**POSTFIX.settings, "relayhost": "[smtp.example.net]:587"})
    assert judge(dns_records.ptr, PublicNames((), (), (bare,)), relayed)[0].status is Status.NOTICE


def test_spf_and_dmarc_are_advice() -> None:
    spf = a('"v=spf1 mx " "-all"')
    dmarc = a('"v=DMARC1; p=reject"')
    both = DomainRecords("example.test", NOTHING, spf, dmarc)
    assert [each.status for each in judge(dns_records.sender_records, PublicNames((both,), (), ()))] == [Status.OK]
    none = records(NOTHING)
    assert [each.status for each in judge(dns_records.sender_records, PublicNames((none,), (), ()))] == [Status.NOTICE]


def test_resolv_conf_is_read() -> None:
    assert parse_resolv_conf("# x\nsearch a b\nnameserver 10.0.1.53\n") == (("10.0.1.53",), ("a", "b"))


# -- families, nsswitch.conf and what other accounts can read ------------------------------------------------------------


def gathered(settings: dict[str, str], **answers: DnsAnswer) -> Relay:
    """The relay of a host with these settings, whose DNS answers A and AAAA so."""
    asked: dict[Probe[Any], Any] = {
        DnsLookup("relay.internal", record): answers.get(record, DnsAnswer(DnsStatus.NO_DATA))
        for record in ("A", "AAAA")
    }
    postfix = Postfix(True, "3.7", {"relayhost": "[relay.internal]:25", "smtp_host_lookup": "dns", **settings})
    found = gather(gather_relay, asked, postfix=postfix)
    assert isinstance(found, Relay), found
    return found


def test_a_relay_is_looked_up_in_the_families_that_postfix_uses() -> None:
    both = {"A": a("10.0.1.10"), "AAAA": a("fd00:1::10")}
    assert gathered({"inet_protocols": "ipv4"}, **both).addresses == ("10.0.1.10",)
    assert gathered({"inet_protocols": "ipv6"}, **both).addresses == ("fd00:1::10",)
    assert gathered({"inet_protocols": "all"}, **both).addresses == ("10.0.1.10", "fd00:1::10")
    assert gathered({"inet_protocols": "ipv4, ipv6"}, **both).addresses == ("10.0.1.10", "fd00:1::10")


def test_a_relay_of_the_family_that_postfix_leaves_out_has_unused_addresses() -> None:
    only6 = gathered({"inet_protocols": "ipv4"}, AAAA=a("fd00:1::10"))
    assert (only6.addresses, only6.unused) == ((), ("fd00:1::10",))
    literal = gathered({"inet_protocols": "ipv6", "relayhost": "[10.0.1.10]:25"})
    assert (literal.addresses, literal.unused) == ((), ("10.0.1.10",))
    (told,) = judge(dns.relayhost, only6, None)
    assert told.explained_by == ("connectivity.relay-settings",)


def test_the_other_family_is_not_asked_for_where_the_dns_is_dead() -> None:
    silent = gathered({"inet_protocols": "ipv4"}, A=SILENCE, AAAA=a("fd00:1::10"))
    assert silent.unused == ()


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("hosts:          files dns", True),
        ("hosts: files mymachines resolve [!UNAVAIL=return] dns myhostname", True),
        ("passwd: files", True),
        ("hosts: files", False),
        ("hosts: files dsn  # typo", False),
        ("hosts: files [NOTFOUND = return] dns", False),
    ],
)
def test_nsswitch_tells_whether_the_dns_is_asked(line: str, asks: bool) -> None:
    assert parse_name_switch(f"# /etc/nsswitch.conf\n{line}\n").asks_dns is asks


def test_a_system_that_does_not_ask_the_dns_is_the_cause_and_is_told_to_ask() -> None:
    switch = parse_name_switch("passwd: files\nhosts: files [NOTFOUND=return] dns\n")
    (told,) = judge(dns.relayhost, relay(a("10.0.1.10"), (), "native"), switch)
    assert "does not ask it" in told.title
    assert told.fixes[0].commands[0][3:] == ("2s/.*/hosts: files dns/", "/etc/nsswitch.conf")
    (told,) = judge(dns.relayhost, relay(NOTHING, (), "native"), switch)
    assert "does not exist" in told.title


def test_a_resolv_conf_that_is_missing_or_closed_is_told() -> None:
    missing = Resolver((), (), "", "mail.example.test", (), None)
    (told,) = judge(dns.resolver, missing, None, SERVER)
    assert "is missing" in told.title
    closed = Resolver(("10.0.1.53",), (), "nameserver 10.0.1.53\n", "mail.example.test", (a("10.0.1.10"),), 0o600)
    told, _ = judge(dns.resolver, closed, None, SERVER)
    assert told.fixes[0].commands == (("chmod", "0644", "/etc/resolv.conf"),)
    assert told.fixes[0].undo == (("chmod", "0600", "/etc/resolv.conf"),)


def test_a_copy_that_postfix_cannot_read_is_out_of_order_although_it_says_the_same() -> None:
    same = "nameserver 10.0.1.53\n"
    file = ChrootFile("etc/resolv.conf", same, same, 0o600)
    (told,) = judge(dns.chroot, Chroot("/var/spool/postfix", ("smtp",), (file,)), POSTFIX)
    assert told.status is Status.CRITICAL
    assert "closed to Postfix's account" in told.title
    assert told.fixes[0].commands[0] == ("chmod", "0644", "/var/spool/postfix/etc/resolv.conf")
    assert told.fixes[0].undo == (("chmod", "0600", "/var/spool/postfix/etc/resolv.conf"),)


def test_a_null_mx_says_so_and_a_better_one_elsewhere_is_worth_knowing() -> None:
    (told,) = judge(dns_records.mx, PublicNames((records(a("0 .")),), (), ()), HERE, POSTFIX)
    assert told.status is Status.WARNING
    assert "null MX" in told.title
    both = a("5 filter.example.test.", "10 mail.example.test.")
    where = (("filter.example.test", a("10.0.1.99")), ("mail.example.test", a("10.0.1.10")))
    (told,) = judge(dns_records.mx, PublicNames((records(both),), where, ()), HERE, POSTFIX)
    assert told.status is Status.NOTICE
    assert "filter.example.test" in told.title


def test_an_ipv6_address_in_the_dns_leads_here_or_is_told() -> None:
    def told(aaaa: DnsAnswer) -> list[Status]:
        name = OwnName("mail.example.test", "mail.example.test", ("10.0.1.10",), a("10.0.1.10"), (), aaaa)
        return [each.status for each in judge(dns_records.own_name, name, HERE, POSTFIX)]

    assert told(DnsAnswer(DnsStatus.NO_DATA)) == [Status.OK]
    assert told(a("fd00:1::99")) == [Status.OK, Status.WARNING]


def test_an_mx_that_is_an_alias_is_told_with_the_name_to_use() -> None:
    where = (("mx.example.test", a("10.0.1.10")),)
    found = PublicNames((records(a("10 mx.example.test.")),), where, (), (("mx.example.test", "mail.example.test"),))
    (told,) = judge(dns_records.mx, found, HERE, POSTFIX)
    assert told.status is Status.WARNING
    assert "alias (CNAME) of mail.example.test" in told.title


def test_a_slow_server_is_not_called_dead() -> None:
    late = Resolver(
        ("10.0.1.53",),
        (),
        "nameserver 10.0.1.53\n",
        "mail",
        (DnsAnswer(DnsStatus.TIMEOUT),),
        slow=(("10.0.1.53", 2.04),),
    )
    (told,) = judge(dns.resolver, late, None, HostRole(Role.MAIL_SERVER, ""))
    assert told.status is Status.WARNING
    assert told.title == "The name server 10.0.1.53 is slow: it takes 2.0 s for an answer"


def test_a_server_that_answers_a_patient_client_is_slow() -> None:
    patient = DnsLookup("localhost", "A", "10.0.1.53", timeout=5.5, tries=1)
    answers = {
        ReadFile("/etc/resolv.conf"): file("nameserver 10.0.1.53\n"),
        DnsLookup("localhost", "A", "10.0.1.53"): DnsAnswer(DnsStatus.TIMEOUT),
        patient: a("127.0.0.1"),
    }
    found = gather(gather_resolver, answers, postfix=None)
    assert isinstance(found, Resolver)
    assert [server for server, _ in found.slow] == ["10.0.1.53"]


def test_the_relay_is_spoken_to_from_the_address_that_postfix_binds() -> None:
    here: dict[Probe[Any], Any] = {Interfaces(): (Interface("eth0", True, ("10.0.1.20", "10.9.9.9"), 1500),)}
    for bind, used in (("10.9.9.9", "10.9.9.9"), ("10.8.8.8", ""), ("", "")):
        postfix = Postfix(True, "3.7", {"relayhost": "[10.0.1.10]:25", "smtp_bind_address": bind})
        found = gather(gather_relay, here, postfix=postfix)
        assert isinstance(found, Relay)
        assert [each.probe.bind for each in found.talks] == [used]
