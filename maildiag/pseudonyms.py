"""Stable pseudonyms for the names and public addresses of a recording; networks and domains keep their relations."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from typing import Any

from maildiag.codec import encode
from maildiag.model import Reading
from maildiag.probes import Identity
from maildiag.redact import Kept

_COMMON_LABELS = frozenset(
    [
        "mail",
        "smtp",
        "imap",
        "pop",
        "pop3",
        "mx",
        "mx1",
        "mx2",
        "ns",
        "ns1",
        "ns2",
        "www",
        "relay",
        "localhost",
        "mta",
        "webmail",
        "submission",
        "autodiscover",
        "autoconfig",
        "_dmarc",
        "_domainkey",
        "default",
        "selector1",
    ]
)
_COMMON_USERS = frozenset(
    [
        "root",
        "postmaster",
        "abuse",
        "hostmaster",
        "webmaster",
        "mailer-daemon",
        "noreply",
        "no-reply",
        "nobody",
        "postfix",
        "dovecot",
        "dovenull",
        "vmail",
        "www-data",
        "daemon",
        "admin",
        "info",
        "mail",
        "double-bounce",
        "logcheck",
    ]
)
_PUBLIC = frozenset(
    [
        "google.com",
        "gmail.com",
        "googlemail.com",
        "outlook.com",
        "hotmail.com",
        "microsoft.com",
        "office365.com",
        "yahoo.com",
        "yahoodns.net",
        "icloud.com",
        "spamhaus.org",
        "debian.org",
        "ubuntu.com",
        "postfix.org",
        "dovecot.org",
    ]
)
_KEPT_TOPS = frozenset(["localdomain", "localhost", "local", "arpa", "invalid", "lan", "internal", "home"])
_KEPT_ADDRESSES = frozenset(["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"])
_SECOND_LEVEL = frozenset(["co", "com", "org", "net", "ac", "gov", "edu", "or", "ne", "go"])

_NAME = r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]"
_EMAIL = re.compile(rf"([A-Za-z0-9._%+-]+)@({_NAME})")
_WITH_ADDRESS = re.compile(rf"({_NAME})\[[0-9A-Fa-f.:]+\]")
_HOST_SETTING = re.compile(r"(?m)^(?:myhostname|mydomain|relayhost|mydestination|myorigin|virtual_mailbox_domains|"
                           r"virtual_alias_domains|relay_domains|smtp_helo_name)\s*=\s*(.*)$")  # fmt: skip
_IP4 = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(/\d{1,2})?(?!\w|\.\d|\.in-addr|[+~]| \([0-9a-f]{6,}\))")
_IP6 = re.compile(r"(?<![\w:.])([0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*|::[0-9A-Fa-f:.]+)(/\d{1,3})?(?![\w:])")
# A user among others: `root: alice, bob` of aliases, `mail:x:8:alice` of a group, `imap(alice)` of a log.
_LISTED = r"(?im)((?:[:,][ \t]*|\t|\())({})(?=[ \t]*(?:[,)]|$))"
_REVERSE = re.compile(r"(?i)(\d{1,3}(?:\.\d{1,3}){3})(\.in-addr\.arpa)")


class Pseudonyms:
    """The names that were found in one recording, and what stands for each; another recording gets other pseudonyms."""

    def __init__(self, kept: Kept, key: bytes = b"") -> None:
        """`key` makes the addresses repeatable; by default nobody knows it, and it is not kept."""
        self._key = key or secrets.token_bytes(32)
        texts = list(_texts([[encode(probe), encode(got)] for probe, got in kept.items()]))
        names = sorted({name.lower() for text in texts for name in _names(text)})
        domains = sorted({_registered(name) for name in names} - {""})
        self._domains = {name: f"domain{number}.example" for number, name in enumerate(domains, 1)}
        labels = sorted({label for name in names for label in _labels(name, _registered(name))} - _COMMON_LABELS)
        self._labels = {label: f"host{number}" for number, label in enumerate(labels, 1)}
        users = sorted({user.lower() for text in texts for user in _people(text)} - _COMMON_USERS)
        self._users = {user: f"user{number}" for number, user in enumerate(users, 1)}
        listed = sorted(filter(_is_word, self._users), key=len, reverse=True)
        self._listed = re.compile(_LISTED.format("|".join(map(re.escape, listed)))) if listed else None
        self._own = self._own_names(kept)
        self._pattern = self._any_name()

    def _own_names(self, kept: Kept) -> re.Pattern[str] | None:
        """The short name of the recorded host stands alone in every log line."""
        answers = [got.value for got in kept.values() if isinstance(got, Reading)]
        names = {each.hostname.partition(".")[0].lower() for each in answers if isinstance(each, Identity)}
        own = sorted(name for name in names - _COMMON_LABELS - _COMMON_USERS if len(name) > 2)
        for name in own:
            self._labels.setdefault(name, f"host{len(self._labels) + 1}")
        return re.compile(rf"(?i)(?<![\w./-])({'|'.join(map(re.escape, own))})(?![\w-])") if own else None

    def _any_name(self) -> re.Pattern[str] | None:
        if not self._domains:
            return None
        known = "|".join(re.escape(each) for each in sorted(self._domains, key=len, reverse=True))
        return re.compile(rf"(?i)(?<![\w.-])((?:[A-Za-z0-9_-]+\.)*)({known})(?![\w-])")

    def __call__(self, text: str) -> str:
        """The text with pseudonyms in place of what was found."""
        text = _REVERSE.sub(self._reverse, text)
        text = _IP4.sub(self._address, text)
        text = _IP6.sub(self._address, text)
        text = _EMAIL.sub(lambda match: f"{self._user(match[1])}@{match[2]}", text)
        text = self._in_place(text)
        text = self._pattern.sub(self._name, text) if self._pattern else text
        return self._own.sub(lambda match: self._labels[match[1].lower()], text) if self._own else text

    def _in_place(self, text: str) -> str:
        """User names where they can be nothing else: home directories, `user=<…>`, a line or an argument of their own."""
        if text.lower() in self._users:
            return self._user(text) if _is_word(text) else text
        text = re.sub(
            r"(/home/|user=<|user=|sasl_username=|\b(?:orig_)?to=<|\bfrom=<)([A-Za-z0-9._-]+)(?=[/>:,\s]|$)|(?m:^)([A-Za-z0-9._-]+)(?=:|$)",
            lambda match: (match[1] or "") + (self._user(match[2]) if match[2] else self._word(match[3])),
            text,
        )
        return self._listed.sub(lambda match: match[1] + self._user(match[2]), text) if self._listed else text

    def _word(self, name: str) -> str:
        return self._user(name) if _is_word(name) else name

    def _user(self, name: str) -> str:
        return self._users.get(name.lower(), name)

    def _name(self, match: re.Match[str]) -> str:
        labels = [self._labels.get(each.lower(), each) for each in match[1].split(".") if each]
        return ".".join([*labels, self._domains[match[2].lower()]])

    def _reverse(self, match: re.Match[str]) -> str:
        forward = ".".join(reversed(match[1].split(".")))
        return ".".join(reversed(self._mapped(forward, 32).split("."))) + match[2]

    def _address(self, match: re.Match[str]) -> str:
        length = int(match[2][1:]) if match[2] else 128
        return self._mapped(match[1], length) + (match[2] or "")

    def _mapped(self, text: str, length: int) -> str:
        """Addresses with a common prefix keep one (as Crypto-PAn does); what is not routed in the Internet stays."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text
        if not address.is_global or text in _KEPT_ADDRESSES:
            return text
        width = address.max_prefixlen
        bits = int(address)
        for place in range(8 if width == 32 else 16, min(length, width)):
            prefix = int(address) >> (width - place)
            bits ^= self._bit(f"{width}/{place}/{prefix}") << (width - place - 1)
        return str(type(address)(bits))

    def _bit(self, text: str) -> int:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()[0] & 1


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, each in value.items() if key != "_" for text in _texts(each)]
    return [text for each in value for text in _texts(each)] if isinstance(value, list) else []


