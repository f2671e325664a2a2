"""The shells themselves complete what the generated completions know."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time

import pytest

from tests.support import ROOT

FOLDER = ROOT / "packaging" / "completions"
TYPED = [
    ("maildiag exp", "explain"),
    ("maildiag run --format pro", "prometheus"),
    ("maildiag run --step conn", "connectivity"),
    ("maildiag run --fail-o", "--fail-on"),
    ("maildiag fix --dr", "--dry-run"),
    ("maildiag explain services.post", "services.postfix"),
    ("maildiag demo dovecot-d", "dovecot-down"),
    ("maildiag queue req", "requeue"),
    ("maildiag logs /etc/hostn", "/etc/hostname"),
]
ZSH = f"""
unsetopt zle_bracketed_paste
fpath=({FOLDER} $fpath)
autoload -U compinit
compinit -u -D
PS1='rea''dy>'
"""


def installed(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


@pytest.mark.parametrize(("typed", "offered"), TYPED)
def test_bash_completes(typed: str, offered: str) -> None:
    words = typed.split()
    code = f"source {FOLDER}/maildiag.bash; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _maildiag; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert offered in done.stdout.split()
    assert done.stderr == ""


@pytest.mark.parametrize(("typed", "offered"), TYPED)
def test_fish_completes(typed: str, offered: str) -> None:
    code = f"source {FOLDER}/maildiag.fish; complete -C '{typed}'"
    done = subprocess.run([installed("fish"), "--no-config", "-c", code], capture_output=True, text=True, check=True)
    assert offered in [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert done.stderr == ""


@pytest.mark.parametrize(("typed", "offered"), TYPED)
def test_zsh_completes(typed: str, offered: str) -> None:
    """zsh completes at a terminal only: it gets one, the words, and the tabulator key."""
    ours, its = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        [installed("zsh"), "-f", "-i"], stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
    )
    os.close(its)
    try:
        os.write(ours, ZSH.encode())
        assert "ready>" in read_until(ours, "ready>")
        os.write(ours, f"{typed}\t".encode())
        assert offered in read_until(ours, offered)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, words: str, limit: float = 20.0) -> str:
    seen, end = "", time.monotonic() + limit
    while words not in seen and time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 4096).decode("utf-8", "replace")
    return seen
