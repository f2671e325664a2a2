"""Records the incidents of tests/bundles again: `python -m tests.lab.record [--expect-only] [INCIDENT …]`."""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "checks"))

from maildiag import engine, registry
from maildiag.document import document
from maildiag.hosts.bundle import BundleHost
from maildiag.settings import Settings
from tests.lab.fault_runner import Runner
from tests.lab.faults import Fault, load
from tests.lab.lab import Lab

BUNDLES = Path(__file__).parent.parent / "bundles"
EVIDENCE = "evidence.jsonl.gz"
_ON_HOST = f"/root/{EVIDENCE}"


def incidents() -> list[Fault]:
    """The incidents: `tests/bundles/NAME/fault.toml`, in the form of the catalogue of faults."""
    return [load(path, BUNDLES) for path in sorted(BUNDLES.glob("*/fault.toml"))]


def place(fault: Fault) -> Path:
    """The directory of an incident."""
    return BUNDLES / Path(fault.name).parent


def expected(folder: Path) -> dict[str, object]:
    """What this maildiag says of the recording: what `expected.json` keeps, so that a change of it is seen in a review."""
    report = engine.report(BundleHost(folder), registry.builtin(), Settings())
    told = document(report)
    causes = [{"id": each["id"], "subject": each["subject"]} for each in told["diagnosis"]["causes"]]
    findings = [{name: each[name] for name in ("id", "subject", "status")} for each in told["findings"]]
    return {"status": told["status"], "counts": told["counts"], "causes": causes, "findings": findings}


def main(argv: Sequence[str] | None = None) -> int:
    """Record on real hosts, or only write down anew what is expected of the recordings that are there."""
    arguments = argparse.ArgumentParser(prog="python -m tests.lab.record", description=__doc__)
    arguments.add_argument("incident", nargs="*", metavar="INCIDENT")
    arguments.add_argument("--expect-only", action="store_true", help="keep the evidence, write expected.json again")
    given = arguments.parse_args(argv)
    chosen = [each for each in incidents() if not given.incident or place(each).name in given.incident]
    if not given.expect_only:
        for release in sorted({each.releases[0] for each in chosen}):
            record([each for each in chosen if each.releases[0] == release], release)
    for fault in chosen:
        folder = place(fault)
        told = expected(folder)
        (folder / "expected.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        print(f"{folder.name}: {told['status']}, {told['causes']}")
    return 0


def record(faults: Sequence[Fault], release: str) -> None:
    """Break each in turn on a lab of the release, and bring home what `maildiag bundle` wrote there."""
    with Lab(release, maildiag=True) as lab:
        runner = Runner(lab)
        for fault in faults:
            runner.distrust()
            runner.prepare(fault)
            host = lab.hosts[fault.runs_on]
            done = host.maildiag("bundle", "-o", _ON_HOST, "--yes")
            print(done.stderr.strip().splitlines()[-1])
            (place(fault) / EVIDENCE).write_bytes(base64.b64decode(host.sh(f"base64 {_ON_HOST}")))


if __name__ == "__main__":
    sys.exit(main())
