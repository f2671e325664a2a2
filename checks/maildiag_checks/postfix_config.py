"""Is Postfix's configuration sound: main.cf, master.cf, lookup tables, changes not loaded, behaviour about to change?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.lint.cure import fix_for_all, verdict_for
from maildiag.lint.postfix import lint_main, lint_master, unexplained
from maildiag.lint.problem import Problem
from maildiag.model import Evidence, HostRole, Role, Status, Step, Verdict, critical, ok, unknown
from maildiag.registry import check
from maildiag.text import plural

MAIN = "services.main-cf"
MASTER = "services.master-cf"


@check(MAIN, step=Step.SERVICES, asks="Does main.cf say what Postfix can use?", explained_by=("services.disk",))
def main_cf(postfix_config: PostfixConfig, postfix_process: PostfixProcess | None) -> Iterator[Verdict]:
    """Every fault of main.cf with its line, and what Postfix itself refuses. Source: postconf(5)."""
    path = postfix_config.main.path
    for gap in (each for each in postfix_config.gaps if path in each.detail):
        yield unknown("main.cf could not be read", detail=str(gap))
        return
    problems = lint_main(postfix_config.context)
    yield from _verdicts(MAIN, problems, postfix_config, postfix_process)
    refused = unexplained(postfix_config.fatal, problems + lint_master(postfix_config.context, server=False))
    for line in refused:
        yield critical(
            f"Postfix refuses its configuration: {line}",
            subject="main.cf",
            detail="Every Postfix program stops with this line as it starts.",
            evidence=(Evidence("postmap -q maildiag static:maildiag", "\n".join(postfix_config.fatal)),),
        )
    if not refused and not any(each.status.failing for each in problems):
        told = plural(len(postfix_config.main.entries), "parameter")
        yield ok(f"main.cf is sound: {told}, no fault found", evidence=(Evidence(path, f"{told} set"),))


@check(
    MASTER,
    step=Step.SERVICES,
    asks="Does master.cf have the services that Postfix needs, each able to run?",
    explained_by=(MAIN,),
)
def master_cf(
    postfix_config: PostfixConfig, postfix_process: PostfixProcess | None, role: HostRole | None
) -> Iterator[Verdict]:
    """Every fault of master.cf with its line. Source: master(5)."""
    path = postfix_config.master.path
    for gap in (each for each in postfix_config.gaps if path in each.detail):
        yield unknown("master.cf could not be read", detail=str(gap))
        return
    server = role is not None and role.role is Role.MAIL_SERVER
    problems = lint_master(postfix_config.context, server)
    yield from _verdicts(MASTER, problems, postfix_config, postfix_process)
    if not any(each.status.failing for each in problems):
        told = plural(len(postfix_config.master.services), "service")
        yield ok(f"master.cf is sound: {told}, no fault found", evidence=(Evidence(path, f"{told} defined"),))


def _verdicts(
    check: str, problems: tuple[Problem, ...], config: PostfixConfig, process: PostfixProcess | None
) -> Iterator[Verdict]:
    """The problems as verdicts; where several stop Postfix, the fix for all of them comes first."""
    other = lint_master(config.context, server=False) if check == MAIN else lint_main(config.context)
    together = fix_for_all(check, problems + other, config.main, config.master, process)
    for each in problems:
        verdict = verdict_for(check, each, config.main, config.master, process)
        if together and verdict.status is Status.CRITICAL and verdict.fixes:
            verdict = replace(verdict, fixes=(together, *verdict.fixes))
        yield verdict
