"""Does the running Postfix know what its files say now, and will it do the same after the next upgrade?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.lint.context import words
from maildiag.model import Confidence, Evidence, Fix, Step, Verdict, critical, notice, ok, skipped, unknown, warning
from maildiag.registry import check

LOADED = "services.unloaded-changes"
COMPATIBILITY = "services.compatibility"
_SLACK = timedelta(seconds=2)
_EVERY = frozenset({"0.0.0.0", "::"})


@check(
    LOADED,
    step=Step.SERVICES,
    asks="Has the running Postfix read its files since they were last changed?",
    explained_by=("services.main-cf", "services.master-cf"),
)
def unloaded_changes(postfix_config: PostfixConfig, postfix_process: PostfixProcess) -> Iterator[Verdict]:
    """master(8) reads both files at its start and at a reload, and inet_interfaces at its start only."""
    process = postfix_process
    if not process.known:
        yield unknown("The processes could not be seen", detail="needs a look at /proc")
        return
    if process.master is None or process.loaded is None:
        yield skipped("Postfix does not run, so it has loaded nothing")
        return
    found = [*_changed(postfix_config, process), *_interfaces(postfix_config, process), *_upgraded(process)]
    yield from found
    if not found:
        yield ok(
            "The running Postfix has read its files since their last change",
            evidence=(Evidence("processes", f"qmgr, which a reload starts anew, runs since {_told(process.loaded)}"),),
        )


def _changed(config: PostfixConfig, process: PostfixProcess) -> Iterator[Verdict]:
    assert process.loaded is not None
    for path, changed in ((config.main.path, config.main_changed), (config.master.path, config.master_changed)):
        if changed is None or changed <= process.loaded + _SLACK:
            continue
        name = path.rpartition("/")[2]
        yield warning(
            f"{name} was changed after Postfix last read it",
            subject=name,
            detail="New processes read main.cf as they start, the queue manager and master do not: Postfix works with two "
            "configurations at once, and the change counts in full after a reload."
            if name == "main.cf"
            else "master reads master.cf at a reload only: nothing of the change counts yet.",
            data={"file": path},
            evidence=(
                Evidence(path, f"changed {_told(changed)}"),
                Evidence("processes", f"Postfix loaded its files at {_told(process.loaded)}"),
            ),
            confidence=Confidence.LIKELY,
            fixes=(
                Fix(
                    id=f"{LOADED}/reload",
                    title="Let Postfix read its files again",
                    commands=(process.reload,),
                    automatic=True,
                    verify=(LOADED,),
                    guards=(("postfix", "check"),),
                ),
            ),
        )


def _upgraded(process: PostfixProcess) -> Iterator[Verdict]:
    """An upgrade of the package restarts Postfix, unless policy-rc.d(8) or its end forbade it."""
    if process.master is None or not process.master.replaced:
        return
    yield notice(
        "Postfix's programs were replaced, and its master still runs the old one",
        subject="program",
        detail="The daemons that it starts are the new ones: one version then talks to the other. A restart ends that.",
        evidence=(Evidence(f"/proc/{process.master.pid}/exe", f"{' '.join(process.master.command[:1])} (deleted)"),),
        fixes=(
            Fix(
                id=f"{LOADED}/restart-program",
                title="Restart Postfix with its new programs",
                commands=process.restarts,
                verify=(LOADED,),
                guards=(("postfix", "check"),),
                disrupts="connections under way are cut",
            ),
        ),
    )


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _interfaces(config: PostfixConfig, process: PostfixProcess) -> Iterator[Verdict]:
    """The addresses that master really listens on, against inet_interfaces."""
    if config.fatal or not config.settings:
        return
    bound = {each.address for each in process.listeners if each.port in _ports(config)}
    wanted = words(config.get("inet_interfaces"))
    if not bound or _agree(wanted, bound):
        return
    wider = bool(bound & _EVERY)
    value = config.get("inet_interfaces")
    yield (warning if wider else critical)(
        f"inet_interfaces = {value}, but the running Postfix listens on {', '.join(sorted(bound))}",
        subject="inet_interfaces",
        detail="Postfix reads inet_interfaces at its start only: a reload is not enough."
        + ("" if wider else " Connections from the network are refused."),
        evidence=(
            Evidence(config.main.where("inet_interfaces"), f"inet_interfaces = {value}"),
            Evidence("listening sockets", "\n".join(f"{each.address}:{each.port}" for each in process.listeners)),
        ),
        fixes=(
            Fix(
                id=f"{LOADED}/restart",
                title="Restart Postfix, so that it opens the interfaces anew",
                commands=process.restarts,
                automatic=True,
                verify=(LOADED,),
                guards=(("postfix", "check"),),
                disrupts="connections under way are cut",
            ),
        ),
    )


def _ports(config: PostfixConfig) -> frozenset[int]:
    """The ports of the services that listen where inet_interfaces says (an entry with an address of its own does not)."""
    known = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465}
    names = [each.name for each in config.master.services if each.type == "inet" and ":" not in each.name]
    return frozenset(known.get(name) or int(name) for name in names if name in known or name.isdigit())


def _agree(wanted: tuple[str, ...], bound: set[str]) -> bool:
    if "all" in wanted:
        return bool(bound & _EVERY)
    if any(word in ("loopback-only", "localhost") for word in wanted) and len(wanted) == 1:
        return not any(address in _EVERY or not _loopback(address) for address in bound)
    literal = {word.strip("[]") for word in wanted}
    if not all(re.fullmatch(r"[\d.]+|[0-9a-f:]*:[0-9a-f:.]*", word) for word in literal):
        return True
    return bound <= literal and bool(bound)


def _loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


@check(
    COMPATIBILITY,
    step=Step.SERVICES,
    asks="Will the configuration behave the same after the next upgrade?",
    explained_by=(),
)
def compatibility(postfix_config: PostfixConfig) -> Iterator[Verdict]:
    """Parameters that are on their way out, and old defaults kept for compatibility. Source: COMPATIBILITY_README."""
    notes = [*_deprecated(postfix_config), *_level(postfix_config)]
    yield from notes
    if not notes:
        yield ok("No parameter is on its way out", evidence=(Evidence("postconf -n", "no such warning"),))


def _deprecated(config: PostfixConfig) -> Iterator[Verdict]:
    for line in dict.fromkeys(config.said):
        match = re.search(r'support for parameter "([^"]+)" will be removed; instead, specify "([^"]*)"', line)
        if match:
            yield notice(
                f"{match[1]} is on its way out; {match[2]} takes its place",
                subject=f"{'master' if 'master.cf' in line else 'main'}.cf:{match[1]}",
                evidence=(Evidence("postconf -n", line),),
            )


def _level(config: PostfixConfig) -> Iterator[Verdict]:
    """A level above the program's own version promises what it cannot know; a level of 0 keeps the defaults of 2.x."""
    entry = config.main.entry("compatibility_level")
    level = _version(config.get("compatibility_level"))
    own = _version(config.get("mail_version"))
    if entry is not None and level > own > (0, 0):
        yield notice(
            f"compatibility_level = {entry.value} is above this Postfix, {config.get('mail_version')}",
            subject="main.cf:compatibility_level",
            evidence=(Evidence(config.main.where("compatibility_level"), entry.logical.shown()),),
        )


def _version(text: str) -> tuple[int, int]:
    match = re.match(r"(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)
