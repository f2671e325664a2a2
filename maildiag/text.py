"""Text for people: what strangers wrote made safe to show (no escapes, no direction tricks), and counts, times and lists set in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_SHOWN_AS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_SHOWN_AS[9] = "    "
_HIDDEN = (
    0x61C,
    0x200B,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2060, 0x206A),
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
)
_SHOWN_AS |= {code: f"\\u{code:04x}" for code in _HIDDEN}
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def safe(text: str, limit: int = 4096) -> str:
    """One line of untrusted text as it may be shown: control, bidi and surrogate code points become visible escapes.

    Text longer than `limit` characters is cut, and the cut is told.
    """
    if len(text) > limit:
        text = f"{text[:limit]} …(+{len(text) - limit})"
    if not _UNSAFE.search(text):
        return text
    return _UNSAFE.sub(lambda match: _SHOWN_AS.get(ord(match[0])) or f"\\u{ord(match[0]):04x}", text)


def safe_lines(text: str, limit: int = 4096, most: int = 200) -> str:
    """Several lines of untrusted text, each made safe; at most `most` lines, and the cut is told."""
    lines = text.split("\n")
    shown = [safe(line.rstrip("\r"), limit) for line in lines[:most]]
    if len(lines) > most:
        shown.append(f"…(+{len(lines) - most} lines)")
    return "\n".join(shown)


def first_line(text: str) -> str:
    """The first line of `text` that is not blank, or an empty string."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def plural(count: int, noun: str, nouns: str = "") -> str:
    """`1 message`, `2 messages`, `1,284 messages`; `nouns` where an s is not enough."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def lasting(seconds: int) -> str:
    """A length of time in its largest fitting unit: `45 seconds`, `90 minutes`, `3 days`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return plural(seconds // length, unit)
    return plural(max(0, seconds), "second")


def hung(line: str, width: int, hang: int) -> str:
    """The line broken at `width` columns (0: never), what is left of it under `hang` blanks."""
    if not width or len(line) <= width:
        return line
    import textwrap

    return textwrap.fill(line, width, subsequent_indent=" " * hang, break_on_hyphens=False)


def columns(rows: Iterable[tuple[str, str]], width: int, indent: int = 0) -> Iterator[str]:
    """Names and what is said of them side by side, the words behind the names wrapped to `width` columns (0: never)."""
    import textwrap

    told = list(rows)
    left = indent + max((len(name) for name, _ in told), default=0) + 2
    for name, words in told:
        first = f"{' ' * indent}{name}".ljust(left)
        if width:
            yield textwrap.fill(words, width, initial_indent=first, subsequent_indent=" " * left)
        else:
            yield f"{first}{words}"
