"""The numbers that people watch over time, picked from the findings' data by name."""

from __future__ import annotations

from collections.abc import Mapping

from maildiag.report import Report

INDICATORS: Mapping[str, tuple[str, str]] = {
    "queue_messages": ("queue.backlog", "messages"),
    "delivered": ("logs.delivery-rate", "sent"),
    "delivery_failures": ("logs.delivery-rate", "failed"),
    "auth_failures": ("authentication.failures", "total"),
    "mail_store_bytes": ("services.mail-store", "mail_store_bytes"),
}


def indicators(report: Report) -> dict[str, float]:
    """Each indicator that this run could tell; what no finding carries is left out, never zero."""
    found: dict[str, float] = {}
    for name, (check, key) in INDICATORS.items():
        values = [each.data[key] for each in report.findings if each.id == check and key in each.data]
        numbers = [float(each) for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
        if numbers:
            found[name] = sum(numbers)
    return found
