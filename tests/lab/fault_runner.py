"""Breaks hosts by the catalogue, lets maildiag look, and sees whether it was right and whether its fixes cure."""

from __future__ import annotations

import fnmatch
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.lab.errors import LabError
from tests.lab.fault_judge import Report, judge, parsed, still_blamed
from tests.lab.faults import ChangeDns, ChangePartner, Fault, Login, Reboot, Run, SendMail, Step, Submit
from tests.lab.golden import on_all
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.pairs import Pair, judge_pair, name_of
from tests.lab.process import wait_for

SETTLE_LIMIT = 20.0
BROKEN_AFTER = 2.5  # A healthy path delivers in 0.2 s; one that has not by then is taken for broken.
RUN_LIMIT = 120.0

# 2 is no failure of a fix: mail that waited still waits when the cause is gone, and is critical until the queue is flushed.
_STATUSES = (0, 1, 2, 3)

# What a fix may change and an undo must put back: all of /etc, who owns and may enter mailboxes and the spool, ACLs, and the packet
# filter's rules in force, without their counters (the order in which tables were made is no part of them).
_SNAPSHOT = r"""
cd /
find etc -type f ! -name '*.lock' ! -path etc/mtab -exec sha256sum {} +
find etc home root var/spool/postfix var/lib/dovecot var/mail -maxdepth 3 \( -type d -o -type l -o -path 'etc/*' -type f \) \
    ! -path 'root/.cache*' ! -path 'var/spool/postfix/defer*/?' ! -path '*/Maildir/.*' -printf '%y %m %u:%g %p %l\n'
getfacl --skip-base --recursive etc var/spool/postfix 2>/dev/null
{ nft --stateless list ruleset; iptables-save; ip6tables-save; firewall-cmd --list-all-zones; ufw status numbered; } 2>/dev/null \
    | sed -E 's/\[[0-9]+:[0-9]+\]$//; s/packets [0-9]+ bytes [0-9]+//; /^#/d; s/^/rule /' || true
"""


@dataclass(frozen=True, slots=True)
class Result:
    """How maildiag did on one fault of one release; right when there are no complaints."""

    fault: Fault
    release: str
    complaints: tuple[str, ...]
    first_cause: str
    run_s: float
    total_s: float
    at_first: tuple[str, ...] = ()


