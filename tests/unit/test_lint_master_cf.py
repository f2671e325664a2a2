"""Faults of master.cf, found with their lines."""

from __future__ import annotations

import re

import pytest

from maildiag.lint.master_cf import parse_master_cf
from maildiag.lint.postfix import lint_master
from maildiag.lint.problem import Problem, ReplaceLine, SetField, SetService
from maildiag.model import Status
from tests.unit.postfix_files import DAEMONS, RELEASES, config, recorded

SMTPD = "smtp      inet  n       -       y       -       -       smtpd\n"


def problems(*changes: tuple[str, str], said: tuple[str, ...] = (), release: str = "debian12") -> tuple[Problem, ...]:
    text = recorded("master.cf", release)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return lint_master(config(master=text, said=said, release=release).context, server=True)


def only(*changes: tuple[str, str], said: tuple[str, ...] = ()) -> Problem:
    found = problems(*changes, said=said)
    assert len(found) == 1, [each.title for each in found]
    return found[0]


@pytest.mark.parametrize("release", RELEASES)
def test_the_stock_file_has_no_fault(release: str) -> None:
    assert problems(release=release) == ()


@pytest.mark.parametrize(
    "service",
    ["pickup", "cleanup", "qmgr", "rewrite", "bounce", "defer", "proxymap", "local", "tlsmgr", "error", "retry"],
)
def test_an_essential_service_that_is_commented_out_is_brought_back(service: str) -> None:
    found = only((f"\n{service} ", f"\n#{service} "))
    assert (found.kind, found.subject, found.status) == ("missing-service", f"{service}/unix", Status.CRITICAL)
    edit = found.repairs[0].edits[0]
    assert isinstance(edit, ReplaceLine)
    assert edit.text.startswith(service)


def test_a_service_that_is_gone_is_added_as_postfix_ships_it() -> None:
    line = next(each for each in recorded("master.cf", "debian12").splitlines() if each.startswith("retry "))
    found = only((line + "\n", ""))
    assert found.repairs[0].edits == (SetService("retry", "unix", "retry unix - - n - - error"),)


def test_a_server_without_a_service_on_port_25_is_critical_and_a_client_is_not() -> None:
    text = recorded("master.cf", "debian12").replace(SMTPD, "#" + SMTPD)
    made = config(master=text).context
    assert [each.subject for each in lint_master(made, server=True)] == ["smtp/inet"]
    assert lint_master(made, server=False) == ()


def test_the_commented_entry_of_postscreen_is_not_that_of_smtpd() -> None:
    text = recorded("master.cf", "debian12").replace(SMTPD, "")
    (gone,) = lint_master(config(master=text).context, server=True)
    assert isinstance(gone.repairs[0].edits[0], SetService)


def test_a_server_that_takes_mail_from_logins_may_do_without_port_25() -> None:
    text = recorded("master.cf", "debian12").replace(SMTPD, "#" + SMTPD) + "submission inet n - y - - smtpd\n"
    (found,) = [
        each for each in lint_master(config(master=text).context, server=True) if each.kind == "missing-service"
    ]
    assert found.status is Status.WARNING
    assert not found.repairs[0].certain


@pytest.mark.parametrize(
    ("new", "kind"),
    [
        (SMTPD + "  -o smtpd_helo_required = yes\n", "option-blanks"),
        (SMTPD + "  -o smtpd_helo_required\n", "option-blanks"),
        (SMTPD + "  -o smtpd_helo_required=yes # x\n", "loose-word"),
        (SMTPD + "  -o smtpd_client_restrictions=permit_mynetworks, reject\n", "loose-word"),
        (SMTPD + "  -o smtpd_recipient_limit=abc\n", "wrong-override"),
        (SMTPD + "  -o smtpd_tls_security_level=yes\n", "wrong-override"),
        (SMTPD + "  -o content_filter=scan:\n", "unknown-transport"),
        (SMTPD + "  -o smtpd_relay_restrictions=permit_mynetworks\n", "no-relay-gate"),
        (SMTPD.replace("smtpd", "smtpdd"), "unknown-daemon"),
        (SMTPD.replace("y ", "x "), "bad-field"),
        (SMTPD + "this is junk\n", "bad-entry"),
        (SMTPD + "foo tcp n - y - - smtpd\n", "bad-entry"),
    ],
)
def test_what_keeps_a_service_from_starting_is_critical(new: str, kind: str) -> None:
    found = only((SMTPD, new))
    assert (found.kind, found.status) == (kind, Status.CRITICAL)
    assert found.place.line


def test_a_program_of_postfix_that_is_gone_is_no_misspelling() -> None:
    assert not [
        each
        for each in lint_master(config(daemons=DAEMONS - {"smtp", "smtpd"}).context, server=True)
        if each.kind == "unknown-daemon"
    ]


def test_blanks_around_the_equals_sign_of_an_option_are_taken_away() -> None:
    found = only((SMTPD, SMTPD + "  -o smtpd_helo_required = yes\n"))
    edit = found.repairs[0].edits[0]
    assert isinstance(edit, ReplaceLine)
    assert edit.text == "  -o smtpd_helo_required=yes"
    assert found.repairs[0].certain


def test_an_option_that_lost_its_indentation_is_indented_again() -> None:
    found = only((SMTPD, SMTPD + "-o smtpd_helo_required=yes\n"))
    edit = found.repairs[0].edits[0]
    assert isinstance(edit, ReplaceLine)
    assert edit.text == "  -o smtpd_helo_required=yes"


