"""Is Postfix's configuration sound: main.cf, master.cf, lookup tables, changes not loaded, behaviour about to change?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from maildiag.facts.mail_log import MailLog
from maildiag.facts.names import PublicNames
from maildiag.facts.postfix import Postfix
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.facts.sockets import Sockets
from maildiag.lint.cure import fix_for_all, verdict_for
from maildiag.lint.postfix import lint_master, unexplained
from maildiag.lint.problem import DropParameter, Problem, Repair
from maildiag.model import (
    Evidence,
    Fix,
    GapReason,
    HostRole,
    Role,
    Status,
    Step,
    Verdict,
    critical,
    ok,
    unknown,
    warning,
)
from maildiag.probes import FileInfo, FileKind
from maildiag.registry import check
from maildiag.text import plural
from maildiag_checks._own_mail import takes_logins_alone

MAIN = "services.main-cf"
MASTER = "services.master-cf"


@check(MAIN, step=Step.SERVICES, asks="Does main.cf say what Postfix can use?", explained_by=("services.disk",))
def main_cf(
    postfix_config: PostfixConfig, postfix_process: PostfixProcess | None, log: MailLog | None
) -> Iterator[Verdict]:
    """Every fault of main.cf with its line, and what Postfix itself refuses. Source: postconf(5)."""
    path = postfix_config.main.path
    for gap in (each for each in postfix_config.gaps if path in each.detail):
        yield (
            _not_there(path, postfix_config)
            if gap.reason is GapReason.ABSENT
            else unknown("main.cf could not be read", detail=str(gap))
        )
        return
    yield from (_closed(each) for each in postfix_config.closed)
    problems = tuple(_as_seen(each, log) for each in postfix_config.main_problems)
    yield from _verdicts(MAIN, problems, postfix_config, postfix_process)
    refused = unexplained(postfix_config.fatal, problems + postfix_config.master_problems)
    for line in refused:
        yield _refused(line, postfix_config, postfix_process)
    if not refused and not postfix_config.closed and not any(each.status.failing for each in problems):
        told = plural(len(postfix_config.main.entries), "parameter")
        yield ok(f"main.cf is sound: {told}, no fault found", evidence=(Evidence(path, f"{told} set"),))


def _as_seen(problem: Problem, log: MailLog | None) -> Problem:
    """Behind a load balancer the PROXY line is right: without it the log tells of clients that are dropped."""
    if problem.kind != "proxy-protocol" or (log is not None and log.summary.of("smtpd.proxy-line")):
        return problem
    return replace(problem, status=Status.NOTICE)


def _not_there(path: str, config: PostfixConfig) -> Verdict:
    """Renamed for an edit, or left away by a restore."""
    near = [
        each for each in config.files if each.startswith("main.cf.") and not each.endswith((".proto", ".dpkg-dist"))
    ]
    return critical(
        f"{path} does not exist: no program of Postfix starts",
        subject="main.cf",
        detail=f"{', '.join(near)} {'is' if len(near) == 1 else 'are'} there: was the file renamed?" if near else "",
        evidence=(Evidence(f"stat {path}", "No such file or directory"),),
        fixes=(_name_again(path, near[0]),) if len(near) == 1 else (),
    )


def _name_again(path: str, near: str) -> Fix:
    aside = f"{path.rpartition('/')[0]}/{near}"
    return Fix(
        id=f"{MAIN}/name-again",
        title=f"Let {near} be main.cf again",
        commands=(("mv", "-n", aside, path), ("systemctl", "restart", "postfix")),
        undo=(("mv", "-n", path, aside),),
        automatic=False,
        changes=(path, aside),
        verify=(MAIN,),
        why="Look at it first: it may be older than the one that is gone.",
    )


def _closed(info: FileInfo) -> Verdict:
    """Daemons read it as root before they give their privileges up; the programs of users cannot."""
    folder = info.kind is FileKind.DIRECTORY
    mode = info.mode | (0o055 if folder else 0o044)
    return warning(
        f"Only root may {'enter' if folder else 'read'} {info.path}: programs of other accounts cannot send mail",
        subject=info.path,
        detail="sendmail(1) and postdrop(1) run as the account of the application and stop: fatal: open /etc/postfix/main.cf: "
        "Permission denied. Passwords belong into tables of their own, which only root may read.",
        evidence=(Evidence(f"stat {info.path}", f"{info.owner}:{info.group} {info.mode:04o}"),),
        fixes=(
            Fix(
                id=f"{MAIN}/open-{'directory' if folder else 'file'}",
                title=f"Let everybody read {info.path}",
                commands=(("chmod", f"{mode:o}", info.path),),
                undo=(("chmod", f"{info.mode:o}", info.path),),
                automatic=True,
                verify=(f"{MAIN}@{info.path}",),
                changes=(info.path,),
                why="Postfix's own list, postfix-files, has 755 for the directory and 644 for main.cf.",
            ),
        ),
    )


def _refused(line: str, config: PostfixConfig, process: PostfixProcess | None) -> Verdict:
    """What no linter knows, as Postfix says it; where it names a parameter that main.cf sets, its default is the way out."""
    said = Evidence("postmap -q maildiag static:maildiag", "\n".join(config.fatal))
    names = [name for name in re.findall(r"[a-z0-9_A-Z]+", line) if config.main.entry(name) and name in config.defaults]
    entry = config.main.entry(names[0]) if names else None
    if entry is None:
        return critical(
            f"Postfix refuses its configuration: {line}",
            subject="main.cf",
            detail="Every Postfix program stops with this line as it starts.",
            evidence=(said,),
            explained_by=("services.common-files", "services.disk")
            if "unknown user" in line or "unknown group" in line
            else None,
        )
    default = config.defaults[entry.name]
    problem = Problem(
        kind="refused",
        subject=entry.name,
        status=Status.CRITICAL,
        title=f"main.cf line {entry.line}: Postfix refuses {entry.name} = {entry.value}: {line}",
        detail="Every Postfix program stops with this line as it starts.",
        place=config.main.place(entry),
        repairs=(
            Repair(
                f"set {entry.name} back to its default, {default or '(empty)'}",
                (DropParameter(entry.name),),
                certain=bool(default),
            ),
        ),
    )
    return verdict_for(MAIN, problem, config.main, config.master, process)


@check(
    MASTER,
    step=Step.SERVICES,
    asks="Does master.cf have the services that Postfix needs, each able to run?",
    explained_by=(MAIN,),
)
def master_cf(
    postfix_config: PostfixConfig,
    postfix_process: PostfixProcess | None,
    role: HostRole | None,
    postfix: Postfix | None = None,
    sockets: Sockets | None = None,
    public: PublicNames | None = None,
) -> Iterator[Verdict]:
    """Every fault of master.cf with its line. Source: master(5)."""
    path = postfix_config.master.path
    for gap in (each for each in postfix_config.gaps if path in each.detail):
        yield unknown("master.cf could not be read", detail=str(gap))
        return
    server = role is not None and role.role is Role.MAIL_SERVER and not takes_logins_alone(public, postfix, sockets)
    problems = lint_master(postfix_config.context, server) if server else postfix_config.master_problems
    yield from _verdicts(MASTER, problems, postfix_config, postfix_process)
    if not any(each.status.failing for each in problems):
        told = plural(len(postfix_config.master.services), "service")
        yield ok(f"master.cf is sound: {told}, no fault found", evidence=(Evidence(path, f"{told} defined"),))


def _verdicts(
    check: str, problems: tuple[Problem, ...], config: PostfixConfig, process: PostfixProcess | None
) -> Iterator[Verdict]:
    """The problems as verdicts; where several stop Postfix, the fix for all of them comes first."""
    other = config.master_problems if check == MAIN else config.main_problems
    together = fix_for_all(check, problems + other, config.main, config.master, process)
    for each in problems:
        verdict = verdict_for(check, each, config.main, config.master, process)
        if together and verdict.status is Status.CRITICAL and verdict.fixes:
            verdict = replace(verdict, fixes=(together, *verdict.fixes))
        yield verdict