@dataclass(slots=True)
class Runner:
    """Runs faults one after the other on one lab; `fix` also tries the cure, `prove` that the path is broken as the fault says.

    A host that was broken, or looked at, is booted anew; one that only sent or took mail goes on until it is to be one of those.
    """

    lab: Lab
    fix: bool = False
    prove: bool = False
    _broken: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)

    def run(self, fault: Fault) -> Result:
        """Break, look, judge. Whatever goes wrong in the lab itself becomes a complaint too."""
        started = time.monotonic()
        look = _Look()
        try:
            self.prepare(fault)
            complaints = self._diagnose(fault, look)
        except (LabError, OSError) as problem:
            complaints = [f"the lab: {problem}"]
        return Result(
            fault, self.lab.release.name, tuple(complaints), look.first_cause, look.seconds, time.monotonic() - started
        )

    def run_pair(self, pair: Pair) -> Result:
        """Break both, look once, judge: both must be named."""
        started = time.monotonic()
        look = _Look()
        try:
            self._reset({pair[0].host, pair[0].runs_on})
            for step in (*pair[0].breaks, *pair[1].breaks):
                self._do(step, pair[0], check=True)
            for step in (*pair[0].symptom, *pair[1].symptom):
                self._do(step, pair[0], check=False)
            complaints = judge_pair(look.at(self.lab.hosts[pair[0].runs_on]), pair)
        except (LabError, OSError) as problem:
            complaints = [f"the lab: {problem}"]
        both = replace(pair[0], name=name_of(pair))
        return Result(
            both, self.lab.release.name, tuple(complaints), look.first_cause, look.seconds, time.monotonic() - started
        )

    def prepare(self, fault: Fault) -> None:
        """Reset what the last fault touched, and break what this one breaks. Raises LabError where a step fails."""
        self._reset({fault.host, fault.runs_on})
        self._break(fault)

    def distrust(self) -> None:
        """Have all that was touched booted anew before the next fault."""
        self._broken |= self._used

    def _reset(self, wanted: set[str]) -> None:
        """Fresh hosts where one was broken, or is `wanted` fresh; the others forget the mail that they could not send."""
        self.lab.dns.reset()
        self.lab.partner.reset()
        fresh = self._broken | (self._used & wanted)
        fresh |= {name for name in sorted(self._used - fresh) if not _forgets(self.lab.hosts[name])}
        on_all(Host.reset, [self.lab.hosts[name] for name in sorted(fresh)])
        self._used -= fresh
        self._broken = set(wanted)

    def _break(self, fault: Fault) -> None:
        for step in fault.breaks:
            self._do(step, fault, check=True)
        for step in fault.symptom:
            self._do(step, fault, check=False)
        if fault.settle:
            wait_for(f"{fault.name} to settle ({fault.settle})", lambda: self._settled(fault), timeout=SETTLE_LIMIT)

    def _do(self, step: Step, fault: Fault, *, check: bool) -> None:
        match step:
            case Run(run=script, on=on):
                self._broken.add(on or fault.host)
                self.lab.hosts[on or fault.host].sh(script, timeout=60, check=check)
            case ChangeDns():
                _change_dns(self.lab, step)
            case ChangePartner(partner=behaviour):
                getattr(self.lab.partner, behaviour)()
            case SendMail(mail=host, to=to):
                self._used.add("mail")
                self._host(host).run(
                    ["sendmail", "-f", "alice@example.test", to], input="Subject: lab\n\nhello\n", check=check
                )
            case Login(login=user, protocol=protocol, security=security, password=password):
                self._used.add("mail")
                _try(lambda: self.lab.login(user, password=password, protocol=protocol, security=security), check=check)
            case Submit(submit=user, to=to):
                self._used.add("mail")
                _try(lambda: self.lab.submit_only(user, to), check=check)
            case Reboot(reboot=host):
                self._broken.add(host)
                self.lab.hosts[host].reboot()

    def _settled(self, fault: Fault) -> bool:
        done = self.lab.hosts[fault.host].run(["bash", "-euo", "pipefail", "-c", fault.settle], check=False)
        return done.returncode == 0

    def _diagnose(self, fault: Fault, look: _Look) -> list[str]:
        host = self.lab.hosts[fault.runs_on]
        report = look.at(host)
        complaints = judge(report, fault)
        if self.prove or self.fix:
            complaints += self._prove(fault)
        if self.fix and fault.curable and not complaints:
            complaints += self._cure(fault, host)
        return complaints

    def _prove(self, fault: Fault) -> list[str]:
        if fault.path == "none":
            return []
        try:
            self._travel(fault.path, timeout=BROKEN_AFTER)
        except LabError as problem:
            return [] if fault.broken else [f"the path {fault.path} should work in spite of the fault: {problem}"]
        return [f"the path {fault.path} should be broken, and works"] if fault.broken else []

    def _cure(self, fault: Fault, host: Host) -> list[str]:
        before = host.sh(_SNAPSHOT)
        fixed = host.maildiag("fix", "--yes", timeout=RUN_LIMIT)
        complaints = self._works_again(fault) if fault.path != "none" else []
        complaints += still_blamed(_Look().at(host), fault)
        if complaints or fixed.returncode not in _STATUSES:
            complaints.append(f"fix ended with {fixed.returncode}: {_told(fixed.stdout + fixed.stderr)}")
        complaints += _undo_all(host)
        changed = _difference(before, host.sh(_SNAPSHOT), leaves=fault.leaves)
        return complaints + ([f"undo left other files: {changed}"] if changed else [])

    def _works_again(self, fault: Fault) -> list[str]:
        for name in ("app01", "mail"):
            self._host(name).run(["postqueue", "-f"], check=False)
        try:
            self._travel(fault.path, timeout=20)
        except LabError as problem:
            return [f"the path {fault.path} is broken after the fix: {problem}"]
        return []

    def _travel(self, path: str, *, timeout: float) -> None:
        lab = self.lab
        self._used |= {"mail", "app01"} if path == "deliver-app" else {"mail"}
        match path:
            case "deliver-app":
                lab.deliver(lab.app01, "alice@example.test", timeout=timeout)
            case "deliver-local":
                lab.deliver(lab.mail, "alice@example.test", timeout=timeout)
            case "deliver-partner":
                lab.deliver(lab.mail, "joe@partner.test", timeout=timeout)
            case "login-imap" | "login-pop3":
                for security in ("plain", "starttls", "tls"):
                    lab.login("alice", protocol=path.removeprefix("login-"), security=security)
            case "submission":
                lab.submit("bob", "alice@example.test", timeout=timeout)

    def _host(self, name: str) -> Host:
        self._used.add(name)
        return self.lab.hosts[name]


