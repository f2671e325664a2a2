"""Step 1, Dovecot's limits: processes, clients, memory and open files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.dovecot.tree import Setting
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_log import MailLog
from maildiag.logs.summary import Group
from maildiag.model import Confidence, Evidence, Fix, Step, Verdict, critical, notice, ok, warning
from maildiag.registry import SERVER, check

CHECK = "services.dovecot-limits"
_MEANINGS = (
    "dovecot.client-limit",
    "dovecot.process-limit",
    "dovecot.fd-limit",
    "dovecot.limits",
    "dovecot.out-of-memory",
)
_SIZE = re.compile(r"(?P<number>\d+)\s*(?P<unit>[kKmMgGtT]?)[bB]?$")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_LEAST_MEMORY = 64 << 20
_LEAST_CONNECTIONS = 3
# Measured on Debian 12 with the password hashes of its default, yescrypt ($y$j9T$): logins fail at 24 M and work at 28 M.
_YESCRYPT = 28 << 20
_SYSTEM_PASSWORDS = frozenset({"pam", "passwd", "shadow"})


@check(
    CHECK,
    step=Step.SERVICES,
    asks="Has Dovecot room for its clients?",
    roles=SERVER,
    explained_by=("services.memory", "services.dovecot-config"),
)
def limits(config: DovecotConfig, log: MailLog | None) -> Iterator[Verdict]:
    """At a limit Dovecot drops clients: they connect, are greeted perhaps, and hang. Its log names the limit.

    Sources: service limits in Dovecot's documentation (process_limit, client_limit, vsz_limit), systemd.exec(5)
    LimitNOFILE.
    """
    said = False
    for verdict in (*_configured(config, log), *_logged(config, log)):
        said = True
        yield verdict
    if not said:
        yield ok("No limit of Dovecot is reached" if log else "No limit of Dovecot is set too low")


def _configured(config: DovecotConfig, log: MailLog | None) -> Iterator[Verdict]:
    """How little is too little depends on the release and the mailbox: a small limit is a fault once processes end by it."""
    ended = bool(log and any(not each.over for each in log.summary.of("dovecot.out-of-memory")))
    for setting in config.source.settings:
        size = size_of(setting.value) if setting.name in ("default_vsz_limit", "vsz_limit") else None
        if size is not None and 0 < size < _LEAST_MEMORY:
            yield _too_small(setting) if ended else _cramped(config, log, setting, size) or _small(setting)
        few = setting.name == "mail_max_userip_connections" and setting.value.isdigit()
        if few and 0 < int(setting.value) < _LEAST_CONNECTIONS:
            yield _too_few(setting)


def size_of(value: str) -> int | None:
    """`256 M` in bytes, None for what is no size."""
    match = _SIZE.match(value.strip())
    return int(match["number"]) * _UNITS[match["unit"].lower()] if match else None


def _shown(setting: Setting) -> tuple[Evidence, ...]:
    return (Evidence(setting.place.file, f"{setting.place.line}: {setting.raw}"),)


def _default_again(setting: Setting) -> Fix:
    edits = (Edit(setting.place),)
    return Fix(
        id=f"{CHECK}/default",
        title=f"Take the line out, so that {setting.name} has its default again",
        commands=(*editing.commands(edits), ("systemctl", "restart", "dovecot")),
        automatic=True,
        changes=(setting.place.file,),
        verify=(CHECK,),
        guards=(("doveconf", "-n"),),
    )


def _too_small(setting: Setting) -> Verdict:
    return critical(
        f"{setting.place}: {setting.name} = {setting.value} is too little memory for a Dovecot process",
        detail='Processes that need more end with "Out of memory"; the default is 256 M.',
        subject=setting.name,
        evidence=_shown(setting),
        fixes=(_default_again(setting),),
        explained_by=(),
    )


def _cramped(config: DovecotConfig, log: MailLog | None, setting: Setting, size: int) -> Verdict | None:
    """A limit in which the right password counts as a wrong one, and nothing is logged but that."""
    service = setting.within[-1].name if setting.within else "auth-worker"
    hashed = any(each.driver in _SYSTEM_PASSWORDS for each in config.databases("passdb"))
    if size >= _YESCRYPT or not hashed or service not in ("auth", "auth-worker"):
        return None
    failing = bool(log and log.summary.auth_failures_by_user)
    return (critical if failing else warning)(
        f"{setting.place}: {setting.name} = {setting.value} leaves too little memory to verify a system password",
        detail="A yescrypt hash needs 16 M by itself. The right password is refused like a wrong one, and the log tells no more.",
        subject=setting.name,
        evidence=_shown(setting),
        fixes=(_default_again(setting),),
        explained_by=(),
        confidence=Confidence.LIKELY,
    )


def _small(setting: Setting) -> Verdict:
    return notice(
        f"{setting.place}: {setting.name} = {setting.value} is little memory for a Dovecot process; none has ended by it",
        detail='The default is 256 M. Large mailboxes need more: "Out of memory".',
        subject=setting.name,
        evidence=_shown(setting),
    )


def _too_few(setting: Setting) -> Verdict:
    return warning(
        f"{setting.place}: {setting.name} = {setting.value}: one mail program alone uses more connections",
        detail='"Maximum number of connections from user+IP exceeded"; the default is 10.',
        subject=setting.name,
        evidence=_shown(setting),
        fixes=(_default_again(setting),),
    )


def _logged(config: DovecotConfig, log: MailLog | None) -> Iterator[Verdict]:
    groups = [each for each in log.summary.of(*_MEANINGS) if not each.over] if log else []
    seen: set[str] = set()
    for each in groups:
        subject = each.fields.get("service", each.meaning.removeprefix("dovecot."))
        if subject not in seen:
            seen.add(subject)
            yield _reached(config, each, subject)


def _reached(config: DovecotConfig, group: Group, subject: str) -> Verdict:
    setting = group.fields.get("setting", "process_limit" if group.meaning.endswith("process-limit") else "")
    limit = group.fields.get("limit", "")
    evidence = (Evidence("log", group.samples[-1], group.last),)
    match group.meaning:
        case "dovecot.fd-limit":
            needed = group.fields.get("needed", "more")
            return warning(
                f"Dovecot may open {limit} files, and its limits on clients need {needed}",
                detail="With enough clients it cannot accept more. LimitNOFILE of its unit sets it.",
                subject="fd-limit",
                evidence=evidence,
                fixes=(_more_files(needed),),
            )
        case "dovecot.limits":
            return warning(
                f"service {subject}: {setting} = {limit} is lower than its clients may need",
                subject=subject,
                evidence=evidence,
            )
        case "dovecot.out-of-memory":
            return critical(
                "A Dovecot process reached its memory limit (vsz_limit)",
                detail="What it did for its client ended in the middle.",
                subject="memory",
                evidence=evidence,
                explained_by=(f"{CHECK}@default_vsz_limit", f"{CHECK}@vsz_limit", "services.memory"),
            )
    found = _set_by_hand(config, subject, setting, limit)
    what = f"{setting or 'its limit'} {limit}" if found is None else f"{found.name} = {found.value}"
    return critical(
        f"{f'{found.place}: ' if found else ''}service {subject} reached {what}: clients are dropped",
        detail=f"{group.count} times since Dovecot was started. Look whether clients hang before the limit is raised.",
        subject=subject,
        data={"limit": limit, "count": group.count},
        evidence=(*evidence, *(_shown(found) if found else ())),
        fixes=(_default_again(found),) if found else (),
    )


def _more_files(needed: str) -> Fix:
    return Fix(
        id=f"{CHECK}/more-files",
        title="Let Dovecot's unit open more files",
        verify=(CHECK,),
        ask=f"systemctl edit dovecot, [Service] LimitNOFILE={needed} or more, then systemctl restart dovecot",
    )


def _set_by_hand(config: DovecotConfig, service: str, setting: str, limit: str) -> Setting | None:
    """The limit that somebody set in the files. Dovecot names how many clients each process takes, also where only the
    number of processes is unusual: both together are the limit (master-settings, client_limit).
    """
    own = [
        each
        for each in config.source.settings
        if each.within and (each.within[-1].kind, each.within[-1].name) == ("service", service)
    ]
    named = [each for each in own if each.name == setting.split("/")[0] and each.value == limit]
    processes = [each for each in own if each.name == "process_limit"]
    once = [each for each in own if each.name in ("service_count", "restart_request_count") and each.value == limit]
    return next(iter((*named, *processes, *once)), None)
