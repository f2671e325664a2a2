"""Ends at which mail is taken and not kept: discard(8), /dev/null, commands that store nothing.

Source: discard(8), local(8), aliases(5), pipe(8).
"""

from __future__ import annotations

import re
import shlex

from maildiag.lint.master_cf import MasterCf

_IDLE = frozenset({"true", ":", "exit"})
_COPYING = frozenset({"cat", "dd", "tee", "wc", "head", "tail"})
_TO_NOWHERE = re.compile(r"\s*1?>>?\s*/dev/null\b")


def transport_of(value: str) -> str:
    """The name of the transport in `transport:nexthop`."""
    return value.strip().partition(":")[0].strip()


def discards(value: str, master: MasterCf) -> bool:
    """True where the service that a transport names is discard(8), or a pipe(8) to a command that stores nothing."""
    service = master.service(transport_of(value), "unix")
    if service is None:
        return False
    return service.command == "discard" or (service.command == "pipe" and is_idle(service.program))


def is_idle(command: str) -> bool:
    """True for a command that ends well and stores nothing: true(1), `exit 0`, a copy to /dev/null."""
    try:
        words = shlex.split(_TO_NOWHERE.sub(" ", command), comments=False)
    except ValueError:
        return False
    program = words[0].rpartition("/")[2] if words else ""
    return program in _IDLE or (program in _COPYING and _TO_NOWHERE.search(command) is not None)
