"""Packets sent through rule sets that real hosts had."""

from __future__ import annotations

import json

import pytest

from maildiag.facts.firewall import read_rules
from maildiag.firewall import iptables, nft
from maildiag.firewall.rules import Outcome, Packet, Ruleset
from maildiag.model import Missing
from maildiag.testing import printed
from tests.network.recorded import RELEASES, iptables_rules, nft_rules, text

both_releases = pytest.mark.parametrize("release", RELEASES)


def from_lan(port: int, source: str = "10.0.1.77") -> Packet:
    return Packet(source, "10.0.1.10", port, into="eth0")


@both_releases
@pytest.mark.parametrize("port", [25, 110, 143, 587, 993, 995])
def test_firewalld_lets_in_what_its_zone_has(release: str, port: int) -> None:
    assert nft_rules(release, "firewalld.json").judge(from_lan(port)).outcome is Outcome.ACCEPT


@both_releases
def test_firewalld_rejects_what_its_zone_has_not(release: str) -> None:
    judged = nft_rules(release, "firewalld.json").judge(from_lan(80))
    assert judged.outcome is Outcome.REJECT
    assert "reject with icmpx admin-prohibited" in judged.hits[0].text
    assert not judged.explicit


@both_releases
def test_the_zone_drop_drops(release: str) -> None:
    assert nft_rules(release, "firewalld-drop.json").judge(from_lan(25)).outcome is Outcome.DROP


@both_releases
def test_answers_and_loopback_pass_firewalld(release: str) -> None:
    rules = nft_rules(release, "firewalld.json")
    answer = Packet("10.0.1.77", "10.0.1.10", 40000, 25, state="established", into="eth0")
    assert rules.judge(answer).outcome is Outcome.ACCEPT
    assert rules.judge(Packet("127.0.0.1", "127.0.0.1", 25, into="lo")).outcome is Outcome.ACCEPT


@both_releases
def test_a_rule_for_one_account_stops_only_that_account(release: str) -> None:
    rules = nft_rules(release, "nft-output.json")
    packet = Packet("10.0.1.20", "10.0.1.10", 25, out="eth0", user=("postfix", "100", "101"))
    assert rules.judge(packet).blocked
    assert not rules.judge(Packet("10.0.1.20", "10.0.1.10", 25, out="eth0", user=("root", "0"))).blocked


@both_releases
def test_a_rule_for_udp_leaves_tcp_alone(release: str) -> None:
    rules = nft_rules(release, "nft-output.json")
    assert rules.judge(Packet("10.0.1.20", "10.0.1.53", 53, protocol="udp", out="eth0", user=("root", "0"))).blocked
    assert not rules.judge(Packet("10.0.1.20", "10.0.1.53", 53, out="eth0", user=("root", "0"))).blocked


def written_by_hand() -> Ruleset:
    return nft_rules("debian12", "nft-input.json")


@pytest.mark.parametrize(
    ("port", "source", "outcome"),
    [
        (25, "10.0.1.77", Outcome.ACCEPT),  # in the named set @mail
        (25, "10.0.1.20", Outcome.DROP),  # a rule for one host before it
        (110, "10.0.1.77", Outcome.DROP),  # a verdict map
        (995, "10.0.1.77", Outcome.ACCEPT),
        (80, "10.0.1.77", Outcome.DROP),  # the policy
        (587, "10.0.1.77", Outcome.ACCEPT),  # a rate that a calm client never reaches
    ],
)
def test_sets_maps_and_rates_are_read(port: int, source: str, outcome: Outcome) -> None:
    assert written_by_hand().judge(from_lan(port, source)).outcome is outcome


@pytest.mark.parametrize(
    ("port", "outcome"), [(25, Outcome.ACCEPT), (587, Outcome.ACCEPT), (993, Outcome.ACCEPT), (4190, Outcome.REJECT)]
)
def test_rules_against_storms_and_odd_flags_do_not_concern_a_calm_client(port: int, outcome: Outcome) -> None:
    rules = iptables_rules("debian13", "storms.iptables-save")
    assert rules.judge(from_lan(port)).outcome is outcome
    answer = Packet("10.0.1.77", "10.0.1.10", 40000, 25, state="established", into="eth0")
    assert rules.judge(answer).outcome is Outcome.ACCEPT


def test_a_connection_state_map_lets_answers_in() -> None:
    answer = Packet("10.0.1.77", "10.0.1.10", 40000, 25, state="established", into="eth0")
    assert written_by_hand().judge(answer).outcome is Outcome.ACCEPT


