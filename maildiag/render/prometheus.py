"""A page for node_exporter's textfile collector: few series, no time stamps, no addresses or queue ids as labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from maildiag.indicators import indicators
from maildiag.model import Status, Step
from maildiag.report import Report, StepResult, exit_status

Sample = tuple[Mapping[str, str], float]


def prometheus(report: Report) -> str:
    """The exposition format 0.0.4. A status is told as the exit status is: 0 fine, 1 warning, 2 critical, 3 unknown."""
    host = report.host
    about = {"version": report.version, "role": host.role, "postfix": host.postfix, "dovecot": host.dovecot}
    lines = [
        *_family("info", "Which maildiag looked at which software.", [(about, 1)]),
        *_family("status", "Worst status: 0 fine, 1 warning, 2 critical, 3 unknown.", [({}, _code(report.status))]),
        *_family("step_status", "Worst status of a step of the workflow.", map(_step, report.steps)),
        *_family("findings", "Findings by step and status.", _counts(report)),
        *_family("check_status", "Worst status of a check.", _checks(report)),
        *_family("causes", "Ranked causes by check.", _causes(report)),
        *_family("last_run_timestamp_seconds", "When the run started.", [({}, report.started.timestamp())]),
        *_family("run_duration_seconds", "How long the run took.", [({}, report.duration_s)]),
        *_family("run_complete", "1 where every check was answered.", [({}, float(report.complete))]),
    ]
    for name, value in indicators(report).items():
        lines += _family(name, f"The indicator {name.replace('_', ' ')}.", [({}, value)])
    return "\n".join(lines) + "\n"


def _family(name: str, help: str, samples: Iterable[Sample]) -> list[str]:
    told = [f"maildiag_{name}{_labels(labels)} {value:.15g}" for labels, value in samples]
    return [f"# HELP maildiag_{name} {help}", f"# TYPE maildiag_{name} gauge", *told] if told else []


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{_value(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _value(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _code(status: Status) -> float:
    return float(exit_status(status))


def _step(result: StepResult) -> Sample:
    return {"step": result.step}, _code(result.status)


def _counts(report: Report) -> Iterable[Sample]:
    for step in Step:
        for status in Status:
            count = sum(each.step is step and each.status is status for each in report.findings)
            yield {"step": step, "status": status}, count


def _checks(report: Report) -> Iterable[Sample]:
    worst: dict[tuple[str, str], Status] = {}
    for each in report.findings:
        if each.status is not Status.SKIPPED and not each.acknowledged:
            key = (each.check, each.step.value)
            worst[key] = max(worst.get(key, Status.OK), each.status, key=lambda one: one.weight)
    for (check, step), status in worst.items():
        yield {"check": check, "step": step}, _code(status)


def _causes(report: Report) -> Iterable[Sample]:
    counts: dict[tuple[str, str], int] = {}
    for cause in report.diagnosis.causes:
        key = (cause.finding.check, cause.finding.status.value)
        counts[key] = counts.get(key, 0) + 1
    for (check, status), count in counts.items():
        yield {"check": check, "status": status}, count
