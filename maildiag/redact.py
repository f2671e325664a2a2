"""Cuts secrets out of a recording, and, where that is asked for, puts stable pseudonyms in place of names and addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from maildiag.codec import decode, encode
from maildiag.model import Gap, Reading
from maildiag.probes import Probe

Kept = Mapping[Probe[Any], Reading[Any] | Gap]
REMOVED = "(removed)"

_NAMES = (
    r"password|passwd|passphrase|secret|dnpass|bind_?pw|api_?key|auth_?token|access_?token|credentials|nonce|api_header"
)
# Each with words (in lower case) of which a text that it could change has one: they are looked for first, being much quicker.
_SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (
        ("private key-----",),
        re.compile(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?(-----END \1PRIVATE KEY-----|\Z)", re.DOTALL),
        f"(private key {REMOVED})",
    ),
    # name = value, as configuration files and logs of all kinds have it.
    (
        ("=",),
        re.compile(rf"(?i)(\b[\w-]*(?:{_NAMES}|secret[\w-]*|_pw|\bpwd|token)[ \t]*=[ \t]*)[^\s,;(][^\n,;]*"),
        rf"\1{REMOVED}",
    ),
    (
        ("pass", "resp="),
        re.compile(r"(?i)(given password:|password mismatch:|\bpass(?:word)? ?[:=]|\bresp=|\bpass `)[ \t]*[^\s()']+"),
        rf"\1 {REMOVED}",
    ),
    # What SASL sends, and the header in which HTTP does.
    (("auth",), re.compile(r"(?i)(\bAUTH(?:ENTICATE)? (?!is )[A-Z0-9-]+ )[A-Za-z0-9+/]{8,}={0,2}"), rf"\1{REMOVED}"),
    (("authorization:",), re.compile(r"(?i)(\bauthorization: *\w+ +)\S+"), rf"\1{REMOVED}"),
    (("pass ",), re.compile(r"(?m)^(PASS )\S+"), rf"\1{REMOVED}"),
    # user:password@host, behind a scheme or behind the word that tells what it is.
    (("//",), re.compile(r"(//[^\s:/@]+:)[^\s@/]+(?=@)"), rf"\1{REMOVED}"),
    (
        ("@",),
        re.compile(r"(?i)(\b(?:server|host|uri|url|dsn|login|connect)s?[ =:]+[\w.-]+:)[^\s@/]+(?=@)"),
        rf"\1{REMOVED}",
    ),
    # Lookup tables written in place, of which a value user:password is one of a password map.
    (("static:",), re.compile(r"(\bstatic:)\{?[^\s:{}/]+:[^\s}]+\}?"), rf"\1{REMOVED}"),
    (
        ("{",),
        re.compile(
            r"(\{[ \t]*[^\s{}=]+[ \t]*=[ \t]*)(?!(?:smtp|lmtp|relay|local|virtual|error|discard|retry|pipe):)[^\s{}:]+:[^\s{}]+"
        ),
        rf"\1{REMOVED}",
    ),
    # Options of programs that a pipe(8) service, an alias or a unit runs.
    (
        ("password", "passwd", "secret", "token", "api"),
        re.compile(r"(?i)(\s--?[\w-]*(?:password|passwd|secret|token|api-?key)[ =])[^\s\"']+"),
        rf"\1{REMOVED}",
    ),
    (("-u",), re.compile(r"(\s(?:-u|--user)[ =]?[^\s:=]+:)[^\s\"']+"), rf"\1{REMOVED}"),
    # rsyslog's older way to write into a database: :ommysql:host,database,user,password
    ((":om",), re.compile(r"(:om(?:my|pg)sql:[^\s,]*,[^\s,]*,[^\s,]*,)[^\s;]+"), rf"\1{REMOVED}"),
    (("{",), re.compile(r"\{[A-Z0-9.-]+\}[A-Za-z0-9$./+=]{12,}"), f"{{{REMOVED}}}"),
    (("$",), re.compile(r"\$(?:1|2[aby]?|5|6|y|argon2[a-z]*)\$[^\s:'\"]{8,}"), REMOVED),
)


def cut_secrets(text: str) -> str:
    """The text without private keys, passwords, password hashes and what SASL sends."""
    small = text.lower()
    for words, pattern, replacement in _SECRETS:
        for word in words:
            if word in small:
                text = pattern.sub(replacement, text)
                break
    return text


def redacted(kept: Kept, change: Callable[[str], str] = cut_secrets) -> dict[Probe[Any], Reading[Any] | Gap]:
    """The recording with every text of its questions and answers changed; what it is asked stays what it was."""
    return {_changed(probe, change): _changed(got, change) for probe, got in kept.items()}


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    return decode(_walk(encode(value), change))


# Fields that hold a word of a closed set: a user may be called A, and the question for an address is none for that user.
_OF_OURS = frozenset({"_", "record", "kind", "reason"})


def _walk(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_walk(each, change) for each in value]
    if isinstance(value, dict):
        return {key: each if key in _OF_OURS else _walk(each, change) for key, each in value.items()}
    return value
