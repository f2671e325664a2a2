"""Where people's mail ends: tables of the lab's hosts in, verdicts out."""

from __future__ import annotations

from typing import Any

import pytest

from maildiag.facts.accounts import Account, Accounts
from maildiag.facts.destinations import alias_targets
from maildiag.facts.domains import Claim, Domains, domains
from maildiag.facts.forwards import Forwards, forwards
from maildiag.facts.mailboxes import Delivery, Mailbox, Mailboxes
from maildiag.facts.postfix import Postfix
from maildiag.facts.tables import Table, Tables
from maildiag.lint.look_up import Table as Source
from maildiag.lint.sinks import is_idle
from maildiag.lint.tables import TableUse
from maildiag.model import Gap, GapReason, HostRole, Role, Status, Verdict
from maildiag.probes import Probe, ReadFile, command
from maildiag.testing import file, gather, info, judge, printed
from maildiag_checks.destinations import destination
from tests.unit.postfix_files import config

GUIDE = (
    "myhostname = mail.example.test",
    "mydomain = example.test",
    "myorigin = $mydomain",
    "mydestination = $myhostname, localhost.$mydomain, localhost, $mydomain",
    "home_mailbox = Maildir/",
    "recipient_delimiter = +",
)
ALICE, BOB, DEPLOY = (
    Account(name, 1000 + number, 1000, f"/home/{name}", "/bin/bash")
    for number, name in enumerate(("alice", "bob", "deploy"))
)
PEOPLE = Accounts((ALICE, BOB, DEPLOY))
DOMAINS = Domains(
    (*(Claim(each, "mydestination", "mydestination") for each in ("mail.example.test", "localhost", "example.test")),
     Claim("virtual.test", "virtual_alias_domains", "virtual_alias_domains")), ()
)  # fmt: skip
BOXES = Mailboxes(
    Delivery("home_mailbox", "Maildir/"),
    (
        Mailbox("alice", "alice", "alice", "/home/alice", "/home/alice/Maildir", seen=3),
        Mailbox("bob", "bob", "bob", "/home/bob", "/home/bob/Maildir"),
        Mailbox("deploy", "deploy", "deploy", "/home/deploy", "/home/deploy/Maildir", exists=False),
    ),
)
SERVER = HostRole(Role.MAIL_SERVER, "test")
CLIENT = HostRole(Role.RELAY_CLIENT, "test")
ALIASES = "hash:/etc/aliases"
VIRTUAL = "hash:/etc/postfix/virtual"


def table(name: str, text: str | Gap, user: str) -> Table:
    kind, _, path = name.partition(":")
    return Table(
        use=TableUse(kind, path, user),
        users=(user,),
        source=info(path),
        text=file(text) if isinstance(text, str) else text,
    )


FORWARDS = frozenset(("root", "alice", "bob", "deploy"))


def forwarded(**texts: str) -> Forwards:
    return Forwards({name: (f"/home/{name}/.forward", text) for name, text in texts.items()}, FORWARDS)


def told(
    *lines: str,
    forward: Forwards | None = None,
    aliases: str = "root: alice\n",
    virtual: str | Gap = "",
    transport: str = "",
    by: str = VIRTUAL,
    role: HostRole = SERVER,
    boxes: Mailboxes | None = BOXES,
) -> list[Verdict]:
    named = [f"alias_maps = {ALIASES}"]
    found = [table(ALIASES, aliases, "alias_maps")]
    if virtual:
        named.append(f"virtual_alias_maps = {by}")
        found.append(table(by, virtual, "virtual_alias_maps"))
    if transport:
        named.append("transport_maps = hash:/etc/postfix/transport")
        found.append(table("hash:/etc/postfix/transport", transport, "transport_maps"))
    made = config(*GUIDE, *named, *lines)
    return judge(destination, made, DOMAINS, Tables(tuple(found)), None, PEOPLE, boxes, role, None, forward)


def statuses(found: list[Verdict]) -> list[tuple[Status, str]]:
    return [(each.status, each.subject) for each in found]


def test_a_catch_all_takes_the_mail_of_the_people_who_have_no_entry_of_their_own() -> None:
    (found,) = told(virtual="@example.test bob\n")
    assert (found.status, found.subject) == (Status.WARNING, VIRTUAL)
    assert found.data["addresses"] == ["alice@example.test"]
    assert found.title.startswith(
        "Mail for alice@example.test goes to bob: @example.test bob (/etc/postfix/virtual line 1)"
    )


