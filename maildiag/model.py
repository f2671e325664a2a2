"""The words of maildiag as values: statuses, steps, evidence, gaps, verdicts, findings, causes and fixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypedDict, TypeGuard, TypeVar, Unpack

from maildiag.records import dataclass

T = TypeVar("T", covariant=True)

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


class Status(StrEnum):
    """How one question was answered; `docs/json.md` says what each promises."""

    OK = "ok"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"

    @property
    def weight(self) -> int:
        """The greater, the more it matters to the reader."""
        return _WEIGHTS[self]

    @property
    def failing(self) -> bool:
        """True for what needs a cure: warning and critical."""
        return self in (Status.WARNING, Status.CRITICAL)


_WEIGHTS = {
    Status.SKIPPED: 0,
    Status.OK: 1,
    Status.NOTICE: 2,
    Status.UNKNOWN: 3,
    Status.WARNING: 4,
    Status.CRITICAL: 5,
}


class Role(StrEnum):
    """What the host is for."""

    MAIL_SERVER = "mail-server"
    RELAY_CLIENT = "relay-client"


class Step(StrEnum):
    """The seven steps of the documented workflow, in order."""

    SERVICES = "services"
    QUEUE = "queue"
    LOGS = "logs"
    CONNECTIVITY = "connectivity"
    DNS = "dns"
    FIREWALL = "firewall"
    AUTHENTICATION = "authentication"

    @property
    def number(self) -> int:
        """1 to 7."""
        return _NUMBERS[self]


_NUMBERS = {step: number for number, step in enumerate(Step, 1)}


class Confidence(StrEnum):
    """How sure a cause is; the finding's words say why."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Risk(StrEnum):
    """What a fix can cost when it is wrong."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class GapReason(StrEnum):
    """Why a probe has no answer."""

    ABSENT = "absent"
    DENIED = "denied"
    TIMEOUT = "timeout"
    FAILED = "failed"
    NOT_RECORDED = "not-recorded"


@dataclass(frozen=True, slots=True)
class Gap:
    """No answer: why, and what would get one."""

    reason: GapReason
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.detail} ({self.remedy})" if self.remedy else self.detail


def is_absent(answer: object) -> TypeGuard[Gap]:
    """True for a gap that says: what was asked for is not there."""
    return isinstance(answer, Gap) and answer.reason is GapReason.ABSENT


def is_unseen(answer: object) -> TypeGuard[Gap]:
    """True for a gap that leaves open whether it is there: we may not look, or could not."""
    return isinstance(answer, Gap) and answer.reason is not GapReason.ABSENT


class Missing(Exception):  # noqa: N818 (it is raised to say "could not look", which is no error)
    """Raised inside a gatherer when a probe it cannot do without has no answer."""

    def __init__(self, gap: Gap) -> None:
        super().__init__(str(gap))
        self.gap = gap


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What the host answered to one probe, when (UTC), and how many seconds it took."""

    value: T
    at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """The lines that show a finding, with their source (the command, file or dialogue) and the time they were read."""

    source: str
    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """The commands that cure a cause, as data.

    `commands` and `undo` are argument vectors, never shell strings. `changes` lists every file that the commands may
    touch: it is saved before the first command and put back by an undo. `verify` lists finding ids whose checks must
    come out clean. A fix without commands tells whom to ask; `ask` is the text to send. A command may hold a secret:
    `maildiag.typed` shows it without.
    """

    id: str
    title: str
    commands: tuple[tuple[str, ...], ...] = ()
    risk: Risk = Risk.LOW
    needs_root: bool = True
    automatic: bool = False
    undo: tuple[tuple[str, ...], ...] = ()
    verify: tuple[str, ...] = ()
    why: str = ""
    changes: tuple[str, ...] = ()
    guards: tuple[tuple[str, ...], ...] = ()
    disrupts: str = ""
    ask: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check says: one answer about one subject.

    `explained_by` narrows the check's own edges when the evidence itself names the cause ("id" or "id@subject",
    nearest first); an empty tuple says that nothing else explains it. `id` is the check's unless a check answers
    several questions.
    """

    status: Status
    title: str
    detail: str = ""
    subject: str = ""
    data: Mapping[str, JsonValue] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    fixes: tuple[Fix, ...] = ()
    explained_by: tuple[str, ...] | None = None
    confidence: Confidence = Confidence.CERTAIN
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A verdict with its place in the run; all its text is safe to show."""

    id: str
    check: str
    step: Step
    subject: str
    status: Status
    title: str
    detail: str
    data: Mapping[str, JsonValue]
    evidence: tuple[Evidence, ...]
    fixes: tuple[Fix, ...]
    explained_by: tuple[str, ...]
    confidence: Confidence
    runbook: str
    duration_ms: int
    gap: Gap | None = None
    acknowledged: str = ""

    @property
    def key(self) -> str:
        """`id` or `id@subject`: what names this finding within a run."""
        return f"{self.id}@{self.subject}" if self.subject else self.id


@dataclass(frozen=True, slots=True)
class Cause:
    """A failing finding that no other finding explains, with the keys of all that hang beneath it."""

    finding: Finding
    explains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The ranked causes, the chain of every explained finding (key to the keys that explain it), and the headline."""

    headline: str
    causes: tuple[Cause, ...]
    caused_by: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class HostRole:
    """The host's role and how it was decided."""

    role: Role
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInfo:
    """What the report says of the host itself; an empty string is "not there" or "could not be told".

    `seen` is what the host's own clock said when it was looked at: for a bundle, when it was recorded.
    """

    name: str
    role: str
    role_reason: str
    os: str
    postfix: str
    dovecot: str
    firewall: str
    log_source: str
    privileged: bool
    source: str
    seen: datetime | None = None


class _More(TypedDict, total=False):
    detail: str
    subject: str
    data: Mapping[str, JsonValue]
    evidence: tuple[Evidence, ...]
    fixes: tuple[Fix, ...]
    explained_by: tuple[str, ...] | None
    confidence: Confidence
    id: str


def ok(title: str, **more: Unpack[_More]) -> Verdict:
    """A verdict: checked, and fine. Keywords as for `Verdict`."""
    return Verdict(status=Status.OK, title=title, **more)


def notice(title: str, **more: Unpack[_More]) -> Verdict:
    """A verdict: true and worth knowing; nothing is broken."""
    return Verdict(status=Status.NOTICE, title=title, **more)


def warning(title: str, **more: Unpack[_More]) -> Verdict:
    """A verdict: mail still flows, but something is degraded, unsafe, or about to break."""
    return Verdict(status=Status.WARNING, title=title, **more)


def critical(title: str, **more: Unpack[_More]) -> Verdict:
    """A verdict: mail or logins fail now."""
    return Verdict(status=Status.CRITICAL, title=title, **more)


def unknown(title: str, **more: Unpack[_More]) -> Verdict:
    """A verdict: could not be determined; say why and what would let it be."""
    return Verdict(status=Status.UNKNOWN, title=title, **more)


def skipped(title: str, **more: Unpack[_More]) -> Verdict:
    """A verdict: does not apply here; say why."""
    return Verdict(status=Status.SKIPPED, title=title, **more)
