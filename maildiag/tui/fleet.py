"""The hosts that can be looked at from here: this one, those of the configuration, and those added by hand; each with its board."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field, replace

from maildiag.hosts import Host
from maildiag.model import Role
from maildiag.records import dataclass
from maildiag.tui.board import Board
from maildiag.tui.diagnosing import Apart, Way
from maildiag.tui.session import Session

SUDO = "sudo "


@dataclass(frozen=True, slots=True)
class Known:
    """A host by name, how ssh(1) reaches it (empty: it is where one began), and its role where that is forced."""

    name: str
    ssh: str = ""
    role: Role | None = None
    sudo: bool = False


@dataclass(slots=True)
class Visit:
    """A host that was looked at, and what was seen the last time."""

    session: Session
    board: Board = field(default_factory=Board)


def by_ssh(known: Known) -> Host:
    """Open the connection. Raises ValueError for what is no destination, OSError where there is no ssh."""
    from maildiag.hosts.ssh import SshHost

    return SshHost(known.ssh, known.name, known.sudo)


class Fleet:
    """Keeps a visit for each host that was opened."""

    def __init__(self, first: Session, connect: Callable[[Known], Host] = by_ssh) -> None:
        self._connect = connect
        self._first = first
        self.known: dict[str, Known] = {"": Known(first.name)}
        for each in first.settings.hosts:
            self.known[each.name] = Known(each.name, each.ssh or each.name, each.role)
        self.visits: dict[str, Visit] = {"": Visit(first)}
        self.here = ""
        self.looking: set[str] = set()

    def add(self, typed: str) -> str:
        """Another SSH destination; `sudo NAME` is asked as root there. Its key. Raises ValueError for none."""
        sudo = typed.startswith(SUDO)
        name = typed.removeprefix(SUDO).strip()
        if not name or name.startswith("-") or " " in name:
            raise ValueError(f"{name!r} is no SSH destination")
        known = self.known.get(name, Known(name, name))
        key = f"{SUDO}{name}" if sudo else name
        self.known[key] = replace(known, sudo=sudo)
        return key

    def visit(self, key: str) -> Visit:
        """Go to a host: the connection is opened where there is none, or none any more. Raises ValueError, OSError."""
        visit = self._opened(key)
        self.here = key
        return visit

    def _opened(self, key: str) -> Visit:
        visit = self.visits.get(key)
        if visit is None or getattr(visit.session.host, "ended", False):
            session = self._session(self.known[key])
            board = Board(before=visit.board.report or visit.board.before) if visit else Board()
            visit = self.visits[key] = Visit(session, board)
        return visit

    def look(self, key: str) -> Iterator[Board]:
        """Run everything on a host without going there, which who calls has put into `looking`; for a worker thread.

        Raises ValueError, OSError where it cannot be reached.
        """
        try:
            visit = self._opened(key)
            try:
                for event in visit.session.run():
                    visit.board = visit.board.after(event)
                    yield visit.board
            finally:
                visit.board = replace(visit.board, running=False)
        finally:
            self.looking.discard(key)

    def cancel(self) -> None:
        """End what `look` has under way, with what it has."""
        for key in self.looking & self.visits.keys():
            self.visits[key].session.cancel()

    def _session(self, known: Known) -> Session:
        settings, beside = replace(self._first.settings, role=known.role), self._first.beside
        way = Way(self._connect, (known,))
        host = Apart(f"ssh:{known.name}", way, beside) if beside is not None else way.host()
        return Session(host, self._first.load, settings, ascii=self._first.ascii, beside=beside, way=way)

    def close(self) -> None:
        """End the connections that were opened from here."""
        for key, visit in self.visits.items():
            if key:
                visit.session.host.close()

    def each(self) -> Iterator[tuple[str, Known, Visit | None]]:
        """All of them, the first one first."""
        for key, known in self.known.items():
            yield key, known, self.visits.get(key)
