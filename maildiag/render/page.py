"""A runbook page set for the terminal: our own Markdown, which uses headings, lists, code blocks, tables and emphasis."""

from __future__ import annotations

import io

from rich.console import Console
from rich.markdown import Markdown

from maildiag.render import Look


def terminal_page(markdown: str, look: Look) -> str:
    """The page in `look.width` columns."""
    file = io.StringIO()
    console = Console(
        file=file,
        width=look.width,
        force_terminal=look.colour,
        color_system="standard" if look.colour else None,
        no_color=not look.colour,
        legacy_windows=False,
        _environ={},
    )
    console.print(Markdown(markdown, code_theme="ansi_dark", hyperlinks=False))
    return "\n".join(line.rstrip() for line in file.getvalue().split("\n"))
