"""Step 7: can users log in, and does Dovecot find their mailboxes?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.dovecot.tree import Setting
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.dovecot_daemon import DovecotDaemon
from maildiag.facts.mail_log import MailLog
from maildiag.facts.mail_users import NO_SUCH_USER, MailUser, MailUsers, inbox_query
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.model import (
    Evidence,
    Fix,
    Risk,
    Step,
    Verdict,
    critical,
    notice,
    ok,
    skipped,
    unknown,
    warning,
)
from maildiag.probes import Identity
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks import _namespaces
from maildiag_checks._auth_words import complaints, mailbox_complaints
from maildiag_checks._main_cf import shown
from maildiag_checks._sockets import DEAD, GUARDS, RELOAD, RESTART, take_out

USERS = "authentication.users"
PASSDB = "authentication.passdb"
MECHANISMS = "authentication.mechanisms"
CLEARTEXT = "authentication.cleartext"
_PLAIN = ("plain", "login")
_PLAIN_ONLY = frozenset({"pam", "bsdauth", "imap"})
_CHALLENGE = frozenset({"cram-md5", "digest-md5", "apop", "ntlm", "rpa", "skey", "otp", "scram-sha-1", "scram-sha-256"})


@check(
    USERS,
    step=Step.AUTHENTICATION,
    asks="Does Dovecot find the users and their mailboxes?",
    roles=SERVER,
    explained_by=("authentication.passdb", *DEAD),
)
def users(
    users: MailUsers,
    config: DovecotConfig,
    daemon: DovecotDaemon | None,
    identity: Identity | None,
    log: MailLog | None,
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
    if users.torn:
        yield _torn(users, config)
    if not users.users:
        told = tuple(mailbox_complaints(log, config)) if not users.torn else ()
        yield from told
        if not told and not users.torn:
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


def _torn(users: MailUsers, config: DovecotConfig) -> Verdict:
    """passwd(5): what stands before the first colon is the name, whatever it was meant to be."""
    files = [each.args.split()[-1] for each in config.databases("userdb") if each.driver == "passwd-file" and each.args]
    path = next(iter(files), "") or config.value("passwd_file_path") or "the file of the users"
    return (warning if users.users else critical)(
        f"{plural(users.torn, 'line')} of {path} {'has' if users.torn == 1 else 'have'} no colon behind the name",
        detail="The password is taken for a part of the name: such a user is known to nobody, and cannot log in.",
        subject=path,
        evidence=(Evidence("doveadm user '*'", f"{plural(users.torn, 'name')} with a password within"),),
        fixes=(
            Fix(
                id=f"{USERS}/colons",
                title=f"Write a colon behind each name in {path}",
                ask="NAME:PASSWORD:UID:GID::HOME::",
                verify=(USERS,),
            ),
        ),
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


def _unwritten(chars: Setting, group: list[MailUser], names: str, evidence: tuple[Evidence, ...]) -> Verdict:
    """A letter that is missing from the list makes a name that is no user's, and the password a wrong one."""
    missing = "".join(sorted(set("".join(each.name for each in group)) - set(chars.value)))
    title = "Take the line out, so that auth_username_chars has its default again"
    return critical(
        f"{chars.place}: auth_username_chars leaves out {missing}, and {names} cannot log in",
        detail='To the user it looks like a wrong password. The default is "a-z A-Z 0-9 . - _ @", each of them written out.',
        subject="auth_username_chars",
        evidence=(*evidence, Evidence(chars.place.file, f"{chars.place.line}: {chars.raw.strip()}")),
        fixes=(take_out(chars, USERS, "username-chars", title),),
    )


