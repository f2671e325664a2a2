"""What a window of the log says, grouped for the diagnosis, with trouble that is over told apart from trouble now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from itertools import islice

from maildiag.logs.classify import Problem, classify
from maildiag.logs.events import (
    AuthFailure,
    DaemonStart,
    Delivery,
    Denylisted,
    Discarded,
    Held,
    LoggedIn,
    Notified,
    Reject,
    SaslMessage,
    StartKind,
    event_of,
)
from maildiag.logs.known import Severity
from maildiag.logs.lines import Family, LogLine, parse_line
from maildiag.logs.normal import normalise
from maildiag.logs.reasons import Reason, classify_reason
from maildiag.records import dataclass

MAX_GROUPS = 2000  # distinct problems or reasons kept; more are counted in `overflow`
_AHEAD = timedelta(minutes=10)  # later than now by more than that is the future
MAX_COUNTED = 5000  # distinct users, addresses, clients kept per counter
SAMPLES = 5  # raw lines kept per group: the first two, and the latest


# Dovecot's master counts its limits before it says that it starts.
_OF_THE_START_TO_COME = frozenset({"dovecot.fd-limit", "dovecot.limits"})


@dataclass(frozen=True, slots=True)
class Start:
    """A start, reload or stop of Postfix or Dovecot."""

    family: Family
    kind: StartKind
    when: datetime | None
    host: str
    version: str


@dataclass(frozen=True, slots=True)
class Group:
    """Equal problems: how many, from when to when, and how many since the software was last started or reloaded.

    `fields` are what the latest line captured; `samples` are raw lines, the latest last.
    """

    meaning: str
    severity: Severity
    key: str
    family: Family
    daemon: str
    host: str
    fields: Mapping[str, str]
    count: int
    first: datetime | None
    last: datetime | None
    since_start: int
    samples: tuple[str, ...]

    @property
    def over(self) -> bool:
        """True if none of these was logged after the last start or reload of the software."""
        return self.since_start == 0


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """Equal reasons of deferrals, bounces, expiries, rejects, holds or discards; `clients` counts relays (deliveries) or client addresses (rejects)."""

    status: str
    reason: Reason
    host: str
    count: int
    first: datetime | None
    last: datetime | None
    since_start: int
    clients: Mapping[str, int]
    queue_ids: tuple[str, ...]
    samples: tuple[str, ...]

    @property
    def over(self) -> bool:
        """True if none of these was logged after the last start or reload of Postfix."""
        return self.since_start == 0


@dataclass(frozen=True, slots=True)
class LogSummary:
    """A window of a log. Times are those of the lines; `lines` counts the window, `skipped` what lies before it.

    `last_success` is when a message was last delivered (the news that one was not counts for nothing), `last_elsewhere` when one
    last left for another host.
    """

    lines: int
    skipped: int
    unparsed: int
    unparsed_samples: tuple[str, ...]
    first: datetime | None
    last: datetime | None
    groups: tuple[Group, ...]
    reasons: tuple[ReasonGroup, ...]
    statuses: Mapping[str, int]
    auth_failures_by_user: Mapping[str, int]
    auth_failures_by_address: Mapping[str, int]
    sasl_messages: Mapping[str, int]
    starts: tuple[Start, ...]
    last_success: datetime | None
    overflow: int
    last_elsewhere: datetime | None = None
    refused_logins: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By user and Dovecot's reason, where that is another than a wrong password."""
    mailboxes: Mapping[str, int] = field(default_factory=dict)
    """Recipients whose mail Postfix handed to a mailbox or still tries to, with the number of attempts: addresses (lmtp,
    virtual), and names without a domain (local)."""
    latest: datetime | None = None
    """The time of the line that was written last; `last` is the greatest of all."""
    leap: timedelta = timedelta(0)
    """By how much the time leapt where the lines begin that are later than now; 0 where there is none."""
    at_work: Mapping[str, datetime | None] = field(default_factory=dict)
    """By log tag (`postfix/submission/smtpd`, `dovecot/imap-login`): when it last logged what is no trouble; None where a
    critical line is its last.
    """
    last_login: datetime | None = None
    """When somebody last logged in to Dovecot."""
    denylisted: Mapping[str, str] = field(default_factory=dict)
    """The clients that postscreen met on its list of refused ones since Postfix was started or reloaded, with the last line of each."""

    def was_ahead(self, now: datetime) -> bool:
        """True where the log leapt into the future and came back: the clock was ahead, and is right again. A clock that is
        behind now leaves lines of the future too, but nothing leapt before them.
        """
        if self.last is None or self.latest is None or self.last <= now + _AHEAD or self.latest > now + _AHEAD:
            return False
        return self.leap >= (self.last - now) / 2

    def last_start(self, family: Family) -> Start | None:
        """Return the latest start or reload of `postfix` or `dovecot` in the log."""
        return next((start for start in reversed(self.starts) if start.family == family and start.kind != "stop"), None)

    def of(self, *meanings: str) -> tuple[Group, ...]:
        """Return the groups with one of these meanings; `tls.` stands for every meaning that begins so."""
        return tuple(
            g
            for g in self.groups
            if any(g.meaning == m or (m.endswith(".") and g.meaning.startswith(m)) for m in meanings)
        )


