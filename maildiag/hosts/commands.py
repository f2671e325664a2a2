"""Runs the listed programs: fixed environment, no input by default, capped output, killed with their group at the limit."""

from __future__ import annotations

import contextlib
import os
import pwd
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Container, Iterator
from typing import IO

from maildiag.model import Gap, GapReason, Missing
from maildiag.probes import Command, CommandResult
from maildiag.programs import PATH, PROGRAMS

ENVIRONMENT = {
    "LC_ALL": "C",
    "LANG": "C",
    "PATH": PATH,
    "HOME": "/",
    "TERM": "dumb",
    "SYSTEMD_PAGER": "",
    "PAGER": "cat",
}
_CHUNK = 65536
# Reading a certificate verifies nothing, and yet openssl(1) loads all CAs of the system first, which is most of its time.
_NO_CAS: dict[tuple[str, ...], dict[str, str]] = {("openssl", "x509"): {"SSL_CERT_FILE": "/dev/null"}}


class Running:
    """The programs under way, so that an ending run can kill them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._ended = False

    def add(self, group: int) -> None:
        """A program has started; one that starts while the run ends is killed at once."""
        with self._lock:
            self._groups.add(group)
            if self._ended:
                _kill_group(group)

    def discard(self, group: int) -> None:
        with self._lock:
            self._groups.discard(group)

    def kill(self) -> None:
        """SIGKILL to every process group under way, and to those that follow."""
        with self._lock:
            self._ended = True
            for group in self._groups:
                _kill_group(group)


def run(
    probe: Command, running: Running, programs: Container[str] = frozenset(PROGRAMS), path: str = PATH
) -> CommandResult:
    """Run the program, found in `path`, and collect what it prints.

    Raises Missing (absent, denied, timeout) where the program gives no answer, and ValueError for a program that is not
    in `programs`.
    """
    name = probe.argv[0]
    if os.path.basename(name) not in programs:  # noqa: PTH119 (a name, not a path)
        raise ValueError(f"{name} is not in the list of programs that maildiag may run")
    if shutil.which(name, path=path) is None:
        raise Missing(Gap(GapReason.ABSENT, f"{name} is not installed"))
    terminal: tuple[int, int] | None = os.openpty() if probe.tty else None
    try:
        process = _start(probe, terminal[1] if terminal else subprocess.PIPE, path)
    except PermissionError as error:
        raise Missing(Gap(GapReason.DENIED, f"{name}: {error.strerror}", "needs root")) from error
    finally:
        if terminal:
            os.close(terminal[1])
    running.add(process.pid)
    try:
        return _collect(probe, process, terminal[0] if terminal else None)
    finally:
        running.discard(process.pid)
        if terminal:
            os.close(terminal[0])


def _start(probe: Command, stderr: int, path: str) -> subprocess.Popen[bytes]:
    account = _account(probe.user)
    with _input(probe.stdin) as given:
        return _popen(probe, account, given.fileno() if given else subprocess.DEVNULL, stderr, path)


def _popen(
    probe: Command, account: pwd.struct_passwd | None, stdin: int, stderr: int, path: str
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        probe.argv,
        stdin=stdin,
        stdout=subprocess.DEVNULL if probe.discard_stdout else subprocess.PIPE,
        stderr=stderr,
        env=ENVIRONMENT | {"PATH": path} | _NO_CAS.get(probe.argv[:2], {}),
        cwd="/",
        start_new_session=True,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=os.getgrouplist(account.pw_name, account.pw_gid) if account else None,
    )


@contextlib.contextmanager
def _input(text: str) -> Iterator[IO[bytes] | None]:
    """The text as a file in memory: a program may open `/dev/stdin` more than once, each time from its beginning."""
    if not text:
        yield None
        return
    with os.fdopen(os.memfd_create("stdin"), "r+b") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        file.seek(0)
        yield file


def _account(user: str) -> pwd.struct_passwd | None:
    if not user or os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise Missing(Gap(GapReason.ABSENT, f"there is no account {user}")) from error


def _collect(probe: Command, process: subprocess.Popen[bytes], terminal: int | None) -> CommandResult:
    streams = {process.stdout.fileno(): bytearray()} if process.stdout is not None else {}
    error_stream = terminal if terminal is not None else process.stderr.fileno()  # type: ignore[union-attr]
    streams[error_stream] = bytearray()
    try:
        truncated = _drain(streams, probe, process)
    finally:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    _refuse(probe, process.returncode, truncated)
    *out, err = (bytes(data).decode("utf-8", "surrogateescape") for data in streams.values())
    return CommandResult(process.returncode, "".join(out), err.replace("\r\n", "\n"), truncated)


def _refuse(probe: Command, status: int, truncated: bool) -> None:
    """Half of what a program wanted to say is no answer, unless whoever asks takes as much as there is."""
    if truncated and not probe.partial:
        raise Missing(Gap(GapReason.FAILED, f"{probe.source} printed more than {probe.most // 1024} KB"))
    if status < 0 and not truncated:
        raise Missing(Gap(GapReason.FAILED, f"{probe.source} was killed by {_signal(-status)}"))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _drain(streams: dict[int, bytearray], probe: Command, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + probe.timeout
    truncated = False
    with selectors.DefaultSelector() as selector:
        for descriptor in streams:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(_left(deadline, probe, process)):
                chunk = _read(key.fd)
                room = probe.most - len(streams[key.fd])
                streams[key.fd] += chunk[:room]
                if len(chunk) > room:
                    truncated = True
                if not chunk:
                    selector.unregister(key.fd)
                elif truncated:
                    _end(process)
                    return True
    try:
        process.wait(_left(deadline, probe, process))
    except subprocess.TimeoutExpired:
        _give_up(probe, process)
    return False


def _left(deadline: float, probe: Command, process: subprocess.Popen[bytes]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        _give_up(probe, process)
    return left


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:  # a pseudo-terminal whose other side was closed reads as EIO: the end of the text
        return b""


def _give_up(probe: Command, process: subprocess.Popen[bytes]) -> None:
    _end(process)
    raise Missing(Gap(GapReason.TIMEOUT, f"{probe.source} timed out after {probe.timeout:g} s"))


def _end(process: subprocess.Popen[bytes]) -> None:
    _kill_group(process.pid)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
