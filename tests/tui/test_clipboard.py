"""The ways of a copied text: tmux, another user's tmux behind sudo, the terminal, and always a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maildiag.tui import clipboard


@pytest.fixture
def tmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tmux that writes down what it was asked; the directory of its notes."""
    program = tmp_path / "bin" / "tmux"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat > {tmp_path}/given\nexit ${{FAKE_TMUX_STATUS:-0}}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for name in ("TMUX", "SUDO_UID", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return tmp_path


def copy(state: Path, text: str = "postfix reload") -> tuple[str, list[str]]:
    """Copy, and what was said and what went to the terminal."""
    written: list[str] = []
    return clipboard.copy(text, written.append, state), written


def test_inside_tmux_its_buffer_is_loaded(tmux: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    said, written = copy(tmux)
    assert (tmux / "asked").read_text().split() == ["load-buffer", "-w", "-"]
    assert (tmux / "given").read_text() == "postfix reload"
    assert "copied 1 lines via tmux" in said
    assert written == []


def test_behind_sudo_the_other_users_server_is_asked(tmux: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.setenv("TERM", "tmux-256color")
    said, _ = copy(tmux)
    assert (tmux / "asked").read_text().split() == ["-S", "/tmp/tmux-1000/default", "load-buffer", "-w", "-"]
    assert "via tmux" in said


def test_where_tmux_fails_the_terminal_is_asked(tmux: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "gone")
    monkeypatch.setenv("FAKE_TMUX_STATUS", "1")
    said, written = copy(tmux)
    assert written == ["postfix reload"]
    assert "via the terminal (OSC 52), if it allows that" in said


@pytest.mark.parametrize(
    ("variable", "program", "arguments"),
    [("WAYLAND_DISPLAY", "wl-copy", ""), ("DISPLAY", "xclip", "-selection clipboard")],
)
def test_at_a_desktop_its_clipboard_is_filled_and_over_ssh_it_is_not(
    tmux: Path, monkeypatch: pytest.MonkeyPatch, variable: str, program: str, arguments: str
) -> None:
    (tmux / "bin" / "tmux").rename(tmux / "bin" / program)
    monkeypatch.setenv("PATH", f"{tmux / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv(variable, ":0")
    said, written = copy(tmux)
    assert f"via {program};" in said
    assert (tmux / "asked").read_text().strip() == arguments
    assert (tmux / "given").read_text() == "postfix reload"
    assert written == []
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.1 22")
    assert copy(tmux)[1] == ["postfix reload"]
    monkeypatch.delenv("SSH_CONNECTION")
    monkeypatch.setenv("FAKE_TMUX_STATUS", "1")
    assert copy(tmux)[1] == ["postfix reload"]


def test_what_is_too_long_for_the_terminal_goes_into_the_file_only(tmux: Path) -> None:
    said, written = copy(tmux, "ä" * 37_498)
    assert written == []
    assert "into the file only" in said
    assert copy(tmux, "ä" * 37_497)[1]


def test_the_file_is_written_in_every_case_and_named(tmux: Path) -> None:
    said, _ = copy(tmux, "one\ntwo")
    assert (tmux / "clip" / "last.txt").read_text() == "one\ntwo"
    assert str(tmux / "clip" / "last.txt") in said
    (tmux / "file").write_text("")
    assert "not kept in a file" in copy(tmux / "file")[0]


@pytest.mark.parametrize("text", ["a\x1b[2J", "a\rb", "a\x9bb", "a\x7f", "a\u202eb", "a\udcff", "a\u2028b", "a\tb"])
def test_a_text_that_would_do_something_when_pasted_is_not_copied(tmux: Path, text: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        copy(tmux, text)
    assert not (tmux / "asked").exists()
    assert not (tmux / "clip").exists()
