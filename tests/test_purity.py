"""Checks judge and cannot look: what they import and use is read from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

MODULES = sorted((ROOT / "checks" / "maildiag_checks").glob("*.py"))
PURE = frozenset(
    [
        "__future__",
        "base64",
        "bisect",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fnmatch",
        "functools",
        "hashlib",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "shlex",
        "statistics",
        "string",
        "textwrap",
        "types",
        "typing",
        "unicodedata",
    ]
)
OURS = frozenset({"maildiag", "maildiag_checks"})
DOORS = ("maildiag.hosts", "maildiag.cli", "maildiag.tui", "maildiag.repair", "maildiag.history", "maildiag.testing")
CALLS = frozenset({"open", "exec", "eval", "compile", "__import__", "input", "print", "breakpoint"})
CLOCKS = frozenset({"now", "today", "utcnow", "fromtimestamp"})


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and not _pure_paths(node):
            yield node.module or ""


def _pure_paths(node: ast.ImportFrom) -> bool:
    """`PurePosixPath` computes with names and touches no file."""
    return node.module == "pathlib" and {each.name for each in node.names} <= {"PurePath", "PurePosixPath"}


def impurities(source: str) -> Iterator[str]:
    """What a check's module does that only the looking side may."""
    tree = ast.parse(source)
    for name in imports(tree):
        if name.partition(".")[0] not in PURE | OURS or name.startswith(DOORS):
            yield f"imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield f"line {node.lineno} calls {node.func.id}"
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS and _is_clock(node.value):
            yield f"line {node.lineno} asks the clock"
        if isinstance(node, ast.Global):
            yield f"line {node.lineno} keeps state"


def _is_clock(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in ("datetime", "date")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_check_module_imports_and_uses_only_what_is_pure(path: Path) -> None:
    assert list(impurities(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import socket",
        "import os",
        "from subprocess import run",
        "from pathlib import Path",
        "import time",
        "from maildiag.hosts.local import LocalHost",
        "open('/etc/passwd')",
        "__import__('os')",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.date.today()",
        "def f():\n    global x",
    ],
)
def test_each_way_to_look_is_noticed(source: str) -> None:
    assert list(impurities(source))
