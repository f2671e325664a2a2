"""What Dovecot's configuration refers to outside of its files: accounts, addresses, directories, plug-ins."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.access import READ, SEARCH, allows
from maildiag.asking import Ask
from maildiag.dovecot.tree import Setting
from maildiag.facts.accounts import Accounts
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.dovecot_daemon import DovecotDaemon
from maildiag.model import Gap, is_absent
from maildiag.probes import Directory, FileInfo, Interfaces, ListDirectory, Stat
from maildiag.records import dataclass
from maildiag.registry import gatherer

_LISTENERS = ("unix_listener", "fifo_listener")
_PLUGINS = ("/usr/lib/dovecot/modules", "/usr/lib64/dovecot/modules", "/usr/lib/dovecot")
_LOGS = ("log_path", "info_log_path", "debug_log_path")
_ANY = ("*", "::", "0.0.0.0", "[::]", "")


@dataclass(frozen=True, slots=True)
class Reference:
    """A setting in the files and the one thing it refers to that is not there: `kind` account, group, address,
    directory, plugin, companion (of a plug-in), program or family (of addresses); `near` the names that do exist.
    """

    kind: str
    name: str
    setting: Setting
    near: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A directory below base_dir: what stat(2) says of it now, and the bits that those who must enter it need."""

    path: str
    info: FileInfo | Gap
    wanted: int


@dataclass(frozen=True, slots=True)
class DovecotParts:
    """The references that lead nowhere, and the directories that a running Dovecot made at its start and that are not as it
    made them.
    """

    dangling: tuple[Reference, ...]
    spoilt: tuple[RunDirectory, ...] = ()


@gatherer
def dovecot_parts(
    ask: Ask, config: DovecotConfig, accounts: Accounts | None, daemon: DovecotDaemon | None
) -> DovecotParts:
    """Look up what the files refer to. What cannot be looked up is left out: it is not known to be absent."""
    found = [
        *(_accounts(config, accounts) if accounts else ()),
        *_addresses(ask, config),
        *_directories(ask, config),
        *_plugins(ask, config),
        *_companions(config),
        *_programs(ask, config),
    ]
    running = daemon is not None and daemon.running
    return DovecotParts(tuple(found), tuple(_spoilt(ask, config)) if running else ())


def _spoilt(ask: Ask, config: DovecotConfig) -> Iterator[RunDirectory]:
    """Everybody must enter base_dir, and the group of the login processes its `login`. Source: Dovecot's master at its start."""
    base = config.value("base_dir", "/run/dovecot")
    wanted = ((base, 0o055), (f"{base}/login", 0o050))
    answers = ask.all([Stat(path) for path, _ in wanted]) if base.startswith("/") else []
    for (path, bits), info in zip(wanted, answers, strict=False):
        if is_absent(info) or (isinstance(info, FileInfo) and _refuses(config, path, base, info, bits)):
            yield RunDirectory(path, info, bits)


def _refuses(config: DovecotConfig, path: str, base: str, info: FileInfo, bits: int) -> bool:
    if not info.acl:
        return info.mode & bits != bits or _groupless(path, base, info)
    login = config.value("default_login_user", "dovenull")
    users = (login, config.value("default_internal_user", "dovecot")) if path == base else (login,)
    return not all(allows(info, READ | SEARCH, each, (each,)) for each in users)


def _groupless(path: str, base: str, info: FileInfo) -> bool:
    return path != base and info.group == "root" and not info.mode & 0o005


def _accounts(config: DovecotConfig, accounts: Accounts) -> Iterator[Reference]:
    """user and group of services and listeners, and the groups that Dovecot takes on."""
    users = tuple(each.name for each in accounts.all)
    groups = tuple(each.name for each in accounts.groups)
    for setting in config.source.settings:
        if not setting.value or setting.value[0] in "$%" or setting.value.isdigit():
            continue
        kind = setting.within[-1].kind if setting.within else ""
        if setting.name == "user" and kind in ("service", *_LISTENERS) and setting.value not in users:
            yield Reference("account", setting.value, setting, users)
        in_section = setting.name == "group" and kind in ("service", *_LISTENERS)
        at_top = not kind and setting.name in ("mail_privileged_group", "mail_access_groups")
        if (in_section or at_top) and groups:
            for name in setting.value.replace(",", " ").split():
                if name not in groups:
                    yield Reference("group", name, setting, groups)


