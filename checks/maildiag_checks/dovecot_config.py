"""Step 1, Dovecot's configuration: does it hold, is it loaded, do its limits fit?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.facts.dovecot import Dovecot, DovecotConfig
from maildiag.facts.dovecot_daemon import DovecotDaemon
from maildiag.facts.dovecot_parts import DovecotParts, RunDirectory
from maildiag.lint import dovecot as lint
from maildiag.lint.dovecot import Mistake
from maildiag.lint.dovecot_values import Remark, remarks
from maildiag.model import Evidence, Fix, Gap, Step, Verdict, critical, notice, ok, skipped, unknown, warning
from maildiag.probes import FileInfo
from maildiag.registry import SERVER, check
from maildiag.text import plural

CHECK = "services.dovecot-config"
STRICT = "doveconf -x -n"
GUARDS = (("doveconf", "-n"),)
RELOAD = ("doveadm", "reload")
RESTART = ("systemctl", "restart", "dovecot")
# What a reload does not change: the auth process lives on, and so do listening sockets.
_RESTARTED = ("auth_mechanisms", "listen", "lmtp", "imaps", "pop3s", "submissions")
_SLACK = timedelta(seconds=5)


@check(
    CHECK,
    step=Step.SERVICES,
    asks="Does Dovecot accept its configuration, and does it mean what it says?",
    roles=SERVER,
)
def dovecot_config(
    dovecot: Dovecot, config: DovecotConfig | Gap, daemon: DovecotDaemon | None, parts: DovecotParts | None
) -> Iterator[Verdict]:
    """Dovecot refuses to start, and to reload, with a configuration that it cannot read.

    `doveconf -n` is no test of it: it exits 0 with a missing certificate file. Sources: doveconf(1), and the upgrade
    notes from 2.3 to 2.4 for settings that were renamed.
    """
    if not dovecot.installed:
        yield skipped("Dovecot is not installed")
    elif isinstance(config, Gap):
        yield unknown("Could not read Dovecot's configuration", detail=str(config))
    elif config.refusal and not config.refusal.denied:
        yield _refused(config, daemon)
    else:
        yield from _accepted(config, daemon, parts)


def _refused(config: DovecotConfig, daemon: DovecotDaemon | None) -> Verdict:
    found = lint.mistakes(config)
    running = daemon is not None and daemon.running
    first = found[0] if found else None
    assert config.refusal is not None
    where = f"{first.place}: {first.what}" if first else config.refusal.text
    more = f" (and {plural(len(found) - 1, 'more mistake')})" if len(found) > 1 else ""
    return (warning if running else critical)(
        f"Dovecot refuses its configuration: {where}{more}",
        detail=_refused_detail(found, running),
        subject=first.place.file if first and first.place.file else "",
        data={"mistakes": [f"{each.place}: {each.what}" for each in found], "running": running},
        evidence=(_words(config), *(_shown(config, each) for each in found)),
        fixes=_repairs(config, found, running),
        explained_by=_explained(config),
    )


_OF_FILE = re.compile(r"(?P<path>/[^\s:)]+)(?:\) failed)?(?:: No such file| contains NUL)")


def _explained(config: DovecotConfig) -> tuple[str, ...]:
    """The certificate is read with the configuration: where its file is the fault, the file is the cause; and an account
    that does not exist may be one that the system does not look for.
    """
    if config.refusal and "doesn't exist" in config.refusal.text:
        return ("services.common-files@/etc/nsswitch.conf",)
    match = _OF_FILE.search(config.refusal.text) if config.refusal else None
    return (f"connectivity.certificate@{match['path']}",) if match else ()


def _refused_detail(found: tuple[Mistake, ...], running: bool) -> str:
    lines = [
        "Dovecot still runs with the configuration that it had loaded, and will not come back after a restart."
        if running
        else "Dovecot does not start: no IMAP, no POP3, no LMTP delivery, and no logins for Postfix's submission."
    ]
    lines += [f"{each.place}: {each.what}" + (f": {each.advice}" if each.advice else "") for each in found]
    return "\n".join(lines)


def _words(config: DovecotConfig) -> Evidence:
    refusal = config.refusal
    assert refusal is not None
    place = f"{refusal.place}: " if refusal.place else ""
    return Evidence(STRICT, place + refusal.text)


def _shown(config: DovecotConfig, each: Mistake) -> Evidence:
    return Evidence(each.place.file or STRICT, f"{each.place.line}: {config.source_line(each.place)}")


def _repairs(config: DovecotConfig, found: tuple[Mistake, ...], running: bool) -> tuple[Fix, ...]:
    edits = [edit for each in found for edit in each.edits]
    if not edits:
        return (_by_hand(found),)
    whole = all(each.edits for each in found)
    certain = whole and all(each.certain for each in found)
    start = ("doveadm", "reload") if running else ("systemctl", "restart", "dovecot")
    return (
        Fix(
            id=f"{CHECK}/correct",
            title="Correct " + ("the line" if len(found) == 1 else f"{plural(len(edits), 'line')}"),
            commands=(*editing.commands(edits), *((start,) if whole else ())),
            automatic=certain,
            changes=editing.files(edits),
            verify=(CHECK,),
            guards=GUARDS,
            why="" if whole else "Some of the mistakes need a person; Dovecot starts when these are corrected as well.",
            disrupts="" if running else "starts Dovecot",
        ),
        *(() if whole else (_by_hand(tuple(each for each in found if not each.edits)),)),
    )


def _by_hand(found: tuple[Mistake, ...]) -> Fix:
    lines = [f"{each.place}: {each.what}" + (f"; {each.advice}" if each.advice else "") for each in found]
    return Fix(
        id=f"{CHECK}/by-hand",
        title="Correct the lines by hand, then restart Dovecot",
        verify=(CHECK,),
        why="What was meant cannot be told from here.",
        ask="\n".join(lines),
    )


def _accepted(config: DovecotConfig, daemon: DovecotDaemon | None, parts: DovecotParts | None) -> Iterator[Verdict]:
    found = remarks(config, parts)
    for each in found:
        dead = (daemon is not None and not daemon.running) or each.subject in _RESTARTED
        yield _remark(config, each, RESTART if dead else RELOAD)
    spoilt = parts.spoilt if parts else ()
    if spoilt:
        yield _of_another_account(config, spoilt[0]) or _spoilt(spoilt)
    yield from _unloaded(config, daemon)
    if config.refusal and config.refusal.denied:
        yield unknown(
            "Could not tell whether Dovecot accepts its configuration",
            detail=f"{config.refusal.text} (needs root)",
            evidence=(_words(config),),
        )
    elif config.unreadable:
        yield unknown("Part of Dovecot's configuration could not be read", detail=str(config.unreadable[0]))
    elif not found and not spoilt:
        yield ok(f"Dovecot {config.version} accepts its configuration", evidence=(Evidence(STRICT, "exit status 0"),))


def _remark(config: DovecotConfig, each: Remark, apply: tuple[str, ...]) -> Verdict:
    fixes: tuple[Fix, ...] = ()
    if each.edits:
        fixes = (
            Fix(
                id=f"{CHECK}/{each.kind}",
                title=each.cure,
                commands=(*editing.commands(each.edits), apply),
                automatic=each.certain,
                changes=editing.files(each.edits),
                verify=(CHECK,),
                guards=GUARDS,
                why=each.why,
            ),
        )
    elif each.cure:
        fixes = (Fix(id=f"{CHECK}/{each.kind}", title=each.cure, verify=(CHECK,), why=each.why, ask=each.cure),)
    return Verdict(
        status=each.status,
        title=each.title,
        detail=each.why,
        subject=each.subject,
        evidence=tuple(
            Evidence(place.file, f"{place.line}: {config.source_line(place)}") for place in each.places if place.file
        ),
        fixes=fixes,
    )


def _spoilt(directories: tuple[RunDirectory, ...]) -> Verdict:
    """Dovecot makes its run directory when it starts, and corrects owner and mode of one that is there."""
    first = directories[0]
    return critical(
        f"Dovecot's run directory {first.path} is not as it made it ({_state(first)}): its processes cannot reach each other",
        detail="Somebody changed it while Dovecot ran; /run/dovecot is Dovecot's own, and a restart makes it again.",
        subject=first.path,
        evidence=tuple(Evidence(f"stat {each.path}", _state(each)) for each in directories),
        fixes=(
            Fix(
                id=f"{CHECK}/run-directory",
                title="Restart Dovecot, which makes its run directory again",
                commands=(RESTART,),
                automatic=True,
                verify=(CHECK,),
                guards=GUARDS,
                disrupts="connections under way are cut",
            ),
        ),
    )


def _of_another_account(config: DovecotConfig, directory: RunDirectory) -> Verdict | None:
    """Dovecot gives `login` to the group of the account that a login service runs as; the others then cannot enter."""
    setting = next(
        (
            each
            for each in config.source.settings
            if each.name == "user"
            and each.within
            and each.within[-1].kind == "service"
            and each.within[-1].name.endswith("-login")
            and each.value not in ("", "$default_login_user", config.value("default_login_user", "dovenull"))
        ),
        None,
    )
    if setting is None or not directory.path.endswith("/login") or not isinstance(directory.info, FileInfo):
        return None
    edit = Edit(setting.place)
    return critical(
        f"{setting.place}: {setting.within[-1].name} runs as {setting.value}, and Dovecot's other login processes cannot "
        f"enter {directory.path} ({_state(directory)})",
        detail="Dovecot gives the directory to the group of that account when it starts. To mail programs it looks like a dead server.",
        subject=setting.within[-1].name,
        evidence=(
            Evidence(setting.place.file, f"{setting.place.line}: {setting.raw.strip()}"),
            Evidence(f"stat {directory.path}", _state(directory)),
        ),
        fixes=(
            Fix(
                id=f"{CHECK}/login-account",
                title="Take the line out: login processes run as default_login_user",
                commands=(*editing.commands((edit,)), RESTART),
                automatic=True,
                changes=(setting.place.file,),
                verify=(CHECK,),
                guards=GUARDS,
                disrupts="connections under way are cut",
            ),
        ),
    )


def _state(each: RunDirectory) -> str:
    info = each.info
    return f"{info.owner}:{info.group} {info.mode:04o}" if isinstance(info, FileInfo) else "is gone"


def _unloaded(config: DovecotConfig, daemon: DovecotDaemon | None) -> Iterator[Verdict]:
    if daemon is None or daemon.loaded is None or config.changed is None:
        return
    if config.changed > daemon.loaded + _SLACK:
        yield notice(
            f"{config.newest} was changed after Dovecot last read it",
            detail="What was changed since is not in force before a reload.",
            subject="unloaded",
            evidence=(
                Evidence(f"stat {config.newest}", f"changed {config.changed:%Y-%m-%d %H:%M:%S} UTC"),
                Evidence("processes", f"Dovecot read its configuration {daemon.loaded:%Y-%m-%d %H:%M:%S} UTC"),
            ),
            fixes=(
                Fix(
                    id=f"{CHECK}/reload",
                    title="Let Dovecot read its configuration again",
                    commands=(("doveadm", "reload"),),
                    verify=(CHECK,),
                    guards=GUARDS,
                    why="Logged-in clients stay connected.",
                ),
            ),
        )
