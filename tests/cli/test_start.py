"""Start-up stays light: what a command does not need is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, environment, maildiag

HEAVY = {"textual", "dns", "rich", "psutil", "jsonschema", "sqlite3", "tomllib"}


def imported(code: str) -> set[str]:
    argv = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment(), check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"]])
def test_version_and_help_import_nothing_heavy(arguments: list[str]) -> None:
    code = f"import maildiag.cli\ntry:\n    maildiag.cli.main({arguments!r})\nexcept SystemExit:\n    pass"
    assert not imported(code) & HEAVY


def test_a_json_run_imports_neither_rich_nor_textual() -> None:
    code = "import sys, maildiag.cli\nsys.stdout = sys.stderr\nmaildiag.cli.main(['run', '--json', '--bundle', '/'])\n"
    code += "import maildiag.render.json\nsys.stdout = sys.__stdout__"
    assert not imported(code) & {"textual", "rich"}


def test_a_trace_is_put_together_without_what_takes_longer_to_import_than_its_search(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(
        "Nov 16 10:05:00 mail postfix/qmgr[23]: 5E5B4290DF3: from=<a@example.test>, size=650, nrcpt=1 (queue active)\n"
        "Nov 16 10:05:01 mail postfix/local[24]: 5E5B4290DF3: to=<alice@example.test>, relay=local, delay=0.2, "
        "delays=0.1/0/0/0.1, dsn=2.0.0, status=sent (delivered to maildir)\n"
    )
    code = "import sys, maildiag.cli\nsys.stdout = sys.stderr\n"
    code += (
        f"assert maildiag.cli.main(['trace', '5E5B4290DF3', '--log', {str(log)!r}]) == 0\nsys.stdout = sys.__stdout__"
    )
    assert not imported(code) & {"dataclasses", "inspect", "pathlib", "shutil", "ipaddress", "json", "textwrap"}


def test_the_version_is_printed() -> None:
    from maildiag import __version__

    assert maildiag("--version").out == f"maildiag {__version__}\n"


def test_the_benchmark_of_the_start_runs() -> None:
    argv = [sys.executable, str(ROOT / "benchmarks" / "startup.py"), "--rounds", "1"]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment(), check=True)
    assert "maildiag --version" in done.stdout