def test_local_needs_root_and_the_whole_file_system() -> None:
    line = "local     unix  -       n       n"
    assert only((line, "local     unix  -       y       n")).kind == "unprivileged"
    assert only((line, "local     unix  -       n       y")).kind == "chroot"


def test_a_service_that_is_there_twice_is_a_warning() -> None:
    found = only((SMTPD, SMTPD + "smtp inet n - y - 10 smtpd\n"))
    assert (found.kind, found.status) == ("duplicate-service", Status.WARNING)


def test_an_undefined_name_in_an_option_is_told_with_its_service() -> None:
    said = ("postconf: warning: /etc/postfix/master.cf: undefined parameter: mua_client_restrictions",)
    new = SMTPD + "  -o smtpd_client_restrictions=$mua_client_restrictions\n"
    found = only((SMTPD, new), said=said)
    assert (found.kind, found.subject) == ("undefined-name", "smtp/inet/smtpd_client_restrictions")
    assert found.status is Status.NOTICE, "the shipped master.cf says so itself, and an empty list is what it wants"


def test_an_undefined_name_of_the_administrators_own_is_a_warning() -> None:
    said = ("postconf: warning: /etc/postfix/master.cf: undefined parameter: our_clients",)
    assert only((SMTPD, SMTPD + "  -o smtpd_client_restrictions=$our_clients\n"), said=said).status is Status.WARNING


def test_a_relay_list_made_of_undefined_names_keeps_the_service_from_starting() -> None:
    new = SMTPD + "  -o smtpd_recipient_restrictions=$mua_rr\n  -o smtpd_relay_restrictions=$mua\n"
    assert only((SMTPD, new)).kind == "no-relay-gate"


def test_services_commented_out_by_the_distribution_are_seen_as_such() -> None:
    text = recorded("master.cf", "debian12")
    commented = [
        each for each in parse_master_cf("/etc/postfix/master.cf", text).commented if each.name == "submission"
    ]
    assert len(commented) == 1
    assert len(commented[0].lines) > 3


def test_a_service_whose_socket_is_in_the_wrong_directory_is_put_back() -> None:
    text = recorded("master.cf", "debian12")
    moved = re.sub(r"(?m)^cleanup   unix  n", "cleanup   unix  -", text)
    assert moved != text
    (problem,) = lint_master(config(master=moved).context, server=True)
    assert problem.kind == "private"
    assert problem.repairs[0].edits == (SetField("cleanup", "unix", "private", "n"),)


def test_daemons_that_tolerate_no_second_one_may_not_have_more_processes() -> None:
    text = re.sub(r"(?m)^(qmgr +unix +n +- +n +300 +)1", r"\g<1>10", recorded("master.cf", "debian12"))
    (problem,) = lint_master(config(master=text).context, server=True)
    assert (problem.kind, problem.status) == ("process-limit", Status.CRITICAL)
    assert problem.repairs[0].certain


def test_postscreen_needs_the_smtpd_that_takes_over() -> None:
    text = re.sub(r"(?m)^smtp +inet.*smtpd$", "smtp inet n - y - 1 postscreen", recorded("master.cf", "debian12"))
    found = lint_master(config(master=text).context, server=True)
    assert "smtpd/pass" in [each.subject for each in found]
    whole = text + "smtpd pass - - y - - smtpd\ntlsproxy unix - - y - 0 tlsproxy\n"
    assert not lint_master(config(master=whole).context, server=True)


def test_an_empty_master_cf_is_one_problem() -> None:
    (problem,) = lint_master(config(master="# nothing\n").context, server=True)
    assert (problem.kind, problem.status) == ("empty", Status.CRITICAL)


def test_a_pipe_in_use_needs_its_account_and_its_program() -> None:
    pipe = "drop unix - n n - - pipe flags=R user=vmail:vmail argv=/usr/bin/maildrop -d ${user}\n"
    master, vmail = recorded("master.cf", "debian12") + pipe, frozenset({"vmail"})
    program, setting = frozenset({"/usr/bin/maildrop"}), "mailbox_transport = drop"
    found = lint_master(config(setting, master=master, strangers=vmail, absent=program).context, server=True)
    assert [each.kind for each in found] == ["unknown-account", "missing-program"]
    assert not lint_master(config(master=master, strangers=vmail, absent=program).context, server=True)
    assert not lint_master(config(setting, master=master).context, server=True)


def test_proxymap_in_the_chroot_is_a_fault_where_it_opens_files_for_others() -> None:
    text = recorded("master.cf", "debian12")
    line = next(each for each in text.splitlines() if each.startswith("proxymap "))
    shut = text.replace(line, "proxymap  unix  -       -       y       -       -       proxymap")
    (found,) = lint_master(
        config("virtual_alias_maps = proxy:hash:/etc/postfix/virtual", master=shut).context, server=True
    )
    assert (found.kind, found.subject, found.status) == ("chroot", "proxymap/unix", Status.CRITICAL)
    assert (
        lint_master(config("local_recipient_maps = proxy:unix:passwd.byname", master=shut).context, server=True) == ()
    )


def test_a_group_of_the_name_of_a_service_does_not_use_it() -> None:
    service = next(each for each in config().master.services if each.name == "maildrop")
    for setting, used in (
        ("setgid_group = maildrop", False),
        ("mailbox_transport = maildrop", True),
        ("content_filter = maildrop:", True),
        ("local_transport = maildrop", True),
    ):
        assert service.used(config(setting).main.entries) is used, setting
