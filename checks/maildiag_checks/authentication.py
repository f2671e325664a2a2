"""Step 7: can users log in, and can Postfix ask Dovecot whether they may?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.access import READ, SEARCH, allows, shown
from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.dovecot.tree import Setting
from maildiag.edits import comment_line
from maildiag.facts.dovecot import Dovecot, DovecotConfig
from maildiag.facts.dovecot_daemon import DovecotDaemon
from maildiag.facts.host import Distribution
from maildiag.facts.mail_users import NO_SUCH_USER, MailUser, MailUsers, inbox_query
from maildiag.facts.passdbs import PamService, Passdbs, PasswordFile, refusing
from maildiag.facts.sasl import MailSockets, Purpose
from maildiag.model import (
    Evidence,
    Fix,
    Gap,
    GapReason,
    Risk,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    skipped,
    unknown,
)
from maildiag.probes import FileInfo, Identity
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks._sockets import DEAD, GUARDS, RELOAD, RESTART, RESTART_POSTFIX, Scene, judge

SASL = "authentication.sasl-socket"
LMTP = "connectivity.lmtp-socket"
USERS = "authentication.users"
PASSDB = "authentication.passdb"
MECHANISMS = "authentication.mechanisms"
CLEARTEXT = "authentication.cleartext"
_PLAIN = ("plain", "login")
_PLAIN_ONLY = frozenset({"pam", "bsdauth", "imap"})
_CHALLENGE = frozenset({"cram-md5", "digest-md5", "apop", "ntlm", "rpa", "skey", "otp", "scram-sha-1", "scram-sha-256"})


@check(
    SASL,
    step=Step.AUTHENTICATION,
    asks="Can Postfix ask Dovecot for passwords?",
    roles=SERVER,
    explained_by=DEAD,
)
def sasl_socket(
    sockets: MailSockets, dovecot: Dovecot, config: DovecotConfig | None, daemon: DovecotDaemon | None
) -> Iterator[Verdict]:
    """smtpd that offers AUTH and cannot reach the authentication socket ends, and greets nobody.

    ENOENT, ECONNREFUSED and EACCES are three causes. Sources: postconf(5) smtpd_sasl_path, SASL_README.
    """
    if not sockets.sasl_types:
        yield skipped("Postfix offers no authentication (smtpd_sasl_auth_enable = no)")
        return
    wrong = tuple(name for name, kind in sockets.sasl_types.items() if kind == "cyrus")
    if wrong and not sockets.cyrus and dovecot.installed:
        yield _cyrus(sockets, wrong)
    for endpoint in sockets.of(Purpose.SASL):
        if config is None:
            yield unknown(f"Could not tell whether Dovecot listens on {endpoint.shown}", subject=endpoint.shown)
        else:
            yield judge(Scene(SASL, sockets, config, daemon), endpoint)
    if not sockets.of(Purpose.SASL) and not (wrong and not sockets.cyrus):
        yield skipped(f"Postfix asks {', '.join(sorted(set(sockets.sasl_types.values())))} for passwords, not Dovecot")


def _cyrus(sockets: MailSockets, services: tuple[str, ...]) -> Verdict:
    return critical(
        "Postfix asks Cyrus SASL for passwords (smtpd_sasl_type = cyrus), and nothing of Cyrus SASL is set up",
        detail="AUTH is offered and every login fails. Dovecot is here: smtpd_sasl_type = dovecot lets it answer.",
        subject="smtpd_sasl_type",
        evidence=(Evidence("postconf -x", f"smtpd_sasl_type = cyrus ({', '.join(services)})"),),
        fixes=(
            Fix(
                id=f"{SASL}/ask-dovecot",
                title="Let Postfix ask Dovecot",
                commands=(
                    ("postconf", "-e", "smtpd_sasl_type = dovecot", "smtpd_sasl_path = private/auth"),
                    RESTART_POSTFIX,
                ),
                automatic=True,
                changes=("/etc/postfix/main.cf",),
                verify=(SASL,),
                guards=(("postfix", "check"),),
            ),
        ),
        explained_by=(),
    )


@check(
    LMTP,
    step=Step.CONNECTIVITY,
    asks="Can Postfix hand mail over to Dovecot's LMTP?",
    roles=SERVER,
    explained_by=DEAD,
)
def lmtp_socket(
    sockets: MailSockets, dovecot: Dovecot, config: DovecotConfig | None, daemon: DovecotDaemon | None
) -> Iterator[Verdict]:
    """Postfix defers every delivery while the LMTP socket is absent, dead or closed to it. Source: lmtp(8)."""
    endpoints = sockets.of(Purpose.LMTP)
    if not endpoints:
        yield skipped("Postfix delivers without LMTP")
        return
    if config is None:
        yield unknown("Could not tell whether Dovecot listens where Postfix delivers")
        return
    if "lmtp" not in config.protocols:
        yield _no_lmtp(config)
        return
    for endpoint in endpoints:
        yield judge(Scene(LMTP, sockets, config, daemon), endpoint)


def _no_lmtp(config: DovecotConfig) -> Verdict:
    setting = config.source.find("protocols")
    value = " ".join([*config.protocols, "lmtp"])
    fixes: tuple[Fix, ...] = ()
    if setting:
        edit = Edit(setting.place, (f"protocols = {value}",))
        fixes = (
            Fix(
                id=f"{LMTP}/switch-on",
                title="Switch Dovecot's LMTP on",
                commands=(*editing.commands((edit,)), RELOAD),
                automatic=True,
                changes=(setting.place.file,),
                verify=(LMTP,),
                guards=GUARDS,
            ),
        )
    evidence = [Evidence("doveconf -a", f"protocols = {' '.join(config.protocols)}")]
    if setting:
        evidence.append(Evidence(setting.place.file, f"{setting.place.line}: {setting.raw}"))
    return critical(
        "Postfix delivers to Dovecot's LMTP, and Dovecot's protocols leave lmtp out",
        detail="Mail for the mailboxes stays in the queue.",
        subject="protocols",
        evidence=tuple(evidence),
        fixes=fixes,
        explained_by=("services.dovecot-config",),
    )


@check(
    USERS,
    step=Step.AUTHENTICATION,
    asks="Does Dovecot find the users and their mailboxes?",
    roles=SERVER,
    explained_by=("authentication.passdb", *DEAD),
)
def users(
    users: MailUsers, config: DovecotConfig, daemon: DovecotDaemon | None, identity: Identity | None
) -> Iterator[Verdict]:
    """A user that the userdb does not give cannot read mail, and mail for the user bounces (LMTP: 550).

    Looked up with doveadm, which needs no password. Source: doveadm-user(1), doveadm-mailbox(1).
    """
    if daemon is not None and not daemon.running:
        yield critical("No user can be looked up: Dovecot does not run", explained_by=DEAD)
        return
    if users.silent:
        yield critical(
            "Dovecot's user look-up gives no answer: its authentication process is stuck or keeps dying",
            detail="Nobody can log in, and LMTP can deliver to nobody.",
            subject="auth",
            evidence=(Evidence("doveadm user", users.silent),),
            explained_by=("services.dovecot-config", PASSDB, MECHANISMS, "services.backend", "services.dovecot"),
        )
        return
    if not users.users:
        yield skipped(f"No user to look up: {users.chosen}")
        return
    privileged = identity is None or identity.privileged
    bad = [each for each in users.users if each.status not in (0, -1)]
    if not privileged and bad:
        yield unknown("Could not look users up", detail=f"{bad[0].error} (needs root)")
        return
    yield from _groups_of_failures(users, config, bad)
    if len(bad) < len(users.users):
        found = [each for each in users.users if each not in bad]
        first = found[0]
        yield ok(
            f"Dovecot finds {plural(len(found), 'user')} ({users.chosen})",
            evidence=(Evidence(" ".join(inbox_query(first.name)), first.inbox),) if first.inbox else (),
        )


def _groups_of_failures(users: MailUsers, config: DovecotConfig, bad: list[MailUser]) -> Iterator[Verdict]:
    """One finding for each kind of failure: a hundred users that fail alike are one cause."""
    kinds: dict[str, list[MailUser]] = {}
    for each in bad:
        kinds.setdefault(_kind(each), []).append(each)
    for kind, group in kinds.items():
        yield _failure(users, config, kind, group)


def _kind(user: MailUser) -> str:
    if "first_valid_uid" in user.error or "last_valid_uid" in user.error:
        return "uid"
    if "first_valid_gid" in user.error or "last_valid_gid" in user.error:
        return "gid"
    return "absent" if user.status == NO_SUCH_USER else "failing"


def _failure(users: MailUsers, config: DovecotConfig, kind: str, group: list[MailUser]) -> Verdict:
    names = ", ".join(each.name for each in group[:5]) + (" …" if len(group) > 5 else "")
    first = group[0]
    evidence = tuple(
        Evidence(" ".join(inbox_query(each.name)), f"{each.error} (exit status {each.status})") for each in group[:3]
    )
    if kind in ("uid", "gid"):
        return _out_of_range(config, kind, group, names, evidence)
    if kind == "absent":
        return critical(
            f"Dovecot knows no user {names}",
            detail=f"Chosen as {users.chosen}. Mail for such a user bounces, and the login fails like a wrong password.",
            subject=first.name if len(group) == 1 else "users",
            evidence=evidence,
        )
    return critical(
        f"Dovecot cannot look up {names}: {first.error or 'it gives no reason'}",
        subject=first.name if len(group) == 1 else "users",
        evidence=evidence,
    )


def _out_of_range(
    config: DovecotConfig, kind: str, group: list[MailUser], names: str, evidence: tuple[Evidence, ...]
) -> Verdict:
    setting = config.source.find(f"first_valid_{kind}")
    numbers = sorted(int(each.fields[kind]) for each in group if each.fields.get(kind, "").isdigit())
    fixes: tuple[Fix, ...] = ()
    detail = "Dovecot gives nobody a mailbox whose number lies outside of first_valid and last_valid."
    if setting and setting.value.isdigit():
        lowest = numbers[0] if numbers else 500
        edit = Edit(setting.place, (f"first_valid_{kind} = {min(lowest, 1000)}",))
        fixes = (
            Fix(
                id=f"{USERS}/first-valid-{kind}",
                title=f"Let users from {min(lowest, 1000)} on have a mailbox",
                commands=(*editing.commands((edit,)), RELOAD),
                automatic=min(lowest, 1000) >= 500,
                changes=(setting.place.file,),
                verify=(USERS,),
                guards=GUARDS,
            ),
        )
    shown_line = (Evidence(setting.place.file, f"{setting.place.line}: {setting.raw}"),) if setting else ()
    return critical(
        f"first_valid_{kind} shuts {plural(len(group), 'user')} out of the mailboxes: {names}",
        detail=detail,
        subject=f"first_valid_{kind}",
        evidence=(*evidence, *shown_line),
        fixes=fixes,
        explained_by=(),
    )


@check(
    PASSDB,
    step=Step.AUTHENTICATION,
    asks="Are the databases with the passwords there, and readable by those who need them?",
    roles=SERVER,
    explained_by=DEAD,
)
def passdb(databases: Passdbs, config: DovecotConfig, distribution: Distribution | None) -> Iterator[Verdict]:
    """A password file that is missing or closed looks to the user like a wrong password.

    Sources: Dovecot's documentation of passwd-file, sql and PAM; pam.d(5).
    """
    if not config.databases("passdb"):
        yield _no_passdb(config)
        return
    said = False
    for file in databases.files:
        for verdict in _password_file(file, config):
            said = True
            yield verdict
    for service in databases.pam:
        for verdict in _pam(service, distribution):
            said = True
            yield verdict
    if not said:
        drivers = ", ".join(each.driver for each in config.databases("passdb"))
        yield ok(f"The password databases have what they need ({drivers})")


def _no_passdb(config: DovecotConfig) -> Verdict:
    return critical(
        "No passdb is configured: nobody can log in",
        detail='The auth process ends with "No passdbs specified in configuration file".',
        evidence=(Evidence("doveconf -n", "no passdb section"),),
        explained_by=("services.dovecot-config",),
    )


def _password_file(file: PasswordFile, config: DovecotConfig) -> Iterator[Verdict]:
    kind, place = file.database.kind, config.where("passwd_file_path") or file.database.place
    source = (Evidence(place.file, f"{place.line}: {config.source_line(place)}"),) if place.file else ()
    if isinstance(file.info, Gap):
        if file.info.reason is GapReason.ABSENT:
            yield critical(
                f"The {kind}'s file {file.path} does not exist: {_effect(kind)}",
                detail="The log says so at each login; to the user it looks like a wrong password.",
                subject=file.path,
                evidence=(Evidence(f"stat {file.path}", "No such file or directory"), *source),
            )
        else:
            yield unknown(f"Could not look at {file.path}", detail=str(file.info), subject=file.path)
        return
    closed = _closed_to(file, file.info)
    if closed:
        yield critical(
            f"{file.reader} may not read the {kind}'s file {file.path}: {_effect(kind)}",
            detail='The log says "Permission denied"; to the user it looks like a wrong password.',
            subject=file.path,
            evidence=(*(Evidence(f"stat {each.path}", shown(each)) for each in closed), *source),
            fixes=_open_file(file, file.info, closed),
        )


def _effect(kind: str) -> str:
    return "nobody can log in" if kind == "passdb" else "no user has a mailbox"


def _closed_to(file: PasswordFile, info: FileInfo) -> tuple[FileInfo, ...]:
    closed = [each for each in file.directories if not allows(each, SEARCH, file.reader, file.groups)]
    closed += [] if allows(info, READ, file.reader, file.groups) else [info]
    return tuple(closed)


def _open_file(file: PasswordFile, info: FileInfo, closed: tuple[FileInfo, ...]) -> tuple[Fix, ...]:
    """root:GROUP 0640: the auth process reads it, nobody else does."""
    if any(each.path != info.path for each in closed) or not file.groups:
        return ()
    group = file.groups[0]
    return (
        Fix(
            id=f"{PASSDB}/let-read",
            title=f"Let the group {group} read it, and nobody else",
            commands=(("chgrp", group, file.path), ("chmod", "0640", file.path), RELOAD),
            automatic=True,
            undo=(("chgrp", info.group, file.path), ("chmod", f"{info.mode:04o}", file.path)),
            changes=(file.path,),
            verify=(PASSDB,),
        ),
    )


def _pam(service: PamService, distribution: Distribution | None) -> Iterator[Verdict]:
    path = f"/etc/pam.d/{service.name}"
    refused = (*service.refusing, *refusing(service.fallback))
    if service.fallback is not None and (refused or isinstance(service.fallback, Gap)):
        yield critical(
            f"PAM has no service {service.name}: {path} does not exist, and PAM's fallback refuses everybody",
            subject=path,
            evidence=(
                Evidence(f"stat {path}", "No such file or directory"),
                Evidence("/etc/pam.d/other", "\n".join(refused)),
            ),
            fixes=_restore_pam(service, path, distribution),
        )
    elif service.fallback is not None:
        yield notice(
            f"PAM has no service {service.name}: logins go by PAM's fallback /etc/pam.d/other",
            subject=path,
            evidence=(Evidence(f"stat {path}", "No such file or directory"),),
            fixes=_restore_pam(service, path, distribution),
        )
    elif service.missing:
        names = ", ".join(service.missing)
        yield critical(
            f"{path} names PAM modules that are not installed: {names}",
            detail='PAM refuses every login: "Module is unknown".',
            subject=path,
            evidence=(Evidence(path, _lines_with(service, service.missing)),),
            fixes=_without_lines(service, path, service.missing),
        )
    elif service.refusing:
        yield critical(
            f"{path} refuses everybody: {service.refusing[0]}",
            detail="To the user it looks like a wrong password.",
            subject=path,
            evidence=(Evidence(path, "\n".join(service.refusing)),),
            fixes=_without_lines(service, path, service.refusing),
        )


def _lines_with(service: PamService, parts: tuple[str, ...]) -> str:
    return "\n".join(text for _, text in _numbered(service, parts))


def _numbered(service: PamService, parts: tuple[str, ...]) -> list[tuple[int, str]]:
    if isinstance(service.text, Gap):
        return []
    lines = enumerate(service.text.text.splitlines(), 1)
    return [(number, line) for number, line in lines if line[:1] != "#" and any(each in line for each in parts)]


def _without_lines(service: PamService, path: str, parts: tuple[str, ...]) -> tuple[Fix, ...]:
    numbers = [number for number, _ in _numbered(service, parts)]
    if not numbers:
        return ()
    return (
        Fix(
            id=f"{PASSDB}/pam-line",
            title="Take the line out of the PAM file",
            commands=tuple(comment_line(path, number) for number in numbers),
            risk=Risk.MEDIUM,
            changes=(path,),
            verify=(PASSDB,),
            why="Somebody put it there: ask why before it goes.",
        ),
    )


def _restore_pam(service: PamService, path: str, distribution: Distribution | None) -> tuple[Fix, ...]:
    if service.name != "dovecot" or distribution is None or distribution.family != "debian":
        return ()
    return (
        Fix(
            id=f"{PASSDB}/restore-pam",
            title="Put the package's PAM file back",
            commands=(
                ("apt-get", "install", "--reinstall", "-y", "-o", "Dpkg::Options::=--force-confmiss", "dovecot-core"),
            ),
            changes=(path,),
            verify=(PASSDB,),
        ),
    )


@check(
    MECHANISMS,
    step=Step.AUTHENTICATION,
    asks="Does Dovecot offer a way to log in that mail programs know?",
    roles=SERVER,
    explained_by=DEAD,
)
def mechanisms(config: DovecotConfig) -> Iterator[Verdict]:
    """PAM needs the password itself: with CRAM-MD5 and its like the auth process ends ("can't be supported with given
    passdbs"). Without PLAIN or LOGIN most mail programs find no way in. Source: auth_mechanisms.
    """
    offered = tuple(each.lower() for each in config.words("auth_mechanisms")) or ("plain",)
    drivers = {each.driver for each in config.databases("passdb")}
    impossible = [each for each in offered if each in _CHALLENGE] if drivers and drivers <= _PLAIN_ONLY else []
    setting = config.source.find("auth_mechanisms")
    evidence = [Evidence("doveconf -a", f"auth_mechanisms = {' '.join(offered)}")]
    if setting:
        evidence.append(Evidence(setting.place.file, f"{setting.place.line}: {setting.raw}"))
    if impossible:
        left = [each for each in offered if each not in impossible]
        yield critical(
            f"auth_mechanisms has {', '.join(impossible)}, which {', '.join(sorted(drivers))} cannot check: "
            "the authentication process ends, and nobody can log in",
            evidence=tuple(evidence),
            fixes=_offer(setting, tuple(left) or _PLAIN, certain=True),
            explained_by=(),
        )
    elif not any(each in _PLAIN for each in offered):
        yield notice(
            f"auth_mechanisms offers neither PLAIN nor LOGIN, only {', '.join(offered) or 'nothing'}",
            detail="Mail programs that know nothing else cannot log in.",
            evidence=tuple(evidence),
            fixes=_offer(setting, (*_PLAIN, *offered), certain=False),
        )
    else:
        yield ok(f"Offered: {', '.join(offered)}", evidence=tuple(evidence))


def _offer(setting: Setting | None, words: tuple[str, ...], *, certain: bool) -> tuple[Fix, ...]:
    if setting is None:
        return ()
    value = " ".join(words)
    edit = Edit(setting.place, (f"auth_mechanisms = {value}",))
    return (
        Fix(
            id=f"{MECHANISMS}/offer",
            title=f"Offer {value}",
            commands=(*editing.commands((edit,)), RESTART),
            automatic=certain,
            changes=(setting.place.file,),
            verify=(MECHANISMS,),
            guards=GUARDS,
        ),
    )


@check(
    CLEARTEXT,
    step=Step.AUTHENTICATION,
    asks="Can mail programs send their passwords, and are these protected?",
    roles=SERVER,
    explained_by=DEAD,
)
def cleartext(config: DovecotConfig) -> Iterator[Verdict]:
    """Without TLS and without clear text, Dovecot announces LOGINDISABLED and nobody can log in.

    Sources: ssl, disable_plaintext_auth (2.3), auth_allow_cleartext (2.4).
    """
    name = "auth_allow_cleartext" if config.modern else "disable_plaintext_auth"
    value = config.value(name, "no" if config.modern else "yes")
    allowed = (value == "yes") is config.modern
    tls = config.value("ssl", "yes")
    evidence = [Evidence("doveconf -a", f"{name} = {value}\nssl = {tls}")]
    for each in (config.source.find(name), config.source.find("ssl")):
        if each:
            evidence.append(Evidence(each.place.file, f"{each.place.line}: {each.raw}"))
    if tls == "no" and not allowed:
        yield critical(
            f"Nobody can log in over the network: ssl = no, and {name} = {value} forbids passwords without TLS",
            detail='IMAP announces LOGINDISABLED and answers "authentication disallowed on non-secure connections".',
            subject="ssl",
            evidence=tuple(evidence),
            fixes=_tls_on(config),
            explained_by=(),
        )
    elif allowed and tls != "required":
        yield notice(
            "Passwords may cross the network in clear text",
            detail=f"{name} = {value}. Wherever clients come from another network, ssl = required protects them.",
            evidence=tuple(evidence),
        )
    else:
        yield ok("Passwords travel only under TLS", evidence=tuple(evidence))


def _tls_on(config: DovecotConfig) -> tuple[Fix, ...]:
    setting = config.source.find("ssl")
    names = ("ssl_server_cert_file", "ssl_server_key_file") if config.modern else ("ssl_cert", "ssl_key")
    if setting is None or not all(any(each.value for each in config.source.named(name)) for name in names):
        return ()
    return (
        Fix(
            id=f"{CLEARTEXT}/tls",
            title="Switch TLS on; certificate and key are configured",
            commands=(*editing.commands((Edit(setting.place, ("ssl = yes",)),)), RESTART),
            automatic=True,
            changes=(setting.place.file,),
            verify=(CLEARTEXT,),
            guards=GUARDS,
        ),
    )