def _addresses(ask: Ask, config: DovecotConfig) -> Iterator[Reference]:
    """listen and the listeners' addresses that are numbers and no interface of this host has."""
    answer = ask.maybe(Interfaces())
    if isinstance(answer, Gap):
        return
    ours = tuple(address.split("%")[0] for each in answer for address in each.addresses)
    for setting in config.source.settings:
        inet = bool(setting.within) and setting.within[-1].kind == "inet_listener"
        if (setting.name == "listen" and (inet or not setting.within)) or (inet and setting.name == "address"):
            for name in setting.value.replace(",", " ").split():
                if name not in _ANY and _number(name) and name.strip("[]") not in ours:
                    yield Reference("address", name, setting, ours)
    last = config.source.find("listen")
    if last and _only_6(last.value) and any("." in each and not each.startswith("127.") for each in ours):
        yield Reference("family", "IPv4", last, ours)


def _only_6(listen: str) -> bool:
    """True where Dovecot listens on IPv6 alone: it binds `::` with IPV6_V6ONLY, so that does not mean every address."""
    words = listen.replace(",", " ").split()
    return bool(words) and all(":" in each for each in words)


def _number(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()


def _directories(ask: Ask, config: DovecotConfig) -> Iterator[Reference]:
    """The directory of a socket or a log with an absolute path: Dovecot makes the file, not the directory."""
    for section in config.source.sections:
        if section.kind in _LISTENERS and section.name.startswith("/"):
            directory = section.name.rsplit("/", 1)[0] or "/"
            answer = ask.maybe(Stat(directory))
            if is_absent(answer):
                shown = Setting(section.kind, section.name, section.place, section.within)
                yield Reference("directory", directory, shown)
    for setting in config.source.settings:
        if setting.name in _LOGS and setting.value.startswith("/") and not setting.value.startswith("/dev/"):
            directory = setting.value.rsplit("/", 1)[0] or "/"
            answer = ask.maybe(Stat(directory))
            if is_absent(answer):
                yield Reference("directory", directory, setting)


def _plugins(ask: Ask, config: DovecotConfig) -> Iterator[Reference]:
    """The modules of mail_plugins: files named libNN_NAME_plugin.so in mail_plugin_dir."""
    settings = [each for each in config.source.settings if each.name == "mail_plugins" and each.value]
    boxed = [each for each in config.source.settings if each.within and each.within[-1].kind == "mail_plugins"]
    if not settings and not boxed:
        return
    places = dict.fromkeys((config.value("mail_plugin_dir"), *_PLUGINS))
    listings = [
        each for each in ask.all([ListDirectory(place) for place in places if place]) if isinstance(each, Directory)
    ]
    known = tuple(sorted({_plugin(entry.path) for each in listings for entry in each.entries} - {""}))
    if not known:
        return
    for setting in settings:
        for name in setting.value.split():
            if name[0] != "$" and name not in known:
                yield Reference("plugin", name, setting, known)
    for setting in boxed:
        if setting.value == "yes" and setting.name not in known:
            yield Reference("plugin", setting.name, setting, known)


# What a plug-in refuses to be loaded without ("Plugin quota must be loaded also"): Dovecot's documentation of each.
_NEEDS = {"imap_quota": "quota", "quota_clone": "quota", "imap_acl": "acl", "imap_sieve": "sieve"}


def _companions(config: DovecotConfig) -> Iterator[Reference]:
    """Plug-ins without the one that they build on, wherever that could be set."""
    loaded: dict[str, Setting] = {}
    for setting in config.source.settings:
        if setting.name == "mail_plugins":
            loaded |= dict.fromkeys(setting.value.split(), setting)
        elif setting.within and setting.within[-1].kind == "mail_plugins" and setting.value == "yes":
            loaded[setting.name] = setting
    for name, needed in _NEEDS.items():
        if name in loaded and needed not in loaded:
            yield Reference("companion", needed, loaded[name], (name,))


def _programs(ask: Ask, config: DovecotConfig) -> Iterator[Reference]:
    """What `executable` of a service names by its path: the script of script-login or script above all."""
    named = [
        (setting, word)
        for setting in config.source.settings
        if setting.name == "executable" and setting.within and setting.within[-1].kind == "service"
        for word in setting.value.split()
        if word.startswith("/")
    ]
    for (setting, path), answer in zip(named, ask.all([Stat(path) for _, path in named]), strict=True):
        if is_absent(answer):
            yield Reference("program", path, setting)


def _plugin(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    if not name.startswith("lib") or not name.endswith("_plugin.so"):
        return ""
    return name.removesuffix("_plugin.so").split("_", 1)[-1] if "_" in name else ""
