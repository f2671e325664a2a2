"""What the firewall checks say of hosts with such rules."""

from __future__ import annotations

from typing import Any

import pytest

from maildiag.facts import firewall as facts
from maildiag.facts.firewall import Backend, Ban, Bans, Firewall, Zone
from maildiag.facts.names import OwnName
from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import NextHop, Relay, RelayTalk
from maildiag.facts.routes import Link, Routes, parse_links, parse_routes
from maildiag.facts.smtp import OwnDialogues, Talk
from maildiag.facts.sockets import Owner, Port, Sockets
from maildiag.firewall import iptables
from maildiag.firewall.rules import Ruleset
from maildiag.model import Gap, GapReason, HostRole, Role, Status, Verdict
from maildiag.probes import (
    Connect,
    Dialogue,
    Directory,
    DnsAnswer,
    DnsStatus,
    Identity,
    Interface,
    ListDirectory,
    Listener,
    Probe,
    Protocol,
    ReadFile,
    Transcript,
    command,
)
from maildiag.settings import Settings
from maildiag.testing import NOW, file, gather, info, judge, printed
from maildiag_checks import bans as ban_checks
from maildiag_checks import connectivity
from maildiag_checks import firewall as checks
from maildiag_checks import firewall_ipv6 as ipv6_checks
from maildiag_checks import firewall_outbound as outbound_checks
from tests.network.recorded import RELEASES, iptables_rules, nft_rules, text

SERVER = HostRole(Role.MAIL_SERVER, "test")
A = DnsAnswer(DnsStatus.ANSWER, ("10.0.1.10",))
AAAA = DnsAnswer(DnsStatus.ANSWER, ("fd00:1::10",))
both_releases = pytest.mark.parametrize("release", RELEASES)


def routes(release: str) -> Routes:
    return Routes(
        parse_routes(printed(text(release, "ip-route.json"))), parse_links(printed(text(release, "ip-addr.json")))
    )


def serving(*ports: int) -> Sockets:
    expected = tuple(
        Port(Owner.DOVECOT if n in (110, 143) else Owner.POSTFIX, str(n), n, (), f"port {n}") for n in ports
    )
    listening = tuple(Listener("tcp", "0.0.0.0", n, 0, "") for n in ports)
    return Sockets(expected, listening, (Interface("eth0", True, ("10.0.1.10",), 1500),))


def public(release: str, *ports: int) -> Zone:
    path = "/etc/firewalld/zones/public.xml"
    found = facts.parse_zone("public", path, text(release, "public.xml"))
    return found if not ports else Zone("public", frozenset(ports), found.interfaces, "default", False, path)


def relay_at(outcome: Connect) -> Relay:
    probe = Dialogue(Protocol.SMTP, "10.0.1.30", 25)
    talk = RelayTalk("10.0.1.30", probe, Transcript(outcome, "10.0.1.30"))
    return Relay(NextHop("[10.0.1.30]:25", "10.0.1.30", 25, True), addresses=("10.0.1.30",), talks=(talk,))


@both_releases
def test_a_server_whose_zone_has_its_ports_is_fine(release: str) -> None:
    firewall = Firewall(Backend.FIREWALLD, nft_rules(release, "firewalld.json"), (public(release),), "public")
    told = judge(checks.inbound, firewall, serving(25, 143), routes(release), SERVER, None, None, None)
    assert {each.status for each in told} == {Status.OK}


@pytest.mark.parametrize(("rules", "status"), [("firewalld.json", Status.WARNING), ("firewalld-drop.json", Status.OK)])
@both_releases
def test_mailboxes_on_loopback_are_meant_where_the_firewall_keeps_clients_out_too(
    release: str, rules: str, status: Status
) -> None:
    firewall = Firewall(Backend.FIREWALLD, nft_rules(release, rules), (public(release),), "public")
    expected = (Port(Owner.DOVECOT, "imap", 143, ("127.0.0.1",), "listen = 127.0.0.1"),)
    inside = Sockets(expected, (Listener("tcp", "127.0.0.1", 143, 0, "dovecot"),), serving().interfaces)
    (told,) = judge(connectivity.listeners, inside, SERVER, None, None, None, firewall, routes(release))
    assert told.status is status


