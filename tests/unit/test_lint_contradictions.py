"""Settings that are well written and cannot work together: lines in, problems out."""

from __future__ import annotations

import pytest

from maildiag.lint.contradictions import contradictions
from maildiag.lint.problem import DropOverride, DropParameter, Problem, SetOverride, SetParameter
from maildiag.lint.programs import elsewhere, program_of
from maildiag.lint.references import reference_problems
from maildiag.lint.service_options import service_problems
from maildiag.lint.table_values import bad_values
from maildiag.model import Status
from tests.unit.postfix_files import RELEASES, config, recorded

FILTER = "content_filter = smtp:[127.0.0.1]:10025"
REINJECTED = "127.0.0.1:10025 inet n - n - - smtpd\n"


def found(*lines: str, master: str = "", **changes: object) -> list[Problem]:
    text = recorded("master.cf", "debian12") + master
    return list(contradictions(config(*lines, master=text, **changes).context))  # type: ignore[arg-type]


@pytest.mark.parametrize("release", RELEASES)
def test_the_stock_files_contradict_nothing(release: str) -> None:
    context = config(release=release).context
    assert not [*contradictions(context), *service_problems(context)]


def test_quotes_are_taken_away_where_postfix_takes_them_for_the_value() -> None:
    (problem,) = found('relayhost = "[10.0.1.10]:25"')
    assert problem.repairs[0].edits == (SetParameter("relayhost", "[10.0.1.10]:25"),)
    assert problem.repairs[0].certain


@pytest.mark.parametrize(
    "line", ['mailbox_command = procmail -a "$EXTENSION"', 'smtpd_banner = "hello"', "relayhost = [10.0.1.10]:25"]
)
def test_quotes_that_belong_to_a_value_are_no_fault(line: str) -> None:
    assert not found(line)


@pytest.mark.parametrize(
    ("line", "better"),
    [
        ("smtp_tls_mandatory_protocols = !SSLv2, !SSLv3, !TLS1.0", "!SSLv2, !SSLv3, !TLSv1"),
        ("smtpd_tls_protocols = >=TLS1.2", ">=TLSv1.2"),
    ],
)
def test_a_misspelt_protocol_is_written_as_openssl_knows_it(line: str, better: str) -> None:
    (problem,) = found(line)
    assert problem.repairs[0].edits == (SetParameter(line.split(" =")[0], better),)


@pytest.mark.parametrize("value", ["SSLv3", "!TLSv1, !TLSv1.1, !TLSv1.2, !TLSv1.3", "<=SSLv3"])
def test_a_list_that_leaves_no_protocol_is_dropped(value: str) -> None:
    (problem,) = found(f"smtp_tls_mandatory_protocols = {value}")
    assert problem.kind == "no-tls-protocol"
    assert problem.repairs[0].edits == (DropParameter("smtp_tls_mandatory_protocols"),)


@pytest.mark.parametrize("value", ["!SSLv2, !SSLv3", ">=TLSv1.2", "TLSv1.3", "!SSLv2:!SSLv3:!TLSv1", ""])
def test_lists_of_protocols_that_leave_one_are_fine(value: str) -> None:
    assert not found(f"smtpd_tls_mandatory_protocols = {value}")


def test_a_filter_that_is_an_smtpd_which_filters_again_is_a_loop() -> None:
    (problem,) = found(FILTER, master=REINJECTED)
    assert problem.repairs[0].edits == (SetOverride("127.0.0.1:10025", "inet", "content_filter", ""),)


def test_the_way_back_of_a_filter_without_a_filter_is_fine() -> None:
    assert not found(FILTER, master=REINJECTED.replace("smtpd\n", "smtpd -o content_filter=\n"))


def test_the_way_back_of_a_filter_that_filters_again_is_a_loop() -> None:
    line = FILTER.replace("10025", "10024")
    (problem,) = found(line, master=REINJECTED)
    assert problem.repairs[0].edits == (SetOverride("127.0.0.1:10025", "inet", "content_filter", ""),)
    assert not found(line, master=REINJECTED.replace("smtpd\n", "smtpd -o content_filter=\n"))
    assert not found(line, master=REINJECTED + "10026 inet n - n - - smtpd -o content_filter=\n")
    assert not found(line, master="127.0.0.1:25 inet n - n - - smtpd\n")


def test_virtual_without_its_base_does_not_start() -> None:
    (problem,) = found("virtual_mailbox_domains = virtual.test")
    assert (problem.kind, problem.status) == ("virtual-base", Status.CRITICAL)
    assert not found("virtual_mailbox_domains = virtual.test", "virtual_transport = lmtp:unix:private/dovecot-lmtp")
    assert not found("virtual_mailbox_domains = virtual.test", "mydestination = localhost, virtual.test")