@pytest.mark.parametrize("by", ["regexp:/etc/postfix/virtual", "pcre:/etc/postfix/virtual"])
def test_a_pattern_for_everybody_is_a_catch_all_too(by: str) -> None:
    found = told(virtual="# all\n/./ bob@example.test\n", by=by)
    assert statuses(found) == [(Status.WARNING, by)]
    assert found[0].fixes[0].commands[0][-2:] == ("2s/^/#/", "/etc/postfix/virtual")


def test_rules_within_main_cf_count_as_those_of_a_file_do() -> None:
    by = "regexp:{ { /^[a-z]{3,9}@example.test/ bob@example.test }, { /./ eve@example.test } }"
    found = told(f"virtual_alias_maps = {by}")
    assert [each.data["addresses"] for each in found] == [["alice@example.test"]]
    assert "goes to bob" in found[0].title


@pytest.mark.parametrize(
    "virtual",
    [
        "@example.test bob\nalice@example.test alice@example.test\n",  # each has a line
        "@example.test bob\nalice alice\n",  # the bare name counts in an own domain
        "@virtual.test bob\n",  # a domain without accounts
        "alice@example.test alice@elsewhere.test\n",  # a forwarding
        "alice@example.test alice@example.test, alice@autoreply.test\n",  # a vacation address
        "@example.test @elsewhere.test\n",  # a domain under another name
    ],
)
def test_entries_that_are_meant_for_a_person_are_nobody_else_s_business(virtual: str) -> None:
    assert statuses(told(virtual=virtual)) == [(Status.OK, "")]


def test_an_account_that_never_had_a_mailbox_is_no_person_whose_mail_is_taken() -> None:
    assert statuses(told(virtual="@example.test deploy\nalice@example.test alice\nbob@example.test bob\n")) == [
        (Status.OK, "")
    ]


def test_an_alias_of_a_person_s_used_account_to_dev_null_is_a_warning() -> None:
    (found,) = told(aliases="root: alice\nalice: /dev/null\n")
    assert (found.status, found.subject) == (Status.WARNING, ALIASES)
    assert "alice: /dev/null (/etc/aliases line 2)" in found.title


def test_an_alias_of_an_account_that_never_got_mail_is_meant_so() -> None:
    assert statuses(told(aliases="bob: /dev/null\n")) == [(Status.NOTICE, ALIASES), (Status.OK, "")]


@pytest.mark.parametrize(
    "aliases",
    ["noreply: /dev/null\nabuse: root\nroot: alice\n", 'alice: \\alice, "|/usr/bin/vacation alice"\n', "alice: alice, /srv/archive\n", "alice: bob\n"],
)  # fmt: skip
def test_usual_aliases_are_fine(aliases: str) -> None:
    assert statuses(told(aliases=aliases)) == [(Status.OK, "")]


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("mailbox_command = /bin/true", "mailbox_command"),
        ("mailbox_command = cat > /dev/null", "mailbox_command"),
        ("mailbox_transport = discard:", "mailbox_transport"),
        ("local_transport = discard:", "local_transport"),
    ],
)
def test_a_setting_that_throws_the_mail_of_all_away_is_critical(line: str, subject: str) -> None:
    (found,) = told(line)
    assert (found.status, found.subject) == (Status.CRITICAL, subject)
    assert found.fixes[0].automatic


@pytest.mark.parametrize(
    "line",
    ['mailbox_command = /usr/bin/procmail -a "$EXTENSION"', "mailbox_transport = lmtp:unix:private/dovecot-lmtp"],
)
def test_programs_that_deliver_are_fine(line: str) -> None:
    assert statuses(told(line)) == [(Status.OK, "")]


def test_a_transport_for_the_own_domain_that_discards_loses_all_of_its_mail() -> None:
    assert statuses(told(transport="example.test discard:\n")) == [(Status.CRITICAL, "hash:/etc/postfix/transport")]
    assert statuses(told(transport="spam.example.test discard:\npartner.test discard:\n")) == [(Status.OK, "")]


