"""Step 7, the mailboxes: is there room in them?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mailboxes import Quota, Quotas
from maildiag.model import Evidence, Step, Verdict, critical, notice, ok, skipped, unknown, warning
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks._sockets import DEAD

QUOTA = "authentication.quota"
_FULL, _NEARLY = 100, 90
_LEAST_KB = 1024
_UNTOLD = re.compile(r"Failed to get quota resource \w+: (?P<why>.*)")  # doveadm quota get, exit status 75
_BACK_END = re.compile(r"quota\d*|quota_driver")
_BARE_SIZE = re.compile(r"^quota_rule\d*=\*:storage=\d+$|(?:^|_)storage_size=\d+$")


@check(
    QUOTA,
    step=Step.AUTHENTICATION,
    asks="Do the users have room left in their quota?",
    roles=SERVER,
    explained_by=DEAD,
)
def quota(found: Quotas, config: DovecotConfig | None = None) -> Iterator[Verdict]:
    """Mail for a user whose quota is used up, or smaller than a message, bounces (552 5.2.2).

    Source: Dovecot's quota plug-in, doveadm-quota(1): kilobytes.
    """
    if not found.on:
        yield skipped("No quota is configured")
        return
    if not found.quotas:
        why = _UNTOLD.search(found.error)
        yield _untold(why["why"], config) if why else unknown("Could not read the quotas", detail=found.error)
        return
    tiny = [each for each in found.quotas if each.kind == "STORAGE" and 0 < each.limit < _LEAST_KB]
    if tiny:
        yield _tiny(tiny, config)
    rest = [each for each in found.quotas if each.limit and each not in tiny]
    full = [each for each in rest if each.percent >= _FULL]
    nearly = [each for each in rest if _NEARLY <= each.percent < _FULL]
    for each in full:
        yield _said(each, full=True)
    for each in nearly:
        yield _said(each, full=False)
    if not full and not nearly and not tiny:
        yield ok(f"{plural(len({each.user for each in found.quotas}), 'user')} with room left in their quota")


def _untold(why: str, config: DovecotConfig | None) -> Verdict:
    """Without an answer of its back end the plug-in lets mail pass or puts it off, and counts nothing."""
    setting = (
        next((each for each in config.source.settings if _BACK_END.fullmatch(each.name)), None) if config else None
    )
    place = f"{setting.place}: " if setting else ""
    return warning(
        f"{place}Dovecot cannot tell the quota of its users: {why[:200]}",
        detail="Nobody's limit is kept, and what mail programs show of it is wrong.",
        subject=setting.name if setting else "quota",
        evidence=(
            Evidence("doveadm quota get", why),
            *((Evidence(setting.place.file, f"{setting.place.line}: {setting.raw.strip()}"),) if setting else ()),
        ),
        explained_by=("authentication.mailbox", "services.dovecot-config", *DEAD),
    )


def _tiny(tiny: list[Quota], config: DovecotConfig | None) -> Verdict:
    """A size without a unit is kilobytes in 2.3's quota_rule and bytes in 2.4, and was meant as something larger."""
    named = (
        (each for each in config.source.settings if _BARE_SIZE.search(f"{each.name}={each.value}")) if config else ()
    )
    setting = next(iter(named), None)
    place = f"{setting.place}: " if setting else ""
    first = tiny[0]
    return critical(
        f"{place}The storage quota of {first.user} is {first.limit} kB, and an ordinary message does not fit",
        detail=f"{plural(len(tiny), 'user')} of those that were looked up. Mail for them bounces or is deferred: Quota exceeded. "
        "A size without a unit is in kB on Dovecot 2.3, in bytes on 2.4: write M or G behind it.",
        subject=setting.name if setting else first.user,
        data={"users": [each.user for each in tiny], "limit": first.limit},
        evidence=(
            Evidence(f"doveadm quota get -u {first.user}", f"{first.name} {first.kind} {first.used} of {first.limit}"),
            *((Evidence(setting.place.file, f"{setting.place.line}: {setting.raw.strip()}"),) if setting else ()),
        ),
    )


def _said(each: Quota, *, full: bool) -> Verdict:
    told = warning if full else notice
    return told(
        f"The {each.kind.lower()} quota of {each.user} is {'used up' if full else 'nearly used up'} ({each.percent} %)",
        detail="Mail for the user bounces or is deferred until something is deleted or the limit is raised."
        if full
        else "",
        subject=each.user,
        data={"used": each.used, "limit": each.limit, "percent": each.percent},
        evidence=(
            Evidence(f"doveadm quota get -u {each.user}", f"{each.name} {each.kind} {each.used} of {each.limit}"),
        ),
    )
