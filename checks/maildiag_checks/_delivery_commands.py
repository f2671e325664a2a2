"""A program of somebody else's that mail goes through, and that refuses or puts off: which one, and what sends mail to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.tables import Tables
from maildiag.lint.master_cf import Service
from maildiag.logs.summary import ReasonGroup
from maildiag.model import Status, Verdict
from maildiag_checks._origins import Origin, origins

COMMAND = "local.command"
_PROGRAM = re.compile(r'(?:execvp |Command died with status \d+: ")(?P<program>/[^\s":]+)')
_DIED = "Command died with "
_NOT_STARTED = re.compile(r"execvp (?P<path>/\S+): No such file or directory")


def with_command(
    verdict: Verdict, groups: tuple[ReasonGroup, ...], config: PostfixConfig | None, tables: Tables | None
) -> Verdict:
    """The verdict on a failed delivery command with the lines of master.cf, main.cf or a table that make mail go through it.

    Where main.cf names it, all mail does: critical, unless it is over or the program refused the message on purpose.
    Source: pipe(8) (DIAGNOSTICS), FILTER_README.
    """
    if config is None or verdict.status in (Status.OK, Status.NOTICE):
        return verdict
    service = _pipe(config, groups)
    if service is None:
        return _run_by_local(verdict, groups, config, tables)
    place = Origin(config.master.path, service.line, f"{service.key}: {service.command} argv={service.program}")
    senders = tuple(_senders(service, config, tables))
    every = any(each.path == "main.cf" for each in senders)
    told = f"{place.told} runs {service.program}" + (f", {senders[0].told} sends mail there" if senders else "")
    return replace(
        verdict,
        status=Status.CRITICAL if every and not _on_purpose(groups) else verdict.status,
        title=f"{verdict.title}; {told}",
        detail="; ".join(each for each in (verdict.detail, _interpreter(groups)) if each),
        evidence=(place.evidence, *(each.evidence for each in senders[:2]), *verdict.evidence),
    )


def _run_by_local(
    verdict: Verdict, groups: tuple[ReasonGroup, ...], config: PostfixConfig, tables: Tables | None
) -> Verdict:
    """A command of an alias, of mailbox_command or of a .forward file, which local(8) runs."""
    found = [match for each in groups for line in each.samples if (match := _PROGRAM.search(line))]
    named = origins(config, tables, *(each["program"] for each in found))
    return replace(
        verdict,
        title=f"{verdict.title}; {named[0].told} has it run" if named else verdict.title,
        detail="; ".join(each for each in (verdict.detail, _interpreter(groups)) if each),
        evidence=(*(each.evidence for each in named[:3]), *verdict.evidence),
    )


def _pipe(config: PostfixConfig, groups: tuple[ReasonGroup, ...]) -> Service | None:
    """The service of pipe(8) that the attempts went to: deliveries name it as `relay=`."""
    names = {relay for each in groups for relay in each.clients}
    return next((each for each in config.master.services if each.command == "pipe" and each.name in names), None)


def _senders(service: Service, config: PostfixConfig, tables: Tables | None) -> Iterator[Origin]:
    """The settings and the lines of tables that send mail to a service, those first that concern the most mail."""
    for entry in config.main.entries:
        if service.used([entry]):
            yield Origin("main.cf", entry.line, f"{entry.name} = {entry.value}")
    for other in config.master.services:
        for option in other.overrides:
            if service.used([option]):
                yield Origin(config.master.path, option.line, f"{other.key}: -o {option.name}={option.value}")
    yield from (each for each in origins(config, tables, service.name) if each.path != "main.cf")


def _on_purpose(groups: tuple[ReasonGroup, ...]) -> bool:
    """True where the program told why it refused (sysexits.h), as FILTER_README lets it; "died with" is a crash."""
    return all(each.status == "bounced" and not any(_DIED in line for line in each.samples) for each in groups)


def _interpreter(groups: tuple[ReasonGroup, ...]) -> str:
    match = next((found for each in groups for line in each.samples if (found := _NOT_STARTED.search(line))), None)
    return f"if there is {match['path']}, it is the interpreter in its first line (#!) that is missing" if match else ""
