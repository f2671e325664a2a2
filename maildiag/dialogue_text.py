"""Dialogues in words: their lines as evidence, and what a connection's end means."""

from __future__ import annotations

from maildiag.model import Evidence
from maildiag.probes import Connect, Dialogue, Transcript
from maildiag.text import first_line

MEANINGS = {
    Connect.REFUSED: "nothing listens there, or a firewall rejects with a reset",
    Connect.TIMEOUT: "packets are dropped on the way (a firewall, or no such host), or the accept queue is full",
    Connect.NO_ROUTE: "the host is not there, or a firewall rejects with an ICMP message",
    Connect.UNREACHABLE: "there is no route to that network",
    Connect.PROHIBITED: "a rule of this host's own firewall forbids it",
    Connect.RESET: "the other side broke the connection off at once",
    Connect.ABSENT: "there is no such socket",
    Connect.DENIED: "the socket may not be opened by us",
    Connect.NO_ADDRESS: "the name does not resolve",
}


def lines(transcript: Transcript) -> str:
    """The dialogue as a person would see it typed: `> ` what was sent, `< ` what came back, `* ` what broke it off."""
    told = []
    for each in transcript.exchanges:
        if each.phase == "connect":
            told.append(f"* connected to {transcript.address}")
        elif each.phase == "tls":
            told.append(f"* TLS: {each.reply}")
        else:
            told += [f"> {each.sent}"] if each.sent else []
            told += [f"< {line}" for line in each.reply.splitlines()]
    if transcript.failed:
        told.append(f"* {transcript.failed}: {transcript.error}")
    return "\n".join(told)


def greeting(transcript: Transcript) -> str:
    """The first line of what the server greets with; empty where it did not."""
    banner = transcript.exchange("banner")
    return first_line(banner.reply) if banner else ""


def evidence(probe: Dialogue, transcript: Transcript) -> Evidence:
    """The dialogue as a piece of evidence."""
    return Evidence(probe.source, lines(transcript))


def means(outcome: Connect) -> str:
    """What the end of a connection attempt means, in a clause."""
    return MEANINGS.get(outcome, "the connection failed")
