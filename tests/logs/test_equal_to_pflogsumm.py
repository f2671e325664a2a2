"""Where maildiag and pflogsumm count the same thing, the numbers are the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.generate import lines
from maildiag.logs.read import Options, read_logs
from maildiag.logs.report import make_report
from maildiag.logs.rows import LogReport
from maildiag.logs.source import source_of

NOW = datetime(2026, 11, 30, tzinfo=UTC)
PFLOGSUMM = shutil.which("pflogsumm")
pytestmark = pytest.mark.skipif(PFLOGSUMM is None, reason="pflogsumm is not installed")
RECORDED = sorted((Path(__file__).parent / "data").glob("*.log"))
TOTALS = {
    "received": "received", "delivered": "delivered", "forwarded": "forwarded", "deferred": "deferred", "bounced": "bounced",
    "rejected": "rejected", "reject warnings": "reject_warnings", "held": "held", "discarded": "discarded",
    "bytes received": "bytes_received", "bytes delivered": "bytes_delivered", "senders": "senders",
    "sending hosts/domains": "sending_domains", "recipients": "recipients", "recipient hosts/domains": "recipient_domains",
}  # fmt: skip


def report(path: Path) -> LogReport:
    tally, errors = read_logs([source_of(str(path))], Options(NOW, jobs=1))
    assert not errors
    return make_report(tally, NOW, top=0)


def pflogsumm(path: Path) -> str:
    assert PFLOGSUMM is not None
    command = [PFLOGSUMM, "-u", "100000", "-h", "100000", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def grand_totals(text: str) -> dict[str, tuple[int, str]]:
    """The grand totals as (number, unit)."""
    head = text.partition("Per-")[0]
    found = re.findall(r"^ *(\d+)([ km])  ([a-z/ ]+?)(?:  \((\d+)[km]?  deferrals\)| \(\d+%\))?$", head, re.MULTILINE)
    return {name: (int(number), unit) for number, unit, name, _ in found}


def same(ours: int, theirs: int, unit: str) -> bool:
    scale = {" ": 1, "k": 1024, "m": 1024 * 1024}[unit]
    return ours // scale == theirs


def compare(path: Path) -> None:
    ours, text = report(path), pflogsumm(path)
    theirs = grand_totals(text)
    assert set(TOTALS) <= set(theirs)
    wrong = {
        name: (ours.totals[key], theirs[name])
        for name, key in TOTALS.items()
        if not same(ours.totals[key], *theirs[name])
    }
    assert not wrong
    deferrals = re.search(r"\((\d+) +deferrals\)", text)
    assert ours.totals["deferrals"] == int(deferrals[1] if deferrals else 0)
    compare_days(ours, text)
    compare_people(ours, text)


def section(text: str, title: str) -> list[list[str]]:
    body = re.search(rf"^(?:top \d+ )?{re.escape(title)}.*\n-+\n((?:.+\n)*)", text, re.MULTILINE)
    return [line.split() for line in body[1].splitlines()] if body else []


def compare_days(ours: LogReport, text: str) -> None:
    theirs = [row for row in section(text, "Per-Day Traffic Summary") if len(row) >= 3 and row[1].isdigit()]
    if not theirs:  # pflogsumm shows days only if there are two
        return
    expected = {
        datetime.strptime(" ".join(row[:3]), "%b %d %Y").date().isoformat(): list(map(int, row[3:])) for row in theirs
    }
    found = {day.label: [day.received, day.delivered, day.deferred, day.bounced, day.rejected] for day in ours.days}
    assert {day: counts[: len(expected[day])] for day, counts in found.items()} == expected
    assert all(not any(counts[len(expected[day]) :]) for day, counts in found.items())


def compare_people(ours: LogReport, text: str) -> None:
    senders = {row[1]: int(row[0]) for row in section(text, "Senders by message count")}
    assert {row.name.replace("<>", "from=<>"): row.messages for row in ours.senders} == senders
    recipients = {row[1]: int(row[0]) for row in section(text, "Recipients by message count")}
    assert {row.name: row.delivered for row in ours.recipients if row.delivered} == recipients
    domains = {
        row[-1]: int(row[0]) for row in section(text, "Host/Domain Summary: Message Delivery") if row[0].isdigit()
    }
    assert {row.name: row.delivered for row in ours.recipient_domains if row.delivered} == {
        k: v for k, v in domains.items() if v
    }


@pytest.mark.parametrize("scenario", ["traffic", "storm"])
@pytest.mark.parametrize("iso", [False, True], ids=["classic", "iso"])
def test_a_generated_log_gives_the_numbers_of_pflogsumm(tmp_path: Path, scenario: str, iso: bool) -> None:
    path = tmp_path / "mail.log"
    path.write_text("".join(lines(scenario, 6000, seed=7, iso=iso, long_ids=iso)))
    compare(path)


@pytest.mark.parametrize("path", RECORDED, ids=[path.name for path in RECORDED])
def test_a_recorded_log_gives_the_numbers_of_pflogsumm(path: Path) -> None:
    compare(path)


def by_size(text: str, title: str) -> list[str]:
    return [row[1] for row in section(text, title)]


def test_the_greatest_senders_and_recipients_are_those_of_pflogsumm(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text("".join(lines("traffic", 6000, seed=7)))
    ours, text = report(path), pflogsumm(path)
    theirs = by_size(text, "Recipients by message size")
    found = [row for row in ours.recipients_by_size if row.bytes]
    assert {row.name for row in found} == set(theirs)
    assert found[0].name == theirs[0]
    assert ours.senders_by_size[0].name == by_size(text, "Senders by message size")[0]


def ipv4_only(rows: list[str]) -> str:
    return "".join(row for row in rows if "2001:db8:" not in row)  # pflogsumm knows no IPv6 client


def test_times_of_connections_are_those_of_pflogsumm(tmp_path: Path) -> None:
    assert PFLOGSUMM is not None
    path = tmp_path / "mail.log"
    path.write_text(ipv4_only(list(lines("traffic", 6000, seed=7))))
    tally, _ = read_logs([source_of(str(path))], Options(NOW, jobs=1, sessions=True))
    ours = make_report(tally, NOW, top=0)
    text = subprocess.run([PFLOGSUMM, "--smtpd-stats", str(path)], check=True, capture_output=True, text=True).stdout
    told = re.search(r"(\d+) +connections\n +(\d+) +hosts/domains\n.*\n +(\d+):(\d+):(\d+)  total connect time", text)
    assert told
    connections, clients, hours, minutes, seconds = map(int, told.groups())
    assert ours.sessions
    assert (ours.sessions.connections, ours.session_clients) == (connections, clients)
    assert ours.sessions.seconds == hours * 3600 + minutes * 60 + seconds


def details(text: str, title: str) -> dict[str, dict[str, int]]:
    """`reason (total: N)` with the counted lines beneath it."""
    body = text.partition(f"{title}\n")[2].partition("\n\n")[0]
    found: dict[str, dict[str, int]] = {}
    for line in body.splitlines():
        if head := re.fullmatch(r" +(.+) \(total: \d+\)", line):
            rows = found[head[1]] = {}
        elif row := re.fullmatch(r" +(\d+)   (.+)", line):
            rows[row[2]] = int(row[1])
    return found


def test_the_clients_of_each_refusal_and_the_hops_of_bounces_are_those_of_pflogsumm(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text("".join(lines("traffic", 6000, seed=7)))
    ours, text = report(path), pflogsumm(path)
    theirs = details(text, "message reject detail")
    for reason, ending in (
        ("Relay access denied", "Relay access denied"),
        ("Helo command rejected: Host not found",) * 2,
    ):
        (row,) = [row for row in ours.refusals if row.text.endswith(ending)]
        assert {place.name: place.count for place in row.at} == theirs[reason]
    bounces = details(text, "message bounce detail (by relay)")
    found: dict[str, int] = {}
    for reason_row in ours.reasons:
        for place in reason_row.at:
            found[place.name] = found.get(place.name, 0) + place.count
    assert found == {relay: sum(rows.values()) for relay, rows in bounces.items()}


def test_failures_to_connect_in_the_wordings_of_old_are_those_of_pflogsumm(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    begin = "Nov 16 10:00:00 mail postfix/smtp[77]: "
    rows = [  # Postfix 2.2, smtp_connect.c; the last two as pflogsumm 1.1.5 reads them
        f"{begin}connect to mx1.example.net[192.0.2.1]: Connection timed out (port 25)",
        f"{begin}connect to mx1.example.net[192.0.2.2]: Connection timed out (port 25)",
        f"{begin}connect to mx2.example.org[2001:db8::1]: Connection timed out (port 25)",
        f"{begin}connect to mx2.example.org[192.0.2.3]: Connection refused (port 25)",
        f"{begin}4ADDE180000: connect to mx2.example.org[192.0.2.3]: Connection refused (port 25)",
        f"{begin}connect to mx3.example.org: server refused mail service; address 192.0.2.4 port 25",
    ]
    path.write_text("".join(f"{row}\n" for row in rows))
    theirs = details(pflogsumm(path), "smtp delivery failures")
    ours = report(path).connect_failures
    assert sum(row.count for row in ours) == len(rows)
    assert {row.name.partition(": ")[2].lower(): {at.name: at.count for at in row.at} for row in ours} == theirs


def test_failures_to_connect_are_counted_alike_in_the_wordings_of_old_and_new(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    begin = "Nov 16 10:00:00 mail postfix/smtp[77]: connect to mx1.example.net[192.0.2.1]"
    path.write_text(f"{begin}: Connection refused (port 25)\n{begin}:25: Connection refused\n")
    (row,) = report(path).connect_failures
    assert (row.count, [(at.name, at.count) for at in row.at]) == (2, [("mx1.example.net", 2)])


def one_day(seed: int) -> str:
    """The lines of one day: then pflogsumm tells its hours as sums and not as averages of days."""
    rows = lines("traffic", 6000, seed=seed)
    return "".join(row for row in rows if row.startswith("Nov 16 "))


def number(text: str) -> tuple[int, str]:
    unit = text[-1] if text[-1] in "km" else " "
    return int(text.rstrip("km")), unit


def test_the_hours_of_a_day_are_those_of_pflogsumm(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text(one_day(7))
    rows = [row for row in section(pflogsumm(path), "Per-Hour Traffic Summary") if re.fullmatch(r"\d{4}-\d{4}", row[0])]
    ours = [[hour.received, hour.delivered, hour.deferred, hour.bounced, hour.rejected] for hour in report(path).hours]
    assert len(rows) == 24
    assert ours == [list(map(int, row[1:])) for row in rows]


def test_domains_have_the_sizes_deferrals_and_delays_of_pflogsumm(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text("".join(lines("storm", 6000, seed=7)))
    ours, text = report(path), pflogsumm(path)
    table = {row.name: row for row in ours.recipient_domains}
    theirs = [row for row in section(text, "Host/Domain Summary: Message Delivery") if row[0].isdigit()]
    assert len(theirs) > 50
    seconds = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    for row in theirs:
        mine = table[row[-1]]
        assert same(mine.bytes, *number(row[1]))
        assert mine.deferred == int(row[2])
        for value, told, unit in ((mine.delay_average, row[3], row[4]), (mine.delay_maximum, row[5], row[6])):
            assert value / seconds[unit] == pytest.approx(float(told), abs=0.06)
    senders = {row.name: row for row in ours.sender_domains}
    received = [row for row in section(text, "Host/Domain Summary: Messages Received") if row[0].isdigit()]
    assert received
    for row in received:
        assert senders[row[-1]].messages == int(row[0])
        assert same(senders[row[-1]].bytes, *number(row[1]))


# Postfix's own words: mail_queue.c, smtpd.c, master_ent.c, master_sig.c, msg.c of Postfix 3.7.
DAEMONS = """\
Nov 16 10:00:00 mail postfix/master[1]: daemon started -- version 3.7.11, configuration /etc/postfix
Nov 16 10:00:01 mail postfix/master[1]: reload -- version 3.7.11, configuration /etc/postfix
Nov 16 10:00:02 mail postfix/master[1]: reload -- version 3.7.11, configuration /etc/postfix
Nov 16 10:00:03 mail postfix/master[1]: terminating on signal 15
Nov 16 10:00:04 mail postfix/smtpd[5]: fatal: in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains
Nov 16 10:00:05 mail postfix/cleanup[6]: fatal: open database /etc/postfix/virtual.db: No such file or directory
Nov 16 10:00:05 mail postfix/cleanup[7]: fatal: open database /etc/postfix/virtual.db: No such file or directory
Nov 16 10:00:06 mail postfix/qmgr[8]: panic: mymalloc: requested length 0
Nov 16 10:00:07 mail postfix/master[1]: warning: process /usr/lib/postfix/sbin/cleanup pid 6 exit status 1
Nov 16 10:00:08 mail postfix/master[1]: warning: /usr/lib/postfix/sbin/cleanup: bad command startup -- throttling
"""


def by_daemon(text: str, title: str) -> dict[str, int]:
    body = re.search(rf"^{title}\n-+\n((?:.+\n)*)", text, re.MULTILINE)
    return {m[1]: int(m[2]) for m in re.finditer(r"^  (\S+) \(total: (\d+)\)$", body[1] if body else "", re.MULTILINE)}


def test_warnings_fatal_errors_panics_and_the_master_are_those_of_pflogsumm(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text(DAEMONS + "".join(lines("traffic", 6000, seed=7)))
    ours, text = report(path), pflogsumm(path)
    for level, title in (("warning", "Warnings"), ("fatal", "Fatal Errors"), ("panic", "Panics")):
        found: dict[str, int] = {}
        for row in ours.problems:
            if row.level == level and not row.daemon.startswith("dovecot"):
                found[row.daemon] = found.get(row.daemon, 0) + row.count
        assert found == by_daemon(text, title)
        assert found
    masters = re.search(r"^Master daemon messages\n-+\n((?:.+\n)*)", text, re.MULTILINE)
    assert masters
    assert {row.name: row.count for row in ours.master} == {
        m[2]: int(m[1]) for m in re.finditer(r"^ +(\d+) +(.+)$", masters[1], re.MULTILINE)
    }


def test_deliveries_without_a_size_are_those_of_pflogsumm(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    rows = list(lines("traffic", 6000, seed=9))
    path.write_text("".join(rows[3000:]))
    ours, text = report(path), pflogsumm(path)
    theirs = dict(row for row in section(text, "Messages with no size data") if len(row) == 2)
    assert {row.queue_id: row.recipients[-1] for row in ours.without_size} == theirs
    assert theirs
