"""The people whose mail is here, and what Dovecot's user database says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, replace
from itertools import islice

from maildiag.asking import Ask
from maildiag.facts.accounts import Accounts
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.dovecot_daemon import DovecotDaemon
from maildiag.facts.mail_log import MailLog
from maildiag.facts.postfix import Postfix
from maildiag.facts.tables import Tables
from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import CommandResult, FileText, Identity, command
from maildiag.records import dataclass
from maildiag.registry import gatherer
from maildiag.settings import Settings

MOST_USERS = 50
MOST_PATHS = 12
_PATIENCE = 3.0
NO_SUCH_USER = 67
_TORN = re.compile(r"\s+(?:\{|\$\w+\$)")  # "alice {SHA512-CRYPT}$6$…"
_ERROR = re.compile(r"(?:Error|Fatal): (?:cmd [a-z ]+: )?(?P<text>.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MailUser:
    """A user: the userdb's fields (uid, gid, home, mail or mail_path), where INBOX is, and what went wrong.

    `status` is doveadm's exit status (sysexits: 0 found, 67 no such user, 75 temporary failure); `error` its words.
    """

    name: str
    fields: Mapping[str, str] = field(default_factory=dict)
    inbox: str = ""
    status: int = 0
    error: str = ""

    @property
    def home(self) -> str:
        """The home directory, "" where the userdb gives none."""
        return self.fields.get("home", "")


@dataclass(frozen=True, slots=True)
class MailUsers:
    """The users that were looked up, and why these; `silent` tells of doveadm giving no answer in time, `torn` how many
    names that it lists hold a password: lines of a passwd-file without the colon behind the name.
    """

    chosen: str
    users: tuple[MailUser, ...]
    silent: str = ""
    torn: int = 0

    def named(self, name: str) -> MailUser | None:
        """The user of that name."""
        return next((each for each in self.users if each.name == name), None)


def inbox_query(user: str) -> tuple[str, ...]:
    """The command that tells where a user's INBOX is: of the mail itself, since the default is the index's place."""
    return ("doveadm", "mailbox", "path", "-u", user, "-t", "mailbox", "INBOX")


_TABLE = re.compile(r"^field\s+value$", re.M)  # the head of each user's table
_PATH = re.compile(r"/[^\n]*")
_ITSELF = command("doveadm", "help", timeout=2.0)  # asks no other process


@dataclass(frozen=True, slots=True)
class ListedUsers:
    """The users that were looked up without the log's help; not `enough` where a list of them is not to be had."""

    found: MailUsers
    enough: bool


@gatherer
def listed_users(
    ask: Ask,
    settings: Settings,
    config: DovecotConfig,
    daemon: DovecotDaemon | None,
    accounts: Accounts | None,
    identity: Identity | None = None,
) -> ListedUsers:
    """Look up the users of the settings; else the people among the system's accounts, or what the userdb lists.

    A look-up needs no password and leaves no failed login behind. Without root Dovecot refuses it, and logs an error.
    """
    if daemon is not None and not daemon.running:
        return ListedUsers(MailUsers("Dovecot does not run", ()), enough=True)
    if identity is not None and not identity.privileged:
        raise Missing(Gap(GapReason.DENIED, "Dovecot lets only root look other users up", "needs root"))
    names, chosen = _choose(ask, settings, config, accounts)
    listed = tuple(each for each in names if not _TORN.search(each))
    found = _look_up(ask, listed, chosen) if listed else MailUsers(chosen, ())
    return ListedUsers(replace(found, torn=len(names) - len(listed)), enough=bool(listed))


@gatherer
def mail_users(
    ask: Ask,
    listed: ListedUsers,
    accounts: Accounts | None,
    postfix: Postfix | None = None,
    tables: Tables | None = None,
    log: MailLog | None = None,
) -> MailUsers:
    """The users that are listed; where none are, the addresses that Postfix has Dovecot deliver to, or those that the log
    tells of.
    """
    if listed.enough:
        return listed.found
    if names := _delivered_to(postfix, tables):
        return replace(_look_up(ask, names, "the addresses in virtual_mailbox_maps"), torn=listed.found.torn)
    if log is None or not (names := _in_log(log, accounts)):
        return listed.found
    found = _look_up(ask, names, "those of the log whose mail goes to mailboxes")
    # some may be gone since, and some were never ours
    users = tuple(each for each in found.users if each.status != NO_SUCH_USER and each.fields)
    return replace(found, users=users, torn=listed.found.torn)