def _failure(users: MailUsers, config: DovecotConfig, kind: str, group: list[MailUser]) -> Verdict:
    names = ", ".join(each.name for each in group[:5]) + (" …" if len(group) > 5 else "")
    first = group[0]
    evidence = tuple(
        Evidence(" ".join(inbox_query(each.name)), f"{each.error} (exit status {each.status})") for each in group[:3]
    )
    if kind in ("uid", "gid"):
        return _out_of_range(config, kind, group, names, evidence)
    chars = config.source.find("auth_username_chars")
    if kind == "absent" and chars and all(set(each.name) - set(chars.value) for each in group):
        return _unwritten(chars, group, names, evidence)
    if kind == "absent":
        changing = next((found for name in _CHANGE_NAMES if (found := config.source.find(name))), None)
        changing = changing if len(group) == len(users.users) else None
        where = f"{changing.place}: {changing.name} = {changing.value}, and " if changing else ""
        return critical(
            f"{where}Dovecot knows no user {names}",
            detail=f"Chosen as {users.chosen}. Mail for such a user bounces, and the login fails like a wrong password."
            + (" The setting changes each name before it is looked up." if changing else ""),
            subject=first.name if len(group) == 1 else "users",
            evidence=(*evidence, *([Evidence(changing.place.file, changing.raw.strip())] if changing else [])),
            fixes=(_as_given(changing),) if changing else (),
        )
    about = _namespaces.lines(config, first.error)
    if not about and not config.databases("userdb"):
        return _no_userdb(names, evidence)
    where = f"{about[0].place}: " if about else ""
    return critical(
        f"{where}Dovecot cannot look up {names}: {first.error or 'it gives no reason'}",
        subject=first.name if len(group) == 1 else "users",
        evidence=(*evidence, *_namespaces.shown(config, first.error)),
        fixes=_namespaces.fixes(config, first.error),
    )


def _no_userdb(names: str, evidence: tuple[Evidence, ...]) -> Verdict:
    """Without a userdb the passdb alone would have to tell the account, which PAM does not."""
    return critical(
        f"No userdb is configured: Dovecot knows neither the account nor the home of {names}",
        detail="The password is right, and the login fails all the same; LMTP delivers to nobody.",
        subject="userdb",
        evidence=(Evidence("doveconf -n", "no userdb section"), *evidence),
        fixes=(
            Fix(
                id=f"{USERS}/add-userdb",
                title="Add a userdb: passwd for the accounts of this host",
                ask="userdb {\n  driver = passwd\n}\nOn Dovecot 2.4: userdb passwd {\n}\nThen: systemctl restart dovecot",
                verify=(USERS,),
            ),
        ),
    )


# Dovecot 2.3 and 2.4
_CHANGE_NAMES = ("auth_default_realm", "auth_default_domain", "auth_username_format", "auth_username_translation")


def _as_given(setting: Setting) -> Fix:
    return take_out(
        setting, USERS, "as-given", f"Take the line out, so that names are looked up without {setting.name}"
    )


def _numbers(group: list[MailUser], kind: str) -> Iterator[int]:
    """The users' numbers, from the look-up or from what Dovecot says of them: "Mail access for users with UID 1000 not permitted"."""
    for each in group:
        told = re.search(rf"{kind.upper()} (\d+) not permitted", each.error)
        number = each.fields.get(kind, "") or (told[1] if told else "")
        if number.isdigit():
            yield int(number)


def _out_of_range(
    config: DovecotConfig, kind: str, group: list[MailUser], names: str, evidence: tuple[Evidence, ...]
) -> Verdict:
    numbers = sorted(_numbers(group, kind))
    last = config.source.find(f"last_valid_{kind}")
    if last and last.value.isdigit() and numbers and 0 < int(last.value) < numbers[-1]:
        return _beyond(last, group, names, evidence)
    setting = config.source.find(f"first_valid_{kind}")
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


def _beyond(last: Setting, group: list[MailUser], names: str, evidence: tuple[Evidence, ...]) -> Verdict:
    return critical(
        f"{last.name} = {last.value} shuts {plural(len(group), 'user')} out of the mailboxes: {names}",
        detail="Dovecot gives nobody a mailbox whose number lies outside of first_valid and last_valid.",
        subject=last.name,
        evidence=(*evidence, Evidence(last.place.file, f"{last.place.line}: {last.raw}")),
        fixes=(take_out(last, USERS, "no-last-valid", "Take the line out: by default there is no highest number"),),
        explained_by=(),
    )


