"""The documented diagnostic workflow: seven steps, one question each, in this order."""

from __future__ import annotations

from maildiag.model import Step

QUESTIONS: dict[Step, str] = {
    Step.SERVICES: "Are Postfix and Dovecot running?",
    Step.QUEUE: "Are messages stuck?",
    Step.LOGS: "What errors are reported?",
    Step.CONNECTIVITY: "Can the servers communicate?",
    Step.DNS: "Do the names resolve correctly?",
    Step.FIREWALL: "Are the required ports open?",
    Step.AUTHENTICATION: "Can users log in?",
}

REASONS: dict[Step, str] = {
    Step.SERVICES: "A service that is down, or a configuration it cannot start with, explains most of what follows.",
    Step.QUEUE: "What waits in the queue says where mail stops, and usually why.",
    Step.LOGS: "Look at the logs early: they usually hold the exact error.",
    Step.CONNECTIVITY: "Refused, timed out and unreachable each mean something else.",
    Step.DNS: "Most delivery problems are DNS, firewall or permissions; names come first.",
    Step.FIREWALL: "A closed port looks like a dead server from outside.",
    Step.AUTHENTICATION: "Mail may flow while nobody can read it.",
}
