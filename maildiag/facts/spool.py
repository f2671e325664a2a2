"""The directories and programs that Postfix's queue needs, as they are on disk."""

from __future__ import annotations

import posixpath
import re

from maildiag.asking import Ask
from maildiag.facts.postfix import WITHOUT, Postfix
from maildiag.model import Gap, Missing, is_absent
from maildiag.probes import Directory, FileInfo, FileKind, ListDirectory, Stat
from maildiag.records import dataclass
from maildiag.registry import gatherer

MAIL_OWNER = "$mail_owner"
SETGID_GROUP = "$setgid_group"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What Postfix expects of a path: kind, owner, group (empty: any) and the permission bits that count."""

    path: str
    kind: FileKind
    owner: str
    group: str
    mode: int
    mask: int = 0o777


@dataclass(frozen=True, slots=True)
class SpoolPath:
    """A path with what is expected of it and what is there."""

    wanted: Wanted
    found: FileInfo | Gap


@dataclass(frozen=True, slots=True)
class Spool:
    """Every path, and queue files (or directories among them) that do not belong to Postfix's account `owner`; `holding` are
    the directories in which all must be its own. `caches` are files of data_directory that belong to somebody else. `sendmail`
    is sendmail_path and what each link leads to that it is (alternatives(8)). `usual` is the queue in the default place, looked
    for where the one that is configured is not there.
    """

    paths: tuple[SpoolPath, ...]
    foreign: tuple[FileInfo, ...]
    owner: str
    searched: bool
    holding: tuple[str, ...] = ()
    caches: tuple[FileInfo, ...] = ()
    sendmail: tuple[str, ...] = ()
    usual: FileInfo | None = None

    @property
    def gone(self) -> SpoolPath | None:
        """The queue directory itself, where it does not exist."""
        return self.paths[0] if self.paths and is_absent(self.paths[0].found) else None


USUAL = "/var/spool/postfix"
# Postfix's own list, postfix-files, for all releases from 2.2: name, owner, group, mode. Distributions add bits that do no
# harm (Debian 12: 1730 on maildrop, 2710 on public), so that only read, write and execute count.
_DIRECTORIES = (
    ("", "root", "", 0o755),
    ("active", MAIL_OWNER, "", 0o700),
    ("bounce", MAIL_OWNER, "", 0o700),
    ("corrupt", MAIL_OWNER, "", 0o700),
    ("defer", MAIL_OWNER, "", 0o700),
    ("deferred", MAIL_OWNER, "", 0o700),
    ("flush", MAIL_OWNER, "", 0o700),
    ("hold", MAIL_OWNER, "", 0o700),
    ("incoming", MAIL_OWNER, "", 0o700),
    ("private", MAIL_OWNER, "", 0o700),
    ("saved", MAIL_OWNER, "", 0o700),
    ("trace", MAIL_OWNER, "", 0o700),
    ("maildrop", MAIL_OWNER, SETGID_GROUP, 0o730),
    ("public", MAIL_OWNER, SETGID_GROUP, 0o710),
    ("pid", "root", "", 0o755),
)
_HOLDING = ("incoming", "active", "hold", "deferred", "defer", "bounce")


@gatherer
def spool(ask: Ask, postfix: Postfix) -> Spool:
    """Look at each path; as root also at the owners of the queue files."""
    if not postfix.installed:
        raise Missing(WITHOUT)
    root = postfix.get("queue_directory", "/var/spool/postfix")
    owner = postfix.get("mail_owner", "postfix")
    wanted = expected(postfix)
    looked = ask.all([Stat(each.path) for each in wanted])
    lists = ask.all([ListDirectory(f"{root}/{name}", most=200) for name in _HOLDING])
    data = ask.maybe(ListDirectory(postfix.get("data_directory", "/var/lib/postfix"), most=200))
    seen = [entry for each in lists if isinstance(each, Directory) for entry in each.entries]
    deeper = ask.all([ListDirectory(each.path, most=200) for each in seen if each.kind is FileKind.DIRECTORY][:32])
    seen += [entry for each in deeper if isinstance(each, Directory) for entry in each.entries]
    usual = ask.maybe(Stat(f"{USUAL}/deferred")) if is_absent(looked[0]) and root != USUAL else None
    return Spool(
        tuple(SpoolPath(one, found) for one, found in zip(wanted, looked, strict=True)),
        tuple(each for each in seen if each.owner != owner),
        owner,
        any(isinstance(each, Directory) for each in lists),
        tuple(f"{root}/{name}" for name, each in zip(_HOLDING, lists, strict=True) if isinstance(each, Directory)),
        _foreign_caches(data, owner),
        _links(ask, postfix.get("sendmail_path", "/usr/sbin/sendmail")),
        usual if isinstance(usual, FileInfo) else None,
    )


def _links(ask: Ask, path: str) -> tuple[str, ...]:
    """The path, and the paths that the links lead to, one after the other; five at most."""
    found = [path]
    while len(found) < 6:
        told = ask.maybe(Stat(found[-1]))
        if not isinstance(told, FileInfo) or not told.link_to:
            break
        found.append(posixpath.normpath(posixpath.join(posixpath.dirname(found[-1]), told.link_to)))
    return tuple(found)


# What Postfix itself keeps in data_directory, and opens for writing without root's privileges.
_CACHES = re.compile(r"master\.lock|prng_exch|.*_(cache|scache)\.\w+|verify\.\w+")


def _foreign_caches(data: Directory | Gap, owner: str) -> tuple[FileInfo, ...]:
    entries = data.entries if isinstance(data, Directory) else ()
    return tuple(each for each in entries if each.owner != owner and _CACHES.fullmatch(each.path.rpartition("/")[2]))


def expected(postfix: Postfix) -> tuple[Wanted, ...]:
    """What Postfix's own list of files (postfix-files) demands, with this host's names."""
    names = {
        MAIL_OWNER: postfix.get("mail_owner", "postfix"),
        SETGID_GROUP: postfix.get("setgid_group", "postdrop"),
        "": "",
    }
    root = postfix.get("queue_directory", "/var/spool/postfix")
    found = [
        Wanted(f"{root}/{name}".rstrip("/"), FileKind.DIRECTORY, names.get(owner, owner), names[group], mode)
        for name, owner, group, mode in _DIRECTORIES
    ]
    found.append(
        Wanted(
            postfix.get("data_directory", "/var/lib/postfix"), FileKind.DIRECTORY, names[MAIL_OWNER], "", 0o700, 0o700
        )
    )
    commands = postfix.get("command_directory", "/usr/sbin")
    for name in ("postdrop", "postqueue"):
        # set-gid and executable by all: without it only root can send mail or see the queue
        found.append(Wanted(f"{commands}/{name}", FileKind.FILE, "root", names[SETGID_GROUP], 0o2111, 0o2111))
    return tuple(found)
