"""The host's own time: its zone, and its clock in that zone; what log lines without a zone are written in."""

from __future__ import annotations

import io
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from maildiag.asking import Ask
from maildiag.probes import FileInfo, FileText, Identity, ReadFile, Stat
from maildiag.records import dataclass
from maildiag.registry import gatherer

LOCALTIME = "/etc/localtime"


@dataclass(frozen=True, slots=True)
class LocalTime:
    """The host's clock when it was asked, in the host's zone; `zone` is its name (`UTC` where none is set)."""

    now: datetime
    zone: str

    @property
    def tz(self) -> tzinfo:
        """The host's time zone."""
        return self.now.tzinfo or UTC


@gatherer
def local_time(ask: Ask, identity: Identity) -> LocalTime:
    """Read the zone from /etc/localtime (localtime(5)): the link's target, or the file itself where it is a copy."""
    link = ask.maybe(Stat(LOCALTIME))
    found = named_zone(link.link_to) if isinstance(link, FileInfo) else None
    if found is None and isinstance(link, FileInfo):
        copy = ask.maybe(ReadFile(LOCALTIME))
        found = copied_zone(copy) if isinstance(copy, FileText) else None
    return LocalTime(
        identity.now.astimezone(found or UTC), getattr(found, "key", None) or ("local" if found else "UTC")
    )


def named_zone(link: str) -> ZoneInfo | None:
    """The zone that a link like `/usr/share/zoneinfo/Europe/Berlin` names, None where it names none that is known."""
    _, separator, name = link.partition("zoneinfo/")
    if not separator:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def copied_zone(file: FileText) -> ZoneInfo | None:
    """The zone of a tzfile(5), None where the file is none."""
    try:
        return ZoneInfo.from_file(io.BytesIO(file.text.encode("utf-8", "surrogateescape")))
    except (ValueError, OSError, UnicodeError):
        return None
