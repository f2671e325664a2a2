"""Postfix's configuration files as they lie on disk, with the defaults and what Postfix itself says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from functools import cached_property

from maildiag.access import mode_for, not_executable
from maildiag.asking import Ask
from maildiag.facts.postfix import WITHOUT, Postfix
from maildiag.lint.context import Context, words
from maildiag.lint.contradictions import CLIENT_FILES, DIRECTORIES
from maildiag.lint.main_cf import MainCf, parse_main_cf
from maildiag.lint.master_cf import MasterCf, parse_master_cf
from maildiag.lint.postfix import lint_main, lint_master
from maildiag.lint.problem import Problem
from maildiag.lint.programs import COMMANDS, DAEMONS, elsewhere, program_of
from maildiag.lint.references import may_be_file
from maildiag.model import Gap, GapReason, Missing, is_absent
from maildiag.probes import (
    CommandResult,
    Directory,
    FileInfo,
    FileKind,
    FileText,
    Interface,
    Interfaces,
    ListDirectory,
    ReadFile,
    Stat,
    command,
)
from maildiag.records import dataclass
from maildiag.registry import begins

CANARY = command("postmap", "-q", "maildiag", "static:maildiag")
"""A query that needs no file: it prints what keeps every program of Postfix from starting, and writes nothing."""
_DEFAULTS = command("postconf", "-dx")
_TYPES = command("postconf", "-m")
_NO_SUCH_KEY = 2  # getent(1)


@dataclass(frozen=True, kw_only=True)
class PostfixConfig:
    """main.cf and master.cf as text and parsed, their times of change, and all that is needed to judge them.

    `settings` are the effective values, empty where postconf refuses the files. `said` are the lines that postconf printed
    on standard error, `fatal` those with which Postfix's own programs refuse to start; both without repetitions. `closed` are
    the directory and the file where accounts other than root may not read them. `damaged` are the programs of Postfix that
    services run and that cannot be executed: by name their mode, None where they are not there.
    """

    directory: str
    main: MainCf
    master: MasterCf
    defaults: Mapping[str, str]
    settings: Mapping[str, str]
    said: tuple[str, ...] = ()
    fatal: tuple[str, ...] = ()
    table_types: frozenset[str] = frozenset()
    daemons: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    main_changed: datetime | None = None
    master_changed: datetime | None = None
    gaps: tuple[Gap, ...] = ()
    files: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()
    hosts: Mapping[str, bool] = field(default_factory=dict)
    closed: tuple[FileInfo, ...] = ()
    strangers: frozenset[str] = frozenset()
    moved: Mapping[str, str] = field(default_factory=dict)
    damaged: Mapping[str, int | None] = field(default_factory=dict)

    @cached_property
    def context(self) -> Context:
        """What the linters need."""
        return Context(
            main=self.main,
            master=self.master,
            defaults=self.defaults,
            settings=self.settings,
            warnings=self.said,
            table_types=self.table_types,
            daemons=self.daemons,
            addresses=self.addresses,
            absent=self.absent,
            strangers=self.strangers,
            moved=self.moved,
            unresolved=frozenset(name for name, known in self.hosts.items() if not known),
        )

    @cached_property
    def main_problems(self) -> tuple[Problem, ...]:
        """What is wrong with main.cf."""
        return lint_main(self.context)

    @cached_property
    def master_problems(self) -> tuple[Problem, ...]:
        """What is wrong with master.cf on any host; one that takes mail from the network needs more services."""
        return lint_master(self.context, server=False)

    def get(self, name: str) -> str:
        """The effective value of a parameter."""
        return self.context.value(name)


@begins(_DEFAULTS, _TYPES, CANARY)
def postfix_config(ask: Ask, postfix: Postfix | Gap) -> PostfixConfig:
    """Read main.cf and master.cf, and ask postconf and postmap what they say of them."""
    if isinstance(postfix, Postfix) and not postfix.installed:
        raise Missing(WITHOUT)
    every = ask(_DEFAULTS)
    defaults = pairs(every.stdout)
    if "mail_version" not in defaults and "postconf: fatal: " not in every.stderr:  # it stops at a broken master.cf
        raise Missing(Gap(GapReason.FAILED, "postconf -dx printed no settings"))
    directory = defaults.get("config_directory", "/etc/postfix")
    settings = postfix.settings if isinstance(postfix, Postfix) else {}
    told, types, canary = ask.all([command("postconf", "-n"), _TYPES, CANARY])
    main, master = ask.all([ReadFile(f"{directory}/main.cf"), ReadFile(f"{directory}/master.cf")])
    parsed = parse_main_cf(f"{directory}/main.cf", _text(main))
    services = parse_master_cf(f"{directory}/master.cf", _text(master))
    missing = _missing_programs(ask, services, parsed, settings)
    programs = ask.maybe(ListDirectory(settings.get("daemon_directory") or defaults.get("daemon_directory", "")))
    return PostfixConfig(
        directory=directory,
        main=parsed,
        master=services,
        defaults=defaults,
        settings=settings,
        said=_lines(told),
        fatal=tuple(dict.fromkeys(line for result in (told, canary) for line in _lines(result) if _refuses(line))),
        table_types=_types(types),
        daemons=_names(programs),
        addresses=_addresses(ask.maybe(Interfaces())),
        main_changed=main.modified if isinstance(main, FileText) else None,
        master_changed=master.modified if isinstance(master, FileText) else None,
        gaps=tuple(each for each in (main, master) if isinstance(each, Gap)),
        files=tuple(sorted(_names(ask.maybe(ListDirectory(directory))))),
        absent=_absent(ask, parsed, settings) | missing,
        strangers=_strangers(ask, services, parsed),
        hosts=_interface_names(ask, parsed, settings),
        closed=_closed(ask, directory),
        moved=_moved(ask, missing),
        damaged=_damaged(services, programs),
    )


def _damaged(master: MasterCf, programs: Directory | Gap) -> dict[str, int | None]:
    """Postfix's own programs in use that are not there, or that even root cannot execute; nothing where it cannot be told."""
    if isinstance(programs, Gap) or programs.truncated or not programs.entries:
        return {}
    return not_executable(programs, dict.fromkeys(each.command for each in master.services if each.command in DAEMONS))


