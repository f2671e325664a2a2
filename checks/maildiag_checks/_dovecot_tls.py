"""What Dovecot itself says of a TLS that it cannot set up, led back to the line of the setting that it names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.dovecot.mentioned import mentioned
from maildiag.dovecot.tree import Setting
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_log import MailLog
from maildiag.logs.summary import Group
from maildiag.model import Evidence, Fix, Verdict, critical

CHECK = "connectivity.certificate"
_MEANINGS = ("dovecot.certificate", "dovecot.key-mismatch", "dovecot.tls-init")
_REASON = re.compile(r"SSL(?: (?:server|client))? context: (?P<reason>.+?)(?:: user=<|$)")
# Each has a default that works; without the line TLS is as the package meant it.
_OPTIONAL = frozenset(
    [
        "ssl_min_protocol", "ssl_cipher_list", "ssl_cipher_suites", "ssl_curve_list", "ssl_options", "ssl_crypto_device",
        "ssl_server_prefer_ciphers", "ssl_prefer_server_ciphers", "ssl_dh", "ssl_server_dh_file",
    ]
)  # fmt: skip
_MEANT = (("cipher list", ("ssl_cipher_list",)), ("DH parameters", ("ssl_dh", "ssl_server_dh_file")))
_PAIRS = (("ssl_cert", "ssl_key"), ("ssl_server_cert_file", "ssl_server_key_file"))


def refused(log: MailLog | None, config: DovecotConfig | None) -> Verdict | None:
    """The latest line since Dovecot was started in which it says why a login process has no TLS; None where there is none.

    The configuration is accepted in all these cases: only the process that serves the first client meets the mistake.
    """
    found = [each for each in log.summary.of(*_MEANINGS) if not each.over] if log else []
    told = next(((each, match) for each in found if (match := _REASON.search(each.samples[-1]))), None)
    if told is None or log is None:
        return None
    group, match = told
    reason = match["reason"].strip().rstrip(".")
    setting = _named(reason, config)
    where = f"{setting.place}: " if setting and setting.place.file else ""
    return critical(
        f"{where}Dovecot cannot set up TLS: {reason}",
        detail="It accepts the configuration and starts; every client that wants TLS is turned away.",
        subject=setting.name if setting else "dovecot",
        evidence=_evidence(log, group, setting, config),
        fixes=_fixes(reason, setting, config),
        explained_by=(f"services.dovecot-config@{setting.name}",) if setting else (),
    )


def _named(reason: str, config: DovecotConfig | None) -> Setting | None:
    """The assignment of the setting that the reason names, or tells of by what it holds."""
    if config is None:
        return None
    found = mentioned(reason, config.source)
    meant = (last_of(config, name) for words, names in _MEANT for name in names if words in reason)
    return found[0] if found else next((each for each in meant if each), None)


def last_of(config: DovecotConfig, name: str) -> Setting | None:
    """The assignment of `name` that holds, at top level or within its section."""
    return next(reversed(tuple(config.source.named(name))), None)


def _evidence(
    log: MailLog, group: Group, setting: Setting | None, config: DovecotConfig | None
) -> tuple[Evidence, ...]:
    shown = [Evidence(log.source, group.samples[-1], group.last)]
    if setting and config and setting.place.file:
        shown.append(Evidence(setting.place.file, f"{setting.place.line}: {config.source_line(setting.place)}"))
    return tuple(shown)


def _fixes(reason: str, setting: Setting | None, config: DovecotConfig | None) -> tuple[Fix, ...]:
    if setting is None or config is None or not setting.place.file:
        return ()
    if setting.name in _OPTIONAL:
        return (_fix("default", f"Take the line out, so that {setting.name} has its default", (Edit(setting.place),)),)
    if "mixed" in reason:
        return _exchange(config)
    if not config.modern and setting.value.startswith("/"):
        line = setting.raw.replace(setting.value, f"<{setting.value}", 1)
        return (_fix("read-file", "Put the < in front of the file's name", (Edit(setting.place, (line,)),)),)
    return ()


def _exchange(config: DovecotConfig) -> tuple[Fix, ...]:
    """The names of certificate and key, each in the other's place."""
    for names in _PAIRS:
        one, other = (last_of(config, name) for name in names)
        if one and other and one.value and other.value:
            edits = (
                Edit(one.place, (one.raw.replace(one.value, other.value, 1),)),
                Edit(other.place, (other.raw.replace(other.value, one.value, 1),)),
            )
            return (_fix("exchange", "Exchange the files of certificate and key", edits),)
    return ()


def _fix(name: str, title: str, edits: Iterable[Edit]) -> Fix:
    kept = tuple(edits)
    return Fix(
        id=f"{CHECK}/dovecot-{name}",
        title=title,
        commands=(*editing.commands(kept), ("doveadm", "reload")),
        automatic=True,
        changes=editing.files(kept),
        verify=(CHECK, "connectivity.starttls"),
        guards=(("doveconf", "-n"),),
    )
