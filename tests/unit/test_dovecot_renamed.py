"""What 2.4 made of 2.3's settings and variables."""

from __future__ import annotations

import pytest

from maildiag.dovecot.renamed import successor, translated
from maildiag.dovecot.variables import leftovers, modern


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/var/vmail/%d/%n", "/var/vmail/%{user | domain}/%{user | username}"),
        ("%Lu", "%{user | lower}"),
        ("/var/mail/%u", "/var/mail/%{user}"),
        ("%{home}/mail", "%{home}/mail"),
        ("100%% of %{rip}", "100%% of %{remote_ip}"),
    ],
)
def test_variables_of_2_3_have_a_form_in_2_4(old: str, new: str) -> None:
    assert modern(old) == new


def test_only_one_letter_variables_are_leftovers() -> None:
    assert leftovers("/var/vmail/%d/%n") == ("%d", "%n")
    assert leftovers("%Lu") == ("%Lu",)
    assert leftovers("/var/mail/%{user}") == ()
    assert leftovers("50%% used") == ()


def test_mail_location_is_split() -> None:
    assert translated("mail_location", "maildir:~/Maildir") == (
        "mail_driver = maildir",
        "mail_path = ~/Maildir",
        "mail_inbox_path = ~/Maildir",
    )
    assert translated("mail_location", "mbox:~/mail:INBOX=/var/mail/%u") == (
        "mail_driver = mbox",
        "mail_path = ~/mail",
        "mail_inbox_path = /var/mail/%{user}",
    )


def test_a_location_with_options_that_nobody_split_is_left_to_a_person() -> None:
    assert translated("mail_location", "maildir:~/Maildir:VOLATILEDIR=/tmp") == ()


def test_opposite_values_are_turned_round() -> None:
    assert translated("disable_plaintext_auth", "no") == ("auth_allow_cleartext = yes",)


def test_a_file_loses_its_angle_bracket() -> None:
    assert translated("ssl_cert", "</etc/ssl/a.pem") == ("ssl_server_cert_file = /etc/ssl/a.pem",)
    assert translated("ssl_cert", "-----BEGIN") == ()


def test_service_settings_are_renamed_only_within_a_service() -> None:
    assert translated("service_count", "0", "service") == ("restart_request_count = unlimited",)
    assert successor("service_count") == ""
