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
