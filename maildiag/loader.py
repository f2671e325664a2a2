"""What the dynamic linker says where a program cannot be loaded (ld.so(8)): a library that is missing, damaged or of another version."""

from __future__ import annotations

import re
from typing import NamedTuple

# Recorded: "postconf: error while loading shared libraries: libpostfix-tls.so: cannot open shared object file: No such file
# or directory", "…: /usr/lib/postfix/libpostfix-tls.so: file too short", "postconf: symbol lookup error: postconf: undefined
# symbol: var_tls_eecdh_ultra"; glibc's dl-lookup.c: "postconf: /lib/libc.so.6: version `GLIBC_2.38' not found (required by postconf)".
PATTERN = (
    r"(?P<program>[\w./-]+): (?:error while loading shared libraries: (?P<library>[^\s:]+): (?P<why>[^\n]*[^\s])"
    r"|symbol lookup error: (?P<user>[^\s:]+): (?P<symbol>undefined symbol: \S+)"
    r"|(?P<versioned>/[^\s:]+): (?P<version>version `[^']+' not found)[^\n]*)"
)
_SEARCH = re.compile(PATTERN)
# Said where a limit of memory is reached as well, and where the file system is mounted noexec.
NOT_MAPPED = "failed to map segment from shared object"


class NotLoaded(NamedTuple):
    """A program that could not be loaded: its name, the library (or who wants a symbol), and why."""

    program: str
    library: str
    why: str

    @property
    def told(self) -> str:
        """The library and what is the matter with it."""
        return f"{self.library}: {self.why}"


def not_loaded(text: str) -> NotLoaded | None:
    """What a text of standard error or of the log says of a program that could not be loaded."""
    match = _SEARCH.search(text)
    if match is None:
        return None
    library = match["library"] or match["user"] or match["versioned"]
    return NotLoaded(match["program"], library, match["why"] or match["symbol"] or match["version"])