@both_releases
def test_an_interface_in_another_zone_is_one_cause_and_is_put_back(release: str) -> None:
    firewall = Firewall(Backend.FIREWALLD, nft_rules(release, "firewalld-drop.json"), (public(release),), "public")
    told = judge(checks.inbound, firewall, serving(25, 143), routes(release), SERVER, None, None, None)
    roots = [each for each in told if each.explained_by is None]
    assert [each.subject for each in roots] == ["25"]
    fix = roots[0].fixes[0]
    assert fix.commands == (("firewall-cmd", "--zone=public", "--change-interface=eth0"),)
    assert fix.automatic


@both_releases
def test_opening_what_was_never_open_is_not_automatic(release: str) -> None:
    rules = nft_rules(release, "firewalld.json")
    firewall = Firewall(Backend.FIREWALLD, rules, (public(release, 22),), "public")
    told = judge(checks.inbound, firewall, serving(465), routes(release), SERVER, None, None, None)
    assert told[0].status is Status.CRITICAL
    assert not told[0].fixes[0].automatic


def scoped(mynetworks: str) -> list[Verdict]:
    """A host whose rules let port 25 in from 198.51.100.0/24 only (a filtering service), and 993 from everywhere."""
    firewall = Firewall(Backend.UFW, iptables_rules("debian12", "ufw-scoped.iptables-save"))
    mine = Postfix(installed=True, settings={"mynetworks": mynetworks})
    return judge(checks.inbound, firewall, serving(25, 993), routes("debian12"), SERVER, None, mine, None)


def test_a_port_that_is_open_to_a_filtering_service_alone_is_meant_so() -> None:
    told = {each.subject: each for each in scoped("127.0.0.0/8")}
    assert (told["25"].status, told["993"].status) == (Status.NOTICE, Status.OK)
    assert "198.51.100.0/24" in told["25"].title


def test_a_port_that_is_closed_to_the_networks_postfix_trusts_is_a_fault_all_the_same() -> None:
    told = {each.subject: each.status for each in scoped("127.0.0.0/8 10.0.1.0/24")}
    assert told["25"] is Status.CRITICAL


def test_imaps_that_was_forgotten_beside_imap_is_a_warning_and_465_beside_587_none() -> None:
    saved = text("debian13", "storms.iptables-save").replace(",993,995 ", " ")
    firewall = Firewall(Backend.IPTABLES, Ruleset.of(iptables.parse(saved)))
    ports = serving(143, 993, 465, 587)
    told = judge(checks.inbound, firewall, ports, routes("debian13"), SERVER, None, None, None)
    status = {each.subject: each.status for each in told}
    assert (status["993"], status["465"]) == (Status.WARNING, Status.NOTICE)


def test_pop3_that_nobody_opened_beside_imap_is_not_offered() -> None:
    firewall = Firewall(Backend.UFW, iptables_rules("debian12", "ufw-scoped.iptables-save"))
    told = judge(checks.inbound, firewall, serving(25, 993, 110, 995), routes("debian12"), SERVER, None, None, None)
    assert {each.subject: each.status for each in told}["110"] is Status.NOTICE


@both_releases
@pytest.mark.parametrize("port", [4190, 10025])
def test_ports_that_only_this_host_s_own_programs_use_are_no_fault(release: str, port: int) -> None:
    firewall = Firewall(Backend.FIREWALLD, nft_rules(release, "firewalld.json"), (public(release),), "public")
    told = judge(checks.inbound, firewall, serving(port), routes(release), SERVER, None, None, None)
    assert [each.status for each in told] == [Status.NOTICE]


@both_releases
def test_a_port_that_the_next_reload_closes_is_told(release: str) -> None:
    firewall = Firewall(Backend.FIREWALLD, nft_rules(release, "firewalld.json"), (public(release, 143),), "public")
    told = judge(checks.persistent, firewall, serving(25, 143), routes(release), None)
    assert [(each.status, each.subject) for each in told] == [(Status.WARNING, "25")]