def test_a_maildir_without_its_slash_gets_it() -> None:
    (problem,) = found("home_mailbox = Maildir")
    assert problem.repairs[0].edits == (SetParameter("home_mailbox", "Maildir/"),)
    assert not found("home_mailbox = Maildir/")
    assert not found("home_mailbox = Mailbox")


def test_a_port_with_a_misspelt_name_gets_the_nearest() -> None:
    (problem,) = found("relayhost = [10.0.1.10]:smpt")
    assert problem.repairs[0].edits == (SetParameter("relayhost", "[10.0.1.10]:smtp"),)
    assert not found("relayhost = [10.0.1.10]:submission")


def test_ipv6_alone_is_a_fault_on_a_host_without_an_ipv6_address() -> None:
    only4, both = frozenset({"127.0.0.1", "::1", "10.0.1.10"}), frozenset({"10.0.1.10", "2001:db8::1"})
    (problem,) = found("inet_protocols = ipv6", addresses=only4)
    assert problem.repairs[0].restart
    assert not found("inet_protocols = ipv6", addresses=both)
    assert not found("inet_protocols = ipv6", addresses=frozenset())


def test_a_keyword_that_is_hidden_though_it_is_offered_is_shown_again() -> None:
    (problem,) = found("smtpd_discard_ehlo_keywords = chunking, starttls", "smtpd_tls_security_level = may")
    assert problem.repairs[0].edits == (SetParameter("smtpd_discard_ehlo_keywords", "chunking"),)
    assert not found("smtpd_discard_ehlo_keywords = chunking")


def test_a_file_of_the_tls_client_that_is_missing_is_critical_where_tls_is_demanded() -> None:
    path = "/etc/pki/tls/certs/ca-bundle.crt"
    line, gone = f"smtp_tls_CAfile = {path}", frozenset({path})
    (demanded,) = found(line, "smtp_tls_security_level = encrypt", absent=gone)
    (optional,) = found(line, "smtp_tls_security_level = may", absent=gone)
    assert (demanded.status, optional.status) == (Status.CRITICAL, Status.WARNING)
    assert demanded.repairs[0].certain
    (verified,) = found(line, "smtp_tls_security_level = secure", absent=gone, settings={"smtp_tls_CApath": ""})
    assert not verified.repairs[0].certain
    assert not found(line, "smtp_tls_security_level = encrypt")


def test_a_delivery_command_that_is_not_there_returns_all_mail() -> None:
    lda = "/usr/libexec/dovecot/dovecot-lda"
    line, here = f'mailbox_command = {lda} -f "$SENDER"', "/usr/lib/dovecot/dovecot-lda"
    context = config(line, absent=frozenset({lda}), moved={lda: here}).context
    (problem,) = [each for each in reference_problems(context) if each.kind == "missing-program"]
    assert problem.repairs[0].edits == (SetParameter("mailbox_command", f'{here} -f "$SENDER"'),)
    assert not list(reference_problems(config(line).context))


@pytest.mark.parametrize("value", ["/home/%u/Maildir/", "~/Maildir/", "%h/Maildir/", "/home/$user/Maildir/"])
def test_a_home_mailbox_written_as_dovecot_would_is_relative_to_the_home(value: str) -> None:
    settings = {"home_mailbox": value.replace("$user", "")}
    (problem,) = [each for each in found(f"home_mailbox = {value}", settings=settings) if each.kind == "home-mailbox"]
    assert problem.repairs[0].edits == (SetParameter("home_mailbox", "Maildir/"),)


@pytest.mark.parametrize("value", ["Maildir/", "Mail/inbox", "$mydomain/"])
def test_a_home_mailbox_below_the_home_is_fine(value: str) -> None:
    assert not found(f"home_mailbox = {value}", settings={"home_mailbox": value.replace("$mydomain", "x.test")})


def test_a_program_may_have_another_name_on_another_system() -> None:
    assert "/usr/lib/dovecot/dovecot-lda" in elsewhere("/usr/lib/dovecot/deliver")
    assert program_of('IFS=" " && exec /usr/bin/procmail') == ""
    assert program_of('/usr/bin/maildrop -d "$USER"') == "/usr/bin/maildrop"


def options(*lines: str, service: str = "submission inet n - y - - smtpd") -> list[Problem]:
    text = "\n".join([service, *(f"  -o {line}" for line in lines), ""])
    context = config(master=recorded("master.cf", "debian12") + text).context
    return list(service_problems(context))


def test_a_submission_port_with_implicit_tls_greets_nobody() -> None:
    (problem,) = options("smtpd_tls_wrappermode=yes")
    assert problem.repairs[0].edits == (DropOverride("submission", "inet", "smtpd_tls_wrappermode"),)


