"""Text that real hosts of both releases printed."""

from __future__ import annotations

from pathlib import Path

from maildiag.firewall import iptables, nft
from maildiag.firewall.rules import Ruleset

DATA = Path(__file__).parent.parent / "data" / "network"
RELEASES = ("debian12", "debian13")


def text(release: str, name: str) -> str:
    """A recording of that release."""
    return (DATA / release / name).read_text()


def nft_rules(release: str, name: str) -> Ruleset:
    """Recorded output of `nft -j list ruleset`."""
    return Ruleset.of(nft.parse(text(release, name))[0])


def iptables_rules(release: str, name: str) -> Ruleset:
    """Recorded output of `iptables-save`."""
    return Ruleset.of(iptables.parse(text(release, name)))