def _missing_programs(ask: Ask, master: MasterCf, main: MainCf, settings: Mapping[str, str]) -> frozenset[str]:
    """The programs that are not there of the services in use, and of the commands in main.cf."""
    named = [each.program for each in master.external if each.used(main.entries)]
    named += [program_of(settings.get(name, "")) for name in COMMANDS]
    used = list(dict.fromkeys(each for each in named if each.startswith("/")))
    return frozenset(
        path for path, answer in zip(used, ask.all([Stat(each) for each in used]), strict=True) if is_absent(answer)
    )


def _moved(ask: Ask, missing: frozenset[str]) -> dict[str, str]:
    """Where this system has the programs that are not in the place that the configuration names."""
    places = [(path, other) for path in sorted(missing) for other in elsewhere(path)]
    answers = ask.all([Stat(other) for _, other in places])
    found: dict[str, str] = {}
    for (path, other), answer in zip(places, answers, strict=True):
        if isinstance(answer, FileInfo) and answer.kind is FileKind.FILE and answer.mode & 0o111:
            found.setdefault(path, other)
    return found


def _strangers(ask: Ask, master: MasterCf, main: MainCf) -> frozenset[str]:
    """The accounts of the services in use that the system does not know."""
    names = sorted({each.account for each in master.external if each.account and each.used(main.entries)})
    answers = ask.all([command("getent", "passwd", name) for name in names])
    return frozenset(
        name
        for name, answer in zip(names, answers, strict=True)
        if isinstance(answer, CommandResult) and answer.status == _NO_SUCH_KEY and not answer.stdout
    )


def _closed(ask: Ask, directory: str) -> tuple[FileInfo, ...]:
    """The directory and main.cf, where others than root may not pass or read: sendmail(1) and postdrop(1) run as anybody."""
    needed = {directory: 0o005, f"{directory}/main.cf": 0o004}
    found = ask.all([Stat(path) for path in needed])
    bits = zip(found, needed.values(), strict=True)
    return tuple(each for each, bit in bits if isinstance(each, FileInfo) and mode_for(each, "nobody", ()) & bit != bit)


def pairs(text: str) -> dict[str, str]:
    """`name = value` lines as a mapping."""
    found = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in found}


def _text(answer: FileText | Gap) -> str:
    return answer.text if isinstance(answer, FileText) else ""


def _types(answer: CommandResult | Gap) -> frozenset[str]:
    """The table types of `postconf -m`; none where it cannot be that: `static` is built into every Postfix."""
    found = frozenset(answer.stdout.split()) if isinstance(answer, CommandResult) else frozenset[str]()
    return found if "static" in found else frozenset()


def _lines(answer: CommandResult | Gap) -> tuple[str, ...]:
    if isinstance(answer, Gap):
        return ()
    return tuple(dict.fromkeys(line.strip() for line in answer.stderr.splitlines() if line.strip()))


def _refuses(line: str) -> bool:
    return "fatal:" in line or "panic:" in line


def _names(answer: Directory | Gap) -> frozenset[str]:
    if isinstance(answer, Gap):
        return frozenset()
    return frozenset(entry.path.rpartition("/")[2] for entry in answer.entries)


def _addresses(answer: tuple[Interface, ...] | Gap) -> frozenset[str]:
    if isinstance(answer, Gap):
        return frozenset()
    return frozenset(address for each in answer for address in each.addresses)


def _interface_names(ask: Ask, main: MainCf, settings: Mapping[str, str]) -> dict[str, bool]:
    """Which host names of inet_interfaces the system can resolve; only names are asked for."""
    entry = main.entry("inet_interfaces")
    value = settings.get("inet_interfaces") or (entry.value if entry else "")
    names = [
        word for word in value.replace(",", " ").split() if word[:1].isalpha() and word not in ("all", "loopback-only")
    ]
    names = [word for word in names if word.replace("-", "").replace(".", "").isalnum()]
    answers = ask.all([command("getent", "ahosts", name) for name in names])
    return {
        name: bool(answer.stdout)
        for name, answer in zip(names, answers, strict=True)
        if isinstance(answer, CommandResult)
    }


def _absent(ask: Ask, main: MainCf, settings: Mapping[str, str]) -> frozenset[str]:
    """The files that stand for a value or a list (`myorigin = /etc/mailname`) and that are not there."""
    entries = [each for each in main.entries if may_be_file(each.name) or CLIENT_FILES.fullmatch(each.name)]
    values = [word for each in entries for word in words(settings.get(each.name, each.value))]
    for each in (one for one in main.entries if one.name in DIRECTORIES):
        value = settings.get(each.name, each.value)
        values += [value, f"{value}/{DIRECTORIES[each.name]}"]
    paths = list(dict.fromkeys(word.lstrip("!") for word in values if word.lstrip("!").startswith("/")))
    answers = ask.all([Stat(path) for path in paths])
    gone = (path for path, answer in zip(paths, answers, strict=True) if is_absent(answer))
    return frozenset(gone)
