"""Step 1, around the daemons: does systemd let Postfix and Dovecot reach what they need?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag import edits
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.fences import Fence, Fences, Place
from maildiag.facts.mail_log import MailLog
from maildiag.facts.mailboxes import Mailboxes
from maildiag.facts.postfix import Postfix
from maildiag.model import Evidence, Fix, Risk, Step, Verdict, critical, ok, skipped, warning
from maildiag.registry import BOTH, check
from maildiag_checks._current import lines
from maildiag_checks.services import TITLES

# What the daemon must see; root sees it, and so does maildiag.
_READ = {"postfix": ("/etc/postfix/main.cf", "/etc/postfix/master.cf"), "dovecot": ("/etc/dovecot/dovecot.conf",)}
_SIGSYS = "31"
_MAIN_CF = "services.main-cf"
_CONDITIONS = ("Condition", "Assert")


@check(
    "services.sandbox",
    step=Step.SERVICES,
    asks="Does systemd let Postfix and Dovecot reach what they need?",
    roles=BOTH,
    explained_by=(_MAIN_CF,),
)
def sandbox(
    fences: Fences,
    postfix: Postfix | None,
    mailboxes: Mailboxes | None,
    dovecot_config: DovecotConfig | None = None,
    log: MailLog | None = None,
) -> Iterator[Verdict]:
    """A hardened unit sees another world than root does: modes and owners look right. Source: systemd.exec(5), systemd.unit(5)."""
    if not fences.fences:
        yield skipped("No unit of mail is loaded")
        return
    found = []
    for each in fences.fences:
        found += [*_skipped(each), *_failed(each), *_required(each)]
        if each.used:
            found += list(_offline(each))
            found += list(_crippled(each))
            found += list(_forbidden(each, log))
            found += list(_kept_away(each, _needed(each, postfix, mailboxes, dovecot_config)))
    yield from found
    if not found:
        units = ", ".join(each.unit for each in fences.fences)
        yield ok("No unit keeps its daemon away from mail", evidence=(Evidence("systemctl show", units),))


def _needed(
    fence: Fence, postfix: Postfix | None, mailboxes: Mailboxes | None, dovecot_config: DovecotConfig | None
) -> list[str]:
    """The places where the daemon must write."""
    boxes = mailboxes.boxes if mailboxes else ()
    if fence.daemon == "dovecot":
        base = [dovecot_config.value("base_dir", "/run/dovecot")] if dovecot_config else []
        return [*base, *(each.inbox for each in boxes if each.inbox)]
    own = [postfix.get(name) for name in ("queue_directory", "data_directory")] if postfix else []
    return [each for each in (*own, *(box.delivered for box in boxes)) if each.startswith("/")]


def _skipped(fence: Fence) -> Iterator[Verdict]:
    if not fence.skipped:
        return
    conditions = [place for name, some in fence.places.items() if name.startswith(_CONDITIONS) for place in some]
    why = f": {conditions[0].text}" if conditions else ""
    yield critical(
        f"systemd does not start {TITLES[fence.daemon]}, because a condition of its unit does not hold{why}",
        detail="`systemctl start` succeeds and does nothing; the unit stays inactive.",
        subject=f"{fence.daemon} condition",
        evidence=_shown(fence, ("ConditionResult", "ConditionTimestamp"), conditions),
        fixes=_without(fence, conditions),
        explained_by=() if conditions or fence.daemon != "postfix" else (f"{_MAIN_CF}@main.cf",),
    )


def _failed(fence: Fence) -> Iterator[Verdict]:
    """A command that somebody added, and that fails before or beside the daemon: systemd then gives the unit up."""
    failed = fence.failed
    if failed is None:
        return
    how = f"is killed by signal {failed.status}" if failed.killed else f"ends with exit status {failed.status}"
    yield critical(
        f"systemd does not start {TITLES[fence.daemon]}, because a command of its unit {how}: {failed.place.text}",
        detail=f"{failed.place.path}:{failed.place.number}. Starting the unit again fails at the same command.",
        subject=f"{fence.daemon} command",
        evidence=_shown(fence, (failed.place.text.partition("=")[0].strip(),), [failed.place]),
        fixes=_replaced(fence, failed.place)
        if failed.place.text.startswith("ExecStart=")
        else _without(fence, [failed.place]),
        explained_by=(),
    )


def _replaced(fence: Fence, place: Place) -> tuple[Fix, ...]:
    """The line that starts the daemon itself cannot just go."""
    unit = fence.unit.removesuffix(".service")
    return (
        Fix(
            id="services.sandbox/start-line",
            title=f"Correct the line in {place.path}, or take the file away: the package's own unit has the right one",
            ask=f"systemctl cat {unit}\nmv {place.path} /root/\nsystemctl daemon-reload; systemctl restart {unit}",
            verify=("services.sandbox",),
        ),
    )


def _required(fence: Fence) -> Iterator[Verdict]:
    """systemd starts nothing whose requirement it does not find: "Unit mysql.service not found"."""
    for name in fence.absent[:1]:
        place = fence.needs[name]
        down = fence.values.get("ActiveState") not in ("active", "activating", "reloading")
        yield (critical if down else warning)(
            f"systemd does not start {TITLES[fence.daemon]}{'' if down else ' again'}: "
            f"{place.text}, and there is no {name}",
            detail=f"{place.path}:{place.number}. "
            + ("" if down else "It runs until it is stopped, or the host boots."),
            subject=f"{fence.daemon} required",
            data={"units": [*fence.absent]},
            evidence=(
                Evidence(f"systemctl show {name}", "LoadState=not-found"),
                Evidence(place.path, f"{place.number}: {place.text}"),
            ),
            fixes=_without(fence, [place]),
            explained_by=(),
        )


def _offline(fence: Fence) -> Iterator[Verdict]:
    setting = fence.offline
    if setting:
        places = fence.places.get(setting, ())
        yield critical(
            f"systemd leaves {TITLES[fence.daemon]} without a network: {setting}={_value(fence, setting, places)}",
            detail="Everything else on this host has one: other programs reach what this daemon cannot.",
            subject=fence.daemon,
            evidence=_shown(fence, (setting,), places),
            fixes=_without(fence, places),
            explained_by=(),
        )


def _crippled(fence: Fence) -> Iterator[Verdict]:
    """Rights and room; `systemd-analyze security` asks for such lines and does not know what the program needs."""
    for setting, why in fence.crippled.items():
        places = fence.places[setting]
        yield (warning if setting in ("TasksMax", "LimitNPROC") else critical)(
            f"systemd takes from {TITLES[fence.daemon]} what it needs: {_value_of(setting, places)}: {why}",
            detail=f"{places[-1].path}:{places[-1].number}. It starts, or seems to, and fails at what it may not do.",
            subject=f"{fence.daemon} {setting}",
            evidence=tuple(Evidence(each.path, f"{each.number}: {each.text}") for each in places),
            fixes=_without(fence, places),
            explained_by=(),
        )


def _forbidden(fence: Fence, log: MailLog | None) -> Iterator[Verdict]:
    """The filter of the unit holds for its children too; master(8) and Dovecot's master tell how they ended."""
    places = fence.places.get("SystemCallFilter", ())
    ended = [
        each
        for each in (log.summary.groups if log else ())
        if each.family == fence.daemon and each.fields.get("signal") == _SIGSYS and not each.over
    ]
    if not places or not (fence.killed_by_filter or ended):
        return
    yield critical(
        f"systemd kills {TITLES[fence.daemon]} for a system call that its unit forbids: "
        f"{_value_of('SystemCallFilter', places)}",
        detail=f"{places[-1].path}:{places[-1].number}. It ends by signal {_SIGSYS}, SIGSYS.",
        subject=f"{fence.daemon} SystemCallFilter",
        evidence=(*_shown(fence, ("ExecStart",), places), *(lines(ended, log) if log else ())),
        fixes=_without(fence, places),
        explained_by=(),
    )


