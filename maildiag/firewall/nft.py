"""Reads `nft -j list ruleset`: libnftables-json(5)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from maildiag.firewall.rules import NEVER, Chain, Do, Field, Rule, Test, flags_test
from maildiag.firewall.values import UNKNOWN, spares_the_calm

_VERDICTS = {"accept": Do.ACCEPT, "drop": Do.DROP, "reject": Do.REJECT, "return": Do.RETURN, "queue": Do.REWRITE}
_JUMPS = {"jump": Do.JUMP, "goto": Do.GOTO}
_DIVERTS = ("dnat", "redirect")
_REWRITES = ("tproxy", "fwd")
_SILENT = ("counter", "log", "mangle", "notrack", "masquerade", "snat", "flow", "comment", "quota_ref", "ct helper")
_PAYLOAD = {
    "saddr": Field.SOURCE,
    "daddr": Field.DESTINATION,
    "sport": Field.SOURCE_PORT,
    "dport": Field.PORT,
    "protocol": Field.PROTOCOL,
    "nexthdr": Field.PROTOCOL,
}
_META = {
    "iif": Field.IN,
    "iifname": Field.IN,
    "oif": Field.OUT,
    "oifname": Field.OUT,
    "l4proto": Field.PROTOCOL,
    "nfproto": Field.FAMILY,
    "protocol": Field.FAMILY,
    "skuid": Field.USER,
}


def parse(text: str) -> tuple[list[Chain], frozenset[tuple[str, str]]]:
    """The chains, and the (family, table) pairs whose rules hold iptables extensions that only iptables-save spells out.

    Raises ValueError for text that is no such JSON.
    """
    objects = json.loads(text).get("nftables", [])
    sets = {_key(each["set"], "name"): each["set"] for each in objects if "set" in each}
    sets |= {_key(each["map"], "name"): each["map"] for each in objects if "map" in each}
    rules: dict[tuple[str, str, str], list[Rule]] = {}
    foreign = set()
    for each in objects:
        if "rule" in each:
            rule = each["rule"]
            place = rules.setdefault(_key(rule, "chain"), [])
            untracks = any("notrack" in one for one in rule.get("expr", []))
            found = _rules(rule, sets, len({one.handle for one in place}))
            place.extend(replace(one, untracks=untracks) for one in found)
            if any("xt" in one for one in rule.get("expr", [])):
                foreign.add((rule["family"], rule["table"]))
    return [_chain(each["chain"], rules) for each in objects if "chain" in each], frozenset(foreign)


def _key(each: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    return str(each["family"]), str(each["table"]), str(each[name])


def _chain(each: Mapping[str, Any], rules: Mapping[tuple[str, str, str], list[Rule]]) -> Chain:
    family, table, name = _key(each, "name")
    policy = Do.DROP if each.get("policy") == "drop" else Do.ACCEPT
    priority = each.get("prio", 0)
    return Chain(
        "nft",
        family,
        table,
        name,
        tuple(rules.get((family, table, name), ())),
        str(each.get("hook", "")),
        priority if isinstance(priority, int) else 0,
        policy,
        str(each.get("dev", "")) if isinstance(each.get("dev", ""), str) else "",
    )


def _rules(rule: Mapping[str, Any], sets: Mapping[tuple[str, str, str], Any], index: int) -> Iterator[Rule]:
    """The rule; a verdict map becomes one rule for each of its elements."""
    tests: list[Test] = []
    words: list[str] = []
    handle, exact = int(rule.get("handle", 0)), True
    for expression in rule.get("expr", []):
        kind, body = next(iter(expression.items()))
        text = _words(kind, body)
        exact = exact and text is not None
        words.append(text if text is not None else _short(kind, body))
        if kind == "match":
            tests += [*_implied(body.get("left")), _test(body, rule, sets)]
        elif kind in _VERDICTS:
            yield Rule(tuple(tests), _VERDICTS[kind], "", " ".join(words), handle, index, exact)
            return
        elif kind in _JUMPS:
            target = str(body.get("target", ""))
            yield Rule(tuple(tests), _JUMPS[kind], target, " ".join(words), handle, index, exact)
            return
        elif kind == "vmap":
            yield from _verdict_map(body, rule, sets, tests, " ".join(words), index)
            return
        elif kind in _DIVERTS:
            yield Rule(tuple(tests), Do.DIVERT, _elsewhere(body), " ".join(words), handle, index, exact)
            return
        elif kind in _REWRITES:
            yield Rule(tuple(tests), Do.REWRITE, "", " ".join(words), handle, index, exact)
            return
        elif kind == "limit" and isinstance(body, dict):
            tests += _limited(body)
        elif kind == "ct count" and isinstance(body, dict):
            tests += _counted(body)
        elif kind not in _SILENT:
            tests.append(Test(Field.OTHER))
    yield Rule(tuple(tests), Do.NOTHING, "", " ".join(words), handle, index, exact)


def _limited(body: Mapping[str, Any]) -> tuple[Test, ...]:
    """`limit rate [over] N/PERIOD`: "over" is for those that storm, unless nobody could stay below."""
    if not spares_the_calm(int(body.get("rate", 0)), str(body.get("per", "second"))):
        return (Test(Field.OTHER),)
    return (NEVER,) if body.get("inv") else ()


def _counted(body: Mapping[str, Any]) -> tuple[Test, ...]:
    """`ct count [over] N` is true or false of a client's first connection: the first is over none."""
    over, first = bool(body.get("inv")), int(body.get("val", 0)) == 0
    return () if over is first else (NEVER,)