def _names(text: str) -> set[str]:
    """Names that are hosts or domains for certain: behind an @, before an [address], in Postfix's settings of names."""
    found = {domain for _, domain in _EMAIL.findall(text)} | set(_WITH_ADDRESS.findall(text))
    for values in _HOST_SETTING.findall(text):
        found |= set(re.findall(_NAME, values))
    return found | ({text.rstrip(".")} if re.fullmatch(_NAME + r"\.?", text) and "/" not in text else set())


def _registered(name: str) -> str:
    labels = name.rstrip(".").split(".")
    if len(labels) < 2 or labels[-1] in _KEPT_TOPS or labels[-1] in _FILE_ENDINGS:
        return ""
    depth = 3 if len(labels) > 2 and labels[-2] in _SECOND_LEVEL and len(labels[-1]) == 2 else 2
    domain = ".".join(labels[-depth:])
    return "" if domain in _PUBLIC else domain


_FILE_ENDINGS = frozenset(
    ["service", "socket", "timer", "target", "mount", "slice", "scope", "cf", "conf", "db", "pem", "log", "py"]
)


def _people(text: str) -> set[str]:
    """Names that are users for certain: before an @, owners of home directories, who logged in."""
    found = {user for user, domain in _EMAIL.findall(text) if _is_domain(domain)}
    return (
        found | set(re.findall(r"/home/([A-Za-z0-9._-]+)", text)) | set(re.findall(r"user=<([A-Za-z0-9._-]+)>", text))
    )


def _is_word(name: str) -> bool:
    """False for a name that is too short to be told from a letter that means something else."""
    return len(name) > 2


def _is_domain(name: str) -> bool:
    """False for what only looks like one: `user@0.service` is a unit of systemd."""
    return name.rpartition(".")[2].lower() not in _FILE_ENDINGS


def _labels(name: str, domain: str) -> list[str]:
    return name[: -len(domain) - 1].split(".") if domain and len(name) > len(domain) else []
