"""What Dovecot accepts and what nevertheless does not mean what it says: leftovers of 2.3, contradictions, absent parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from maildiag.dovecot.edits import Edit
from maildiag.dovecot.syntax import Place
from maildiag.dovecot.tree import Setting
from maildiag.dovecot.variables import leftovers, modern
from maildiag.facts.dovecot import DovecotConfig
from maildiag.model import Status

_SHARED = re.compile(r"(^|_)(path|home|dir|chroot)$")
_LOOKED_UP = re.compile(r"(query|filter|format|user|base|dn|uid|gid|key|location)$|passwd_file_path")
_NOT_EXPANDED = ("log_timestamp",)


@dataclass(frozen=True, slots=True)
class Remark:
    """A fault in the meaning of a configuration that Dovecot accepts."""

    kind: str
    status: Status
    title: str
    why: str
    subject: str
    places: tuple[Place, ...]
    cure: str = ""
    edits: tuple[Edit, ...] = ()
    certain: bool = False


def remarks(config: DovecotConfig) -> tuple[Remark, ...]:
    """All of them."""
    return tuple(_leftovers(config)) if config.modern else ()


def _leftovers(config: DovecotConfig) -> Iterator[Remark]:
    """2.4 takes `%u` for plain text: one directory for all users, a look-up that finds nobody.

    Verified on 2.4.1: with `mail_path = /var/vmail/%u` every user reads and writes the directory `/var/vmail/%u`.
    """
    for setting in config.source.settings:
        if setting.name not in _NOT_EXPANDED and leftovers(setting.value) and _matters(setting):
            yield _leftover(config, setting)


def _matters(setting: Setting) -> bool:
    return bool(_SHARED.search(setting.name) or _LOOKED_UP.search(setting.full_name) or _is_field(setting))


def _is_field(setting: Setting) -> bool:
    return bool(setting.within) and setting.within[-1].kind == "fields"


def _leftover(config: DovecotConfig, setting: Setting) -> Remark:
    found = ", ".join(leftovers(setting.value))
    line = setting.raw.replace(setting.value, modern(setting.value), 1)
    shared = bool(_SHARED.search(setting.name)) or (_is_field(setting) and setting.name in ("home", "mail_path"))
    return Remark(
        kind="variables",
        status=Status.CRITICAL,
        title=f"{setting.place}: {setting.name} = {setting.value}: Dovecot {config.version} takes {found} for plain text"
        + (", so all users share one place" if shared else ""),
        why=(
            "The one-letter variables of Dovecot 2.3 are gone; nothing warns of them. "
            + (
                "Every user reads and changes the mail of every other. Mail that came meanwhile lies in the directory "
                f"that is really named {setting.value}."
                if shared
                else "What is looked up with it is not found."
            )
        ),
        subject=setting.name,
        places=(setting.place,),
        cure=f"Write {setting.name} = {modern(setting.value)}",
        edits=(Edit(setting.place, (line,)),),
        certain=True,
    )