def _elsewhere(body: Any) -> str:
    """`address:port` of a dnat or redirect statement; a part that stays as it is, or is computed, is left out."""
    address, port = (body.get(each) for each in ("addr", "port")) if isinstance(body, dict) else ("", "")
    return f"{address if isinstance(address, str) else ''}:{port if isinstance(port, int) else ''}"


def _verdict_map(
    body: Mapping[str, Any],
    rule: Mapping[str, Any],
    sets: Mapping[tuple[str, str, str], Any],
    tests: list[Test],
    text: str,
    index: int,
) -> Iterator[Rule]:
    data = body.get("data")
    pairs = data.get("set", []) if isinstance(data, dict) else []
    if isinstance(data, str) and data.startswith("@"):
        pairs = sets.get((rule["family"], rule["table"], data[1:]), {}).get("elem", [])
    for pair in pairs:
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], dict):
            kind, target = next(iter(pair[1].items()))
            do = _VERDICTS.get(kind) or _JUMPS.get(kind) or Do.NOTHING
            test = _compare(body.get("key"), pair[0], False, rule, sets)
            name = str(target.get("target", "")) if isinstance(target, dict) else ""
            yield Rule((*tests, test), do, name, text, int(rule.get("handle", 0)), index, False)


def _implied(left: Any) -> Iterator[Test]:
    """`tcp dport` looks at TCP alone, `ip saddr` at IPv4 alone (nft(8), payload expressions)."""
    protocol = left["payload"].get("protocol") if isinstance(left, dict) and "payload" in left else None
    if protocol in ("ip", "ip6"):
        yield Test(Field.FAMILY, ("ipv4" if protocol == "ip" else "ipv6",))
    elif protocol not in (None, "th", "ether"):
        yield Test(Field.PROTOCOL, (str(protocol),))


def _test(body: Mapping[str, Any], rule: Mapping[str, Any], sets: Mapping[tuple[str, str, str], Any]) -> Test:
    if body.get("op") not in ("==", "in", "!=", None):
        return _ordered(body)
    match body.get("left"):
        case {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, [*mask]]} if isinstance(body.get("right"), str):
            return flags_test(mask, [body["right"]], body.get("op") == "!=")
    return _compare(body.get("left"), body.get("right"), body.get("op") == "!=", rule, sets)


def _ordered(body: Mapping[str, Any]) -> Test:
    found, right = _field(body.get("left")), body.get("right")
    if found not in (Field.PORT, Field.SOURCE_PORT) or not isinstance(right, int):
        return Test(Field.OTHER)
    spans = {">": f"{right + 1}-65535", ">=": f"{right}-65535", "<": f"0-{right - 1}", "<=": f"0-{right}"}
    return Test(found, (spans.get(str(body.get("op")), UNKNOWN),))


