"""What is wrong with Dovecot's files: their text and doveconf's own words in, mistakes with line and cure out."""

from __future__ import annotations

from pathlib import Path

import pytest

from maildiag.dovecot import edits
from maildiag.dovecot.refusal import Refusal, parse_refusal
from maildiag.dovecot.syntax import Place, parse
from maildiag.dovecot.tree import build, tree_of
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.dovecot_parts import DovecotParts, Reference
from maildiag.lint.dovecot import Mistake, mistakes
from maildiag.lint.dovecot_values import Remark, remarks

DATA = Path(__file__).parents[1] / "data" / "dovecot"
FILE = "/etc/dovecot/local.conf"
RELEASES = {"2.3.19.1": "debian12", "2.4.1-4": "debian13"}


def config(text: str, version: str, said: str = "") -> DovecotConfig:
    source = build(parse(text, FILE))
    defaults = tree_of((DATA / f"doveconf-d-{RELEASES[version]}.txt").read_text())
    return DovecotConfig(
        version=version,
        source=source,
        effective=source,
        refusal=parse_refusal(said),
        known=frozenset(each.name for each in defaults.settings),
        files=(FILE,),
        lines={FILE: tuple(text.splitlines())},
    )


def fatal(line: int, text: str) -> str:
    return f"doveconf: Fatal: Error in configuration file {FILE} line {line}: {text}\n"


def found_2_3(text: str, said: str) -> tuple[Mistake, ...]:
    return mistakes(config(text, "2.3.19.1", said))


def found_2_4(text: str, said: str) -> tuple[Mistake, ...]:
    return mistakes(config(text, "2.4.1-4", said))


HEAD = "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.1\n"


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        (fatal(2, "Unknown setting: foo_bar"), Refusal("Unknown setting: foo_bar", Place(FILE, 2))),
        (
            "doveconf: Error: protocols: Unknown protocol: sieve\n"
            "doveconf: Fatal: Error in configuration file /etc/dovecot/dovecot.conf: protocols: Unknown protocol: sieve\n",
            Refusal("protocols: Unknown protocol: sieve", Place("/etc/dovecot/dovecot.conf", 0)),
        ),
        (
            "doveconf: Fatal: Error in configuration file /tmp/t.conf: Missing '}' (section started at /tmp/t.conf:3)\n",
            Refusal("Missing '}' (section started at /tmp/t.conf:3)", Place("/tmp/t.conf", 3)),
        ),
        ("", None),
    ],
)
def test_the_place_of_a_refusal_is_read_from_what_doveconf_says(said: str, refusal: Refusal | None) -> None:
    assert parse_refusal(said) == refusal


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Unknown setting: foo_bar", "foo_bar"),
        ("Unknown setting: service { inet_listener { prot", "prot"),
        ("prot: Unknown setting: prot (inet_listener_prot or inet_listener_imap_prot not found either.)", "prot"),
        ("Unknown section name: plugin", "plugin"),
        ("Invalid boolean value: maybe (use yes or no)", ""),
    ],
)
def test_the_unknown_word_is_found_in_every_wording(said: str, name: str) -> None:
    assert Refusal(said).unknown == name


def test_a_key_that_only_root_may_read_says_nothing_of_the_configuration() -> None:
    said = fatal(7, "ssl_key: Can't open file /etc/dovecot/private/dovecot.key: Permission denied")
    refusal = parse_refusal(said)
    assert refusal is not None
    assert refusal.denied


def test_a_misspelt_setting_is_corrected_to_the_nearest() -> None:
    (mistake,) = found_2_3("mail_max_userip_conections = 20\n", fatal(1, "Unknown setting: mail_max_userip_conections"))
    assert mistake.place == Place(FILE, 1)
    assert mistake.certain
    assert edits.commands(mistake.edits) == (
        ("sed", "-i", "--follow-symlinks", "1s/.*/mail_max_userip_connections = 20/", FILE),
    )


