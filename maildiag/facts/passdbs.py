"""The databases with passwords: the files, PAM services and modules that each passdb and userdb needs, and who may read them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from maildiag.asking import Ask
from maildiag.facts.dovecot import Database, DovecotConfig
from maildiag.model import Gap, is_absent
from maildiag.probes import CommandResult, Directory, FileInfo, FileText, ListDirectory, ReadFile, Stat, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

_PAM = "/etc/pam.d"
_MODULE_DIRECTORIES = (
    "/lib/x86_64-linux-gnu/security",
    "/lib/aarch64-linux-gnu/security",
    "/lib64/security",
    "/lib/security",
    "/usr/lib/security",
)
_PAM_LINE = re.compile(r"^-?(?:auth|account|session|password)\s+(?:\[[^\]]*\]|\w+)\s+(?P<module>\S+)", re.IGNORECASE)
_PAM_INCLUDE = re.compile(r"^(?:@include|-?\w+\s+(?:include|substack))\s+(?P<name>\S+)", re.MULTILINE)
_LIST = re.compile(r"^-?(?:auth|account)\b.*\bpam_listfile\.so\b.*\bfile=(?P<path>/\S+)")
_CONSTANT = re.compile(r"%")


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """A file that a passdb or userdb reads: who reads it (`reader`, with `groups`), and what stat(2) says."""

    database: Database
    path: str
    reader: str
    groups: tuple[str, ...]
    info: FileInfo | Gap
    directories: tuple[FileInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class PamService:
    """A PAM service: its file or, where that is absent, PAM's fallback `other`; the modules that it names and that are
    not there, its own lines that refuse everybody, and the files that it includes and that do not exist, each with the
    nearest name that does. `closed` is /etc/nologin where that exists and the service asks for it; `odd` are its lines with a
    word in the place of the control that PAM does not know, each with the nearest one, `lost` the lists of pam_listfile that do
    not exist.
    """

    database: Database
    name: str
    text: FileText | Gap
    fallback: FileText | Gap | None = None
    missing: tuple[str, ...] = ()
    refusing: tuple[str, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    closed: FileInfo | None = None
    odd: tuple[tuple[str, str], ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passdbs:
    """What the password and user databases stand on."""

    files: tuple[PasswordFile, ...]
    pam: tuple[PamService, ...]


@gatherer
def passdbs(ask: Ask, config: DovecotConfig) -> Passdbs:
    """Look at the files of each passdb and userdb; no password or hash leaves the host."""
    databases = (*config.databases("passdb"), *config.databases("userdb"))
    files = [_file(ask, config, each, path) for each in databases for path in _paths(config, each)]
    pam = [_pam_service(ask, config, each) for each in databases if each.driver == "pam"]
    return Passdbs(tuple(files), tuple(pam))


def _paths(config: DovecotConfig, database: Database) -> Iterator[str]:
    """The plain file that a passwd-file, sql or ldap database reads; a path with variables has no one file."""
    path = ""
    if database.driver == "passwd-file":
        path = database.get("passwd_file_path") or config.value("passwd_file_path") or _last_word(database.args)
    elif database.driver in ("sql", "ldap") and not config.modern:
        path = _last_word(database.args)
    if path.startswith("/") and not _CONSTANT.search(path):
        yield path


def _last_word(args: str) -> str:
    words = args.split()
    return words[-1] if words else ""


def _file(ask: Ask, config: DovecotConfig, database: Database, path: str) -> PasswordFile:
    """A passwd-file is read by the auth process itself, the configuration of sql and ldap by root at the start."""
    user = config.effective.value("user", ("service", "auth")) or "$default_internal_user"
    user = config.value("default_internal_user", "dovecot") if user.startswith("$") else user
    reader = user if database.driver == "passwd-file" else "root"
    member = ask.maybe(command("id", "-Gn", reader))
    groups = tuple(member.stdout.split()) if isinstance(member, CommandResult) else ()
    info = ask.maybe(Stat(path))
    parents = [each for each in ask.all([Stat(parent) for parent in _parents(path)]) if isinstance(each, FileInfo)]
    return PasswordFile(database, path, reader, groups, info, tuple(parents))


def _parents(path: str) -> list[str]:
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[: number + 1]) for number in range(len(parts))]


def _pam_service(ask: Ask, config: DovecotConfig, database: Database) -> PamService:
    """The service's file (pam.d(5)), else PAM's fallback `other`; modules are looked for where PAM looks for them."""
    words = [word for word in database.args.split() if "=" not in word and not word.startswith("-")]
    name = database.get("passdb_pam_service_name", "service_name") or (words[-1] if words else "dovecot")
    if "%" in name or name == "*":
        name = "imap"  # the service is named after the protocol
    text = ask.maybe(ReadFile(f"{_PAM}/{name}"))
    fallback = ask.maybe(ReadFile(f"{_PAM}/other")) if is_absent(text) else None
    missing, includes = tuple(_missing_modules(ask, text)), tuple(_absent_includes(ask, text))
    closed, lost = _nologin(ask, text), tuple(_lost_lists(ask, text))
    return PamService(
        database, name, text, fallback, missing, refusing(text), includes, closed, odd_controls(text), lost
    )


_CONTROLS = ("required", "requisite", "sufficient", "optional", "include", "substack")


def odd_controls(text: FileText | Gap) -> tuple[tuple[str, str], ...]:
    """The lines whose control is no word of pam.d(5), each with the nearest that is: PAM refuses all who get there."""
    found = []
    for line in () if isinstance(text, Gap) else text.text.splitlines():
        words = line.split()
        if len(words) > 2 and words[0].lstrip("-") in ("auth", "account", "password", "session"):
            control = words[1].lower()
            if control[0] != "[" and control not in _CONTROLS:
                found.append((line.strip(), next(iter(difflib.get_close_matches(control, _CONTROLS, 1, 0.6)), "")))
    return tuple(found)


def _lost_lists(ask: Ask, text: FileText | Gap) -> Iterator[str]:
    """pam_listfile(8): where the list cannot be opened, `onerr` decides; all but `succeed` refuses."""
    for line in _lines(ask, text) if isinstance(text, FileText) else ():
        match = _LIST.search(line)
        if match and "onerr=succeed" not in line and is_absent(ask.maybe(Stat(match["path"]))):
            yield match["path"]


def _nologin(ask: Ask, text: FileText | Gap) -> FileInfo | None:
    """pam_nologin(8): while /etc/nologin or /run/nologin exists, nobody but root gets in."""
    if isinstance(text, Gap) or not any("pam_nologin" in each for each in _lines(ask, text)):
        return None
    answers = [ask.maybe(Stat(path)) for path in ("/run/nologin", "/etc/nologin")]
    return next((each for each in answers if isinstance(each, FileInfo)), None)


def _lines(ask: Ask, text: FileText, depth: int = 0) -> Iterator[str]:
    """The lines of a PAM file and of what it includes, without comments."""
    for line in text.text.splitlines():
        body = line.strip()
        include = _PAM_INCLUDE.match(body)
        inner = ask.maybe(ReadFile(f"{_PAM}/{include['name']}")) if include and depth < 4 else None
        if isinstance(inner, FileText):
            yield from _lines(ask, inner, depth + 1)
        elif body and not body.startswith("#"):
            yield body


def _absent_includes(ask: Ask, text: FileText | Gap) -> Iterator[tuple[str, str]]:
    """The files that the service's own file includes and that do not exist: PAM then refuses every login."""
    for include in _PAM_INCLUDE.finditer("" if isinstance(text, Gap) else text.text):
        name = include["name"]
        answer = ask.maybe(ReadFile(name if name.startswith("/") else f"{_PAM}/{name}"))
        if is_absent(answer):
            yield name, _nearest(ask, name)