@check(
    MECHANISMS,
    step=Step.AUTHENTICATION,
    asks="Does Dovecot offer a way to log in that mail programs know?",
    roles=SERVER,
    explained_by=DEAD,
)
def mechanisms(
    config: DovecotConfig,
    log: MailLog | None,
    postfix_config: PostfixConfig | None = None,
    postfix_process: PostfixProcess | None = None,
) -> Iterator[Verdict]:
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
    elif postfix_config is not None and _no_plain_text(postfix_config) and set(offered) <= set(_PLAIN):
        yield _nothing_left(offered, postfix_config, postfix_process, tuple(evidence))
    elif told := tuple(complaints(log, config, MECHANISMS, of_mechanisms=True)):
        yield from told
    elif turned_away := _without_certificate(config, log):
        yield turned_away
    elif not any(each in _PLAIN for each in offered):
        yield notice(
            f"auth_mechanisms offers neither PLAIN nor LOGIN, only {', '.join(offered) or 'nothing'}",
            detail="Mail programs that know nothing else cannot log in.",
            evidence=tuple(evidence),
            fixes=_offer(setting, (*_PLAIN, *offered), certain=False),
        )
    else:
        yield ok(f"Offered: {', '.join(offered)}", evidence=tuple(evidence))


_CERTIFICATES = "auth_ssl_require_client_cert"


def _without_certificate(config: DovecotConfig, log: MailLog | None) -> Verdict | None:
    """Mail programs that want to log in and are refused before they can, where nobody gets in.

    Where people have certificates, and strangers who guess passwords have none, somebody does.
    """
    refused = [each for each in log.summary.of("dovecot.client-certificate") if not each.over] if log else []
    setting = config.source.find(_CERTIFICATES)
    start = log.summary.last_start("dovecot") if log else None
    if log is None or not refused or setting is None or setting.value != "yes":
        return None
    if log.summary.last_login and not (start and start.when and log.summary.last_login < start.when):
        return None
    return critical(
        f"{setting.place}: {_CERTIFICATES} = yes, and every login is refused: mail programs show no certificate of their own",
        detail=f"{plural(sum(each.since_start for each in refused), 'attempt')} since Dovecot was started, and nobody has logged in.",
        subject=_CERTIFICATES,
        evidence=(
            Evidence(setting.place.file, f"{setting.place.line}: {setting.raw}"),
            *(Evidence("mail log", each.samples[-1], each.last) for each in refused[:2]),
        ),
        fixes=(
            Fix(
                id=f"{MECHANISMS}/without-certificate",
                title="Let those in that have a password and no certificate",
                commands=(*editing.commands((Edit(setting.place),)), RESTART),
                risk=Risk.MEDIUM,
                changes=(setting.place.file,),
                verify=(MECHANISMS,),
                guards=GUARDS,
                why="If certificates are meant, give one to each user instead, and leave the setting.",
            ),
        ),
    )


_SECURITY = "smtpd_sasl_security_options"


def _no_plain_text(config: PostfixConfig) -> bool:
    dovecot = config.get("smtpd_sasl_type") == "dovecot" and config.context.yes("smtpd_sasl_auth_enable")
    return dovecot and "noplaintext" in config.context.words(_SECURITY)


def _nothing_left(
    offered: tuple[str, ...], config: PostfixConfig, process: PostfixProcess | None, evidence: tuple[Evidence, ...]
) -> Verdict:
    """smtpd takes no mechanism that sends the password itself, and Dovecot has no other: smtpd stops as it starts."""
    rest = ", ".join(word for word in config.context.words(_SECURITY) if word != "noplaintext") or "noanonymous"
    return critical(
        f"{_SECURITY} forbids plain text mechanisms, and Dovecot has only {', '.join(offered)}: smtpd does not start",
        detail="It says: fatal: no SASL authentication mechanisms. Passwords are protected by TLS: smtpd_tls_auth_only = yes.",
        subject=_SECURITY,
        evidence=(*shown(config, _SECURITY), *evidence),
        fixes=(
            Fix(
                id=f"{MECHANISMS}/allow-plain",
                title=f"Set {_SECURITY} to {rest}, and let passwords pass under TLS only",
                commands=(
                    ("postconf", "-e", f"{_SECURITY}={rest}", "smtpd_tls_auth_only=yes"),
                    *(process or PostfixProcess(False, False)).restarts,
                ),
                automatic=True,
                changes=(config.main.path,),
                verify=(MECHANISMS,),
            ),
        ),
        explained_by=(),
    )


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