def _forgets(host: Host) -> bool:
    """Empty its queue, and have its queue manager forget which hosts were dead; False where it cannot."""
    forget = "postsuper -d ALL; postfix reload"
    return host.run(["sh", "-ec", forget], check=False).returncode == 0


@dataclass(slots=True)
class _Look:
    """One run of maildiag, and what is told of it."""

    first_cause: str = ""
    seconds: float = 0.0

    def at(self, host: Host) -> Report:
        started = time.monotonic()
        done = host.maildiag("run", "--json", timeout=RUN_LIMIT)
        self.seconds = time.monotonic() - started
        try:
            report = parsed(done.stdout)
        except ValueError as problem:
            raise LabError(f"maildiag run --json: exit {done.returncode}, {problem}\n{_told(done.stderr)}") from problem
        self.first_cause = str(report.causes[0]) if report.causes else "-"
        return report


def line_of(result: Result) -> str:
    """The result as text for people: one line, and complaints below it."""
    verdict = "WRONG" if result.complaints else "right" if not result.at_first else "2nd  "
    if result.complaints and result.fault.open:
        verdict = "open "
    line = f"{verdict}  {result.release}  {result.run_s:5.1f} s  {result.fault.name:<40}  {result.first_cause}"
    return "\n".join(
        [
            line,
            *(
                f"         {text}"
                for complaint in (*result.complaints, *result.at_first)
                for text in complaint.splitlines()
            ),
        ]
    )


def summary(results: Sequence[Result]) -> str:
    """One line: how many were right, and how long a run of maildiag took."""
    right = sum(not result.complaints for result in results)
    runs = [result.run_s for result in results if result.run_s] or [0.0]
    totals = [result.total_s for result in results] or [0.0]
    return (
        f"{right} of {len(results)} right; maildiag run: median {statistics.median(runs):.1f} s, worst {max(runs):.1f} s; "
        f"a fault with all around it: median {statistics.median(totals):.1f} s, worst {max(totals):.1f} s"
    )


def _undo_all(host: Host) -> list[str]:
    """Undo every fix, the latest first, as its own list of them says."""
    listed = host.maildiag("undo", "--json")
    try:
        transactions = json.loads(listed.stdout)["transactions"]
    except (ValueError, KeyError):
        return [f"undo --json: exit {listed.returncode}: {_told(listed.stderr or listed.stdout)}"]
    names = sorted((each["id"] for each in transactions if each["state"] == "applied"), reverse=True)
    undone = [host.maildiag("undo", name, timeout=RUN_LIMIT) for name in names]
    failed = [
        f"undo: exit {done.returncode}: {_told(done.stdout + done.stderr)}" for done in undone if done.returncode != 0
    ]
    return failed if names else ["fix --yes applied nothing that could be undone"]


def _change_dns(lab: Lab, step: ChangeDns) -> None:
    match step.dns:
        case "add":
            lab.dns.add(step.kind, step.name, step.value)
        case "replace":
            lab.dns.replace(step.kind, step.name, step.value)
        case "remove":
            lab.dns.remove(step.kind, step.name)
        case "fail":
            lab.dns.fail(step.how, step.zone)
        case _:
            lab.dns.stop()


def _try(action: Callable[[], object], *, check: bool) -> None:
    try:
        action()
    except LabError:
        if check:
            raise


def _difference(before: str, after: str, *, leaves: str) -> str:
    changed = set(before.splitlines()) ^ set(after.splitlines())
    if leaves:
        changed = {line for line in changed if not fnmatch.fnmatchcase(line, f"* {leaves} *")}
    return "; ".join(sorted(changed)[:10])


def _told(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-12:])
