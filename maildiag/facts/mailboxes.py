"""Where Postfix puts mail and where Dovecot looks for it, and whether each user may use the directories and files there."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath

from maildiag.access import READ, SEARCH, WRITE, allows
from maildiag.asking import Ask
from maildiag.facts.accounts import Accounts
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_users import MailUser, MailUsers
from maildiag.facts.postfix import Postfix
from maildiag.model import Gap, GapReason, is_absent
from maildiag.probes import CommandResult, Directory, FileInfo, FileKind, ListDirectory, Stat, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

_SAMPLE = 60
_FOLDERS = 12
_LINKS = 4
_MADE_WITHOUT = ("/nonexistent", "/dev/null", "/var/empty")
_NO_HOMES = ("", "/", *_MADE_WITHOUT)
_BY_DOVECOT = ("dovecot-lda", "dovecot/deliver")


@dataclass(frozen=True, slots=True)
class Trouble:
    """A path that its user cannot use: `needs` in words (search, write, read, own, enter what is no directory,
    append to what is one, or follow a link to nowhere)."""

    path: str
    needs: str
    info: FileInfo | None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One user's mail: the account that Dovecot works as, INBOX, where Postfix delivers ("" where Dovecot does it or it
    cannot be told), and what stands in the way.

    `waiting` counts messages at Postfix's place, `seen` those at Dovecot's, where both places were looked at. `locked`: there
    is no home, and no password that opens the account.
    """

    user: str
    owner: str
    group: str
    home: str
    inbox: str
    delivered: str = ""
    exists: bool = True
    homeless: bool = False
    locked: bool = False
    troubles: tuple[Trouble, ...] = ()
    waiting: int = 0
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """How Postfix delivers to local users: the setting that decides, and the place with USER and HOME to be filled in."""

    setting: str
    value: str
    by_dovecot: bool = False
    in_home: str = ""
    spool: str = ""

    def place(self, user: str, home: str) -> str:
        """The path for one user; a slash at its end means Maildir format. "" where it cannot be told."""
        if self.in_home and home:
            return f"{home}/{self.in_home}"
        if self.spool:
            slash = "/" if self.spool.endswith("/") else ""
            return f"{self.spool.rstrip('/')}/{user}{slash}"
        return ""


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """The mailboxes that were looked at, and how Postfix delivers to local users."""

    delivery: Delivery
    boxes: tuple[Mailbox, ...]


def delivery_of(postfix: Postfix) -> Delivery:
    """Which setting decides, in local(8)'s order: mailbox_transport, mailbox_command, home_mailbox, the spool directory."""
    for setting in ("mailbox_transport_maps", "mailbox_transport", "mailbox_command_maps", "mailbox_command"):
        value = postfix.get(setting)
        if value:
            by_dovecot = value.startswith("lmtp:") or any(each in value for each in _BY_DOVECOT)
            return Delivery(setting, value, by_dovecot or value.startswith("dovecot"))
    if not postfix.get("local_transport", "local").startswith("local"):
        value = postfix.get("local_transport")
        return Delivery("local_transport", value, value.startswith(("lmtp:", "dovecot")))
    home = postfix.get("home_mailbox")
    if home:
        return Delivery("home_mailbox", home, in_home=home)
    spool = postfix.get("mail_spool_directory", "/var/mail")
    return Delivery("mail_spool_directory", spool, spool=spool)


@gatherer
def mailboxes(
    ask: Ask, users: MailUsers, config: DovecotConfig, postfix: Postfix | None, accounts: Accounts
) -> Mailboxes:
    """Look at the home, the INBOX and a sample of its files for each user that Dovecot finds."""
    delivery = delivery_of(postfix) if postfix is not None and postfix.installed else Delivery("", "", True)
    extra = tuple(config.words("mail_access_groups"))
    people = [each for each in users.users if each.status == 0 and not _without_home(each)]
    found = [_mailbox(ask, each, delivery, accounts, extra) for each in people]
    return Mailboxes(delivery, tuple(found))


def _without_home(user: MailUser) -> bool:
    """An account that was made with no home on purpose, and whose INBOX would be in it, takes no mail."""
    return user.home in _MADE_WITHOUT and user.inbox.startswith(f"{user.home}/")


