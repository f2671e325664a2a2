"""Faults of main.cf, found with their lines: text in, problem out. The texts of Postfix are recorded from 3.7 and 3.10."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maildiag.lint.main_cf import parse_main_cf
from maildiag.lint.postfix import lint_main
from maildiag.lint.problem import Problem, RenameParameter, ReplaceLine, SetParameter
from maildiag.model import Status
from tests.unit.postfix_files import RELEASES, config


def problem(*lines: str, said: tuple[str, ...] = (), release: str = "debian12") -> Problem:
    found = lint_main(config(*lines, said=said, release=release).context)
    assert len(found) == 1, [each.title for each in found]
    return found[0]


@pytest.mark.parametrize("release", RELEASES)
def test_the_stock_file_has_no_fault(release: str) -> None:
    assert lint_main(config(release=release).context) == ()


@pytest.mark.parametrize("release", RELEASES)
def test_a_comment_behind_a_number_is_critical_and_goes_away_with_certainty(release: str) -> None:
    found = problem("message_size_limit = 10240000 # 10MB", release=release)
    assert (found.kind, found.subject, found.status) == ("comment-behind-value", "message_size_limit", Status.CRITICAL)
    assert "fatal: bad numerical configuration: message_size_limit = 10240000 # 10MB" in found.detail
    assert found.repairs[0].edits == (SetParameter("message_size_limit", "10240000"),)
    assert found.repairs[0].certain


def test_a_comment_behind_inet_interfaces_needs_a_restart() -> None:
    found = problem("inet_interfaces = loopback-only # only lo")
    assert found.status is Status.CRITICAL
    assert "host not found: loopback-only" in found.detail
    assert found.repairs[0].restart


def test_a_comment_behind_a_list_is_a_warning_where_no_word_is_lost() -> None:
    assert problem("mynetworks = 127.0.0.0/8 # local only").status is Status.WARNING


def test_a_comment_within_a_list_loses_the_words_of_the_lines_behind_it() -> None:
    found = problem("mydestination = $myhostname, # us\n    example.test")
    assert found.status is Status.CRITICAL
    assert "these do not count: example.test" in found.detail
    assert found.repairs[0].edits == (SetParameter("mydestination", "$myhostname, example.test"),)


def test_a_comment_behind_restrictions_is_critical() -> None:
    text = "smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination # relay"
    assert problem(text).status is Status.CRITICAL


def test_a_hash_sign_in_a_banner_is_text() -> None:
    assert lint_main(config("smtpd_banner = $myhostname ESMTP # 1").context) == ()


@pytest.mark.parametrize(
    ("line", "better"),
    [
        ("smtpd_helo_required = true", "yes"),
        ("soft_bounce = Off", "no"),
        ("message_size_limit = 10M", "10485760"),
        ("message_size_limit = 10 240 000", "10240000"),
        ("maximal_queue_lifetime = 5 days", "5d"),
        ('smtpd_recipient_limit = "500"', "500"),
    ],
)
def test_a_value_of_the_wrong_form_is_put_right_where_it_is_plain_what_was_meant(line: str, better: str) -> None:
    found = problem(line)
    name = line.partition(" ")[0]
    assert (found.kind, found.status) == ("wrong-form", Status.CRITICAL)
    assert found.repairs[0].edits == (SetParameter(name, better),)


@pytest.mark.parametrize(
    "line",
    [
        "smtpd_recipient_limit = 0",
        "message_size_limit = -5",
        "message_size_limit =",
        "smtpd_timeout = 5x",
        "biff =",
        "daemon_timeout = 2s",
    ],
)
def test_values_that_stop_a_program_are_critical(line: str) -> None:
    assert problem(line).status is Status.CRITICAL


@pytest.mark.parametrize(
    "line",
    [
        "compatibility_level = 3.6",
        "smtp_tls_loglevel = 1",
        "smtpd_timeout = ${stress?{10}:{300}}s",
        "lmtp_tcp_port = lmtp",
        "smtpd_forbid_bare_newline = normalize",
        "default_destination_concurrency_positive_feedback = 1/concurrency",
        "maximal_queue_lifetime = 5D",
        "smtpd_helo_required = YES",
    ],
)
def test_values_that_postfix_takes_are_no_fault(line: str) -> None:
    assert lint_main(config(line).context) == ()


def test_a_parameter_behind_a_blank_is_swallowed_by_the_one_before() -> None:
    found = problem("myorigin = /etc/mailname\n mydomain = example.test")
    assert (found.kind, found.subject, found.status) == ("swallowed-line", "mydomain", Status.CRITICAL)
    assert isinstance(found.repairs[0].edits[0], ReplaceLine)
    assert found.repairs[0].edits[0].text == "mydomain = example.test"


def test_a_continuation_that_lost_its_indentation_is_indented_again() -> None:
    settings: dict[str, str] = {}
    text = "smtpd_recipient_restrictions = permit_mynetworks,\nreject_unauth_destination"
    found = lint_main(config(text, settings=settings).context)
    assert [each.kind for each in found] == ["malformed"]
    edit = found[0].repairs[0].edits[0]
    assert isinstance(edit, ReplaceLine)
    assert edit.text == "    reject_unauth_destination"
    assert found[0].repairs[0].certain


def test_prose_in_the_file_is_commented_out_but_not_without_asking() -> None:
    found = lint_main(config("this is wrong", settings={}).context)
    assert found[0].kind == "malformed"
    assert not found[0].repairs[0].certain


def test_an_equals_sign_is_put_back() -> None:
    found = lint_main(config("mydomain example.test", settings={}).context)
    edit = found[0].repairs[0].edits[0]
    assert isinstance(edit, ReplaceLine)
    assert edit.text == "mydomain = example.test"


def test_the_last_of_two_entries_counts_and_the_first_is_told() -> None:
    found = problem("relayhost = [192.0.2.1]\nrelayhost = [192.0.2.2]")
    assert (found.kind, found.subject, found.status) == ("duplicate", "relayhost", Status.WARNING)
    assert not found.repairs[0].certain


def test_two_equal_entries_are_a_notice() -> None:
    assert problem("relayhost =\nrelayhost = ").status is Status.NOTICE


def test_a_misspelt_parameter_is_renamed() -> None:
    said = ("postconf: warning: /etc/postfix/main.cf: unused parameter: home_mailbx=Maildir/",)
    found = problem("home_mailbx = Maildir/", said=said)
    assert (found.kind, found.status) == ("unknown-parameter", Status.WARNING)
    assert found.repairs[0].edits == (RenameParameter("home_mailbx", "home_mailbox", "Maildir/"),)


def test_a_parameter_of_a_patched_postfix_is_left_over_and_not_misspelt() -> None:
    said = (
        "postconf: warning: /etc/postfix/main.cf: unused parameter: virtual_mailbox_limit_maps=hash:/etc/postfix/q",
    )
    found = problem("virtual_mailbox_limit_maps = hash:/etc/postfix/q", said=said)
    assert (found.kind, found.status, found.repairs) == ("unknown-parameter", Status.NOTICE, ())


def test_a_name_that_nothing_defines_is_told_with_its_line() -> None:
    said = ("postconf: warning: /etc/postfix/main.cf: undefined parameter: mydomian",)
    found = problem("mydestination = $mydomian, localhost", said=said)
    assert (found.kind, found.subject) == ("undefined-name", "mydestination")
    assert "$mydomain was meant?" in found.title


def test_a_name_whose_absence_is_asked_for_is_no_fault() -> None:
    said = ("postconf: warning: /etc/postfix/main.cf: undefined parameter: style",)
    lines = ("home_mailbox = ${style?{Maildir/}:{Mail/}}", "smtpd_banner = $myhostname ESMTP ${style:Postfix}")
    assert lint_main(config(*lines, said=said).context) == ()


@pytest.mark.parametrize(
    "line",
    [
        "inet_protocols = ipv5",
        "smtpd_tls_security_level = maybe",
        "smtp_tls_security_level = on",
        "notify_classes = resource, sofware",
        "smtp_host_lookup = nativ",
        "smtpd_sasl_security_options = noanonimous",
    ],
)
def test_words_that_a_parameter_does_not_take_are_critical(line: str) -> None:
    found = problem(line)
    assert (found.kind, found.status) == ("wrong-word", Status.CRITICAL)
    assert found.repairs


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("mynetworks = 127.0.0.1/8", "127.0.0.0/8"),
        ("mynetworks = 10.0.1.0/255.255.255.0", "10.0.1.0/24"),
        ("mynetworks = 127.0.0.0/8, 10.0.1", "127.0.0.0/8, 10.0.1.0/24"),
        ("mynetworks = 127.0.0.0/8 ::1/128", "127.0.0.0/8 [::1]/128"),
    ],
)
def test_network_patterns_that_postfix_cannot_use_are_told(line: str, meant: str) -> None:
    found = problem(line)
    assert found.kind == "bad-network"
    assert found.repairs[0].edits == (SetParameter("mynetworks", meant),)


def test_an_unknown_restriction_is_critical() -> None:
    found = problem("smtpd_recipient_restrictions = permit_mynetwork, reject_unauth_destination")
    assert (found.kind, found.status) == ("unknown-restriction", Status.CRITICAL)
    assert "permit_mynetworks was meant?" in found.title


def test_a_restriction_class_is_known_by_its_declaration() -> None:
    lines = ("smtpd_restriction_classes = internal", "internal = permit_mynetworks, reject")
    assert lint_main(config(*lines, "smtpd_client_restrictions = internal").context) == ()


def test_a_transport_that_master_cf_lacks_is_critical() -> None:
    found = problem("mailbox_transport = lmtp-dovecot:unix:private/dovecot-lmtp")
    assert (found.kind, found.status) == ("unknown-transport", Status.CRITICAL)


def test_a_table_type_that_is_not_built_in_is_critical() -> None:
    found = problem("virtual_alias_maps = lmdb:/etc/postfix/virtual")
    assert (found.kind, found.status) == ("unknown-table-type", Status.CRITICAL)
    assert found.repairs[0].edits == (SetParameter("virtual_alias_maps", "hash:/etc/postfix/virtual"),)


def test_a_table_without_its_type_is_critical() -> None:
    found = problem("virtual_alias_maps = /etc/postfix/virtual")
    assert (found.kind, found.status) == ("table-type", Status.CRITICAL)


def test_a_milter_without_its_type_is_critical() -> None:
    assert problem("smtpd_milters = localhost:8891").kind == "milter-address"


def test_lists_that_let_strangers_relay_keep_smtpd_from_starting() -> None:
    found = problem("smtpd_relay_restrictions = permit_mynetworks")
    assert (found.kind, found.status) == ("no-relay-gate", Status.CRITICAL)


def test_an_address_that_no_interface_has_keeps_postfix_from_starting() -> None:
    assert problem("inet_interfaces = 192.0.2.77").kind == "no-such-interface"
    assert lint_main(config("inet_interfaces = 127.0.0.1, 10.0.1.10").context) == ()


def test_a_mailbox_limit_below_the_message_limit_stops_local() -> None:
    found = problem("mailbox_size_limit = 1000")
    assert (found.kind, found.status) == ("size-limits", Status.CRITICAL)


RHEL = """\
compatibility_level = 2
queue_directory = /var/spool/postfix
command_directory = /usr/sbin
daemon_directory = /usr/libexec/postfix
data_directory = /var/lib/postfix
mail_owner = postfix
inet_interfaces = localhost
inet_protocols = all
mydestination = $myhostname, localhost.$mydomain, localhost
unknown_local_recipient_reject_code = 550
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
debug_peer_level = 2
debugger_command =
\t PATH=/bin:/usr/bin:/usr/local/bin:/usr/X11R6/bin
\t ddd $daemon_directory/$process_name $process_id & sleep 5
sendmail_path = /usr/sbin/sendmail.postfix
newaliases_path = /usr/bin/newaliases.postfix
mailq_path = /usr/bin/mailq.postfix
setgid_group = postdrop
html_directory = no
smtpd_tls_cert_file = /etc/pki/tls/certs/postfix.pem
smtpd_tls_key_file = /etc/pki/tls/private/postfix.key
smtpd_tls_security_level = may
smtp_tls_CApath = /etc/pki/tls/certs
smtp_tls_CAfile = /etc/pki/tls/certs/ca-bundle.crt
smtp_tls_security_level = may
meta_directory = /etc/postfix
shlib_directory = /usr/lib64/postfix
"""


def test_a_file_in_the_style_of_rhel_has_no_fault() -> None:
    assert lint_main(config(*RHEL.splitlines()).context) == ()


def test_a_brace_that_is_never_closed_is_closed_behind_the_name() -> None:
    found = lint_main(config("mydestination = ${myhostname, localhost", settings={}).context)
    assert [(each.kind, each.status) for each in found] == [("open-brace", Status.CRITICAL)]
    assert found[0].repairs[0].edits == (SetParameter("mydestination", "${myhostname}, localhost"),)


def test_a_file_that_stands_for_a_value_must_be_there() -> None:
    made = config("myorigin = /etc/nofile", absent=frozenset({"/etc/nofile"}))
    assert [(each.kind, each.subject) for each in lint_main(made.context)] == [("missing-file", "myorigin")]


@pytest.mark.parametrize("text", ["", "# all gone\n\n"])
def test_a_file_that_sets_nothing_is_the_one_fault_that_there_is(text: str) -> None:
    stock = config()
    emptied = replace(
        stock, main=parse_main_cf("/etc/postfix/main.cf", text), settings={**stock.settings, "mynetworks": ""}
    )
    (found,) = lint_main(emptied.context)
    assert (found.kind, found.subject, found.status) == ("empty", "main.cf", Status.CRITICAL)


@pytest.mark.parametrize(
    ("line", "repairs"),
    [
        ("mydestination = /etc/postfix/local-domains", []),
        ("mydestination = localhost, /etc/postfix/local-domains", [(SetParameter("mydestination", "localhost"),)]),
    ],
)
def test_a_list_is_never_emptied_for_a_file_that_is_gone(line: str, repairs: list[tuple[SetParameter, ...]]) -> None:
    (found,) = lint_main(config(line, absent=frozenset({"/etc/postfix/local-domains"})).context)
    assert found.kind == "missing-file"
    assert [each.edits for each in found.repairs] == repairs
