"""What in PAM, or around it, refuses every login of Dovecot, and what puts it right."""

from __future__ import annotations

from maildiag.access import shown
from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.edits import replace_line
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_log import MailLog
from maildiag.facts.passdbs import PamService
from maildiag.model import Evidence, Fix, Gap, Risk, Verdict, critical
from maildiag.probes import FileInfo
from maildiag_checks._sockets import GUARDS, RESTART

PASSDB = "authentication.passdb"


def absent_include(service: PamService, path: str) -> Verdict:
    """pam.d(5): a file that cannot be included makes the whole service refuse."""
    name, near = service.absent[0]
    found = numbered(service, (name,))
    fixes: tuple[Fix, ...] = ()
    if near and found:
        fixes = (
            Fix(
                id=f"{PASSDB}/pam-include",
                title=f"Include {near}",
                commands=tuple(replace_line(path, number, line.replace(name, near)) for number, line in found),
                automatic=True,
                changes=(path,),
                verify=(PASSDB,),
            ),
        )
    return critical(
        f"{path} includes {name}, which does not exist: PAM refuses every login",
        detail=f"Nearest: {near}. " * bool(near) + "To the user it looks like a wrong password.",
        subject=path,
        evidence=(
            Evidence(path, lines_with(service, (name,))),
            Evidence(f"/etc/pam.d/{name}", "No such file or directory"),
        ),
        fixes=fixes,
    )


def odd_control(service: PamService, path: str) -> Verdict:
    """pam.d(5): a control that PAM does not know counts as a module that fails."""
    line, near = service.odd[0]
    word = line.split()[1]
    found = numbered(service, (line,))
    return critical(
        f"{path}{f':{found[0][0]}' if found else ''}: {word} is no control of PAM: every login is refused",
        detail=f"{near} was meant? " * bool(near) + "To the user it looks like a wrong password.",
        subject=path,
        evidence=(Evidence(path, line),),
        fixes=(
            Fix(
                id=f"{PASSDB}/pam-control",
                title=f"Write {near}",
                commands=tuple(replace_line(path, number, text.replace(word, near, 1)) for number, text in found),
                automatic=True,
                changes=(path,),
                verify=(PASSDB,),
            ),
        )
        if near and found
        else (),
    )


def lost_list(service: PamService, path: str) -> Verdict:
    """pam_listfile(8) refuses whom it cannot look for."""
    return critical(
        f"The list {service.lost[0]} of pam_listfile does not exist: PAM refuses every login",
        detail="To the user it looks like a wrong password. Put the list back, or take the line out.",
        subject=path,
        evidence=(
            Evidence(f"stat {service.lost[0]}", "No such file or directory"),
            Evidence(path, lines_with(service, service.lost) or "pam_listfile.so"),
        ),
    )


def nologin(closed: FileInfo, path: str) -> Verdict:
    """pam_nologin(8): while the file exists, nobody but root gets in."""
    return critical(
        f"{closed.path} exists, and {path} asks pam_nologin: nobody but root can log in",
        detail="shutdown(8) makes the file, or somebody did for a time of maintenance. To the user it looks like a wrong password.",
        subject=closed.path,
        evidence=(Evidence(f"stat {closed.path}", shown(closed)), Evidence(path, "pam_nologin.so")),
        fixes=(
            Fix(
                id=f"{PASSDB}/open-again",
                title=f"Move {closed.path} aside",
                commands=(("mv", closed.path, f"{closed.path}.old"),),
                undo=(("mv", f"{closed.path}.old", closed.path),),
                risk=Risk.MEDIUM,
                changes=(closed.path,),
                verify=(PASSDB,),
                why="Ask first whether the maintenance is over.",
            ),
        ),
    )


def worker_without_shadow(config: DovecotConfig) -> Verdict | None:
    """pam_unix(8) reads /etc/shadow, or asks unix_chkpwd, which answers another account than root about itself alone."""
    worker = ("service", "auth-worker")
    setting = config.source.find("user", worker)
    named = setting.value if setting else ""
    helped = " ".join(config.effective.value(name, worker) for name in ("group", "extra_groups"))
    if setting is None or named in ("", "root", "0") or "shadow" in helped:
        return None
    if not any(each.driver in ("pam", "shadow") for each in config.databases("passdb")):
        return None
    edit = Edit(setting.place)
    return critical(
        f"{setting.place}: the auth worker runs as {named} and not as root: PAM cannot check the password of anybody",
        detail="Only root and the group shadow read /etc/shadow. To the user it looks like a wrong password.",
        subject="auth-worker",
        evidence=(Evidence(setting.place.file, f"{setting.place.line}: {setting.raw}"),),
        fixes=(
            Fix(
                id=f"{PASSDB}/worker-as-root",
                title="Take the line out: the auth worker runs as root, as it is made to with PAM",
                commands=(*editing.commands((edit,)), RESTART),
                automatic=True,
                changes=(setting.place.file,),
                verify=(PASSDB,),
                guards=GUARDS,
            ),
        ),
    )


def auth_without_worker(config: DovecotConfig, log: MailLog | None) -> Verdict | None:
    """The socket of the auth workers belongs to default_internal_user: an auth process of another account cannot ask PAM."""
    setting = config.source.find("user", ("service", "auth"))
    found = [each for each in log.summary.of("dovecot.socket") if not each.over] if log else []
    told = next((each for each in found if each.daemon == "auth" and each.fields.get("socket") == "auth-worker"), None)
    if setting is None or setting.value in ("root", "0") or told is None or "ermission denied" not in told.samples[-1]:
        return None
    edit = Edit(setting.place)
    return critical(
        f"{setting.place}: the auth process runs as {setting.value}, and may not use the socket of its workers: nobody can log in",
        detail="The log says so once for each login; the mail program waits until it gives up.",
        subject="auth",
        evidence=(
            Evidence(setting.place.file, f"{setting.place.line}: {setting.raw.strip()}"),
            Evidence("log", told.samples[-1], told.last),
        ),
        fixes=(
            Fix(
                id=f"{PASSDB}/auth-as-meant",
                title="Take the line out: the auth process runs as default_internal_user",
                commands=(*editing.commands((edit,)), RESTART),
                automatic=True,
                changes=(setting.place.file,),
                verify=(PASSDB,),
                guards=GUARDS,
            ),
        ),
    )


def lines_with(service: PamService, parts: tuple[str, ...]) -> str:
    """The lines of the service's file that have one of these parts."""
    return "\n".join(text for _, text in numbered(service, parts))


def numbered(service: PamService, parts: tuple[str, ...]) -> list[tuple[int, str]]:
    """The same with their numbers, comments left out."""
    if isinstance(service.text, Gap):
        return []
    lines = enumerate(service.text.text.splitlines(), 1)
    return [(number, line) for number, line in lines if line[:1] != "#" and any(each in line for each in parts)]