@both_releases
def test_a_rule_against_the_relay_is_found_although_root_gets_through(release: str) -> None:
    firewall = Firewall(Backend.NFTABLES, nft_rules(release, "nft-output.json"), account=("postfix", "101", "100"))
    told = judge(
        outbound_checks.outbound, firewall, routes(release), relay_at(Connect.CONNECTED), None, None, None, None
    )
    assert told[0].status is Status.CRITICAL
    assert told[0].subject == "25"
    assert told[0].fixes[0].commands[0][:3] == ("nft", "delete", "rule")
    assert told[0].fixes[0].automatic


@both_releases
def test_ufw_takes_its_own_rule_away(release: str) -> None:
    added = tuple(line for line in text(release, "ufw-deny-added.txt").splitlines() if line.startswith("ufw "))
    firewall = Firewall(Backend.UFW, iptables_rules(release, "ufw-deny.iptables-save"), added=added)
    told = judge(outbound_checks.outbound, firewall, routes(release), relay_at(Connect.TIMEOUT), None, None, None, None)
    assert told[0].fixes[0].commands[0] == ("ufw", "delete", "deny", "out", "25/tcp")
    assert told[0].fixes[0].undo == (("ufw", "reload"),)


def test_a_rule_of_iptables_is_taken_away_and_put_back_at_its_place() -> None:
    firewall = Firewall(Backend.IPTABLES, iptables_rules("debian12", "iptables.iptables-save"))
    told = judge(checks.inbound, firewall, serving(110), routes("debian12"), SERVER, None, None, None)
    fix = told[-1].fixes[0]
    assert fix.commands[0][:3] == ("iptables", "-D", "INPUT")
    assert fix.undo[0][:4] == ("iptables", "-I", "INPUT", "6")


def test_a_host_of_the_own_network_that_a_rule_drops_is_named() -> None:
    firewall = Firewall(Backend.NFTABLES, nft_rules("debian12", "nft-input.json"))
    told = judge(ban_checks.bans, Bans(False), firewall, routes("debian12"), serving(25), None, Settings())
    assert [(each.status, each.subject) for each in told] == [(Status.CRITICAL, "10.0.1.20")]


def test_a_ban_of_a_stranger_is_fail2ban_s_work_and_no_fault() -> None:
    bans = Bans(True, (Ban("sshd", "192.0.2.7"), Ban("postfix-sasl", "10.0.1.21")))
    told = judge(ban_checks.bans, bans, None, routes("debian12"), serving(25), None, Settings())
    assert [(each.status, each.subject) for each in told] == [(Status.CRITICAL, "10.0.1.21")]


def test_a_host_without_rules_is_fine() -> None:
    told = judge(
        checks.inbound,
        Firewall(Backend.NONE, Ruleset.of([])),
        serving(25),
        routes("debian12"),
        SERVER,
        None,
        None,
        None,
    )
    assert [each.status for each in told] == [Status.OK]


@both_releases
def test_the_back_end_is_told_by_its_rules(release: str) -> None:
    assert facts.backend_of(nft_rules(release, "firewalld.json")) is Backend.FIREWALLD
    assert facts.backend_of(iptables_rules(release, "ufw.iptables-save")) is Backend.UFW
    assert facts.backend_of(iptables_rules(release, "iptables.iptables-save")) is Backend.IPTABLES
    assert facts.backend_of(nft_rules("debian12", "nft-input.json")) is Backend.NFTABLES


def identity(privileged: bool) -> Identity:
    return Identity("mail", "Linux", NOW, NOW, privileged)


def test_without_root_the_firewall_is_unknown() -> None:
    gap = gather(facts.firewall, {}, identity=identity(privileged=False))
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.DENIED
    assert gap.remedy == "needs root"


def test_a_host_without_nft_and_iptables_has_no_firewall_to_manage() -> None:
    absent = Gap(GapReason.ABSENT, "not installed")
    answers: dict[Probe[Any], Any] = {
        command("nft", "-j", "list", "ruleset"): absent,
        command("iptables-save"): absent,
    }
    found = gather(facts.firewall, answers, identity=identity(privileged=True))
    assert isinstance(found, Firewall)
    assert found.backend is Backend.NONE