def _mailbox(ask: Ask, user: MailUser, delivery: Delivery, accounts: Accounts, extra: tuple[str, ...]) -> Mailbox:
    uid, gid = user.fields.get("uid", ""), user.fields.get("gid", "")
    owner = accounts.owner(int(uid)) if uid.isdigit() else ""
    group = accounts.group(int(gid)) if gid.isdigit() else ""
    account = accounts.named(user.name) if "@" not in user.name else None
    local = account is not None
    # local(8) asks getpwnam(3) for the home, whatever Dovecot's userdb says
    delivered = delivery.place(user.name, account.home) if account and not delivery.by_dovecot else ""
    box = Mailbox(user.name, owner, group, user.home, user.inbox, delivered)
    if not owner or not user.inbox:
        return box
    groups = (*accounts.groups_of(owner, group), *extra)
    home = ask.maybe(Stat(user.home)) if user.home not in _NO_HOMES else None
    # a virtual user's home is made with the first mail
    homeless = is_absent(home) and local and user.inbox.startswith(user.home + "/")
    together = bool(delivered) and same_place(delivered, user.inbox)
    maildir, mbox = together and delivered.endswith("/"), together and not delivered.endswith("/")
    dangling = _to_nowhere(ask, PurePosixPath(user.home)) if homeless else None
    troubles = (dangling,) if dangling else tuple(_troubles(ask, user, owner, groups, maildir, mbox))
    info = ask.maybe(Stat(user.inbox))
    return Mailbox(
        user=user.name,
        owner=owner,
        group=group,
        home=user.home,
        inbox=user.inbox,
        delivered=delivered,
        exists=isinstance(info, FileInfo),
        homeless=homeless and dangling is None,
        locked=homeless and _locked(ask, user.name),
        troubles=troubles,
        waiting=_messages(ask, delivered) if delivered and not same_place(delivered, user.inbox) else 0,
        seen=_messages(ask, user.inbox),
    )


def _locked(ask: Ask, user: str) -> bool:
    """passwd(1): L in the second field tells of a locked password, which useradd leaves behind too."""
    told = ask.maybe(command("passwd", "-S", user))
    words = told.stdout.split() if isinstance(told, CommandResult) else []
    return len(words) > 1 and words[1] in ("L", "LK")


def same_place(one: str, other: str) -> bool:
    """True where two paths are one, however they are written."""
    return PurePosixPath(one) == PurePosixPath(other)


def below(path: str, directory: str) -> str | None:
    """`path` relative to `directory` (`.` for itself), None where it is not within."""
    inner, outer = PurePosixPath(path), PurePosixPath(directory)
    return str(inner.relative_to(outer)) if inner.is_relative_to(outer) else None


def _messages(ask: Ask, place: str) -> int:
    """How many messages are there: files in a Maildir's new and cur (up to a sample), or 1 for an mbox with content."""
    info = ask.maybe(Stat(place.rstrip("/")))
    if isinstance(info, Gap):
        return 0
    if info.kind is not FileKind.DIRECTORY:
        return int(info.size > 0)
    parts = ask.all([ListDirectory(f"{place.rstrip('/')}/{name}", _SAMPLE) for name in ("new", "cur")])
    return sum(len(each.entries) for each in parts if isinstance(each, Directory))


def _troubles(
    ask: Ask, user: MailUser, owner: str, groups: tuple[str, ...], maildir: bool = False, mbox: bool = False
) -> Iterator[Trouble]:
    """What the user may not use on the way to INBOX, in it, and in a sample of what it holds."""
    path = PurePosixPath(user.inbox)
    for directory in _on_the_way(ask, path):
        if not allows(directory, SEARCH, owner, groups):
            yield Trouble(directory.path, "search", directory)
            return
    info = ask.maybe(Stat(user.inbox))
    if isinstance(info, Gap):
        yield from _cannot_be_made(ask, path, owner, groups, info)
    elif info.kind is FileKind.DIRECTORY and mbox:
        yield Trouble(info.path, "append to", info)
    elif info.kind is FileKind.DIRECTORY:
        yield from _in_maildir(ask, info, owner, groups)
    elif maildir:
        yield Trouble(info.path, "enter", info)
    elif not allows(info, READ | WRITE, owner, groups):
        yield Trouble(info.path, "write", info)


def _on_the_way(ask: Ask, path: PurePosixPath, depth: int = 0) -> Iterator[FileInfo]:
    """The directories that path_resolution(7) goes through to a path, where links lead elsewhere those of the target too."""
    answers = ask.all([Stat(str(each)) for each in (*reversed(path.parents), path)])
    for number, info in enumerate(answers):
        if not isinstance(info, FileInfo):
            return
        if info.link_to and depth < _LINKS:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(info.path), info.link_to))
            yield from _on_the_way(ask, PurePosixPath(target), depth + 1)
        if number < len(answers) - 1:
            yield info