@dataclass(slots=True)
class _Tally:
    """A group while it is being counted."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    since_start: int = 0
    generation: int = -1
    head: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    latest: Problem | Reason | None = None
    clients: Counter[str] = field(default_factory=Counter)
    queue_ids: list[str] = field(default_factory=list)

    def add(self, line: LogLine, generation: int) -> None:
        self.count += 1
        self.since_start = self.since_start + 1 if self.generation == generation else 1
        self.generation = generation
        if line.when is not None:
            self.first = self.first or line.when
            self.last = line.when
        if len(self.head) < 2:
            self.head.append(line.raw[:2000])
        else:
            self.tail = [*self.tail[-(SAMPLES - 3) :], line.raw[:2000]]

    def current(self, generation: int) -> int:
        return self.since_start if self.generation >= generation else 0


_GroupKey = tuple[str, str, Family, str, str]
_ReasonKey = tuple[str, str, str, str]


@dataclass(slots=True)
class _Summary:
    """The state of one pass."""

    now: datetime
    since: datetime | None
    lines: int = 0
    skipped: int = 0
    unparsed: int = 0
    unparsed_samples: list[str] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None
    groups: dict[_GroupKey, _Tally] = field(default_factory=dict)
    reasons: dict[_ReasonKey, _Tally] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    users: Counter[str] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)
    sasl: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    mailboxes: Counter[str] = field(default_factory=Counter)
    latest: datetime | None = None
    leap: timedelta = timedelta(0)
    at_work: dict[str, datetime | None] = field(default_factory=dict)
    denylisted: dict[str, str] = field(default_factory=dict)
    notices: set[str] = field(default_factory=set)
    starts: list[Start] = field(default_factory=list)
    generation: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_success: datetime | None = None
    last_elsewhere: datetime | None = None
    last_login: datetime | None = None
    overflow: int = 0

    def feed(self, raw: str) -> None:
        line = parse_line(raw, self.now)
        if line is None:
            self._not_parsed(raw)
            return
        event = event_of(line)
        if isinstance(event, DaemonStart):
            self._started(line, event)
        if self.since is not None and line.when is not None and line.when < self.since:
            self.skipped += 1
            return
        self.lines += 1
        self._time(line.when)
        problem = classify(line)
        if problem is not None:
            self._problem(line, problem)
        self._work(line, problem)
        self._event(line, event)

    def _work(self, line: LogLine, problem: Problem | None) -> None:
        """A daemon logs ordinary lines before it dies, too: its last words take them back."""
        tag = f"{line.program}/{line.daemon}" if line.family == "dovecot" else line.program
        if problem is not None and problem.severity == "critical":
            when = None
        elif problem is None and line.when is not None:
            when = line.when
        else:
            return
        if tag in self.at_work or len(self.at_work) < MAX_COUNTED:
            self.at_work[tag] = when

    def _not_parsed(self, raw: str) -> None:
        if not raw.strip() or raw.startswith("-- "):  # journalctl's own remarks
            return
        self.unparsed += 1
        if len(self.unparsed_samples) < SAMPLES:
            self.unparsed_samples.append(raw.rstrip("\r\n")[:2000])

    def _time(self, when: datetime | None) -> None:
        if when is not None:
            if self.latest is not None and self.latest <= self.now < when:
                self.leap = when - self.latest
            self.latest = when
            self.first = when if self.first is None else min(self.first, when)
            self.last = when if self.last is None else max(self.last, when)

    def _started(self, line: LogLine, event: DaemonStart) -> None:
        self.starts = [*self.starts[-499:], Start(line.family, event.kind, line.when, line.host, event.version)]
        if line.family == "postfix":
            self.denylisted.clear()
        if event.kind != "stop":
            self.generation[line.family, line.host] += 1

    def _problem(self, line: LogLine, problem: Problem) -> None:
        key = (problem.meaning, problem.key, problem.family, problem.daemon, line.host)
        tally = self._tally(self.groups, key)
        begun = self.generation[problem.family, line.host] + (problem.meaning in _OF_THE_START_TO_COME)
        tally.add(line, begun)
        tally.latest = problem

    def _tally(self, table: dict[_GroupKey, _Tally] | dict[_ReasonKey, _Tally], key: tuple[str, ...]) -> _Tally:
        tallies: dict[tuple[str, ...], _Tally] = table  # type: ignore[assignment]  # both keys are tuples of text
        tally = tallies.get(key)
        if tally is None:
            tally = _Tally()
            if len(tallies) < MAX_GROUPS:
                tallies[key] = tally
            else:
                self.overflow += 1
        return tally

    def _event(self, line: LogLine, event: object) -> None:
        match event:
            case Delivery():
                self._delivery(line, event)
            case Reject():
                status = "reject-warning" if event.only_warning else "rejected"
                self._reason(line, status, classify_reason(event.reason), event.address, event.queue_id)
            case Held():
                self._reason(line, "held", classify_reason(event.reason), "", event.queue_id)
            case Discarded():
                self._reason(line, "discarded", _rule(event.by), event.address, event.queue_id)
            case AuthFailure():
                _count(self.users, event.user, event.attempts)
                _count(self.addresses, event.address, event.attempts)
                if event.why and len(self.refused) < MAX_COUNTED:
                    self.refused[event.user, event.why] += event.attempts
            case Denylisted():
                if event.address in self.denylisted or len(self.denylisted) < MAX_COUNTED:
                    self.denylisted[event.address] = line.raw[:2000]
            case Notified():
                if len(self.notices) < MAX_COUNTED:
                    self.notices.add(event.queue_id)
            case LoggedIn():
                self.last_login = line.when or self.last_login
            case SaslMessage():
                _count(self.sasl, event.user, 1)

    def _delivery(self, line: LogLine, event: Delivery) -> None:
        _count(self.statuses, event.status, 1)
        if line.daemon in _TO_MAILBOXES and event.status in ("sent", "deferred"):
            _count(self.mailboxes, event.to, 1)
        elif line.daemon == "local" and event.status in ("sent", "deferred"):
            _count(self.mailboxes, event.to.partition("@")[0], 1)
        if event.status == "sent":
            if event.queue_id not in self.notices:
                self.last_success = line.when or self.last_success
            if _is_other_host(event.relay):
                self.last_elsewhere = line.when or self.last_elsewhere
        else:
            self._reason(
                line, event.status, classify_reason(event.reason, event.dsn), event.relay, event.queue_id, counted=True
            )

    def _reason(
        self, line: LogLine, status: str, reason: Reason, client: str, queue_id: str, *, counted: bool = False
    ) -> None:
        if not counted:
            _count(self.statuses, status, 1)
        tally = self._tally(self.reasons, (status, reason.meaning, reason.text, line.host))
        tally.add(line, self.generation["postfix", line.host])
        tally.latest = reason
        _count(tally.clients, client, 1, limit=50)
        if len(tally.queue_ids) < 20 and queue_id != "NOQUEUE":
            tally.queue_ids.append(queue_id)

    def done(self) -> LogSummary:
        return LogSummary(
            lines=self.lines,
            skipped=self.skipped,
            unparsed=self.unparsed,
            unparsed_samples=tuple(self.unparsed_samples),
            first=self.first,
            last=self.last,
            groups=tuple(sorted((self._group(k, t) for k, t in self.groups.items()), key=_order)),
            reasons=tuple(sorted((self._reasons(k, t) for k, t in self.reasons.items()), key=lambda g: -g.count)),
            statuses=dict(self.statuses),
            auth_failures_by_user=dict(self.users.most_common()),
            auth_failures_by_address=dict(self.addresses.most_common()),
            sasl_messages=dict(self.sasl.most_common()),
            starts=tuple(self.starts),
            last_success=self.last_success,
            overflow=self.overflow,
            last_elsewhere=self.last_elsewhere,
            refused_logins=dict(self.refused.most_common()),
            mailboxes=dict(self.mailboxes.most_common()),
            latest=self.latest,
            leap=self.leap,
            at_work=dict(self.at_work),
            last_login=self.last_login,
            denylisted=dict(self.denylisted),
        )

    def _group(self, key: _GroupKey, tally: _Tally) -> Group:
        meaning, text, family, daemon, host = key
        problem = tally.latest
        assert isinstance(problem, Problem)
        current = tally.current(self.generation[family, host])
        return Group(
            meaning, problem.severity, text, family, daemon, host, problem.fields,
            tally.count, tally.first, tally.last, current, (*tally.head, *tally.tail),
        )  # fmt: skip

    def _reasons(self, key: _ReasonKey, tally: _Tally) -> ReasonGroup:
        status, _, _, host = key
        reason = tally.latest
        assert isinstance(reason, Reason)
        current = tally.current(self.generation["postfix", host])
        return ReasonGroup(
            status, reason, host, tally.count, tally.first, tally.last, current,
            dict(tally.clients.most_common()), tuple(tally.queue_ids), (*tally.head, *tally.tail),
        )  # fmt: skip


_TO_MAILBOXES = frozenset({"lmtp", "virtual"})
_SEVERITY_ORDER: Mapping[Severity, int] = {"critical": 0, "warning": 1, "notice": 2}


def _order(group: Group) -> tuple[int, int, int]:
    return (_SEVERITY_ORDER[group.severity], int(group.over), -group.count)


def _count(counter: Counter[str], key: str, by: int, limit: int = MAX_COUNTED) -> None:
    counter[key if key in counter or len(counter) < limit else "(others)"] += by


def _is_other_host(relay: str) -> bool:
    """True for `name[address]:port` of another host; local deliveries have no address, sockets a path (smtp(8), lmtp(8))."""
    address = relay.partition("[")[2].partition("]")[0]
    return bool(address) and "/" not in address and not address.startswith("127.") and address != "::1"


def _rule(by: str) -> Reason:
    """A rule of this host that threw a message away; its words are the administrator's, and have no class."""
    return Reason("other", normalise(by), "", "", "", "", "", suspended=False)


def summarise(
    lines: Iterable[str],
    now: datetime,
    since: datetime | None = None,
    *,
    limit: int | None = None,
    keep: Callable[[str], bool] | None = None,
) -> LogSummary:
    """Return what `lines` (oldest first) say from `since` on.

    `now` (aware) is the time on the logging host when the lines were read, see `parse_line`. At most `limit` lines are
    read; a line for which `keep` is false is not looked at. Starts and reloads count even when they lie before `since`,
    so that "before the last start" is known. Nothing is dropped in silence: see `unparsed`, `skipped` and `overflow`.
    """
    state = _Summary(now, since)
    for raw in islice(lines, limit):
        if keep is None or keep(raw):
            state.feed(raw)
    return state.done()
