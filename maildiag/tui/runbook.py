"""The runbook for the screen: a page of ours as rows, and what the site has noted about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from maildiag.resources import runbook_pages
from maildiag.text import safe
from maildiag.tui.rows import Part, Row, Tone, caption, row, wrapped

SITE_NOTES = Path("/etc/maildiag/runbook.d")
_MOST_OF_A_NOTE = 65536


def page(name: str) -> str:
    """The Markdown of the page about a check; empty where there is none."""
    path = runbook_pages().get(name.partition("@")[0])
    return path.read_text(encoding="utf-8") if path else ""


def names() -> list[str]:
    """The checks that have a page, in the order of the pages."""
    return list(runbook_pages())


def site_note(name: str, directory: Path = SITE_NOTES) -> str:
    """What the administrators of this installation wrote about the page; empty where they wrote nothing."""
    try:
        with (directory / f"{Path(name.partition('@')[0]).name}.md").open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_OF_A_NOTE)
    except OSError:
        return ""


def rows(name: str, text: str, note: str, width: int) -> list[Row]:
    """The page and the site's note set to `width` columns."""
    found = list(_set(text, width)) if text else [row("none", f" There is no page about {safe(name) or 'this'}.")]
    if note:
        found += [caption("your site's note"), *_set(note, width, "note")]
    return found


def _set(text: str, width: int, key: str = "page") -> Iterator[Row]:
    """Headings as captions, code as it stands, prose and lists wrapped."""
    code, prose = False, ""
    for number, line in enumerate([*text.splitlines(), ""]):
        here = f"{key}:{number}"
        fence = line.startswith("```")
        ends = code or fence or not line.strip() or line.startswith(("#", "|", "- ", "* ")) or _numbered(line)
        if prose and ends:
            yield from _prose(f"{here}:prose", prose, width)
            prose = ""
        if fence:
            code = not code
        elif code:
            yield row(here, "   ", Part(safe(line), Tone.CODE))
        elif line.startswith("#"):
            yield from _heading(here, line, width)
        elif not line.strip():
            yield row(here, "")
        else:
            prose = f"{prose} {line.strip()}".strip()


def _heading(key: str, line: str, width: int) -> Iterator[Row]:
    words = line.lstrip("#").strip()
    if line.startswith("## "):
        yield caption(safe(words))
    else:
        yield from wrapped(key, words, width, Tone.STRONG)


def _prose(key: str, text: str, width: int) -> Iterator[Row]:
    hanging = text.startswith(("- ", "* ")) or _numbered(text)
    for number, each in enumerate(wrapped(key, text, width - 2 if hanging else width)):
        yield row(each.key, "  " if hanging and number else "", *each.parts)


def _numbered(line: str) -> bool:
    head, dot, _ = line.partition(". ")
    return bool(dot) and head.isdigit()
