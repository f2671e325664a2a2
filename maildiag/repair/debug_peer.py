"""Verbose logging for a peer or domain, for a limited time: the switching back is arranged before it is switched on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from maildiag.edits import append_line
from maildiag.hosts.commands import ENVIRONMENT
from maildiag.model import Fix, Gap, Risk
from maildiag.probes import ReadFile, command
from maildiag.programs import PATH
from maildiag.records import dataclass
from maildiag.repair import carrying
from maildiag.repair.actions import Argv
from maildiag.repair.applying import Workshop
from maildiag.repair.hand import Hand
from maildiag.repair.journal import now
from maildiag.repair.saving import Label
from maildiag.state import VARIABLE

PEER = re.compile(r"[A-Za-z0-9_.:\-]+(/[0-9]{1,3})?|\[[0-9A-Fa-f:.]+\](/[0-9]{1,3})?")
LONGEST = timedelta(hours=24)
_DURATION = re.compile(r"(\d+)([smh])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
_LOCK_WAIT_S = 600
_DOVECOT = "/etc/dovecot/dovecot.conf"
_DROP_IN = "99-maildiag-debug.conf"
_INCLUDES_ALL = re.compile(r"^\s*!include(_try)?\s+(/etc/dovecot/)?conf\.d/\*\.conf\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be logged verbosely, and for how long: a peer of Postfix (debug_peer_list, postconf(5)), Dovecot, or both."""

    peers: tuple[str, ...]
    duration: timedelta
    level: int = 2
    dovecot: bool = False


def duration(text: str) -> timedelta:
    """`90s`, `10m`, `2h`. Raises ValueError for anything else and for more than a day."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration like 90s, 10m or 2h")
    found = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if not timedelta(seconds=1) <= found <= LONGEST:
        raise ValueError(f"{text} is not between 1s and 24h")
    return found


def change(wish: Wish, hand: Hand, scratch: Path) -> Fix:
    """The commands that switch it on; `scratch` is where the Dovecot drop-in is written before it is installed."""
    ways = [*([_postfix(wish, hand)] if wish.peers else []), *([_dovecot(hand, scratch)] if wish.dovecot else [])]
    return Fix(
        id="debug-peer",
        title="Verbose logging for " + ", ".join([*wish.peers, *(["Dovecot"] if wish.dovecot else [])]),
        commands=tuple(argv for way in ways for argv in way.there),
        undo=tuple(argv for way in ways for argv in way.back),
        risk=Risk.LOW,
        disrupts="nothing; the log grows faster, and Dovecot's debug lines can show user names",
    )


def switch_on(wish: Wish, shop: Workshop) -> carrying.Steps:
    """Arrange the switching back, then switch on. Returns how it ended; see `carrying.carry_out`."""
    shop.store.prepare()
    fix = change(wish, shop.hand, shop.store.root)
    label = Label(title=fix.title, until=now() + wish.duration)
    return carrying.carry_out(fix, label, shop, lambda name: arrange_undo(name, wish.duration, shop))


def arrange_undo(id: str, after: timedelta, shop: Workshop) -> str:
    """Have `maildiag undo` run by somebody who outlives us: systemd, or a process of its own. Why not, or an empty string."""
    undo = (sys.executable, "-m", "maildiag", "undo", id, "--wait", str(_LOCK_WAIT_S))
    environment = {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each), VARIABLE: str(shop.store.root)}
    seconds = round(after.total_seconds())
    if shutil.which("systemd-run", path=PATH) and Path("/run/systemd/system").is_dir():
        return _by_systemd(id, undo, environment, seconds)
    subprocess.Popen(
        (*undo, "--after", str(seconds)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**ENVIRONMENT, **environment},
        cwd="/",
        start_new_session=True,
    )
    return ""


def _by_systemd(id: str, undo: Sequence[str], environment: dict[str, str], seconds: int) -> str:
    settings = [f"--setenv={name}={value}" for name, value in environment.items()]
    timer = ("systemd-run", f"--unit=maildiag-undo-{id}", f"--on-active={seconds}", "--timer-property=AccuracySec=1s")
    done = subprocess.run((*timer, *settings, *undo), stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT)
    return "" if done.returncode == 0 else f"systemd-run: {done.stderr.decode('utf-8', 'replace').strip()}"


@dataclass(frozen=True, slots=True)
class _Way:
    """The commands that switch it on, and those that take it out again where the files were edited meanwhile."""

    there: tuple[Argv, ...]
    back: tuple[Argv, ...]


def _postfix(wish: Wish, hand: Hand) -> _Way:
    told = hand.ask(command("postconf", "-n", "debug_peer_list", "debug_peer_level"))
    lines = [] if isinstance(told, Gap) else told.stdout.splitlines()
    before = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
    old = re.split(r"[\s,]+", before.get("debug_peer_list", ""))
    peers = ", ".join(dict.fromkeys([*filter(None, old), *wish.peers]))
    edit = ("postconf", "-e", f"debug_peer_list = {peers}", f"debug_peer_level = {wish.level}")
    back = [
        ("postconf", "-e", f"{name} = {before[name]}") if name in before else ("postconf", "-X", name)
        for name in ("debug_peer_list", "debug_peer_level")
    ]
    return _Way((edit, ("postfix", "reload")), (*back, ("postfix", "reload")))


def _dovecot(hand: Hand, scratch: Path) -> _Way:
    lines = _settings(hand)
    reload = ("doveadm", "reload")
    main = hand.ask(ReadFile(_DOVECOT))
    if isinstance(main, Gap) or not _INCLUDES_ALL.search(main.text):
        return _Way((*(append_line(_DOVECOT, each) for each in lines), reload), ())
    source = scratch / _DROP_IN
    source.write_text("# made by maildiag debug-peer, which removes it again\n" + "\n".join(lines) + "\n")
    place = f"/etc/dovecot/conf.d/{_DROP_IN}"
    return _Way((("install", "-m", "0644", str(source), place), reload), (("rm", "-f", place), reload))


def _settings(hand: Hand) -> tuple[str, ...]:
    """Dovecot 2.4 has no verbose_ssl any more; a log filter says the same."""
    told = hand.ask(command("dovecot", "--version"))
    old = not isinstance(told, Gap) and told.stdout.startswith("2.3")
    about_tls = "verbose_ssl = yes" if old else "log_debug = category=ssl"
    return "auth_verbose = yes", "auth_debug = yes", "mail_debug = yes", about_tls
