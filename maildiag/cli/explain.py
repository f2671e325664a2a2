"""`maildiag explain ID`: the runbook page of a check or finding."""

from __future__ import annotations

import argparse
import sys

from maildiag.cli import options
from maildiag.cli.errors import UsageError
from maildiag.nearest import hint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `explain`."""
    parser.add_argument("id", metavar="ID", help="a check or finding, such as queue.backlog")
    options.add_colour(parser)


def main(args: argparse.Namespace) -> int:
    """Print the page: set for reading on a terminal, as it is written elsewhere."""
    text = page(args.id)
    look = options.look(args.color)
    if not (sys.stdout and sys.stdout.isatty()) and not look.colour:
        print(text, end="")
        return 0
    from maildiag.render.page import terminal_page

    print(terminal_page(text, look), end="")
    return 0


def page(name: str) -> str:
    """The Markdown of a page; a finding's subject, as in `dns.mx@example.test`, may be given. Raises UsageError."""
    from maildiag.resources import runbook_pages

    pages = runbook_pages()
    wanted = name.partition("@")[0]
    if wanted in pages:
        return pages[wanted].read_text(encoding="utf-8")
    asks = _question(wanted)
    if asks:
        return f"# {wanted}\n\nThis check asks: {asks} It brings no runbook page.\n"
    raise UsageError(f"there is no page {name!r}{hint(wanted, pages)} (maildiag checks lists the checks)")


def _question(wanted: str) -> str:
    from maildiag import registry

    found = registry.load().checks.get(wanted)
    return found.asks if found else ""
