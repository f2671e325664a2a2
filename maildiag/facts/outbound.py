"""Servers that queued mail could not be delivered to: each is spoken to again."""

from __future__ import annotations

import re

from maildiag.asking import Ask
from maildiag.facts.postfix import Postfix
from maildiag.facts.queue import Queue
from maildiag.model import Gap
from maildiag.probes import Dialogue, Protocol, Transcript
from maildiag.records import dataclass
from maildiag.registry import gatherer

MOST_TARGETS = 3
_CONNECTING = re.compile(r"connect to ([^\s\[]+)\[([0-9a-fA-F.:]+)\]:25: ([^,)]+)")


@dataclass(frozen=True, slots=True)
class Target:
    """A server that the queue's reasons name, and the dialogue with it now."""

    host: str
    address: str
    reason: str
    probe: Dialogue
    transcript: Transcript | Gap


@dataclass(frozen=True, slots=True)
class Outbound:
    """The servers that could not be connected to, each tried again; `waiting` messages name one."""

    targets: tuple[Target, ...]
    waiting: int


@gatherer
def outbound(ask: Ask, postfix: Postfix, queue: Queue) -> Outbound:
    """Try again what the queue says could not be connected to; several independent servers, never just one of many."""
    found: dict[str, tuple[str, str]] = {}
    waiting = 0
    for group in queue.grouped.groups:
        match = _CONNECTING.search(group.text)
        if match:
            waiting += group.messages
            found.setdefault(match[1], (match[2], match[3]))
    chosen = list(found.items())[:MOST_TARGETS]
    helo = postfix.get("myhostname", "localhost")
    probes = [Dialogue(Protocol.SMTP, address, 25, helo=helo, timeout=12.0) for _, (address, _) in chosen]
    answers = ask.all(probes)
    return Outbound(
        tuple(
            Target(host, address, reason, probe, answer)
            for (host, (address, reason)), probe, answer in zip(chosen, probes, answers, strict=True)
        ),
        waiting,
    )
