"""`maildiag checks` and `maildiag explain`: what is checked, and the page of each finding."""

from __future__ import annotations

import json
import re
from pathlib import Path

from maildiag import registry
from maildiag.resources import incidents, runbook_pages
from tests.support import maildiag, on_terminal, plug_in


def test_checks_are_listed_by_step_and_as_json() -> None:
    told = {each["id"]: each for each in json.loads(maildiag("checks", "--json").out)}
    assert set(told) == set(registry.builtin().checks)
    listed = maildiag("checks").out
    assert all(f"  {name} " in listed for name in told)


def test_a_plug_in_that_cannot_be_loaded_is_listed_with_its_reason(tmp_path: Path) -> None:
    folder = plug_in(tmp_path, "raise RuntimeError('half written')")
    assert "not loaded: of-a-test: RuntimeError: half written" in maildiag("checks", before=str(folder)).out


def test_a_page_is_printed_as_it_is_written_and_set_on_a_terminal() -> None:
    page = runbook_pages()["services.plugin"].read_text(encoding="utf-8")
    assert maildiag("explain", "services.plugin").out == page
    assert maildiag("explain", "services.plugin@/etc/maildiag/checks.d/ours.py").out == page
    shown = on_terminal("explain", "services.plugin").out
    assert "\x1b[1;4m" in shown or "\x1b[1m" in shown
    assert "What it means" in shown
    assert "##" not in shown


def test_every_page_can_be_set_for_a_terminal() -> None:
    from maildiag.render import Look
    from maildiag.render.page import terminal_page

    for path in runbook_pages().values():
        assert "Sources" in terminal_page(path.read_text(encoding="utf-8"), Look(width=60))


def test_a_page_that_is_not_there_is_answered_with_the_nearest() -> None:
    for mistyped, meant in (("services.plugn", "services.plugin"), ("posfix", "services.postfix")):
        ran = maildiag("explain", mistyped)
        assert ran.status == 64
        assert f"did you mean {meant}?" in ran.err


def test_lists_fit_a_terminal_and_have_a_line_for_each_thing_in_a_pipe() -> None:
    for command in (["checks"], ["demo", "--list"]):
        assert all(len(line) <= 80 for line in plain(on_terminal(*command).out).splitlines())
    assert len([line for line in maildiag("checks").out.splitlines() if line[0] == " "]) == len(
        registry.builtin().checks
    )
    assert len(maildiag("demo", "--list").out.splitlines()) == len(incidents())


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
