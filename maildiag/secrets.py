"""Files whose content maildiag never reads, and answers it never keeps: keys, password maps, SQL and LDAP logins, user files."""

from __future__ import annotations

import re
from dataclasses import replace

from maildiag.probes import Command, CommandResult

WITHHELD = "(withheld)"

_PATTERNS: dict[str, str] = {
    r"/(g?shadow|gshadow)-?$": "system passwords",
    r"/private/|\.key$|/priv(ate)?[_-]?key[^/]*$|/privkey[^/]*\.pem$|[_-]key\.pem$|/dkimkeys?/|/dkim/.*\.private$": "a private key",
    r"/sasl[_-]?passw(or)?ds?(\.|$)|/[^/]*passw(or)?d[_-]?(map|maps|client)?(\.(db|lmdb|cdb))?$": "passwords",
    r"/[^/]*(mysql|pgsql|sqlite|ldap|sql)[^/]*\.(cf|conf|conf\.ext|ext)$": "a database login",
    r"/dovecot(-oauth2)?[^/]*(sql|ldap|oauth2|dict)[^/]*\.(conf|ext)": "a database login",
    r"/dovecot/(users|passwd|imap\.passwd|[^/]*passdb)[^/]*$|/passwd\.(dovecot|client)$|/dovecot[.-]passwd$": "users' passwords",
    r"/sasldb2$|/\.my\.cnf$|/\.pgpass$|/\.netrc$": "passwords",
}
_OPEN = re.compile(r"^/etc/passwd-?$|/postfix/(main|master|dynamicmaps)\.cf$|/nsswitch\.conf$")
_CLOSED = [(re.compile(pattern), what) for pattern, what in _PATTERNS.items()]
_KEY = re.compile(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?(?:-----END \1PRIVATE KEY-----|\Z)", re.DOTALL)
_PRINTS_VALUES = frozenset({"postmap", "postalias"})


def holds(path: str) -> str:
    """What secret a file of this name holds, or an empty string. By name alone: it is decided before anything is opened."""
    if _OPEN.search(path):
        return ""
    return next((what for pattern, what in _CLOSED if pattern.search(path)), "")


def is_public(path: str) -> bool:
    """True for the few configuration files that name their secrets, so that these can be cut, whoever may read the file."""
    return bool(_OPEN.search(path))


def without_secrets(probe: Command, result: CommandResult) -> CommandResult:
    """What a query of a lookup table printed, each line withheld: that there is an entry is told, never the entry.

    No name tells a password map for certain, and nothing is judged by what a table answers.
    """
    if probe.argv[0].rpartition("/")[2] not in _PRINTS_VALUES:
        return result
    return replace(result, stdout="".join(f"{WITHHELD}\n" for line in result.stdout.splitlines() if line.strip()))


def without_keys(text: str) -> str:
    """A file's text without the private keys in it: a certificate may stand in one file with its key."""
    return _KEY.sub(f"(private key {WITHHELD})", text) if "PRIVATE KEY" in text else text