def _look_up(ask: Ask, names: tuple[str, ...], chosen: str) -> MailUsers:
    """What Dovecot says of these users. Raises Missing where doveadm(1) says nothing of use."""
    answer = ask.maybe(command("doveadm", "user", *names, timeout=_PATIENCE))
    if isinstance(answer, Gap):
        if answer.reason is not GapReason.TIMEOUT or isinstance(ask.maybe(_ITSELF), Gap):
            raise Missing(answer)
        return MailUsers(chosen, (), str(answer))
    if not _TABLE.search(answer.stdout) and not first_error(answer.stderr):
        raise Missing(Gap(GapReason.FAILED, f"doveadm user told of no user and no error (exit status {answer.status})"))
    fields = _fields(answer, names)
    asked = names[:MOST_PATHS]
    paths = ask.all([command(*inbox_query(name), timeout=_PATIENCE) for name in asked])
    users = []
    for number, name in enumerate(names):
        path = paths[number] if number < len(paths) else None
        users.append(_user(name, fields.get(name, {}), path))
    return MailUsers(chosen, tuple(users))


def _choose(
    ask: Ask, settings: Settings, config: DovecotConfig, accounts: Accounts | None
) -> tuple[tuple[str, ...], str]:
    if settings.test_users:
        return settings.test_users[:MOST_USERS], "test_users of the configuration"
    drivers = [each.driver for each in config.databases("userdb")]
    if "passwd" in drivers or not drivers:
        people = tuple(each.name for each in accounts.people) if accounts else ()
        if people:
            return people[:MOST_USERS], "the accounts of people on this host"
    if "passwd-file" in drivers:
        listed = ask.maybe(command("doveadm", "user", "*"))
        if isinstance(listed, CommandResult) and listed.status == 0:
            return tuple(listed.stdout.splitlines()[:MOST_USERS]), "the users that doveadm lists"
    return (), "no users are known: name some with test_users in maildiag's configuration"


def _delivered_to(postfix: Postfix | None, tables: Tables | None) -> tuple[str, ...]:
    """Addresses of virtual_mailbox_maps, where a transport hands their mail to Dovecot: it must know each of them."""
    if postfix is None or tables is None or not postfix.get("virtual_transport").startswith(("lmtp", "dovecot")):
        return ()
    texts = [each.text for each in tables.tables if "virtual_mailbox_maps" in each.users]
    lines = [line for text in texts if isinstance(text, FileText) for line in text.text.splitlines()]
    found = re.compile(r"[\w.+=-]+@[\w.-]+(?=\s)")
    return tuple(dict.fromkeys(match[0] for line in lines if (match := found.match(line))))[:MOST_USERS]


def _in_log(log: MailLog, accounts: Accounts | None) -> tuple[str, ...]:
    """Whoever got most mail, for a data base that is not asked for all its users (SQL, LDAP, static)."""
    people = {each.name for each in accounts.people} if accounts else set()
    found = (each for each in log.summary.mailboxes if each in people or re.fullmatch(r"[\w.+=-]+@[\w.-]+", each))
    return tuple(islice(found, MOST_PATHS))


def _fields(answer: CommandResult, names: tuple[str, ...]) -> dict[str, Mapping[str, str]]:
    """The userdb's fields by user: `doveadm user A B C` prints a block for each it finds, in their order."""
    blocks = parse_users(answer.stdout)
    failed = set(re.findall(r"userdb lookup: user (\S+) doesn't exist", answer.stderr))
    found = [name for name in names if name not in failed]
    return dict(zip(found, blocks, strict=True)) if len(found) == len(blocks) else {}


def parse_users(text: str) -> list[Mapping[str, str]]:
    """The blocks of `doveadm user`, each beginning with `uid`."""
    blocks: list[dict[str, str]] = []
    for line in text.splitlines():
        name, tab, value = line.partition("\t")
        if not tab or (name, value) == ("field", "value"):
            continue
        if name == "uid" or not blocks:
            blocks.append({})
        blocks[-1][name] = value
    return list(blocks)


def _user(name: str, fields: Mapping[str, str], path: CommandResult | Gap | None) -> MailUser:
    if path is None:
        return MailUser(name, fields)
    if isinstance(path, Gap):
        return MailUser(name, fields, "", -1, str(path))
    inbox = path.stdout.strip() if path.status == 0 else ""
    if inbox and not _PATH.fullmatch(inbox):
        return MailUser(name, fields, "", -1, f"doveadm mailbox path printed no path but {inbox[:80]!r}")
    return MailUser(name, fields, inbox, path.status, first_error(path.stderr))


def first_error(stderr: str) -> str:
    """The first complaint of doveadm, without its prefix."""
    match = _ERROR.search(stderr)
    return match["text"].strip() if match else ""
