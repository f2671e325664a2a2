"""Step 4, towards the world: can this host reach the servers that its mail waits for?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.dialogue_text import lines, means
from maildiag.facts.mail_log import MailLog
from maildiag.facts.outbound import Outbound, Target
from maildiag.facts.relay import Relay
from maildiag.facts.routes import Link, Routes
from maildiag.model import Confidence, Evidence, Fix, Risk, Step, Verdict, critical, notice, ok, skipped, warning
from maildiag.probes import Connect, Transcript
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks._queue_reasons import leaves_meanwhile

_LEAST_MTU, _FOR_EVERY_HOST = 1280, 576
_UNREACHED = ("connect.timeout", "connect.refused", "connect.no-route", "connect.unreachable", "connect.prohibited")


@check(
    "connectivity.outbound",
    step=Step.CONNECTIVITY,
    asks="Can this host reach the mail servers that its mail waits for?",
    roles=SERVER,
    explained_by=("firewall.outbound", "firewall.inbound", "connectivity.route", "dns.resolver", "dns.chroot"),
)
def outbound(found: Outbound, relay: Relay | None, log: MailLog | None) -> Iterator[Verdict]:
    """Only servers that the queue names are tried, so that all of them may be gone: each is its own fault, as long as mail
    leaves for others or they fail in different ways. Source: smtp(8).
    """
    if relay is not None and relay.hop is not None:
        yield skipped("Mail goes through the relayhost")
        return
    if not found.targets:
        yield ok("No mail waits for a server that could not be connected to")
        return
    failing = [each for each in found.targets if not _reached(each)]
    shown = tuple(Evidence(each.probe.source, _told(each)) for each in found.targets)
    if not failing:
        yield ok("Every server that mail waits for can be reached again; the next attempt delivers", evidence=shown)
    elif len(failing) == len(found.targets) > 1 and len({_outcome(each) for each in failing}) == 1:
        yield _none(found, shown, leaves_meanwhile(log, *_UNREACHED))
    else:
        yield notice(
            f"{failing[0].host} cannot be reached: {_outcome(failing[0])}",
            detail=f"{means(_connect(failing[0])).capitalize()}. A single server that does not answer is mostly its own fault.",
            subject="25",
            evidence=shown,
        )


def _none(found: Outbound, shown: tuple[Evidence, ...], leaves: bool) -> Verdict:
    """Three that fail alike, while nothing leaves, are no chance."""
    many = len(found.targets) >= 3
    title = f"None of {len(found.targets)} other mail servers can be reached on port 25: {_outcome(found.targets[0])}"
    if leaves:
        detail = "Mail leaves for other servers meanwhile: these are gone, or their names are misspelt."
        return notice(title, detail=detail, subject="25", evidence=shown)
    return (critical if many else warning)(
        title,
        detail="Independent servers seldom fail together: the way out is blocked, by a firewall on the way, the provider,"
        f" or a lost route. {plural(found.waiting, 'message')} wait for them.",
        subject="25",
        evidence=shown,
        confidence=Confidence.LIKELY if many else Confidence.POSSIBLE,
    )


def _reached(target: Target) -> bool:
    return isinstance(target.transcript, Transcript) and target.transcript.exchange("banner") is not None


def _connect(target: Target) -> Connect:
    return target.transcript.connect if isinstance(target.transcript, Transcript) else Connect.FAILED


def _outcome(target: Target) -> str:
    outcome = _connect(target)
    return "no greeting" if outcome is Connect.CONNECTED else outcome.value


def _told(target: Target) -> str:
    return lines(target.transcript) if isinstance(target.transcript, Transcript) else str(target.transcript)


@check(
    "connectivity.mtu",
    step=Step.CONNECTIVITY,
    asks="Do large messages pass as small ones do?",
    explained_by=("connectivity.route",),
)
def mtu(routes: Routes, log: MailLog | None) -> Iterator[Verdict]:
    """Small packets pass and large ones vanish where ICMP is filtered. Source: RFC 2923 section 2.1, RFC 8200 section 5."""
    small = [each for each in routes.links if each.up and not each.loopback and 0 < each.mtu < _LEAST_MTU]
    for each in small:
        yield (critical if each.mtu < _FOR_EVERY_HOST else warning)(
            f"{each.name} has an MTU of {each.mtu} bytes only",
            detail="Less than the 576 bytes that every host has to take (RFC 791 section 3.1), and than an answer of the DNS."
            if each.mtu < _FOR_EVERY_HOST
            else "",
            subject=each.name,
            evidence=(Evidence("ip -j addr", f"{each.name}: mtu {each.mtu}"),),
            fixes=(_usual_mtu(each),),
        )
    stuck = _stuck(log) if log else None
    if stuck is not None:
        yield stuck
    if not small and stuck is None:
        yield ok("No interface has an unusual MTU, and no message is stuck in the middle")


def _usual_mtu(link: Link) -> Fix:
    return Fix(
        id="connectivity.mtu/usual",
        title=f"Set the MTU of {link.name} to Ethernet's 1500",
        commands=(("ip", "link", "set", "dev", link.name, "mtu", "1500"),),
        undo=(("ip", "link", "set", "dev", link.name, "mtu", str(link.mtu)),),
        risk=Risk.MEDIUM,
        verify=("connectivity.mtu",),
        why="A tunnel has less. The network configuration sets it again at the next boot: look there for who did.",
    )


def _stuck(log: MailLog) -> Verdict | None:
    """Deliveries that broke off while the message itself was sent, none having got through since."""
    success = log.summary.last_success
    for group in log.summary.reasons:
        over = success is not None and group.last is not None and success >= group.last
        if group.reason.meaning == "connect.timeout-data" and group.status == "deferred" and not over:
            return warning(
                "Deliveries time out while the message itself is sent, not before",
                detail="Large packets vanish on the way (path MTU), or the other side's filter is too slow."
                " `ping -M do -s 1472 HOST` tells: without an answer, while `ping HOST` has one, it is the path MTU.",
                subject="path",
                evidence=(Evidence(log.source, "\n".join(group.samples[-2:])),),
                confidence=Confidence.POSSIBLE,
            )
    return None
