"""Logins that Dovecot's own rules refuse, whatever the password: lists of denied users, and networks that may log in."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from maildiag.asking import Ask
from maildiag.dovecot.tree import Section, Setting
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_log import MailLog
from maildiag.probes import FileText, ReadFile
from maildiag.records import dataclass
from maildiag.registry import gatherer

# Dovecot 2.3: "pam(alice,10.0.1.21,<…>): pam_acct_mgmt() failed: …"; 2.4: "auth-worker(alice,10.0.1.21)<…>: …: pam: pam_acct_mgmt() …"
_ACCOUNT = re.compile(
    r"(?:pam|auth-worker)\((?P<user>[^,()]+),[^)]*\).*?: (?:pam: )?(?P<why>pam_acct_mgmt\(\) failed: .*)"
)
_MOST = 20
_NOT_NAMES = r"(?m)^([^:\n]*:).+$"
_PATH = re.compile(r"(?:^|[\s=:])(/\S+)$")
_IN_ARGUMENTS = re.compile(r"(?:^|\s)allow_nets=(\S+)")


@dataclass(frozen=True, slots=True)
class DeniedUser:
    """A user whose logins fail, and the passdb with `deny = yes` that has the name in line `number` of `path`."""

    user: str
    failures: int
    setting: Setting
    path: str
    number: int


@dataclass(frozen=True, slots=True)
class ShutOut:
    """Addresses whose logins fail and that a passdb's `allow_nets`, the same for every user, leaves out."""

    setting: Setting
    networks: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefusedLogins:
    """What was found; `told` are user, Dovecot's reason and the count, where the log names another than a wrong password."""

    denied: tuple[DeniedUser, ...] = ()
    shut_out: tuple[ShutOut, ...] = ()
    told: tuple[tuple[str, str, int], ...] = ()


@gatherer
def refused_logins(ask: Ask, log: MailLog, config: DovecotConfig) -> RefusedLogins:
    """Look the users and addresses of failed logins up in the rules; where no login fails, nothing is asked."""
    users, addresses = log.summary.auth_failures_by_user, log.summary.auth_failures_by_address
    sections = config.source.of_kind("passdb")
    denied = [one for each in sections for one in _denied(ask, config, each, dict(users))] if users else []
    shut_out = [one for each in config.source.settings for one in _shut_out(each, tuple(addresses))]
    told = tuple((user, why, count) for (user, why), count in log.summary.refused_logins.items() if user)
    told += tuple(_by_pam(log))
    return RefusedLogins(tuple(denied[:_MOST]), tuple(shut_out), told[:_MOST])


def _by_pam(log: MailLog) -> Iterator[tuple[str, str, int]]:
    """The users whose password PAM took, and whose account it refused all the same (pam_acct_mgmt(3))."""
    for group in log.summary.of("dovecot.auth-refused"):
        match = None if group.over else _ACCOUNT.search(group.samples[-1])
        if match:
            yield match["user"], match["why"], group.count


def _denied(ask: Ask, config: DovecotConfig, section: Section, users: dict[str, int]) -> Iterator[DeniedUser]:
    """The users in the passwd-file of a passdb with `deny = yes`; nothing but names is read."""
    inside = config.source.inside(section)
    setting = next((each for each in inside if each.full_name == "passdb_deny" and each.value == "yes"), None)
    named = [each for each in inside if each.name in ("args", "passwd_file_path", "passdb_passwd_file_path")]
    path = _PATH.search(named[-1].value) if named else None
    if setting is None or path is None:
        return
    text = ask.maybe(ReadFile(path[1], hide=_NOT_NAMES))
    lines = text.text.splitlines() if isinstance(text, FileText) else []
    for number, line in enumerate(lines, 1):
        name = line.partition(":")[0]
        matching = [user for user in users if name and name in (user, user.partition("@")[0])]
        if matching:
            yield DeniedUser(matching[0], users[matching[0]], setting, path[1], number)


def _shut_out(setting: Setting, addresses: tuple[str, ...]) -> Iterator[ShutOut]:
    """`allow_nets` of a passdb's own fields, in 2.4's section or 2.3's list of words."""
    if not any(each.kind == "passdb" for each in setting.within):
        return
    plain = setting.value if setting.name == "allow_nets" else ""
    words = (
        _IN_ARGUMENTS.search(setting.value) if setting.name in ("override_fields", "default_fields", "args") else None
    )
    networks = tuple(each for each in (words[1] if words else plain).split(",") if each)
    if not networks or any("%" in each for each in networks):
        return
    outside = tuple(each for each in addresses if each and not any(_holds(network, each) for network in networks))
    if outside:
        yield ShutOut(setting, networks, outside[:_MOST])


def _holds(network: str, address: str) -> bool:
    """True also where one of the two cannot be read: nothing is said of what is not understood."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return network != "local"