def _nearest(ask: Ask, name: str) -> str:
    listing = ask.maybe(ListDirectory(_PAM))
    there = [each.path.rsplit("/", 1)[-1] for each in listing.entries] if isinstance(listing, Directory) else []
    return next(iter(difflib.get_close_matches(name, there, 1, 0.75)), "")


def refusing(text: FileText | Gap | None) -> tuple[str, ...]:
    """The lines of a PAM file that refuse whoever gets there: pam_deny as `required` or `requisite`, nothing before it."""
    if text is None or isinstance(text, Gap):
        return ()
    found = []
    decided: set[str] = set()
    for line in text.text.splitlines():
        words = line.split()
        if len(words) < 3 or words[0].startswith("#"):
            continue
        if words[1] in ("required", "requisite") and words[2].endswith("pam_deny.so") and words[0] not in decided:
            found.append(line.strip())
        elif words[1] == "sufficient" or words[1].startswith("["):
            decided.add(words[0])
    return tuple(each for each in found if each.lstrip("-").startswith(("auth", "account")))


def _missing_modules(ask: Ask, text: FileText | Gap, depth: int = 0) -> Iterator[str]:
    if isinstance(text, Gap) or depth > 4:
        return
    present = _modules(ask)
    for line in text.text.splitlines():
        match = _PAM_LINE.match(line.strip())
        if match and match["module"].endswith(".so") and present and not line.startswith("-"):
            name = match["module"].rsplit("/", 1)[-1]
            if name not in present:
                yield name
    for include in _PAM_INCLUDE.finditer(text.text):
        yield from _missing_modules(ask, ask.maybe(ReadFile(f"{_PAM}/{include['name']}")), depth + 1)


def _modules(ask: Ask) -> frozenset[str]:
    listings = ask.all([ListDirectory(path) for path in _MODULE_DIRECTORIES])
    return frozenset(
        entry.path.rsplit("/", 1)[-1] for each in listings if isinstance(each, Directory) for entry in each.entries
    )