def _to_nowhere(ask: Ask, path: PurePosixPath) -> Trouble | None:
    """A name that is in its directory, and leads to nothing."""
    listing = ask.maybe(ListDirectory(str(path.parent), _SAMPLE))
    named = [each for each in listing.entries if each.path == str(path)] if isinstance(listing, Directory) else []
    return Trouble(str(path), "follow", named[0]) if named else None


def _cannot_be_made(ask: Ask, path: PurePosixPath, owner: str, groups: tuple[str, ...], gap: Gap) -> Iterator[Trouble]:
    """An INBOX that is not there yet is made by the first delivery, where its user may."""
    if gap.reason is not GapReason.ABSENT:
        return
    dangling = _to_nowhere(ask, path)
    if dangling:
        yield dangling
        return
    for parent in path.parents:
        info = ask.maybe(Stat(str(parent)))
        if isinstance(info, FileInfo):
            if not allows(info, WRITE | SEARCH, owner, groups) and "mail" not in (info.group,):
                yield Trouble(info.path, "write", info)
            return


def _in_maildir(ask: Ask, info: FileInfo, owner: str, groups: tuple[str, ...]) -> Iterator[Trouble]:
    if not allows(info, READ | WRITE | SEARCH, owner, groups):
        yield Trouble(info.path, "write", info)
        return
    for name in ("", "/cur", "/new", "/tmp"):
        listing = ask.maybe(ListDirectory(info.path + name, _SAMPLE))
        if isinstance(listing, Directory):
            for entry in listing.entries:
                if not name and entry.kind is FileKind.FILE and PurePosixPath(entry.path).name in ("cur", "new", "tmp"):
                    yield Trouble(entry.path, "enter", entry)
                wanted = READ | WRITE | SEARCH if entry.kind is FileKind.DIRECTORY else READ
                if not entry.link_to and not allows(entry, wanted, owner, groups):
                    yield Trouble(entry.path, "write" if entry.kind is FileKind.DIRECTORY else "read", entry)
        if not name and isinstance(listing, Directory):
            yield from _in_folders(ask, listing, owner, groups)


def _in_folders(ask: Ask, maildir: Directory, owner: str, groups: tuple[str, ...]) -> Iterator[Trouble]:
    """The directories of the folders (Maildir++: `.NAME/cur`), which a restore can leave to root one by one."""
    folders = [
        each.path
        for each in maildir.entries
        if each.kind is FileKind.DIRECTORY
        and PurePosixPath(each.path).name.startswith(".")
        and not each.link_to
        and allows(each, READ | WRITE | SEARCH, owner, groups)
    ][:_FOLDERS]
    for listing in ask.all([ListDirectory(path, _SAMPLE) for path in folders]):
        for entry in listing.entries if isinstance(listing, Directory) else ():
            directory = entry.kind is FileKind.DIRECTORY and not entry.link_to
            if directory and not allows(entry, READ | WRITE | SEARCH, owner, groups):
                yield Trouble(entry.path, "write", entry)


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota of one user: `limit` 0 for none; `percent` of it that is used."""

    user: str
    name: str
    kind: str
    used: int
    limit: int
    percent: int


@dataclass(frozen=True, slots=True)
class Quotas:
    """The quotas, or `on` false where none is configured."""

    on: bool
    quotas: tuple[Quota, ...] = ()
    error: str = ""


@gatherer
def quotas(ask: Ask, users: MailUsers, config: DovecotConfig) -> Quotas:
    """Ask for the quota of the users that were looked up, where the quota plug-in is on."""
    if "quota" not in config.words("mail_plugins"):
        return Quotas(False)
    names = [each.name for each in users.users if each.status == 0][:12]
    answers = ask.all([command("doveadm", "-f", "tab", "quota", "get", "-u", name) for name in names])
    found: list[Quota] = []
    error = ""
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, CommandResult) and answer.status == 0:
            found.extend(parse_quota(name, answer.stdout))
        else:
            error = error or (answer.stderr.strip() if isinstance(answer, CommandResult) else str(answer))
    return Quotas(True, tuple(found), error)


def parse_quota(user: str, text: str) -> Iterator[Quota]:
    """`doveadm -f tab quota get`: name, type, value, limit (`-` for none), percent."""
    for line in text.splitlines()[1:]:
        parts = line.split("\t")
        if len(parts) >= 5 and parts[-3].isdigit():
            limit = int(parts[-2]) if parts[-2].isdigit() else 0
            percent = int(parts[-1]) if parts[-1].isdigit() else 0
            yield Quota(user, parts[-5], parts[-4], int(parts[-3]), limit, percent)