def test_a_transport_for_everything_loses_all_mail_on_a_server_and_what_leaves_a_client() -> None:
    (server,) = told(transport="* discard:\n")
    assert (server.status, server.title[:41]) == (Status.CRITICAL, "All mail is thrown away without a word: *")
    (client,) = told("mydestination =", transport="* discard:\n", role=CLIENT)
    assert (client.status, client.title[:40]) == (Status.CRITICAL, "Mail for other domains is thrown away: *")


def test_a_client_that_forwards_is_skipped() -> None:
    assert statuses(told("relayhost = [10.0.1.10]:25", role=CLIENT)) == [(Status.SKIPPED, "")]


def test_a_table_that_may_not_be_read_is_unknown_and_a_data_base_is_skipped() -> None:
    assert statuses(told(virtual=Gap(GapReason.DENIED, "virtual: denied"))) == [(Status.UNKNOWN, "")]
    assert statuses(told("virtual_alias_maps = mysql:/etc/postfix/virtual.cf")) == [(Status.SKIPPED, "")]


def test_a_pattern_that_fits_any_text_is_no_list_of_domains() -> None:
    """`/./ bob@example.test` in virtual_alias_maps, which virtual_alias_domains is by default, as postmap answers for it."""
    made = config(*GUIDE, "virtual_alias_maps = regexp:/etc/postfix/virtual")
    query = ("postmap", "-q")
    answers: dict[Probe[Any], Any] = {command(*query, each, "regexp:/etc/postfix/virtual"): printed("(withheld)\n")
               for each in ("maildiag-asks-for-nothing.invalid", "example.test", "mail.example.test", "localhost", "localhost.example.test")}  # fmt: skip
    found = gather(domains, answers, postfix_config=made)
    assert isinstance(found, Domains)
    assert {each.parameter for each in found.claims} == {"mydestination"}
    assert found.complete


def test_a_forward_to_a_name_that_nobody_has_sends_each_message_back() -> None:
    (found,) = told(forward=forwarded(alice="# away\ncarol\n"))
    assert (found.status, found.subject) == (Status.WARNING, "alice@example.test")
    assert "carol (/home/alice/.forward line 2), and carol has neither account nor alias" in found.title
    assert told("luser_relay = bob", forward=forwarded(alice="carol\n"))[0].status is Status.OK


def test_forwards_in_a_circle_are_told() -> None:
    found = told(forward=forwarded(alice="bob@example.test\n", bob="alice\n"))
    assert [(each.status, each.subject) for each in found] == [
        (Status.WARNING, f"{name}@example.test") for name in ("alice", "bob")
    ]
    assert "mail forwarding loop" in found[0].detail
    assert [each.status for each in told(forward=forwarded(alice="root\n"))] == [Status.WARNING], "the alias leads back"


@pytest.mark.parametrize(
    "text",
    [
        "\\alice, alice@elsewhere.test\n",
        "alice\n",
        '"|/usr/bin/vacation alice", \\alice\n',
        "bob\n",
        "joe@partner.test\n",
        "\n",
    ],
)
def test_forwards_that_lead_to_somebody_are_fine(text: str) -> None:
    assert statuses(told(forward=forwarded(alice=text))) == [(Status.OK, "")]


def test_a_forward_to_dev_null_throws_the_mail_of_a_mailbox_in_use_away() -> None:
    assert [each.status for each in told(forward=forwarded(alice="/dev/null\n"))] == [Status.WARNING]


def test_the_files_of_people_are_read_where_local_reads_them() -> None:
    answers: dict[Probe[Any], Any] = {
        ReadFile("/home/alice/.forward", 4096): file("bob, ldapuser@example.test, carol\n"),
        command("getent", "passwd", "ldapuser"): printed("ldapuser:x:9000:9000::/home/ldapuser:/bin/bash\n"),
        command("getent", "passwd", "carol"): printed(status=2),
        ReadFile("/home/bob/.forward", 4096): Gap(GapReason.ABSENT, "no such file"),
    }
    usual = {
        "forward_path": "$home/.forward${recipient_delimiter}${extension}, $home/.forward",
        "local_transport": "local:mail",
    }
    found = gather(forwards, answers, accounts=PEOPLE, postfix=Postfix(True, "3.7.11", usual))
    assert isinstance(found, Forwards)
    assert found.files == {"alice": ("/home/alice/.forward", "bob, ldapuser@example.test, carol\n")}
    assert found.known == {"alice", "bob", "deploy", "ldapuser"}
    elsewhere = gather(
        forwards, answers, accounts=PEOPLE, postfix=Postfix(True, "3.7.11", usual | {"forward_path": ""})
    )
    assert isinstance(elsewhere, Forwards)
    assert elsewhere.files == {}