def _compare(
    left: Any, right: Any, negated: bool, rule: Mapping[str, Any], sets: Mapping[tuple[str, str, str], Any]
) -> Test:
    found = _field(left)
    if found is Field.OTHER:
        return Test(found)
    return Test(found, tuple(_values(right, rule, sets)), negated)


def _field(left: Any) -> Field:
    if not isinstance(left, dict):
        return Field.OTHER
    if "payload" in left:
        body = left["payload"]
        return _PAYLOAD.get(str(body.get("field")), Field.OTHER) if "protocol" in body else Field.OTHER
    if "meta" in left:
        return _META.get(str(left["meta"].get("key")), Field.OTHER)
    if "ct" in left:
        return {"state": Field.STATE, "status": Field.STATUS}.get(str(left["ct"].get("key")), Field.OTHER)
    if "fib" in left:
        fib = left["fib"]
        return Field.KIND if fib.get("result") == "type" and "daddr" in fib.get("flags", []) else Field.OTHER
    return Field.OTHER


def _values(right: Any, rule: Mapping[str, Any], sets: Mapping[tuple[str, str, str], Any]) -> Iterator[str]:
    match right:
        case str() if right.startswith("@"):
            found = sets.get((rule["family"], rule["table"], right[1:]))
            for each in found.get("elem", []) if found else [UNKNOWN]:
                yield from _values(each, rule, sets)
        case str() | int():
            yield {"ip": "ipv4", "ip6": "ipv6"}.get(str(right), str(right))
        case {"set": [*some]} | [*some]:
            for each in some:
                yield from _values(each, rule, sets)
        case {"elem": {"val": value}}:
            yield from _values(value, rule, sets)
        case {"prefix": {"addr": address, "len": length}}:
            yield f"{address}/{length}"
        case {"range": [low, high]}:
            yield f"{low}-{high}"
        case _:
            yield UNKNOWN


# -- how nft writes it -------------------------------------------------------------------------------------------------


def _words(kind: str, body: Any) -> str | None:
    """The expression as nft(8) writes it, or None where this does not know how."""
    match kind:
        case "match":
            left, right = _left(body.get("left")), _right(body.get("right"))
            if left is None or right is None:
                return None
            op = "" if body.get("op") in ("==", "in") else f"{body.get('op')} "
            return f"{left} {op}{right}"
        case "counter":
            return "counter"
        case "accept" | "drop" | "return":
            return kind
        case "reject":
            return _reject(body)
        case "redirect" | "dnat" if isinstance(body, dict) and set(body) <= {"addr", "port"}:
            return f"{kind} to {_elsewhere(body).rstrip(':')}"
        case "jump" | "goto":
            return f"{kind} {body.get('target', '')}"
        case "log":
            prefix = body.get("prefix") if isinstance(body, dict) else None
            return f'log prefix "{prefix}"' if prefix else "log"
    return None


def _reject(body: Any) -> str | None:
    if not body:
        return "reject"
    kind, expression = str(body.get("type", "")), str(body.get("expr", ""))
    if kind == "tcp reset":
        return "reject with tcp reset"
    return f"reject with {kind} {expression}" if kind and expression else None


def _left(left: Any) -> str | None:
    match left:
        case {"payload": {"protocol": protocol, "field": field}}:
            return f"{protocol} {field}"
        case {"meta": {"key": key}}:
            return str(key) if key in ("iif", "iifname", "oif", "oifname") else f"meta {key}"
        case {"ct": {"key": key}}:
            return f"ct {key}"
    return None


def _right(right: Any) -> str | None:
    match right:
        case str():
            return right if right.startswith("@") or right.replace(".", "").isalnum() else f'"{right}"'
        case int():
            return str(right)
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"range": [low, high]}:
            return f"{low}-{high}"
        case {"set": [*some]} | [*some]:
            words = [_right(each) for each in some]
            known = [each for each in words if each is not None]
            return "{ " + ", ".join(known) + " }" if len(known) == len(words) else None
    return None


def _short(kind: str, body: Any) -> str:
    return f"[{kind} {json.dumps(body)[:80]}]" if body else f"[{kind}]"