def test_firewalld_is_gathered_with_its_permanent_zone() -> None:
    path = "/etc/firewalld/zones/public.xml"
    answers = {
        command("nft", "-j", "list", "ruleset"): printed(text("debian12", "firewalld.json")),
        command("iptables-save"): printed(),
        command("getent", "passwd", "postfix"): printed("postfix:x:101:103::/var/spool/postfix:/usr/sbin/nologin\n"),
        ReadFile("/etc/firewalld/firewalld.conf"): file("DefaultZone=public\n"),
        ListDirectory("/etc/firewalld/zones"): Directory((info(path),)),
        ReadFile(path): file(text("debian12", "public.xml")),
    }
    found = gather(facts.firewall, answers, identity=identity(privileged=True))
    assert isinstance(found, Firewall)
    assert found.backend is Backend.FIREWALLD
    assert found.active_zone("eth0") == found.permanent_zone("eth0") == "public"
    assert found.zones[0].ports >= {25, 143, 587}
    assert found.account == ("postfix", "101")


def test_bans_are_read_from_what_fail2ban_prints() -> None:
    told = "[{'sshd': ['192.0.2.1', '192.0.2.2']}, {'postfix-sasl': []}]\n"
    assert facts.parse_banned(told) == (Ban("sshd", "192.0.2.1"), Ban("sshd", "192.0.2.2"))


# -- what other programs and hooks do ----------------------------------------------------------------------------------


@both_releases
@pytest.mark.parametrize("target", ["nft-redirect.json", "dnat.iptables-save"])
def test_a_port_that_is_led_elsewhere_is_told_where_to(release: str, target: str) -> None:
    rules = nft_rules(release, target) if target.endswith(".json") else iptables_rules(release, target)
    firewall = Firewall(Backend.NFTABLES if target.endswith(".json") else Backend.IPTABLES, rules)
    (told,) = judge(checks.inbound, firewall, serving(25), routes(release), SERVER, None, None, None)
    where = "port 2525 of this host, where nothing listens" if target.endswith(".json") else "10.0.1.99:25"
    assert told.status is Status.CRITICAL
    assert told.title.endswith(f"elsewhere: to {where}")
    assert told.fixes[0].commands[0][0] == ("nft" if target.endswith(".json") else "iptables")


def test_a_port_that_is_led_to_another_listening_port_is_fine() -> None:
    firewall = Firewall(Backend.NFTABLES, nft_rules("debian12", "nft-redirect.json"))
    sockets = serving(25, 2525)
    told = judge(checks.inbound, firewall, sockets, routes("debian12"), SERVER, None, None, None)
    assert {each.status for each in told} == {Status.OK}


@both_releases
def test_what_is_dropped_before_the_other_hooks_is_found(release: str) -> None:
    firewall = Firewall(Backend.NFTABLES, nft_rules(release, "nft-ingress.json"))
    (told,) = judge(checks.inbound, firewall, serving(25), routes(release), SERVER, None, None, None)
    assert told.status is Status.CRITICAL
    assert "netdev f in" in told.evidence[0].text


def packet_filter(release: str, **answers: str) -> Firewall | Gap:
    """The fact, from what nft, iptables-save and others print there."""
    asked: dict[Probe[Any], Any] = {command("nft", "-j", "list", "ruleset"): printed('{"nftables": []}')}
    for name, told in answers.items():
        argv = {"nft": ("nft", "-j", "list", "ruleset")}.get(name, (name.replace("_", "-"),))
        asked[command(*argv)] = printed(text(release, told))
    beside = printed(stderr=text(release, "iptables-beside-legacy.stderr"))
    asked.setdefault(command("iptables-save"), beside if "iptables_legacy_save" in answers else printed())
    found: Firewall | Gap = gather(facts.firewall, asked, identity=None)
    return found


