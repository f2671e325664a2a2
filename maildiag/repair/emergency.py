"""The emergency procedure as stages: stop, check, comment out what is refused, start for loopback only, restore, open again."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from maildiag.edits import comment_lines
from maildiag.model import Fix, Gap, Risk
from maildiag.probes import Command, command
from maildiag.programs import PATH
from maildiag.records import dataclass
from maildiag.repair.actions import Argv
from maildiag.repair.guards import DOVECOT, POSTFIX
from maildiag.repair.hand import Hand, Ran


@dataclass(frozen=True, slots=True)
class Stage:
    """One step that is confirmed by itself."""

    title: str
    why: str
    fix: Fix


@dataclass(frozen=True, slots=True)
class Setting:
    """A logical line of main.cf: its first and last physical line, and its text."""

    first: int
    last: int
    text: str

    @property
    def name(self) -> str:
        """The parameter."""
        return self.text.partition("=")[0].strip()


@dataclass(frozen=True, slots=True)
class Refused:
    """A setting that Postfix does not accept, and what it says."""

    setting: Setting
    says: str


def stop(hand: Hand) -> Stage:
    """Stop both, Dovecot first: nothing is delivered or accepted while the configuration is looked at."""
    commands = (_service(hand, "stop", "dovecot"), _service(hand, "stop", "postfix"))
    return Stage(
        "Stop Dovecot and Postfix",
        "Queued mail stays in the queue; senders try again later.",
        _fix("stop", "Stop Dovecot and Postfix", commands, disrupts="all mail"),
    )


def check(hand: Hand) -> tuple[Ran, ...]:
    """What both programs say of their configuration."""
    return tuple(hand.guard(argv) for argv in (POSTFIX, DOVECOT) if _installed(argv[0]))


def mend(refused: tuple[Refused, ...], main_cf: str) -> Stage:
    """Comment out the settings that Postfix refuses; their defaults hold until they are mended."""
    commands = tuple(comment_lines(main_cf, each.setting.first, each.setting.last) for each in refused)
    names = ", ".join(each.setting.name for each in refused)
    return Stage(
        f"Comment out what Postfix refuses: {names}",
        "\n".join(f"line {each.setting.first}: {each.says}" for each in refused),
        _fix("mend", f"Comment out {names}", commands),
    )


def minimal(hand: Hand) -> Stage:
    """Start Postfix for this host alone."""
    commands = (("postconf", "-e", "inet_interfaces = loopback-only"), _service(hand, "start", "postfix"))
    return Stage(
        "Start Postfix for loopback only",
        "It must run and answer here before the network may reach it.",
        _fix(
            "minimal", "Start Postfix for loopback only", commands, disrupts="mail from other hosts is not accepted yet"
        ),
    )


def start_dovecot(hand: Hand) -> Stage:
    """Start Dovecot, with its own configuration."""
    return Stage(
        "Start Dovecot",
        "Local delivery, logins and SMTP authentication need it.",
        _fix("dovecot", "Start Dovecot", (_service(hand, "start", "dovecot"),)),
    )


def reopen(hand: Hand, saved_copy: Path, main_cf: str) -> Stage:
    """Put main.cf back as it was before `minimal` and let the network in again."""
    commands = (("cp", str(saved_copy), main_cf), _service(hand, "restart", "postfix"))
    return Stage(
        "Serve the network again",
        "main.cf is put back as it was before the loopback-only start.",
        _fix("reopen", "Serve the network again", commands),
    )


def settings(text: str) -> Iterator[Setting]:
    """The logical lines of a main.cf: a line that begins with white space continues the one before (postconf(5))."""
    start, lines = 0, list[str]()
    last = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and lines:
            lines.append(line)
        else:
            if lines:
                yield Setting(start, last, "\n".join(lines))
            start, lines = number, [line]
        last = number
    if lines:
        yield Setting(start, last, "\n".join(lines))


def refused_settings(hand: Hand, directory: str) -> tuple[Refused, ...]:
    """Which settings of main.cf no Postfix program accepts: found on copies that hold ever fewer of them.

    postqueue(1) is asked, which reads all parameters as the daemons do. The host's own configuration is not touched.
    Raises OSError where it cannot be read.
    """
    left = list(settings((Path(directory) / "main.cf").read_text("utf-8", "surrogateescape")))
    with tempfile.TemporaryDirectory(prefix="maildiag-emergency-") as scratch:
        copy = Path(scratch) / "postfix"
        shutil.copytree(directory, copy, symlinks=True)
        found: list[Refused] = []
        while (first := _first_refused(hand, copy, left)) is not None:
            found.append(first)
            left.remove(first.setting)
    return tuple(found)


def _first_refused(hand: Hand, copy: Path, lines: Sequence[Setting]) -> Refused | None:
    """The first setting with which it fails, by halves: postqueue takes two seconds while Postfix is down."""
    says = _complaint(hand, copy, lines)
    if not says:
        return None
    low, high = 0, len(lines)
    while low + 1 < high:
        middle = (low + high) // 2
        heard = _complaint(hand, copy, lines[:middle])
        low, high, says = (low, middle, heard) if heard else (middle, high, says)
    return Refused(lines[low], says)


def _complaint(hand: Hand, copy: Path, lines: Sequence[Setting]) -> str:
    """What postqueue dies of with these settings; an empty string where it begins to list the queue."""
    (copy / "main.cf").write_text("\n".join([*(each.text for each in lines), ""]), "utf-8", "surrogateescape")
    told = hand.ask(Command(("postqueue", "-c", str(copy), "-p"), most=4096))
    if isinstance(told, Gap):
        return ""
    fatal = next((line.partition("fatal: ")[2] for line in told.stderr.splitlines() if "fatal: " in line), "")
    return re.sub(r"^\S+/main\.cf, line \d+: ", "", fatal)


def _fix(name: str, title: str, commands: tuple[Argv, ...], disrupts: str = "") -> Fix:
    return Fix(id=f"emergency/{name}", title=title, commands=commands, risk=Risk.MEDIUM, disrupts=disrupts)


def _service(hand: Hand, verb: str, name: str) -> Argv:
    """By systemd where it runs; else Postfix by itself and Dovecot by its service script."""
    if Path("/run/systemd/system").is_dir():
        return ("systemctl", verb, name)
    if name == "postfix":
        told = hand.ask(command("postfix", "status"))
        running = not isinstance(told, Gap) and told.status == 0
        return ("postfix", "reload" if verb == "restart" and running else verb.replace("restart", "start"))
    return ("service", name, verb)


def _installed(program: str) -> bool:
    return shutil.which(program, path=PATH) is not None
