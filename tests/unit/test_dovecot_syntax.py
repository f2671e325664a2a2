"""Dovecot's configuration language: real files and real doveconf output in, settings with file and line out."""

from __future__ import annotations

from pathlib import Path

import pytest

from maildiag.dovecot.syntax import Assign, Include, Junk, Place, parse
from maildiag.dovecot.tree import Tree, build, tree_of

DATA = Path(__file__).parents[1] / "data" / "dovecot"


def tree(text: str) -> Tree:
    return build(parse(text, "/etc/dovecot/local.conf"))


def test_a_comment_behind_a_value_is_no_part_of_it() -> None:
    assert tree("auth_verbose = yes # for now\n").value("auth_verbose") == "yes"


def test_a_hash_within_a_word_or_in_quotes_is_no_comment() -> None:
    found = tree('mail_log_prefix = "%s #(%u): "\nlogin_greeting = C#\n')
    assert found.value("mail_log_prefix") == "%s #(%u): "
    assert found.value("login_greeting") == "C#"


def test_the_last_assignment_wins_and_knows_its_line() -> None:
    found = tree("ssl = yes\n\nssl = no\n").find("ssl")
    assert found is not None
    assert (found.value, found.place) == ("no", Place("/etc/dovecot/local.conf", 3))


def test_a_setting_knows_the_sections_around_it() -> None:
    text = "service auth {\n  unix_listener /var/spool/postfix/private/auth {\n    mode = 0660\n  }\n}\n"
    path = ("service", "auth"), ("unix_listener", "/var/spool/postfix/private/auth")
    assert tree(text).value("mode", *path) == "0660"


def test_a_continued_line_is_one_value_of_its_first_line() -> None:
    assert list(parse("mail_plugins = \\\n  quota \\\n  acl\n", "f")) == [
        Assign(Place("f", 1), "mail_plugins", "quota acl", "mail_plugins = \\")
    ]


def test_a_section_on_one_line_is_opened_and_closed() -> None:
    found = tree("passdb pam { }\nssl = yes\n")
    assert [each.label for each in found.sections] == ["passdb pam"]
    assert found.unbalanced == ()
    assert found.value("ssl") == "yes"


def test_includes_and_nonsense_are_told_apart() -> None:
    found = list(parse("!include conf.d/*.conf\n!include_try local.conf\nauth_verbose yes\n", "f"))
    assert [(each.pattern, each.required) for each in found if isinstance(each, Include)] == [
        ("conf.d/*.conf", True),
        ("local.conf", False),
    ]
    assert [each.place.line for each in found if isinstance(each, Junk)] == [3]


def test_an_unclosed_section_is_named_at_its_first_line() -> None:
    found = tree("ssl = no\nservice auth {\n  unix_listener x {\n  }\nprotocols = imap\n").unbalanced
    assert [(each.place.line, each.section.label if each.section else "") for each in found] == [(2, "service auth")]


def test_indentation_tells_which_of_two_sections_lacks_its_brace() -> None:
    text = "service auth {\n  unix_listener x {\n    mode = 0660\n}\nprotocol imap {\n}\n"
    found = tree(text).unbalanced
    assert [each.section.label for each in found if each.section] == ["unix_listener x"]


def test_a_brace_too_many_is_named() -> None:
    found = tree("service auth {\n}\n}\n").unbalanced
    assert [(each.place.line, each.section) for each in found] == [(3, None)]


@pytest.mark.parametrize(("release", "settings"), [("debian12", 900), ("debian13", 600)])
def test_all_that_doveconf_prints_is_understood(release: str, settings: int) -> None:
    found = tree_of((DATA / f"doveconf-a-{release}.txt").read_text())
    assert found.junk == ()
    assert found.unbalanced == ()
    assert len(found.settings) > settings
    listener = ("service", "auth"), ("unix_listener", "/var/spool/postfix/private/auth")
    assert found.value("user", *listener) == "postfix"


def test_a_short_name_within_its_section_is_the_long_name_outside() -> None:
    found = tree("ssl_server {\n  cert_file = /etc/ssl/a.pem\n}\n")
    assert [each.value for each in found.named("ssl_server_cert_file")] == ["/etc/ssl/a.pem"]
