"""Counting TLS connections, those of clients and those to other servers."""

from __future__ import annotations

from collections import Counter

from maildiag.logs.tally import Tally

_TRUST = (": Anonymous TLS ", ": Trusted TLS ", ": Untrusted TLS ", ": Verified TLS ")


def tls(tally: Tally, lines: list[str], start: int, direction: str) -> None:
    """Count `Trusted TLS connection established from host[address]: TLSv1.3 with cipher …` by all but the peer."""
    if not lines:
        return
    at = lines[0].find(": ", start)  # where nearly every line has the word
    for trust in _TRUST:
        end = at + len(trust)
        some = [line for line in lines if line[at:end] == trust or trust in line]
        if some:
            for cipher, count in Counter([line[line.rfind(": ") + 2 :] for line in some]).items():
                tally.tls[f"{direction}{trust}{cipher}"] += count
        if len(some) == len(lines):  # nearly always with the first word
            return
        lines = [line for line in lines if trust not in line]
