"""What the tests share: runs of the real program, recorded hosts, plug-ins, and reports full of hostile text."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from maildiag.causes import diagnose
from maildiag.hosts import bundle
from maildiag.model import (
    Confidence,
    Evidence,
    Finding,
    Fix,
    Gap,
    GapReason,
    HostInfo,
    Reading,
    Status,
    Step,
)
from maildiag.probes import CommandResult, Identity, WhoAmI, command
from maildiag.report import Report, Timing

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 23, 3, 12, tzinfo=UTC)
HOSTILE = (
    "A [/] B",
    "[@click=app.quit]x[/]",
    "[link=https://evil]bank[/link]",
    "<script>alert(1)</script>",
    "\x1b]52;c;aGk=\x07 \x1b[31mred",
    "\x9b2J c1",
    "nul\x00 bell\x07 back\x08",
    "bidi \u202egnp.exe\u202c \u2066",
    "lone \udcff surrogate",
    "]]> &amp; & < > \" '",
    "``` fence ~~~",
    "| cell | cell |",
    "# heading\n- item\n1. one\n> quote",
    "![img](http://evil/x.png) [a](javascript:alert(1)) <http://evil>",
    "*bold* _it_ `code` \\",
    "very " + "long" * 3000,
)


@dataclass(frozen=True)
class Ran:
    """What one run of the program left."""

    status: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """A clean environment in which `python -m maildiag` is this checkout."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    paths = f"{more.pop('before', '')}:{ROOT}:{ROOT / 'checks'}".lstrip(":")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**kept, "PATH": path, "PYTHONPATH": paths, "TERM": "xterm", "COLUMNS": "", **more}


def maildiag(*arguments: str | Path, **more: str) -> Ran:
    """Run the program to its end, without a terminal."""
    argv = [sys.executable, "-m", "maildiag", *map(str, arguments)]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, env=environment(**more), timeout=180, check=False
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def on_terminal(*arguments: str | Path, **more: str) -> Ran:
    """Run the program with standard output and standard error on one pseudo-terminal of 80 columns."""
    parent, child = pty.openpty()
    argv = [sys.executable, "-m", "maildiag", *map(str, arguments)]
    process = subprocess.Popen(argv, stdin=child, stdout=child, stderr=child, env=environment(**more))
    os.close(child)
    said = b""
    while chunk := _read(parent):
        said += chunk
    os.close(parent)
    return Ran(process.wait(60), said.decode().replace("\r\n", "\n"), "")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def recorded(path: Path, installed: bool = True) -> Path:
    """A bundle of a host with a little Postfix, or with none."""
    gone = Gap(GapReason.ABSENT, "postconf is not installed")
    settings = CommandResult(0, "mail_version = 3.7.11\nmyhostname = mail.example.test\nrelayhost =\n", "")
    answer = Reading(settings, NOW, 0.01) if installed else gone
    me = Identity("mail", "Linux 6.1", NOW, NOW, privileged=True)
    asked = {
        command("postconf", "-x"): answer,
        command("postconf", "-n"): answer,
        command("dovecot", "--version"): Gap(GapReason.ABSENT, "dovecot is not installed"),
        command("doveconf", "-n"): Gap(GapReason.ABSENT, "doveconf is not installed"),
        WhoAmI(): Reading(me, NOW, 0.001),
    }
    bundle.write(path, asked, NOW)
    return path


def plug_in(folder: Path, code: str) -> Path:
    """An installed distribution with an entry point in `maildiag.checks`; put its folder on PYTHONPATH (`before`)."""
    (folder / "plug_in_of_a_test.py").write_text("from __future__ import annotations\n" + code)
    metadata = folder / "plug_in_of_a_test-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-in-of-a-test\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[maildiag.checks]\nof-a-test = plug_in_of_a_test\n")
    return folder


def finding(key: str, status: Status, title: str = "", **more: object) -> Finding:
    """A finding with the title as given."""
    name, _, subject = key.partition("@")
    given: dict[str, object] = {
        "id": name,
        "check": name,
        "step": Step(name.partition(".")[0]),
        "subject": subject,
        "status": status,
        "title": title or f"{key} is {status}",
        "detail": "",
        "data": {},
        "evidence": (),
        "fixes": (),
        "explained_by": (),
        "confidence": Confidence.CERTAIN,
        "runbook": name,
        "duration_ms": 1,
    }
    return Finding(**(given | more))  # type: ignore[arg-type]


def report(findings: Iterable[Finding], name: str = "mail.example.test", complete: bool = True) -> Report:
    """A report of these findings."""
    told = tuple(findings)
    host = HostInfo(
        name=name,
        role="mail-server",
        role_reason="Dovecot is installed",
        os="Debian GNU/Linux 12 (bookworm)",
        postfix="3.7.11",
        dovecot="2.3.19.1",
        firewall="nftables",
        log_source="journal",
        privileged=True,
        source="local",
    )
    timings = (Timing("postconf -x", 0.012, True), Timing("dig example.test MX", 3.0, False))
    return Report(
        started=NOW,
        duration_s=1.25,
        host=host,
        findings=told,
        diagnosis=diagnose(told),
        timings=timings,
        complete=complete,
    )


START = Fix(
    id="services.postfix/start",
    title="Start Postfix",
    commands=(("systemctl", "start", "postfix@-.service"), ("postqueue", "-f")),
    verify=("services.postfix",),
    why="It is stopped.",
    automatic=True,
)


def outage() -> Report:
    """A cause with two symptoms, something unknown, a notice, something acknowledged, something fine."""
    no_root = Gap(GapReason.DENIED, "postqueue: permission denied", "needs root")
    return report(
        [
            finding(
                "services.postfix",
                Status.CRITICAL,
                "Postfix is stopped",
                detail="It was stopped by hand.",
                evidence=(Evidence("systemctl show postfix@-.service", "ActiveState=inactive", NOW),),
                fixes=(START,),
            ),
            finding("connectivity.smtp", Status.CRITICAL, explained_by=("services.postfix",)),
            finding("queue.age", Status.WARNING, explained_by=("services.postfix",)),
            finding("queue.backlog", Status.UNKNOWN, gap=no_root, data={}),
            finding("queue.hold", Status.UNKNOWN, gap=no_root),
            finding("dns.sender-records@example.test", Status.NOTICE),
            finding("dns.ptr", Status.WARNING, acknowledged="the provider is asked (until 2026-12-31)"),
            finding("dns.mx", Status.OK),
            finding("firewall.inbound", Status.SKIPPED),
        ]
    )


def hostile() -> Report:
    """A report in which every text is one that strangers wrote, as a buggy gatherer might let it through."""
    findings = [
        finding(
            "connectivity.smtp",
            status,
            text,
            detail=text,
            subject=f"{status}{number}{text[:40]}",
            evidence=(Evidence(text[:80], f"{text}\n{text}", NOW),),
            fixes=(Fix(id="a.b/c", title=text, commands=(("echo", text),), why=text, ask=text),),
            data={"said": text},
            acknowledged=text if number % 7 == 6 else "",
        )
        for number, text in enumerate(HOSTILE)
        for status in (Status.CRITICAL, Status.NOTICE, Status.UNKNOWN)
    ]
    return report(findings, name=HOSTILE[3])
