"""The wheel holds the checks, the runbook pages and the recorded incidents; so does a wheel built from the sdist."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from maildiag.resources import incidents, runbook_pages
from tests.support import ROOT

CODE = """
import os, sys
from hatchling import build
os.chdir(sys.argv[1])
print(build.build_wheel(sys.argv[3]) if sys.argv[2] == "wheel" else build.build_sdist(sys.argv[3]))
"""


def build(source: Path, kind: str, target: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(source), kind, str(target)], capture_output=True, text=True, check=False
    )
    if "No module named 'hatchling'" in done.stderr:
        pytest.skip("hatchling is not installed")
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_a_wheel_and_one_from_the_sdist_hold_everything(tmp_path: Path) -> None:
    direct = names(build(ROOT, "wheel", tmp_path))
    (tmp_path / "sdist").mkdir()
    subprocess.run(["tar", "-xf", build(ROOT, "sdist", tmp_path), "-C", tmp_path / "sdist"], check=True)
    (unpacked,) = (tmp_path / "sdist").iterdir()
    (tmp_path / "second").mkdir()
    assert names(build(unpacked, "wheel", tmp_path / "second")) == direct
    expected = {f"maildiag/runbook/{name}.md" for name in runbook_pages()}
    expected |= {f"maildiag/incidents/{name}/{path.name}" for name, path in incidents().items()}
    expected |= {"maildiag/py.typed", "maildiag_checks/services.py", "maildiag/cli/run.py"}
    assert expected <= direct
    assert not [name for name in direct if name.startswith("tests/")]
    told = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    shared = {name.partition(".data/data/")[2] for name in direct if ".data/data/" in name}
    assert {f"/opt/maildiag/{each}" for each in shared} == set(re.findall(r"/opt/maildiag/share\S+", told))
