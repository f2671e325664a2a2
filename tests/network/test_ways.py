"""The kernel's own way to the relay: routes, policy rules and neighbours, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from maildiag.facts.postfix import Postfix
from maildiag.facts.relay import NextHop, Relay, RelayTalk
from maildiag.facts.routes import Link, Route, Routes
from maildiag.facts.ways import Way, Ways, parse_neighbour, parse_rules, parse_way, route_get, ways
from maildiag.model import Status, Verdict
from maildiag.probes import Connect, Dialogue, Exchange, Probe, Protocol, Transcript, command
from maildiag.testing import gather, judge, printed
from maildiag_checks import outbound
from maildiag_checks import relayhost as relayhost_checks
from maildiag_checks import routes as checks
from tests.network.recorded import RELEASES, text

both_releases = pytest.mark.parametrize("release", RELEASES)
LO = Link("lo", True, 65536, ("127.0.0.1/8", "::1/128"), True)
ETH0 = Link("eth0", True, 1500, ("10.0.1.20/24", "fd00:1::20/64"))
TABLE = Routes((Route("10.0.1.0/24", "", "eth0", "unicast"),), (LO, ETH0))


def relay(address: str, outcome: Connect = Connect.TIMEOUT) -> Relay:
    talk = RelayTalk(address, Dialogue(Protocol.SMTP, address, 25), Transcript(outcome, address))
    return Relay(NextHop(f"[{address}]:25", address, 25, True), addresses=(address,), talks=(talk,))


def failing(found: Ways, address: str, outcome: Connect = Connect.TIMEOUT) -> list[Verdict]:
    told = judge(checks.route, TABLE, None, relay(address, outcome), found)
    return [each for each in told if each.status.failing]


@both_releases
def test_policy_rules_are_read_without_the_kernel_s_own(release: str) -> None:
    found = parse_rules(printed(text(release, "ip-rule.json")))
    assert [str(each) for each in found] == [
        "32762: from all to 192.0.2.0/24 prohibit",
        "32763: from all to 10.0.1.11 ipproto tcp dport 25 blackhole",
        "32764: from 10.0.1.20 fwmark 0x7 lookup 100",
        "32765: from all to 10.0.1.10 prohibit",
    ]


@both_releases
def test_a_rule_that_forbids_the_relay_is_the_cause_and_is_taken_away(release: str) -> None:
    rules = parse_rules(printed(text(release, "ip-rule.json")))
    way = parse_way("10.0.1.10", printed(stderr=text(release, "ip-route-get-prohibited.stderr"), status=2))
    assert way == Way("10.0.1.10", error="Permission denied")
    (told,) = failing(Ways((way,), tuple(rules)), "10.0.1.10", Connect.DENIED)
    assert "32765: from all to 10.0.1.10 prohibit" in told.title
    assert told.fixes[0].commands[0] == (
        *("ip", "-4", "rule", "del", "from", "all", "to", "10.0.1.10", "pref", "32765", "prohibit"),
    )
    assert told.fixes[0].automatic


def test_a_rule_against_a_whole_network_is_not_taken_away_unasked() -> None:
    rules = parse_rules(printed(text("debian12", "ip-rule.json")))
    way = Way("192.0.2.9", error="Permission denied")
    table = Routes((*TABLE.routes, Route("default", "10.0.1.1", "eth0", "unicast")), TABLE.links)
    told = judge(checks.route, table, None, relay("192.0.2.9"), Ways((way,), tuple(rules)))
    bad = next(each for each in told if each.status is Status.CRITICAL)
    assert "192.0.2.0/24 prohibit" in bad.title
    assert not bad.fixes[0].automatic


@both_releases
def test_the_ways_are_asked_with_port_and_neighbour(release: str) -> None:
    answers: dict[Probe[Any], Any] = {
        route_get("10.0.1.12", 25): printed(text(release, "ip-route-get-gateway.json")),
        command("ip", "-j", "-4", "rule"): printed(text(release, "ip-rule.json")),
        command("ip", "-j", "neigh", "show", "10.0.1.77", "dev", "eth0"): printed(
            text(release, "ip-neigh-failed.json")
        ),
    }
    found = gather(ways, answers, relay=relay("10.0.1.12"))
    assert isinstance(found, Ways)
    way = found.to("10.0.1.12")
    assert way is not None
    assert (way.gateway, way.source) == ("10.0.1.77", "10.0.1.20")
    assert way.neighbour is not None
    assert way.neighbour.silent
    (told,) = failing(found, "10.0.1.12", Connect.NO_ROUTE)
    assert "gateway 10.0.1.77" in told.title


@both_releases
def test_a_fixed_neighbour_is_suspected_only_where_the_relay_is_not_reached(release: str) -> None:
    met = parse_neighbour(printed(text(release, "ip-neigh-permanent.json")), "eth0")
    found = Ways((Way("10.0.1.10", "", "eth0", "10.0.1.20", "main", "", met),))
    (told,) = failing(found, "10.0.1.10")
    assert told.fixes[0].commands[0] == ("ip", "neigh", "del", "10.0.1.10", "dev", "eth0")
    assert failing(found, "10.0.1.10", Connect.CONNECTED) == []


def test_no_neighbour_known_is_no_fault() -> None:
    met = parse_neighbour(printed(text("debian12", "ip-neigh-none.json")), "eth0")
    assert met is None
    assert failing(Ways((Way("10.0.1.10", "", "eth0", "10.0.1.20"),)), "10.0.1.10") == []


def test_a_source_outside_the_relay_s_network_is_told() -> None:
    (told,) = failing(Ways((Way("10.0.1.10", "", "eth0", "10.9.9.9"),)), "10.0.1.10")
    assert "leave with the address 10.9.9.9" in told.title


def test_an_ipv6_relay_without_a_route_is_told() -> None:
    found = Ways((Way("fd00:2::10", error="Network is unreachable"),))
    (told,) = failing(found, "fd00:2::10", Connect.UNREACHABLE)
    assert told.title == "This host has no way to the relay fd00:2::10: Network is unreachable"


def test_no_ipv6_is_no_fault_where_the_relay_answers_over_ipv4() -> None:
    found = Ways((Way("10.0.1.10", "", "eth0", "10.0.1.20"), Way("2001:db8::10", error="Network is unreachable")))
    said = (Exchange("banner", "", "220 mail ESMTP", "220", 0.01), Exchange("ehlo", "EHLO x", "250 mail", "250", 0.01))
    answered = Transcript(Connect.CONNECTED, "10.0.1.10", said)
    over4 = replace(relay("10.0.1.10").talks[0], transcript=answered)
    both = replace(
        relay("10.0.1.10"),
        addresses=("10.0.1.10", "2001:db8::10"),
        talks=(over4, *relay("2001:db8::10", Connect.UNREACHABLE).talks),
    )
    assert [each for each in judge(checks.route, TABLE, None, both, found) if each.status.failing] == []
    (told,) = judge(relayhost_checks.relayhost, both, Postfix(True, "3.7", {}), None)
    assert told.status is Status.NOTICE


@pytest.mark.parametrize(
    ("mtu", "status"),
    [
        (1500, Status.OK),
        (1400, Status.OK),
        (1280, Status.OK),
        (1200, Status.WARNING),
        (100, Status.CRITICAL),
        (0, Status.OK),
    ],
)
def test_an_mtu_below_what_every_host_takes_stops_the_dns_too(mtu: int, status: Status) -> None:
    (told,) = judge(outbound.mtu, Routes((), (LO, replace(ETH0, mtu=mtu))), None)
    assert told.status is status
    if status is not Status.OK:
        assert told.subject == "eth0"
        assert told.fixes[0].undo == (("ip", "link", "set", "dev", "eth0", "mtu", str(mtu)),)
