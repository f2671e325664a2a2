"""Step 6, inside the host: does SELinux or AppArmor forbid a mail program what it needs?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.facts.local_time import LocalTime
from maildiag.facts.mail_log import MailLog
from maildiag.facts.services import Services
from maildiag.logs.summary import Group
from maildiag.model import Evidence, Fix, Risk, Step, Verdict, critical, notice, ok
from maildiag.registry import check
from maildiag.text import plural
from maildiag_checks._current import is_current, origin

_MAIL = [
    "postfix",
    "smtp",
    "smtpd",
    "cleanup",
    "pickup",
    "qmgr",
    "local",
    "virtual",
    "master",
    "postdrop",
    "sendmail",
    "postqueue",
    "proxymap",
    "tlsmgr",
    "bounce",
    "dovecot",
    "imap",
    "pop3",
    "lmtp",
    "auth",
    "dovecot-lda",
    "deliver",
    "anvil",
    "config",
    "opendkim",
    "rspamd",
    "milter",
    "httpd",
    "php",
]


@check(
    "firewall.mac",
    step=Step.FIREWALL,
    asks="Do SELinux and AppArmor leave the mail programs alone?",
    explained_by=(),
)
def mac(log: MailLog, services: Services | None, time: LocalTime) -> Iterator[Verdict]:
    """Denials in the kernel's log that name a mail program. Source: selinux(8), apparmor(7), audit2why(8)."""
    found = [each for each in log.summary.of("kernel.selinux", "kernel.apparmor") if _concerns_mail(each)]
    current = [each for each in found if is_current([each], log, time.now, services)]
    for each in current:
        yield _denied(each, log)
    if found and not current:
        yield notice("A mail program was denied something, but not since it was last started")
    elif not found:
        yield ok("No mail program was denied anything")


def _concerns_mail(group: Group) -> bool:
    named = " ".join((group.fields.get("program", ""), group.fields.get("profile", ""), group.fields.get("source", "")))
    return any(word in named.lower() for word in _MAIL)


def _denied(group: Group, log: MailLog) -> Verdict:
    selinux = group.meaning == "kernel.selinux"
    name, fields = "SELinux" if selinux else "AppArmor", group.fields
    program = fields.get("program", "") or fields.get("profile", "") or "a mail program"
    what = f"{fields.get('operation', 'something')} {fields.get('name', '')}".strip()
    return critical(
        f"{name} forbids {program}: {what}",
        detail=f"{plural(group.count, 'denial')} in the log. Ordinary permissions may look right all the same.",
        subject=f"{program} {fields.get('name', '')}".strip(),
        data={"program": program, "target": fields.get("target", "")},
        evidence=(Evidence(origin(group, log), "\n".join(group.samples)),),
        fixes=_fixes(group) if selinux else (),
    )


def _fixes(group: Group) -> tuple[Fix, ...]:
    """Wrong labels are the usual cause; only a path can be given its label back."""
    path = group.fields.get("name", "")
    if not path.startswith("/"):
        return ()
    return (
        Fix(
            id="firewall.mac/restorecon",
            title=f"Give {path} the label that the policy has for it",
            commands=(("restorecon", "-Rv", path),),
            risk=Risk.LOW,
            verify=("firewall.mac",),
            why="Never switch SELinux off for this.",
        ),
    )
