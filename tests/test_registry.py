"""The checks together: a sound graph, a runbook page and a recorded incident for each, and plug-ins that cannot break it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from maildiag import registry
from maildiag.model import Role, Step
from maildiag.registry import Check
from maildiag.resources import runbook_pages
from tests.support import ROOT

CHECKS = registry.builtin().checks
HEADINGS = ("What it means", "How it looks", "Confirm by hand", "Cure", "Prevention", "Sources")
DROP_IN = """
from maildiag.model import Step, ok
from maildiag.registry import check

@check("{id}", step=Step.DNS, asks="Here?")
def here():
    yield ok("here")
"""


def test_the_graph_of_explanations_is_sound() -> None:
    assert registry.builtin().problems() == []


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.id)
def test_a_check_is_named_after_its_step_and_asks_a_question(check: Check) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", check.id)
    assert check.id.partition(".")[0] == check.step.value
    assert check.asks.endswith("?")


def test_every_check_has_a_runbook_page_with_all_its_parts() -> None:
    pages = runbook_pages()
    missing = sorted(set(CHECKS) - set(pages))
    assert not missing, f"docs/runbook lacks pages for {', '.join(missing)}"
    short = {name: lacking for name in CHECKS if (lacking := _lacking(name, pages[name]))}
    assert not short, f"runbook pages lack headings: {short}"


def _lacking(name: str, page: Path) -> list[str]:
    lines = page.read_text(encoding="utf-8").splitlines()
    title = [] if lines and lines[0].startswith(f"# {name}: ") else [f"# {name}: …"]
    return [*title, *(f"## {each}" for each in HEADINGS if f"## {each}" not in lines)]


def test_no_runbook_page_is_left_over() -> None:
    left = sorted(set(runbook_pages()) - set(CHECKS) - {"services.plugin"})
    assert not left, f"docs/runbook has pages for checks that do not exist: {', '.join(left)}"


NOT_SHOWN = {
    "logs.delivery-drop": "needs a week of history",
    "firewall.ipv6": "the incidents have no IPv6; the fault network/ipv6-closed has",
    "authentication.virtual-place": "the incidents have no virtual users; the faults mailbox/virtual-base-is-another and its like have",
}


def test_every_check_is_judged_in_some_recorded_incident() -> None:
    """Judged: neither unknown nor skipped. What no incident can show is named above with the reason."""
    seen = {
        finding["id"]
        for path in (ROOT / "tests" / "bundles").glob("*/expected.json")
        for finding in json.loads(path.read_text(encoding="utf-8"))["findings"]
        if finding["status"] not in ("unknown", "skipped")
    }
    missing = sorted(set(CHECKS) - seen - set(NOT_SHOWN))
    assert not missing, f"no incident in tests/bundles judges {', '.join(missing)}"


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("role", Role)
def test_each_step_asks_at_least_two_questions_of_each_role(step: Step, role: Role) -> None:
    """A relay client has no users of its own who log in; what it is asked there is whether it may log in to the relay."""
    asked = [each.id for each in CHECKS.values() if each.step is step and role in each.roles]
    least = 1 if (step, role) == (Step.AUTHENTICATION, Role.RELAY_CLIENT) else 2
    assert len(asked) >= least, f"{step} asks a {role} only {asked}"


def drop_ins(folder: Path, **modules: str) -> registry.Registry:
    folder.chmod(0o755)
    for name, code in modules.items():
        path = folder / f"{name}.py"
        path.write_text(code)
        path.chmod(0o644)
    return registry.load(folder)


def test_a_drop_in_adds_its_checks(tmp_path: Path) -> None:
    found = drop_ins(tmp_path, mine=DROP_IN.format(id="dns.mine"))
    assert "dns.mine" in found.checks
    assert found.broken == []


@pytest.mark.parametrize(
    "code",
    [
        "raise RuntimeError('no')",
        "this is no python",
        "import nonexistent_module",
        "raise SystemExit(0)",
        DROP_IN.format(id="services.installed"),
        DROP_IN.replace('asks="Here?"', 'asks="Here?", explained_by=("no.such",)').format(id="dns.mine"),
        DROP_IN.replace("def here():", "def here(other: int):").format(id="dns.mine"),
    ],
)
def test_a_broken_drop_in_is_named_and_the_others_are_loaded(tmp_path: Path, code: str) -> None:
    found = drop_ins(tmp_path, bad=code, good=DROP_IN.format(id="dns.good"))
    assert [Path(each.name).name for each in found.broken] == ["bad.py"]
    assert found.broken[0].why
    assert "dns.good" in found.checks
    assert set(CHECKS) <= set(found.checks)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root loads drop-ins with care")
def test_root_loads_no_drop_in_that_others_can_write(tmp_path: Path) -> None:
    drop_ins(tmp_path, mine=DROP_IN.format(id="dns.mine"))
    (tmp_path / "mine.py").chmod(0o666)
    found = registry.load(tmp_path)
    assert "dns.mine" not in found.checks
    assert "owned by root" in found.broken[0].why


@pytest.mark.skipif(os.geteuid() != 0, reason="only root loads drop-ins with care")
def test_root_loads_no_drop_in_whose_place_others_can_change(tmp_path: Path) -> None:
    folder = tmp_path / "open" / "checks.d"
    folder.mkdir(parents=True)
    drop_ins(folder, mine=DROP_IN.format(id="dns.mine"))
    folder.parent.chmod(0o777)
    assert registry.load(folder).broken[0].why.startswith(f"PermissionError: {folder.parent} ")
    folder.parent.chmod(0o755)
    (folder / "linked.py").symlink_to(tmp_path / "elsewhere.py")
    (tmp_path / "elsewhere.py").write_text(DROP_IN.format(id="dns.elsewhere"))
    (tmp_path / "elsewhere.py").chmod(0o646)
    found = registry.load(folder)
    assert "dns.mine" in found.checks
    assert [Path(each.name).name for each in found.broken] == ["linked.py"]
