"""The documentation's indicators that only earlier runs can judge: a sudden drop of deliveries, growth of the mail store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType

from maildiag.facts.disk import Disks, Place
from maildiag.facts.history import History
from maildiag.facts.mail_log import MailLog
from maildiag.model import Evidence, Gap, JsonValue, Step, Verdict, ok, skipped, unknown, warning
from maildiag.probes import Identity
from maildiag.registry import SERVER, check
from maildiag.settings import Settings

_SOURCE = "maildiag history"
_BACK = timedelta(days=14)
_DAYS = 7
_FEW = 20
_WEEK = timedelta(days=7)
_GIB = 1024**3


@check(
    "logs.delivery-drop",
    step=Step.LOGS,
    asks="Is as much mail delivered as in the days before?",
    explained_by=("services.postfix", "logs.source", "logs.delivery-rate", "queue.deferred"),
)
def delivery_drop(log: MailLog, history: History | Gap, identity: Identity, settings: Settings) -> Iterator[Verdict]:
    """Measured against the quietest of at least seven days, so that a Sunday is no drop."""
    if isinstance(history, Gap):
        yield _unread(history)
        return
    if not log.complete:
        yield skipped("The log of the window is too long to be counted whole")
        return
    days = history.days("delivered", identity.now, _BACK)
    if len(days) < _DAYS:
        yield skipped(f"Fewer than {_DAYS} earlier days are kept to compare with")
        return
    now, quietest = log.summary.statuses.get("sent", 0), min(days.values())
    shown = (_days(days), Evidence(log.source, f"{now:,} delivered since {log.since:%Y-%m-%d %H:%M} UTC"))
    drop = settings.thresholds.delivery_drop_percent
    if quietest >= _FEW and now < quietest * (100 - drop) / 100:
        lost = 100 - now * 100 / quietest
        yield warning(
            f"{lost:.0f} % fewer deliveries than on the quietest of the last {len(days)} days",
            evidence=shown,
            data={"delivered": now, "quietest": quietest},
        )
    else:
        yield ok("Deliveries are in the range of the days before", evidence=shown, data={"delivered": now})


@check(
    "services.mail-store",
    step=Step.SERVICES,
    asks="Does the mail store grow as before?",
    roles=SERVER,
    explained_by=("queue.sender",),
)
def mail_store(disks: Disks, history: History | Gap, identity: Identity, settings: Settings) -> Iterator[Verdict]:
    """Used bytes of the file systems that hold mailboxes, against what they were a week ago."""
    used = sum({each.system.mount: each.system.size - each.system.available for each in _stores(disks)}.values())
    if not used:
        yield skipped("No directory of mailboxes is known")
        return
    data = {"mail_store_bytes": used}
    held = ", ".join(each.path for each in _stores(disks))
    shown = Evidence(f"df {_stores(disks)[0].path}", f"{used / _GIB:.1f} GiB used where {held} is")
    if isinstance(history, Gap):
        yield _unread(history, (shown,), data)
        return
    before = _a_week_ago(history, identity)
    if before is None:
        yield ok("The mail store is measured; a week of history will tell its growth", evidence=(shown,), data=data)
        return
    grown = (used - before) * 100 / before if before else 0.0
    told = (shown, Evidence(_SOURCE, f"{before / _GIB:.1f} GiB used about a week ago"))
    if grown > settings.thresholds.mail_store_growth_percent and used - before > _GIB:
        yield warning(f"The mail store grew by {grown:.0f} % in a week", evidence=told, data=data)
    else:
        yield ok(f"The mail store changed by {grown:+.0f} % in a week", evidence=told, data=data)


def _unread(
    history: Gap, evidence: tuple[Evidence, ...] = (), data: Mapping[str, JsonValue] = MappingProxyType({})
) -> Verdict:
    """A history that cannot be read is not a short one; both checks say it in the same words, so that it is told once."""
    title = f"The history of earlier runs cannot be read: {history}"
    return unknown(title, evidence=evidence, data=data, explained_by=())


def _stores(disks: Disks) -> list[Place]:
    return [each for each in disks.places if each.use == "store"]


def _a_week_ago(history: History, identity: Identity) -> float | None:
    """The newest measurement that is at least a week old, and not older than two."""
    found = history.values("mail_store_bytes", identity.now - 2 * _WEEK, identity.now - _WEEK)
    return found[0][1] if found else None


def _days(days: Mapping[str, float]) -> Evidence:
    return Evidence(_SOURCE, "\n".join(f"{day}: {value:,.0f} delivered" for day, value in sorted(days.items())))