def test_a_setting_like_no_other_is_left_to_a_person() -> None:
    (mistake,) = found_2_3("foo_bar = 1\n", fatal(1, "Unknown setting: foo_bar"))
    assert not mistake.certain


def test_a_missing_brace_is_named_where_the_section_begins_and_not_where_dovecot_stumbles() -> None:
    text = "service auth {\n  unix_listener x {\n  }\nssl = no\n"
    (mistake,) = found_2_3(text, fatal(4, "Unknown setting: service { ssl"))
    assert (mistake.place, mistake.what) == (Place(FILE, 1), "the section service auth { has no }")
    assert mistake.edits[0] == edits.Edit(Place(FILE, 3), ("  }", "}"))


def test_the_brace_of_an_inner_section_goes_behind_its_last_line() -> None:
    text = "service auth {\n  unix_listener x {\n    mode = 0660\n}\nprotocol imap {\n}\n"
    (mistake,) = found_2_3(text, fatal(5, "Unknown setting: service { protocol { protocol"))
    assert mistake.edits[0] == edits.Edit(Place(FILE, 3), ("    mode = 0660", "  }"))


def test_a_missing_equals_sign_is_put_in() -> None:
    (mistake,) = found_2_3("auth_verbose yes\n", fatal(1, "Expecting '{'"))
    assert mistake.edits[0].lines == ("auth_verbose = yes",)


def test_all_names_of_2_3_are_told_at_once_on_2_4() -> None:
    text = (
        HEAD + "mail_location = maildir:~/Maildir\ndisable_plaintext_auth = no\nverbose_ssl = yes\nssl_cert = </a.pem\n"
    )
    found = found_2_4(text, fatal(3, "mail_location: Unknown setting: mail_location"))
    assert [each.place.line for each in found] == [3, 4, 5, 6]
    assert all(each.certain for each in found)
    lines = [line for each in found for edit in each.edits for line in edit.lines]
    assert lines == [
        "mail_driver = maildir",
        "mail_path = ~/Maildir",
        "mail_inbox_path = ~/Maildir",
        "auth_allow_cleartext = yes",
        "log_debug = category=ssl",
        "ssl_server_cert_file = /a.pem",
    ]


def test_edits_of_several_lines_go_from_the_last_to_the_first() -> None:
    text = HEAD + "mail_location = mbox:~/mail\ndisable_plaintext_auth = no\n"
    found = found_2_4(text, fatal(3, "mail_location: Unknown setting: mail_location"))
    scripts = [argv[3] for argv in edits.commands(edit for each in found for edit in each.edits)]
    assert scripts[0].startswith("4s")
    assert all(script.startswith("3s") for script in scripts[1:])


def test_a_missing_version_line_is_put_first() -> None:
    (mistake,) = found_2_4(
        "dovecot_storage_version = 2.4.1\nssl = no\n", fatal(1, "The first setting must be dovecot_config_version")
    )
    assert mistake.edits[0].lines == ("dovecot_config_version = 2.4.1", "dovecot_storage_version = 2.4.1")


def test_a_version_from_the_future_becomes_the_one_that_is_here() -> None:
    text = "dovecot_config_version = 2.4.9\ndovecot_storage_version = 2.4.1\n"
    said = fatal(1, "Invalid dovecot_config_version: Currently supported versions are: 2.4.0 2.4.1")
    (mistake,) = found_2_4(text, said)
    assert mistake.edits[0].lines == ("dovecot_config_version = 2.4.1",)


def test_a_passdb_without_a_name_is_rewritten() -> None:
    text = HEAD + "passdb {\n  driver = pam\n  args = dovecot\n}\n"
    (mistake,) = found_2_4(text, fatal(3, "passdb { } is missing section name"))
    assert [edit.lines for edit in mistake.edits] == [("passdb pam {",), (), ("  passdb_pam_service_name = dovecot",)]


