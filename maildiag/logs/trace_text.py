"""A trace as text for people and as a JSON document for programs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from maildiag.logs.events import Delivery
from maildiag.logs.reasons import Reason
from maildiag.logs.trace import Message, Step, Trace
from maildiag.text import safe

SCHEMA = "maildiag.trace/1"


def as_document(trace: Trace) -> dict[str, Any]:
    """Return the trace as a JSON document of schema `maildiag.trace/1`: field names are those of `Trace`."""
    document = _plain(trace)
    assert isinstance(document, dict)
    return {"schema": SCHEMA, **document}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case str():
            return safe(value)
        case Trace() | Message() | Step() | Delivery() | Reason():
            return {name: _plain(item) for name, item in value._asdict().items()}
        case tuple():
            return [_plain(item) for item in value]
    return value


def as_text(trace: Trace) -> Iterator[str]:
    """Yield the trace line by line: each message with its steps, then the lines that belong to none."""
    if not trace.messages and not trace.others:
        yield f"nothing in the logs about {safe(trace.key)}"
    for message in trace.messages:
        yield from _message(message)
        yield ""
    if trace.others:
        yield f"{len(trace.others)} lines that belong to no message"
        yield from (_step(step) for step in trace.others[-200:])
    if trace.dropped:
        yield f"{trace.dropped} more were left out: narrow the search with --since"


def _message(message: Message) -> Iterator[str]:
    recipients = ", ".join(dict.fromkeys(delivery.to for delivery in message.deliveries if delivery.to))
    yield safe(f"{message.queue_id} on {message.host}: {message.outcome.upper()}")
    yield safe(f"  <{message.sender}> -> <{recipients or '?'}>" + (f", {message.size:,} bytes" if message.size else ""))
    facts = (
        ("message-id", f"<{message.message_id}>" if message.message_id else ""), ("client", message.client),
        ("user", message.user), ("came from", ", ".join(message.came_from)), ("went on as", ", ".join(message.went_on_as)),
    )  # fmt: skip
    yield from (safe(f"  {name}: {value}") for name, value in facts if value)
    if message.first and message.last:
        yield f"  {message.first:%Y-%m-%d}, {len(message.steps)} lines in {_duration((message.last - message.first).total_seconds())}"
    yield from map(_step, message.steps)


def _step(step: Step) -> str:
    when = f"{step.when:%H:%M:%S}" if step.when else "--:--:--"
    after = f"+{_duration(step.after)}" if step.after else ""
    why = f"  [{step.reason.meaning}]" if step.reason else ""
    return safe(f"  {when} {after:>8}  {step.kind:<10} {step.daemon:<12} {step.text}{why}")


def _duration(seconds: float) -> str:
    """Return seconds as people write them: 0.3s, 41s, 5m12s, 3h05m, 2d04h."""
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    if seconds < 10:
        return f"{sign}{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{sign}{minutes}m{rest:02d}s" if minutes else f"{sign}{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}h{minutes:02d}m" if hours < 48 else f"{sign}{hours // 24}d{hours % 24:02d}h"