@pytest.mark.parametrize(
    "line", ["mailbox_command_maps = static:/bin/true", "mailbox_transport_maps = static:discard:"]
)
def test_commands_and_transports_by_user_count_before_those_of_all(line: str) -> None:
    assert [each.status for each in told(line)] == [Status.CRITICAL]


def door(
    line: str, rules: str = "permit_mynetworks, {}, reject_unauth_destination", boxes: Mailboxes = BOXES
) -> list[tuple[Status, str]]:
    name = "hash:/etc/postfix/recipients"
    made = config(
        *GUIDE,
        f"alias_maps = {ALIASES}",
        f"smtpd_recipient_restrictions = {rules.format(f'check_recipient_access {name}')}",
    )
    found = Tables(
        (table(ALIASES, "root: alice\n", "alias_maps"), table(name, f"{line}\n", "smtpd_recipient_restrictions"))
    )
    return statuses(judge(destination, made, DOMAINS, found, None, PEOPLE, boxes, SERVER, None))


def test_an_access_table_that_sends_the_mail_of_a_domain_away_is_told() -> None:
    name = "hash:/etc/postfix/recipients"
    assert door("example.test DISCARD") == [(Status.CRITICAL, name)]
    assert door("example.test REDIRECT archive@elsewhere.test") == [(Status.WARNING, name)]
    assert door("alice@example.test DISCARD") == [(Status.WARNING, name)], "her mailbox is in use"


@pytest.mark.parametrize(
    "line",
    [
        "alice@example.test REDIRECT bob@example.test",
        "bob@example.test DISCARD",
        "spam.test DISCARD",
        "example.test OK",
        "noreply@ DISCARD",
    ],
)
def test_access_entries_that_are_meant_are_fine(line: str) -> None:
    assert door(line) == [(Status.OK, "")]


def test_patterns_answer_as_regexp_table_says() -> None:
    text = "if /@example\\.test$/\n!/^alice@/ bob\n/^(.*)@/ ${1}@other.test\nendif\n/^x/i low\n"
    source = Source("regexp", text)
    told_ = {
        key: row.value if (row := source.find(key)) else None
        for key in ("joe@example.test", "ALICE@example.test", "x@y", "X@y")
    }
    assert told_ == {"joe@example.test": "bob", "ALICE@example.test": "ALICE@other.test", "x@y": "low", "X@y": None}
    with pytest.raises(ValueError, match="line 1"):
        Source("pcre", "/(/ bob\n")


def test_an_entry_is_found_with_its_line_and_what_continues_it() -> None:
    text = "# boxes\n\nAlice@Example.test  bob,\n  carol\n# more\n  dave\nalice@example.test eve\nlonely\n"
    row = Source("hash", text).find("alice@example.test")
    assert row is not None
    assert row.line is not None
    assert (row.value, row.line.first, row.line.last) == ("bob,  carol  dave", 3, 6)
    assert [Source("hash", text).find(each) for each in ("lonely", "carol", "nobody")] == [None, None, None]
    alias = Source("hash", '"john doe": jd\nlist :\n  bob, eve\n', aliases=True)
    assert [row.value if (row := alias.find(each)) else None for each in ("john doe", "list", "bob")] == [
        "jd",
        "bob, eve",
        None,
    ]


def test_commands_that_store_nothing_are_told_from_those_that_do() -> None:
    assert all(map(is_idle, ["/bin/true", ": ", "exit 0", "cat >/dev/null", "/usr/bin/cat > /dev/null 2>&1"]))
    assert not any(
        map(is_idle, ["", "/usr/lib/dovecot/deliver", "/usr/local/bin/store >/dev/null", "cat >> ~/mbox", "'open"])
    )


def test_the_targets_of_an_alias_keep_what_is_in_quotes() -> None:
    assert alias_targets('bob, "|/bin/cat, x", :include:/l') == ["bob", "|/bin/cat, x", ":include:/l"]