def test_an_sql_passdb_is_left_to_a_person() -> None:
    text = HEAD + "passdb {\n  driver = sql\n  args = /etc/dovecot/dovecot-sql.conf.ext\n}\n"
    (mistake,) = found_2_4(text, fatal(3, "passdb { } is missing section name"))
    assert mistake.edits == ()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("protocols = imap pop3 sieve\n", ("protocols = imap pop3",)),
        ("protocols {\n  imap = yes\n  sieve = yes\n}\n", ()),
    ],
)
def test_a_protocol_without_its_package_is_taken_out(text: str, lines: tuple[str, ...]) -> None:
    said = (
        "doveconf: Error: protocols: Unknown protocol: sieve\n"
        f"doveconf: Fatal: Error in configuration file {FILE}: protocols: Unknown protocol: sieve\n"
    )
    (mistake,) = found_2_3(text, said)
    assert mistake.edits[0].lines == lines
    assert mistake.place.line in (1, 3)


def test_names_of_2_4_are_told_on_2_3() -> None:
    (mistake,) = found_2_3("mail_driver = maildir\n", fatal(1, "Unknown setting: mail_driver"))
    assert "Dovecot 2.4" in mistake.what


def remarks_2_4(text: str) -> tuple[Remark, ...]:
    return remarks(config(HEAD + text, "2.4.1-4"), None)


def test_a_path_with_a_one_letter_variable_is_shared_by_all_users_on_2_4() -> None:
    (remark,) = remarks_2_4("mail_path = /var/vmail/%d/%n\n")
    assert remark.status == "critical"
    assert "share one place" in remark.title
    assert remark.edits[0].lines == ("mail_path = /var/vmail/%{user | domain}/%{user | username}",)


@pytest.mark.parametrize(
    "line",
    ["mail_path = ~/Maildir", "mail_inbox_path = /var/mail/%{user}", 'log_timestamp = "%b %d %H:%M:%S "', "ssl = yes"],
)
def test_new_variables_and_dates_are_fine_on_2_4(line: str) -> None:
    assert remarks_2_4(line + "\n") == ()


def test_one_letter_variables_are_fine_on_2_3() -> None:
    assert remarks(config("mail_location = maildir:/var/vmail/%d/%n\n", "2.3.19.1"), None) == ()


@pytest.mark.parametrize("release", sorted(RELEASES))
def test_the_settings_of_the_guide_leave_nothing_to_remark(release: str) -> None:
    text = (DATA / f"doveconf-n-{RELEASES[release]}.txt").read_text()
    assert remarks(config(text, release), DovecotParts(())) == ()


def test_a_mechanism_that_nobody_knows_is_corrected() -> None:
    (remark,) = remarks(config("auth_mechanisms = plain logn\n", "2.3.19.1"), None)
    assert remark.edits[0].lines == ("auth_mechanisms = plain login",)


def test_an_account_that_does_not_exist_is_corrected_to_the_nearest() -> None:
    found = config("service auth {\n  user = posfix\n}\n", "2.3.19.1")
    reference = Reference("account", "posfix", found.source.settings[0], ("postfix", "root"))
    (remark,) = remarks(found, DovecotParts((reference,)))
    assert remark.edits[0].lines == ("  user = postfix",)
    assert remark.places == (Place(FILE, 2),)


def test_a_section_one_slip_away_from_a_known_one_is_corrected() -> None:
    text = "servce imap-login {\n  inet_listener imap {\n  }\n}\n"
    (mistake,) = found_2_3(text, fatal(1, "Unknown setting: servce { servce"))
    assert mistake.what == "there is no section servce"
    assert mistake.certain
    assert mistake.edits[0].lines == ("service imap-login {",)


