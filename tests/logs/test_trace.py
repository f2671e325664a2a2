"""The way of a message, put together from the lines that name it."""

from __future__ import annotations

import argparse
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.generate import lines
from maildiag.cli import trace as command
from maildiag.cli.errors import UsageError
from maildiag.logs import find
from maildiag.logs.source import source_of
from maildiag.logs.trace import Trace, trace
from maildiag.logs.trace_text import as_document, as_text

NOW = datetime(2026, 11, 30, tzinfo=UTC)
APP = """\
Nov 16 10:00:00 app01 postfix/pickup[11]: 4D4A3180CE2: uid=33 from=<www-data>
Nov 16 10:00:00 app01 postfix/cleanup[12]: 4D4A3180CE2: message-id=<20261116100000.1@app01.example.test>
Nov 16 10:00:00 app01 postfix/qmgr[13]: 4D4A3180CE2: from=<www-data@app01.example.test>, size=432, nrcpt=1 (queue active)
Nov 16 10:00:30 app01 postfix/smtp[14]: 4D4A3180CE2: to=<alice@example.test>, relay=none, delay=30, delays=0.1/0/30/0, dsn=4.4.1, status=deferred (connect to 10.0.1.10[10.0.1.10]:25: Connection refused)
Nov 16 10:05:00 app01 postfix/qmgr[13]: 4D4A3180CE2: from=<www-data@app01.example.test>, size=432, nrcpt=1 (queue active)
Nov 16 10:05:01 app01 postfix/smtp[14]: 4D4A3180CE2: to=<alice@example.test>, relay=10.0.1.10[10.0.1.10]:25, delay=301, delays=300/0.1/0.2/0.7, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 5E5B4290DF3)
Nov 16 10:05:01 app01 postfix/qmgr[13]: 4D4A3180CE2: removed
"""
MAIL = """\
Nov 16 10:05:00 mail postfix/smtpd[21]: connect from app01.example.test[10.0.1.20]
Nov 16 10:05:00 mail postfix/smtpd[21]: 5E5B4290DF3: client=app01.example.test[10.0.1.20]
Nov 16 10:05:00 mail postfix/cleanup[22]: 5E5B4290DF3: message-id=<20261116100000.1@app01.example.test>
Nov 16 10:05:00 mail postfix/qmgr[23]: 5E5B4290DF3: from=<www-data@app01.example.test>, size=650, nrcpt=1 (queue active)
Nov 16 10:05:01 mail postfix/local[24]: 5E5B4290DF3: to=<alice@example.test>, relay=local, delay=0.2, delays=0.1/0/0/0.1, dsn=2.0.0, status=sent (delivered to maildir)
Nov 16 10:05:01 mail postfix/qmgr[23]: 5E5B4290DF3: removed
Nov 16 10:06:00 mail postfix/smtpd[21]: NOQUEUE: reject: RCPT from app01.example.test[10.0.1.20]: 554 5.7.1 <x@far.test>: Relay access denied; from=<a@example.test> to=<x@far.test> proto=ESMTP helo=<app01>
"""
FILTER = """\
Nov 16 10:00:00 mail postfix/smtpd[21]: A1B2C3D4E5: client=mx.far.test[192.0.2.1]
Nov 16 10:00:00 mail postfix/qmgr[23]: A1B2C3D4E5: from=<a@far.test>, size=650, nrcpt=1 (queue active)
Nov 16 10:00:01 mail postfix/smtpd[31]: B2C3D4E5F6: client=localhost[127.0.0.1]
Nov 16 10:00:01 mail postfix/qmgr[23]: B2C3D4E5F6: from=<a@far.test>, size=700, nrcpt=1 (queue active)
Nov 16 10:00:01 mail postfix/smtp[14]: A1B2C3D4E5: to=<bob@example.test>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, delays=0.1/0/0/0.9, dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as B2C3D4E5F6)
Nov 16 10:00:01 mail postfix/qmgr[23]: A1B2C3D4E5: removed
Nov 16 10:00:02 mail postfix/local[24]: B2C3D4E5F6: to=<bob@example.test>, relay=local, delay=0.2, delays=0.1/0/0/0.1, dsn=5.1.1, status=bounced (unknown user: "bob")
Nov 16 10:00:02 mail postfix/bounce[25]: B2C3D4E5F6: sender non-delivery notification: C3D4E5F607
Nov 16 10:00:02 mail postfix/qmgr[23]: C3D4E5F607: from=<>, size=2700, nrcpt=1 (queue active)
Nov 16 10:00:02 mail postfix/qmgr[23]: B2C3D4E5F6: removed
"""


def looked_for(key: str, directory: Path, *logs: str, since: datetime | None = None) -> Trace:
    sources = []
    for number, text in enumerate(logs):
        path = directory / f"{number}.log"
        path.write_text(text)
        sources.append(source_of(str(path)))
    return trace(key, sources, NOW, since)


def test_a_queue_id_gives_every_step_of_its_message(tmp_path: Path) -> None:
    (message,) = looked_for("4D4A3180CE2", tmp_path, APP).messages
    assert [step.kind for step in message.steps] == [
        "submitted",
        "message-id",
        "queued",
        "deferred",
        "queued",
        "sent",
        "removed",
    ]
    assert (message.outcome, message.sender, message.size) == ("sent", "www-data@app01.example.test", 432)
    reason = message.steps[3].reason
    assert reason is not None
    assert reason.meaning == "connect.refused"
    assert message.steps[3].after == 30.0