@both_releases
def test_ufw_drops_what_it_does_not_allow_and_lets_out_everything(release: str) -> None:
    rules = iptables_rules(release, "ufw.iptables-save")
    assert rules.judge(from_lan(25)).outcome is Outcome.DROP
    assert rules.judge(from_lan(22)).outcome is Outcome.ACCEPT
    assert rules.judge(Packet("10.0.1.21", "10.0.1.10", 25, out="eth0")).outcome is Outcome.ACCEPT


@both_releases
def test_ufw_denies_what_it_was_told_to_deny(release: str) -> None:
    rules = iptables_rules(release, "ufw-deny.iptables-save")
    judged = rules.judge(Packet("10.0.1.21", "10.0.1.10", 25, out="eth0"))
    assert judged.outcome is Outcome.DROP
    assert judged.explicit
    assert "ufw-user-output" in judged.hits[0].text


@both_releases
def test_nft_alone_cannot_tell_what_iptables_extensions_do(release: str) -> None:
    chains, foreign = nft.parse(text(release, "ufw.json"))
    assert ("ip", "filter") in foreign
    assert Ruleset.of(chains).judge(from_lan(25)).outcome is not Outcome.ACCEPT


@both_releases
@pytest.mark.parametrize(
    ("port", "source", "outcome"),
    [
        (25, "10.0.1.77", Outcome.ACCEPT),  # -m multiport
        (587, "10.0.1.77", Outcome.ACCEPT),
        (143, "10.0.1.77", Outcome.DROP),  # ! -s 10.0.1.0/24 does not match; then the policy
        (110, "10.0.1.77", Outcome.REJECT),
    ],
)
def test_iptables_rules_are_read(release: str, port: int, source: str, outcome: Outcome) -> None:
    assert iptables_rules(release, "iptables.iptables-save").judge(from_lan(port, source)).outcome is outcome


def test_an_empty_rule_set_accepts_everything() -> None:
    assert Ruleset.of([]).judge(from_lan(25)).outcome is Outcome.ACCEPT
    assert not Ruleset.of([]).filters


@pytest.mark.parametrize("broken", ["{", "[]", '{"nftables": [{"rule": {}}]}'])
def test_text_that_is_no_ruleset_is_an_error_and_never_a_verdict(broken: str) -> None:
    with pytest.raises((ValueError, KeyError, AttributeError)):
        nft.parse(broken)


LIMITS = [
    ("-p tcp --dport 25 -m connlimit --connlimit-above 0 -j REJECT", Outcome.REJECT),
    ("-p tcp --dport 25 -m connlimit --connlimit-above 10 -j REJECT", Outcome.ACCEPT),
    (
        "-p tcp --dport 25 -m hashlimit --hashlimit-above 1/day --hashlimit-burst 1 --hashlimit-name x -j DROP",
        Outcome.UNKNOWN,
    ),
    ("-p tcp --dport 25 -m hashlimit --hashlimit-above 20/min --hashlimit-name x -j DROP", Outcome.ACCEPT),
    ("-p tcp --dport 25 -m limit --limit 100/sec -j ACCEPT", Outcome.ACCEPT),
    ("-p tcp --dport 25 -m limit --limit 1/hour -j DROP", Outcome.UNKNOWN),
]


