"""What the firewall checks say of hosts with such rules."""

from __future__ import annotations

from typing import Any

import pytest

from maildiag.facts import firewall as facts
from maildiag.facts.firewall import Backend, Ban, Bans, Firewall, Zone
from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import NextHop, Relay, RelayTalk
from maildiag.facts.routes import Routes, parse_links, parse_routes
from maildiag.facts.sockets import Owner, Port, Sockets
from maildiag.firewall.rules import Ruleset
from maildiag.model import Gap, GapReason, HostRole, Role, Status, Verdict
from maildiag.probes import (
    Connect,
    Dialogue,
    Directory,
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
from maildiag_checks import firewall as checks
from tests.network.recorded import RELEASES, iptables_rules, nft_rules, text

SERVER = HostRole(Role.MAIL_SERVER, "test")
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
    told = judge(checks.inbound, firewall, serving(25, 143), routes(release), SERVER, None, None)
    assert {each.status for each in told} == {Status.OK}


@both_releases
def test_an_interface_in_another_zone_is_one_cause_and_is_put_back(release: str) -> None:
    firewall = Firewall(Backend.FIREWALLD, nft_rules(release, "firewalld-drop.json"), (public(release),), "public")
    told = judge(checks.inbound, firewall, serving(25, 143), routes(release), SERVER, None, None)
    roots = [each for each in told if each.explained_by is None]
    assert [each.subject for each in roots] == ["25"]
    fix = roots[0].fixes[0]
    assert fix.commands == (("firewall-cmd", "--zone=public", "--change-interface=eth0"),)
    assert fix.automatic


@both_releases
def test_opening_what_was_never_open_is_not_automatic(release: str) -> None:
    rules = nft_rules(release, "firewalld.json")
    firewall = Firewall(Backend.FIREWALLD, rules, (public(release, 22),), "public")
    told = judge(checks.inbound, firewall, serving(465), routes(release), SERVER, None, None)
    assert told[0].status is Status.CRITICAL
    assert not told[0].fixes[0].automatic


def scoped(mynetworks: str) -> list[Verdict]:
    """A host whose rules let port 25 in from 198.51.100.0/24 only (a filtering service), and 993 from everywhere."""
    firewall = Firewall(Backend.UFW, iptables_rules("debian12", "ufw-scoped.iptables-save"))
    mine = Postfix(installed=True, settings={"mynetworks": mynetworks})
    return judge(checks.inbound, firewall, serving(25, 993), routes("debian12"), SERVER, None, mine)


def test_a_port_that_is_open_to_a_filtering_service_alone_is_meant_so() -> None:
    told = {each.subject: each for each in scoped("127.0.0.0/8")}
    assert (told["25"].status, told["993"].status) == (Status.NOTICE, Status.OK)
    assert "198.51.100.0/24" in told["25"].title


def test_a_port_that_is_closed_to_the_networks_postfix_trusts_is_a_fault_all_the_same() -> None:
    told = {each.subject: each.status for each in scoped("127.0.0.0/8 10.0.1.0/24")}
    assert told["25"] is Status.CRITICAL


@both_releases
def test_manage_sieve_that_only_the_webmail_uses_is_no_fault(release: str) -> None:
    firewall = Firewall(Backend.FIREWALLD, nft_rules(release, "firewalld.json"), (public(release),), "public")
    told = judge(checks.inbound, firewall, serving(4190), routes(release), SERVER, None, None)
    assert [each.status for each in told] == [Status.NOTICE]


@both_releases
def test_a_port_that_the_next_reload_closes_is_told(release: str) -> None:
    firewall = Firewall(Backend.FIREWALLD, nft_rules(release, "firewalld.json"), (public(release, 143),), "public")
    told = judge(checks.persistent, firewall, serving(25, 143), routes(release), None)
    assert [(each.status, each.subject) for each in told] == [(Status.WARNING, "25")]


@both_releases
def test_a_rule_against_the_relay_is_found_although_root_gets_through(release: str) -> None:
    firewall = Firewall(Backend.NFTABLES, nft_rules(release, "nft-output.json"), account=("postfix", "101", "100"))
    told = judge(checks.outbound, firewall, routes(release), relay_at(Connect.CONNECTED), None, None, None)
    assert told[0].status is Status.CRITICAL
    assert told[0].subject == "25"
    assert told[0].fixes[0].commands[0][:3] == ("nft", "delete", "rule")
    assert told[0].fixes[0].automatic


@both_releases
def test_ufw_takes_its_own_rule_away(release: str) -> None:
    added = tuple(line for line in text(release, "ufw-deny-added.txt").splitlines() if line.startswith("ufw "))
    firewall = Firewall(Backend.UFW, iptables_rules(release, "ufw-deny.iptables-save"), added=added)
    told = judge(checks.outbound, firewall, routes(release), relay_at(Connect.TIMEOUT), None, None, None)
    assert told[0].fixes[0].commands[0] == ("ufw", "delete", "deny", "out", "25/tcp")
    assert told[0].fixes[0].undo == (("ufw", "prepend", "deny", "out", "25/tcp"),)


def test_a_rule_of_iptables_is_taken_away_and_put_back_at_its_place() -> None:
    firewall = Firewall(Backend.IPTABLES, iptables_rules("debian12", "iptables.iptables-save"))
    told = judge(checks.inbound, firewall, serving(110), routes("debian12"), SERVER, None, None)
    fix = told[-1].fixes[0]
    assert fix.commands[0][:3] == ("iptables", "-D", "INPUT")
    assert fix.undo[0][:4] == ("iptables", "-I", "INPUT", "6")


def test_a_host_of_the_own_network_that_a_rule_drops_is_named() -> None:
    firewall = Firewall(Backend.NFTABLES, nft_rules("debian12", "nft-input.json"))
    told = judge(checks.bans, Bans(False), firewall, routes("debian12"), serving(25), None, Settings())
    assert [(each.status, each.subject) for each in told] == [(Status.CRITICAL, "10.0.1.20")]


def test_a_ban_of_a_stranger_is_fail2ban_s_work_and_no_fault() -> None:
    bans = Bans(True, (Ban("sshd", "192.0.2.7"), Ban("postfix-sasl", "10.0.1.21")))
    told = judge(checks.bans, bans, None, routes("debian12"), serving(25), None, Settings())
    assert [(each.status, each.subject) for each in told] == [(Status.CRITICAL, "10.0.1.21")]


def test_a_host_without_rules_is_fine() -> None:
    told = judge(
        checks.inbound, Firewall(Backend.NONE, Ruleset.of([])), serving(25), routes("debian12"), SERVER, None, None
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