def _value_of(setting: str, places: tuple[Place, ...]) -> str:
    return f"{setting}={places[-1].text.partition('=')[2].strip()}"


def _kept_away(fence: Fence, paths: list[str]) -> Iterator[Verdict]:
    """One answer for each setting, about the first place that it closes."""
    told: set[str] = set()
    for path in (*_READ[fence.daemon], *paths):
        hidden = fence.hides(path)
        setting = hidden or (fence.locks(path) if path in paths else "")
        if not setting or setting in told:
            continue
        told.add(setting)
        places = fence.places.get(setting, ())
        yield critical(
            f"systemd keeps {TITLES[fence.daemon]} from {'seeing' if hidden else 'writing to'} {path}: "
            f"{setting}={_value(fence, setting, places)}",
            detail="Owner and mode look right to root; the daemon alone lives behind this setting of its unit.",
            subject=fence.daemon,
            data={"setting": setting, "path": path},
            evidence=_shown(fence, (setting,), places),
            fixes=_without(fence, places),
            explained_by=(),
        )


def _value(fence: Fence, setting: str, places: tuple[Place, ...]) -> str:
    return places[-1].text.partition("=")[2].strip() if places else fence.values.get(setting, "")


def _shown(fence: Fence, names: tuple[str, ...], places: tuple[Place, ...] | list[Place]) -> tuple[Evidence, ...]:
    values = "\n".join(f"{name}={fence.values.get(name, '')}" for name in names)
    return (
        Evidence(f"systemctl show {fence.unit}", values),
        *(Evidence(each.path, f"{each.number}: {each.text}") for each in places),
    )


def _without(fence: Fence, places: tuple[Place, ...] | list[Place]) -> tuple[Fix, ...]:
    """Comment the line out in the administrator's own drop-in; never automatic, for somebody meant it as a protection."""
    own = [each for each in places if each.path.startswith("/etc/")]
    if len(own) != 1:
        return ()
    unit, place = fence.unit.removesuffix(".service"), own[0]
    return (
        Fix(
            id="services.sandbox/without",
            title=f"Take `{place.text}` out of {place.path} and restart {unit}",
            commands=(
                edits.comment_line(place.path, place.number),
                ("systemctl", "daemon-reload"),
                ("systemctl", "restart", unit),
            ),
            undo=(("systemctl", "daemon-reload"), ("systemctl", "restart", unit)),
            risk=Risk.MEDIUM,
            changes=(place.path,),
            verify=("services.sandbox",),
            why="Somebody set it as a protection: ReadWritePaths= with the one place that is needed is narrower.",
        ),
    )