@pytest.mark.parametrize(("rule", "outcome"), LIMITS)
def test_a_limit_that_no_client_stays_below_is_no_limit_on_storms(rule: str, outcome: Outcome) -> None:
    saved = f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {rule}\nCOMMIT\n"
    assert Ruleset.of(iptables.parse(saved)).judge(from_lan(25)).outcome is outcome


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ("-p tcp --sport 25 --tcp-flags SYN,ACK SYN,ACK -j DROP", Outcome.DROP),
        ("-p tcp --sport 25 --tcp-flags SYN,ACK ACK -j DROP", Outcome.DROP),
        ("-p tcp --tcp-flags SYN,ACK SYN,ACK -m state --state NEW -j DROP", Outcome.ACCEPT),
        ("-p tcp --tcp-flags ACK,FIN FIN -j DROP", Outcome.ACCEPT),
        ("-p tcp --tcp-flags ALL SYN,RST,ACK,FIN,URG -j DROP", Outcome.ACCEPT),
        ("-p tcp --tcp-flags SYN,RST SYN,RST -j DROP", Outcome.ACCEPT),
    ],
)
def test_answers_are_known_by_their_flags(rule: str, outcome: Outcome) -> None:
    saved = f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {rule}\nCOMMIT\n"
    answer = Packet("10.0.1.77", "10.0.1.10", 40000, 25, state="established", into="eth0")
    assert Ruleset.of(iptables.parse(saved)).judge(answer).outcome is outcome
    assert Ruleset.of(iptables.parse(saved)).judge(from_lan(25)).outcome is Outcome.ACCEPT


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        ({"ct count": {"val": 0, "inv": True}}, Outcome.DROP),
        ({"ct count": {"val": 20, "inv": True}}, Outcome.ACCEPT),
        ({"limit": {"rate": 1, "burst": 1, "per": "day", "inv": True}}, Outcome.UNKNOWN),
        ({"limit": {"rate": 10, "burst": 5, "per": "second", "inv": True}}, Outcome.ACCEPT),
    ],
)
def test_the_same_in_nftables(statement: dict[str, object], outcome: Outcome) -> None:
    place = {"family": "inet", "table": "g"}
    chain = {"chain": {**place, "name": "i", "hook": "input", "prio": -5, "policy": "accept"}}
    rule = {"rule": {**place, "chain": "i", "handle": 2, "expr": [statement, {"drop": None}]}}
    chains, _ = nft.parse(json.dumps({"nftables": [chain, rule]}))
    assert Ruleset.of(chains).judge(from_lan(25)).outcome is outcome


def test_an_nft_that_prints_nothing_is_not_believed_to_have_no_rules() -> None:
    with pytest.raises(Missing):
        read_rules(printed(""), printed(""))
    drops = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 25 -j DROP\nCOMMIT\n"
    rules = read_rules(printed(""), printed(drops))
    assert rules.judge(from_lan(25)).outcome is Outcome.DROP
    assert rules.judge(from_lan(143)).outcome is Outcome.UNKNOWN


def test_what_is_not_tracked_is_no_new_connection() -> None:
    rules = nft_rules("debian12", "nft-notrack.json")
    assert rules.judge(from_lan(25)).outcome is Outcome.DROP
    assert rules.judge(from_lan(587)).outcome is Outcome.ACCEPT
    table = "*{}\n:{} {} [0:0]\n{}\nCOMMIT\n"
    raw = table.format("raw", "PREROUTING", "ACCEPT", "-A PREROUTING -p tcp -m tcp --dport 25 -j CT --notrack")
    for states, outcome in (("NEW,ESTABLISHED", Outcome.DROP), ("NEW,UNTRACKED", Outcome.ACCEPT)):
        own = table.format("filter", "INPUT", "DROP", f"-A INPUT -m conntrack --ctstate {states} -j ACCEPT")
        assert Ruleset.of(iptables.parse(raw + own)).judge(from_lan(25)).outcome is outcome
        assert Ruleset.of(iptables.parse(own + raw)).judge(from_lan(143)).outcome is Outcome.ACCEPT


# Recorded on Debian 12 (iptables 1.8.9) and 13 (1.8.11), each beside a table of that name that was made with nft.
INCOMPATIBLE = """# Table `{0}' contains incompatible base-chains, use 'nft' tool to list them.
# Generated by iptables-save v1.8.11 (nf_tables) on Sat Nov 28 01:13:26 2026
*{0}
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
# Completed on Sat Nov 28 01:13:26 2026
"""
NAT = (
    '{"nftables": [{"metainfo": {"version": "1.1.3", "release_name": "Commodore Bullmoose #4", "json_schema_version": 1}}, '
    '{"table": {"family": "ip", "name": "nat", "handle": 1}}, {"chain": {"family": "ip", "table": "nat", "name": "out", '
    '"handle": 1, "type": "nat", "hook": "output", "prio": -100, "policy": "accept"}}, {"rule": {"family": "ip", "table": "nat", '
    '"chain": "out", "handle": 2, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, '
    '"right": 25}}, {"redirect": {"port": 2525}}]}}]}'
)


def test_a_table_made_with_nft_is_seen_under_a_name_that_iptables_uses_too() -> None:
    rules = read_rules(printed(NAT), printed(INCOMPATIBLE.format("nat")))
    assert [rule.text for chain in rules.chains for rule in chain.rules] == ["tcp dport 25 redirect to :2525"]
    assert rules.filters
