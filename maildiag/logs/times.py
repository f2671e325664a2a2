"""Moments as people type them: a date, a time of today, or an age."""

from __future__ import annotations

from datetime import datetime, timedelta

from maildiag.logs.patterns import later

_AGE = later(r"(?P<count>\d{1,6}) ?(?P<unit>s|sec|m|min|h|d|w)")
_UNITS = {"s": "seconds", "sec": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_CLOCK = later(r"\d{1,2}:\d\d(?::\d\d)?")


class BadTimeError(ValueError):
    """What was typed is no moment; the text says what would be."""


def local_now() -> datetime:
    """Return the present moment in the zone of this host."""
    return datetime.now().astimezone()


def moment(text: str, now: datetime) -> datetime:
    """Return the moment that `text` means at `now`: `6h` (ago), `10:30` (today), `today`, `yesterday`, or ISO 8601."""
    text = text.strip()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if age := _AGE().fullmatch(text):
        return now - timedelta(**{_UNITS[age["unit"]]: int(age["count"])})
    match text:
        case "now":
            return now
        case "today":
            return midnight
        case "yesterday":
            return midnight - timedelta(days=1)
    try:
        if _CLOCK().fullmatch(text):
            return datetime.fromisoformat(f"{now:%Y-%m-%d}T{text.zfill(len(text) + (text[1] == ':'))}").replace(
                tzinfo=now.tzinfo
            )
        when = datetime.fromisoformat(text)
    except ValueError:
        raise BadTimeError(
            f"not a time: {text!r} (write 2026-11-22, '2026-11-22 10:00', 10:00, 30m, 6h or 2d)"
        ) from None
    return when if when.tzinfo else when.replace(tzinfo=now.tzinfo)
