"""Which finding is the cause, which hang beneath it, and in which order the causes are told."""

from __future__ import annotations

from maildiag.causes import diagnose
from maildiag.model import Confidence, Finding, Fix, Gap, GapReason, Status, Step


def finding(
    id: str,
    status: Status = Status.CRITICAL,
    *,
    subject: str = "",
    by: tuple[str, ...] = (),
    confidence: Confidence = Confidence.CERTAIN,
    fixes: tuple[Fix, ...] = (),
    acknowledged: str = "",
) -> Finding:
    return Finding(
        id=id,
        check=id,
        step=Step(id.partition(".")[0]),
        subject=subject,
        status=status,
        title=f"{id} is broken",
        detail="",
        data={},
        evidence=(),
        fixes=fixes,
        explained_by=by,
        confidence=confidence,
        runbook=id,
        duration_ms=0,
        gap=Gap(GapReason.DENIED, "no") if status is Status.UNKNOWN else None,
        acknowledged=acknowledged,
    )


def causes(*findings: Finding) -> list[str]:
    return [each.finding.key for each in diagnose(findings).causes]


def test_a_chain_of_failures_has_one_cause_and_all_hang_beneath_it() -> None:
    told = diagnose(
        [
            finding("queue.backlog", by=("connectivity.smtp",)),
            finding("connectivity.smtp", by=("services.postfix",)),
            finding("services.postfix", by=("services.main-cf",)),
            finding("services.main-cf", subject="main.cf:inet_interfaces"),
        ]
    )
    assert [each.finding.id for each in told.causes] == ["services.main-cf"]
    assert set(told.causes[0].explains) == {"queue.backlog", "connectivity.smtp", "services.postfix"}
    assert "explains 3 other findings" in told.headline


def test_a_finding_whose_explanation_is_fine_is_a_cause_itself() -> None:
    assert causes(finding("queue.backlog", by=("services.postfix",)), finding("services.postfix", Status.OK)) == [
        "queue.backlog"
    ]


def test_the_nearest_failing_explanation_wins() -> None:
    told = diagnose(
        [
            finding("connectivity.smtp", by=("services.postfix", "firewall.inbound")),
            finding("services.postfix"),
            finding("firewall.inbound"),
        ]
    )
    assert told.caused_by["connectivity.smtp"] == ("services.postfix",)


def test_a_subject_narrows_an_edge() -> None:
    told = diagnose(
        [
            finding("queue.deferred", by=("services.lookup-tables@hash:/etc/aliases",)),
            finding("services.lookup-tables", subject="hash:/etc/aliases"),
            finding("services.lookup-tables", subject="hash:/etc/postfix/virtual"),
        ]
    )
    assert told.caused_by == {"queue.deferred": ("services.lookup-tables@hash:/etc/aliases",)}
    assert len(told.causes) == 2


def test_narrowed_edges_that_close_a_circle_lose_nothing() -> None:
    told = diagnose(
        [finding("queue.deferred", by=("logs.problems",)), finding("logs.problems", by=("queue.deferred",))]
    )
    assert len(told.causes) == 1
    assert len(told.causes[0].explains) == 1


def test_critical_comes_before_warning_and_certain_before_possible() -> None:
    assert causes(
        finding("dns.ptr", Status.WARNING),
        finding("logs.unclassified", confidence=Confidence.POSSIBLE),
        finding("services.dovecot"),
    ) == ["services.dovecot", "logs.unclassified", "dns.ptr"]


def test_two_independent_faults_are_two_causes() -> None:
    assert causes(finding("services.dovecot"), finding("firewall.outbound")) == [
        "services.dovecot",
        "firewall.outbound",
    ]


def test_what_could_not_be_told_hangs_beneath_a_cause_but_is_none() -> None:
    told = diagnose([finding("queue.backlog", Status.UNKNOWN, by=("services.main-cf",)), finding("services.main-cf")])
    assert [each.finding.id for each in told.causes] == ["services.main-cf"]
    assert told.caused_by["queue.backlog"] == ("services.main-cf",)


def test_an_acknowledged_finding_is_no_cause() -> None:
    assert causes(finding("dns.ptr", Status.WARNING, acknowledged="ticket 4711")) == []


def test_the_headline_names_the_cure() -> None:
    fix = Fix(id="services.postfix/start", title="Start Postfix", commands=(("systemctl", "start", "postfix"),))
    told = diagnose([finding("services.postfix", fixes=(fix,))])
    assert told.headline == "services.postfix is broken; cure: Start Postfix (systemctl start postfix)."


def test_missing_answers_are_told_where_nothing_is_wrong() -> None:
    assert "1 question could not be answered" in diagnose([finding("queue.backlog", Status.UNKNOWN)]).headline
    assert diagnose([finding("queue.backlog", Status.OK)]).headline == "Nothing is wrong: 1 finding fine."