@both_releases
def test_rules_of_the_older_kernel_interface_are_seen_and_taken_away(release: str) -> None:
    firewall = packet_filter(release, iptables_legacy_save="iptables-legacy.iptables-save")
    assert isinstance(firewall, Firewall)
    told = judge(checks.inbound, firewall, serving(25), routes(release), SERVER, None, None, None)[-1]
    assert told.evidence[0].source == "iptables-legacy-save"
    assert told.fixes[0].commands[0][:2] == ("iptables-legacy", "-D")


@both_releases
def test_ipv6_rules_that_nft_cannot_spell_are_read_from_ip6tables(release: str) -> None:
    firewall = packet_filter(release, nft="ip6tables-nft.json", ip6tables_save="ip6tables.ip6tables-save")
    assert isinstance(firewall, Firewall)
    link = Link("eth0", True, 1500, ("10.0.1.10/24", "fd00:1::10/64"))
    sockets = Sockets(
        serving(25, 143).expected,
        tuple(Listener("tcp", "::", number, 0, "") for number in (25, 143)),
        (Interface("eth0", True, ("10.0.1.10", "fd00:1::10"), 1500),),
    )
    own = OwnName("", "mail.example.test", (), A, (), AAAA)
    (told,) = judge(ipv6_checks.ipv6, firewall, sockets, Routes((), (link,)), own)
    assert told.status is Status.WARNING
    assert told.data["ports"] == [25]
    assert told.evidence[0].source == "ip6tables-save"
    assert told.fixes[0].commands[0][:2] == ("ip6tables", "-D")


def test_an_ipv6_address_that_the_dns_does_not_tell_is_nobody_s_way_in() -> None:
    firewall = Firewall(Backend.NFTABLES, Ruleset.of(()))
    own = OwnName("", "mail.example.test", (), A, (), DnsAnswer(DnsStatus.NO_DATA, ()))
    (told,) = judge(ipv6_checks.ipv6, firewall, serving(25), Routes((), ()), own)
    assert told.status is Status.SKIPPED
    own = OwnName("", "mail.example.test", (), A, (), Gap(GapReason.TIMEOUT, "no answer"))
    (told,) = judge(ipv6_checks.ipv6, firewall, serving(25), Routes((), ()), own)
    assert told.status is Status.UNKNOWN


@both_releases
def test_a_part_of_the_own_networks_that_a_rule_shuts_out_is_told(release: str) -> None:
    firewall = Firewall(Backend.NFTABLES, nft_rules(release, "nft-set-of-networks.json"))
    postfix = Postfix(True, "3.7", {"mynetworks": "127.0.0.0/8 10.0.1.0/24"})
    (told,) = judge(ban_checks.bans, Bans(running=False), firewall, routes(release), serving(25), postfix, Settings())
    assert told.status is Status.CRITICAL
    assert told.subject == "10.0.1.16/28"


def own_port_25(outcome: Connect) -> OwnDialogues:
    port = serving(25).expected[0]
    probe = Dialogue(Protocol.SMTP, "127.0.0.1", 25)
    return OwnDialogues((Talk(port, "127.0.0.1", probe, Transcript(outcome, "127.0.0.1"), True),))


@both_releases
def test_a_rule_that_cannot_be_decided_is_blamed_where_this_host_s_own_connection_is_stopped_too(release: str) -> None:
    firewall = Firewall(Backend.IPTABLES, iptables_rules(release, "mark.iptables-save"))
    facts_of = (firewall, serving(25), routes(release), SERVER, None, None)
    (told,) = judge(checks.inbound, *facts_of, own_port_25(Connect.REFUSED))
    assert told.status is Status.CRITICAL
    assert "--mark 0x9" in told.evidence[0].text
    (told,) = judge(checks.inbound, *facts_of, own_port_25(Connect.CONNECTED))
    assert told.status is Status.UNKNOWN


@both_releases
def test_answers_to_clients_that_are_dropped_on_their_way_out_are_told(release: str) -> None:
    firewall = Firewall(Backend.NFTABLES, nft_rules(release, "nft-answers.json"))
    told = judge(checks.inbound, firewall, serving(25), routes(release), SERVER, None, None, None)
    bad = [each for each in told if each.status is Status.CRITICAL]
    assert [each.subject for each in bad] == ["replies"]
