"""What Dovecot says of namespaces that do not fit together, led back to their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.dovecot.tree import Setting
from maildiag.facts.dovecot import DovecotConfig
from maildiag.model import Evidence, Fix
from maildiag_checks._sockets import GUARDS, RELOAD

CHECK = "authentication.users"
_PREFIX = re.compile(r"requires prefix=(?P<prefix>\S+) to end with separator (?P<separator>\S)")


def lines(config: DovecotConfig, error: str) -> tuple[Setting, ...]:
    """The settings of namespaces that a `namespace configuration error` is about; none where the error is another."""
    if "amespace configuration error" not in error:
        return ()
    match = _PREFIX.search(error)
    if match:
        return tuple(each for each in _within(config, "prefix") if each.value == match["prefix"])
    names = ("separator", "prefix") if "separator" in error else ("inbox",)
    found = [each for name in names for each in _within(config, name)]
    return tuple(sorted(found, key=lambda each: not ("only one" in error and _prefixed(config, each))))


def shown(config: DovecotConfig, error: str) -> tuple[Evidence, ...]:
    """These lines as evidence."""
    return tuple(Evidence(each.place.file, f"{each.place.line}: {each.raw}") for each in lines(config, error))


def fixes(config: DovecotConfig, error: str) -> tuple[Fix, ...]:
    """The one line to change, where there is but one."""
    edits = tuple(_edits(config, error))
    if len(edits) != 1:
        return ()
    return (
        Fix(
            id=f"{CHECK}/namespace",
            title="Correct the namespace",
            commands=(*editing.commands(edits), RELOAD),
            automatic=True,
            changes=editing.files(edits),
            verify=(CHECK,),
            guards=GUARDS,
        ),
    )


def _edits(config: DovecotConfig, error: str) -> Iterator[Edit]:
    found = lines(config, error)
    match = _PREFIX.search(error)
    for each in found:
        if match:
            yield Edit(each.place, (each.raw.replace(each.value, each.value + match["separator"], 1),))
        elif "missing" in error and each.value == "no":
            yield Edit(each.place, (each.raw.replace("no", "yes", 1),))
        elif "only one" in error and each.value == "yes" and _prefixed(config, each):
            yield Edit(each.place)


def _prefixed(config: DovecotConfig, setting: Setting) -> bool:
    inside = config.source.inside(setting.within[-1])
    return any(each.name == "prefix" and each.value for each in inside)


def _within(config: DovecotConfig, name: str) -> Iterator[Setting]:
    for each in config.source.settings:
        if each.name == name and each.within and each.within[-1].kind == "namespace" and each.place.file:
            yield each
