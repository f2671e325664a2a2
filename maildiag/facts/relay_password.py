"""How this host would log in to its relay: which keys Postfix looks up, which the table has, which mechanisms there are."""

from __future__ import annotations

import re

from maildiag.asking import Ask
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.relay import Relay
from maildiag.lint.lines import logical_lines
from maildiag.lint.tables import BUILT, tables_in
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import CommandResult, FileInfo, FileText, ReadFile, Stat, Transcript, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

_PASSWORDS = r"(?m)^((?:[^\s#]\S*)?[ \t]+|#).+$"  # all but the keys, in comments and continued lines as well
_PLUGINS = tuple(
    f"{folder}/sasl2/lib{name}.so"
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
    for name in ("plain", "login")
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the password table's source, and its line; never the password."""

    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPassword:
    """`enabled`: smtp_sasl_auth_enable. `keys` are what smtp(8) looks up, in its order, `found` the one that has a value.

    `written` are the keys that the source has (empty where it may not be read), `plugins` whether Cyrus SASL can do PLAIN
    or LOGIN (None: not looked), `offered` the mechanisms that the relay offers.
    """

    enabled: bool
    table: str = ""
    source: str = ""
    keys: tuple[str, ...] = ()
    found: str = ""
    asked: bool = False
    written: tuple[Key, ...] = ()
    plugins: bool | None = None
    offered: tuple[str, ...] = ()
    gap: Gap | None = None


@gatherer
def relay_password(ask: Ask, postfix_config: PostfixConfig, relay: Relay | None) -> RelayPassword:
    """Ask the password table for the relayhost as smtp(8) does; what it answers is not kept."""
    config = postfix_config
    offered = _offered(relay)
    if not config.context.yes("smtp_sasl_auth_enable"):
        return RelayPassword(enabled=False, offered=offered)
    maps = [(kind, path) for kind, path, _ in tables_in(config.get("smtp_sasl_password_maps"))]
    keys = lookup_keys(config.get("relayhost"), relay)
    plugins = any(isinstance(answer, FileInfo) for answer in ask.all([Stat(path) for path in _PLUGINS]))
    if not maps:
        return RelayPassword(enabled=True, keys=keys, plugins=plugins, offered=offered)
    kind, path = maps[0]
    if config.fatal or not _can_open(ask, kind, path):
        raise Missing(
            Gap(
                reason=_reason(ask, path), detail=f"{kind}:{path} cannot be opened", remedy="see services.lookup-tables"
            )
        )
    answers = ask.all([command("postmap", "-q", key, f"{kind}:{path}") for key in keys])
    found = [
        key for key, each in zip(keys, answers, strict=True) if isinstance(each, CommandResult) and each.stdout.strip()
    ]
    source = ask.maybe(ReadFile(path, hide=_PASSWORDS))
    return RelayPassword(
        enabled=True,
        table=f"{kind}:{path}",
        source=path,
        keys=keys,
        found=found[0] if found else "",
        asked=any(isinstance(each, CommandResult) and each.status in (0, 1) and not each.stderr for each in answers),
        written=keys_of(source.text) if isinstance(source, FileText) else (),
        plugins=plugins,
        offered=offered,
    )


def _can_open(ask: Ask, kind: str, path: str) -> bool:
    if not path.startswith("/"):
        return True
    return all(isinstance(ask.maybe(Stat(path + suffix)), FileInfo) for suffix in BUILT.get(kind, ("",)))


def _reason(ask: Ask, path: str) -> GapReason:
    answer = ask.maybe(Stat(path))
    return answer.reason if isinstance(answer, Gap) else GapReason.ABSENT


def lookup_keys(relayhost: str, relay: Relay | None) -> tuple[str, ...]:
    """What smtp(8) looks up for a next hop: the host it reached, and the next hop as it is written (smtp_sasl_glue(3))."""
    hop = relay.hop if relay else None
    host = hop.host if hop else re.sub(r"^\[|\](:.*)?$|:\d+$", "", relayhost)
    names = relay.names if relay and relay.names else (host,)
    return tuple(dict.fromkeys([*names, relayhost]))


def keys_of(text: str) -> tuple[Key, ...]:
    """The keys of a password file."""
    return tuple(Key(logical.text.split()[0], logical.first) for logical in logical_lines(text) if not logical.stray)


def _offered(relay: Relay | None) -> tuple[str, ...]:
    talk = relay.answered if relay else None
    if talk is None or not isinstance(talk.transcript, Transcript):
        return ()
    hello = talk.transcript.exchange("ehlo")
    match = re.search(r"^250[- ]AUTH[ =](.*)$", hello.reply, re.MULTILINE | re.IGNORECASE) if hello else None
    return tuple(match[1].upper().split()) if match else ()
