"""Faults in what the lines of a lookup table say: transports and actions that do not exist, aliases in a circle.

Source: transport(5), access(5), header_checks(5), virtual(5), aliases(5), TLS_README (policy table).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping

from maildiag.lint import restrictions
from maildiag.lint.context import Context
from maildiag.lint.lines import Logical, logical_lines
from maildiag.lint.values import WORDS
from maildiag.records import dataclass

_ACCESS = frozenset(
    [
        "bcc",
        "defer",
        "defer_if_permit",
        "defer_if_reject",
        "discard",
        "dunno",
        "filter",
        "hold",
        "info",
        "ok",
        "permit",
        "prepend",
        "redirect",
        "reject",
        "warn",
    ]
)
_CHECKS = frozenset(
    [
        "bcc",
        "discard",
        "dunno",
        "filter",
        "hold",
        "ignore",
        "info",
        "ok",
        "pass",
        "prepend",
        "redirect",
        "reject",
        "replace",
        "strip",
        "warn",
    ]
)
_ROUTES = re.compile(r"transport_maps|.*_transport_maps|.*_default_transport_maps")
_HEADERS = re.compile(r"(\w+_)?(header|body)_checks")
_TLS_LEVELS = frozenset(word for word in WORDS["smtp_tls_security_level"] if word)
_PATTERN = re.compile(r"!?/(?:[^/\\]|\\.)*/[a-zA-Z]*\s+(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class BadValue:
    """A line of a table whose value Postfix cannot follow: its number, its text, why, and what comes of it."""

    number: int
    text: str
    why: str
    effect: str


def bad_values(text: str, kind: str, users: Collection[str], context: Context) -> tuple[BadValue, ...]:
    """The lines of a table of the type `kind` whose values name what does not exist; `users` are the parameters that name it."""
    found = [each for line in _entries(text, kind) for each in _judge(line, users, context)]
    if "virtual_alias_maps" in users or "alias_maps" in users:
        found += circles(text, "alias_maps" in users, context)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    value: str
    logical: Logical


def _entries(text: str, kind: str) -> Iterator[_Entry]:
    for logical in logical_lines(text):
        body = logical.text.strip()
        if logical.stray or body.startswith('"') or re.match(r"(if|endif)\b", body, re.IGNORECASE):
            continue
        if kind in ("regexp", "pcre"):
            match = _PATTERN.fullmatch(body)
            if match:
                yield _Entry("", match[1].strip(), logical)
        else:
            key, _, value = body.replace("\t", " ").partition(" ")
            yield _Entry(key, value.strip(), logical)


def _judge(entry: _Entry, users: Collection[str], context: Context) -> Iterator[BadValue]:
    if not entry.value or "$" in entry.value.partition(":")[0]:
        return
    if any(_ROUTES.fullmatch(name) for name in users):
        yield from _transport(entry, entry.value, context)
    elif any(_HEADERS.fullmatch(name) for name in users) and not entry.key:
        yield from _action(entry, _CHECKS, (), context)
    elif _is_access(users, context):
        yield from _action(entry, _ACCESS, context.words("smtpd_restriction_classes"), context)
    elif any(name.endswith("tls_policy_maps") for name in users):
        yield from _tls_policy(entry, context)


def _is_access(users: Collection[str], context: Context) -> bool:
    lists = {*restrictions.LISTS, *context.words("smtpd_restriction_classes")}
    return bool(users) and all(name in lists for name in users)


def _transport(entry: _Entry, value: str, context: Context) -> Iterator[BadValue]:
    """`transport:nexthop`; an empty transport leaves the choice to Postfix."""
    name = value.partition(":")[0].strip()
    known = context.master.transports
    if not name or not known or name in known:
        return
    near = difflib.get_close_matches(name, known, 1, 0.7)
    meant = f"; {near[0]} was meant?" if near else ""
    yield _bad(
        entry,
        f'it names the transport "{name}", which master.cf does not have{meant}',
        f"qmgr says: warning: connect to transport private/{name}: No such file or directory; the mail waits in the queue.",
    )


def _action(entry: _Entry, actions: frozenset[str], classes: tuple[str, ...], context: Context) -> Iterator[BadValue]:
    word, _, rest = entry.value.partition(" ")
    name = word.rstrip(",").lower()
    if name == "filter":
        yield from _transport(entry, rest.strip(), context)
        return
    if name in actions or re.fullmatch(r"\d+", name):
        return
    if actions is _ACCESS and (name in restrictions.NAMES or word.rstrip(",") in classes or ":" in word or "," in word):
        return
    near = difflib.get_close_matches(name, actions, 1, 0.6)
    meant = f"; {near[0].upper()} was meant?" if near else ""
    effect = (
        "smtpd answers 451 Server configuration error to each client that the line fits."
        if actions is _ACCESS
        else "cleanup warns of an unknown command and passes the line over."
    )
    yield _bad(entry, f'"{word}" is no action{meant}', effect)


_DIGEST_BYTES = {"md5": 16, "sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64}
_MAIL_WAITS = "The SMTP client does not deliver to this destination: its mail waits."


def _tls_policy(entry: _Entry, context: Context) -> Iterator[BadValue]:
    """`level attribute=value …`; with the level fingerprint, one digest or more of the one length that it has."""
    level, *attributes = re.split(r"[\s,;]+", entry.value)
    if level not in _TLS_LEVELS:
        yield _bad(entry, f'"{level}" is no TLS level; there are {", ".join(sorted(_TLS_LEVELS))}', _MAIL_WAITS)
    elif level == "fingerprint":
        digest = context.value("smtp_tls_fingerprint_digest")
        named = [each.partition("=")[2] for each in attributes if each.startswith("match=")]
        prints = [one for each in named for one in each.split("|") if one] or context.words(
            "smtp_tls_fingerprint_cert_match"
        )
        odd = [each for each in prints if _octets(each) != _DIGEST_BYTES.get(digest)]
        if digest in _DIGEST_BYTES and len(odd) == len(prints):
            why = f"{odd[0]} has {_octets(odd[0])} bytes" if odd else "it names no fingerprint"
            yield _bad(
                entry,
                f"{why}, and a digest of {digest} (smtp_tls_fingerprint_digest) has {_DIGEST_BYTES[digest]}",
                _MAIL_WAITS,
            )


def _octets(fingerprint: str) -> int:
    """How many bytes are written so: `00:11:…`, two digits each."""
    return len(fingerprint.replace(":", "")) // 2


def _bad(entry: _Entry, why: str, effect: str) -> BadValue:
    return BadValue(entry.logical.first, entry.logical.text.strip(), why, effect)


def circles(text: str, aliases: bool, context: Context) -> Iterator[BadValue]:
    """Entries that lead back to themselves over others, and to nobody else; an address that names itself ends there."""
    lines: dict[str, Logical] = {}
    leads: dict[str, set[str]] = {}
    for logical in logical_lines(text):
        key, value = _alias(logical) if aliases else _virtual(logical)
        if key and key not in lines:
            lines[key] = logical
            leads[key] = {_address(word, aliases, context) for word in re.split(r"[,\s]+", value) if word}
    seen: set[str] = set()
    for key in leads:
        circle = _circle(key, leads)
        if len(circle) > 1 and not seen & set(circle):
            seen |= set(circle)
            way = " -> ".join((*circle, key))
            yield BadValue(
                lines[key].first,
                lines[key].text.strip(),
                f"it leads in a circle: {way}",
                "Mail for these addresses is put off or returned, and delivered to nobody.",
            )


def _circle(start: str, leads: Mapping[str, set[str]]) -> tuple[str, ...]:
    """The way from `start` back to it where each address on it leads to one other; () where there is a way out."""
    way = [start]
    while True:
        follow = leads.get(way[-1], set())
        if len(follow) != 1:
            return ()
        (step,) = follow
        if step == start:
            return tuple(way)
        if step in way or step not in leads:
            return ()
        way.append(step)


def _virtual(logical: Logical) -> tuple[str, str]:
    parts = logical.text.strip().split(None, 1)
    return (parts[0].lower(), parts[1]) if len(parts) == 2 and not logical.stray else ("", "")


def _alias(logical: Logical) -> tuple[str, str]:
    key, colon, value = logical.text.partition(":")
    return (key.strip().strip('"').lower(), value) if colon and not logical.stray else ("", "")


def _address(word: str, aliases: bool, context: Context) -> str:
    """The key under which a target is looked up: aliases(5) know local names, virtual(5) whole addresses."""
    name, at, domain = word.strip('"').lower().partition("@")
    if aliases:
        own = {each.lower() for each in context.words("mydestination")}
        return name if not at or domain in own else word.lower()
    return word.lower() if at else f"{name}@{context.value('myorigin').lower()}"
