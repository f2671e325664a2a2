"""Everything a stranger could write, put into each screen and widget that shows what strangers write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maildiag.history import PastRun
from maildiag.model import Fix
from maildiag.probing.journey import Hop, Outcome
from maildiag.queue.entries import Entry, Recipient
from maildiag.repair.journal import Began, Ended, Intent, Transaction, UndoEnded, UnitWas
from maildiag.tui import runbook
from maildiag.tui.copying import Choice
from maildiag.tui.fleet import Known
from maildiag.tui.historyview import Past
from maildiag.tui.queueview import Queued
from maildiag.tui.rows import broken
from maildiag.tui.screens.copy import CopyMenu
from maildiag.tui.screens.finding import FindingScreen
from maildiag.tui.screens.fix import FixScreen
from maildiag.tui.screens.history import HistoryScreen
from maildiag.tui.screens.hosts import HostsScreen
from maildiag.tui.screens.logs import LogsScreen
from maildiag.tui.screens.probe import ProbeScreen
from maildiag.tui.screens.queue import QueueScreen
from maildiag.tui.screens.reader import Reader
from maildiag.tui.screens.repairs import DeedScreen, RepairsScreen
from maildiag.tui.screens.trace import TraceScreen
from maildiag.tui.screens.walk import WalkScreen

if TYPE_CHECKING:
    from maildiag.tui.app import MaildiagApp

MARKED = "\x1b[7777m"
CORPUS = (
    MARKED
    + "".join(f"\x1b]{kind};c;ZXZpbA=={end}" for kind in ("0", "8", "52") for end in ("\x07", "\x1b\\"))
    + "".join(map(chr, (*range(1, 10), *range(11, 32), *range(127, 160))))
    + "\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\ufff9 \udcff \ud800 \x00 "
    + "[@click=app.leave]press[/] [/] [/ [link=https://evil.example]bank[/link] [$accent] [b] [0] a\\"
)
AT = datetime(2026, 11, 23, tzinfo=UTC)
QUEUE_ID = "4A1B2C3D4E"
LINE = (
    f"2026-11-23T04:59:58.300000+00:00 mail postfix/smtp[14]: {QUEUE_ID}: to=<{CORPUS}@example.test>, relay=none, delay=1,"
    f" delays=0/0/1/0, dsn=4.4.1, status=deferred ({CORPUS} {'x' * 100_000})\n"
)
ENTRY = Entry(f"deferred{CORPUS}", f"{QUEUE_ID}{CORPUS}", 1, 1, CORPUS, (Recipient(f"joe@{CORPUS}", CORPUS),))


def _log() -> str:
    with tempfile.NamedTemporaryFile(prefix="strange-", suffix=".log", delete=False) as file:
        file.write(LINE.replace("\r", "").encode("utf-8", "surrogatepass") * 3)
    return file.name


async def _queue(app: MaildiagApp) -> None:
    screen = QueueScreen()
    await app.push_screen(screen)
    screen.words = CORPUS[:3]
    screen.show(Queued((ENTRY,), 100))


async def _headers(app: MaildiagApp) -> None:
    await app.push_screen(Reader(f"Headers > {CORPUS}", list(broken("headers", f"Subject: {CORPUS}", 80))))


async def _probe(app: MaildiagApp) -> None:
    screen = ProbeScreen()
    await app.push_screen(screen)
    screen._hop(Hop("submit", Outcome.FAILED, 1.0, CORPUS, (CORPUS, CORPUS)))


async def _copy(app: MaildiagApp) -> None:
    await app.push_screen(CopyMenu([Choice(CORPUS, CORPUS)]))
    app.copy(CORPUS)


async def _runbook(app: MaildiagApp) -> None:
    await app.push_screen(Reader("Runbook", runbook.rows(CORPUS, f"# {CORPUS}\n\n- {CORPUS}\n", CORPUS, 80)))


async def _toast(app: MaildiagApp) -> None:
    app.say(CORPUS)


async def _fix(app: MaildiagApp) -> None:
    found = app.board.finding("services.sample")
    assert found is not None
    screen = FixScreen(found, (), CORPUS, ask=True)
    await app.push_screen(screen)
    screen.happened(CORPUS)


async def _walk(app: MaildiagApp) -> None:
    app.note(CORPUS, app.board.findings[0].step)
    await app.push_screen(WalkScreen())


DEED = Transaction(
    directory=Path(f"/{CORPUS}"),
    began=Began(id=CORPUS, at=AT, fix=Fix(id=CORPUS, title=CORPUS), finding=CORPUS, title=CORPUS),
    units=(UnitWas(CORPUS, CORPUS, CORPUS),),
    intents=(Intent(0, (CORPUS,)),),
    ended=Ended(AT, CORPUS, CORPUS),
    undo_ended=UndoEnded(AT, (CORPUS,)),
)


class _Repairs(RepairsScreen):
    def on_screen_resume(self) -> None:
        self._show([DEED])


class _History(HistoryScreen):
    def on_screen_resume(self) -> None:
        old = PastRun(AT, CORPUS, "ok", CORPUS, {}, {CORPUS: 1.0})
        new = PastRun(AT + timedelta(minutes=1), CORPUS, "critical", CORPUS, {CORPUS: "critical"}, {CORPUS: 2.0})
        self.show(Past([new, old], [DEED]))


async def _hosts(app: MaildiagApp) -> None:
    app.fleet.known[CORPUS] = Known(CORPUS, CORPUS)
    await app.push_screen(HostsScreen())


_SCREENS: dict[str, Callable[[MaildiagApp], Coroutine[Any, Any, None]]] = {
    "queue": _queue,
    "headers": _headers,
    "trace": lambda app: _push(app, TraceScreen(QUEUE_ID, _log())),
    "logs": lambda app: _push(app, LogsScreen(_log())),
    "probe": _probe,
    "copy": _copy,
    "runbook": _runbook,
    "toast": _toast,
    "fix": _fix,
    "walk": _walk,
    "deed": lambda app: _push(app, DeedScreen(DEED)),
    "repairs": lambda app: _push(app, _Repairs()),
    "history": lambda app: _push(app, _History()),
    "hosts": _hosts,
    "finding": lambda app: _push(
        app, FindingScreen(next(e.key for e in app.board.findings if e.id == "services.sample"))
    ),
}


async def _push(app: MaildiagApp, screen: Any) -> None:
    await app.push_screen(screen)


def _opener(name: str) -> Callable[[MaildiagApp], Any]:
    return lambda app: app.call_later(_SCREENS[name], app)


SCREENS: dict[str, Callable[[MaildiagApp], Any]] = {name: _opener(name) for name in _SCREENS}
