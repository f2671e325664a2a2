"""Why Dovecot does not start although its configuration is accepted: its last words, led back to a line or a file."""

from __future__ import annotations

import re

from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.dovecot.mentioned import mentioned
from maildiag.dovecot.tree import Setting
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_log import MailLog
from maildiag.facts.processes import ProcessTable
from maildiag.facts.services import Services
from maildiag.model import Evidence, Fix, Verdict, critical
from maildiag_checks._current import lines
from maildiag_checks._story import Story, story

CHECK = "services.dovecot"
_BUILT_IN = (
    "imap-login",
    "pop3-login",
    "imap",
    "pop3",
    "lmtp",
    "auth",
    "auth-worker",
    "anvil",
    "log",
    "config",
    "stats",
)
_STALE = re.compile(r"already running with PID (?P<pid>\d+) \(read from (?P<file>/\S+)\)")


def blamed(config: DovecotConfig | None, told: Story) -> tuple[Setting, ...]:
    """The lines of the configuration that the daemon's last words are about; starting it again would not help."""
    if config is None or told.first is None:
        return ()
    words = told.first.samples[-1].partition(": ")[2]
    return tuple(each for each in mentioned(words, config.source) if each.place.file)[:3]


def correct(setting: Setting) -> Fix:
    """A line in one of Dovecot's own services that can be done without is taken out; all else needs a person."""
    inside = setting.within[-1] if setting.within else None
    if setting.name == "executable" and inside is not None and inside.kind == "service" and inside.name in _BUILT_IN:
        edits = (Edit(setting.place),)
        return Fix(
            id=f"{CHECK}/default",
            title=f"Take the line out, so that the service {inside.name} runs Dovecot's own program, and start Dovecot",
            commands=(*editing.commands(edits), ("systemctl", "restart", "dovecot")),
            automatic=True,
            changes=(setting.place.file,),
            verify=(CHECK,),
            guards=(("doveconf", "-n"),),
        )
    return Fix(
        id=f"{CHECK}/correct",
        title=f"Correct {setting.name} in {setting.place.file}, then start Dovecot",
        verify=(CHECK,),
        why="What was meant cannot be told from here.",
        ask=f"{setting.place}: {setting.raw.strip()}\nthen: systemctl start dovecot",
    )


def stale_pid_file(services: Services, processes: ProcessTable | None, log: MailLog | None) -> Verdict | None:
    """A pid file that outlived its Dovecot, and whose number another process has got since. Source: dovecot(1)."""
    daemon = services.dovecot
    if daemon.running is not False or processes is None or log is None:
        return None
    told = story(log.summary, "dovecot", daemon.unit.inactive_since if daemon.unit else None)
    match = next((found for each in told.complaints if (found := _STALE.search(each.samples[-1]))), None)
    other = processes.by_pid(int(match["pid"])) if match else None
    if match is None or other is None or other.name == "dovecot":
        return None
    file, aside = match["file"], f"{match['file']}.stale"
    return critical(
        f"Dovecot does not start: {file} says that it runs as process {match['pid']}, and that is {other.name}",
        detail="The file is left from a Dovecot that was killed; its number has gone to another program since.",
        subject="dovecot",
        evidence=(*lines(told.complaints, log), Evidence("processes", f"pid {other.pid}: {' '.join(other.command)}")),
        fixes=(
            Fix(
                id=f"{CHECK}/stale-pid-file",
                title="Move the old pid file aside and start Dovecot",
                commands=(("mv", file, aside), services.start("dovecot")),
                undo=(services.stop("dovecot"), ("mv", aside, file)),
                automatic=True,
                verify=(CHECK,),
                guards=(("doveconf", "-n"),),
            ),
        ),
        explained_by=(),
        data={"state": "stale-pid-file"},
    )