def test_a_brace_on_the_next_line_is_pulled_up_and_nothing_else_is_blamed() -> None:
    text = "service pop3-login\n{\n  inet_listener pop3 {\n  }\n}\n"
    (mistake,) = found_2_3(text, fatal(1, "Expecting '{'"))
    assert mistake.what == "the { must stand on the same line"
    assert mistake.edits == (edits.Edit(Place(FILE, 1), ("service pop3-login {",)), edits.Edit(Place(FILE, 2)))


@pytest.mark.parametrize(
    ("text", "named", "line"),
    [
        ("\ufeffauth_verbose = yes\n", "byte order mark", "auth_verbose = yes"),
        ("auth_verbose\u00a0= yes\n", "no-break space", "auth_verbose = yes"),
    ],
)
def test_an_invisible_character_is_named_and_taken_out(text: str, named: str, line: str) -> None:
    (mistake,) = found_2_3(text, fatal(1, f"Unknown setting: {text.partition('=')[0]}"))
    assert named in mistake.what
    assert mistake.certain
    assert mistake.edits[0].lines == (line,)


def test_a_port_in_listen_is_the_mistake_behind_a_duplicate_listener() -> None:
    said = (
        "doveconf: Error: duplicate listener: 143:\n"
        f"doveconf: Fatal: Error in configuration file {FILE}: duplicate listener: 143:\n"
    )
    (mistake,) = found_2_3("listen = *:143, [::]:143\n", said)
    assert mistake.place == Place(FILE, 1)
    assert mistake.edits[0].lines == ("listen = *, ::",)


def test_an_account_that_a_setting_without_a_line_number_names_is_led_back_to_its_line() -> None:
    said = (
        "doveconf: Error: default_login_user doesn't exist: dovenul\n"
        f"doveconf: Fatal: Error in configuration file {FILE}: default_login_user doesn't exist: dovenul\n"
    )
    (mistake,) = found_2_3("ssl = yes\ndefault_login_user = dovenul\n", said)
    assert mistake.place == Place(FILE, 2)


def test_a_refusal_without_a_line_is_told_without_a_number() -> None:
    said = (
        "doveconf: Error: default_login_user doesn't exist: dovenull\n"
        f"doveconf: Fatal: Error in configuration file {FILE}: default_login_user doesn't exist: dovenull\n"
    )
    (mistake,) = found_2_3("ssl = yes\n", said)
    assert str(mistake.place) == FILE
    assert "reinstalled" in mistake.advice


def test_listening_on_ipv6_alone_is_told_where_the_host_has_ipv4() -> None:
    found = config("listen = ::\n", "2.3.19.1")
    (remark,) = remarks(found, DovecotParts((Reference("family", "IPv4", found.source.settings[0], ("10.0.1.10",)),)))
    assert "IPv6 alone" in remark.title
    assert remark.edits[0].lines == ("listen = *, ::",)
    assert not remark.certain


@pytest.mark.parametrize(
    ("line", "said", "meant"),
    [
        ("ssl = require", "Invalid value: require", "ssl = required"),
        ("auth_verbose = true", "Invalid boolean value: true (use yes or no)", "auth_verbose = yes"),
    ],
)
def test_a_word_that_plainly_means_a_valid_one_is_corrected(line: str, said: str, meant: str) -> None:
    (mistake,) = found_2_3(f"{line}\n", fatal(1, said))
    assert mistake.certain
    assert mistake.edits[0].lines == (meant,)


def test_the_angle_bracket_of_2_3_is_taken_from_a_file_of_2_4() -> None:
    text = HEAD + "ssl_server_cert_file = </etc/ssl/certs/mail.pem\n"
    said = fatal(3, "ssl_server_cert_file: open(/etc/dovecot/conf.d/-----BEGIN CERTIFICATE-----")
    (mistake,) = found_2_4(text, said)
    assert mistake.edits[0].lines == ("ssl_server_cert_file = /etc/ssl/certs/mail.pem",)


