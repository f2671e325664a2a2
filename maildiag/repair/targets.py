"""Which files a command will change, told from its arguments: they are saved even where a fix forgets to list them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from maildiag.records import dataclass
from maildiag.repair.saved import MOST_PATHS, CannotSave, Extent

_DATABASES = ("db", "lmdb", "cdb", "dir", "pag")
_BY_TYPE = {
    "hash": ("db",),
    "btree": ("db",),
    "lmdb": ("lmdb",),
    "cdb": ("cdb",),
    "dbm": ("dir", "pag"),
    "sdbm": ("dir", "pag"),
}
_WITH_VALUE = frozenset({"-o", "-g", "-m", "-t", "--owner", "--group", "--mode", "--target-directory", "--reference"})


class Reach(StrEnum):
    """How far a change goes: one path, the permissions of all beneath it, or the content of all beneath it."""

    PATH = "path"
    PERMISSIONS_BENEATH = "permissions beneath"
    BENEATH = "beneath"


@dataclass(frozen=True, slots=True)
class Target:
    """A path that a command changes."""

    path: str
    reach: Reach = Reach.PATH


@dataclass(frozen=True, slots=True)
class Places:
    """Where this host keeps what the commands change without naming it."""

    postfix: str = "/etc/postfix"
    aliases: tuple[str, ...] = ("hash:/etc/aliases",)


def targets(argv: Sequence[str], places: Places) -> tuple[Target, ...]:
    """The paths that the command changes; empty for one that changes none, or whose change is no file's."""
    match argv[0]:
        case "postconf":
            return tuple(Target(each) for each in _postconf(argv, places))
        case "postmap" | "postalias":
            return tuple(Target(each) for table in _words(argv) for each in _databases(table))
        case "newaliases":
            return tuple(Target(each) for table in places.aliases for each in _databases(table))
        case "sed" | "touch":
            return tuple(Target(each) for each in _words(argv) if each.startswith("/"))
        case "chown" | "chgrp" | "chmod" | "setfacl" | "restorecon":
            return tuple(_permissions(argv))
        case "usermod" | "chage":
            return tuple(Target(f"/etc/{name}") for name in ("passwd", "shadow", "passwd-", "shadow-"))
        case "mkdir" | "rm" | "rmdir":
            return tuple(Target(each) for each in _words(argv) if each.startswith("/"))
        case "mv":
            return tuple(Target(each) for each in [*_words(argv), *_destination(argv)])
        case "install" | "cp" | "ln":
            return tuple(Target(each) for each in _destination(argv))
        case "firewall-cmd" if any("permanent" in each for each in argv):
            return (Target("/etc/firewalld", Reach.BENEATH),)
        case "ufw":
            return Target("/etc/ufw", Reach.BENEATH), Target("/etc/default/ufw")
        case "hostnamectl":
            return (Target("/etc/hostname"),)
        case "postfix" if "upgrade-configuration" in argv:
            return tuple(Target(f"{places.postfix}/{name}") for name in ("main.cf", "master.cf"))
    return ()


def paths(found: Sequence[Target]) -> list[tuple[str, Extent]]:
    """Every single path to save: links with what they point to, missing parents, and what lies beneath.

    Parents come before what is in them. Raises CannotSave where there are too many.
    """
    wanted: dict[str, Extent] = {}
    for target in found:
        for path, extent in _expand(target):
            if wanted.get(path) is not Extent.WHOLE:
                wanted[path] = extent
            if len(wanted) > MOST_PATHS:
                raise CannotSave(f"{target.path}: more than {MOST_PATHS} files are too many to save")
    return sorted(wanted.items())


def _expand(target: Target) -> Iterator[tuple[str, Extent]]:
    """The links on the way are saved too: a program may write through them or replace them."""
    path = Path(target.path)
    seen: set[Path] = set()
    while path.is_symlink() and path not in seen:
        seen.add(path)
        yield str(path), Extent.WHOLE
        path = path.parent / path.readlink()
    if target.reach is Reach.PERMISSIONS_BENEATH:
        yield from ((str(each), Extent.PERMISSIONS) for each in _beneath(path))
        return
    yield str(path), Extent.WHOLE
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        yield str(parent), Extent.WHOLE
        parent = parent.parent
    if target.reach is Reach.BENEATH:
        yield from ((str(each), Extent.WHOLE) for each in _beneath(path))


def _beneath(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")


def _words(argv: Sequence[str]) -> list[str]:
    """The arguments that are neither options nor the values of options."""
    words, skip = [], False
    for each in argv[1:]:
        if skip:
            skip = False
        elif each in _WITH_VALUE:
            skip = True
        elif not each.startswith("-"):
            words.append(each)
    return words


def _postconf(argv: Sequence[str], places: Places) -> Iterator[str]:
    directory = next((after for flag, after in itertools.pairwise(argv) if flag == "-c"), places.postfix)
    flags = "".join(each[1:] for each in argv[1:] if re.fullmatch(r"-[A-Za-z#]+", each))
    if set(flags) & set("MPF"):
        yield f"{directory}/master.cf"
    elif set(flags) & set("eX#"):
        yield f"{directory}/main.cf"


def _databases(table: str) -> tuple[str, ...]:
    """`hash:/etc/aliases` is built as `/etc/aliases.db`; without a type, any of them may be."""
    kind, colon, path = table.rpartition(":")
    suffixes = _BY_TYPE.get(kind, ()) if colon else _DATABASES
    return tuple(f"{path}.{suffix}" for suffix in suffixes)


def _permissions(argv: Sequence[str]) -> Iterator[Target]:
    recursive = any(re.fullmatch(r"-[A-Za-z]*[Rr][A-Za-z]*", each) or each == "--recursive" for each in argv[1:])
    for each in _words(argv):
        if each.startswith("/"):
            yield Target(each, Reach.PERMISSIONS_BENEATH if recursive else Reach.PATH)


def _destination(argv: Sequence[str]) -> list[str]:
    """Where `install`, `cp`, `ln` and `mv` put things; with `install -d` every word is a directory that they make."""
    words = _words(argv)
    if argv[0] == "install" and "-d" in argv[1:]:
        return words
    into = next((after for flag, after in itertools.pairwise(argv) if flag == "-t"), words[-1] if words else "")
    sources = words if "-t" in argv else words[:-1]
    if into and Path(into).is_dir() and "-T" not in argv:
        return [str(Path(into) / Path(each).name) for each in sources]
    return [into] if into else []
