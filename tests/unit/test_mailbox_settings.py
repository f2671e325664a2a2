"""Dovecot's settings by which mail disappears or is somebody else's: configurations of the lab in, verdicts out."""

from __future__ import annotations

import pytest

from maildiag.dovecot.syntax import parse
from maildiag.dovecot.tree import build
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_users import MailUser, MailUsers
from maildiag.facts.postfix import Postfix
from maildiag.model import Status, Verdict
from maildiag.testing import judge
from maildiag_checks.mailbox_settings import mailbox_settings

FILE = "/etc/dovecot/local.conf"
LMTP = {"mailbox_transport": "lmtp:unix:private/dovecot-lmtp", "recipient_delimiter": "+"}


def user(name: str, inbox: str) -> MailUser:
    return MailUser(name, {"uid": "1000", "home": f"/home/{name}"}, inbox)


APART = (user("alice", "/home/alice/Maildir"), user("bob", "/home/bob/Maildir"))


def told(text: str = "", users: tuple[MailUser, ...] = APART, **settings: str) -> list[Verdict]:
    tree = build(parse(text, FILE))
    config = DovecotConfig("2.3.19.1", tree, tree, files=(FILE,), lines={FILE: tuple(text.splitlines())})
    return judge(mailbox_settings, config, MailUsers("test", users), Postfix(True, "3.7.11", settings))


def statuses(found: list[Verdict]) -> list[tuple[Status, str]]:
    return [(each.status, each.subject) for each in found]


def test_a_place_without_the_user_in_it_is_one_for_all() -> None:
    (found,) = told("mail_location = maildir:/srv/mail\n", (user("alice", "/srv/mail"), user("bob", "/srv/mail")))
    assert (found.status, found.subject) == (Status.CRITICAL, "place")
    assert (found.evidence[0].source, found.evidence[0].text) == (FILE, "1: mail_location = maildir:/srv/mail")


@pytest.mark.parametrize(
    "users",
    [
        APART,
        APART[:1],
        (),
        (user("alice", "/srv/a"), user("alice@example.test", "/srv/a")),
        (user("info", "/srv/info"), user("kontakt", "/srv/info"), user("alice", "/srv/alice")),
    ],
)
def test_users_with_places_of_their_own_and_some_who_share_one_are_fine(users: tuple[MailUser, ...]) -> None:
    assert statuses(told(users=users)) == [(Status.OK, "")]


INBOX = "namespace inbox {\n  mailbox %s {\n    autoexpunge = %s\n  }\n}\n"


def test_mail_that_goes_from_the_inbox_by_itself_is_a_warning_with_its_line() -> None:
    (found,) = told(INBOX % ("INBOX", "1d"))
    assert (found.status, found.subject) == (Status.WARNING, "autoexpunge")
    assert found.title == f"{FILE}:3: autoexpunge = 1d deletes mail from INBOX, read or not"
    assert found.fixes[0].automatic
    assert statuses(told(INBOX % ("*", "30d"))) == [(Status.WARNING, "autoexpunge")]


@pytest.mark.parametrize(("box", "value"), [("Trash", "30d"), ("Junk", "7d"), ("INBOX", "0"), ("INBOX/*", "30d")])
def test_mail_that_goes_from_trash_is_fine(box: str, value: str) -> None:
    assert statuses(told(INBOX % (box, value))) == [(Status.OK, "")]


def test_a_delimiter_that_is_a_part_of_a_name_gives_the_mail_to_somebody_else() -> None:
    anna = user("anna-maria", "/home/anna-maria/Maildir")
    (found,) = told("recipient_delimiter = -\n", (*APART, anna), **LMTP)
    assert (found.status, found.subject) == (Status.WARNING, "recipient_delimiter")
    assert "mail for anna-maria for anna's" in found.title
    assert statuses(told("", (*APART, anna), **LMTP)) == [(Status.OK, "")]
    for other in ({"home_mailbox": "Maildir/"}, {"mailbox_command": "/usr/lib/dovecot/dovecot-lda"}):
        assert statuses(told("recipient_delimiter = -\n", (*APART, anna), **other)) == [(Status.OK, "")]


@pytest.mark.parametrize(
    ("dovecot", "postfix", "status"),
    [("+", "+", Status.OK), ("+-", "+", Status.OK), ("-", "+", Status.WARNING), ("+", "", Status.OK)],
)
def test_both_cut_at_the_same_letter(dovecot: str, postfix: str, status: Status) -> None:
    (found,) = told(f"recipient_delimiter = {dovecot}\n", APART, **LMTP | {"recipient_delimiter": postfix})
    assert found.status is status


ONE = "mail_location = maildir:~/Maildir\n"


@pytest.mark.parametrize(
    ("text", "settings", "place"),
    [
        (f"{ONE}protocol lmtp {{\n  mail_location = maildir:~/by-lmtp\n}}\n", LMTP, "~/by-lmtp"),
        (f"{ONE}protocol imap {{\n  mail_location = maildir:~/Mail\n}}\n", {"home_mailbox": "Maildir/"}, "~/Mail"),
        (f"{ONE}protocol imap {{\n  mail_location = maildir:~/Mail\n}}\n", LMTP, "~/Mail"),
    ],
)
def test_a_place_of_one_protocol_alone_hides_what_another_stores(
    text: str, settings: dict[str, str], place: str
) -> None:
    (found,) = told(text, APART, **settings)
    assert (found.status, found.subject) == (Status.CRITICAL, "mail_location")
    assert place in found.title
    assert found.fixes[0].commands[0][3] == "3s/^/#/"


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (f"{ONE}protocol imap {{\n  mail_location = maildir:~/Maildir:INDEX=/var/index/%u\n}}\n", LMTP),
        (f"{ONE}protocol lmtp {{\n  mail_location = maildir:~/by-lmtp\n}}\n", {"home_mailbox": "Maildir/"}),
        ("protocol imap {\n  mail_location = maildir:~/Maildir\n}\n", {"home_mailbox": "Maildir/"}),
    ],
)
def test_places_that_are_one_and_those_that_nobody_uses_are_fine(text: str, settings: dict[str, str]) -> None:
    assert [each.status for each in told(text, APART, **settings)] == [Status.OK]
