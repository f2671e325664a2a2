"""Step 1: are Postfix and Dovecot installed and running?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.facts.postfix import Postfix
from maildiag.model import Evidence, Step, Verdict, critical, ok
from maildiag.registry import check


@check("services.installed", step=Step.SERVICES, asks="Is Postfix installed?")
def installed(postfix: Postfix) -> Iterator[Verdict]:
    """A host without Postfix can neither take mail nor forward it."""
    if postfix.installed:
        evidence = (Evidence("postconf -x", f"mail_version = {postfix.version}"),)
        yield ok(f"Postfix {postfix.version} is installed", subject="postfix", evidence=evidence)
    else:
        yield critical(
            "Postfix is not installed", subject="postfix", evidence=(Evidence("postconf -x", "postconf: not found"),)
        )
