"""Step 1, below everything: can the daemons' accounts use what every account uses?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag import edits
from maildiag.facts.commons import COMMONS, Common, Commons, Unasked
from maildiag.model import Evidence, Fix, Step, Verdict, critical, ok, warning
from maildiag.probes import FileInfo
from maildiag.registry import BOTH, check
from maildiag.text import plural

_SWITCH = "/etc/nsswitch.conf"
_MILD = ("/etc/hosts", "/tmp", "/etc/nsswitch.conf")
CRIPPLING = tuple(f"services.common-files@{each.path}" for each in COMMONS if each.path not in _MILD)
"""What explains that a daemon does not run at all."""


@check(
    "services.common-files",
    step=Step.SERVICES,
    asks="Can every account use the system's directories and tables of names?",
    roles=BOTH,
    explained_by=(),
)
def common_files(commons: Commons) -> Iterator[Verdict]:
    """Root can, and sees nothing wrong: a copy under umask 077, or `chmod -R`. Source: hier(7), passwd(5), null(4), nsswitch.conf(5)."""
    for each in commons.unasked:
        yield _passed_over(each)
    for common, info in commons.broken:
        yield _broken(common, info)
    for path, fails in commons.gone:
        yield critical(
            f"{path} is not there: {fails}",
            subject=path,
            evidence=(Evidence(f"stat {path}", "No such file or directory"),),
            fixes=_put_back(path),
        )
    if not commons.broken and not commons.unasked and not commons.gone:
        yield ok(
            f"{plural(len(commons.found), 'path')} that every account needs are open",
            evidence=(Evidence("stat", ", ".join(each.path for each, _ in commons.found)),),
        )


def _put_back(path: str) -> tuple[Fix, ...]:
    """The tools that change accounts leave the last version of a table beside it, with a hyphen."""
    if path not in ("/etc/passwd", "/etc/group", "/etc/shadow"):
        return ()
    return (
        Fix(
            id="services.common-files/put-back",
            title=f"Put {path} back from a backup, or from {path}-, which vipw(8) and its like leave behind",
            why="Which accounts and passwords are right cannot be told from here.",
            ask=f"ls -l {path}*\ncp -p {path}- {path}",
        ),
    )


def _passed_over(each: Unasked) -> Verdict:
    """The file and the system disagree on root itself, which no other service of names has."""
    database, _, services = each.text.partition(":")
    fix = Fix(
        id="services.common-files/ask-the-files",
        title=f"Let the system ask {each.file} first",
        commands=(
            edits.replace_line(_SWITCH, each.number, f"{database}: files {services.strip()}"),
            ("systemctl", "restart", "postfix", "dovecot"),
        ),
        changes=(_SWITCH,),
        verify=("services.common-files",),
        automatic=True,
    )
    return critical(
        f"The system finds none of the names in {each.file}: `{' '.join(each.text.split())}` in {_SWITCH} does not ask the files",
        detail="Postfix and Dovecot know neither their own accounts nor the users, and refuse configurations that name one.",
        subject=_SWITCH,
        evidence=(
            Evidence(_SWITCH, f"{each.number}: {each.text}"),
            Evidence(f"getent {database.strip()}", "no line for root"),
        ),
        fixes=(fix,),
    )


def _broken(common: Common, info: FileInfo) -> Verdict:
    other = info.kind is not common.kind
    said = f"{info.kind}, mode {info.mode:04o}, {info.owner}:{info.group}"
    return (warning if common.path in _MILD else critical)(
        f"{common.path} is a {info.kind}, not a {common.kind}"
        if other
        else f"{common.path} is closed to other accounts (mode {info.mode:04o}): {common.fails}",
        detail="Tests as root show nothing; Postfix and Dovecot work as accounts of their own.",
        subject=common.path,
        evidence=(Evidence(f"stat {common.path}", said),),
        fixes=() if other else (_open(common, info),),
    )


def _open(common: Common, info: FileInfo) -> Fix:
    return Fix(
        id="services.common-files/mode",
        title=f"Give {common.path} the mode that every system has",
        commands=(("chmod", f"{common.mode:04o}", common.path),),
        undo=(("chmod", f"{info.mode:04o}", common.path),),
        verify=("services.common-files",),
        automatic=True,
    )
