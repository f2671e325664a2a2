"""Draws the pictures of docs/: the text report of a recorded incident, and the screens of the interactive application on it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable
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
from maildiag.tui import terminal  # noqa: E402

os.environ["TEXTUAL_THEME"] = "maildiag-dark"
terminal.prepare()

from maildiag.tui.app import MaildiagApp  # noqa: E402
from maildiag.tui.session import Session  # noqa: E402

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
_SCREENS = {"overview": ("O",), "finding": ("enter",), "walk": ("escape", "W")}
_FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")


def main() -> int:
    """Write the pictures."""
    host = BundleHost(incidents()[INCIDENT].parent)
    report = replace(engine.report(host, registry.builtin(), Settings()), duration_s=0.9)
    told = text(report, Look(width=80, colour=True)).splitlines()
    shown = told[:_LINES] + (["…"] if len(told) > _LINES else [])
    (ROOT / "docs" / "report.svg").write_text(svg(["$ maildiag run", *shown]), encoding="utf-8")
    asyncio.run(screens(host))
    return 0


async def screens(host: BundleHost) -> None:
    """Walk through the application at 80 x 24, and keep what is drawn."""
    app = MaildiagApp(Session(host, registry.builtin, Settings()))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: app.board.report is not None and not app.board.running)
        for name, keys in _SCREENS.items():
            await pilot.press(*keys)
            await pilot.pause(0.3)
            drawn = alone(app.export_screenshot(title="maildiag"), f"{host.header.recorded:%H:%M}")
            (ROOT / "docs" / f"tui-{name}.svg").write_text(drawn, encoding="utf-8")


async def until(done: Callable[[], bool]) -> None:
    """Wait for the application; a minute at most (TimeoutError)."""
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.05)


def alone(picture: str, at: str) -> str:
    """A picture of Textual's without fonts from elsewhere, and with the time of the recording as that of the run."""
    without = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    without = re.sub(r"font-family: (?:Fira Code|arial)[^;]*;", f"font-family: {_FONT};", without)
    timed = re.sub(r"run(&#160;| )\d\d:\d\dZ", rf"run\g<1>{at}Z", without)
    named = re.sub(r"terminal-\d+", "screen", timed)
    return "\n".join(line.rstrip() for line in named.split("\n"))


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
