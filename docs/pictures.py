"""Draws docs/report.svg: the text report of a recorded incident, as a terminal shows it."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "checks")]

from maildiag import engine, registry  # noqa: E402
from maildiag.hosts.bundle import BundleHost  # noqa: E402
from maildiag.render import Look  # noqa: E402
from maildiag.render.text import text  # noqa: E402
from maildiag.resources import incidents  # noqa: E402
from maildiag.settings import Settings  # noqa: E402

INCIDENT = "dovecot-down"
_LINES = 44
_WIDTH, _HEIGHT, _MARGIN = 8.4, 19, 16
_STYLES = {
    "1": "font-weight:bold",
    "2": "opacity:.7",
    "31": "fill:#ff6b6b",
    "32": "fill:#69db7c",
    "33": "fill:#ffd43b",
    "35": "fill:#da77f2",
    "36": "fill:#66d9e8",
}
_ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")


def main() -> int:
    """Write the picture."""
    host = BundleHost(incidents()[INCIDENT].parent)
    report = replace(engine.report(host, registry.builtin(), Settings()), started=host.header.recorded, duration_s=0.9)
    told = text(report, Look(width=80, colour=True)).splitlines()
    shown = told[:_LINES] + (["…"] if len(told) > _LINES else [])
    (ROOT / "docs" / "report.svg").write_text(svg(["$ maildiag run", *shown]), encoding="utf-8")
    return 0


def svg(lines: list[str]) -> str:
    """Coloured lines as one picture without scripts, fonts or anything else from elsewhere."""
    width, height = round(80 * _WIDTH + 2 * _MARGIN), len(lines) * _HEIGHT + 2 * _MARGIN
    rows = "\n".join(
        f'<text x="{_MARGIN}" y="{_MARGIN + _HEIGHT * (number + 1) - 5}" xml:space="preserve">{spans(line)}</text>'
        for number, line in enumerate(lines)
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">
<title>maildiag run: the report of a recorded incident</title>
<rect width="100%" height="100%" rx="8" fill="#1e1e2e"/>
<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" fill="#e6e6e6">
{rows}
</g>
</svg>
"""


def spans(line: str) -> str:
    """One line's escape sequences as styled spans."""
    told, style = "", ""
    for number, part in enumerate(_ESCAPE.split(line)):
        if number % 2:
            style = ";".join(_STYLES[code] for code in part.split(";") if code in _STYLES)
        elif part:
            told += f'<tspan style="{style}">{escape(part)}</tspan>' if style else escape(part)
    return told


if __name__ == "__main__":
    sys.exit(main())
