"""Where virtual(8) delivers and where Dovecot looks: the lab's files and doveadm's answers in, verdicts out."""

from __future__ import annotations

import pytest

from maildiag.dovecot.syntax import parse
from maildiag.dovecot.tree import build
from maildiag.facts.domains import Claim, Domains
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_users import MailUser, MailUsers
from maildiag.facts.tables import Table, Tables
from maildiag.lint.tables import TableUse
from maildiag.model import Gap, GapReason, Status, Verdict
from maildiag.testing import file, info, judge
from maildiag_checks.virtual_places import virtual_place
from tests.unit.postfix_files import config

FILE = "/etc/dovecot/local.conf"
BOXES = "hash:/etc/postfix/vmailbox"
SETTINGS = (
    "virtual_mailbox_domains = virtual.test",
    f"virtual_mailbox_maps = {BOXES}",
    "virtual_uid_maps = static:5000",
    "virtual_gid_maps = static:5000",
)
INFO = MailUser(
    "info@virtual.test",
    {"uid": "5000", "gid": "5000", "home": "/var/vmail/virtual.test/info"},
    "/var/vmail/virtual.test/info",
)


def told(
    value: str = "virtual.test/info/",
    base: str = "/var/vmail",
    transport: str = "virtual",
    location: str = "mail_location = maildir:/var/vmail/%d/%n",
    user: MailUser = INFO,
    text: Gap | None = None,
) -> list[Verdict]:
    boxes = Table(
        use=TableUse("hash", "/etc/postfix/vmailbox", "virtual_mailbox_maps"),
        users=("virtual_mailbox_maps",),
        source=info("/etc/postfix/vmailbox"),
        text=text or file(f"# boxes\ninfo@virtual.test {value}\n"),
    )
    made = config(*SETTINGS, f"virtual_mailbox_base = {base}", f"virtual_transport = {transport}")
    domains = Domains((Claim("virtual.test", "virtual_mailbox_domains", "virtual_mailbox_domains"),), ())
    tree = build(parse(f"{location}\n", FILE))
    return judge(
        virtual_place,
        made,
        domains,
        Tables((boxes,)),
        MailUsers("test", (user,)),
        DovecotConfig("2.3.19", tree, tree, lines={FILE: (location,)}),
    )


def test_the_same_place_in_the_same_format_is_fine() -> None:
    assert [each.status for each in told()] == [Status.OK]
    assert [
        each.status for each in told("virtual.test/info", location="mail_location = mbox:~/mail:INBOX=/var/vmail/%d/%n")
    ] == [Status.OK]


def test_another_base_is_named_with_its_setting() -> None:
    (found,) = told(base="/srv/vmail")
    assert (found.status, found.subject) == (Status.CRITICAL, "virtual_mailbox_base")
    assert (
        found.title
        == "virtual(8) delivers to /srv/vmail/virtual.test/info/, and Dovecot looks for INBOX in /var/vmail/virtual.test/info"
    )


def test_another_path_in_the_table_is_named_with_its_line() -> None:
    (found,) = told("info/")
    assert (found.status, found.subject) == (Status.CRITICAL, BOXES)
    assert ("/etc/postfix/vmailbox:2", "info@virtual.test info/") in [
        (each.source, each.text) for each in found.evidence
    ]


@pytest.mark.parametrize(
    ("value", "location"),
    [("virtual.test/info", "mail_location = maildir:/var/vmail/%d/%n"), ("virtual.test/info/", "mail_driver = mbox")],
)
def test_a_slash_too_few_or_too_many_makes_another_format(value: str, location: str) -> None:
    (found,) = told(value, location=location)
    assert (found.status, found.subject) == (Status.CRITICAL, BOXES)
    assert "different formats" in found.title


def test_users_that_others_deliver_to_and_tables_that_are_not_read_are_skipped() -> None:
    assert [each.status for each in told(transport="lmtp:unix:private/dovecot-lmtp")] == [Status.SKIPPED]
    assert [each.status for each in told(user=MailUser("alice", {}, "/home/alice/Maildir"))] == [Status.SKIPPED]
    assert [each.status for each in told(text=Gap(GapReason.DENIED, "denied"))] == [Status.UNKNOWN]
