"""Dovecot's own programs that its services run: those that are not there, or that nobody can execute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from maildiag.access import not_executable
from maildiag.asking import Ask
from maildiag.facts.dovecot import DovecotConfig
from maildiag.probes import Directory, ListDirectory
from maildiag.records import dataclass
from maildiag.registry import gatherer

# libexec_dir of Debian's and the Red Hat family's packages; 2.4 does not tell it.
_PLACES = ("/usr/lib/dovecot", "/usr/libexec/dovecot")
_CORE = ("anvil", "auth", "config", "log", "stats")
_OF_PROTOCOL = {
    "imap": ("imap", "imap-login"),
    "pop3": ("pop3", "pop3-login"),
    "lmtp": ("lmtp",),
    "submission": ("submission", "submission-login"),
}


@dataclass(frozen=True, slots=True)
class DovecotPrograms:
    """`place` is their directory, "" where none was found; `damaged` by name the mode of those that cannot be executed, None
    where one is not there.
    """

    place: str = ""
    damaged: Mapping[str, int | None] = field(default_factory=dict)


@gatherer
def dovecot_programs(ask: Ask, config: DovecotConfig) -> DovecotPrograms:
    """List the directory, and look at what the protocols in use need. Source: Dovecot's service settings, `executable`."""
    named = config.value("libexec_dir")
    for place in (named,) if named.startswith("/") else _PLACES:
        listed = ask.maybe(ListDirectory(place))
        if not isinstance(listed, Directory) or listed.truncated:
            continue
        if len({each.path.rpartition("/")[2] for each in listed.entries} & set(_CORE)) > 1:
            return DovecotPrograms(place, not_executable(listed, _wanted(config)))
    return DovecotPrograms()


def _wanted(config: DovecotConfig) -> list[str]:
    """What runs unless the configuration gives the service another program."""
    others = {
        setting.within[-1].name
        for setting in config.source.settings
        if setting.name == "executable" and setting.within and setting.within[-1].kind == "service"
    }
    named = (*_CORE, *(each for protocol in config.words("protocols") for each in _OF_PROTOCOL.get(protocol, ())))
    return [each for each in dict.fromkeys(named) if each not in others]
