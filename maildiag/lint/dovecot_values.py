"""What Dovecot accepts and what nevertheless does not mean what it says: leftovers of 2.3, contradictions, absent parts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence

from maildiag.dovecot.edits import Edit
from maildiag.dovecot.syntax import Place
from maildiag.dovecot.tree import Setting
from maildiag.dovecot.variables import leftovers, modern
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.dovecot_parts import DovecotParts, Reference
from maildiag.model import Status
from maildiag.records import dataclass

_SHARED = re.compile(r"(^|_)(path|home|dir|chroot)$")
_LOOKED_UP = re.compile(r"(query|filter|format|user|base|dn|uid|gid|key|location)$|passwd_file_path")
_NOT_EXPANDED = ("log_timestamp",)


@dataclass(frozen=True, slots=True)
class Remark:
    """A fault in the meaning of a configuration that Dovecot accepts."""

    kind: str
    status: Status
    title: str
    why: str
    subject: str
    places: tuple[Place, ...]
    cure: str = ""
    edits: tuple[Edit, ...] = ()
    certain: bool = False


def remarks(config: DovecotConfig, parts: DovecotParts | None) -> tuple[Remark, ...]:
    """All of them; `parts` says which references lead nowhere."""
    return (
        *(_leftovers(config) if config.modern else ()),
        *(_dollars(config) if config.modern else ()),
        *_drivers(config),
        *_without_tls(config),
        *_tls_off(config),
        *_trusting(config),
        *_unlogged(config),
        *_with_certificates_only(config),
        *_tls_words(config),
        *_lmtp_account(config),
        *(_dangling(each) for each in (parts.dangling if parts else ())),
    )


_MECHANISMS = frozenset(
    [
        "plain",
        "login",
        "cram-md5",
        "digest-md5",
        "scram-sha-1",
        "scram-sha-1-plus",
        "scram-sha-256",
        "scram-sha-256-plus",
        "apop",
        "ntlm",
        "gssapi",
        "gss-spnego",
        "anonymous",
        "external",
        "otp",
        "skey",
        "rpa",
        "oauthbearer",
        "xoauth2",
        "dovecot-token",
    ]
)
_STORAGES = frozenset(
    ["maildir", "mbox", "mdbox", "sdbox", "dbox", "imapc", "pop3c", "cydir", "raw", "shared", "obox", "virtual", "auto"]
)


def _drivers(config: DovecotConfig) -> Iterator[Remark]:
    """Mechanisms and mailbox formats that no Dovecot has: both are accepted and fail later."""
    for setting in config.source.settings:
        if setting.within:
            continue
        if setting.name == "auth_mechanisms":
            for word in setting.value.split():
                if word.lower() not in _MECHANISMS:
                    yield _misspelt(setting, word, _MECHANISMS, "mechanism", "the auth process ends: nobody can log in")
        driver = setting.value.split(":")[0] if setting.name == "mail_location" and ":" in setting.value else ""
        driver = setting.value if setting.name == "mail_driver" else driver
        if driver and driver.isalpha() and driver not in _STORAGES:
            yield _misspelt(setting, driver, _STORAGES, "mailbox format", "no mailbox can be opened")


_PROTOCOLS = ("SSLv3", "TLSv1", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3", "ANY", "LATEST")


def _unlogged(config: DovecotConfig) -> Iterator[Remark]:
    for setting in config.source.settings:
        if setting.name == "log_path" and setting.value == "/dev/null":
            yield Remark(
                kind="unlogged",
                status=Status.WARNING,
                title=f"{setting.place}: log_path = /dev/null: whatever Dovecot complains of is thrown away",
                why="Without its log neither people nor maildiag nor fail2ban see what goes wrong.",
                subject="log_path",
                places=(setting.place,),
                cure="Take the line out, so that Dovecot logs to syslog",
                edits=(Edit(setting.place),),
            )


def _with_certificates_only(config: DovecotConfig) -> Iterator[Remark]:
    """Meant or left over: the log of a client that has none says "client didn't send a cert"."""
    for setting in config.source.settings:
        if setting.name == "auth_ssl_require_client_cert" and setting.value == "yes":
            yield Remark(
                kind="client-certificate",
                status=Status.NOTICE,
                title=f"{setting.place}: only clients that show a certificate of their own can log in ({setting.name} = yes)",
                why="Mail programs without one see a failed login or no way to log in at all.",
                subject=setting.name,
                places=(setting.place,),
            )


def _tls_words(config: DovecotConfig) -> Iterator[Remark]:
    """Accepted with the configuration, refused when the first client wants TLS. Source: ssl_min_protocol."""
    for setting in config.source.settings:
        if setting.name == "ssl_min_protocol" and setting.value and setting.value not in _PROTOCOLS:
            yield Remark(
                kind="protocol",
                status=Status.CRITICAL,
                title=f"{setting.place}: ssl_min_protocol = {setting.value} names no protocol: every TLS handshake fails",
                why=f"It takes one of {', '.join(_PROTOCOLS[1:])}.",
                subject="ssl_min_protocol",
                places=(setting.place,),
                cure="Take the line out: the default is TLSv1.2",
                edits=(Edit(setting.place),),
                certain=True,
            )


def _lmtp_account(config: DovecotConfig) -> Iterator[Remark]:
    """LMTP becomes the user of each mailbox; as another account than root it can be that one alone."""
    own_numbers = {each.driver for each in config.databases("userdb")} & {"passwd", "passwd-file", "ldap"}
    for setting in config.source.settings:
        inside = setting.within[-1] if setting.within else None
        named = setting.name == "user" and inside is not None and (inside.kind, inside.name) == ("service", "lmtp")
        if named and own_numbers == {"passwd"} and setting.value not in ("", "root", "0"):
            yield Remark(
                kind="lmtp-account",
                status=Status.CRITICAL,
                title=f"{setting.place}: service lmtp runs as {setting.value}, and each user of this host has a number of its own: "
                "no mail can be delivered",
                why="That line belongs to virtual users who all share one account.",
                subject="lmtp",
                places=(setting.place,),
                cure="Take the line out: LMTP then starts as root and becomes each user",
                edits=(Edit(setting.place),),
                certain=True,
            )


_EVERYBODY = ("0.0.0.0/0", "::/0", "[::]/0")


def _trusting(config: DovecotConfig) -> Iterator[Remark]:
    """Whoever is trusted may say what address it has, and may log in without TLS. Source: login_trusted_networks."""
    for setting in config.source.settings:
        if setting.name not in ("login_trusted_networks", "haproxy_trusted_networks"):
            continue
        if any(each in _EVERYBODY for each in setting.value.replace(",", " ").split()):
            yield Remark(
                kind="trust",
                status=Status.WARNING,
                title=f"{setting.place}: {setting.name} = {setting.value}: every client of the world is trusted",
                why="Each may claim any address, which defeats bans and logs, and may send its password without TLS.",
                subject=setting.name,
                places=(setting.place,),
                cure="Name the proxies and web mailers alone",
            )


_IMPLICIT = {"imaps": "993", "pop3s": "995", "submissions": "465"}


def _without_tls(config: DovecotConfig) -> Iterator[Remark]:
    """`ssl = no` in the listener of a port whose clients begin with a handshake (RFC 8314 section 3)."""
    for setting in config.source.settings:
        inside = setting.within[-1] if setting.within else None
        if setting.name != "ssl" or setting.value != "no" or inside is None or inside.kind != "inet_listener":
            continue
        if inside.name in _IMPLICIT and config.value("ssl", "yes") != "no":
            yield Remark(
                kind="listener-tls",
                status=Status.CRITICAL,
                title=f"{setting.place}: the listener {inside.name} has ssl = no: clients begin with a TLS handshake there, and it fails",
                why=f"Port {_IMPLICIT[inside.name]} is TLS from the first byte; without the line it is.",
                subject=inside.name,
                places=(setting.place,),
                cure="Take the line out",
                edits=(Edit(setting.place),),
                certain=True,
            )


def _tls_off(config: DovecotConfig) -> Iterator[Remark]:
    """`ssl = no` beside a certificate: somebody wanted TLS. Without it 993 and 995 are not served, and STARTTLS is not offered."""
    setting = config.source.find("ssl")
    certified = any(config.source.find(name) for name in ("ssl_cert", "ssl_server_cert_file"))
    if setting is None or setting.value != "no" or not certified or config.value("login_trusted_networks"):
        return
    if all(each.startswith("127.") or each in ("::1", "[::1]", "localhost") for each in _addresses(config)):
        return
    line = setting.raw.replace("no", "yes") if setting.raw.count("no") == 1 else "ssl = yes"
    yield Remark(
        kind="tls-off",
        status=Status.WARNING,
        title=f"{setting.place}: ssl = no: mail programs that are set to TLS cannot connect, and others send their passwords in clear text",
        why="A certificate is configured. Ports 993 and 995 are not served, 143 and 110 offer no STARTTLS.",
        subject="ssl",
        places=(setting.place,),
        cure="Set ssl to yes",
        edits=(Edit(setting.place, (line,)),),
    )


def _addresses(config: DovecotConfig) -> tuple[str, ...]:
    return tuple(config.value("listen", "*").replace(",", " ").split()) or ("*",)


def _misspelt(setting: Setting, word: str, known: Collection[str], what: str, effect: str) -> Remark:
    near = difflib.get_close_matches(word, known, 1, 0.6)
    line = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", near[0] if near else "", setting.raw, count=1)
    return Remark(
        kind="word",
        status=Status.CRITICAL,
        title=f"{setting.place}: {setting.name}: there is no {what} {word}; {effect}",
        why=f"Dovecot accepts the line and fails when it needs it. Nearest: {near[0]}." if near else "",
        subject=setting.name,
        places=(setting.place,),
        cure=f"Write {near[0]}" if near else f"Correct {setting.name}",
        edits=(Edit(setting.place, (line.rstrip(),)),) if near else (),
        certain=bool(near),
    )


_EFFECTS = {
    "account": "Dovecot does not start",
    "group": "Dovecot does not start",
    "address": "no address of this host: Dovecot does not start",
    "directory": "Dovecot cannot make the file and does not start",
    "plugin": "not installed: no mailbox can be opened",
    "program": "the login succeeds, and the session ends at once",
}


def _one_family(setting: Setting) -> Remark:
    return Remark(
        kind="family",
        status=Status.CRITICAL,
        title=f"{setting.place}: listen = {setting.value}: Dovecot listens on IPv6 alone, and clients that come over IPv4 are refused",
        why="`::` is every address of IPv6 and none of IPv4; `*` is every one of IPv4.",
        subject="listen",
        places=(setting.place,),
        cure="Listen on both: listen = *, ::",
        edits=(Edit(setting.place, ("listen = *, ::",)),),
    )


def _dangling(each: Reference) -> Remark:
    setting = each.setting
    if each.kind == "family":
        return _one_family(setting)
    if each.kind == "companion":
        return _companion(each)
    near = difflib.get_close_matches(each.name, each.near, 1, 0.7) if each.kind != "address" else []
    line = setting.raw.replace(each.name, near[0], 1) if near else ""
    edits = (Edit(setting.place, (line,)),) if line else ()
    what = f"the {each.kind} {each.name}" if each.kind != "plugin" else f"the plug-in {each.name}"
    aside = each.kind == "program" and setting.value.split()[0] == "script"
    effect = f"only the service {setting.within[-1].name} does nothing" if aside else _EFFECTS[each.kind]
    if each.kind == "address" and setting.name == "listen":
        edits = (Edit(setting.place, (_without(setting, each.name),)),)
    return Remark(
        kind=each.kind,
        status=Status.WARNING if aside else Status.CRITICAL,
        title=f"{setting.place}: {setting.name} = {setting.value}: {what} does not exist ({effect})",
        why=f"Nearest: {near[0]}." if near else "",
        subject=setting.name if each.kind != "directory" else each.name,
        places=(setting.place,),
        cure=_cure(each, near),
        edits=edits,
        certain=bool(near) or each.kind == "address",
    )


def _companion(each: Reference) -> Remark:
    setting, boxed = each.setting, each.setting.name != "mail_plugins"
    line = f"{setting.raw} {each.name}"
    return Remark(
        kind="companion",
        status=Status.CRITICAL,
        title=f"{setting.place}: the plug-in {each.near[0]} needs the plug-in {each.name}, which is not in mail_plugins",
        why=f'Dovecot says "Plugin {each.name} must be loaded also", and opens no mailbox.',
        subject=each.near[0],
        places=(setting.place,),
        cure=f"Load {each.name} too, for every protocol that delivers or reads mail",
        edits=(Edit(setting.place, (setting.raw, setting.raw.replace(setting.name, each.name))),)
        if boxed
        else (Edit(setting.place, (line,)),),
        certain=True,
    )


def _without(setting: Setting, address: str) -> str:
    left = [each for each in setting.value.replace(",", " ").split() if each != address]
    return f"{setting.name} = {', '.join(left) or '*'}"


def _cure(each: Reference, near: list[str]) -> str:
    if near:
        return f"Write {near[0]}"
    match each.kind:
        case "address":
            return "Listen on the addresses that this host has"
        case "plugin":
            return f"Install the package that has the plug-in {each.name}, or take it out of mail_plugins"
        case "directory":
            return f"Make {each.name}, or correct the path" + (
                "; Postfix makes its own when it starts" if each.setting.name.endswith("_listener") else ""
            )
    return f"Make the {each.kind} {each.name}, or name one that exists"


def _leftovers(config: DovecotConfig) -> Iterator[Remark]:
    """2.4 takes `%u` for plain text: one directory for all users, a look-up that finds nobody.

    Verified on 2.4.1: with `mail_path = /var/vmail/%u` every user reads and writes the directory `/var/vmail/%u`.
    """
    found = [
        each
        for each in config.source.settings
        if each.name not in _NOT_EXPANDED and leftovers(each.value) and _matters(each)
    ]
    if found:
        yield _leftover(config, sorted(found, key=lambda each: not _is_shared(each)))


_DOLLAR = re.compile(r"\$(?P<name>[a-z]\w*)")


def _dollars(config: DovecotConfig) -> Iterator[Remark]:
    """2.3's `$name` stands for nothing in 2.4, where it is `$SET:name`: the word itself becomes the value.

    Verified on 2.4.1: "User doesn't exist: $default_internal_user (See service postlogin { user } setting)".
    """
    for setting in config.source.settings:
        match = _DOLLAR.search(setting.value)
        if match is None or match["name"] not in _INHERITED:
            continue
        boxed = setting.name == "mail_plugins"
        rest = [each for each in setting.value.split() if each[0] != "$"]
        line = _DOLLAR.sub(r"$SET:\g<name>", setting.raw)
        indent = setting.raw[: len(setting.raw) - len(setting.raw.lstrip())]
        lines = (
            (f"{indent}mail_plugins {{", *(f"{indent}  {each} = yes" for each in rest), f"{indent}}}")
            if boxed
            else (line,)
        )
        yield Remark(
            kind="dollar",
            status=Status.CRITICAL,
            title=f"{setting.place}: {setting.name} = {setting.value}: Dovecot {config.version} takes {match[0]} for plain text",
            why=f"In 2.4 the value of another setting is $SET:{match['name']}.",
            subject=setting.name,
            places=(setting.place,),
            cure=f"Write {' '.join(each.strip() for each in lines)}",
            edits=(Edit(setting.place, lines),),
            certain=True,
        )


_INHERITED = (
    "default_internal_user", "default_internal_group", "default_login_user", "mail_plugins", "default_process_limit",
    "default_client_limit", "auth_mechanisms", "default_vsz_limit", "mail_location", "protocols", "ssl",
)  # fmt: skip


def _matters(setting: Setting) -> bool:
    return bool(_SHARED.search(setting.name) or _LOOKED_UP.search(setting.full_name) or _is_field(setting))


def _is_field(setting: Setting) -> bool:
    return bool(setting.within) and setting.within[-1].kind == "fields"


def _is_shared(setting: Setting) -> bool:
    return bool(_SHARED.search(setting.name)) or (_is_field(setting) and setting.name in ("home", "mail_path"))


def _leftover(config: DovecotConfig, found: Sequence[Setting]) -> Remark:
    first, shared = found[0], _is_shared(found[0])
    letters = ", ".join(dict.fromkeys(letter for each in found for letter in leftovers(each.value)))
    edits = tuple(Edit(each.place, (each.raw.replace(each.value, modern(each.value), 1),)) for each in found)
    return Remark(
        kind="variables",
        status=Status.CRITICAL,
        title=f"{first.place}: {first.name} = {first.value}: Dovecot {config.version} takes {letters} for plain text"
        + (", so all users share one place" if shared else ""),
        why=(
            "The one-letter variables of Dovecot 2.3 are gone; nothing warns of them. "
            + (
                "Every user reads and changes the mail of every other. Mail that came meanwhile lies in the directory "
                f"that is really named {first.value}."
                if shared
                else "What is looked up with it is not found."
            )
        ),
        subject="variables",
        places=tuple(each.place for each in found),
        cure=f"Write {first.name} = {modern(first.value)}" + (f", and {len(found) - 1} more" if len(found) > 1 else ""),
        edits=edits,
        certain=True,
    )
