"""Step 4, beside Postfix: do its milters, policy services and content filters answer?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.dialogue_text import means
from maildiag.facts.filters import Filters, Helper, Kind, Reached
from maildiag.facts.smtp import OwnDialogues, Talk
from maildiag.model import Confidence, Evidence, Fix, Gap, GapReason, Risk, Status, Step, Verdict, ok, skipped, unknown
from maildiag.probes import Connect, Protocol, Transcript
from maildiag.registry import BOTH, check

_EDGES = ("services.backend", "firewall.inbound", "firewall.outbound", "dns.hosts-file", "services.disk")


@check(
    "connectivity.milter",
    step=Step.CONNECTIVITY,
    asks="Do the milters answer that Postfix asks?",
    roles=BOTH,
    explained_by=_EDGES,
)
def milter(filters: Filters) -> Iterator[Verdict]:
    """What a dead milter costs is milter_default_action. Source: postconf(5) smtpd_milters, MILTER_README."""
    yield from _reached(filters, Kind.MILTER, "milter")


@check(
    "connectivity.policy",
    step=Step.CONNECTIVITY,
    asks="Do the policy services and content filters answer that Postfix uses?",
    roles=BOTH,
    explained_by=_EDGES,
)
def policy(filters: Filters, own_dialogues: OwnDialogues | None) -> Iterator[Verdict]:
    """A dead one defers every message. Source: SMTPD_POLICY_README, FILTER_README, SMTPD_PROXY_README."""
    found = [each for each in filters.reached if each.helper.kind is not Kind.MILTER]
    if not found:
        yield skipped("Postfix uses no policy service and no content filter")
    waits = _waits_for_an_answer(own_dialogues)
    for each in found:
        verdict = _judge(each)
        if waits is not None and verdict.status is Status.OK and each.helper.kind is Kind.POLICY:
            verdict = _hangs(each, waits)
        yield verdict


def _waits_for_an_answer(own: OwnDialogues | None) -> Talk | None:
    """A dialogue with this host's own smtpd that stopped where the restrictions are looked at."""
    for talk in own.of(Protocol.SMTP) if own else ():
        told = talk.transcript
        if isinstance(told, Transcript) and told.silent and told.failed in ("mail", "rcpt"):
            return talk
    return None


def _hangs(each: Reached, talk: Talk) -> Verdict:
    """A policy service is asked nothing by us: it may keep what it is asked (greylisting)."""
    assert isinstance(talk.transcript, Transcript)
    helper = each.helper
    phase = talk.transcript.failed.upper()
    return Verdict(
        status=Status.CRITICAL,
        title=f"The {helper.kind} {helper.text} takes connections, and smtpd gets no answer to {phase}, which it has to ask it about",
        detail="It hangs, or what it asks itself does not answer. smtpd waits 100 seconds (smtpd_policy_service_timeout), then answers 451 4.3.5.",
        subject=helper.text,
        evidence=(
            Evidence("postconf -x", f"{helper.setting}: check_policy_service {helper.text}"),
            Evidence(talk.probe.source, f"{phase}: {talk.transcript.error}"),
        ),
        explained_by=(*_EDGES, "services.lookup-tables", "dns.resolver"),
        confidence=Confidence.LIKELY,
    )


def _reached(filters: Filters, kind: Kind, word: str) -> Iterator[Verdict]:
    found = [each for each in filters.reached if each.helper.kind is kind]
    if not found:
        yield skipped(f"Postfix uses no {word}")
    for each in found:
        yield _judge(each)


def _judge(each: Reached) -> Verdict:
    helper, answer = each.helper, each.answer
    line = Evidence("postconf -x", f"{helper.setting} = {helper.text}")
    if isinstance(answer, Gap):
        if answer.reason is GapReason.DENIED:
            return unknown(
                f"The {helper.kind} {helper.text} may not be tried by us", subject=helper.text, detail=str(answer)
            )
        return unknown(f"The {helper.kind} {helper.text} could not be tried", subject=helper.text, detail=str(answer))
    outcome = answer.connect if isinstance(answer, Transcript) else answer.outcome
    if outcome is Connect.DENIED:
        title = f"The {helper.kind} {helper.text} may not be tried by us"
        return unknown(title, detail="needs root", subject=helper.text, evidence=(line,))
    greeted = not isinstance(answer, Transcript) or any(answer.exchange(each) for each in ("banner", "negotiate"))
    if outcome is Connect.CONNECTED and greeted:
        return ok(f"The {helper.kind} {helper.text} answers", subject=helper.text, evidence=(line,))
    said = Evidence(each.probe.source, f"{outcome}: {answer.error}" if answer.error else str(outcome))
    silent = isinstance(answer, Transcript) and outcome is Connect.CONNECTED
    why = answer.error or "no greeting" if silent else str(outcome)
    return Verdict(
        status=_weight(helper),
        title=f"The {helper.kind} {helper.text} does not answer: {why}",
        detail=f"{'It takes connections and hangs' if silent else means(outcome).capitalize()}. {_effect(helper)}",
        subject=helper.text,
        data={"outcome": outcome.value, "setting": helper.setting},
        evidence=(line, said),
        fixes=_without(helper),
    )


def _weight(helper: Helper) -> Status:
    """A milter whose default action is `accept` lets mail pass without it."""
    return Status.WARNING if helper.kind is Kind.MILTER and helper.action == "accept" else Status.CRITICAL


def _effect(helper: Helper) -> str:
    if helper.kind is Kind.MILTER:
        return {
            "accept": "milter_default_action = accept: mail flows without it, unsigned or unchecked.",
            "quarantine": "milter_default_action = quarantine: every message is held.",
            "reject": "milter_default_action = reject: every message is refused for good.",
        }.get(helper.action, "milter_default_action = tempfail: every message is answered 451 4.7.1.")
    if helper.kind is Kind.POLICY:
        return "Every recipient is answered 451 4.3.5 until it answers."
    return "Every message is deferred until it answers."


def _without(helper: Helper) -> tuple[Fix, ...]:
    """Mail can go on without a milter meanwhile; starting the service itself is the cure."""
    if helper.kind is not Kind.MILTER or helper.action == "accept":
        return ()
    return (
        Fix(
            id="connectivity.milter/accept-meanwhile",
            title="Let mail pass without the milter until it runs again",
            commands=(("postconf", "-e", "milter_default_action = accept"), ("postfix", "reload")),
            risk=Risk.MEDIUM,
            changes=("/etc/postfix/main.cf",),
            guards=(("postfix", "check"),),
            verify=("connectivity.milter",),
            why="Mail is then neither signed nor checked by it; start the service first where that is possible.",
        ),
    )
