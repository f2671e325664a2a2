"""The numbers that people watch over time, picked from the findings' data by name."""

from __future__ import annotations

from collections.abc import Mapping

from maildiag.report import Report

INDICATORS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "queue_messages": (("queue.backlog", "messages"), ("queue.backlog", "total")),
    "queue_deferred": (("queue.backlog", "deferred"),),
    "delivery_rate": (("logs.delivery-rate", "per_hour"),),
    "delivered": (("logs.delivery-rate", "delivered"),),
    "auth_failures": (("authentication.failures", "failures"),),
    "mail_store_bytes": (("services.disk", "mail_store_bytes"),),
}


def indicators(report: Report) -> dict[str, float]:
    """Each indicator that this run could tell; what no finding carries is left out, never zero."""
    found: dict[str, float] = {}
    for name, places in INDICATORS.items():
        for check, key in places:
            values = [each.data[key] for each in report.findings if each.id == check and key in each.data]
            numbers = [float(each) for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
            if numbers:
                found.setdefault(name, sum(numbers))
    return found
