"""Lookup tables: files in, verdicts out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from maildiag.access import READ, allows
from maildiag.facts.tables import Table, Tables
from maildiag.facts.tables import tables as gather_tables
from maildiag.lint.context import words
from maildiag.lint.table_source import bad_lines
from maildiag.lint.tables import TableUse, table_uses, tables_in
from maildiag.model import Gap, GapReason, Status, Verdict
from maildiag.probes import CommandResult, Connect, Connection, FileInfo, Identity, ReadFile, Stat, TryConnect, command
from maildiag.testing import NOW, file, gather, info, judge, printed
from maildiag_checks.postfix_tables import lookup_tables
from tests.unit.postfix_files import config
from tests.unit.recorded import log

VIRTUAL = "/etc/postfix/virtual"
ABSENT = Gap(GapReason.ABSENT, "no such file")
NAMED = "virtual_alias_maps = hash:/etc/postfix/virtual"
RELOAD = ("postfix", "reload")


def table(
    source: FileInfo | Gap = ABSENT,
    built: FileInfo | Gap | None = None,
    users: tuple[str, ...] = ("virtual_alias_maps",),
    kind: str = "hash",
    **more: object,
) -> Table:
    use = TableUse(kind, VIRTUAL, users[0])
    return Table(use=use, users=users, source=source, built=built, **more)  # type: ignore[arg-type]


def said(one: Table, line: str = NAMED) -> Verdict:
    found = judge(lookup_tables, Tables((one,)), config(line), None)
    assert len(found) == 1, [each.title for each in found]
    return found[0]


def test_a_table_that_only_root_may_open_is_unknown_to_everybody_else_and_not_broken() -> None:
    refused = CommandResult(1, "", "postmap: fatal: open /etc/postfix/virtual: Permission denied\n")
    closed = table(info(VIRTUAL, mode=0o640), kind="sqlite", query=refused)
    alice = Identity("mail", "Linux", NOW, NOW, privileged=False)
    verdicts = {who: judge(lookup_tables, Tables((closed,)), config(NAMED), who)[0] for who in (alice, None)}
    assert verdicts[alice].status is Status.UNKNOWN
    assert "needs root" in verdicts[alice].detail
    assert verdicts[None].status is Status.CRITICAL


NO_BASE64 = (
    "2026-11-28T08:41:18.448706+00:00 mail postfix/submission/smtpd[575]: warning: table hash:/etc/postfix/virtual.db: "
    "key mail.example.test: malformed BASE64 value: /etc/ssl/private/mail.example."
)


def test_a_table_of_certificates_is_built_with_what_the_files_hold() -> None:
    answered = CommandResult(1, "", "")
    named = table(info(VIRTUAL), info(f"{VIRTUAL}.db"), ("tls_server_sni_maps",), query=answered)
    line = NAMED.replace("virtual_alias_maps", "tls_server_sni_maps")
    told = log(f"{NO_BASE64}\n", "", datetime(2026, 11, 28, 8, 42, tzinfo=UTC))
    (verdict,) = judge(lookup_tables, Tables((named,)), config(line), None, told)
    assert "built without -F" in verdict.title
    assert verdict.fixes[0].commands == (("postmap", "-F", "hash:/etc/postfix/virtual"), RELOAD)
    assert judge(lookup_tables, Tables((named,)), config(line), None, None)[0].status is Status.OK


def test_a_table_that_was_never_built_is_critical_and_built_with_its_configured_type() -> None:
    verdict = said(table(info(VIRTUAL), ABSENT))
    assert (verdict.status, verdict.subject) == (Status.CRITICAL, "hash:/etc/postfix/virtual")
    assert verdict.fixes[0].commands == (("postmap", "hash:/etc/postfix/virtual"), RELOAD)
    assert verdict.fixes[0].automatic


def test_alias_tables_are_built_with_newaliases() -> None:
    verdict = said(table(info(VIRTUAL), ABSENT, users=("alias_maps", "alias_database")))
    assert verdict.fixes[0].commands == (("newaliases",), RELOAD)


def test_a_table_without_a_source_is_critical_and_names_the_line() -> None:
    verdict = said(table(ABSENT, ABSENT))
    assert verdict.status is Status.CRITICAL
    assert "virtual_alias_maps" in verdict.evidence[1].text
    assert not any(fix.automatic for fix in verdict.fixes)


def test_postscreen_goes_on_without_a_list_that_is_missing() -> None:
    verdict = said(
        table(ABSENT, users=("postscreen_access_list",), kind="cidr"), f"postscreen_access_list = cidr:{VIRTUAL}"
    )
    assert verdict.status is Status.WARNING
    assert "451" not in verdict.detail
    both = said(table(ABSENT, users=("postscreen_access_list", "smtpd_client_restrictions"), kind="cidr"))
    assert both.status is Status.CRITICAL


def test_a_table_older_than_its_source_is_a_warning() -> None:
    verdict = said(table(info(VIRTUAL, modified=NOW), info(VIRTUAL + ".db", modified=NOW - timedelta(seconds=30))))
    assert verdict.status is Status.WARNING


def test_a_table_that_is_up_to_date_is_fine() -> None:
    good = table(info(VIRTUAL, modified=NOW - timedelta(days=1)), info(VIRTUAL + ".db", modified=NOW))
    assert said(good).status is Status.OK


def test_what_may_not_be_looked_at_is_unknown() -> None:
    assert said(table(Gap(GapReason.DENIED, "permission denied", "needs root"), ABSENT)).status is Status.UNKNOWN


def test_a_table_closed_to_the_account_of_proxymap_is_opened_for_its_group_only() -> None:
    closed = info(VIRTUAL + ".db", mode=0o600)
    verdict = said(table(info(VIRTUAL), closed, reader="postfix", barrier=closed))
    assert verdict.status is Status.CRITICAL
    assert verdict.fixes[0].commands[:2] == (("chgrp", "postfix", VIRTUAL + ".db"), ("chmod", "g+r", VIRTUAL + ".db"))
    assert verdict.fixes[0].commands[2:] == (RELOAD,)


def test_what_postmap_says_of_a_broken_table_is_the_evidence() -> None:
    query = printed(stderr="postmap: fatal: open database /etc/postfix/virtual.db: Invalid argument\n", status=1)
    verdict = said(table(info(VIRTUAL), info(VIRTUAL + ".db"), query=query))
    assert verdict.status is Status.CRITICAL
    assert "Invalid argument" in verdict.evidence[0].text


def test_alias_tables_do_not_matter_where_there_is_no_local_user() -> None:
    missing = table(ABSENT, ABSENT, users=("alias_maps",))
    assert judge(lookup_tables, Tables((missing,)), config("mydestination ="), None)[0].status is Status.OK


def test_lines_without_a_value_and_comments_in_lists_are_told() -> None:
    found = bad_lines("a@example.test alice\nb@example.test\nc@example.test bob # boss\n", False, True)
    assert [(each.number, each.skipped) for each in found] == [(2, True), (3, False)]


def test_an_alias_without_a_colon_is_told() -> None:
    assert [each.number for each in bad_lines("postmaster: root\nroot alice\n", True)] == [2]


def test_continued_aliases_are_one_entry() -> None:
    assert bad_lines('team: alice,\n  bob\n"odd name": carol\n', True) == ()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("proxy:unix:passwd.byname hash:/etc/aliases", [("unix", "passwd.byname"), ("hash", "/etc/aliases")]),
        ("check_client_access hash:/etc/postfix/access, reject", [("hash", "/etc/postfix/access")]),
        ("proxy:mysql:/etc/postfix/sql.cf", [("mysql", "/etc/postfix/sql.cf")]),
        ("unionmap:{hash:/a/b,regexp:/c/d}", [("hash", "/a/b"), ("regexp", "/c/d")]),
        ("inet:127.0.0.1:8891 unix:/run/milter", [("unix", "/run/milter")]),
        ("[relay.example.test]:587", []),
        ("reject_rbl_client zen.spamhaus.org=127.0.0.[2..11]", []),
    ],
)
def test_tables_are_found_in_settings(value: str, found: list[tuple[str, str]]) -> None:
    assert [(kind, path) for kind, path, _ in tables_in(value)] == found


@pytest.mark.parametrize(
    "value", ["ldap://ldap.example.test", "ldaps://10.0.0.1:636 ldap://10.0.0.2", "http://x.test/"]
)
def test_an_address_of_a_server_is_no_table(value: str) -> None:
    assert list(tables_in(value)) == []


def test_caches_that_postfix_builds_itself_are_no_tables_of_the_administrator() -> None:
    names = {use.name for use in table_uses(config().context) if use.has_file}
    assert names == {"hash:/etc/aliases"}


def test_words_end_at_a_comment_and_braces_stay_whole() -> None:
    assert words("a, {b c}, d # e") == ("a", "{b c}", "d")


def test_a_query_is_asked_only_where_it_can_succeed() -> None:
    answers = {
        Stat(VIRTUAL): info(VIRTUAL),
        Stat(VIRTUAL + ".db"): ABSENT,
        Stat("/etc/aliases"): info("/etc/aliases"),
        Stat("/etc/aliases.db"): info("/etc/aliases.db"),
        ReadFile("/etc/aliases", 1024 * 1024): file("postmaster: root\n"),
        command("postmap", "-q", "maildiag-asks-for-nothing", "hash:/etc/aliases"): printed(status=1),
    }
    found = gather(gather_tables, answers, postfix_config=config(NAMED))
    assert isinstance(found, Tables)
    asked = {each.name: each.query for each in found.tables}
    assert asked["hash:/etc/postfix/virtual"] is None
    assert asked["hash:/etc/aliases"] == printed(status=1)


@pytest.mark.parametrize(
    ("mode", "group", "may"), [(0o640, "postfix", True), (0o600, "postfix", False), (0o604, "root", True)]
)
def test_mode_bits_decide_who_may_read(mode: int, group: str, may: bool) -> None:
    assert allows(info("/x", mode=mode, group=group), READ, "postfix", {"postfix"}) is may


REFUSED = Connection(Connect.REFUSED, "", "Connection refused")


@pytest.mark.parametrize(
    ("written", "server", "probe"),
    [
        ("tcp:127.0.0.1:9999", "127.0.0.1:9999", TryConnect("127.0.0.1", 9999)),
        ("proxy:tcp:10.0.1.77:9999", "10.0.1.77:9999", TryConnect("10.0.1.77", 9999)),
        ("socketmap:inet:localhost:10003:forward", "localhost:10003", TryConnect("localhost", 10003)),
        ("socketmap:unix:/run/tlspol/socket:QUERY", "/run/tlspol/socket", TryConnect("/run/tlspol/socket")),
        (
            "socketmap:unix:private/map:x",
            "/var/spool/postfix/private/map",
            TryConnect("/var/spool/postfix/private/map"),
        ),
    ],
)
def test_the_server_of_a_table_is_tried_and_named(written: str, server: str, probe: TryConnect) -> None:
    line = f"virtual_alias_maps = {written}"
    found = gather(gather_tables, {probe: REFUSED}, postfix_config=config(line))
    assert isinstance(found, Tables)
    (one,) = [each for each in found.tables if each.server]
    verdict = said(one, line)
    assert (verdict.status, verdict.data["server"]) == (Status.CRITICAL, server)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (CommandResult(1, "", ""), Status.OK),
        (Gap(GapReason.TIMEOUT, "postmap -q gave no answer within 5 s"), Status.CRITICAL),
        (Gap(GapReason.NOT_RECORDED, "not recorded"), Status.OK),
    ],
)
def test_a_server_that_takes_connections_has_to_answer_a_query(query: CommandResult | Gap, status: Status) -> None:
    use = TableUse("tcp", "127.0.0.1:9999", "virtual_alias_maps")
    connected = Connection(Connect.CONNECTED, "127.0.0.1")
    one = Table(
        use=use, users=("virtual_alias_maps",), source=ABSENT, server="127.0.0.1:9999", reached=connected, query=query
    )
    told = said(one)
    assert told.status is status
    if status is Status.CRITICAL:
        assert told.title == "The server of tcp:127.0.0.1:9999 at 127.0.0.1:9999 takes connections, and does not answer"


def test_a_server_that_answers_is_fine_and_one_that_may_not_be_tried_is_unknown() -> None:
    use = TableUse("tcp", "127.0.0.1:9999", "virtual_alias_maps")
    for answer, status in (
        (Connection(Connect.CONNECTED, ""), Status.OK),
        (Connection(Connect.DENIED, ""), Status.UNKNOWN),
    ):
        one = Table(use=use, users=("virtual_alias_maps",), source=ABSENT, server="127.0.0.1:9999", reached=answer)
        assert said(one).status is status


def test_memcached_is_where_its_table_says_or_on_its_own_port() -> None:
    line = "virtual_alias_maps = memcache:/etc/postfix/mc.cf"
    for text, probe in (
        ("memcache = inet:10.0.1.9:11212\n", TryConnect("10.0.1.9", 11212)),
        ("", TryConnect("localhost", 11211)),
    ):
        answers = {
            Stat("/etc/postfix/mc.cf"): info("/etc/postfix/mc.cf"),
            ReadFile("/etc/postfix/mc.cf", 1024 * 1024): file(text),
            probe: REFUSED,
        }
        found = gather(gather_tables, answers, postfix_config=config(line))
        assert isinstance(found, Tables)
        assert [each.reached for each in found.tables if each.server] == [REFUSED]


def test_a_postmap_that_says_nothing_and_ends_well_is_not_believed() -> None:
    source = info(VIRTUAL)
    assert said(table(source, info(f"{VIRTUAL}.db"), query=printed(""))).status is Status.UNKNOWN
    assert said(table(source, info(f"{VIRTUAL}.db"), query=printed(status=1))).status is Status.OK
