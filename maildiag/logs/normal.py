"""Log text with its variable parts taken out, so that equal troubles compare equal."""

from __future__ import annotations

import re

from maildiag.logs.patterns import later

_IP4 = r"(?:\d{1,3}\.){3}\d{1,3}"
_IP6 = r"(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|" + _IP4 + r")?"
# Names that look like hosts and are files or settings.
_FILE = r"cf|db|lmdb|cdb|pem|crt|cer|key|conf|ext|so|c|h|log|sock|lock|pid|service|socket|target|py|sh|inc|map|txt|gz"

# Most of a text is plain words. They are passed over as one match, or every letter of theirs would be tried with all the
# patterns that follow; none of those can begin in a word that a space ends.
_SUBSTITUTIONS = later(
    r"(?P<words>(?<!\S)(?:[A-Za-z]+[:,;]? )+)"
    r"|(?P<keep>\b[245]\d\d[ -][245]\.\d{1,3}\.\d{1,3}\b|(?<=said: )[245]\d\d\b|^[245]\d\d\b)"
    r"|(?P<user>(?<=unknown user: )\"[^\"]*\")"
    r"|(?P<file>(?<=/tmp/)\d+\.[\w.-]+)"
    r"|(?P<url>https?://[^\s;,()]+)"
    rf"|(?P<address><[^<>\s]*@[^<>\s]*>|<>|[^\s<>\"'(),;:=\[\]]+@[^\s<>\"'(),;:\[\]]+)"
    rf"|(?P<client>[\w.-]+\[(?:{_IP4}|(?:IPv6:)?{_IP6}|unknown)\](?::\d+)?)"
    rf"|(?P<ip>\[?(?:IPv6:)?(?<![\w.])(?:{_IP4}|{_IP6})(?![\w.]*\w)\]?(?:/\d+)?(?::\d+)?)"
    rf"|(?P<host>(?<![/\w@.$%-])(?:[A-Za-z0-9_](?:[\w-]*\w)?\.)+(?!(?:{_FILE})\b)[A-Za-z][A-Za-z0-9-]+\.?(?![\w/@=])(?:(?<=\w):\d+\b)?)"
    r"|(?P<qid>\b(?=[0-9A-Za-z]*\d)(?:[0-9A-F]{6,20}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]{3,})\b)"
    r"|(?P<session>(?<==)<[^>\s]+>|\(\w+=\d+[^)]*\))"
    r"|(?P<number>(?<![A-Za-z_.\d])\d+(?:\.\d+)?(?![\w]*[A-Za-z_]))"
)
_NAMES = {
    "user": '"user"',
    "file": "…",
    "url": "URL",
    "address": "<address>",
    "client": "host",
    "ip": "[ip]",
    "host": "host",
    "qid": "QID",
    "session": "…",
    "number": "N",
}


def _replacement(match: re.Match[str]) -> str:
    kind = match.lastgroup or "number"
    return _NAMES.get(kind) or match[0]


def normalise(text: str, limit: int = 300) -> str:
    """Return `text` (cut to `limit` characters) without addresses, hosts, queue ids and numbers."""
    return " ".join(_SUBSTITUTIONS().sub(_replacement, text[:limit]).split())
