"""A small, made-up set of checks for the screens' tests: one cause with symptoms, one unknown, hostile text everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.model import Evidence, Fix, Gap, HostInfo, HostRole, Role, Step, Verdict, critical, notice, ok, unknown
from maildiag.registry import check, gatherer

HOSTILE = (
    "\x1b]52;c;ZXZpbA==\x1b\\ [@click=app.leave]press[/] [/] [link=https://evil.example]bank[/link] \u202eevil\u202c "
    "\x9b2J <a@b> [size=10240000] \udcff \x00 [b]"
)
START = Fix(
    id="services.sample/start",
    title="Start Postfix",
    commands=(("systemctl", "start", "postfix"),),
    undo=(("systemctl", "stop", "postfix"),),
    verify=("services.sample",),
    why=f"It is stopped. {HOSTILE}",
    automatic=True,
)


@gatherer
def role() -> HostRole:
    """Always a mail server."""
    return HostRole(Role.MAIL_SERVER, "made up")


@gatherer
def host() -> HostInfo:
    """A host with a hostile name."""
    return HostInfo(
        name=f"mail {HOSTILE}",
        role="mail-server",
        role_reason="made up",
        os="Debian",
        postfix="3.7.11",
        dovecot="",
        firewall="",
        log_source="",
        privileged=True,
        source="test",
    )


@check("services.sample", step=Step.SERVICES, asks="Does Postfix run?")
def stopped() -> Iterator[Verdict]:
    """The cause."""
    shown = (Evidence("systemctl show postfix", f"ActiveState=inactive\n{HOSTILE}"),)
    yield critical(
        f"Postfix is stopped {HOSTILE}", detail=f"Nobody can send mail. {HOSTILE}", evidence=shown, fixes=(START,)
    )


@check("connectivity.sample", step=Step.CONNECTIVITY, asks="Does port 25 answer?", explained_by=("services.sample",))
def refused() -> Iterator[Verdict]:
    """A symptom."""
    yield critical("Port 25 refuses", subject=f"port 25 {HOSTILE}", evidence=(Evidence("smtp dialogue", "refused"),))


@check("dns.sample", step=Step.DNS, asks="Do names resolve?")
def names() -> Iterator[Verdict]:
    """Fine, and something worth knowing."""
    yield ok("Names resolve")
    yield notice(f"No DMARC record {HOSTILE}", subject="dmarc")


@check("firewall.sample", step=Step.FIREWALL, asks="Are the ports open?")
def firewall() -> Iterator[Verdict]:
    """Could not look."""
    yield unknown("The firewall's rules need root")


__all__ = ["HOSTILE", "START", "Gap"]