def test_port_465_without_implicit_tls_gets_it() -> None:
    service = "smtps inet n - y - - smtpd"
    (problem,) = options(service=service)
    assert problem.repairs[0].edits == (SetOverride("smtps", "inet", "smtpd_tls_wrappermode", "yes"),)
    assert not options("smtpd_tls_wrappermode=yes", service=service)


def test_a_service_for_logins_only_must_offer_them() -> None:
    lists = "smtpd_relay_restrictions=permit_sasl_authenticated,reject"
    (problem,) = options("smtpd_sasl_auth_enable=no", lists)
    assert problem.repairs[0].edits == (SetOverride("submission", "inet", "smtpd_sasl_auth_enable", "yes"),)
    assert not options("smtpd_sasl_auth_enable=yes", lists)


def test_a_submission_port_that_wants_tls_for_logins_must_offer_tls() -> None:
    wants = ("smtpd_sasl_auth_enable=yes", "smtpd_tls_auth_only=yes")
    (problem,) = options(*wants, "smtpd_tls_security_level=none")
    assert problem.repairs[0].edits == (SetOverride("submission", "inet", "smtpd_tls_security_level", "encrypt"),)
    assert not options(*wants, "smtpd_tls_security_level=may")
    assert not options("smtpd_sasl_auth_enable=yes", "smtpd_tls_security_level=none")


def test_a_port_for_servers_need_not_offer_logins() -> None:
    main = ("smtpd_sasl_auth_enable = yes", "smtpd_tls_auth_only = yes", "smtpd_tls_security_level = none")
    assert not list(service_problems(config(*main).context))
    master = recorded("master.cf", "debian12") + "submission inet n - y - - smtpd\n"
    assert len(list(service_problems(config(*main, master=master).context))) == 1


def test_a_service_that_takes_mail_from_the_own_network_needs_no_logins() -> None:
    assert not options("smtpd_relay_restrictions=permit_mynetworks,permit_sasl_authenticated,reject")


def test_what_debian_ships_for_587_is_fine() -> None:
    login = ("smtpd_sasl_auth_enable=yes", "smtpd_tls_auth_only=yes", "smtpd_tls_security_level=encrypt")
    assert not options(*login, "smtpd_relay_restrictions=permit_sasl_authenticated,reject")


def test_sender_login_mismatch_needs_a_table() -> None:
    login = "smtpd_sasl_auth_enable=yes"
    (problem,) = options("smtpd_sender_restrictions=reject_sender_login_mismatch", login)
    assert not problem.repairs[0].certain
    maps = "smtpd_sender_login_maps=hash:/etc/postfix/owners"
    assert not options("smtpd_sender_restrictions=reject_sender_login_mismatch", maps, login)
    assert not options("smtpd_sender_restrictions=reject_sender_login_mismatch")
    assert not options("smtpd_sender_restrictions=reject_known_sender_login_mismatch", login)


def values(text: str, user: str, kind: str = "hash", *lines: str) -> list[str]:
    return [each.why for each in bad_values(text, kind, (user,), config(*lines).context)]


def test_a_transport_that_master_cf_has_not_is_told_with_the_nearest() -> None:
    assert values("example.test locla:\n", "transport_maps") == [
        'it names the transport "locla", which master.cf does not have; local was meant?'
    ]
    assert not values("a.test smtp:[10.0.1.9]:25\nb.test :\nc.test :[10.0.1.9]\n* error:no\n", "transport_maps")


def test_an_action_that_smtpd_does_not_know_is_told() -> None:
    user = "smtpd_client_restrictions"
    assert values("10.0.1 REJCT no\n", user) == ['"REJCT" is no action; REJECT was meant?']
    fine = "a OK\nb 550 5.7.1 no\nc reject_unverified_sender\nd permit_mynetworks, reject\ne PREPEND X: y\nf check_x\n"
    assert not values(fine, user, "hash", "smtpd_restriction_classes = check_x", "check_x = reject")


def test_conditions_and_quoted_keys_are_no_actions() -> None:
    lines = "if 10.0.0.0/8\n10.0.1.0/24 OK\nendif\n"
    assert not values(lines, "smtpd_client_restrictions", "cidr")
    assert not values('"a b"@example.test REJECT\n', "smtpd_sender_restrictions")


def test_a_header_check_may_filter_to_transports_that_exist_only() -> None:
    assert values("/^Subject:/ FILTER amavis:[127.0.0.1]:10024\n", "header_checks", "regexp")
    assert not values(
        "/^Subject:/ FILTER smtp:[127.0.0.1]:10024\n/^X-/ IGNORE\nif /a/\n/b/ WARN\nendif\n", "header_checks", "regexp"
    )


