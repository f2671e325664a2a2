"""Every recorded incident tells the same when names and addresses are replaced, and names nobody any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from maildiag import engine, registry
from maildiag.hosts import bundle
from maildiag.hosts.bundle import BundleHost
from maildiag.model import Reading
from maildiag.probes import CommandResult, DnsAnswer, DnsLookup, DnsStatus, command
from maildiag.pseudonyms import Pseudonyms
from maildiag.redact import redacted
from maildiag.resources import incidents
from maildiag.settings import Settings
from tests.support import NOW


@pytest.mark.parametrize("path", incidents().values(), ids=lambda path: path.parent.name)
def test_an_incident_with_pseudonyms_gives_the_same_findings(path: Path, tmp_path: Path) -> None:
    kept = bundle.read(path)
    changed = redacted(kept, Pseudonyms(kept, b"key"))
    bundle.write(tmp_path / "changed.jsonl", changed)
    told = [_findings(path), _findings(tmp_path / "changed.jsonl")]
    assert told[0] == told[1]
    text = (tmp_path / "changed.jsonl").read_text(encoding="utf-8")
    for name in ("example.test", "partner.test", "app01.example", "alice@", "joe@", "/home/alice"):
        assert name not in text


def test_a_user_of_one_letter_changes_no_question(tmp_path: Path) -> None:
    said = "to=<a@example.test>, orig_to=<alice>, relay=local\nimap(alice)<1>: x\nroot: alice, bob\nuser=<alice>, from=<bob@example.test>\nsystem_groups_user\talice"
    asked = DnsLookup("mail.example.test", "A")
    kept = {
        asked: Reading(DnsAnswer(DnsStatus.ANSWER, ("10.0.1.10",), "10.0.1.53"), NOW, 0.1),
        command("journalctl"): Reading(CommandResult(0, said, ""), NOW, 0.1),
    }
    changed = redacted(kept, Pseudonyms(kept, b"key"))
    (question,) = [each for each in changed if isinstance(each, DnsLookup)]
    assert question.record == "A"
    told = changed[command("journalctl")]
    assert isinstance(told, Reading)
    assert "alice" not in told.value.stdout
    assert "bob" not in told.value.stdout
    assert told.value.stdout.count("user2") == 5


def _findings(path: Path) -> list[tuple[str, str]]:
    report = engine.report(BundleHost(path), registry.builtin(), Settings())
    return sorted((each.id, each.status.value) for each in report.findings)
