"""The commands that must pass before a service is made to read its configuration."""

from __future__ import annotations

from collections.abc import Iterable

from maildiag.model import Fix
from maildiag.repair import actions
from maildiag.repair.actions import Actions, Argv

POSTFIX: Argv = ("postfix", "check")
DOVECOT: Argv = ("doveconf", "-x", "-n")  # without -x it does not notice a missing certificate


def guards(fix: Fix, changed: Iterable[str], table: Actions) -> tuple[Argv, ...]:
    """The fix's own guards, and the standard ones of the services that it makes read the files it changes."""
    loading = [argv for argv in fix.commands if actions.loads(argv, table)]
    if not loading:
        return ()
    units = {unit.partition("@")[0].removesuffix(".service") for argv in loading for unit in actions.units(argv)}
    paths = tuple(changed)
    found = list(fix.guards)
    if "postfix" in units and any(path.startswith("/etc/postfix/") for path in paths):
        found.append(POSTFIX)
    if "dovecot" in units and any(path.startswith("/etc/dovecot/") for path in paths):
        found.append(DOVECOT)
    return tuple(dict.fromkeys(found))
