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
    from maildiag import registry, runbook
    from maildiag.resources import runbook_pages

    checks = registry.load()
    text = runbook.page(name, checks)
    if text is None:
        known = {*runbook_pages(), *checks.checks}
        raise UsageError(
            f"there is no page {name!r}{hint(name.partition('@')[0], known)} (maildiag checks lists the checks)"
        )
    return text