def test_a_listener_of_tls_clients_without_tls_is_named() -> None:
    text = "service imap-login {\n  inet_listener imaps {\n    port = 993\n    ssl = no\n  }\n}\n"
    (remark,) = remarks(config(text, "2.3.19.1"), None)
    assert remark.places == (Place(FILE, 4),)
    assert remark.certain


def test_parameters_for_diffie_hellman_that_are_gone_are_done_without() -> None:
    said = fatal(1, "ssl_dh: Can't open file /etc/dovecot/dh.pem: No such file or directory")
    (mistake,) = found_2_3("ssl_dh = </etc/dovecot/dh.pem\n", said)
    assert mistake.edits == (edits.Edit(Place(FILE, 1)),)
    assert mistake.certain


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("default_login_user = $default_internal_user", ("default_login_user = $SET:default_internal_user",)),
        ("mail_plugins = $mail_plugins quota", ("mail_plugins {", "  quota = yes", "}")),
    ],
)
def test_a_dollar_of_2_3_is_written_as_2_4_has_it(line: str, lines: tuple[str, ...]) -> None:
    (remark,) = remarks_2_4(f"{line}\n")
    assert remark.edits[0].lines == lines


def test_a_dollar_of_2_4_is_fine() -> None:
    assert remarks_2_4("default_login_user = $SET:default_internal_user\n") == ()


def test_trusting_every_client_is_a_warning() -> None:
    (remark,) = remarks(config("login_trusted_networks = 10.0.1.0/24 0.0.0.0/0\n", "2.3.19.1"), None)
    assert remark.status == "warning"
    assert remarks(config("login_trusted_networks = 10.0.1.0/24\n", "2.3.19.1"), None) == ()


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("log_path = /dev/null\n", "warning", "thrown away"),
        ("ssl_min_protocol = TLSv1.4\n", "critical", "names no protocol"),
        (
            "userdb {\n  driver = passwd\n}\nservice lmtp {\n  user = vmail\n}\n",
            "critical",
            "service lmtp runs as vmail",
        ),
    ],
)
def test_what_is_accepted_and_does_harm_is_remarked(text: str, status: str, words: str) -> None:
    (remark,) = remarks(config(text, "2.3.19.1"), None)
    assert remark.status == status
    assert words in remark.title


@pytest.mark.parametrize(
    "text",
    [
        "log_path = /var/log/dovecot.log\n",
        "ssl_min_protocol = TLSv1.2\n",
        "userdb {\n  driver = static\n  args = uid=vmail gid=vmail home=/var/vmail/%u\n}\nservice lmtp {\n  user = vmail\n}\n",
        "userdb {\n  driver = passwd\n}\nservice lmtp {\n  user = root\n}\n",
    ],
)
def test_what_does_no_harm_is_not_remarked(text: str) -> None:
    assert remarks(config(text, "2.3.19.1"), None) == ()


def test_logins_with_client_certificates_only_are_worth_knowing_and_no_fault() -> None:
    (remark,) = remarks(config("auth_ssl_require_client_cert = yes\n", "2.3.19.1"), None)
    assert remark.status == "notice"


@pytest.mark.parametrize("version", ["2.3.19.1", "2.4.1-4"])
def test_tls_that_is_off_beside_a_certificate_is_told(version: str) -> None:
    name = "ssl_server_cert_file" if version.startswith("2.4") else "ssl_cert"
    head = HEAD if version.startswith("2.4") else ""
    certificate = f"{name} = {'' if head else '<'}/etc/ssl/certs/mail.pem\n"
    (remark,) = remarks(config(f"{head}ssl = no\n{certificate}", version), None)
    assert (remark.kind, remark.status, remark.certain) == ("tls-off", "warning", False)
    assert remark.edits[0].lines == ("ssl = yes",)
    for text in (f"ssl = yes\n{certificate}", "ssl = no\n", f"ssl = no\nlisten = 127.0.0.1\n{certificate}"):
        assert remarks(config(head + text, version), None) == ()
