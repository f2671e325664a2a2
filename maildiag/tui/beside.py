"""A process beside the screen's that does what computes: one interpreter runs one thread at a time, and keys would wait for it."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from io import BytesIO
from itertools import count
from typing import IO, Any, TypeVar

from maildiag.records import dataclass

T = TypeVar("T")

_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from maildiag.tui.beside import serve; serve()"
_TOGETHER_S = 0.02  # what is said within this time is told at once: each telling wakes the screen's process
_LOOK_S = 0.1
_END_S = 2.0
_WORDS_KEPT = 2000


class Broken(Exception):  # noqa: N818 (it says what happened to the process, not what was done wrong)
    """The work ended before it had told everything; the message says how."""


class Kind(StrEnum):
    """What a message between the two is."""

    DO = "do"
    CANCEL = "cancel"
    ITEM = "item"
    END = "end"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Message:
    """To or from the work with this number. `pickled` is opened by whoever waits for it: what cannot be read harms no other."""

    number: int
    kind: Kind
    pickled: bytes = b""


class _Begun:
    """A process, and who waits for its answers."""

    def __init__(self) -> None:
        """Start it: the same Python on the same path, and nothing from the directory that one happens to stand in.

        Raises OSError where it cannot be started.
        """
        alone = "-I" if sys.flags.isolated else "-P"
        self._errors = os.fdopen(os.memfd_create("errors"), "w+b")
        try:
            self._process = subprocess.Popen(
                [sys.executable, alone, "-c", _BOOT, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError:
            self._errors.close()
            raise
        assert self._process.stdin is not None and self._process.stdout is not None
        self._asks, self._told = self._process.stdin, self._process.stdout
        self._waiting: dict[int, queue.SimpleQueue[Message]] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._ended = False
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def enter(self, number: int) -> queue.SimpleQueue[Message] | None:
        """Where the answers to the work with this number will be; None where the process has ended."""
        with self._lock:
            return None if self._ended else self._waiting.setdefault(number, queue.SimpleQueue())

    def send(self, message: Message) -> None:
        """Hand it over; a process that is gone tells that to all who wait."""
        with self._sending, contextlib.suppress(OSError, ValueError):
            pickle.dump(message, self._asks)
            self._asks.flush()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()

    def close(self) -> None:
        """Let it end: it does when nobody can ask it anything any more."""
        with self._sending, contextlib.suppress(OSError):
            self._asks.close()
        self._listener.join(_END_S)
        self.kill()
        self._listener.join(_END_S)

    def _listen(self) -> None:
        """Hand out what it says until its end, and tell that to all who still wait."""
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                for message in pickle.load(self._told):
                    self._hand_out(message)
        self.kill()
        how = self._how(self._process.wait())
        with self._lock:
            self._ended = True
            waiting, self._waiting = self._waiting, {}
        for number, news in waiting.items():
            news.put(Message(number, Kind.ERROR, pickle.dumps(how)))
        for file in (self._told, self._errors):
            file.close()
        with self._sending, contextlib.suppress(OSError):
            self._asks.close()

    def _hand_out(self, message: Message) -> None:
        with self._lock:
            over = message.kind is not Kind.ITEM
            news = self._waiting.pop(message.number, None) if over else self._waiting.get(message.number)
        if news is not None:
            news.put(message)

    def _how(self, status: int) -> str:
        self._errors.seek(0)
        words = self._errors.read().decode("utf-8", "replace").strip()[-_WORDS_KEPT:].splitlines()[-1:]
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return ": ".join([f"the process beside the screen ended with {how}", *words])


class Beside:
    """The other process, begun when something is to be done, and again after its end. Safe in many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: _Begun | None = None
        self._numbers = count(1)

    def each(
        self, task: Callable[..., Iterator[T]], *given: Any, cancelled: threading.Event, limit_s: float | None = None
    ) -> Iterator[T]:
        """Begin `task(*given, cancelled)` over there, and yield what it yields.

        `task` is a function of a module, and all that goes back and forth can be pickled. Closed early, the work is
        cancelled. Raises OSError at once where no process can be started, and Broken on the way where the work raises,
        the process ends, or nothing was heard for `limit_s` seconds of waiting: the process is ended then.
        """
        number = next(self._numbers)
        begun, news = self._living(number)
        begun.send(Message(number, Kind.DO, pickle.dumps((task, given))))
        return _told(begun, number, news, cancelled, limit_s)

    def close(self) -> None:
        """End the process and what it has under way."""
        with self._lock:
            begun, self._begun = self._begun, None
        if begun is not None:
            begun.close()

    def _living(self, number: int) -> tuple[_Begun, queue.SimpleQueue[Message]]:
        with self._lock:
            news = self._begun.enter(number) if self._begun is not None else None
            while self._begun is None or news is None:
                self._begun = _Begun()
                news = self._begun.enter(number)
            return self._begun, news


