"""The counting engine: nothing is lost, parts join exactly, and what was read is not read again."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import lzma
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.generate import lines
from maildiag.logs import read, state, tally
from maildiag.logs.read import Options, read_logs
from maildiag.logs.render import as_document, as_text
from maildiag.logs.report import make_report
from maildiag.logs.rows import LogReport
from maildiag.logs.scan import Scanner
from maildiag.logs.source import Source, SourceError, source_of
from maildiag.logs.tally import Tally

NOW = datetime(2026, 11, 30, tzinfo=UTC)
DELIVERED = "Nov 16 10:00:0{} mail postfix/smtp[5]: {}: to=<a@b.test>, relay=b.test[192.0.2.9]:25, delay=1.5, delays=0.1/0.2/0.3/0.9, dsn=2.0.0, status=sent (250 ok)"


def counted(text: str, *cuts: int) -> Tally:
    """The tally of a log read in parts that end at the lines `cuts`."""
    rows = text.splitlines(keepends=True)
    edges = [0, *sorted(cuts), len(rows)]
    whole = Tally()
    for begin, end in pairwise(edges):
        part = Tally()
        Scanner(part).feed("".join(rows[begin:end]))
        whole.merge(part)
    return whole


def in_one(text: str) -> Tally:
    whole = Tally()
    Scanner(whole).feed(text)
    return whole


def plain(one: Tally) -> dict[str, object]:
    """What a tally says, without empty entries and working data."""
    table = {
        f.name: getattr(one, f.name) for f in dataclasses.fields(one) if f.name not in ("scratch", "problem_samples")
    }
    table["totals"] = +table["totals"]
    table["hours"] = {kind: counter for kind, counter in table["hours"].items() if counter}
    table["relays"] = {kind: counter for kind, counter in table["relays"].items() if counter}
    return table


def report(path: Path, **options: object) -> LogReport:
    found, errors = read_logs([source_of(str(path))], dataclasses.replace(Options(NOW, jobs=1), **options))  # type: ignore[arg-type]
    return make_report(found, NOW, errors=errors, top=0)


def same(one: LogReport, other: LogReport) -> bool:
    return dataclasses.replace(one, bytes=0) == dataclasses.replace(other, bytes=0)


@pytest.mark.parametrize("scenario", ["traffic", "storm"])
@pytest.mark.parametrize("long_ids", [False, True])
def test_parts_join_to_the_same_counts_wherever_the_log_is_cut(scenario: str, long_ids: bool) -> None:
    text = "".join(lines(scenario, 1500, seed=3, long_ids=long_ids))
    whole, pick = plain(in_one(text)), random.Random(5)
    for _ in range(12):
        assert plain(counted(text, *(pick.randrange(1500) for _ in range(pick.randrange(1, 5))))) == whole


@pytest.mark.parametrize("scenario", ["traffic", "storm"])
def test_queue_ids_and_processes_of_any_length_are_counted_as_line_by_line(scenario: str) -> None:
    """Where the first line of a block has its queue id, others have a part of theirs, or nothing."""
    pick = random.Random(4)
    rows = []
    for row in lines(scenario, 3000, seed=4):
        row = re.sub(r"\[(\d+)\]: ", lambda pid: f"[{pid[1]}{'7' * pick.randrange(3)}]: ", row, count=1)
        row = re.sub(r": ([0-9A-F]{11}): ", lambda qid: f": {qid[1]}{'F' * (int(qid[1][:5], 16) % 3)}: ", row, count=1)
        rows.append(row)
        if pick.random() < 0.05:
            rows.append(row.replace(": ", ":  ", 1) if pick.random() < 0.5 else row[: pick.randrange(60, 90)] + "\n")
    single = Tally()
    scanner = Scanner(single)
    for row in rows:
        scanner.feed(row)
    assert plain(in_one("".join(rows))) == plain(single)


def test_processes_count_what_one_process_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "PARALLEL_FROM", 1000)
    path = tmp_path / "mail.log"
    path.write_text("".join(lines("traffic", 3000, seed=4)))
    assert same(report(path, jobs=3), report(path))


def test_lines_of_several_hosts_and_formats_are_all_counted() -> None:
    classic = list(lines("traffic", 400, seed=1))
    other = [line.replace(" mail ", " a-much-longer-name.example ", 1) for line in lines("traffic", 400, seed=2)]
    iso = [line.replace(" mail ", " iso ", 1) for line in lines("storm", 400, seed=3, iso=True)]
    mixed = classic + other + iso
    random.Random(1).shuffle(mixed)
    found = in_one("".join(mixed))
    assert (found.lines, found.unparsed) == (1200, 0)
    assert found.hosts == {"mail": 400, "a-much-longer-name.example": 400, "iso": 400}
    expected = sum(in_one("".join(part)).hours["received"].total() for part in (classic, other, iso))
    assert found.hours["received"].total() == expected


@pytest.mark.parametrize("name", ["postfix/smtp", "postfix-out/smtp", "mx1/smtp", "postfix/relay/smtp"])
def test_any_syslog_name_is_counted(name: str) -> None:
    found = in_one(DELIVERED.format(1, "4D4A3180CE2").replace("postfix/smtp", name) + "\n")
    assert found.hours["delivered"].total() == 1


def test_addresses_with_commas_and_orig_to_are_counted() -> None:
    line = DELIVERED.format(1, "4D4A3180CE2")
    odd = [
        line.replace("<a@b.test>", '<"a, b"@b.test>'),
        line.replace("relay=", "orig_to=<root>, relay="),
        line.replace("delay=", "conn_use=2, delay=", 1),
    ]
    found = in_one("\n".join(odd) + "\n")
    assert found.hours["delivered"].total() == 3
    assert make_report(found, NOW).delay is not None


@pytest.mark.parametrize("odd", ["", "conn_use=2, "])
def test_hosts_that_refuse_in_the_same_words_are_one_reason(odd: str) -> None:
    # as Postfix 3.7 and 3.10 write it: the relay with its port, the reason without
    line = (
        "Nov 16 10:00:01 mail postfix/smtp[5]: 4D4A3180CE2: to=<joe@partner.test>, relay={0}:25, {1}delay=1.5, "
        "delays=0.1/0.2/0.3/0.9, dsn=4.7.1, status=deferred (host {0} said: 454 4.7.1 <joe@partner.test>: "
        "Relay access denied (in reply to RCPT TO command))\n"
    )
    hosts = ("10.0.1.10[10.0.1.10]", "mx.partner.test[2001:db8::1]")
    found = in_one("".join(line.format(host, odd) for host in hosts))
    assert list(found.reasons.values()) == [2]
    assert [(row.meaning, row.count) for row in make_report(found, NOW).reasons] == [("relay.denied", 2)]


def test_dovecot_2_3_and_2_4_logins_are_counted() -> None:
    old = "Nov 16 10:00:00 mail dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=10.0.1.9, lip=10.0.1.10, mpid=1, TLS, session=<x>"
    new = "2026-11-16T10:00:00.1+00:00 mail dovecot[81]: imap-login: Logged in: user=<bob>, method=PLAIN, rip=10.0.1.9, lip=10.0.1.10, mpid=1, session=<x>"
    failed = "Nov 16 10:00:00 mail dovecot: imap-login: Login aborted: Connection closed (auth failed, 3 attempts in 9 secs) (auth_failed): user=<bob>, rip=192.0.2.7, lip=10.0.1.10, TLS"
    found = in_one(f"{old}\n{new}\n{failed}\n")
    assert (found.logins, found.login_users) == ({"imap-login TLS": 1, "imap-login no TLS": 1}, {"bob": 2})
    assert (found.auth_users, found.auth_addresses) == ({"bob": 3}, {"192.0.2.7": 3})


def test_logins_are_counted_whatever_their_elements_and_their_order() -> None:
    # login_log_format_elements = method=%m user=<%u> rip=%r %c, and without a user
    begins = "Nov 16 10:00:00 mail dovecot: imap-login: Login: "
    found = in_one(
        f"{begins}user=<bob>, rip=10.0.1.9\n{begins}method=PLAIN, user=<ann>, rip=10.0.1.9, TLS\n{begins}rip=10.0.1.9\n"
    )
    assert found.login_users == {"bob": 1, "ann": 1, "": 1}
    assert found.logins == {"imap-login TLS": 1, "imap-login no TLS": 2}


def test_hosts_that_were_not_reached_for_the_same_reason_are_one_row() -> None:
    begins = "Nov 16 10:00:00 mail postfix/smtp[5]: connect to "
    hosts = ("mx.partner.test[192.0.2.1]", "mx.other.test[2001:db8::1]", "mail.example.test[private/dovecot-lmtp]")
    found = in_one("".join(f"{begins}{host}: Connection refused\n" for host in hosts))
    assert [row.name for row in make_report(found, NOW).connect_failures] == ["connect to host: Connection refused"]


PIECES = st.sampled_from(
    ["Nov 16 10:00:00 ", "2026-11-16T10:00:00Z ", "mail ", "postfix/smtpd[1]: ", "postfix/qmgr[9]: ", "postfix/smtp[22]: ", "dovecot: ", "imap-login: ",
     "4D4A3180CE2: ", "NOQUEUE: ", "reject: ", "RCPT from x[192.0.2.1]: ", "554 5.7.1 <a@b>: ", "; from=<a> to=<b>", "client=", "from=<a@b>, size=5, nrcpt=1 (queue active)",
     "to=<a@b>, ", "relay=none, ", "delay=1, ", "delays=1/2/3/4, ", "dsn=4.0.0, ", "status=deferred (", "status=sent (ok)", "removed", "warning: ", "Error: ",
     "auth failed, 1 attempts", "user=<", ">", "[", "]: ", ": ", ", ", "\t", "\x00", "é", "SASL LOGIN authentication failed: "]
)  # fmt: skip
LINES = st.lists(
    st.one_of(
        st.lists(PIECES, max_size=12).map("".join),
        st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\n")),
    )
)


@settings(max_examples=300, deadline=None)
@given(LINES)
def test_no_line_makes_the_engine_fail_or_lose_count(rows: list[str]) -> None:
    found = in_one("".join(row + "\n" for row in rows))
    counted_rows = [row for row in rows if row.strip() and not row.startswith("-- ")]
    blank = len(rows) - len(counted_rows)
    assert len(counted_rows) <= found.lines <= len(counted_rows) + blank
    document = as_document(make_report(found, NOW))
    assert document["lines"] == found.lines
    assert all("\x1b" not in line and "\x00" not in line for line in as_text(make_report(found, NOW), chart=True))


@settings(max_examples=100, deadline=None)
@given(LINES, st.integers(0, 20))
def test_any_lines_may_be_read_in_two_parts(rows: list[str], cut: int) -> None:
    text = "".join(row.replace("\r", "").replace("\x85", "") + "\n" for row in rows)
    parts = text.split("\n")[:-1]
    first, second, whole = Tally(), Tally(), Tally()
    Scanner(first).feed("".join(part + "\n" for part in parts[:cut]))
    Scanner(second).feed("".join(part + "\n" for part in parts[cut:]))
    first.merge(second)
    Scanner(whole).feed(text)
    assert first.lines == whole.lines
    assert first.hosts == whole.hosts


PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gz", gzip.compress),
    ("bz2", bz2.compress),
    ("xz", lzma.compress),
]


@pytest.mark.parametrize(("suffix", "pack"), PACKERS, ids=[name for name, _ in PACKERS])
@pytest.mark.parametrize("programs", [True, False], ids=["program", "module"])
def test_compressed_logs_are_read(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes], programs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(lines("traffic", 500, seed=2))
    packed, unpacked = tmp_path / f"mail.log.1.{suffix}", tmp_path / "mail.log"
    packed.write_bytes(pack(text.encode()))
    unpacked.write_text(text)
    if not programs:
        monkeypatch.setenv("PATH", "/nonexistent")
    assert same(report(packed), report(unpacked))


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
def test_zstd_logs_are_read_or_refused_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = tmp_path / "mail.log"
    unpacked.write_text("".join(lines("traffic", 500, seed=2)))
    subprocess.run(["zstd", "-q", str(unpacked)], check=True)
    packed = tmp_path / "mail.log.zst"
    assert same(report(packed), report(unpacked))
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "zstd is not installed" in report(packed).errors[0]


def test_a_cut_off_archive_is_reported_and_not_passed_over(tmp_path: Path) -> None:
    packed = tmp_path / "mail.log.1.gz"
    packed.write_bytes(gzip.compress("".join(lines("traffic", 5000, seed=2)).encode())[:-500])
    assert report(packed).errors


def test_a_missing_file_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        source_of(str(tmp_path / "none"))


def test_rotated_logs_are_read_in_order_of_time(tmp_path: Path) -> None:
    rows = list(lines("traffic", 2000, seed=6))
    new, old, whole = tmp_path / "mail.log", tmp_path / "mail.log.1", tmp_path / "all.log"
    old.write_text("".join(rows[:1000]))
    new.write_text("".join(rows[1000:]))
    whole.write_text("".join(rows))
    found, _ = read_logs([source_of(str(new)), source_of(str(old))], Options(NOW, jobs=1))
    assert same(make_report(found, NOW, top=0), report(whole))


def test_a_window_holds_exactly_its_lines(tmp_path: Path) -> None:
    rows = list(lines("traffic", 3000, seed=8, iso=True))
    path = tmp_path / "mail.log"
    path.write_text("".join(rows))
    since, until = datetime(2026, 11, 16, 20, 30, 30, tzinfo=UTC), datetime(2026, 11, 17, 1, 15, tzinfo=UTC)
    inside = [row for row in rows if since <= datetime.fromisoformat(row[:32]) < until]
    found = report(path, since=since, until=until)
    assert found.lines == len(inside) > 50
    assert found.lines + found.outside_window <= len(rows)


def test_a_second_run_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "REMEMBER_FROM", 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    rows, path = list(lines("traffic", 2000, seed=6)), tmp_path / "mail.log"
    path.write_text("".join(rows[:1200]))
    report(path, remember=True)
    remembered = state.load(path)
    assert remembered is not None
    assert remembered.offset == path.stat().st_size
    with path.open("a") as file:
        file.writelines(rows[1200:])
    again = report(path, remember=True)
    assert same(again, report(path))
    path.rename(tmp_path / "mail.log.1")  # rotation: the same file under another name
    assert same(report(tmp_path / "mail.log.1", remember=True), again)


def test_a_log_that_was_truncated_and_written_again_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "REMEMBER_FROM", 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "mail.log"
    path.write_text("".join(lines("traffic", 500, seed=6)))
    report(path, remember=True)
    path.write_text("".join(lines("storm", 900, seed=7)))
    assert same(report(path, remember=True), report(path))


def test_a_state_that_others_may_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "REMEMBER_FROM", 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "mail.log"
    path.write_text("".join(lines("traffic", 500, seed=6)))
    report(path, remember=True)
    (saved,) = state.directory().iterdir()
    saved.chmod(0o666)
    assert state.load(path) is None


def test_counters_have_a_cap_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "CAP", 50)
    text = "".join(lines("traffic", 4000, seed=9))
    small = in_one(text)
    monkeypatch.undo()
    whole = in_one(text)
    assert "recipients" in small.capped
    assert len(small.recipients) <= 50
    ours, full = make_report(small, NOW, top=0), make_report(whole, NOW, top=0)
    assert ours.totals["delivered"] == full.totals["delivered"]
    assert sum(row.bytes for row in ours.recipient_domains) == sum(row.bytes for row in full.recipient_domains)
    assert any("too many different values" in line for line in as_text(ours))


def test_an_escape_sequence_in_a_log_does_not_reach_the_terminal() -> None:
    line = (
        DELIVERED.format(1, "4D4A3180CE2")
        .replace("b.test", "b\x1b]52;c;aGk=\x07.test")
        .replace("status=sent", "status=bounced")
    )
    text = "\n".join(as_text(make_report(in_one(line + "\n"), NOW)))
    assert "\x1b" not in text
    assert "\\x1b" in text


def test_an_empty_log_has_a_report() -> None:
    assert "0 lines" in next(as_text(make_report(Tally(), NOW)))


def test_standard_input_is_a_source() -> None:
    assert source_of("-") == Source("-", None)
