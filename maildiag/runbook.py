"""The runbook: one page for each check, as the terminal, the screens and the site show it."""

from __future__ import annotations

from maildiag.registry import Registry
from maildiag.resources import runbook_pages


def page(name: str, checks: Registry) -> str | None:
    """The Markdown of a check's page; a finding's subject, as in `dns.mx@example.test`, may be given.

    A check without a page (a plug-in's) gets one that says so; None for a name that is neither.
    """
    pages = runbook_pages()
    wanted = name.partition("@")[0]
    if wanted in pages:
        return pages[wanted].read_text(encoding="utf-8")
    if wanted in checks.checks:
        return f"# {wanted}\n\nThis check asks: {checks.checks[wanted].asks} It brings no runbook page.\n"
    return None