def _told(
    begun: _Begun, number: int, news: queue.SimpleQueue[Message], cancelled: threading.Event, limit_s: float | None
) -> Iterator[Any]:
    asked = over = False
    silent_s = 0.0  # no clock tells it: a screen that was suspended has not listened either
    try:
        while not over:
            if cancelled.is_set() and not asked:
                asked = True
                begun.send(Message(number, Kind.CANCEL))
            try:
                message = news.get(timeout=_LOOK_S)
            except queue.Empty:
                silent_s += _LOOK_S
                if limit_s is not None and silent_s > limit_s:
                    begun.kill()
                continue
            silent_s = 0.0
            over = message.kind is not Kind.ITEM
            if message.kind is Kind.ERROR:
                raise Broken(pickle.loads(message.pickled))
            if not over:
                yield _opened(message.pickled)
    finally:
        if not over and not asked:
            begun.send(Message(number, Kind.CANCEL))


def _opened(pickled: bytes) -> Any:
    try:
        return pickle.loads(pickled)
    except Exception as error:
        raise Broken(f"an answer cannot be read: {type(error).__name__}: {error}") from error


# -- the other side ----------------------------------------------------------------------------------------------------


class Pickler(pickle.Pickler):
    """What only a plug-in's module knows goes over as its words: the screen's process has not loaded it."""

    def reducer_override(self, value: Any) -> Any:
        """As pickle.Pickler has it."""
        kind = type(value)
        if kind.__module__.partition(".")[0] in {"maildiag", *sys.stdlib_module_names}:
            return NotImplemented
        return str, (str(value),)


def pickled(value: object) -> bytes:
    """For the screen's process."""
    made = BytesIO()
    Pickler(made).dump(value)
    return made.getvalue()


_at_end: list[Callable[[], None]] = []


def at_end(do: Callable[[], None]) -> None:
    """Have this done when the screen's process is gone."""
    _at_end.append(do)


def serve() -> None:
    """Do what is asked on standard input until that ends, which it does with whoever asks.

    What is printed by mistake goes nowhere: the answers have standard output for themselves.
    """
    asked, told = (os.fdopen(os.dup(number), mode) for number, mode in ((0, "rb"), (1, "wb")))
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_tell, args=(told, answers), daemon=True).start()
    under_way: dict[int, threading.Event] = {}
    with contextlib.suppress(EOFError):
        while True:
            message = pickle.load(asked)
            if message.kind is Kind.DO:
                stop = under_way[message.number] = threading.Event()
                threading.Thread(target=_do, args=(message, stop, answers), daemon=True).start()
            else:
                under_way.pop(message.number).set()
    for each in _at_end:
        each()
    os._exit(0)


def _do(message: Message, stop: threading.Event, answers: queue.SimpleQueue[Message]) -> None:
    try:
        task, given = pickle.loads(message.pickled)
        for item in task(*given, stop):
            answers.put(Message(message.number, Kind.ITEM, pickled(item)))
    except BaseException as error:  # noqa: BLE001 (whatever it is, it is told to whoever waits)
        answers.put(Message(message.number, Kind.ERROR, pickle.dumps(f"{type(error).__name__}: {error}")))
    else:
        answers.put(Message(message.number, Kind.END))


def _tell(told: IO[bytes], answers: queue.SimpleQueue[Message]) -> None:
    while True:
        batch = [answers.get()]
        time.sleep(_TOGETHER_S)
        while not answers.empty():
            batch.append(answers.get())
        pickle.dump(batch, told)
        told.flush()
