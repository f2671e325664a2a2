"""The keys by which this host signs mail (DKIM): what OpenDKIM and rspamd are told, the private key's public half, the DNS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from maildiag.asking import Ask
from maildiag.facts.names import own_domains
from maildiag.facts.postfix import Postfix
from maildiag.facts.smtpd_certificate import public_key
from maildiag.model import Gap, HostRole, Role
from maildiag.probes import CommandResult, DnsAnswer, DnsLookup, FileInfo, FileText, ReadFile, Stat
from maildiag.records import dataclass
from maildiag.registry import gatherer

OPENDKIM = "/etc/opendkim.conf"
RSPAMD = ("/etc/rspamd/override.d/dkim_signing.conf", "/etc/rspamd/local.d/dkim_signing.conf")
_MOST = 8
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Signing:
    """One key: mail of `domain` is signed with `selector` by the private key in the file `key`; `place` says so.

    `assumed`: only where there is such a file, since the configuration names a pattern and no domain.
    """

    domain: str
    selector: str
    key: str
    place: str
    assumed: bool = False

    @property
    def name(self) -> str:
        """Where the public key must be published (RFC 6376 section 3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key that is signed with, its record in the DNS, and what openssl-pkey(1) prints of its public half."""

    signing: Signing
    record: DnsAnswer | Gap
    public: CommandResult | Gap


@dataclass(frozen=True, slots=True)
class Dkim:
    """Every key that mail of this host is signed with, as far as the configuration of a signer names it."""

    keys: tuple[PublishedKey, ...]


@gatherer
def dkim(ask: Ask, postfix: Postfix, role: HostRole) -> Dkim:
    """Read what the signers are told, where Postfix hands mail to a milter, and look each key up; at most eight."""
    if role.role is not Role.MAIL_SERVER or not (postfix.list("smtpd_milters") or postfix.list("non_smtpd_milters")):
        return Dkim(())
    for path in (OPENDKIM, *RSPAMD):
        ask.begin(ReadFile(path))
    domains = own_domains(postfix)
    found = [*_opendkim(ask, domains), *_rspamd(ask, domains)]
    named = [each for each in dict.fromkeys(found) if _NAME.fullmatch(each.name)]
    there = ask.all([Stat(each.key) for each in named])
    wanted = [each for each, info in zip(named, there, strict=True) if not each.assumed or isinstance(info, FileInfo)][
        :_MOST
    ]
    records = ask.all([DnsLookup(each.name, "TXT") for each in wanted])
    halves = ask.all([public_key(each.key) for each in wanted])
    return Dkim(tuple(PublishedKey(*each) for each in zip(wanted, records, halves, strict=True)))


def _text(ask: Ask, path: str) -> str:
    answer = ask.maybe(ReadFile(path))
    return answer.text if isinstance(answer, FileText) else ""


def _opendkim(ask: Ask, domains: Iterable[str]) -> Iterator[Signing]:
    """opendkim.conf(5): a KeyTable, or one key for the listed domains; `Mode v` verifies alone."""
    settings = opendkim_settings(_text(ask, OPENDKIM))
    if "s" not in settings.get("mode", "sv"):
        return
    table = settings.get("keytable", "").removeprefix("refile:").removeprefix("file:")
    if table.startswith("/"):
        yield from key_table(_text(ask, table), table, domains)
    elif settings.get("selector") and settings.get("keyfile"):
        for domain in re.split(r"[\s,]+", settings.get("domain", "")):
            if domain and not domain.startswith(("/", "file:", "refile:")):
                yield Signing(domain.lower(), settings["selector"], settings["keyfile"], OPENDKIM)


def opendkim_settings(text: str) -> dict[str, str]:
    """Settings by their name in lower case; the first of a name counts."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split("#")[0].split(None, 1)
        if words:
            found.setdefault(words[0].lower(), words[1].strip().strip('"') if len(words) > 1 else "")
    return found


def key_table(text: str, path: str, domains: Iterable[str]) -> Iterator[Signing]:
    """Lines `NAME DOMAIN:SELECTOR:KEYFILE` of a KeyTable; `%` stands for the domain of the sender."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        parts = words[1].split(":", 2) if len(words) == 2 else []
        if len(parts) != 3 or not parts[2].startswith("/"):
            continue
        for domain in domains if parts[0] == "%" else (parts[0],):
            where = f"{path}:{number}"
            yield Signing(domain.lower(), parts[1], parts[2].replace("%", domain), where, assumed=parts[0] == "%")


def _rspamd(ask: Ask, domains: Iterable[str]) -> Iterator[Signing]:
    """rspamd's module dkim_signing: what override.d says comes before local.d."""
    for path in RSPAMD:
        found = list(rspamd_keys(_text(ask, path), path, domains))
        if found:
            yield from found
            return


def rspamd_keys(text: str, path: str, domains: Iterable[str]) -> Iterator[Signing]:
    """`selector` and `path` at top level count for each own domain, those within `domain { NAME { … } }` for that one.

    `$domain` and `$selector` in a path stand for their values; the selector is `dkim` unless said otherwise.
    """
    text = re.sub(r"(?m)#.*$", "", text)
    blocks = [(match[1], match[2]) for match in _DOMAIN.finditer(text)]
    selector, key = _pair(_outside(text))
    named = [(domain, *_pair(each)) for domain, body in blocks for each in re.findall(r"\{([^{}]*)\}", body) or [body]]
    general = [(domain, "", "") for domain in domains if key and domain not in dict(blocks)]
    for domain, own, file in (*named, *general):
        chosen, where = own or selector or "dkim", file or key
        if where:
            place = where.replace("$domain", domain).replace("$selector", chosen)
            yield Signing(domain.lower(), chosen, place, path, assumed="$domain" in where)


_DOMAIN = re.compile(r'"?\b([\w-]+(?:\.[\w-]+)+)"?\s*\{((?:[^{}]|\{[^{}]*\})*)\}')


def _outside(text: str) -> str:
    """What stands in no braces."""
    while (shorter := re.sub(r"\{[^{}]*\}", "", text)) != text:
        text = shorter
    return text


def _pair(text: str) -> tuple[str, str]:
    """The values of `selector` and `path`."""
    found = dict(re.findall(r'\b(selector|path)\s*[=:]\s*"?([^";\n]+)"?', text))
    return found.get("selector", "").strip(), found.get("path", "").strip()