def test_a_policy_of_tls_knows_its_levels_only() -> None:
    assert values("[10.0.1.10]:25 required\n", "smtp_tls_policy_maps")
    assert not values("a.test encrypt protocols=TLSv1.2\nb.test dane-only\n", "smtp_tls_policy_maps")


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (
            "fingerprint match=00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
            "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff has 16",
        ),
        ("fingerprint", "it names no fingerprint"),
        (f"fingerprint match={'ab:' * 31}ab|{'ab' * 16}", ""),
        (f"fingerprint match={'AB' * 32}", ""),
    ],
)
def test_a_fingerprint_has_the_length_of_its_digest(policy: str, why: str) -> None:
    found = values(f"[10.0.1.10]:25 {policy}\n", "smtp_tls_policy_maps", "hash", "smtp_tls_fingerprint_digest = sha256")
    assert [each.startswith(why) for each in found] == ([True] if why else [])
    assert not values(
        f"[10.0.1.10]:25 {policy}\n", "smtp_tls_policy_maps", "hash", "smtp_tls_fingerprint_digest = sha3-256"
    )


def test_aliases_that_lead_back_to_themselves_are_a_circle() -> None:
    assert values("alice@a.test bob@a.test\nbob@a.test alice@a.test\n", "virtual_alias_maps") == [
        "it leads in a circle: alice@a.test -> bob@a.test -> alice@a.test"
    ]
    assert values("alice: bob\nbob: alice\n", "alias_maps")


def test_aliases_that_end_somewhere_are_no_circle() -> None:
    assert not values("alice@a.test alice@a.test\nbob@a.test alice@a.test, carol@b.test\n", "virtual_alias_maps")
    assert not values("alice: bob, \\alice\nbob: bob\nroot: alice\n", "alias_maps")


def test_programs_in_a_directory_of_the_other_distribution_are_looked_for_at_the_default() -> None:
    for name, value in (("daemon_directory", "/usr/libexec/postfix"), ("command_directory", "/usr/local/sbin")):
        gone = frozenset({f"{value}/master", f"{value}/postdrop"})
        (problem,) = found(f"{name} = {value}", absent=gone)
        assert problem.repairs[0].edits == (DropParameter(name),)
        assert problem.repairs[0].restart
        assert not found(f"{name} = {value}")


def test_aliases_that_nobody_expands_are_a_fault_without_a_filter_behind() -> None:
    lines = ("receive_override_options = no_address_mappings", "virtual_alias_maps = hash:/etc/postfix/virtual")
    (problem,) = found(*lines)
    assert problem.repairs[0].edits == (DropParameter("receive_override_options"),)
    assert not found(*lines, "content_filter = scan:[127.0.0.1]:10025")
    assert not found(lines[0])


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (("smtp_tls_security_level = may",), Status.WARNING),
        (("smtp_tls_security_level = none",), Status.NOTICE),
        (("smtp_tls_security_level = none", "smtp_tls_policy_maps = hash:/etc/postfix/tls"), Status.WARNING),
    ],
)
def test_authorities_that_are_gone_matter_where_tls_is_spoken(more: tuple[str, ...], status: Status) -> None:
    path = "/etc/pki/tls/cert.pem"
    told = found(f"smtp_tls_CAfile = {path}", *more, absent=frozenset({path}))
    assert [each.status for each in told if each.subject == "smtp_tls_CAfile"] == [status]


@pytest.mark.parametrize(("more", "kinds"), [((), ["no-slash"]), (("mailbox_transport = lmtp:inet:127.0.0.1:24",), [])])
def test_a_home_mailbox_that_nothing_reads_is_no_fault(more: tuple[str, ...], kinds: list[str]) -> None:
    told = found("home_mailbox = Maildir", "mailbox_command =", *more)
    assert [each.kind for each in told if each.subject == "home_mailbox"] == kinds


@pytest.mark.parametrize(
    ("lines", "status", "repairs"),
    [
        (("smtp_tls_security_level = dane-only",), Status.CRITICAL, 2),
        (("smtp_tls_security_level = dane",), Status.WARNING, 1),
        (("smtp_tls_security_level = dane-only", "smtp_dns_support_level = dnssec"), None, 0),
        (("smtp_tls_security_level = verify",), None, 0),
    ],
)
def test_dane_asks_for_dnssec(lines: tuple[str, ...], status: Status | None, repairs: int) -> None:
    told = [each for each in found(*lines) if each.kind == "dane-without-dnssec"]
    assert [(each.status, len(each.repairs)) for each in told] == ([(status, repairs)] if status else [])
    if told:
        assert told[0].repairs[0].edits == (SetParameter("smtp_dns_support_level", "dnssec"),)
        assert not told[0].repairs[0].certain