def test_the_next_hosts_log_continues_the_way(tmp_path: Path) -> None:
    first, second = looked_for("4D4A3180CE2", tmp_path, APP, MAIL).messages
    assert (first.went_on_as, second.came_from) == (("5E5B4290DF3",), ("4D4A3180CE2",))
    assert (second.host, second.outcome) == ("mail", "sent")


def test_the_way_is_followed_backwards_too(tmp_path: Path) -> None:
    found = looked_for("5E5B4290DF3", tmp_path, APP, MAIL)
    assert [message.queue_id for message in found.messages] == ["4D4A3180CE2", "5E5B4290DF3"]


@pytest.mark.parametrize(
    "key",
    [
        "<20261116100000.1@app01.example.test>",
        "20261116100000.1@app01.example.test",
        "alice@example.test",
        "Alice@Example.TEST",
    ],
)
def test_a_message_id_or_an_address_leads_to_its_messages(tmp_path: Path, key: str) -> None:
    assert {message.queue_id for message in looked_for(key, tmp_path, APP, MAIL).messages} == {
        "4D4A3180CE2",
        "5E5B4290DF3",
    }


def test_a_client_address_gives_its_messages_and_its_refusals(tmp_path: Path) -> None:
    found = looked_for("10.0.1.20", tmp_path, MAIL)
    assert [message.queue_id for message in found.messages] == ["5E5B4290DF3"]
    assert [step.kind for step in found.others] == ["connected", "rejected"]
    assert [step.reason.meaning for step in found.others if step.reason] == ["relay.denied"]


def test_a_filter_and_a_bounce_are_followed(tmp_path: Path) -> None:
    found = looked_for("A1B2C3D4E5", tmp_path, FILTER)
    assert [(m.queue_id, m.outcome) for m in found.messages] == [
        ("A1B2C3D4E5", "sent"),
        ("B2C3D4E5F6", "bounced"),
        ("C3D4E5F607", "in the queue"),
    ]
    assert found.messages[2].came_from == ("B2C3D4E5F6",)


def test_a_short_queue_id_that_was_used_twice_is_two_messages(tmp_path: Path) -> None:
    again = MAIL.replace("Nov 16 10:0", "Nov 17 11:0")
    assert len(looked_for("5E5B4290DF3", tmp_path, MAIL + again).messages) == 2
    assert (
        len(looked_for("5E5B4290DF3", tmp_path, MAIL + again, since=datetime(2026, 11, 17, tzinfo=UTC)).messages) == 1
    )


def test_a_queue_id_is_not_found_within_a_longer_word(tmp_path: Path) -> None:
    assert looked_for("D4A3180CE", tmp_path, APP) == Trace("D4A3180CE", (), (), 0)


def test_a_compressed_log_is_traced(tmp_path: Path) -> None:
    path = tmp_path / "mail.log.1.gz"
    path.write_bytes(gzip.compress(MAIL.encode()))
    assert trace("5E5B4290DF3", [source_of(str(path))], NOW).messages[0].outcome == "sent"


def test_blocks_cut_lines_anywhere_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(lines("traffic", 400, seed=3))
    qid = next(line.split(": ")[1] for line in text.splitlines() if ", nrcpt=" in line)
    expected = [line for line in text.splitlines() if f" {qid}: " in line]
    path = tmp_path / "mail.log"
    path.write_text(text)
    for size in (1, 7, 100, 333, 5000):
        monkeypatch.setattr(find, "BLOCK", size)
        hits = list(find.find([(0, source_of(str(path)), 0)], frozenset({qid.encode()})))
        assert [hit.line.decode() for hit in hits] == expected
        assert all(text.encode()[hit.offset :].startswith(hit.line) for hit in hits)


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1), st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_no_key_and_no_log_makes_a_trace_fail(tmp_path_factory: pytest.TempPathFactory, key: str, text: str) -> None:
    path = tmp_path_factory.mktemp("trace") / "mail.log"
    path.write_text(f"{text}\n{MAIL}{text}", encoding="utf-8")
    found = trace(key, [source_of(str(path))], NOW)
    assert all("\x1b" not in line for line in as_text(found))
    json.dumps(as_document(found))


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_the_command_prints_the_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mail.log"
    path.write_text(MAIL)
    assert command.main(arguments("5E5B4290DF3", "--log", str(path))) == 0
    assert "5E5B4290DF3 on mail: SENT" in capsys.readouterr().out
    assert command.main(arguments("5E5B4290DF3", "--log", str(path), "--json")) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "maildiag.trace/1"
    assert command.main(arguments("FFFFFFFFFF", "--log", str(path))) == 1


def test_the_command_tells_a_missing_file_and_a_bad_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments("x@y.test", "--log", str(tmp_path / "none"))) == 1
    assert "No such file" in capsys.readouterr().err
    with pytest.raises(UsageError, match="not a time"):
        command.main(arguments("x@y.test", "--since", "whenever"))
