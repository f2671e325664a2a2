"""Reads `iptables-save`: iptables(8), iptables-extensions(8)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from maildiag.firewall.rules import NEVER, Chain, Do, Field, Rule, Test, flags_test
from maildiag.firewall.values import UNKNOWN, spares_the_calm

_HOOKS = {"PREROUTING": "prerouting", "INPUT": "input", "OUTPUT": "output", "POSTROUTING": "postrouting"}
_PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_TARGETS = {"ACCEPT": Do.ACCEPT, "DROP": Do.DROP, "REJECT": Do.REJECT, "RETURN": Do.RETURN}
_DIVERTS = {"DNAT": "--to-destination", "REDIRECT": "--to-ports"}
_REWRITES = ("TPROXY", "NFQUEUE")
_SILENT = ("LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "CT", "NOTRACK", "MASQUERADE", "SNAT", "CHECKSUM", "AUDIT")
_OPTIONS = {
    "-s": Field.SOURCE,
    "--source": Field.SOURCE,
    "-d": Field.DESTINATION,
    "--destination": Field.DESTINATION,
    "-p": Field.PROTOCOL,
    "-i": Field.IN,
    "-o": Field.OUT,
    "--dport": Field.PORT,
    "--dports": Field.PORT,
    "--sport": Field.SOURCE_PORT,
    "--sports": Field.SOURCE_PORT,
    "--ctstate": Field.STATE,
    "--state": Field.STATE,
    "--ctstatus": Field.STATUS,
    "--uid-owner": Field.USER,
    "--dst-type": Field.KIND,
    "--src-range": Field.SOURCE,
    "--dst-range": Field.DESTINATION,
}
_HARMLESS = (
    "-m", "--comment", "-c", "--log-prefix", "--log-level", "--reject-with", "--set-xmark", "--limit-burst",
    "--hashlimit-burst", "--hashlimit-mode", "--hashlimit-name", "--hashlimit-srcmask", "--hashlimit-htable-expire",
    "--connlimit-mask", "--seconds", "--name", "--mask",
)  # fmt: skip
_BARE = ("--log-tcp-options", "--log-ip-options", "--log-uid", "--set", "--rsource", "--rdest", "--connlimit-saddr")
# Whether the condition holds for one client that connects now and then: limits are for those that storm.
_CALM = {
    "--limit": True,
    "--hashlimit-upto": True,
    "--connlimit-upto": True,
    "--hashlimit-above": False,
    "--connlimit-above": False,
    "--hitcount": False,
}


def parse(text: str, program: str = "iptables") -> list[Chain]:
    """The chains that `PROGRAM-save` prints; what is not understood of a rule makes it undecidable, never wrong.

    Raises ValueError for text that it never prints.
    """
    chains: list[Chain] = []
    table, heads, rules = "", dict[str, str](), dict[str, list[Rule]]()
    for line in text.splitlines():
        if line.startswith("*"):
            table, heads, rules = line[1:].strip(), {}, {}
        elif line.startswith(":"):
            name, policy, *_ = line[1:].split()
            heads[name] = policy
        elif line.startswith(("-A ", "[")):
            _add(line, rules)
        elif line.strip() == "COMMIT":
            chains += [_chain(program, table, name, policy, rules.get(name, [])) for name, policy in heads.items()]
        elif line.strip() and not line.startswith("#"):
            raise ValueError(f"it printed {line[:80]!r}")
    return chains


def _add(line: str, rules: dict[str, list[Rule]]) -> None:
    try:
        words = shlex.split(line)
    except ValueError:
        return
    if words[0].startswith("["):
        words = words[1:]
    place = rules.setdefault(words[1], [])
    place.append(_rule(words[2:], line[line.index("-A ") :], len(place)))


def _chain(program: str, table: str, name: str, policy: str, rules: list[Rule]) -> Chain:
    return Chain(
        program,
        "ip6" if program.startswith("ip6") else "ip",
        table,
        name,
        tuple(rules),
        _HOOKS.get(name, "") if policy != "-" else "",
        _PRIORITIES.get(table, 0),
        Do.DROP if policy == "DROP" else Do.ACCEPT,
    )


def _rule(words: list[str], text: str, index: int) -> Rule:
    tests = list(_tests(words))
    do, target = _action(words)
    untracks = "NOTRACK" in words or "--notrack" in words
    return Rule(tuple(tests), do, target, text, 0, index, untracks=untracks)


def _tests(words: list[str]) -> Iterator[Test]:
    negated, place = False, 0
    while place < len(words):
        word = words[place]
        if word in ("-j", "-g"):
            place += 2
            if place < len(words) and words[place - 1] not in _TARGETS:
                return
            continue
        if word == "!":
            negated, place = True, place + 1
            continue
        if word in _OPTIONS:
            yield Test(_OPTIONS[word], tuple(_values(_OPTIONS[word], words[place + 1])), negated)
            place += 2
        elif word == "--tcp-flags":
            yield flags_test(words[place + 1].split(","), words[place + 2].split(","), negated)
            place += 3
        elif word in _CALM:
            yield from _limited(word, words[place + 1], negated)
            place += 2
        elif word in _HARMLESS:
            place += 2
        elif word in _BARE or (word in ("--update", "--rcheck") and "--hitcount" in words):
            place += 1
        else:
            yield Test(Field.OTHER)
            place += 2 if place + 1 < len(words) and not words[place + 1].startswith(("-", "!")) else 1
        negated = False


def _limited(option: str, value: str, negated: bool) -> Iterator[Test]:
    """A condition on how often, or how many at once; one that no client stays below is not decidable from here."""
    holds = _CALM[option] is not negated
    if option.startswith("--connlimit") and value == "0":
        holds = not holds  # the first connection of a client is over none
    rate = re.fullmatch(r"(\d+)/([a-z]+)", value)
    if (rate and not spares_the_calm(int(rate[1]), rate[2])) or (option == "--hitcount" and value in ("0", "1")):
        yield Test(Field.OTHER)
    elif not holds:
        yield NEVER


def _values(field: Field, text: str) -> Iterator[str]:
    for each in text.split(","):
        match field:
            case Field.STATE | Field.KIND:
                yield each.lower()
            case Field.PROTOCOL if each == "all":
                yield "*"
            case _:
                yield each or UNKNOWN


def _action(words: list[str]) -> tuple[Do, str]:
    for option in ("-j", "-g"):
        if option in words and words.index(option) + 1 < len(words):
            target = words[words.index(option) + 1]
            if target in _TARGETS:
                return _TARGETS[target], ""
            if target in _DIVERTS:
                return Do.DIVERT, _elsewhere(words, _DIVERTS[target])
            if target in _REWRITES:
                return Do.REWRITE, ""
            if target in _SILENT:
                return Do.NOTHING, ""
            return (Do.GOTO if option == "-g" else Do.JUMP), target
    return Do.NOTHING, ""


def _elsewhere(words: list[str], option: str) -> str:
    """`address:port` of DNAT and REDIRECT; a part that stays as it is is left out."""
    value = words[words.index(option) + 1] if option in words[:-1] else ""
    if option == "--to-ports" or not value:
        return f":{value}"
    return value if ":" in value else f"{value}:"
