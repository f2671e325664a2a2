"""A host reached over SSH: maildiag's own `answer` command there looks, this side asks; one connection carries all questions."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from concurrent.futures import Future
from typing import Any, TypeVar

from maildiag.codec import decode, encode
from maildiag.model import Gap, GapReason, Reading
from maildiag.probes import Probe

A = TypeVar("A")
_CONNECT_S = 15.0
_WORDS_KEPT = 2000


class SshHost:
    """Another machine with maildiag installed; nothing but the questions and answers crosses the connection."""

    def __init__(
        self, destination: str, name: str = "", sudo: bool = False, command: tuple[str, ...] = ("ssh",)
    ) -> None:
        """`destination` as ssh(1) takes it; `sudo` asks there as root. Keys or an agent must let ssh in without a question.

        Raises ValueError for a destination that ssh would take for an option.
        """
        if destination.startswith("-") or not destination.strip():
            raise ValueError(f"{destination!r} is no SSH destination")
        self.source = f"ssh:{name or destination}"
        remote = ["sudo", "-n", "maildiag", "answer"] if sudo else ["maildiag", "answer"]
        options = ["-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S:g}"]
        self._process = subprocess.Popen(
            [*command, *options, "--", destination, *remote],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=True,
        )
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Reading[Any] | Gap]] = {}
        self._asked = 0
        self._ended: Gap | None = None
        self._words = ""
        self._errors = threading.Thread(target=self._hear, daemon=True)
        self._errors.start()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def ended(self) -> bool:
        """True once the connection is gone: every question is answered with a gap then."""
        return self._ended is not None

    def ask(self, probe: Probe[A]) -> Reading[A] | Gap:
        """The other side's answer; a gap where the connection or the answer stays away."""
        future: Future[Reading[Any] | Gap] = Future()
        with self._lock:
            if self._ended is not None:
                return self._ended
            self._asked += 1
            number = self._asked
            self._waiting[number] = future
            with contextlib.suppress(OSError):  # a connection that broke ends the listener, which tells why
                self._send(number, probe)
        try:
            return future.result(probe.limit_s * 2 + _CONNECT_S)
        except TimeoutError:
            return Gap(GapReason.TIMEOUT, f"{self.source}: {probe.source}: no answer in time")

    def close(self) -> None:
        """End the connection; the other side ends with it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self._listener.join(2)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def _send(self, number: int, probe: Probe[Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "ask": encode(probe)}) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._words = (self._words + line)[-_WORDS_KEPT:]

    def _listen(self) -> None:
        """Hand each answer to whoever waits for it; at the end of the connection, tell all why."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                said = json.loads(line)
                number, got = int(said["id"]), decode(said["got"])
            except (ValueError, KeyError, TypeError):
                continue
            future = self._waiting.pop(number, None)
            if future is not None:
                future.set_result(got)
        self._errors.join(1)
        why = self._words.strip().splitlines()[-1:] or ["the connection ended"]
        ended = Gap(
            GapReason.FAILED,
            f"{self.source}: {why[0]}",
            "ssh must get in without a question, and maildiag be installed there",
        )
        with self._lock:
            self._ended = ended
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_result(ended)
